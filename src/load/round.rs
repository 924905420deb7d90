//! One stretch of load: how conversations arrive, for how long, and who is told.
//!
//! Plain data and the counters that workers share. Starts nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::load::sample::{Phase, Sample};
use crate::load::tally::{Counts, Tally};
use crate::load::trust::Busy;
use crate::load::window::Window;
use crate::plan::shard::Shard;

/// How far a round has been told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// It goes on.
    No,
    /// Nothing is started any more; what runs may end.
    Starting,
    /// What runs is cut.
    Now,
}

/// A request's fitness for the objective: the sample and the microseconds between its output events.
pub type Good = Arc<dyn Fn(&Sample, &[u32]) -> bool + Send + Sync>;

/// How many virtual clients of each lane there may be at a time.
pub type Allowed = Arc<dyn Fn(Duration) -> u32 + Send + Sync>;

/// How conversations of all lanes arrive.
#[derive(Clone)]
pub enum Arriving {
    /// Each lane has virtual clients that start the next when the one before has ended.
    Closed {
        /// The most virtual clients of each lane, in this shard.
        most: u32,
        allowed: Allowed,
    },
    /// By a clock, whatever became of those before.
    Open,
}

/// A conversation that is to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub lane: usize,
    /// Its number in the lane, from 0, over all shards.
    pub arrival: u64,
    /// From the start of the round.
    pub intended: Duration,
    /// How long it waited for a place under `--max-in-flight`.
    pub held: Duration,
}

/// What a round is to be.
pub struct RoundSettings {
    /// Counts the rounds of a run, from 0.
    pub number: u32,
    /// What all times are from.
    pub origin: Instant,
    pub window: Window,
    /// How long requests may go on after the last start, before they are cut.
    pub drain: Duration,
    pub arriving: Arriving,
    pub shard: Shard,
    /// Conversations that may be under way at a time, of all workers.
    pub most_under_way: usize,
    pub good: Good,
    /// Whether each sample is told.
    pub keep_samples: bool,
    /// Whether somebody looks on, and is to see each second when it has passed.
    pub watched: bool,
    pub stop: watch::Receiver<Stop>,
}

/// Empty tallies.
#[derive(Debug, Default)]
pub struct Shelf(Mutex<Vec<Tally>>);

impl Shelf {
    /// An empty tally with its memory.
    pub fn take(&self) -> Tally {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        found.unwrap_or_default()
    }

    /// Empties tallies that were read, for others to take.
    pub fn put(&self, mut tallies: Vec<Tally>) {
        tallies.iter_mut().for_each(Tally::clear);
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(tallies);
    }
}

/// What workers need to know of the round that they are in.
pub struct Round {
    pub settings: RoundSettings,
    /// When it was told to stop, or a ceiling was reached, from its start: what ends later is not part of what
    /// was measured.
    cut_short: OnceLock<Duration>,
    /// Tallies to be used again: each second would take fresh memory from the kernel otherwise.
    pub shelf: Shelf,
    /// One per lane: how many virtual clients' conversations have begun, of this shard.
    begun: Vec<AtomicU64>,
    /// The same, of the measured ones.
    measured: Vec<AtomicU64>,
    /// One per lane: how many measured arrivals of a schedule were dealt to the workers, of this shard.
    dealt: Vec<AtomicU64>,
    /// One per lane: whether these are as many as were asked for.
    all_dealt: Vec<AtomicBool>,
}

impl Round {
    pub fn new(settings: RoundSettings, lanes: usize) -> Round {
        Round {
            settings,
            cut_short: OnceLock::new(),
            shelf: Shelf::default(),
            begun: (0..lanes).map(|_| AtomicU64::new(0)).collect(),
            measured: (0..lanes).map(|_| AtomicU64::new(0)).collect(),
            dealt: (0..lanes).map(|_| AtomicU64::new(0)).collect(),
            all_dealt: (0..lanes).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.settings.origin.elapsed()
    }

    /// Notes that nothing more is started, for another reason than the plan. The first one counts.
    pub fn cut_short(&self) {
        self.cut_short.get_or_init(|| self.now());
    }

    /// Whether what ended at this time counts for rates.
    pub fn counts(&self, ended: Duration) -> bool {
        let in_time = |until: &Duration| ended <= *until;
        self.settings.window.phase(ended) == Phase::Measured
            && self.cut_short.get().is_none_or(in_time)
    }

    /// How long has been measured so far, or was where the round is over.
    pub fn measured(&self, over: bool) -> Duration {
        let window = &self.settings.window;
        let until = self.cut_short.get().copied();
        let since = until
            .unwrap_or_else(|| self.now())
            .saturating_sub(window.warm_up);
        match window.measured {
            // That nothing more was due in it does not make the window shorter.
            Some(measured) if over && until.is_none() => measured,
            Some(measured) => measured.min(since),
            None => since,
        }
    }

    /// How long a lane was measured, of so much that all were.
    pub fn measured_of(&self, lane: usize, all: Duration, counts: &Counts) -> Duration {
        let due = match self.settings.arriving {
            Arriving::Closed { .. } => {
                let most = self.settings.window.most;
                most.map(|most| self.settings.shard.part_of(most))
            }
            Arriving::Open => self.all_dealt[lane]
                .load(Ordering::Relaxed)
                .then(|| self.dealt[lane].load(Ordering::Relaxed)),
        };
        self.settings.window.of_lane(all, counts, due)
    }

    /// Notes that a measured arrival of a schedule was dealt to a worker.
    pub fn note_dealt(&self, lane: usize) {
        self.dealt[lane].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a lane has had as many measured arrivals as were asked for, over all shards.
    pub fn note_all_dealt(&self, lane: usize) {
        self.all_dealt[lane].store(true, Ordering::Relaxed);
    }

    /// A number for an arrival that no other round has.
    pub fn unique(&self, arrival: u64) -> u64 {
        u64::from(self.settings.number) << 40 | arrival
    }

    /// Whether all conversations of a lane that a closed loop was to measure have begun.
    pub fn all_begun(&self, lane: usize) -> bool {
        let shard = self.settings.shard;
        let begun = self.measured[lane].load(Ordering::Relaxed);
        let next = begun.saturating_mul(u64::from(shard.count())) + u64::from(shard.index());
        self.settings.window.most.is_some_and(|most| next >= most)
    }

    /// The next number of a lane's conversation in a closed loop; `None` where all are begun.
    pub fn next(&self, lane: usize, now: Duration) -> Option<u64> {
        let shard = self.settings.shard;
        let (index, count) = (u64::from(shard.index()), u64::from(shard.count()));
        let window = &self.settings.window;
        if let (Some(most), Phase::Measured) = (window.most, window.phase(now)) {
            let own = self.measured[lane].fetch_add(1, Ordering::Relaxed);
            if own.saturating_mul(count).saturating_add(index) >= most {
                return None;
            }
        }
        let own = self.begun[lane].fetch_add(1, Ordering::Relaxed);
        Some(own * count + index)
    }
}

/// What a worker tells.
#[derive(Debug)]
pub enum Heard {
    /// What was measured since it told before.
    Interval {
        worker: usize,
        /// What it covers, from the start of the round; ends at a whole second, but for the last one.
        from: Duration,
        until: Duration,
        /// One per lane.
        tallies: Vec<Tally>,
        /// One per lane: requests under way now.
        under_way: Vec<u32>,
        /// One per lane: requests that were handed to a connection.
        started: Vec<u32>,
    },
    Samples(Vec<Sample>),
    /// It is done with the round; its processor time, and the part of that until the window ended.
    Ended {
        worker: usize,
        cpu: Duration,
        /// Conversations that a panic of this program ended.
        panicked: u64,
        busy: Busy,
    },
}

#[cfg(test)]
mod tests {
    use crate::load::round::*;

    /// A round of a minute that began ten seconds ago.
    fn round(most: Option<u64>) -> Round {
        let s = Duration::from_secs;
        let settings = RoundSettings {
            number: 0,
            origin: Instant::now()
                .checked_sub(s(10))
                .expect("the machine runs for longer"),
            window: Window {
                warm_up: s(2),
                measured: Some(s(60)),
                cool_down: Duration::ZERO,
                most,
            },
            drain: Duration::ZERO,
            arriving: Arriving::Open,
            shard: Shard::WHOLE,
            most_under_way: 1,
            good: Arc::new(|_, _| true),
            keep_samples: false,
            watched: false,
            stop: watch::channel(Stop::No).1,
        };
        Round::new(settings, 1)
    }

    #[test]
    fn the_window_is_as_long_as_planned_unless_something_else_ended_it() {
        let s = Duration::from_secs;
        let (planned, counted, cut) = (round(None), round(Some(5)), round(None));
        assert_eq!(planned.measured(true), s(60));
        // Which lane was over before, only its counts tell.
        assert_eq!(counted.measured(true), s(60));
        assert!(planned.measured(false) < s(60) && counted.measured(false) < s(60));
        assert!(planned.counts(s(61)) && !planned.counts(s(62)) && !planned.counts(s(1)));
        cut.cut_short();
        let measured = cut.measured(true);
        assert!(s(8) <= measured && measured < s(60));
        assert!(cut.counts(s(9)) && !cut.counts(s(61)));
        cut.cut_short();
        assert_eq!(cut.measured(true), measured, "the first end counts");
    }
}
