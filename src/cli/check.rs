//! `sameturn check`: settings → targets and identities → cells → reports.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;

use crate::auth::environment::Environment;
use crate::auth::redact::Secrets;
use crate::catalog;
use crate::cli::args::{CheckArgs, Format};
use crate::cli::exit::Exit;
use crate::cli::progress::Progress;
use crate::cli::settings::{self, CheckSettings, Mode};
use crate::cli::targets::{self, Column};
use crate::cli::ui::Ui;
use crate::conduct::cell::Conductor;
use crate::conduct::run::{self, Work};
use crate::mock::{MockData, MockServer};
use crate::plan;
use crate::report::event::{Cell, RunEvent, RunPlan, ScenarioSummary, TargetSummary};
use crate::report::record::Run;
use crate::report::requests::Requests;
use crate::report::store::{self, Store};
use crate::report::summary::{Fold, Overall};
use crate::report::{console, junit, markdown};
use crate::transport::Limits;
use crate::transport::live::Live;

/// Runs the command. An error is bad input: nothing was sent.
pub fn run(args: &CheckArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let settings = settings::check(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime did not start")?;
    runtime.block_on(check(args, settings, ui))
}

async fn check(args: &CheckArgs, settings: CheckSettings, ui: &Ui) -> anyhow::Result<Exit> {
    if args.format == Format::Text {
        ui.out(&format!("sameturn check: {}\n", settings.mode.words()));
    }
    let mock = match settings.mode {
        Mode::Mocks => Some(start_mock(args.seed).await?),
        Mode::TargetFile(_) | Mode::Server(_) => None,
    };
    let environment = Environment::of_process();
    let catalog = catalog::shipped();
    let columns = targets::expand(&settings.targets, catalog, &environment, mock.as_ref()).await?;
    let plan = run_plan(args, &settings, &columns);
    let work = work(settings, columns, &plan);
    let secrets = Arc::new(Secrets::new(args.redact_accounts));
    let conductor = Conductor {
        transport: Live::new(Limits::CHECK.connect).context("the HTTP client did not start")?,
        catalog,
        limits: work.limits,
        keep_streams: args.keep_streams,
        secrets: Arc::clone(&secrets),
    };

    let (events, incoming) = unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let watcher = tokio::spawn(stop_on_ctrl_c(stop));
    let _ = events.send(RunEvent::Started(plan));
    let (_, report) = tokio::join!(
        run::run(&conductor, &work.work, events, stopped),
        collect(incoming, args, ui, &secrets),
    );
    watcher.abort();
    if let Some(mock) = mock {
        mock.stop().await;
    }
    finish(args, ui, report)
}

async fn start_mock(seed: u64) -> anyhow::Result<MockServer> {
    let data = MockData::shipped().map_err(anyhow::Error::msg)?;
    let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    MockServer::start(any_port, data, seed)
        .await
        .context("the built-in mocks could not listen on loopback")
}

/// The first Ctrl-C ends the run gently, the second at once.
async fn stop_on_ctrl_c(stop: watch::Sender<bool>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        let _ = stop.send(true);
    }
}

fn run_plan(args: &CheckArgs, settings: &CheckSettings, columns: &[Column]) -> RunPlan {
    let cells = plan::cells(settings.scenarios.len(), columns.len(), args.repeat)
        .into_iter()
        .map(|(scenario, target, repeat)| Cell {
            scenario,
            target,
            repeat,
        })
        .collect();
    let now = SystemTime::now();
    RunPlan {
        run_id: store::run_id(now),
        started_at: store::timestamp(now),
        mode: settings.mode.words(),
        seed: args.seed,
        repeat: args.repeat,
        reference: settings.reference.clone(),
        targets: columns.iter().map(|column| summary(&column.target)).collect(),
        scenarios: settings
            .scenarios
            .iter()
            .map(|planned| ScenarioSummary {
                name: planned.scenario.name.clone(),
                about: planned.scenario.about.clone(),
                digest: planned.digest.clone(),
                origin: planned.origin.clone(),
            })
            .collect(),
        cells,
    }
}

fn summary(target: &plan::PlannedTarget) -> TargetSummary {
    TargetSummary {
        name: target.name.clone(),
        provider: target.provider.id.clone(),
        dialect: target.dialect.word().to_owned(),
        model: target.model.clone(),
        region: target.region.clone(),
        endpoint: target.route.base_url(),
        mocked: target.mocked,
    }
}

/// The work, and the limits that go with it.
struct Prepared {
    work: Work,
    limits: Limits,
}

fn work(settings: CheckSettings, columns: Vec<Column>, plan: &RunPlan) -> Prepared {
    let (targets, identities) = columns
        .into_iter()
        .map(|column| (column.target, column.identities))
        .unzip();
    Prepared {
        work: Work {
            scenarios: settings.scenarios,
            targets,
            identities,
            cells: plan.cells.clone(),
            reference: settings.reference,
        },
        limits: settings.limits,
    }
}

/// What was collected while the run went on.
struct Report {
    fold: Fold,
    requests: Requests,
    /// The run folder, or why there is none.
    store: Result<Store, store::StoreError>,
    secrets: Arc<Secrets>,
}

/// Feeds every event to every fold, until the run has ended.
async fn collect(
    mut events: UnboundedReceiver<RunEvent>,
    args: &CheckArgs,
    ui: &Ui,
    secrets: &Arc<Secrets>,
) -> Report {
    let mut fold = Fold::default();
    let mut requests = Requests::default();
    let mut progress = Progress::new(ui);
    let redact = {
        let secrets = Arc::clone(secrets);
        move |text: &str| secrets.redact(text)
    };
    let mut store = Store::new(&args.results, args.keep_streams, Box::new(redact));
    while let Some(event) = events.recv().await {
        fold.push(&event);
        progress.push(&event);
        if args.show_requests {
            requests.push(&event);
        }
        if let Ok(open) = &mut store
            && let Err(error) = open.push(&event)
        {
            // The check goes on: what it finds is still printed.
            store = Err(error);
        }
    }
    progress.finish();
    Report {
        fold,
        requests,
        store,
        secrets: Arc::clone(secrets),
    }
}

/// Writes and prints the reports, and says how the program ends.
fn finish(args: &CheckArgs, ui: &Ui, report: Report) -> anyhow::Result<Exit> {
    let Some(summary) = report.fold.summary() else {
        return Ok(Exit::Interrupted);
    };
    let redact = |text: &str| report.secrets.redact(text);
    let run = Run::new(summary).redacted(&redact);
    let folder = match &report.store {
        Ok(store) => Some(store.folder().to_owned()),
        Err(error) => {
            ui.warn(&format!("the run is not kept: {error}"));
            None
        }
    };
    let mut failed = false;
    let files = [
        (&args.junit, junit::junit as fn(&Run) -> String),
        (&args.markdown, markdown::markdown as fn(&Run) -> String),
    ];
    for (file, write) in files {
        if let Some(file) = file
            && let Err(error) = std::fs::write(file, write(&run))
        {
            ui.warn(&format!("{}: could not be written: {error}", file.display()));
            failed = true;
        }
    }
    match args.format {
        Format::Json => ui.out(&run.to_json()),
        Format::Text => {
            if args.show_requests {
                ui.out(&redact(&report.requests.text()));
            }
            ui.out(&console::console(&run, folder.as_deref().map(Path::new), ui.width(), ui.colour()));
        }
    }
    Ok(match summary.overall() {
        _ if summary.interrupted => Exit::Interrupted,
        Overall::Findings => Exit::Findings,
        Overall::Pass if failed => Exit::BadInput,
        Overall::Pass => Exit::Ok,
        Overall::Undetermined => Exit::Undetermined,
    })
}
