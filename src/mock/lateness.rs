//! How late events left, beside when they were due: counts that threads keep apart and that add up.
//!
//! Pure: it is told times and reads no clock. It must never leave out an event that was due, and never
//! call a pace good that it has no event of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Above this 99th percentile the times of a mock are not to be trusted.
pub const LIMIT: Duration = Duration::from_millis(5);

/// The longest lateness that is told apart, in microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;

/// The lateness of one thread's events. Only that thread adds, so its lock is free.
#[derive(Debug)]
pub struct Lateness {
    micros: Mutex<Histogram<u64>>,
}

impl Default for Lateness {
    fn default() -> Lateness {
        Lateness {
            micros: Mutex::new(empty()),
        }
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("three digits fit between these bounds")
}

impl Lateness {
    /// Adds what left in one write. Beyond ten minutes counts as ten minutes.
    pub fn add(&self, late: impl IntoIterator<Item = Duration>) {
        let mut micros = self.micros.lock().unwrap_or_else(PoisonError::into_inner);
        for one in late {
            let one = u64::try_from(one.as_micros()).unwrap_or(LONGEST);
            micros.saturating_record(one);
        }
    }
}

/// How many streams there are.
#[derive(Debug, Default)]
pub struct Streams {
    now: AtomicU64,
    most: AtomicU64,
    all: AtomicU64,
}

impl Streams {
    pub fn begin(&self) {
        self.all.fetch_add(1, Ordering::Relaxed);
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The pace of a server so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PaceReport {
    /// Streams being sent.
    pub streams_now: u64,
    /// The most streams that were sent at once.
    pub streams_at_most: u64,
    /// All streams.
    pub streams: u64,
    /// Events that left, of all streams.
    pub events: u64,
    /// From when an event was due until the kernel had taken it; absent before the first one.
    pub lateness_ms: Option<LatenessMs>,
    /// Whether the server was at its limit, so that its times are not to be trusted.
    pub at_limit: bool,
    /// Lines of the truth file that were lost, because the disk was slower than the streams.
    pub truth_lines_lost: u64,
    /// When the server started, RFC 3339.
    pub since: String,
}

/// Milliseconds to three significant digits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatenessMs {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl PaceReport {
    /// Adds up what the threads counted.
    pub fn of<'a>(
        streams: &Streams,
        threads: impl IntoIterator<Item = &'a Lateness>,
        truth_lines_lost: u64,
        since: String,
    ) -> PaceReport {
        let mut all = empty();
        for thread in threads {
            let one = thread.micros.lock().unwrap_or_else(PoisonError::into_inner);
            all.add(&*one).expect("all threads have the same bounds");
        }
        let ms = |micros: u64| micros as f64 / 1000.0;
        let at = |quantile| ms(all.value_at_quantile(quantile).min(all.max()));
        let lateness = (!all.is_empty()).then(|| LatenessMs {
            p50: at(0.5),
            p99: at(0.99),
            max: ms(all.max()),
        });
        PaceReport {
            streams_now: streams.now.load(Ordering::Relaxed),
            streams_at_most: streams.most.load(Ordering::Relaxed),
            streams: streams.all.load(Ordering::Relaxed),
            events: all.len(),
            lateness_ms: lateness,
            at_limit: lateness.is_some_and(|one| one.p99 > LIMIT.as_secs_f64() * 1000.0),
            truth_lines_lost,
            since,
        }
    }

    /// The same for people: a line, and one more for each thing that is not to be trusted.
    pub fn text(&self) -> String {
        let Some(late) = self.lateness_ms else {
            return "paced no stream\n".to_owned();
        };
        let mut out = format!(
            "paced {} events of {} streams ({} at once): late by p50 {} ms, p99 {} ms, max {} ms\n",
            grouped(self.events),
            grouped(self.streams),
            grouped(self.streams_at_most),
            tenths(late.p50),
            tenths(late.p99),
            tenths(late.max),
        );
        if self.at_limit {
            out.push_str(&format!(
                "The mock was at its limit: p99 is above {} ms, so do not trust its times. Use fewer streams or longer gaps, or give it more cores (--threads).\n",
                LIMIT.as_millis()
            ));
        }
        if self.truth_lines_lost > 0 {
            out.push_str(&format!(
                "{} lines of the truth file were lost: the disk was slower than the streams.\n",
                grouped(self.truth_lines_lost)
            ));
        }
        out
    }
}

fn tenths(ms: f64) -> String {
    match ms < 10.0 {
        true => format!("{ms:.1}"),
        false => format!("{ms:.0}"),
    }
}

/// 312000 as `312,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::mock::lateness::*;

    fn report(threads: &[&[u64]]) -> PaceReport {
        let streams = Streams::default();
        streams.begin();
        streams.begin();
        streams.end();
        let threads: Vec<Lateness> = threads
            .iter()
            .map(|micros| {
                let thread = Lateness::default();
                thread.add(micros.iter().map(|one| Duration::from_micros(*one)));
                thread
            })
            .collect();
        PaceReport::of(&streams, &threads, 0, "2026-11-21T00:00:00Z".to_owned())
    }

    #[test]
    fn threads_add_up() {
        let both = report(&[&[100; 60], &[4000; 40]]);
        assert_eq!(both.events, 100);
        assert_eq!(
            (both.streams_now, both.streams_at_most, both.streams),
            (1, 2, 2)
        );
        let late = both.lateness_ms.expect("there are events");
        assert_eq!(late.p50, 0.1);
        assert!(
            (late.p99 - 4.0).abs() < 0.01 && late.max >= late.p99,
            "{late:?}"
        );
        assert!(!both.at_limit);
        assert!(both.text().starts_with(
            "paced 100 events of 2 streams (2 at once): late by p50 0.1 ms, p99 4.0 ms, max 4.0 ms\n"
        ), "{}", both.text());
    }

    #[test]
    fn a_limit_is_said_and_silence_is_no_praise() {
        let late = report(&[&[6000; 1000]]);
        assert!(
            late.at_limit && late.text().contains("do not trust its times"),
            "{late:?}"
        );
        let one_in_fifty: Vec<u64> = (0..1000)
            .map(|n| if n % 50 == 0 { 9000 } else { 10 })
            .collect();
        assert!(report(&[&one_in_fifty]).at_limit);
        let none = report(&[&[]]);
        assert_eq!(
            (none.lateness_ms, none.text().as_str()),
            (None, "paced no stream\n")
        );
        assert!(report(&[&[u64::MAX]]).at_limit);
    }

    #[test]
    fn numbers_are_grouped() {
        let all = [0, 999, 1000, 312_000, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "312,000", "1,234,567"]);
    }
}
