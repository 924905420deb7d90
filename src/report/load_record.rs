//! `load.json`: what a run of load is on disk and for `--format json`.
//!
//! The only types of load that are serialised for reading by others; docs/load-results.md says what each field
//! is, docs/load.md what each measure means. A percentile that a run is too short for is null, never a guess.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use crate::load::measure::Measure;
use crate::load::price::Price;
use crate::load::result::{Ending, LaneResult, LoadResult};
use crate::load::tally::Tally;
use crate::metric::distribution::Distribution;
use crate::metric::estimate;
use crate::report::load_objective::{SearchRecord, TermRecord};

/// The version of the format. Raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LoadRecord {
    pub schema: u32,
    /// Of sameturn.
    pub version: &'static str,
    pub run: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Empty while it runs.
    pub finished_at: String,
    /// Whom it asked, in words.
    pub mode: String,
    /// How it was loaded, in words.
    pub load: String,
    pub seed: u64,
    /// `kernel` or `read`: whose times of arrival these are.
    pub clock: String,
    /// How long was measured, at the target where it took longest.
    pub measured_s: f64,
    /// `planned`, `interrupted`, `ceiling`; `running` where it was killed or still runs.
    pub ended: String,
    /// Which part of a plan it is, such as `2/3`; null where it is the whole.
    pub shard: Option<String>,
    /// What is missing from a merged run; null where nothing is.
    pub partial: Option<PartialRecord>,
    /// The shards of a merged run; empty where nothing was merged.
    pub shards: Vec<MergedShardRecord>,
    pub targets: Vec<TargetRecord>,
    pub harness: HarnessRecord,
    /// Reported minus true, where it was measured against a mock that keeps its truth.
    pub calibration: Option<Value>,
}

/// What is missing from a merged run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PartialRecord {
    /// The shards that were not there, from 1.
    pub missing: Vec<u32>,
    /// How many there should be.
    pub of: u32,
}

/// A shard of a merged run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MergedShardRecord {
    /// From 1.
    pub shard: u32,
    pub attempt: String,
    /// RFC 3339, UTC, by the clock of its machine.
    pub began_at: String,
    /// How much later than agreed it began; null where nothing was agreed.
    pub late_s: Option<f64>,
    /// How far the clock of its machine is from true time; null where it is not known.
    pub clock_offset_ms: Option<f64>,
    pub ended: String,
    pub requests: u64,
}

/// A target in a region.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TargetRecord {
    pub target: String,
    /// Null where it has none.
    pub region: Option<String>,
    /// The regions that this row adds up, where it was asked for; empty elsewhere.
    pub sum_of_regions: Vec<String>,
    pub provider: String,
    pub dialect: String,
    pub model: String,
    pub endpoint: String,
    pub sign_in: String,
    /// What its tokens cost; null where that is not known.
    pub price: Option<Price>,
    /// What all its requests have cost by that, those of warm-up and cool-down included, in US dollars; null without a price.
    pub cost_usd: Option<f64>,
    /// How long was measured here; the rates are per second of this. In a row that adds up regions, the longest of
    /// theirs.
    pub measured_s: f64,
    /// Measured requests that ended, well or not.
    pub requests: u64,
    /// Those that failed, by class.
    pub errors: BTreeMap<String, u64>,
    /// Those that failed, as a share of all; null without any request.
    pub error_share: Option<ShareRecord>,
    /// Whole answers that ended within the measured time, per second of it.
    pub requests_per_s: f64,
    pub output_tokens_per_s: Option<f64>,
    pub goodput_per_s: f64,
    pub ttft_ms: Option<Spread>,
    pub itl_ms: Option<Spread>,
    pub tpot_ms: Option<Spread>,
    pub e2e_ms: Option<Spread>,
    /// All measures by name, these four included.
    pub measures_ms: BTreeMap<String, Spread>,
    pub output_tokens_per_s_of_a_request: Option<Spread>,
    pub counts: BTreeMap<String, u64>,
    /// How the objective was kept; empty where there is none.
    pub objective: Vec<TermRecord>,
    /// The search for the highest rate, where there was one.
    pub search: Option<SearchRecord>,
    /// How each class of failure showed first.
    pub examples: BTreeMap<String, ExampleRecord>,
}

/// A share from 0 to 1 with its 95 % interval (Wilson's).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct ShareRecord {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// How a failure showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExampleRecord {
    pub status: Option<u16>,
    /// Without secrets; otherwise as the server said it. Hostile text.
    pub message: String,
}

/// A distribution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Spread {
    pub n: u64,
    pub min: f64,
    pub mean: f64,
    pub max: f64,
    /// Null where the run is too short for it, as the others.
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p99_9: Option<f64>,
    pub intervals: Intervals,
}

/// The 95 % intervals of the percentiles, low and high; null where the percentile is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Intervals {
    pub p50: Option<[f64; 2]>,
    pub p90: Option<[f64; 2]>,
    pub p95: Option<[f64; 2]>,
    pub p99: Option<[f64; 2]>,
    pub p99_9: Option<[f64; 2]>,
}

/// The harness's own part.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct HarnessRecord {
    pub scheduler_lag_ms: Option<Spread>,
    pub read_lag_ms: Option<Spread>,
    /// Of the workers.
    pub cpu_s: f64,
    /// Of the whole process, mocks in it included.
    pub process_cpu_s: f64,
    /// Of the whole process; of the largest one where several were merged. Null where it cannot be read.
    pub peak_rss_mb: Option<f64>,
    pub workers: usize,
    pub wall_s: f64,
    pub stampless_reads: u64,
    /// Why the client was the bottleneck; empty where it was not.
    pub client_bottleneck: Vec<String>,
    /// What is missing from the figures through a fault of this program; empty where nothing is.
    pub missing: Vec<String>,
}

impl Spread {
    /// The figures of a distribution; `scale` of its units make one of ours.
    pub fn of(recorded: &Distribution, scale: f64) -> Spread {
        let shown = |value: u64| value as f64 / scale;
        let told = |quantile| {
            let estimate = estimate::estimate(recorded, quantile)?;
            let interval = [shown(estimate.low), shown(estimate.high)];
            Some((shown(estimate.value), interval))
        };
        let (p50, p90, p95) = (told(0.5), told(0.9), told(0.95));
        let (p99, p99_9) = (told(0.99), told(0.999));
        let value = |one: Option<(f64, [f64; 2])>| one.map(|one| one.0);
        let interval = |one: Option<(f64, [f64; 2])>| one.map(|one| one.1);
        Spread {
            n: recorded.len(),
            min: shown(recorded.min()),
            mean: recorded.mean() / scale,
            max: shown(recorded.max()),
            p50: value(p50),
            p90: value(p90),
            p95: value(p95),
            p99: value(p99),
            p99_9: value(p99_9),
            intervals: Intervals {
                p50: interval(p50),
                p90: interval(p90),
                p95: interval(p95),
                p99: interval(p99),
                p99_9: interval(p99_9),
            },
        }
    }
}

const MICROS: f64 = 1000.0;

fn spread(tally: &Tally, measure: Measure) -> Option<Spread> {
    tally
        .measured(measure)
        .map(|recorded| Spread::of(&recorded, MICROS))
}

/// The word for how a run ended.
pub fn ended(ending: &Ending) -> &'static str {
    match ending {
        Ending::Planned => "planned",
        Ending::Interrupted => "interrupted",
        Ending::Ceiling => "ceiling",
    }
}

/// The JSON Schema of the document.
pub fn schema() -> Value {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<LoadRecord>()
        .to_value()
}

impl LoadRecord {
    pub fn new(result: &LoadResult) -> LoadRecord {
        let seconds = result.measured.as_secs_f64();
        let all = result.harness_tally();
        let judged = result.judged();
        LoadRecord {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            run: result.run_id.clone(),
            started_at: result.started_at.clone(),
            finished_at: result.finished_at.clone(),
            mode: result.mode.clone(),
            load: result.load.clone(),
            seed: result.seed,
            clock: result.clock.word().to_owned(),
            measured_s: seconds,
            ended: ended(&result.ending).to_owned(),
            shard: None,
            partial: None,
            shards: Vec::new(),
            targets: result
                .lanes
                .iter()
                .enumerate()
                .map(|(index, lane)| TargetRecord {
                    objective: judged
                        .get(index)
                        .map(|judged| judged.iter().map(TermRecord::new).collect())
                        .unwrap_or_default(),
                    search: result.searches.get(index).map(SearchRecord::new),
                    ..TargetRecord::new(lane)
                })
                .collect(),
            harness: HarnessRecord {
                scheduler_lag_ms: spread(&all, Measure::StartLag),
                read_lag_ms: spread(&all, Measure::ReadLag),
                cpu_s: result.harness.cpu.iter().map(|cpu| cpu.as_secs_f64()).sum(),
                process_cpu_s: result.harness.process_cpu.as_secs_f64(),
                peak_rss_mb: result.harness.peak_rss.map(|bytes| bytes as f64 / 1e6),
                workers: result.harness.workers,
                wall_s: result.harness.wall.as_secs_f64(),
                stampless_reads: all.counts.stampless_reads,
                client_bottleneck: result.bottleneck(),
                missing: result.harness.missing.clone(),
            },
            calibration: None,
        }
    }

    /// The same, of a run that is not over.
    pub fn running(result: &LoadResult) -> LoadRecord {
        LoadRecord {
            ended: "running".to_owned(),
            ..LoadRecord::new(result)
        }
    }

    /// The document.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("plain data with text keys is JSON");
        text.push('\n');
        text
    }
}

impl TargetRecord {
    /// A lane's row.
    pub fn new(lane: &LaneResult) -> TargetRecord {
        let tally = &lane.tally;
        let seconds = lane.measured.as_secs_f64();
        let per_s = |count: u64| match seconds > 0.0 {
            true => count as f64 / seconds,
            false => 0.0,
        };
        let errors: u64 = tally.errors.values().sum();
        let share = estimate::share(errors.min(tally.counts.requests), tally.counts.requests);
        TargetRecord {
            target: lane.target.clone(),
            region: lane.region.clone(),
            sum_of_regions: Vec::new(),
            provider: lane.provider.clone(),
            dialect: lane.dialect.clone(),
            model: lane.model.clone(),
            endpoint: lane.endpoint.clone(),
            sign_in: lane.sign_in.clone(),
            price: lane.price.clone(),
            cost_usd: lane
                .price
                .as_ref()
                .map(|_| tally.counts.micro_dollars as f64 / 1e6),
            measured_s: seconds,
            requests: tally.counts.requests,
            errors: tally.errors.clone(),
            error_share: share.map(|share| ShareRecord {
                value: share.value,
                low: share.low,
                high: share.high,
            }),
            requests_per_s: per_s(tally.counts.completed_whole),
            // Of answers whose server says nothing of tokens nobody knows how many they had.
            output_tokens_per_s: (tally.counts.completed_tokens > 0
                || tally.counts.without_usage == 0)
                .then(|| per_s(tally.counts.completed_tokens)),
            goodput_per_s: per_s(tally.counts.completed_good),
            ttft_ms: spread(tally, Measure::Ttft),
            itl_ms: spread(tally, Measure::Itl),
            tpot_ms: spread(tally, Measure::Tpot),
            e2e_ms: spread(tally, Measure::E2e),
            measures_ms: Measure::ALL
                .into_iter()
                .filter_map(|measure| Some((measure.id().to_owned(), spread(tally, measure)?)))
                .collect(),
            output_tokens_per_s_of_a_request: tally
                .token_rate()
                .map(|rate| Spread::of(&rate.distribution(), 1000.0)),
            counts: tally
                .counts
                .clone()
                .fields()
                .into_iter()
                .map(|(name, count)| (name.to_owned(), *count))
                .collect(),
            objective: Vec::new(),
            search: None,
            examples: tally
                .examples
                .iter()
                .map(|(class, example)| {
                    let record = ExampleRecord {
                        status: example.status,
                        message: example.message.clone(),
                    };
                    (class.clone(), record)
                })
                .collect(),
        }
    }
}
