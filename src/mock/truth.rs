//! What really left, per stream: a line of CSV for whoever wants to know how well a client measures.
//!
//! Shell: a thread of its own writes the file. It must never hold up a stream: a line that finds no room
//! is lost, and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The first line of a file.
pub const HEADER: &str = "request_id,read_us,first_output_due_us,first_output_us,last_output_us,events,gap_max_us,late_max_us,end,gaps_us\n";

/// Lines that may wait for the disk.
const WAITING: usize = 16 * 1024;
/// How long a line may stay unwritten while nothing else ends.
const IDLE: Duration = Duration::from_millis(200);

/// One stream. All times are microseconds of the wall clock (CLOCK_REALTIME) since 1970; an output event is
/// one that carries a piece of what the model says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TruthLine {
    /// As the answer's head told it.
    pub request_id: String,
    /// When the last byte of the request was read.
    pub read_us: u64,
    /// When the first output event was to leave.
    pub first_output_due_us: Option<u64>,
    /// When the kernel had taken the first output event, and the last one.
    pub first_output_us: Option<u64>,
    pub last_output_us: Option<u64>,
    /// The longest that an output event left after it was due.
    pub late_max_us: u64,
    /// Whether all of the answer was handed over and not broken off, by the mock or by the client.
    pub whole: bool,
    /// From each output event to the next, as they left. Events that left in one write have none between them.
    pub gaps_us: Vec<u32>,
}

impl TruthLine {
    /// Notes that an output event has left at this time.
    pub fn left(&mut self, at_us: u64, late: Duration) {
        match self.last_output_us {
            None => self.first_output_us = Some(at_us),
            // A wall clock that is set back has no gap below nothing.
            Some(last) => self
                .gaps_us
                .push(u32::try_from(at_us.saturating_sub(last)).unwrap_or(u32::MAX)),
        }
        self.last_output_us = Some(at_us);
        let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.late_max_us = self.late_max_us.max(late);
    }

    /// How many output events have left.
    pub fn events(&self) -> usize {
        self.gaps_us.len() + usize::from(self.first_output_us.is_some())
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let field = |out: &mut dyn Write, micros: Option<u64>| match micros {
            Some(micros) => write!(out, "{micros},"),
            None => out.write_all(b","),
        };
        write!(out, "{},{},", self.request_id, self.read_us)?;
        field(out, self.first_output_due_us)?;
        field(out, self.first_output_us)?;
        field(out, self.last_output_us)?;
        write!(out, "{},", self.events())?;
        field(out, self.gaps_us.iter().max().map(|gap| u64::from(*gap)))?;
        let end = if self.whole { "whole" } else { "cut" };
        write!(out, "{},{end},", self.late_max_us)?;
        for (place, gap) in self.gaps_us.iter().enumerate() {
            let before = if place == 0 { "" } else { ";" };
            write!(out, "{before}{gap}")?;
        }
        out.write_all(b"\n")
    }
}

/// Where lines go.
#[derive(Debug, Clone)]
pub struct Truth {
    lines: SyncSender<TruthLine>,
    lost: Arc<AtomicU64>,
}

/// The thread that writes.
#[derive(Debug)]
pub struct TruthWriter {
    thread: JoinHandle<()>,
    lost: Arc<AtomicU64>,
}

impl Truth {
    /// Appends to this file, which is made where it is missing. The thread ends once all clones are gone.
    pub fn to(path: &Path) -> io::Result<(Truth, TruthWriter)> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let mut out = BufWriter::with_capacity(1 << 18, file);
        if out.get_ref().metadata()?.len() == 0 {
            out.write_all(HEADER.as_bytes())?;
            out.flush()?;
        }
        let (lines, waiting) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&lost);
        let thread = std::thread::Builder::new()
            .name("truth".to_owned())
            .spawn(move || write_all(&waiting, out, &count))?;
        let truth = Truth {
            lines,
            lost: Arc::clone(&lost),
        };
        Ok((truth, TruthWriter { thread, lost }))
    }

    /// Hands over a line, or counts it as lost.
    pub fn add(&self, line: TruthLine) {
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl TruthWriter {
    /// The count of lines lost, as it grows.
    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    /// Waits until everything is written. All clones of the [`Truth`] must be gone, or this never ends.
    pub fn finish(self) -> u64 {
        let _ = self.thread.join();
        self.lost.load(Ordering::Relaxed)
    }
}

fn write_all(waiting: &Receiver<TruthLine>, mut out: BufWriter<File>, lost: &AtomicU64) {
    let count = |done: io::Result<()>| {
        if done.is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    };
    loop {
        match waiting.recv_timeout(IDLE) {
            Ok(line) => count(line.write(&mut out)),
            Err(RecvTimeoutError::Timeout) => {
                // What could not be flushed stays and is tried again.
                let _ = out.flush();
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    count(out.flush());
}

#[cfg(test)]
mod tests {
    use crate::mock::truth::*;

    fn line(events: &[u64]) -> TruthLine {
        let mut line = TruthLine {
            request_id: "req_1".to_owned(),
            read_us: 1_000,
            first_output_due_us: Some(2_000),
            whole: true,
            ..TruthLine::default()
        };
        for at in events {
            line.left(*at, Duration::from_micros(at - 2_000));
        }
        line
    }

    fn text(line: &TruthLine) -> String {
        let mut out = Vec::new();
        line.write(&mut out).expect("memory takes it");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn gaps_are_between_what_left() {
        assert_eq!(
            text(&line(&[2_010, 2_030, 2_030, 2_100])),
            "req_1,1000,2000,2010,2100,4,70,100,whole,20;0;70\n"
        );
        assert_eq!(
            text(&line(&[2_010])),
            "req_1,1000,2000,2010,2010,1,,10,whole,\n"
        );
        let nothing = TruthLine {
            whole: false,
            ..line(&[])
        };
        assert_eq!(text(&nothing), "req_1,1000,2000,,,0,,0,cut,\n");
        let columns = HEADER.trim_end().split(',').count();
        assert_eq!(text(&nothing).trim_end().split(',').count(), columns);
    }

    #[test]
    fn a_file_is_continued_under_one_header() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("truth.csv");
        for _ in 0..2 {
            let (truth, writer) = Truth::to(&path).expect("it opens");
            truth.add(line(&[2_010]));
            drop(truth);
            assert_eq!(writer.finish(), 0);
        }
        let written = std::fs::read_to_string(&path).expect("it is there");
        let one = text(&line(&[2_010]));
        assert_eq!(written, format!("{HEADER}{one}{one}"));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let (lines, waiting) = sync_channel(1);
        let truth = Truth {
            lines,
            lost: Arc::default(),
        };
        for _ in 0..3 {
            truth.add(line(&[]));
        }
        assert_eq!(truth.lost.load(Ordering::Relaxed), 2);
        assert_eq!(waiting.try_iter().count(), 1);
    }
}
