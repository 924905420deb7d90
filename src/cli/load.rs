//! `sameturn load`: settings → targets and identities → rounds of load → reports.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use tokio::sync::watch;

use crate::auth::environment::Environment;
use crate::auth::seen::Seen;
use crate::auth::shared::SignIns;
use crate::catalog;
use crate::cli::args::{Format, LoadArgs};
use crate::cli::check::start_mock;
use crate::cli::exit::{self, Exit};
use crate::cli::files;
use crate::cli::load_out::{self, Opened, Part, Planned};
use crate::cli::settings::{self, Mode, Whom};
use crate::cli::signals;
use crate::cli::targets;
use crate::cli::ui::Ui;
use crate::load::ceiling::Ceiling;
use crate::load::engine::Engine;
use crate::load::fleet::{Fleet, Lane};
use crate::load::result::{ArrivalClock, Ending, Harness, LaneResult, LoadResult};
use crate::load::round::{Arriving, Round, Start, Stop};
use crate::load::tally::Tally;
use crate::load::window::Window;
use crate::load::workload::Workload;
use crate::report::load_console;
use crate::report::store;
use crate::transport::Limits;
use crate::transport::wire::WireSettings;

/// Runs the command. An error is bad input: nothing was sent.
pub fn run(args: &LoadArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime did not start")?;
    runtime.block_on(load(args, ui))
}

async fn load(args: &LoadArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let catalog = catalog::shipped();
    let whom = Whom {
        server: &args.server,
        targets: args.targets.as_deref(),
        mocks: args.mocks,
        gaps: false,
    };
    let (mode, file) = settings::mode(&whom, catalog)?;
    let chosen = settings::choose_targets(file.value, &args.target)?;
    if args.scenarios.is_empty() {
        bail!("name a scenario");
    }
    let scenarios = files::scenarios(&args.scenarios, catalog)?;
    // OUT: which part this is.
    let environment = Environment::of_process();
    let part = Part::of(&args.out, &environment)?;
    let digests = scenarios
        .value
        .iter()
        .map(|one| one.digest.clone())
        .collect();
    let mock = match mode {
        Mode::Mocks | Mode::MockedFile(_) | Mode::Gaps => Some(start_mock(args.seed).await?),
        Mode::TargetFile(_) | Mode::Server(_) => None,
    };
    let columns = targets::expand(&chosen, catalog, &environment, mock.as_ref()).await?;
    ui.err(&targets::remarks(&columns))?;
    let seen = Arc::new(Seen::new(args.redact_accounts));
    targets::teach(&columns, &seen);
    let limits = Limits {
        idle: args.idle_timeout,
        total: args.timeout,
        ..Limits::CHECK
    };
    let run_id = store::new_run_id();
    let fleet = Arc::new(Fleet {
        lanes: columns
            .into_iter()
            .map(|column| Lane::new(column.target, column.identities, None))
            .collect(),
        catalog,
        workload: Workload {
            scenarios: scenarios
                .value
                .into_iter()
                .map(|planned| Arc::new(planned.scenario))
                .collect(),
        },
        limits,
        ceiling: Ceiling::new(None, None),
        seen: Arc::clone(&seen),
        back_off: true,
        run_id: run_id.clone(),
    });
    let shared = SignIns::default();
    for lane in &fleet.lanes {
        if let Err(failure) = lane.sign_in(&shared, &seen).await {
            ui.err(&format!(
                "error: {}: {}/{}: {}\n",
                lane.label(),
                failure.class,
                failure.cause,
                seen.redact(&failure.message)
            ))?;
            return Ok(Exit::Undetermined);
        }
    }
    // OUT: its files, before anything is sent.
    let planned = Planned {
        fleet: &fleet,
        attempt: &run_id,
        seed: args.seed,
        schedule: format!(
            "{:?}",
            (
                args.rate,
                args.concurrency,
                args.duration,
                args.requests,
                args.warm_up,
                args.cool_down
            )
        ),
        load: String::new(),
        scenarios: digests,
    };
    let shard = part.shard;
    let waiting = part.clone();
    let opened = load_out::open(&args.out, &args.results, part, &planned, &environment, ui).await?;
    let mut out = match opened {
        Opened::Go(out) => out,
        Opened::Done(exit) => return Ok(exit),
    };
    let workers = args
        .workers
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    let wire = Arc::new(WireSettings { limits });
    let engine = Engine::start(workers, &fleet, &wire).context("the workers did not start")?;
    let (stop, stopped) = watch::channel(Stop::No);
    let stop = Arc::new(stop);
    let watcher = tokio::spawn(stop_when_told(Arc::clone(&stop)));

    let window = Window {
        warm_up: args.warm_up.unwrap_or_default(),
        measured: match (args.duration, args.requests) {
            (None, None) => Some(Duration::from_secs(10)),
            (duration, _) => duration,
        },
        cool_down: args.cool_down.unwrap_or_default(),
        most: args.requests,
    };
    let lanes = fleet.lanes.len();
    let (arriving, schedule): (Arriving, Option<crate::load::engine::Schedule>) = match args.rate {
        Some(rate) => {
            let arrivals = (0..).flat_map(move |index: u64| {
                (0..lanes).map(move |lane| {
                    let start = Start {
                        lane,
                        arrival: index,
                        intended: Duration::from_secs_f64(index as f64 / rate),
                    };
                    (index * lanes as u64 + lane as u64, start)
                })
            });
            (Arriving::Open, Some(Box::new(arrivals)))
        }
        None => {
            let most = shard.share(args.concurrency.unwrap_or(8));
            let allowed = Arc::new(move |_| most);
            (Arriving::Closed { most, allowed }, None)
        }
    };
    // OUT: all shards begin together.
    waiting.wait(stopped.clone()).await;
    let begun = SystemTime::now();
    let started_at = store::format_time(begun);
    let round = Arc::new(Round::new(
        Instant::now(),
        window,
        arriving,
        shard,
        10_000,
        Arc::new(|_, _| true),
        out.wants_samples(),
        stopped,
        lanes,
    ));
    let heard = engine.begin(&round, schedule)?;
    let mut result = LoadResult {
        run_id: run_id.clone(),
        started_at,
        finished_at: String::new(),
        mode: mode.words(),
        load: String::new(),
        seed: args.seed,
        clock: ArrivalClock::Read,
        measured: Duration::ZERO,
        ending: Ending::Planned,
        lanes: fleet
            .lanes
            .iter()
            .map(|lane| LaneResult {
                target: lane.target.name.clone(),
                region: lane.target.region.clone(),
                provider: lane.target.provider.id.clone(),
                dialect: lane.target.dialect.word().to_owned(),
                model: lane.target.model.clone(),
                endpoint: lane.target.route.base_url(),
                sign_in: lane
                    .signed()
                    .map(|signed| signed.how.clone())
                    .unwrap_or_default(),
                tally: Tally::default(),
            })
            .collect(),
        harness: Harness {
            workers,
            ..Harness::default()
        },
    };
    let collected = tokio::task::spawn_blocking(move || {
        out.collect(&heard, &round, begun, &mut result);
        result.harness.wall = round.now();
        result.measured = load_out::measured(&round);
        (result, out)
    });
    let (mut result, out) = collected
        .await
        .context("the figures could not be collected")?;
    watcher.abort();
    engine.end();
    if *stop.borrow() != Stop::No {
        result.ending = Ending::Interrupted;
    }
    result.finished_at = store::format_time(SystemTime::now());
    if let Some(mock) = mock {
        mock.stop().await;
    }
    // OUT: what is left behind.
    let record = out.record(&result);
    let folder = out.folder().map(|folder| folder.display().to_string());
    let warm_up = args.warm_up.unwrap_or_default();
    let kept = out
        .finish(&record, &result, warm_up, &environment, ui)
        .await?;
    let exit = match result.ending {
        Ending::Interrupted => Exit::Interrupted,
        _ => kept,
    };
    match args.format {
        Format::Json => ui.out(&record.to_json())?,
        Format::Text => ui.out(&load_console::render(
            &record,
            &load_console::Settings {
                width: ui.width,
                results: folder,
                exit_code: exit.code(),
            },
        ))?,
    }
    Ok(exit)
}

/// The first Ctrl-C starts nothing any more, the second cuts what runs, the third ends at once.
async fn stop_when_told(stop: Arc<watch::Sender<Stop>>) {
    for next in [Stop::Starting, Stop::Now] {
        if signals::told_to_stop().await.is_err() {
            return;
        }
        let _ = stop.send(next);
    }
    if signals::told_to_stop().await.is_ok() {
        exit::now(Exit::Interrupted);
    }
}
