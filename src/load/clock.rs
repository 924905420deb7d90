//! The clock of an open loop: hands each arrival to a worker when it is due.
//!
//! Shell, on a thread of its own: sleeping there is precise to some tens of microseconds, where the timers
//! of a runtime are precise to a millisecond. It must never wait for a worker.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::load::fleet::Fleet;
use crate::load::round::{Round, Start, Stop};
use crate::load::sample::Phase;

/// The longest sleep, so that a stop is noticed soon.
const NAP: Duration = Duration::from_millis(50);

/// Deals the arrivals of this shard to the workers until all of them, the round's time or its requests are over.
pub fn start(
    fleet: Arc<Fleet>,
    round: Arc<Round>,
    arrivals: impl Iterator<Item = (u64, Start)> + Send + 'static,
    workers: Vec<UnboundedSender<Start>>,
) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("load-clock".to_owned())
        .spawn(move || {
            let spent = || fleet.ceiling.reached();
            deal(fleet.lanes.len(), spent, &round, arrivals, &workers);
        })
}

/// `spent`: the next request would pass a ceiling.
fn deal(
    lanes: usize,
    spent: impl Fn() -> bool,
    round: &Round,
    arrivals: impl Iterator<Item = (u64, Start)>,
    workers: &[UnboundedSender<Start>],
) {
    let mut measured = vec![0u64; lanes];
    let over = || *round.settings.stop.borrow() != Stop::No || spent();
    let count = u64::from(round.settings.shard.count());
    for (number, start) in arrivals {
        if round
            .settings
            .window
            .ends()
            .is_some_and(|end| start.intended >= end)
        {
            return;
        }
        let counted = round.settings.window.phase(start.intended) == Phase::Measured;
        if let Some(most) = round.settings.window.most
            && counted
        {
            // Counted over all shards, so that each stops at the same place of the schedule.
            if measured[start.lane] >= most {
                if measured.iter().all(|count| *count >= most) {
                    return;
                }
                continue;
            }
            measured[start.lane] += 1;
        }
        let last = round.settings.window.most == Some(measured[start.lane]);
        if !round.settings.shard.takes(number) {
            if counted && last {
                round.note_all_dealt(start.lane);
            }
            continue;
        }
        loop {
            if over() {
                return;
            }
            let now = round.now();
            let Some(left) = start
                .intended
                .checked_sub(now)
                .filter(|left| !left.is_zero())
            else {
                break;
            };
            thread::sleep(left.min(NAP));
        }
        if !hand((number / count) as usize, start, workers) {
            return;
        }
        if counted {
            round.note_dealt(start.lane);
            if last {
                round.note_all_dealt(start.lane);
            }
        }
    }
}

/// Hands a conversation to the worker whose turn it is, or to the next that is still there; false where none is.
fn hand(turn: usize, start: Start, workers: &[UnboundedSender<Start>]) -> bool {
    let count = workers.len();
    (0..count).any(|further| workers[(turn + further) % count].send(start).is_ok())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::sync::mpsc::unbounded_channel;
    use tokio::sync::watch;

    use crate::load::clock::*;
    use crate::load::round::{Arriving, RoundSettings};
    use crate::load::tally::Counts;
    use crate::load::window::Window;
    use crate::plan::shard::Shard;

    /// A shard's part of a round of ten measured conversations for each of three lanes, where so many are due: how
    /// long each lane is measured that has answered all it was dealt after 3 of 9 seconds, or all but one; and how
    /// many it was dealt.
    fn dealt(shard: Shard, due: u64) -> Vec<(Duration, Duration, u64)> {
        let s = Duration::from_secs;
        let window = Window {
            warm_up: Duration::from_micros(1),
            measured: None,
            cool_down: Duration::ZERO,
            most: Some(10),
        };
        let settings = RoundSettings {
            number: 0,
            origin: Instant::now(),
            window,
            drain: Duration::ZERO,
            arriving: Arriving::Open,
            shard,
            most_under_way: 1,
            good: Arc::new(|_, _| true),
            keep_samples: false,
            watched: false,
            stop: watch::channel(Stop::No).1,
        };
        let round = Round::new(settings, 3);
        // The first of each lane warms up.
        let arrivals = (0..due).flat_map(|index| {
            (0..3).map(move |lane| {
                let start = Start {
                    lane,
                    arrival: index,
                    intended: Duration::from_micros(index),
                    held: Duration::ZERO,
                };
                (index + lane as u64, start)
            })
        });
        let (worker, mut given) = unbounded_channel();
        deal(3, || false, &round, arrivals, &[worker]);
        let mut starts = [0; 3];
        while let Ok(start) = given.try_recv() {
            starts[start.lane] += u64::from(start.arrival > 0);
        }
        let lanes = starts.iter().enumerate();
        lanes
            .map(|(lane, starts)| {
                let of = |conversations| {
                    let counts = Counts {
                        last_end_us: 3_000_001,
                        conversations,
                        ..Counts::default()
                    };
                    round.measured_of(lane, s(9), &counts)
                };
                (of(*starts), of(starts - 1), *starts)
            })
            .collect()
    }

    #[test]
    fn a_shard_knows_when_a_lane_has_had_its_part() {
        let s = Duration::from_secs;
        for count in 1..=4 {
            let mut sums = [0; 3];
            for index in 0..count {
                let shard = Shard::new(index, count).unwrap();
                for (lane, (all, fewer, starts)) in dealt(shard, 20).into_iter().enumerate() {
                    assert_eq!((all, fewer), (s(3), s(9)), "lane {lane} of {shard:?}");
                    sums[lane] += starts;
                }
                // A schedule that ended before.
                let short = dealt(shard, 10);
                assert!(short.iter().all(|lane| (lane.0, lane.1) == (s(9), s(9))));
            }
            assert_eq!(sums, [10; 3]);
        }
    }

    #[test]
    fn a_worker_that_is_gone_does_not_end_the_clock() {
        let start = Start {
            lane: 0,
            arrival: 0,
            intended: Duration::ZERO,
            held: Duration::ZERO,
        };
        let (workers, mut given): (Vec<_>, Vec<_>) = (0..3).map(|_| unbounded_channel()).unzip();
        given[1].close();
        for turn in 0..6 {
            assert!(hand(turn, start, &workers));
        }
        assert_eq!((given[0].len(), given[2].len()), (2, 4));
        given.clear();
        assert!(!hand(0, start, &workers));
    }
}
