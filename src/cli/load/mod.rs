//! `sameturn load`: settings → targets and identities → rounds of load → reports.

pub mod args;
pub mod calibrate;
pub mod find_max;
pub mod out;
pub mod preflight;
pub mod prices;
pub mod progress;
pub mod schedule;
pub mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use tokio::sync::{OnceCell, watch};

use crate::auth::environment::Environment;
use crate::auth::seen::Seen;
use crate::auth::shared::SignIns;
use crate::catalog;
use crate::cli::args::Format;
use crate::cli::check::start_mock;
use crate::cli::exit::{self, Exit};
use crate::cli::lint;
use crate::cli::load::args::{HttpArg, LoadArgs};
use crate::cli::load::calibrate::Specimen;
use crate::cli::load::out::{Collected, Opened, Out, Part, Planned};
use crate::cli::load::preflight::Sharing;
use crate::cli::load::progress::LoadProgress;
use crate::cli::load::schedule::{arriving, good};
use crate::cli::load::settings::{Load, LoadSettings};
use crate::cli::settings::Mode;
use crate::cli::signals;
use crate::cli::targets::{self, Column};
use crate::cli::ui::Ui;
use crate::load::ceiling::Ceiling;
use crate::load::engine::{Engine, Schedule};
use crate::load::fleet::{Fleet, Lane};
use crate::load::gate::Gate;
use crate::load::result::{Ending, Harness, LaneResult, LoadResult, Verdict};
use crate::load::round::{Arriving, Good, Round, RoundSettings, Stop};
use crate::load::tally::Tally;
use crate::load::window::Window;
use crate::load::workload::Workload;
use crate::mock::data::Spread;
use crate::mock::pace::PaceChoice;
use crate::plan::shard::Shard;
use crate::plan::{self, PlannedScenario};
use crate::report::load_console;
use crate::report::load_record::LoadRecord;
use crate::report::store;
use crate::transport::trust;
use crate::transport::wire::{Clock, HttpVersion, WireSettings};

/// Runs the command. An error is bad input: nothing was sent.
pub fn run(args: &LoadArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let specimen = args.calibrate.then(Specimen::start).transpose()?;
    let of_specimen = specimen.as_ref().map(|specimen| specimen.arguments(args));
    let args = of_specimen.as_ref().unwrap_or(args);
    let settings = settings::resolve(args, args.seed.map_or_else(nonce, |_| 0))?;
    lint::warn(ui, &settings.warnings)?;
    // The load has threads of its own: see `Engine`.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime did not start")?;
    runtime.block_on(load(args, settings, specimen, ui))
}

/// Conversations of a closed loop for which a worker of their own pays: at 50 events a second each they keep one
/// busy for a fifth of its time, and on fewer threads more of them are served by each wake
/// (`results/published/load-client.md`).
const PER_WORKER: u64 = 256;

/// A start that was agreed on and is longer ago is told: the other shards have long begun.
const TOO_LATE: Duration = Duration::from_secs(2);

/// Conversations under way at a time, at most, where nobody says it.
const MOST_UNDER_WAY: u32 = 20_000;

/// Different in each run, so that no prompt is in a cache from the run before; unless a seed was given, because who
/// gives one wants the same run again.
fn nonce() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

async fn load(
    args: &LoadArgs,
    settings: LoadSettings,
    specimen: Option<Specimen>,
    ui: &mut Ui,
) -> anyhow::Result<Exit> {
    let environment = match &specimen {
        None => Environment::of_process(),
        Some(specimen) => {
            Environment::of_process().with(calibrate::KEY_VARIABLE, specimen.key.clone())
        }
    };
    let part = Part::of(&args.out, &environment)?;
    if part.shard.count() > 1 && matches!(settings.load, Load::FindMax { .. }) {
        bail!(
            "--find-max: a search cannot be split into shards, since each step depends on the one before"
        );
    }
    if let Load::Closed(profile) = &settings.load
        && settings.window.ends().is_none()
        && let Some(last) = profile.endless()
        && part.shard.share(last.round() as u32) == 0
    {
        bail!(
            "--concurrency: {profile} ends with no conversation at a time, for ever{}, so --requests might never be \
             reached\n  help: give its last part a duration as in `/30s`, or use --duration",
            match part.shard.count() {
                1 => String::new(),
                _ => format!(" in this shard ({})", part.shard),
            }
        );
    }
    let mocks = match settings.mode {
        Mode::Mocks | Mode::MockedFile(_) | Mode::Gaps => {
            Some(start_mock(args.seed(), &pace()).await?)
        }
        Mode::TargetFile(_) | Mode::Server(_) => None,
    };
    let mock = mocks.as_ref();
    let catalog = catalog::shipped();
    let columns = targets::expand(&settings.targets, catalog, &environment, mock).await?;
    let (columns, skipped) = applicable(columns, &settings.planned, &settings.workload)?;
    ui.err(&format!(
        "loading {}: {}\n",
        settings.mode.words(),
        settings.load.words()
    ))?;
    ui.err(&targets::remarks(&columns))?;
    ui.err(&skipped)?;
    let seen = Arc::new(Seen::new(args.redact_accounts));
    targets::teach(&columns, &seen);
    let prices = prices::prices(&columns, &settings)?;
    let lanes: Vec<Lane> = columns
        .into_iter()
        .zip(prices)
        .map(|(column, price)| Lane::new(column.target, column.identities, price, &seen))
        .collect();
    preflight::confirm(&lanes, &settings.words(), &seen, args.yes, ui)?;
    let room = preflight::room(settings.workers.unwrap_or(settings.processors));
    let mut fitting = settings.processors;
    let sharing = match args.http {
        HttpArg::Two if !args.fresh_connections => {
            Sharing::streams(settings.workers.unwrap_or(fitting))
        }
        _ => Sharing::NONE,
    };
    let most_under_way = match &settings.load {
        Load::Closed(profile) => {
            let peak = profile.peak().round() as u32;
            // All shards say so: one that is missing makes the whole partial for good.
            if peak < part.shard.count() {
                bail!(
                    "--concurrency: {profile} is less than one conversation for each of {} shards (this is {})\n  \
                     help: use fewer shards or a higher concurrency",
                    part.shard.count(),
                    part.shard
                );
            }
            let share = part.shard.share(peak);
            let each = sharing.connections(u64::from(share));
            let connections = each.saturating_mul(lanes.len() as u64);
            preflight::check_room(room, connections, each)?;
            let all = u64::from(share).saturating_mul(lanes.len() as u64);
            fitting = fitting.min(usize::try_from(all.div_ceil(PER_WORKER)).unwrap_or(usize::MAX));
            usize::MAX
        }
        _ => {
            let wish = args.max_in_flight.unwrap_or(MOST_UNDER_WAY);
            let most = preflight::affordable(room, wish, lanes.len(), sharing);
            // What nobody asked for is told only where little of it is left: most runs never come near.
            let enough = match args.max_in_flight {
                Some(wish) => wish,
                None => MOST_UNDER_WAY / 4,
            };
            if most < enough {
                ui.err(&format!(
                    "warning: at most {most} conversations at a time, not {wish}: open files (`ulimit -n`) or local ports allow no more\n"
                ))?;
            }
            most as usize
        }
    };
    let run_id = store::new_run_id();
    let (shards, count) = (u64::from(part.shard.count()), lanes.len());
    let fleet = Arc::new(Fleet {
        lanes,
        catalog,
        workload: settings.workload.clone(),
        limits: settings.limits,
        // Each shard has its part of what all may spend.
        ceiling: Ceiling::new(
            args.max_tokens.map(|most| most / shards),
            settings.most_micro_dollars.map(|most| most / shards),
        ),
        gates: (0..count).map(|_| Gate::default()).collect(),
        begun: Instant::now(),
        seen: Arc::clone(&seen),
        back_off: !args.no_back_off,
        run_id: run_id.clone(),
        patterns: OnceCell::new(),
    });
    let shared = Arc::new(SignIns::default());
    let mut signed = true;
    for lane in &fleet.lanes {
        if let Err(failure) = lane.sign_in(&shared, &seen).await {
            signed = false;
            let fix = failure.fix.as_deref().map(|fix| format!("\n  fix: {fix}"));
            ui.err(&format!(
                "error: {}: {}/{}: {}{}\n",
                lane.label(),
                failure.class,
                failure.cause,
                seen.redact(&failure.message),
                fix.unwrap_or_default()
            ))?;
        }
    }
    if !signed {
        ui.err("nothing was sent\n")?;
        return Ok(Exit::Undetermined);
    }
    let planned = Planned {
        fleet: &fleet,
        attempt: &run_id,
        seed: args.seed(),
        schedule: settings.fingerprint(args),
        load: settings.load.words(),
        scenarios: settings
            .planned
            .iter()
            .map(|one| one.digest.clone())
            .collect(),
        objective: settings.objective.as_ref().map(ToString::to_string),
    };
    let shard = part.shard;
    let waiting = part.clone();
    let opened = out::open(&args.out, &args.results, part, &planned, &environment, ui).await?;
    let mut out = match opened {
        Opened::Go(out) => out,
        Opened::Done(exit) => return Ok(exit),
    };
    if specimen.is_some() {
        out.keep_samples();
    }
    let keeper = tokio::spawn(keep_signed_in(
        Arc::clone(&fleet),
        shared,
        Arc::clone(&seen),
    ));

    // A worker without a place could start nothing.
    let workers = settings.workers.unwrap_or(fitting);
    let workers = workers.min(most_under_way).max(1);
    let wire = Arc::new(wire_settings(args, &settings, &environment, &fleet.lanes)?);
    let engine = Engine::start(workers, &fleet, &wire).context("the workers did not start")?;
    let (stop, stopped) = watch::channel(Stop::No);
    let stop = Arc::new(stop);
    let watcher = tokio::spawn(stop_when_told(Arc::clone(&stop)));

    // All shards begin together.
    if let Some(late) = waiting.late().filter(|late| *late > TOO_LATE) {
        ui.err(&format!(
            "warning: --start-at is {:.0} s ago: this begins at once, by itself\n",
            late.as_secs_f64()
        ))?;
    }
    if let Some(left) = waiting.early().filter(|left| *left > TOO_LATE) {
        ui.err(&format!(
            "waiting for --start-at: {:.0} s to go; Ctrl-C ends it\n",
            left.as_secs_f64()
        ))?;
    }
    waiting.wait(stopped.clone()).await;
    let cpu = process_cpu();
    let begun = Instant::now();
    let running = Running {
        fleet: Arc::clone(&fleet),
        engine,
        stopped,
        most_under_way,
        good: good(settings.objective.as_ref()),
        shard,
    };
    let mut state = State {
        result: LoadResult {
            run_id,
            started_at: store::format_time(SystemTime::now()),
            finished_at: String::new(),
            mode: seen.redact(&settings.mode.words()),
            load: settings.load.words(),
            seed: args.seed(),
            clock: match args.read_times || !cfg!(target_os = "linux") {
                true => Clock::Read,
                false => Clock::Kernel,
            },
            measured: Duration::ZERO,
            ending: Ending::Planned,
            // A part says nothing of the whole: `merge` judges that.
            objective: settings.objective.clone().filter(|_| shards == 1),
            searches: Vec::new(),
            harness: Harness {
                workers,
                ..Harness::default()
            },
            lanes: lane_results(&fleet),
        },
        out,
    };
    if let Load::FindMax { .. } = &settings.load {
        state = find_max::run(&running, &settings, args.seed(), state, ui).await?;
    } else {
        let (arriving, schedule) = arriving(&settings, args.seed(), fleet.lanes.len(), shard);
        let progress = LoadProgress::new(&fleet.lanes, settings.window.ends());
        let plan = RoundPlan {
            number: 0,
            window: settings.window,
            drain: settings.limits.total,
            arriving,
            schedule,
        };
        let (after, one) = running.round(plan, progress, state).await?;
        state = after;
        state.result.measured_more(&one.measured);
    }
    let State { mut result, out } = state;
    result.harness.wall = begun.elapsed();
    watcher.abort();
    keeper.abort();
    running.engine.end();
    result.ending = match *stop.borrow() {
        Stop::No if fleet.ceiling.reached() => Ending::Ceiling,
        Stop::No => Ending::Planned,
        Stop::Starting | Stop::Now => Ending::Interrupted,
    };
    if !stamped(&result) {
        result.clock = Clock::Read;
    }
    result.finished_at = store::format_time(SystemTime::now());
    result.harness.process_cpu = process_cpu().saturating_sub(cpu);
    result.harness.peak_rss = peak_rss();
    let mut record = out.record(&result);
    let mut more = String::new();
    if let Some(specimen) = specimen {
        let calibration = specimen.compare(out.samples(), out.origin())?;
        more = calibrate::words(&calibration, args.http == HttpArg::Two);
        record.calibration = Some(calibrate::json(&calibration));
    }
    let folder = out.folder().map(|folder| folder.display().to_string());
    let kept = match out
        .finish(&record, &result, settings.window.warm_up, &environment, ui)
        .await
    {
        Ok(kept) => kept,
        Err(error) => {
            ui.tell(&more);
            return Err(error);
        }
    };
    if let Some(mocks) = mocks {
        mocks.stop().await;
    }
    finish(args, &result, &record, (folder, more), kept, ui)
}

/// What a run has come to so far.
pub struct State {
    pub result: LoadResult,
    out: Box<Out>,
}

/// Workers at work, and what every round of a run has in common.
pub struct Running {
    pub fleet: Arc<Fleet>,
    engine: Engine,
    stopped: watch::Receiver<Stop>,
    most_under_way: usize,
    good: Good,
    shard: Shard,
}

/// What one round is to be.
pub struct RoundPlan {
    pub number: u32,
    pub window: Window,
    pub drain: Duration,
    pub arriving: Arriving,
    pub schedule: Option<Schedule>,
}

/// A round that is over.
pub struct Rounded {
    pub collected: Collected,
    /// How long each lane was measured.
    pub measured: Vec<Duration>,
}

impl Running {
    /// Whether the run was told to end.
    pub fn is_stopped(&self) -> bool {
        *self.stopped.borrow() != Stop::No || self.fleet.ceiling.reached()
    }

    /// Does nothing for a time, unless the run is told to end.
    pub async fn rest(&self, time: Duration) {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = stopped.wait_for(|stop| *stop != Stop::No) => {}
        }
    }

    /// Runs one round to its end.
    pub async fn round(
        &self,
        plan: RoundPlan,
        mut progress: LoadProgress,
        mut state: State,
    ) -> anyhow::Result<(State, Rounded)> {
        // Both clocks back to back: times of this round are told by either.
        let (begun, origin) = (SystemTime::now(), Instant::now());
        let settings = RoundSettings {
            number: plan.number,
            origin,
            window: plan.window,
            drain: plan.drain,
            arriving: plan.arriving,
            shard: self.shard,
            most_under_way: self.most_under_way,
            good: Arc::clone(&self.good),
            keep_samples: state.out.wants_samples(),
            watched: progress.is_shown(),
            stop: self.stopped.clone(),
        };
        let round = Arc::new(Round::new(settings, self.fleet.lanes.len()));
        let heard = self
            .engine
            .begin(&round, plan.schedule)
            .context("the clock did not start")?;
        let (told, noted) = (Arc::clone(&round), Arc::clone(&round));
        let mut stopped = self.stopped.clone();
        let watcher = tokio::spawn(async move {
            if stopped.wait_for(|stop| *stop != Stop::No).await.is_ok() {
                noted.cut_short();
            }
        });
        // Folding and writing happen on a thread of their own, so that they do not delay anybody's clock.
        let fleet = Arc::clone(&self.fleet);
        let collected = tokio::task::spawn_blocking(move || {
            let State { result, out } = &mut state;
            let collected = out.collect(&heard, &told, begun, &fleet, &mut progress, result);
            (state, collected)
        });
        let (state, collected) = collected
            .await
            .context("the figures could not be collected")?;
        watcher.abort();
        let all = round.measured(true);
        let tallies = collected.tallies.iter().enumerate();
        let measured = tallies
            .map(|(lane, tally)| round.measured_of(lane, all, &tally.counts))
            .collect();
        let rounded = Rounded {
            collected,
            measured,
        };
        Ok((state, rounded))
    }
}

fn finish(
    args: &LoadArgs,
    result: &LoadResult,
    record: &LoadRecord,
    (folder, more): (Option<String>, String),
    kept: Exit,
    ui: &mut Ui,
) -> anyhow::Result<Exit> {
    let exit = match (result.ending.clone(), result.verdict()) {
        (Ending::Interrupted, _) => Exit::Interrupted,
        // What our own fault broke is nobody's finding.
        (_, Verdict::Broken) if !result.harness.missing.is_empty() => Exit::Undetermined,
        (_, Verdict::Kept) if ui.failed() => Exit::Undetermined,
        (_, Verdict::Kept) => kept,
        (_, Verdict::Broken) => Exit::Findings,
        (_, Verdict::Undetermined) => Exit::Undetermined,
    };
    match args.format {
        Format::Json => {
            ui.tell(&more);
            ui.out(&record.to_json())?;
        }
        Format::Text => ui.out(&load_console::render(
            record,
            &load_console::Settings {
                width: ui.width,
                more,
                results: folder,
                exit_code: exit.code(),
            },
        ))?,
    }
    Ok(exit)
}

fn lane_results(fleet: &Fleet) -> Vec<LaneResult> {
    fleet
        .lanes
        .iter()
        .map(|lane| LaneResult {
            target: fleet.seen.redact(&lane.target.name),
            region: lane.target.region.clone(),
            provider: lane.target.provider.id.clone(),
            dialect: lane.target.dialect.word().to_owned(),
            model: fleet.seen.redact(&lane.target.model),
            endpoint: fleet.seen.redact(&lane.target.route.base_url()),
            sign_in: lane
                .signed()
                .map(|signed| fleet.seen.redact(&signed.how))
                .unwrap_or_default(),
            // A rehearsal costs nothing.
            price: lane.price.clone().filter(|_| !lane.target.mocked),
            measured: Duration::ZERO,
            tally: Tally::default(),
        })
        .collect()
}

/// The columns where every scenario of the workload applies, and a line for each that was left out.
fn applicable(
    columns: Vec<Column>,
    planned: &[PlannedScenario],
    workload: &Workload,
) -> anyhow::Result<(Vec<Column>, String)> {
    let names = workload.names();
    let mut kept = Vec::new();
    let mut skipped = String::new();
    for column in columns {
        let refused = planned
            .iter()
            .filter(|one| names.contains(&one.scenario.name))
            .find_map(|one| {
                let reason = plan::applies(&one.scenario, &column.target).err()?;
                Some(format!("{}: {reason}", one.scenario.name))
            });
        match refused {
            None => kept.push(column),
            Some(reason) => {
                let region = column.target.region.as_deref().unwrap_or_default();
                let name = format!("{} {region}", column.target.name);
                skipped.push_str(&format!(
                    "warning: {} is left out: {reason}\n",
                    name.trim_end()
                ));
            }
        }
    }
    if kept.is_empty() {
        bail!("no target is left to load\n{}", skipped.trim_end());
    }
    Ok((kept, skipped))
}

fn wire_settings(
    args: &LoadArgs,
    settings: &LoadSettings,
    environment: &Environment,
    lanes: &[Lane],
) -> anyhow::Result<WireSettings> {
    let version = match args.http {
        HttpArg::One => HttpVersion::One,
        HttpArg::Two => HttpVersion::Two,
    };
    let secure = lanes
        .iter()
        .any(|lane| lane.target.route.origin.starts_with("https:"));
    // To read hundreds of certificates takes longer than to start, and over plain HTTP nobody looks at them.
    let bundles = match secure {
        true => trust::bundles(&|name| environment.raw(name))?,
        false => Vec::new(),
    };
    let wire = WireSettings::new(version, settings.limits, &bundles, secure)
        .context("the certificates cannot be used")?;
    Ok(WireSettings {
        fresh: args.fresh_connections,
        kernel_stamps: !args.read_times,
        ..wire
    })
}

/// The pace of built-in mocks under load. For `check` they hurry; a client that shares the machine with them would be the
/// bottleneck of most of what it measures.
fn pace() -> PaceChoice {
    PaceChoice {
        between: Some(Spread {
            median: 6.0,
            p95: 9.0,
        }),
        ..PaceChoice::default()
    }
}

/// Whether the kernel gave times, as far as anything was read.
fn stamped(result: &LoadResult) -> bool {
    let lanes = || result.lanes.iter().map(|lane| &lane.tally.counts);
    let none = lanes().all(|counts| counts.reads == 0);
    none || lanes().any(|counts| counts.reads > counts.stampless_reads)
}

/// Renews credentials before they end.
async fn keep_signed_in(fleet: Arc<Fleet>, shared: Arc<SignIns>, seen: Arc<Seen>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        ticks.tick().await;
        for lane in &fleet.lanes {
            // What the server says to the old ones is counted; there is nobody to tell here.
            let _ = lane.sign_in(&shared, &seen).await;
        }
    }
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

/// Processor time of this process so far.
fn process_cpu() -> Duration {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    }
    #[cfg(not(unix))]
    {
        Duration::ZERO
    }
}

/// The most memory this process has had, in bytes.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
