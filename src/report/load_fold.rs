//! The fold over what workers tell: totals, and seconds that are whole. Everything that shows or writes a run
//! of load reads it.
//!
//! Core. Its size does not grow with the run: a second is handed out when all workers have told of it, or too many
//! wait.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::load::round::Heard;
use crate::load::tally::Tally;
use crate::load::trust::Busy;

/// One second of one round, of all workers.
#[derive(Debug, Clone)]
pub struct Second {
    /// From the start of the round, in whole seconds.
    pub second: u64,
    /// How long it was: shorter where the round ended within it, longer where a worker was too busy to tell in time.
    pub length: Duration,
    pub lanes: Vec<LaneSecond>,
}

impl Second {
    /// Its books, when it has been read.
    pub fn into_tallies(self) -> Vec<Tally> {
        self.lanes.into_iter().map(|lane| lane.tally).collect()
    }
}

/// A lane's part of it.
#[derive(Debug, Clone, Default)]
pub struct LaneSecond {
    /// What ended in it; the figures of measured requests, and `live_*` of all.
    pub tally: Tally,
    /// Requests that were handed to a connection.
    pub started: u64,
    /// Requests under way at its end.
    pub under_way: u64,
}

/// A second that some workers have told of.
#[derive(Debug, Default)]
struct Pending {
    from: Option<Duration>,
    until: Duration,
    /// One per lane, of those workers that have told; the first one's books, so that none are made for it.
    tallies: Vec<Tally>,
    /// By worker: requests under way at each lane.
    under_way: Vec<Option<Vec<u32>>>,
    /// By lane.
    started: Vec<u64>,
}

/// What was heard of a round.
#[derive(Debug)]
pub struct LoadFold {
    totals: Vec<Tally>,
    pending: BTreeMap<u64, Pending>,
    /// By worker: the second of which it may still tell; `None` when it is done.
    next: Vec<Option<u64>>,
    /// By worker: the requests under way at the end of the last second that was handed out.
    under_way: Vec<Vec<u32>>,
    cpu: Vec<Duration>,
    /// The first second that was not handed out yet.
    open: u64,
    panicked: u64,
    busy: Vec<Busy>,
}

/// As many seconds wait for a worker at most: one that is dead never tells.
const MOST_PENDING: usize = 30;

impl LoadFold {
    /// Nothing was heard yet of this many lanes from this many workers.
    pub fn new(lanes: usize, workers: usize) -> LoadFold {
        LoadFold {
            totals: vec![Tally::default(); lanes],
            pending: BTreeMap::new(),
            next: vec![Some(0); workers],
            under_way: vec![vec![0; lanes]; workers],
            cpu: vec![Duration::ZERO; workers],
            open: 0,
            panicked: 0,
            busy: vec![Busy::default(); workers],
        }
    }

    /// Takes in what a worker tells. Books that are not needed any more are handed back.
    pub fn push(&mut self, heard: Heard) -> Vec<Tally> {
        match heard {
            Heard::Interval {
                worker,
                from,
                until,
                tallies,
                under_way,
                started,
            } => {
                for (total, tally) in self.totals.iter_mut().zip(&tallies) {
                    total.add(tally);
                }
                let workers = self.next.len();
                // What comes after its second was handed out counts to the next.
                let second = from.as_secs().max(self.open);
                let pending = self.pending.entry(second).or_default();
                pending.under_way.resize(workers, None);
                pending.started.resize(started.len(), 0);
                for (sum, started) in pending.started.iter_mut().zip(started) {
                    *sum += u64::from(started);
                }
                pending.from = Some(pending.from.map_or(from, |first| first.min(from)));
                pending.until = pending.until.max(until);
                if let Some(own) = pending.under_way.get_mut(worker) {
                    *own = Some(under_way);
                }
                if let Some(next) = self.next.get_mut(worker) {
                    *next = Some(until.as_secs().max(from.as_secs()));
                }
                if pending.tallies.is_empty() {
                    pending.tallies = tallies;
                    return Vec::new();
                }
                for (own, tally) in pending.tallies.iter_mut().zip(&tallies) {
                    own.add(tally);
                }
                tallies
            }
            Heard::Ended {
                worker,
                cpu,
                busy,
                panicked,
            } => {
                self.panicked += panicked;
                if let Some(own) = self.cpu.get_mut(worker) {
                    *own += cpu;
                }
                if let Some(own) = self.busy.get_mut(worker) {
                    own.add(busy);
                }
                if let Some(next) = self.next.get_mut(worker) {
                    *next = None;
                }
                Vec::new()
            }
            Heard::Samples(_) => Vec::new(),
        }
    }

    /// Requests under way at each lane, by the last second that was handed out.
    pub fn under_way(&self) -> Vec<u64> {
        sums(&self.under_way, self.totals.len())
    }

    /// Workers that have not said that they are done. When nothing more will be told, they are dead, and what they
    /// measured last is missing.
    pub fn missing(&self) -> Vec<usize> {
        let workers = self.next.iter().enumerate();
        workers
            .filter_map(|(worker, next)| next.map(|_| worker))
            .collect()
    }

    /// Conversations that a panic of this program ended.
    pub fn panicked(&self) -> u64 {
        self.panicked
    }

    /// Hands out the seconds of which all workers have told, in their order, and the oldest where too many wait.
    pub fn whole(&mut self) -> Vec<Second> {
        let open = self.next.iter().flatten().min().copied();
        let mut whole = Vec::new();
        loop {
            let many = self.pending.len() > MOST_PENDING;
            let Some(entry) = self.pending.first_entry() else {
                break;
            };
            if !many && open.is_some_and(|open| *entry.key() >= open) {
                break;
            }
            let (second, pending) = entry.remove_entry();
            self.open = second + 1;
            whole.push(self.second(second, pending));
        }
        whole
    }

    /// Hands out what is left, when nothing more will be told.
    pub fn rest(&mut self) -> Vec<Second> {
        self.next.fill(None);
        self.whole()
    }

    fn second(&mut self, second: u64, pending: Pending) -> Second {
        for (own, told) in self.under_way.iter_mut().zip(pending.under_way) {
            if let Some(told) = told {
                *own = told;
            }
        }
        let after = sums(&self.under_way, self.totals.len());
        let lanes = pending
            .tallies
            .into_iter()
            .zip(pending.started.into_iter().zip(after))
            .map(|(tally, (started, under_way))| LaneSecond {
                tally,
                started,
                under_way,
            })
            .collect();
        Second {
            second,
            length: pending
                .until
                .saturating_sub(pending.from.unwrap_or_default()),
            lanes,
        }
    }

    /// All that was measured so far, by lane.
    pub fn totals(&self) -> &[Tally] {
        &self.totals
    }

    /// The same, when nothing more will be told.
    pub fn into_totals(self) -> Vec<Tally> {
        self.totals
    }

    /// Processor time of each worker that is done.
    pub fn cpu(&self) -> &[Duration] {
        &self.cpu
    }

    /// How busy each worker that is done was until the window ended.
    pub fn busy(&self) -> &[Busy] {
        &self.busy
    }
}

fn sums(under_way: &[Vec<u32>], lanes: usize) -> Vec<u64> {
    (0..lanes)
        .map(|lane| {
            let of = |worker: &Vec<u32>| worker.get(lane).copied().map_or(0, u64::from);
            under_way.iter().map(of).sum()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::load::measure::Measure;
    use crate::report::load_fold::*;

    fn interval(worker: usize, from: u64, until: u64, ended: u32, under_way: u32) -> Heard {
        let mut tally = Tally::default();
        tally.counts.live_requests = u64::from(ended);
        // Never sent: nothing that has started.
        tally.counts.cut = 1000;
        for _ in 0..ended {
            tally.measure(Measure::Ttft, Duration::from_millis(from));
        }
        Heard::Interval {
            worker,
            from: Duration::from_millis(from),
            until: Duration::from_millis(until),
            tallies: vec![tally],
            under_way: vec![under_way],
            started: vec![ended + under_way],
        }
    }

    fn shown(seconds: &[Second]) -> Vec<(u64, u64, u64, u64)> {
        seconds
            .iter()
            .map(|one| {
                let lane = &one.lanes[0];
                let counts = &lane.tally.counts;
                (
                    one.second,
                    lane.started,
                    counts.live_requests,
                    lane.under_way,
                )
            })
            .collect()
    }

    #[test]
    fn a_second_is_handed_out_when_all_workers_have_told_of_it() {
        let mut fold = LoadFold::new(1, 2);
        fold.push(interval(0, 0, 1001, 3, 2));
        assert!(fold.whole().is_empty());
        fold.push(interval(0, 1001, 2001, 1, 2));
        fold.push(interval(1, 0, 1002, 4, 1));
        assert_eq!(shown(&fold.whole()), [(0, 10, 7, 3)]);
        // The second worker is done: the first holds back only its own.
        fold.push(interval(1, 1002, 1500, 1, 0));
        let cpu = Duration::from_millis(7);
        let busy = Busy {
            cpu,
            time: Duration::from_millis(9),
        };
        assert_eq!(fold.missing(), [0, 1]);
        fold.push(Heard::Ended {
            worker: 1,
            cpu,
            busy,
            panicked: 2,
        });
        assert_eq!((fold.missing(), fold.panicked()), (vec![0], 2));
        assert_eq!(shown(&fold.whole()), [(1, 4, 2, 2)]);
        fold.push(interval(0, 2001, 2400, 2, 0));
        let rest = fold.rest();
        assert_eq!(shown(&rest), [(2, 2, 2, 0)]);
        assert_eq!(rest[0].length, Duration::from_millis(399));
        assert_eq!(fold.cpu(), [Duration::ZERO, cpu]);
        assert_eq!(fold.busy(), [Busy::default(), busy]);
        let total = &fold.totals()[0];
        assert_eq!(total.counts.live_requests, 11);
        assert_eq!(total.measured(Measure::Ttft).map(|one| one.len()), Some(11));
    }

    #[test]
    fn a_worker_that_is_dead_holds_nobody_up_for_ever() {
        let mut fold = LoadFold::new(1, 2);
        fold.push(interval(1, 0, 1000, 1, 1));
        let mut handed = Vec::new();
        for second in 0..100 {
            fold.push(interval(0, second * 1000, second * 1000 + 1000, 1, 0));
            handed.extend(fold.whole());
        }
        // The first of both, then as soon as too many wait.
        assert_eq!(handed.len(), 70);
        assert_eq!(fold.missing(), [0, 1]);
        // It was not dead after all: what it tells is of a second that was not handed out yet.
        fold.push(interval(1, 1000, 100_000, 5, 0));
        handed.extend(fold.rest());
        let seconds: Vec<u64> = handed.iter().map(|one| one.second).collect();
        assert_eq!(seconds, (0..100).collect::<Vec<u64>>());
        assert_eq!(handed[70].lanes[0].tally.counts.live_requests, 6);
        assert_eq!(fold.totals()[0].counts.live_requests, 106);
    }

    #[test]
    fn a_worker_that_was_late_is_not_waited_for_twice() {
        let mut fold = LoadFold::new(1, 2);
        // Told only after 2.8 s: it counts to the second in which it began.
        fold.push(interval(0, 0, 2800, 5, 0));
        fold.push(interval(1, 0, 1001, 1, 0));
        fold.push(interval(1, 1001, 2001, 1, 0));
        assert_eq!(shown(&fold.whole()), [(0, 6, 6, 0), (1, 1, 1, 0)]);
    }
}
