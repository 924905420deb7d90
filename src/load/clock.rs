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
        .spawn(move || deal(&fleet, &round, arrivals, &workers))
}

fn deal(
    fleet: &Fleet,
    round: &Round,
    arrivals: impl Iterator<Item = (u64, Start)>,
    workers: &[UnboundedSender<Start>],
) {
    let mut measured = vec![0u64; fleet.lanes.len()];
    // Nothing is started any more when somebody says so, or when the next request would pass a ceiling.
    let over = || *round.settings.stop.borrow() != Stop::No || fleet.ceiling.reached();
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
        if let Some(most) = round.settings.window.most
            && round.settings.window.phase(start.intended) == Phase::Measured
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
        if !round.settings.shard.takes(number) {
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
    }
}

/// Hands a conversation to the worker whose turn it is, or to the next that is still there; false where none is.
fn hand(turn: usize, start: Start, workers: &[UnboundedSender<Start>]) -> bool {
    let count = workers.len();
    (0..count).any(|further| workers[(turn + further) % count].send(start).is_ok())
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use crate::load::clock::*;

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
