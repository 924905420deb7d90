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

/// Deals the arrivals of this shard to the workers until they, the round's time or its requests are over.
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
        let worker = (number / count) as usize % workers.len();
        if workers[worker].send(start).is_err() {
            return;
        }
    }
}
