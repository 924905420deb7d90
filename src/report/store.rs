//! The folder of a run: `results/<run id>/` with `run.json`, `turns.jsonl` and `streams/`.
//!
//! Shell: the only report that touches files and a clock. A line is written when its exchange ended
//! and `run.json` is replaced whole, so a run that is killed leaves what was finished, readable.
//! Never panics over a disk: an error names the path, and the caller decides whether to go on.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::report::event::{ExchangeRecord, RunEvent, RunPlan};
use crate::report::record::Run;
use crate::report::summary::Fold;
use crate::report::turns::TurnLine;

/// Removes secrets from a text.
pub type Redact = Box<dyn Fn(&str) -> String + Send>;

/// A file or folder that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {reason}", path.display())]
pub struct StoreError {
    pub action: &'static str,
    pub path: PathBuf,
    /// In the message already, so that it is no source.
    pub reason: io::Error,
}

/// A run being written.
pub struct Store {
    folder: PathBuf,
    keep_streams: bool,
    redact: Redact,
    fold: Fold,
    turns: File,
    /// The length of `turns.jsonl` up to its last whole line.
    turns_len: u64,
    dirty: bool,
    /// When `run.json` may be written again.
    next_write: Instant,
}

/// A run id for now: sorts by time, and four random digits keep runs of one second apart.
pub fn new_run_id() -> String {
    let now = SystemTime::now();
    // Without the system's randomness the clock's last digits do: the folder must not exist anyway.
    let random = SysRng
        .try_next_u32()
        .unwrap_or_else(|_| OffsetDateTime::from(now).nanosecond());
    format_run_id(now, random as u16)
}

/// `20261121T081500Z-4f2a`.
pub fn format_run_id(at: SystemTime, random: u16) -> String {
    let time: String = format_time(at)
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect();
    format!("{time}-{random:04x}")
}

/// RFC 3339, UTC, to the second: `2026-11-21T08:15:00Z`.
pub fn format_time(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = at.to_hms();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// RFC 3339, UTC, to the millisecond: `2026-11-21T08:15:00.250Z`.
pub fn format_time_millis(at: SystemTime) -> String {
    let millis = OffsetDateTime::from(at).millisecond();
    format!("{}.{millis:03}Z", format_time(at).trim_end_matches('Z'))
}

impl Store {
    /// Makes the folder of a run, which must not exist yet, and names it in `results/latest`.
    pub fn create(
        results: &Path,
        run_id: &str,
        keep_streams: bool,
        redact: Redact,
    ) -> Result<Store, StoreError> {
        let folder = results.join(run_id);
        fs::create_dir_all(results).map_err(failed("create the folder", results))?;
        make_run_folder(&folder)?;
        let path = folder.join("turns.jsonl");
        let turns = File::create_new(&path).map_err(failed("create", &path))?;
        name_latest(results, run_id)?;
        Ok(Store {
            folder,
            keep_streams,
            redact,
            fold: Fold::default(),
            turns,
            turns_len: 0,
            dirty: false,
            next_write: Instant::now(),
        })
    }

    /// The folder of this run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes in one event and writes what it brings. After an error the next event can be pushed as
    /// if nothing had happened: the run as a whole is written again each time.
    pub fn push(&mut self, event: &RunEvent) -> Result<(), StoreError> {
        self.fold.push(event);
        self.dirty |= !matches!(event, RunEvent::CellStarted { .. });
        match event {
            RunEvent::Started(_) => self.write_run(false),
            RunEvent::SignedIn { .. } | RunEvent::CellStarted { .. } | RunEvent::CellEnded(_) => {
                self.tick()
            }
            RunEvent::Exchange(record) => {
                let exchange = self.write_exchange(record);
                exchange.and(self.tick())
            }
            RunEvent::Ended { .. } => {
                self.write_run(true)?;
                self.turns
                    .sync_all()
                    .map_err(failed("write", &self.folder.join("turns.jsonl")))
            }
        }
    }

    /// Writes `run.json` if something changed and the last time is long enough ago: at most a second,
    /// less while the run is small. Call it about every second while nothing else happens.
    pub fn tick(&mut self) -> Result<(), StoreError> {
        if self.dirty && Instant::now() >= self.next_write {
            return self.write_run(false);
        }
        Ok(())
    }

    fn write_run(&mut self, sync: bool) -> Result<(), StoreError> {
        let Some(summary) = self.fold.summary() else {
            return Ok(());
        };
        let began = Instant::now();
        let text = Run::new(summary).redacted(&*self.redact).to_json();
        let result = replace(
            &self.folder.join(".run.json.part"),
            &self.folder.join("run.json"),
            text.as_bytes(),
            sync,
        );
        // A tenth of the time for writing at most, so a run of thousands of cells is not slowed down.
        self.next_write = Instant::now() + (began.elapsed() * 9).min(Duration::from_secs(1));
        self.dirty = result.is_err();
        result
    }

    fn write_exchange(&mut self, record: &ExchangeRecord) -> Result<(), StoreError> {
        let Some(plan) = self.fold.summary().map(|summary| &summary.plan) else {
            return Ok(());
        };
        let mut kept = Ok(());
        let mut stream = None;
        if let (true, Some(body), Some(name)) = (
            self.keep_streams,
            &record.response_body,
            stream_name(plan, record),
        ) {
            let name = self.free(name);
            kept = self.write_stream(&name, body);
            stream = kept.is_ok().then_some(name);
        }
        let redact = &*self.redact;
        let line = TurnLine::new(plan, record, stream, redact).map(|line| line.to_line(redact));
        let appended = line.map_or(Ok(()), |line| self.append(&line));
        kept.and(appended)
    }

    fn append(&mut self, line: &str) -> Result<(), StoreError> {
        let written = self.turns.write_all(line.as_bytes());
        if written.is_err() {
            // Half a line would spoil the next one. If this fails too, the disk is beyond our help.
            let _ = self.turns.set_len(self.turns_len);
            let _ = io::Seek::seek(&mut self.turns, io::SeekFrom::Start(self.turns_len));
        } else {
            self.turns_len += line.len() as u64;
        }
        written.map_err(failed("write", &self.folder.join("turns.jsonl")))
    }

    /// The name, or where another answer of the same attempt has it (a response that is worked on in the
    /// background is asked for again and again), one with a number.
    fn free(&self, name: String) -> String {
        if !self.folder.join(&name).exists() {
            return name;
        }
        let stem = name.trim_end_matches(".sse");
        (2..)
            .map(|number| format!("{stem}-{number}.sse"))
            .find(|name| !self.folder.join(name).exists())
            .unwrap_or(name)
    }

    fn write_stream(&self, name: &str, body: &[u8]) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        let streams = self.folder.join("streams");
        fs::create_dir_all(&streams).map_err(failed("create the folder", &streams))?;
        let mut kept = Vec::with_capacity(body.len());
        for chunk in body.utf8_chunks() {
            kept.extend_from_slice((self.redact)(chunk.valid()).as_bytes());
            kept.extend_from_slice(chunk.invalid());
        }
        fs::write(&path, kept).map_err(failed("write", &path))
    }
}

/// `streams/<scenario>.<target>.<region>.<repeat>.<turn>.sse`, before `.sse` the attempt where it is not
/// the first, each part fit for a file name.
fn stream_name(plan: &RunPlan, record: &ExchangeRecord) -> Option<String> {
    let cell = plan.cells.get(record.cell)?;
    let target = plan.targets.get(cell.target)?;
    let attempt = match record.attempt {
        0 | 1 => String::new(),
        attempt => format!(".{attempt}"),
    };
    Some(format!(
        "streams/{}.{}.{}.{}.{}{attempt}.sse",
        file_part(&plan.scenarios.get(cell.scenario)?.name),
        file_part(&target.name),
        file_part(target.region.as_deref().unwrap_or("-")),
        cell.repeat,
        record.turn
    ))
}

/// A name as part of a file name: `/` becomes `~`, what is unsafe its code. Two names stay two names.
pub(in crate::report) fn file_part(name: &str) -> String {
    const LIMIT: usize = 60;
    let mut out = String::new();
    for c in name.chars() {
        match c {
            '/' => out.push('~'),
            c if c.is_ascii_alphanumeric() || c == '-' || c == '_' => out.push(c),
            c => out.push_str(&format!("%{:x}%", c as u32)),
        }
    }
    if out.len() > LIMIT {
        let digest = Sha256::digest(name.as_bytes());
        out.truncate(LIMIT - 9);
        out.push('%');
        digest
            .iter()
            .take(4)
            .for_each(|byte| out.push_str(&format!("{byte:02x}")));
    }
    out
}

/// Names a run in `results/latest`.
pub(in crate::report) fn name_latest(results: &Path, run_id: &str) -> Result<(), StoreError> {
    replace(
        &results.join(format!(".latest-{run_id}")),
        &results.join("latest"),
        format!("{run_id}\n").as_bytes(),
        false,
    )
}

/// Writes a file beside its place and moves it there, so a reader sees the old one or the new one.
pub(in crate::report) fn replace(
    part: &Path,
    path: &Path,
    bytes: &[u8],
    sync: bool,
) -> Result<(), StoreError> {
    let write = || {
        let mut file = File::create(part)?;
        file.write_all(bytes)?;
        if sync { file.sync_all() } else { Ok(()) }
    };
    write().map_err(failed("write", part))?;
    fs::rename(part, path).map_err(failed("write", path))
}

pub(in crate::report) fn failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |reason| StoreError {
        action,
        path,
        reason,
    }
}

/// Makes the folder of a run, which must not be there.
pub(in crate::report) fn make_run_folder(folder: &Path) -> Result<(), StoreError> {
    let made = fs::create_dir(folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::Error::new(
            io::ErrorKind::AlreadyExists,
            "it is there already, and results are never written over others: choose another name by `--run`",
        ),
        _ => error,
    });
    made.map_err(failed("create the folder", folder))
}

#[cfg(test)]
mod tests {
    use crate::report::store::*;

    #[test]
    fn run_ids_sort_by_time() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(
            format_run_id(at(1_795_248_900), 0x4f2a),
            "20261121T081500Z-4f2a"
        );
        assert!(format_run_id(at(999), 0xffff) < format_run_id(at(1000), 0));
        assert_eq!(format_time(at(1_795_248_900)), "2026-11-21T08:15:00Z");
    }

    #[test]
    fn names_of_files_are_safe_and_differ() {
        assert_eq!(file_part("tools/weather"), "tools~weather");
        assert_eq!(file_part("../x"), "%2e%%2e%~x");
        let long = |end: &str| file_part(&format!("{}{end}", "a".repeat(300)));
        assert!(long("1").len() <= 60);
        assert_ne!(long("1"), long("2"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_with_its_path() {
        let results = tempfile::tempdir().unwrap();
        let mut store = Store::create(results.path(), "a", false, Box::new(str::to_owned)).unwrap();
        // A device on which every write fails as on a full disk.
        store.turns = File::options().write(true).open("/dev/full").unwrap();
        let error = store.append("{}\n").unwrap_err();
        assert_eq!(error.reason.kind(), io::ErrorKind::StorageFull);
        assert!(error.path.ends_with("a/turns.jsonl"), "{error}");
        assert_eq!(store.turns_len, 0);
    }
}
