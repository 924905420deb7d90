//! What a run of `load` leaves behind, and its part of a run on several machines.
//!
//! Everything is opened before anything is sent; what goes wrong later is told at the end, and never stops the
//! load.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use tokio::sync::watch;

use crate::auth::environment::Environment;
use crate::auth::seen::Seen;
use crate::cli::exit::Exit;
use crate::cli::load::args::LoadOutArgs;
use crate::cli::load::progress::LoadProgress;
use crate::cli::ui::Ui;
use crate::load::fleet::Fleet;
use crate::load::result::{Ending, LoadResult};
use crate::load::round::{Heard, Round, Stop};
use crate::load::sample::Sample;
use crate::load::tally::Tally;
use crate::load::trust::Busy;
use crate::load::worker::TOLD_LATE;
use crate::plan::shard::Shard;
use crate::report::csv::LaneName;
use crate::report::load_fold::LoadFold;
use crate::report::load_record::LoadRecord;
use crate::report::load_store::LoadStore;
use crate::report::shard_record::{PlanRecord, PlannedLane, ShardRecord, TimingRecord};
use crate::report::shard_store::{Created, Place};
use crate::report::store;

/// Where the files of a shard stay whose record goes to an object store.
const LOCAL: &str = "results";

/// Which part of the plan this is, and when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub shard: Shard,
    /// The name of the run; all shards have the same.
    pub run: Option<String>,
    pub start_at: Option<SystemTime>,
    /// Whether a part was asked for, be it the only one.
    sharded: bool,
}

impl Part {
    /// Reads the flags.
    pub fn of(args: &LoadOutArgs, environment: &Environment) -> anyhow::Result<Part> {
        let shard = match args.shard.as_deref() {
            None => Shard::WHOLE,
            Some("env") => Shard::of_environment(&|name| environment.get(name).map(str::to_owned))
                .map_err(anyhow::Error::msg)?,
            Some(text) => text.parse().map_err(anyhow::Error::msg)?,
        };
        if let Some(run) = &args.run {
            check_run(run)?;
        }
        Ok(Part {
            shard,
            run: args.run.clone(),
            start_at: args.start_at.as_deref().map(time_of).transpose()?,
            sharded: args.shard.is_some(),
        })
    }

    /// How long ago the agreed start was.
    pub fn late(&self) -> Option<Duration> {
        SystemTime::now().duration_since(self.start_at?).ok()
    }

    /// How long it is until the agreed start.
    pub fn early(&self) -> Option<Duration> {
        self.start_at?.duration_since(SystemTime::now()).ok()
    }

    /// Waits for the agreed start, or until it is told to stop.
    pub async fn wait(&self, mut stop: watch::Receiver<Stop>) {
        let Some(left) = self.early() else {
            return;
        };
        tokio::select! {
            () = tokio::time::sleep(left) => {}
            _ = stop.wait_for(|stop| *stop != Stop::No) => {}
        }
    }
}

/// A name that is a folder's everywhere, and no other file's here.
pub fn check_run(run: &str) -> anyhow::Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if run.is_empty() || run.len() > 100 || run.starts_with('.') || !run.chars().all(plain) {
        bail!(
            "`{}` cannot be the name of a run: 1 to 100 letters, digits, `-`, `_` and `.`, not first a `.`",
            crate::report::escape::line(run)
        );
    }
    if run == "latest" {
        bail!("no run can be called `latest`: that file names the newest");
    }
    Ok(())
}

fn time_of(text: &str) -> anyhow::Result<SystemTime> {
    let format = &time::format_description::well_known::Rfc3339;
    let at = time::OffsetDateTime::parse(text, format)
        .with_context(|| format!("`{text}` is not a time such as 2026-11-21T12:00:00Z"))?;
    Ok(at.into())
}

/// A run that is about to be written.
pub struct Out {
    part: Part,
    run: String,
    results: String,
    /// Where the shard's record goes; `None` without shards.
    place: Option<Place>,
    plan: PlanRecord,
    store: Option<LoadStore>,
    /// What could not be written.
    problems: Vec<String>,
    origin: SystemTime,
    begun: bool,
    keeps: bool,
    samples: Vec<Sample>,
    seen: Arc<Seen>,
}

/// A round, folded.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// One per lane.
    pub tallies: Vec<Tally>,
    /// One per worker.
    pub busy: Vec<Busy>,
}

/// Adds the processor times of workers.
fn add_cpu(sums: &mut Vec<Duration>, more: &[Duration]) {
    sums.resize(sums.len().max(more.len()), Duration::ZERO);
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += *more;
    }
}

/// What opening came to.
pub enum Opened {
    Go(Box<Out>),
    /// There is nothing left to do.
    Done(Exit),
}

/// What is known before the first round.
pub struct Planned<'a> {
    pub fleet: &'a Fleet,
    /// Names this attempt.
    pub attempt: &'a str,
    pub seed: u64,
    /// All settings that decide what arrives when, in a text that is the same on all machines.
    pub schedule: String,
    /// The same in words.
    pub load: String,
    /// Digests of what is asked.
    pub scenarios: Vec<String>,
    pub objective: Option<String>,
}

impl Planned<'_> {
    fn record(&self, of: u32) -> PlanRecord {
        let lanes = self.fleet.lanes.iter().map(|lane| PlannedLane {
            target: self.fleet.seen.redact(&lane.target.name),
            region: lane.target.region.clone(),
            provider: lane.target.provider.id.clone(),
            dialect: lane.target.dialect.word().to_owned(),
            model: self.fleet.seen.redact(&lane.target.model),
            endpoint: match lane.target.mocked {
                true => "built-in mock".to_owned(),
                false => self.fleet.seen.redact(&lane.target.route.base_url()),
            },
        });
        PlanRecord {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            of,
            seed: self.seed,
            schedule: self.schedule.clone(),
            load: self.load.clone(),
            lanes: lanes.collect(),
            scenarios: self.scenarios.clone(),
            objective: self.objective.clone(),
        }
    }
}

/// Makes the files of a run. An error is bad input: nothing was sent.
pub async fn open(
    args: &LoadOutArgs,
    results: &Path,
    part: Part,
    planned: &Planned<'_>,
    environment: &Environment,
    ui: &mut Ui,
) -> anyhow::Result<Opened> {
    let fleet = planned.fleet;
    let seen = Arc::clone(&fleet.seen);
    let results = results.to_string_lossy().into_owned();
    let plan = planned.record(part.shard.count());
    let run = part
        .run
        .clone()
        .unwrap_or_else(|| planned.attempt.to_owned());
    let mut place = None;
    if part.sharded {
        let open = Place::open(&results, environment, &seen).await?;
        open.probe(&run).await?;
        let name = ShardRecord::file_name(part.shard);
        if let Some(bytes) = open.read(&run, &name).await? {
            let there = ShardRecord::read(&name, &bytes)?;
            if let Some(what) = plan.differs(&there.plan) {
                bail!(
                    "{name} of run {run} is there already, of another plan; they differ in {what}"
                );
            }
            ui.err(&format!(
                "{} of run {run} is there already, with {} requests: nothing was sent\n",
                there.label(),
                there.requests()
            ))?;
            return Ok(Opened::Done(Exit::Ok));
        }
        place = Some(open);
    } else if results.contains("://") {
        bail!(
            "an object store takes the shards of a run: add `--shard`, `--shard 1/1` for all of it, or name a folder"
        );
    }
    let store = match files(args, &results, &run, &part, planned, place.as_ref()) {
        Ok(store) => Some(store),
        // What counts goes to the object store.
        Err(error) if place.as_ref().is_some_and(|place| place.folder().is_none()) => {
            ui.err(&format!(
                "warning: no files are kept on this machine: {error}\n"
            ))?;
            None
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Opened::Go(Box::new(Out {
        part,
        run,
        results,
        place,
        plan,
        store,
        problems: Vec::new(),
        origin: SystemTime::now(),
        begun: false,
        keeps: false,
        samples: Vec::new(),
        seen,
    })))
}

fn files(
    args: &LoadOutArgs,
    results: &str,
    run: &str,
    part: &Part,
    planned: &Planned<'_>,
    place: Option<&Place>,
) -> Result<LoadStore, store::StoreError> {
    let fleet = planned.fleet;
    let lanes = fleet.lanes.iter().map(|lane| LaneName {
        target: lane.name.clone(),
        region: lane.target.region.clone(),
    });
    let lanes = lanes.collect();
    let scenarios = fleet.workload.names();
    let seen = Arc::clone(&fleet.seen);
    let redact: store::Redact = Box::new(move |text| seen.redact(text));
    match place {
        None => {
            let results = Path::new(results);
            LoadStore::create(results, run, lanes, scenarios, args.per_request, redact)
        }
        Some(place) => {
            let folder = place.folder().unwrap_or(Path::new(LOCAL)).join(run);
            let attempt = format!("shard-{}-{}", part.shard.file_part(), planned.attempt);
            let wanted = args.per_request;
            LoadStore::create_attempt(&folder, &attempt, lanes, scenarios, wanted, redact)
        }
    }
}

/// Half a second after workers were to tell at the latest, the record is looked at without them.
const UNHEARD: Duration = TOLD_LATE.saturating_add(Duration::from_millis(500));

/// As many problems are told at most.
const MOST_PROBLEMS: usize = 8;

/// Keeps a problem, once: a full disk says the same of each file every second.
fn note(problems: &mut Vec<String>, problem: String) {
    if problems.len() < MOST_PROBLEMS && !problems.contains(&problem) {
        problems.push(problem);
    }
}

impl Out {
    /// Whether each request is to be told.
    pub fn wants_samples(&self) -> bool {
        self.keeps || self.store.as_ref().is_some_and(LoadStore::wants_samples)
    }

    /// The folder of the files of this machine.
    pub fn folder(&self) -> Option<PathBuf> {
        self.store.as_ref().map(|store| store.folder().to_owned())
    }

    fn kept<E: std::fmt::Display>(&mut self, written: Result<(), E>) {
        if let Err(error) = written {
            note(&mut self.problems, error.to_string());
        }
    }

    /// Tells what is missing through a fault of this program, once.
    fn missing(&mut self, problem: String, result: &mut LoadResult) {
        let missing = &mut result.harness.missing;
        if !missing.contains(&problem) {
            self.problems.push(problem.clone());
            missing.push(problem);
        }
    }

    /// Takes in all that the workers of a round tell, and writes it down. What was measured is added to the
    /// result, and is the answer. `begun` is when the round began by the wall clock. Blocks until the round is
    /// over.
    pub fn collect(
        &mut self,
        heard: &Receiver<Heard>,
        round: &Round,
        begun: SystemTime,
        fleet: &Fleet,
        progress: &mut LoadProgress,
        result: &mut LoadResult,
    ) -> Collected {
        let mut fold = LoadFold::new(result.lanes.len(), result.harness.workers);
        if !std::mem::replace(&mut self.begun, true) {
            self.origin = begun;
        }
        if let Some(store) = &mut self.store {
            store.begin(begun);
        }
        loop {
            match heard.recv_timeout(UNHEARD) {
                Ok(Heard::Samples(samples)) => {
                    self.write(|store| store.samples(&samples));
                    if self.keeps {
                        self.samples.extend(samples);
                    }
                }
                Ok(told) => round.shelf.put(fold.push(told)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            for (lane, (total, under_way)) in fold.totals().iter().zip(fold.under_way()).enumerate()
            {
                progress.lane(lane, total, under_way);
                if let Some(wait) = fleet.held(lane) {
                    progress.waits(lane, wait);
                }
            }
            let whole = fold.whole();
            if !whole.is_empty() {
                self.write(|store| store.seconds(&whole));
                for second in whole {
                    round.shelf.put(second.into_tallies());
                }
            }
            if self.store.as_ref().is_some_and(LoadStore::is_due) {
                let record = self.running(&fold, round, result);
                self.write(|store| store.record(&record, false));
            }
        }
        progress.clear();
        for worker in fold.missing() {
            let problem = format!("worker {worker} ended early: its requests are missing");
            self.missing(problem, result);
        }
        if fold.panicked() > 0 {
            let problem = format!(
                "{} conversations ended by an error in this program, which is told above: those measured are counted as cut",
                fold.panicked()
            );
            self.missing(problem, result);
        }
        let rest = fold.rest();
        self.write(|store| store.seconds(&rest));
        add_cpu(&mut result.harness.cpu, fold.cpu());
        let busy = fold.busy().to_vec();
        result.harness.add_busy(&busy);
        let tallies = fold.into_totals();
        for (lane, total) in result.lanes.iter_mut().zip(&tallies) {
            lane.tally.add(total);
        }
        Collected { tallies, busy }
    }

    /// Keeps all samples in memory from now on.
    pub fn keep_samples(&mut self) {
        self.keeps = true;
    }

    /// When the first round began.
    pub fn origin(&self) -> SystemTime {
        self.origin
    }

    /// What was kept.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    fn write(&mut self, write: impl FnOnce(&mut LoadStore) -> Result<(), store::StoreError>) {
        if let Some(store) = &mut self.store {
            let written = write(store);
            self.kept(written);
        }
    }

    fn running(&self, fold: &LoadFold, round: &Round, result: &LoadResult) -> LoadRecord {
        let mut so_far = result.clone();
        let measured = round.measured(false);
        for (number, (lane, total)) in so_far.lanes.iter_mut().zip(fold.totals()).enumerate() {
            lane.measured += round.measured_of(number, measured, &total.counts);
            lane.tally.add(total);
        }
        add_cpu(&mut so_far.harness.cpu, fold.cpu());
        so_far.harness.wall = round.now();
        so_far.measured += measured;
        self.labelled(LoadRecord::running(&so_far))
    }

    fn labelled(&self, record: LoadRecord) -> LoadRecord {
        LoadRecord {
            run: self.run.clone(),
            shard: self.part.sharded.then(|| self.part.shard.to_string()),
            ..record
        }
    }

    /// The document of the run.
    pub fn record(&self, result: &LoadResult) -> LoadRecord {
        self.labelled(LoadRecord::new(result))
    }

    /// Writes the document, and the shard's record where this is one. `warm_up` is what came before the window.
    pub async fn finish(
        mut self,
        record: &LoadRecord,
        result: &LoadResult,
        warm_up: Duration,
        environment: &Environment,
        ui: &mut Ui,
    ) -> anyhow::Result<Exit> {
        self.write(|store| store.record(record, true));
        let mut exit = Exit::Ok;
        for problem in &self.problems {
            ui.tell(&format!("error: the run is not kept whole: {problem}\n"));
            exit = Exit::Undetermined;
        }
        if self.place.is_none() {
            return Ok(exit);
        }
        if !result.harness.missing.is_empty() {
            // As with one that was interrupted.
            ui.tell(
                "warning: this shard is not whole, so its record is not written: run it again\n",
            );
            return Ok(exit);
        }
        if result.ending == Ending::Interrupted {
            // Written, it would keep the next attempt from being counted.
            ui.tell(
                "warning: this shard was interrupted, so its record is not written: run it again\n",
            );
            return Ok(exit);
        }
        let shard = self.shard_record(result, warm_up);
        match self.write_shard(&shard, environment).await {
            Ok(Created::Yes) => Ok(exit),
            Ok(Created::Already(bytes)) => {
                let there = ShardRecord::read(&ShardRecord::file_name(self.part.shard), &bytes);
                let same = there
                    .as_ref()
                    .is_ok_and(|there| there.says_the_same(&shard));
                ui.tell(&match (same, there) {
                    (true, _) => format!(
                        "{} of run {} was written by another attempt meanwhile, and says the same: that one stays\n",
                        shard.label(), self.run
                    ),
                    (false, Ok(there)) => format!(
                        "error: {} of run {} was written by another attempt meanwhile ({}, {} requests) and says \
                         something else than this one ({}, {} requests): that one stays, this one is not counted\n",
                        shard.label(), self.run, there.attempt, there.requests(), shard.attempt, shard.requests()
                    ),
                    (false, Err(error)) => format!("error: what is there already cannot be read: {error}\n"),
                });
                Ok(if same { exit } else { Exit::Undetermined })
            }
            Err(error) => {
                ui.tell(&format!(
                    "error: this shard's record is not written: {error:#}\n"
                ));
                Ok(Exit::Undetermined)
            }
        }
    }

    fn shard_record(&self, result: &LoadResult, warm_up: Duration) -> ShardRecord {
        let millis = |at: SystemTime| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH);
            u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
        };
        let window = self.origin + warm_up;
        let timing = TimingRecord {
            began_ms: millis(self.origin),
            late_ms: self.part.start_at.map(|at| {
                let late = self.origin.duration_since(at).unwrap_or_default();
                (late.as_secs_f64() * 1e6).round() / 1e3
            }),
            // Nothing here asks a time server; saying zero would be a guess.
            clock_offset_ms: None,
            window_from_ms: millis(window),
            window_to_ms: millis(window + result.measured),
            measured_s: result.measured.as_secs_f64(),
        };
        ShardRecord::new(
            result,
            &self.run,
            self.part.shard,
            self.plan.clone(),
            timing,
        )
    }

    async fn write_shard(
        &self,
        shard: &ShardRecord,
        environment: &Environment,
    ) -> anyhow::Result<Created> {
        // Opened anew: after a long run the credentials of its beginning may have ended.
        let place = Place::open(&self.results, environment, &self.seen).await?;
        let name = ShardRecord::file_name(self.part.shard);
        // Its texts were redacted where they came from: the document's digest is over them.
        let text = shard.to_json();
        Ok(place.create(&self.run, &name, text.as_bytes()).await?)
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::load::out::*;

    #[test]
    fn each_problem_is_told_once_and_not_without_end() {
        let mut problems = Vec::new();
        for name in ["series.csv", "intervals.hlog", "series.csv", "load.json"] {
            note(&mut problems, format!("cannot write {name}"));
        }
        assert_eq!(
            problems,
            [
                "cannot write series.csv",
                "cannot write intervals.hlog",
                "cannot write load.json"
            ]
        );
        for number in 0..20 {
            note(&mut problems, format!("{number}"));
        }
        assert_eq!(problems.len(), MOST_PROBLEMS);
    }
}
