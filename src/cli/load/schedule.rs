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
                Some(Box::new(merged.map(|one| start(&one)))),
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
                    (number(index as u64, lane), start)
                })
            });
            (Arriving::Open, Some(Box::new(arrivals)))
        }
    }
}

/// An arrival as the clock takes it, with the number that decides its shard.
pub fn start(arrival: &Arrival) -> (u64, Start) {
    let start = Start {
        lane: arrival.lane,
        arrival: arrival.index,
        intended: arrival.due,
        held: Duration::ZERO,
    };
    (number(arrival.index, arrival.lane), start)
}

/// The number of an arrival that decides its shard: that of its lane, each lane beginning at another shard. So all
/// shards load all lanes, evenly, however many there are of both.
fn number(index: u64, lane: usize) -> u64 {
    index + lane as u64
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
    use crate::cli::load::schedule::*;

    #[test]
    fn each_shard_loads_each_lane_alike() {
        for (lanes, shards) in [(1, 3), (2, 2), (2, 4), (3, 3), (5, 2), (4, 6)] {
            for shard in 0..shards {
                let shard = Shard::new(shard, shards).unwrap();
                for lane in 0..lanes {
                    let all = (0..60).filter(|index| shard.takes(number(*index, lane)));
                    assert_eq!(
                        all.count(),
                        60 / shards as usize,
                        "lane {lane} of {lanes} at {shard:?}"
                    );
                }
            }
        }
    }
}
