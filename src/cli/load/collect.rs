//! What the workers tell, folded while it comes in.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::cli::load::progress::LoadProgress;
use crate::load::fleet::Fleet;
use crate::load::round::Heard;
use crate::load::tally::Tally;

/// A round, folded.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// One per lane.
    pub tallies: Vec<Tally>,
    /// One per worker.
    pub cpu: Vec<Duration>,
}

/// Listens until the round is over.
pub fn round(heard: &Receiver<Heard>, fleet: &Fleet, progress: &mut LoadProgress) -> Collected {
    let lanes = fleet.lanes.len();
    let mut collected = Collected {
        tallies: (0..lanes).map(|_| Tally::default()).collect(),
        cpu: Vec::new(),
    };
    // By worker, then lane.
    let mut under_way: Vec<Vec<u32>> = Vec::new();
    loop {
        match heard.recv_timeout(Duration::from_millis(500)) {
            Ok(Heard::Interval {
                worker,
                tallies,
                under_way: now,
            }) => {
                if under_way.len() <= worker {
                    under_way.resize(worker + 1, vec![0; lanes]);
                }
                under_way[worker] = now;
                for (index, tally) in tallies.iter().enumerate() {
                    collected.tallies[index].add(tally);
                    let all = under_way.iter().map(|lanes| lanes[index]).sum();
                    let cost = fleet.lanes[index].price.as_ref().map(|price| {
                        let counts = &collected.tallies[index].counts;
                        price.micro_dollars(counts.live_input_tokens, 0, counts.live_tokens) as f64
                            / 1e6
                    });
                    progress.lane(index, &collected.tallies[index], all, cost);
                }
            }
            Ok(Heard::Samples(_)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Heard::Ended { cpu, .. }) => collected.cpu.push(cpu),
            Err(RecvTimeoutError::Disconnected) => {
                progress.clear();
                return collected;
            }
        }
    }
}
