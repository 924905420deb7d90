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
/// What waits longer than this to be read, one moment in a hundred, is not read in time, however seldom events come.
pub const LATE_READ: Duration = Duration::from_millis(20);
/// And what waits no longer than this is, however often they come.
const PROMPT_READ: Duration = Duration::from_millis(2);

/// A machine that stands still for so long now and then is no client that cannot keep up.
const HICCUP: Duration = Duration::from_millis(100);

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
    /// p99 of how long what was there waited to be read.
    pub read_lag: Option<Duration>,
    /// Mean time between the output events of a connection, of the lane where it is shortest.
    pub gap: Option<Duration>,
    /// The busiest worker: processor time by time.
    pub busiest: Option<f64>,
}

impl Share {
    /// Of all these lanes together, and by worker.
    pub fn of<'a>(tallies: impl Iterator<Item = &'a Tally>, busy: &[Busy]) -> Share {
        let mut all = Tally::default();
        let mut gap: Option<Duration> = None;
        let tallies: Vec<&Tally> = tallies.collect();
        for tally in &tallies {
            all.add(tally);
            gap = mean_gap(tally).into_iter().chain(gap).min();
        }
        // `chance`: so many may come of one hiccup.
        let p99 = |tally: &Tally, measure, limit: Duration, chance: u64| {
            let recorded = tally.measured(measure)?;
            if let Some(found) = estimate(&recorded, 0.99) {
                // Where it could as well be less, it is not said.
                return Some(Duration::from_micros(found.low));
            }
            // Too few for a percentile may still be enough to tell that more than one in a hundred is late.
            let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
            let late = recorded.above(limit).saturating_sub(chance);
            // One of a handful may be chance.
            let told = (late > 1).then(|| share(late, recorded.len())).flatten();
            let late = told.filter(|late| late.low > 0.01);
            late.map(|_| Duration::from_micros(recorded.quantile(0.99)))
        };
        // What happens to a worker happens to all its lanes: the same moments are in each. And one hiccup makes several
        // moments late.
        let read_lag = tallies.iter().filter_map(|tally| {
            let moments = tally.recorded(Measure::ReadLag)?.len();
            let between = Duration::from_micros(tally.counts.read_lag_us / moments);
            let of_one = HICCUP.as_micros().checked_div(between.as_micros());
            let chance = of_one.map_or(0, |of_one| u64::try_from(of_one).unwrap_or(u64::MAX));
            p99(tally, Measure::ReadLag, late_read(gap), chance)
        });
        Share {
            start_lag: p99(&all, Measure::StartLag, LATE_START, 0),
            read_lag: read_lag.max(),
            gap,
            busiest: busy.iter().filter_map(|one| one.share()).reduce(f64::max),
        }
    }
}

impl Share {
    /// Whether the client had more to do than it could: then no figure is the provider's alone.
    pub fn overloaded(&self) -> bool {
        self.start_lag.is_some_and(|lag| lag > LATE_START)
            || self.busiest.is_some_and(|busy| busy > BUSY)
    }

    /// By how much times of arrival may be too late, where that is more than the gaps between events allow.
    pub fn late_reads(&self) -> Option<Duration> {
        self.read_lag.filter(|lag| *lag > late_read(self.gap))
    }
}

/// Mean time between the output events of a connection. Those of all streams that share one are joined where they wait, and
/// what was joined counts here as what came at once, so that the mean is that of what was sent.
fn mean_gap(tally: &Tally) -> Option<Duration> {
    let gaps = tally.measured(Measure::Itl)?;
    let counts = &tally.counts;
    let streams = counts.streams as f64 / counts.requests.max(1) as f64;
    Some(Duration::from_micros(
        (gaps.mean() / streams.max(1.0)) as u64,
    ))
}

/// How long what is there may wait to be read. The kernel joins what waits at one stream, and forgets all times of
/// arrival but the last: where the wait is longer than the time between two events, that is what happens.
fn late_read(gap: Option<Duration>) -> Duration {
    gap.map_or(LATE_READ, |gap| gap.clamp(PROMPT_READ, LATE_READ))
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
    if let Some(lag) = share.late_reads() {
        let every = share
            .gap
            .map(|gap| format!(" (something comes every {})", ms(gap)));
        reasons.push(format!(
            "one moment in a hundred, what had arrived waited more than {} to be read{}: times of arrival may be wrong by as much",
            ms(lag),
            every.unwrap_or_default()
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
    fn how_late_a_read_may_be_is_a_matter_of_how_often_events_come() {
        let told = |gap: &[u64], lag: u64| {
            let lanes: Vec<Tally> = gap
                .iter()
                .map(|gap| {
                    let mut tally = Tally::default();
                    tally.measure_micros(Measure::Itl, *gap, 1000);
                    tally.measure_micros(Measure::ReadLag, 100, 970);
                    tally.measure_micros(Measure::ReadLag, lag, 30);
                    tally
                })
                .collect();
            !bottleneck(&Share::of(lanes.iter(), &[])).is_empty()
        };
        assert!(told(&[5_000], 5_500) && !told(&[5_000], 4_500));
        assert!(told(&[30_000, 5_000], 5_500), "the busiest lane decides");
        assert!(!told(&[500], 1_900), "nobody is that quick");
        assert!(told(&[500], 2_500));
        assert!(told(&[200_000], 21_000), "nor that slow");
        assert!(!told(&[200_000], 19_000));
    }

    #[test]
    fn what_waits_where_streams_share_a_connection_is_joined_over_all_of_them() {
        let told = |streams: u64| {
            let mut tally = Tally::default();
            tally.measure_micros(Measure::Itl, 20_000, 6400);
            tally.measure_micros(Measure::ReadLag, 5_000, 1000);
            tally.counts.requests = 100;
            tally.counts.streams = 100 * streams;
            bottleneck(&Share::of(std::iter::once(&tally), &[]))
        };
        assert!(told(1).is_empty() && told(3).is_empty());
        assert!(told(10)[0].contains("every 2.0 ms"), "{:?}", told(10));
    }

    #[test]
    fn one_hiccup_makes_as_many_moments_late_as_it_covers() {
        let told = |all: u64, late: u64, after: Duration| {
            let mut tally = Tally::default();
            for moment in 0..all {
                let late = if moment < late { 50 } else { 0 };
                tally.measure_read(Duration::from_millis(late), after);
            }
            !bottleneck(&Share::of(std::iter::once(&tally), &[])).is_empty()
        };
        let (often, seldom) = (Duration::from_micros(7_300), Duration::from_millis(467));
        assert!(!told(300, 14, often) && told(300, 25, often));
        assert!(!told(85, 1, seldom) && told(85, 4, seldom));
    }

    #[test]
    fn each_limit_is_a_reason() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let fine = Share {
            start_lag: ms(10),
            read_lag: ms(20),
            gap: ms(50),
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
                    gap: ms(15),
                    ..fine
                },
                "every 15.0 ms",
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
            assert_ne!(share.overloaded(), share.late_reads().is_some());
        }
    }
}
