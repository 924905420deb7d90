//! From settings to what a round takes: how conversations arrive, their numbers, and when a request is good.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::load::settings::{Load, LoadSettings};
use crate::load::arrival::{Arrival, Merged};
use crate::load::engine::Schedule;
use crate::load::round::{Arriving, Good, Start};
use crate::load::sample::Sample;
use crate::load::slo::{Metric, Objective, OneRequest};
use crate::plan::shard::Shard;

/// How conversations arrive, and the schedule where there is one.
pub fn arriving(
    settings: &LoadSettings,
    seed: u64,
    lanes: usize,
    shard: Shard,
) -> (Arriving, Option<Schedule>) {
    match &settings.load {
        Load::Closed(profile) => {
            let most = shard.share(profile.peak().ceil() as u32);
            let profile = profile.clone();
            let allowed = Arc::new(move |at| shard.share(profile.at(at).round() as u32));
            (Arriving::Closed { most, allowed }, None)
        }
        Load::Open { profile, spacing } => {
            let merged = Merged::new(profile, *spacing, seed, lanes);
            (
                Arriving::Open,
                Some(Box::new(merged.map(move |one| start(&one, lanes)))),
            )
        }
        Load::FindMax { .. } => (Arriving::Open, None),
        Load::Replay(recorded) => {
            let recorded = Arc::clone(recorded);
            let arrivals = (0..recorded.len()).flat_map(move |index| {
                let intended = recorded[index].at;
                (0..lanes).map(move |lane| {
                    let start = Start {
                        lane,
                        arrival: index as u64,
                        intended,
                        held: Duration::ZERO,
                    };
                    (number(index as u64, lane, lanes), start)
                })
            });
            (Arriving::Open, Some(Box::new(arrivals)))
        }
    }
}

/// An arrival as the clock takes it, with the number that decides its shard.
pub fn start(arrival: &Arrival, lanes: usize) -> (u64, Start) {
    let start = Start {
        lane: arrival.lane,
        arrival: arrival.index,
        intended: arrival.due,
        held: Duration::ZERO,
    };
    (number(arrival.index, arrival.lane, lanes), start)
}

/// The number of an arrival over all lanes. The lanes take turns in being first: were their order always the same, as
/// many shards as lanes would load one lane each.
fn number(index: u64, lane: usize, lanes: usize) -> u64 {
    let lanes = lanes as u64;
    index * lanes + (lane as u64 + index) % lanes
}

/// Whether a request keeps the objective; every whole one does where there is none.
pub fn good(objective: Option<&Objective>) -> Good {
    let Some(objective) = objective.cloned() else {
        return Arc::new(|_, _| true);
    };
    Arc::new(move |sample: &Sample, gaps: &[u32]| {
        let gaps: Vec<Duration> = gaps
            .iter()
            .map(|gap| Duration::from_micros(u64::from(*gap)))
            .collect();
        let value = |metric: Metric| match metric {
            Metric::Headers => sample.since_sent(sample.headers),
            Metric::Ttft => sample.ttft(),
            Metric::Itl => None,
            Metric::Tpot => sample.tpot(),
            Metric::E2e => Some(sample.ended),
            Metric::Response => Some(sample.response()),
            // A part of a loop says nothing of the whole.
            Metric::Loop => Some(Duration::ZERO),
        };
        objective.is_good(&OneRequest {
            succeeded: sample.failure.is_none(),
            value: &value,
            gaps: &gaps,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::cli::load::schedule::*;

    #[test]
    fn numbers_are_dense_and_each_shard_loads_each_lane() {
        for (lanes, shards) in [(1, 3), (2, 2), (3, 3), (5, 2)] {
            let all: Vec<(u64, usize)> = (0..30)
                .flat_map(|index| (0..lanes).map(move |lane| (number(index, lane, lanes), lane)))
                .collect();
            let numbers: BTreeSet<u64> = all.iter().map(|one| one.0).collect();
            assert_eq!(numbers, (0..30 * lanes as u64).collect());
            for shard in 0..shards {
                let loaded: BTreeSet<usize> = all
                    .iter()
                    .filter(|one| one.0 % shards == shard)
                    .map(|one| one.1)
                    .collect();
                assert_eq!(
                    loaded.len(),
                    lanes,
                    "{lanes} lanes, shard {shard} of {shards}"
                );
            }
        }
    }
}
