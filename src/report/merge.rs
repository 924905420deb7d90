//! Shards added up to one run of load.
//!
//! Pure, and the order of the shards does not matter. Histograms and counts are added, rates and intervals are
//! computed anew from the sums: nothing is ever averaged. What is missing is said, never guessed.

use std::time::Duration;

use crate::load::result::{Ending, Harness, LaneResult, LoadResult, Told, Verdict};
use crate::load::tally::Tally;
use crate::report::load_record::{LoadRecord, MergedShardRecord, PartialRecord, TargetRecord};
use crate::report::shard_record::{LaneRecord, ShardError, ShardRecord};
use crate::transport::wire::Clock;

/// What may be added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Also shards that did not run side by side.
    pub any_time: bool,
    /// Also a row per target over its regions.
    pub sum_regions: bool,
}

/// Why shards cannot be added up.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum MergeError {
    #[error("there is no shard")]
    Nothing,
    #[error("{0} is there twice (attempts {1} and {2}): it would count double; remove one")]
    Twice(String, String, String),
    #[error("{0} and {1} are not of the same plan; they differ in {2}")]
    Plan(String, String, String),
    #[error(
        "{0} was measured until {1:.1} s before {2} began: they did not load anything together; \
         start them together (`--start-at`), or add them up all the same with `--any-time`"
    )]
    Apart(String, f64, String),
    #[error(transparent)]
    Shard(#[from] ShardError),
}

/// What shards come to together.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    pub record: LoadRecord,
    /// Of what is there, whether or not something is missing.
    pub verdict: Verdict,
}

/// One run of all its shards.
pub fn merge(shards: &[ShardRecord], options: Options) -> Result<Merged, MergeError> {
    let mut shards: Vec<&ShardRecord> = shards.iter().collect();
    shards.sort_by(|a, b| (a.shard, &a.attempt).cmp(&(b.shard, &b.attempt)));
    let first = *shards.first().ok_or(MergeError::Nothing)?;
    for pair in shards.windows(2) {
        if let Some(what) = first.plan.differs(&pair[1].plan) {
            return Err(MergeError::Plan(first.label(), pair[1].label(), what));
        }
        if pair[0].shard == pair[1].shard {
            let (own, others) = (pair[0].attempt.clone(), pair[1].attempt.clone());
            return Err(MergeError::Twice(pair[0].label(), own, others));
        }
    }
    if !options.any_time {
        side_by_side(&shards)?;
    }
    let result = add(&shards)?;
    let mut record = LoadRecord::new(&result);
    record.ended = ended(&shards);
    record.partial = partial(&shards, first.plan.of);
    record.shards = shards.iter().map(|shard| told(shard)).collect();
    if options.sum_regions {
        record.targets = with_sums(record.targets, &result.lanes);
    }
    Ok(Merged {
        record,
        verdict: result.verdict(),
    })
}

/// Whether there was a time at which all were measuring, by their clocks as far as those are known.
fn side_by_side(shards: &[&ShardRecord]) -> Result<(), MergeError> {
    let ahead = |shard: &ShardRecord| shard.timing.clock_offset_ms.unwrap_or(0.0);
    let from = |shard: &ShardRecord| shard.timing.window_from_ms as f64 - ahead(shard);
    let to = |shard: &ShardRecord| shard.timing.window_to_ms as f64 - ahead(shard);
    let last = shards.iter().max_by(|a, b| from(a).total_cmp(&from(b)));
    let soonest = shards.iter().min_by(|a, b| to(a).total_cmp(&to(b)));
    if let (Some(last), Some(soonest)) = (last, soonest)
        && from(last) >= to(soonest)
        && last.shard != soonest.shard
    {
        let gap = (from(last) - to(soonest)) / 1000.0;
        return Err(MergeError::Apart(soonest.label(), gap, last.label()));
    }
    Ok(())
}

fn add(shards: &[&ShardRecord]) -> Result<LoadResult, MergeError> {
    let first = shards[0];
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let mut tallies = vec![(Duration::ZERO, Tally::default()); first.plan.lanes.len()];
    for shard in shards {
        for ((measured, sum), lane) in tallies.iter_mut().zip(&shard.lanes) {
            *measured = seconds(lane.measured_s).max(*measured);
            sum.add(&lane.tally(&shard.label())?);
        }
    }
    let lanes = first
        .plan
        .lanes
        .iter()
        .enumerate()
        .zip(tallies)
        .map(|((index, planned), (measured, tally))| LaneResult {
            target: planned.target.clone(),
            region: planned.region.clone(),
            provider: planned.provider.clone(),
            dialect: planned.dialect.clone(),
            model: planned.model.clone(),
            endpoint: planned.endpoint.clone(),
            sign_in: first
                .lanes
                .get(index)
                .map(|lane| lane.sign_in.clone())
                .unwrap_or_default(),
            price: first
                .lanes
                .get(index)
                .and_then(|lane| lane.price.clone())
                .filter(|price| {
                    let same = |lane: &LaneRecord| lane.price.as_ref() == Some(price);
                    shards
                        .iter()
                        .all(|shard| shard.lanes.get(index).is_some_and(same))
                }),
            measured,
            tally,
        })
        .collect();
    let longest = |of: &dyn Fn(&ShardRecord) -> f64| {
        let longest = shards.iter().map(|shard| of(shard)).fold(0.0, f64::max);
        Duration::try_from_secs_f64(longest).unwrap_or_default()
    };
    let harness = |shard: &&ShardRecord| shard.harness.clone();
    let texts = |of: &dyn Fn(&ShardRecord) -> String| -> Vec<String> {
        let mut texts: Vec<String> = shards.iter().map(|shard| of(shard)).collect();
        texts.sort();
        texts
    };
    Ok(LoadResult {
        run_id: first.run.clone(),
        // RFC 3339 in UTC sorts by time.
        started_at: texts(&|shard| shard.started_at.clone()).swap_remove(0),
        finished_at: texts(&|shard| shard.finished_at.clone())
            .pop()
            .unwrap_or_default(),
        mode: first.mode.clone(),
        load: first.plan.load.clone(),
        seed: first.plan.seed,
        clock: match shards.iter().all(|shard| shard.clock == "kernel") {
            true => Clock::Kernel,
            false => Clock::Read,
        },
        measured: longest(&|shard| shard.timing.measured_s),
        ending: Ending::Planned,
        objective: first
            .plan
            .objective
            .as_deref()
            .and_then(|text| text.parse().ok()),
        searches: Vec::new(),
        lanes,
        harness: Harness {
            workers: shards.iter().map(|shard| shard.harness.workers).sum(),
            cpu: shards
                .iter()
                .flat_map(|shard| harness(shard).cpu_s)
                .map(seconds)
                .collect(),
            busy: Vec::new(),
            told: Some(Told {
                reasons: shards
                    .iter()
                    .flat_map(|shard| {
                        let reasons = shard.harness.bottleneck.iter();
                        reasons.map(|reason| format!("{}: {reason}", shard.label()))
                    })
                    .collect(),
                overloaded: shards.iter().any(|shard| shard.harness.overloaded),
            }),
            process_cpu: shards
                .iter()
                .map(|shard| seconds(shard.harness.process_cpu_s))
                .sum(),
            peak_rss: shards
                .iter()
                .filter_map(|shard| shard.harness.peak_rss)
                .max(),
            wall: longest(&|shard| shard.harness.wall_s),
            // A shard from which something is missing writes no record.
            missing: Vec::new(),
        },
    })
}

/// The word of the shard that did not end as planned, where there is one.
fn ended(shards: &[&ShardRecord]) -> String {
    let other = shards.iter().find(|shard| shard.ended != "planned");
    other.map_or("planned", |shard| &shard.ended).to_owned()
}

fn partial(shards: &[&ShardRecord], of: u32) -> Option<PartialRecord> {
    let missing: Vec<u32> = (0..of)
        .filter(|index| shards.iter().all(|shard| shard.shard != *index))
        .map(|index| index + 1)
        .collect();
    (!missing.is_empty()).then_some(PartialRecord { missing, of })
}

fn told(shard: &ShardRecord) -> MergedShardRecord {
    MergedShardRecord {
        shard: shard.shard + 1,
        attempt: shard.attempt.clone(),
        began_at: shard.started_at.clone(),
        late_s: shard.timing.late_ms.map(|late| late / 1000.0),
        clock_offset_ms: shard.timing.clock_offset_ms,
        ended: shard.ended.clone(),
        requests: shard.requests(),
    }
}

/// After the rows of each target that has several regions, one that adds them up.
fn with_sums(rows: Vec<TargetRecord>, lanes: &[LaneResult]) -> Vec<TargetRecord> {
    let mut all = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        let same: Vec<(usize, &LaneResult)> = lanes
            .iter()
            .enumerate()
            .filter(|(_, lane)| lane.target == row.target)
            .collect();
        all.push(row);
        if same.len() < 2 || same.last().is_none_or(|(last, _)| *last != index) {
            continue;
        }
        let mut sum = LaneResult {
            region: None,
            endpoint: String::new(),
            tally: Tally::default(),
            ..lanes[index].clone()
        };
        for (_, lane) in &same {
            sum.measured = sum.measured.max(lane.measured);
            sum.tally.add(&lane.tally);
            sum.price = sum.price.filter(|price| lane.price.as_ref() == Some(price));
        }
        all.push(TargetRecord {
            sum_of_regions: same
                .iter()
                .filter_map(|(_, lane)| lane.region.clone())
                .collect(),
            ..TargetRecord::new(&sum)
        });
    }
    all
}
