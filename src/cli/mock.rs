//! `sameturn mock`: the mocked providers for any client, until Ctrl-C.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::Context;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use crate::cli::args::{Format, MockArgs};
use crate::cli::exit::Exit;
use crate::cli::open_files;
use crate::cli::signals;
use crate::cli::ui::Ui;
use crate::mock::data::MockData;
use crate::mock::pace::PaceChoice;
use crate::mock::server::{MockServer, MockSettings, PACE, Seen};
use crate::mock::truth::Truth;
use crate::report::escape;

/// Serves until it is told to stop.
pub fn run(args: &MockArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    // The server has threads of its own; this one waits for signals.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime did not start")?;
    runtime.block_on(serve(args, ui))
}

async fn serve(args: &MockArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let mut data = MockData::shipped().map_err(anyhow::Error::msg)?;
    let pace = PaceChoice {
        ttft: args.ttft,
        between: args.between,
        region_ttft: args.region_ttft.clone(),
    };
    pace.apply(&mut data).map_err(anyhow::Error::msg)?;
    let bind = SocketAddr::new(args.bind, args.port);
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let truth = args.truth.as_deref().map(Truth::to).transpose();
    let truth = truth.with_context(|| {
        let path = args.truth.as_deref().unwrap_or(Path::new(""));
        format!("could not open the truth file {}", path.display())
    })?;
    let settings = MockSettings {
        seed: args.seed,
        threads: args
            .threads
            .and_then(|threads| NonZeroUsize::new(threads.into()))
            .unwrap_or(cores),
        words: args.tokens.map(|tokens| tokens as usize),
        stall: args.stall,
        truth,
    };
    open_files::raise();
    let server = MockServer::start_with(bind, data, settings)
        .await
        .with_context(|| format!("could not listen on {bind}; --port 0 takes any free port"))?;
    if !args.bind.is_loopback() {
        ui.err(&format!(
            "warning: listening on {}: anybody who reaches it can use the mocks, whose keys are public\n",
            server.address()
        ))?;
    }
    match args.format {
        Format::Json => ui.out(&format!("{}\n", description(&server)))?,
        Format::Text => ui.out(&text(&server))?,
    }
    let mut requests = server.watch();
    let stop = signals::told_to_stop();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            stopped = &mut stop => {
                stopped.context("Ctrl-C cannot be waited for")?;
                break;
            }
            request = requests.recv(), if args.log => match request {
                Ok(request) => ui.err(&line(&request))?,
                Err(RecvError::Lagged(missed)) => {
                    ui.err(&format!("{missed} requests were too fast for this log\n"))?;
                }
                Err(RecvError::Closed) => break,
            },
        }
    }
    let pace = server.stop().await;
    ui.err(&pace.text())?;
    if args.format == Format::Json {
        ui.out(&format!("{}\n", json!({ "pace": pace })))?;
    }
    Ok(Exit::Ok)
}

/// A request on one line. What a client sends is hostile text.
fn line(request: &Seen) -> String {
    let status = request
        .status
        .map_or_else(|| "---".to_owned(), |status| status.to_string());
    let mut out = format!(
        "{:>5} {status} {} {} {}",
        request.number,
        request.principal.as_deref().unwrap_or("nobody"),
        escape::line(&request.method),
        escape::line(&request.path)
    );
    for (word, name) in [("fault", &request.fault), ("script", &request.script)] {
        if let Some(name) = name {
            out.push_str(&format!(" {word}={}", escape::line(name)));
        }
    }
    out.push('\n');
    out
}

/// One line for scripts.
fn description(server: &MockServer) -> serde_json::Value {
    let endpoints: Vec<_> = server
        .endpoints()
        .into_iter()
        .map(|endpoint| {
            json!({
                "provider": endpoint.provider,
                "region": endpoint.region,
                "base_url": endpoint.base_url,
                "other_base_url": endpoint.other_base_url,
                "resource_url": endpoint.resource_url,
            })
        })
        .collect();
    let principals: Vec<_> = server
        .principals()
        .iter()
        .map(|one| {
            json!({
                "name": one.name,
                "access_key_id": one.access_key_id,
                "secret_access_key": one.secret_access_key,
                "session_token": one.session_token,
                "bearer": one.bearer,
                "allowed": one.allowed && !one.expired,
            })
        })
        .collect();
    let variables: serde_json::Map<_, _> = server
        .sign_in_variables()
        .into_iter()
        .map(|(service, url)| (service.variable.clone(), json!(url)))
        .collect();
    json!({ "endpoints": endpoints, "principals": principals, "aws_sign_in": variables })
}

/// The same for people.
fn text(server: &MockServer) -> String {
    let mut out = format!(
        "sameturn mock: listening on http://{}\n\n",
        server.address()
    );
    for endpoint in server.endpoints() {
        let name = match &endpoint.region {
            Some(region) => format!("{} {region}", endpoint.provider),
            None => endpoint.provider.clone(),
        };
        out.push_str(&format!("  {name:32} {}\n", endpoint.base_url));
        if let Some(url) = &endpoint.resource_url {
            out.push_str(&format!(
                "  {:32} {url} (for libraries that append /openai/deployments)\n",
                ""
            ));
        }
    }
    out.push_str("\nTo sign in to AWS here as well (docs/aws-credentials.md), set:\n");
    for (service, url) in server.sign_in_variables() {
        out.push_str(&format!("  export {}={url}\n", service.variable));
    }
    out.push_str("\nWho may ask (these keys are public and worth nothing elsewhere):\n");
    for one in server.principals() {
        let may = match (one.allowed, one.expired) {
            (_, true) => "expired",
            (true, _) => "allowed",
            (false, _) => "denied",
        };
        out.push_str(&format!(
            "  {:8} {may:8} bearer {}  AWS keys {} / {}\n",
            one.name, one.bearer, one.access_key_id, one.secret_access_key
        ));
    }
    out.push_str(
        "\nPut /fault/NAME or /script/NAME before the provider's path to choose a misbehaviour or an answer.\n",
    );
    out.push_str(&format!(
        "GET {PACE} tells how late events left so far. Ctrl-C stops it.\n"
    ));
    out
}
