//! `sameturn check`: settings → targets and identities → cells → reports.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;

use crate::auth::environment::Environment;
use crate::auth::seen::Seen;
use crate::catalog;
use crate::cli::args::{CheckArgs, Format};
use crate::cli::exit::{self, Exit};
use crate::cli::lint;
use crate::cli::settings::{self, CheckSettings, Mode};
use crate::cli::signals;
use crate::cli::targets::{self, Column};
use crate::cli::ui::{Progress, Ui};
use crate::conduct::cell::Conductor;
use crate::conduct::run::{self, Work};
use crate::conduct::shown;
use crate::mock::data::MockData;
use crate::mock::pace::PaceChoice;
use crate::mock::server::MockServer;
use crate::plan;
use crate::report::escape::{self, shell_word};
use crate::report::event::{Cell, RunEvent, RunPlan, ScenarioSummary, TargetSummary};
use crate::report::layout::counted;
use crate::report::record::Run;
use crate::report::requests::Requests;
use crate::report::store::{self, Store};
use crate::report::summary::{Fold, Overall};
use crate::report::{console, junit, markdown};
use crate::scenario::gap::GapClaim;
use crate::target::bearer_command::BearerCommand;
use crate::transport::Limits;
use crate::transport::live::Live;
use crate::transport::trust;

/// Runs the command. An error is bad input: nothing was sent.
pub fn run(args: &CheckArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let settings = settings::check(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime did not start")?;
    runtime.block_on(check(args, settings, ui))
}

async fn check(args: &CheckArgs, settings: CheckSettings, ui: &mut Ui) -> anyhow::Result<Exit> {
    for file in [&args.junit, &args.markdown].into_iter().flatten() {
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .with_context(|| format!("{}: cannot be written", file.display()))?;
    }
    lint::warn(ui, &settings.warnings)?;
    let mock = match settings.mode {
        Mode::Mocks | Mode::MockedFile(_) | Mode::Gaps => {
            Some(start_mock(args.seed, &PaceChoice::default()).await?)
        }
        Mode::TargetFile(_) | Mode::Server(_) => None,
    };
    let environment = Environment::of_process();
    let bundles = trust::bundles(&|name| environment.raw(name))?;
    let catalog = catalog::shipped();
    let columns = targets::expand(&settings.targets, catalog, &environment, mock.as_ref()).await?;
    // On stderr and at once, so that nobody waits for a run at the wrong place to end.
    ui.err(&format!(
        "asking {}: {} at {}\n",
        settings.mode.words(),
        counted(settings.scenarios.len(), "scenario"),
        counted(columns.len(), "target")
    ))?;
    ui.err(&targets::remarks(&columns))?;
    let seen = Arc::new(Seen::new(args.redact_accounts));
    targets::teach(&columns, &seen);
    let plan = run_plan(args, &settings, &columns);
    let scenarios = settings.scenarios.iter();
    let claims: Vec<Option<GapClaim>> = scenarios.map(|one| one.scenario.gap.clone()).collect();
    let work = work(settings, columns, &plan);
    let conductor = Arc::new(Conductor {
        transport: Live::new(Limits::CHECK.connect, &bundles)
            .context("the HTTP client did not start")?,
        catalog,
        limits: work.limits,
        keep_streams: args.keep_streams,
        seen: Arc::clone(&seen),
        sign_ins: Default::default(),
    });

    let (events, incoming) = unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let watcher = tokio::spawn(stop_when_told(stop));
    let store = {
        let seen = Arc::clone(&seen);
        let redact = move |text: &str| seen.redact(text);
        Store::create(
            &args.results,
            &plan.run_id,
            args.keep_streams,
            Box::new(redact),
        )
        // Its words hold the cause already, which a chain of errors would repeat.
        .map_err(|error| anyhow::anyhow!("{error}"))?
    };
    let _ = events.send(RunEvent::Started(plan));
    // Folding and writing happen on a thread of their own, so that they do not delay anybody's clock.
    let collector = {
        let (args, seen) = (args.clone(), Arc::clone(&seen));
        let handle = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || handle.block_on(collect(incoming, args, store, seen)))
    };
    run::run(conductor, Arc::new(work.work), events, stopped).await;
    let report = collector.await.context("the reports could not be made")?;
    watcher.abort();
    if let Some(mock) = mock {
        mock.stop().await;
    }
    if args.show_gaps
        && let Some(summary) = report.fold.summary()
    {
        ui.err(&shown::shown(summary, &claims).words())?;
    }
    finish(args, ui, report)
}

/// Serves the built-in mocks on a free port of loopback, at their own pace or this one.
pub async fn start_mock(seed: u64, pace: &PaceChoice) -> anyhow::Result<MockServer> {
    let mut data = MockData::shipped().map_err(anyhow::Error::msg)?;
    pace.apply(&mut data).map_err(anyhow::Error::msg)?;
    let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    MockServer::start(any_port, data, seed)
        .await
        .context("the built-in mocks could not listen on loopback")
}

/// The first Ctrl-C (or another signal to stop) ends the run gently, the second at once.
async fn stop_when_told(stop: watch::Sender<bool>) {
    if signals::told_to_stop().await.is_ok() {
        let _ = stop.send(true);
        if signals::told_to_stop().await.is_ok() {
            exit::now(Exit::Interrupted);
        }
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
        run_id: store::new_run_id(),
        started_at: store::format_time(now),
        mode: settings.mode.words(),
        seed: args.seed,
        repeat: args.repeat,
        reference: settings.reference.clone(),
        targets: columns
            .iter()
            .map(|column| summary(&column.target))
            .collect(),
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
        sign_in: None,
        foreseen: target.warnings.clone(),
        warnings: Vec::new(),
        endpoint: target.route.base_url(),
        endpoint_from: target.endpoint_from.clone(),
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
    seen: Arc<Seen>,
}

/// Feeds every event to every fold, until the run has ended.
async fn collect(
    mut events: UnboundedReceiver<RunEvent>,
    args: CheckArgs,
    store: Store,
    seen: Arc<Seen>,
) -> Report {
    let mut fold = Fold::default();
    let mut requests = Requests::default();
    let mut progress = Progress::new();
    let mut store = Ok(store);
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = seconds.tick() => {
                if let Ok(open) = &mut store
                    && let Err(error) = open.tick()
                {
                    store = Err(error);
                }
                continue;
            }
        };
        let Some(event) = event else { break };
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
    Report {
        fold,
        requests,
        store,
        seen,
    }
}

/// Writes and prints the reports, and says how the program ends.
fn finish(args: &CheckArgs, ui: &mut Ui, report: Report) -> anyhow::Result<Exit> {
    let Some(summary) = report.fold.summary() else {
        return Ok(Exit::Interrupted);
    };
    let redact = |text: &str| report.seen.redact(text);
    let run = Run::new(summary).redacted(&redact);
    let mut written = true;
    let folder = match &report.store {
        Ok(store) => Some(store.folder().to_owned()),
        Err(error) => {
            ui.err(&format!("error: the run is not kept whole: {error}\n"))?;
            written = false;
            None
        }
    };
    if let Some(file) = &args.junit {
        let text = junit::render(&run).context("the JUnit file could not be made")?;
        written &= write(file, &text, ui)?;
    }
    if let Some(file) = &args.markdown {
        written &= write(file, &markdown::render(&run), ui)?;
    }
    let exit = match summary.overall() {
        _ if summary.interrupted => Exit::Interrupted,
        Overall::Findings => Exit::Findings,
        Overall::Undetermined => Exit::Undetermined,
        // Nothing was wrong, but what proves it is not there.
        Overall::Pass if !written => Exit::Undetermined,
        Overall::Pass => Exit::Ok,
    };
    match args.format {
        Format::Json => ui.out(&run.to_json())?,
        Format::Text => {
            if args.show_requests {
                ui.out(&format!("sameturn check: {}\n\n", escape::line(&run.mode)))?;
                ui.out(&redact(&report.requests.text()))?;
            }
            let settings = console::Settings {
                width: ui.width,
                colour: ui.colour,
                command: command(args),
                results: folder.map(|folder| folder.display().to_string()),
                exit_code: exit.code(),
            };
            ui.out(&console::render(&run, &settings))?;
        }
    }
    Ok(exit)
}

/// The command that asks the same targets about the same scenarios again.
fn command(args: &CheckArgs) -> String {
    let mut words = vec!["sameturn".to_owned(), "check".to_owned()];
    if args.show_gaps {
        words.push("--show-gaps".to_owned());
    }
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.push(name.to_owned());
            words.push(shell_word(&value));
        }
    };
    flag("--base-url", args.server.base_url.clone());
    flag("--model", args.server.model.clone());
    flag("--api-key-env", args.server.api_key_env.clone());
    for header in &args.server.header {
        flag("--header", Some(header.clone()));
    }
    for pair in &args.server.query {
        flag("--query", Some(pair.clone()));
    }
    let file = args.targets.as_ref();
    // The arguments of a command may be secret, and this line goes where logs go.
    let auth = args.server.auth_command.as_deref();
    let program = auth.and_then(|line| BearerCommand::of_line(line).ok());
    flag(
        "--auth-command",
        program.map(|one| format!("{} …", one.program())),
    );
    flag("--targets", file.map(|file| file.display().to_string()));
    if args.mocks {
        words.push("--mocks".to_owned());
    }
    for path in &args.scenarios {
        words.push(shell_word(&path.display().to_string()));
    }
    words.join(" ")
}

/// Writes a report; a file that cannot be written loses nothing else.
fn write(file: &Path, text: &str, ui: &mut Ui) -> std::io::Result<bool> {
    match std::fs::write(file, text) {
        Ok(()) => Ok(true),
        Err(error) => {
            ui.err(&format!(
                "error: {}: could not be written: {error}\n",
                file.display()
            ))?;
            Ok(false)
        }
    }
}
