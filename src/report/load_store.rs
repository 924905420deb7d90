//! The folder of a run of load: `load.json`, `series.csv`, `intervals.hlog` and, on demand, `requests.csv`.
//!
//! Shell: touches files and a clock. All files are made before anything is sent, and never over others. Rows
//! are appended as they come and `load.json` is replaced whole, so a run that is killed leaves what it had.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::load::sample::Sample;
use crate::report::csv::{self, LaneName};
use crate::report::interval_log::IntervalLog;
use crate::report::load_fold::Second;
use crate::report::load_record::LoadRecord;
use crate::report::store::{
    Redact, StoreError, failed, format_time_millis, make_run_folder, name_latest, replace,
};

/// How often `load.json` is written while the run goes on, at most: it reads all percentiles of all measures.
/// What a run that is killed leaves in it is as old as that; `series.csv` and `intervals.hlog` lack what workers have
/// not told yet ([`TOLD_LATE`](crate::load::worker::TOLD_LATE)).
const WRITTEN_EVERY: Duration = Duration::from_secs(30);

/// A run of load being written.
pub struct LoadStore {
    folder: PathBuf,
    lanes: Vec<LaneName>,
    scenarios: Vec<String>,
    redact: Redact,
    series: File,
    intervals: File,
    interval_log: IntervalLog,
    requests: Option<File>,
    /// What times in `intervals.hlog` are from.
    base: SystemTime,
    /// The round, from 0, and when it began.
    round: u32,
    origin: SystemTime,
    begun: bool,
    next_write: Instant,
}

impl LoadStore {
    /// Makes the folder of a run, which must not exist yet, and names it in `results/latest`.
    pub fn create(
        results: &Path,
        run: &str,
        lanes: Vec<LaneName>,
        scenarios: Vec<String>,
        per_request: bool,
        redact: Redact,
    ) -> Result<LoadStore, StoreError> {
        let folder = results.join(run);
        fs::create_dir_all(results).map_err(failed("create the folder", results))?;
        make_run_folder(&folder)?;
        let store = LoadStore::within(folder, run, lanes, scenarios, per_request, redact)?;
        name_latest(results, run)?;
        Ok(store)
    }

    /// Makes the folder of a shard's attempt, whose run has a folder that others write to as well.
    pub fn create_attempt(
        run_folder: &Path,
        attempt: &str,
        lanes: Vec<LaneName>,
        scenarios: Vec<String>,
        per_request: bool,
        redact: Redact,
    ) -> Result<LoadStore, StoreError> {
        let folder = run_folder.join(attempt);
        fs::create_dir_all(run_folder).map_err(failed("create the folder", run_folder))?;
        fs::create_dir(&folder).map_err(failed("create the folder", &folder))?;
        LoadStore::within(folder, attempt, lanes, scenarios, per_request, redact)
    }

    fn within(
        folder: PathBuf,
        run: &str,
        lanes: Vec<LaneName>,
        scenarios: Vec<String>,
        per_request: bool,
        redact: Redact,
    ) -> Result<LoadStore, StoreError> {
        let base = SystemTime::now();
        let make = |name: &str, head: &[u8]| {
            let path = folder.join(name);
            let mut file = File::create_new(&path).map_err(failed("create", &path))?;
            file.write_all(head).map_err(failed("write", &path))?;
            Ok(file)
        };
        let series = make("series.csv", csv::SERIES.as_bytes())?;
        let mut interval_log = IntervalLog::default();
        let intervals = make("intervals.hlog", &interval_log.head(base, run))?;
        let requests = match per_request {
            true => Some(make("requests.csv", csv::REQUESTS.as_bytes())?),
            false => None,
        };
        Ok(LoadStore {
            folder,
            lanes,
            scenarios,
            redact,
            series,
            intervals,
            interval_log,
            requests,
            base,
            round: 0,
            origin: base,
            begun: false,
            next_write: Instant::now(),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A round begins: rows that come are its own, and their times are from `at`.
    pub fn begin(&mut self, at: SystemTime) {
        self.round += u32::from(self.begun);
        self.begun = true;
        self.origin = at;
    }

    /// Whether each request is to be told.
    pub fn wants_samples(&self) -> bool {
        self.requests.is_some()
    }

    /// Appends whole seconds.
    pub fn seconds(&mut self, seconds: &[Second]) -> Result<(), StoreError> {
        let mut rows = String::new();
        let mut intervals = Vec::new();
        for second in seconds {
            let at = self.origin + Duration::from_secs(second.second);
            let time = format_time_millis(at);
            rows.push_str(&csv::series(
                self.round,
                second,
                &time,
                &self.lanes,
                &*self.redact,
            ));
            let since = at.duration_since(self.base).unwrap_or_default();
            intervals.extend(self.interval_log.lines(second, since, &self.lanes));
        }
        let path = self.folder.join("series.csv");
        let written = self.series.write_all(rows.as_bytes());
        written.map_err(failed("write", &path))?;
        let path = self.folder.join("intervals.hlog");
        let written = self.intervals.write_all(&intervals);
        written.map_err(failed("write", &path))
    }

    /// Appends requests, where they are wanted.
    pub fn samples(&mut self, samples: &[Sample]) -> Result<(), StoreError> {
        let Some(file) = &mut self.requests else {
            return Ok(());
        };
        let mut rows = String::new();
        for sample in samples {
            rows.push_str(&csv::request(
                self.round,
                sample,
                &self.lanes,
                &self.scenarios,
                &*self.redact,
            ));
        }
        let path = self.folder.join("requests.csv");
        file.write_all(rows.as_bytes())
            .map_err(failed("write", &path))
    }

    /// Whether `load.json` is to be written again.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.next_write
    }

    /// Writes `load.json`.
    pub fn record(&mut self, record: &LoadRecord, last: bool) -> Result<(), StoreError> {
        let began = Instant::now();
        let part = self.folder.join(".load.json.part");
        let path = self.folder.join("load.json");
        let written = replace(&part, &path, record.to_json().as_bytes(), last);
        // A tenth of the time for writing at most.
        self.next_write = Instant::now() + (began.elapsed() * 9).max(WRITTEN_EVERY);
        written
    }
}
