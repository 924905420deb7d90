//! Whether the figures can be trusted: the harness's own share in them.
//!
//! Core. Decides by the limits below, and never hides a figure.

use std::time::Duration;

use crate::load::measure::Measure;
use crate::load::tally::Tally;
use crate::metric::estimate::{estimate, share};

/// A scheduler that starts one request in a hundred later than this could not keep up.
pub const LATE_START: Duration = Duration::from_millis(10);
/// A worker that is busy for more than this share of the time has no room to be on time.
pub const BUSY: f64 = 0.9;
/// A worker whose time was shorter is not said to be busy.
const SHORTEST: Duration = Duration::from_millis(500);
/// Bytes that lie in the kernel longer than this, one read in a hundred, come together with later ones.
pub const LATE_READ: Duration = Duration::from_millis(20);

/// Processor time of a worker, and the time that it was spent in: from the start of a round to the end of its window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Busy {
    pub cpu: Duration,
    pub time: Duration,
}

impl Busy {
    /// Adds another round's.
    pub fn add(&mut self, more: Busy) {
        self.cpu += more.cpu;
        self.time += more.time;
    }

    fn share(self) -> Option<f64> {
        // In less, whatever begins and ends a run is most of it.
        (self.time >= SHORTEST).then(|| self.cpu.as_secs_f64() / self.time.as_secs_f64())
    }
}

/// The harness's own share.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Share {
    /// p99 of how late requests were started.
    pub start_lag: Option<Duration>,
    /// p99 of how long bytes lay in the kernel.
    pub read_lag: Option<Duration>,
    /// The busiest worker: processor time by time.
    pub busiest: Option<f64>,
}

impl Share {
    /// Of all these lanes together, and by worker.
    pub fn of<'a>(tallies: impl Iterator<Item = &'a Tally>, busy: &[Busy]) -> Share {
        let mut all = Tally::default();
        tallies.for_each(|tally| all.add(tally));
        let p99 = |measure, limit: Duration| {
            let histogram = all.measured(measure)?;
            if let Some(found) = estimate(histogram, 0.99) {
                // Where it could as well be less, it is not said.
                return Some(Duration::from_micros(found.low));
            }
            // Too few for a percentile may still be enough to tell that more than one in a hundred is late.
            let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
            let late = histogram.len() - histogram.count_between(0, limit);
            // One of a handful may be chance.
            let told = (late > 1).then(|| share(late, histogram.len())).flatten();
            let late = told.filter(|late| late.low > 0.01);
            late.map(|_| Duration::from_micros(histogram.value_at_quantile(0.99)))
        };
        Share {
            start_lag: p99(Measure::StartLag, LATE_START),
            read_lag: p99(Measure::ReadLag, LATE_READ),
            busiest: busy.iter().filter_map(|one| one.share()).reduce(f64::max),
        }
    }
}

/// Why the client was the bottleneck; empty where it was not.
pub fn bottleneck(share: &Share) -> Vec<String> {
    let mut reasons = Vec::new();
    let ms = |duration: Duration| format!("{:.1} ms", duration.as_secs_f64() * 1000.0);
    if let Some(lag) = share.start_lag.filter(|lag| *lag > LATE_START) {
        reasons.push(format!(
            "one request in a hundred was started more than {} late",
            ms(lag)
        ));
    }
    if let Some(lag) = share.read_lag.filter(|lag| *lag > LATE_READ) {
        reasons.push(format!(
            "one read in a hundred came more than {} after the bytes had arrived",
            ms(lag)
        ));
    }
    if let Some(busy) = share.busiest.filter(|busy| *busy > BUSY) {
        reasons.push(format!(
            "a worker thread was busy for {:.0} % of the time",
            busy * 100.0
        ));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use crate::load::trust::*;

    #[test]
    fn a_short_run_of_which_a_sixth_began_late_is_not_trusted() {
        let of = |late: u64, all: u64| {
            let mut tally = Tally::default();
            tally.measure_micros(Measure::StartLag, 900_000, late);
            tally.measure_micros(Measure::StartLag, 300, all - late);
            !bottleneck(&Share::of(std::iter::once(&tally), &[])).is_empty()
        };
        // p99 takes 368 requests.
        assert!(of(41, 240));
        assert!(of(3, 20));
        assert!(!of(1, 20) && !of(1, 8), "one may be chance");
        assert!(!of(0, 240) && !of(3, 240));
    }

    #[test]
    fn each_limit_is_a_reason() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let fine = Share {
            start_lag: ms(10),
            read_lag: ms(20),
            busiest: Some(0.9),
        };
        assert!(bottleneck(&fine).is_empty());
        for (share, word) in [
            (
                Share {
                    start_lag: ms(11),
                    ..fine
                },
                "started",
            ),
            (
                Share {
                    read_lag: ms(21),
                    ..fine
                },
                "read",
            ),
            (
                Share {
                    busiest: Some(0.91),
                    ..fine
                },
                "busy",
            ),
        ] {
            let reasons = bottleneck(&share);
            assert!(
                reasons.len() == 1 && reasons[0].contains(word),
                "{reasons:?}"
            );
        }
    }
}
