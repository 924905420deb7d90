//! `sameturn mock`: the mocked providers for any client, until Ctrl-C.

use std::net::SocketAddr;

use anyhow::Context;
use serde_json::json;

use crate::cli::args::{Format, MockArgs};
use crate::cli::exit::Exit;
use crate::cli::ui::Ui;
use crate::mock::{MockData, MockServer};

/// Serves until it is told to stop.
pub fn run(args: &MockArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime did not start")?;
    runtime.block_on(serve(args, ui))
}

async fn serve(args: &MockArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let data = MockData::shipped().map_err(anyhow::Error::msg)?;
    let bind = SocketAddr::new(args.bind, args.port);
    let server = MockServer::start(bind, data, args.seed)
        .await
        .with_context(|| format!("could not listen on {bind}; --port 0 takes any free port"))?;
    if !args.bind.is_loopback() {
        ui.warn(&format!(
            "listening on {}: anybody who reaches it can use the mocks, whose keys are public",
            server.address()
        ));
    }
    match args.format {
        Format::Json => ui.out(&format!("{}\n", description(&server))),
        Format::Text => ui.out(&text(&server)),
    }
    tokio::signal::ctrl_c()
        .await
        .context("Ctrl-C cannot be waited for")?;
    server.stop().await;
    Ok(Exit::Ok)
}
