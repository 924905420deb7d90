//! `load.json`: what a run of load is on disk and for `--format json`.
//!
//! The only types of load that are serialised for reading by others; docs/load.md says what each means.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::load::measure::Measure;
use crate::load::result::{Ending, LaneResult, LoadResult};
use crate::load::tally::Tally;
use crate::report::load_objective::{SearchRecord, TermRecord};
use crate::transport::wire::Clock;

/// The version of the format.
pub const SCHEMA: u32 = 1;

/// The percentiles that are told, with their names.
pub const PERCENTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p99_9", 0.999),
];

/// A run.
#[derive(Debug, Clone, Serialize)]
pub struct LoadRecord {
    pub schema: u32,
    pub run: String,
    pub started_at: String,
    pub finished_at: String,
    pub mode: String,
    pub load: String,
    pub seed: u64,
    /// `kernel` or `read`: whose times of arrival these are.
    pub clock: &'static str,
    pub measured_s: f64,
    /// `planned`, `interrupted` or `ceiling`.
    pub ended: &'static str,
    pub targets: Vec<TargetRecord>,
    pub harness: HarnessRecord,
}

/// A target in a region.
#[derive(Debug, Clone, Serialize)]
pub struct TargetRecord {
    pub target: String,
    pub region: Option<String>,
    pub provider: String,
    pub dialect: String,
    pub model: String,
    pub endpoint: String,
    pub sign_in: String,
    pub requests: u64,
    pub errors: BTreeMap<String, u64>,
    pub requests_per_s: f64,
    pub output_tokens_per_s: f64,
    pub goodput_per_s: f64,
    pub ttft_ms: Option<Spread>,
    pub itl_ms: Option<Spread>,
    pub tpot_ms: Option<Spread>,
    pub e2e_ms: Option<Spread>,
    /// All measures by name, these four included.
    pub measures_ms: BTreeMap<&'static str, Spread>,
    pub output_tokens_per_s_of_a_request: Option<Spread>,
    pub counts: BTreeMap<&'static str, u64>,
    /// How the objective was kept; empty where there is none.
    pub objective: Vec<TermRecord>,
    /// The search for the highest rate, where there was one.
    pub search: Option<SearchRecord>,
    /// How each class of failure showed first.
    pub examples: BTreeMap<String, ExampleRecord>,
}

/// How a failure showed.
#[derive(Debug, Clone, Serialize)]
pub struct ExampleRecord {
    pub status: Option<u16>,
    pub message: String,
}

/// A distribution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    pub n: u64,
    pub min: f64,
    pub mean: f64,
    pub max: f64,
    /// A percentile that the run is too short for is null.
    #[serde(flatten)]
    pub percentiles: BTreeMap<&'static str, Option<f64>>,
    /// 95 % intervals of the percentiles.
    pub intervals: BTreeMap<&'static str, [f64; 2]>,
}

/// The harness's own part.
#[derive(Debug, Clone, Serialize)]
pub struct HarnessRecord {
    pub scheduler_lag_ms: Option<Spread>,
    pub read_lag_ms: Option<Spread>,
    /// Of the workers.
    pub cpu_s: f64,
    /// Of the whole process, mocks in it included.
    pub process_cpu_s: f64,
    pub peak_rss_mb: Option<f64>,
    pub workers: usize,
    pub wall_s: f64,
    pub stampless_reads: u64,
    /// Why the client was the bottleneck; empty where it was not.
    pub client_bottleneck: Vec<String>,
}

impl Spread {
    /// The distribution in a histogram; `scale` of its units make one of ours.
    pub fn of(histogram: &Histogram<u64>, scale: f64) -> Spread {
        let shown = |value: u64| value as f64 / scale;
        let mut percentiles = BTreeMap::new();
        let mut intervals = BTreeMap::new();
        for (name, quantile) in PERCENTILES {
            let estimate = estimate(histogram, quantile);
            percentiles.insert(name, estimate.map(|one| shown(one[0])));
            if let Some([_, low, high]) = estimate {
                intervals.insert(name, [shown(low), shown(high)]);
            }
        }
        Spread {
            n: histogram.len(),
            min: shown(histogram.min()),
            mean: histogram.mean() / scale,
            max: shown(histogram.max()),
            percentiles,
            intervals,
        }
    }
}

// TEMP
fn estimate(histogram: &Histogram<u64>, quantile: f64) -> Option<[u64; 3]> {
    let value = histogram.value_at_quantile(quantile);
    Some([value, value, value])
}

const MICROS: f64 = 1000.0;

fn spread(tally: &Tally, measure: Measure) -> Option<Spread> {
    tally
        .measured(measure)
        .map(|histogram| Spread::of(histogram, MICROS))
}

impl LoadRecord {
    pub fn new(result: &LoadResult) -> LoadRecord {
        let seconds = result.measured.as_secs_f64();
        let all = result.harness_tally();
        let judged = result.judged();
        LoadRecord {
            schema: SCHEMA,
            run: result.run_id.clone(),
            started_at: result.started_at.clone(),
            finished_at: result.finished_at.clone(),
            mode: result.mode.clone(),
            load: result.load.clone(),
            seed: result.seed,
            clock: match result.clock {
                Clock::Kernel => "kernel",
                Clock::Read => "read",
            },
            measured_s: seconds,
            ended: match result.ending {
                Ending::Planned => "planned",
                Ending::Interrupted => "interrupted",
                Ending::Ceiling => "ceiling",
            },
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
                    ..target(lane, seconds)
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
            },
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

fn target(lane: &LaneResult, seconds: f64) -> TargetRecord {
    let tally = &lane.tally;
    let per_s = |count: u64| match seconds > 0.0 {
        true => count as f64 / seconds,
        false => 0.0,
    };
    TargetRecord {
        target: lane.target.clone(),
        region: lane.region.clone(),
        provider: lane.provider.clone(),
        dialect: lane.dialect.clone(),
        model: lane.model.clone(),
        endpoint: lane.endpoint.clone(),
        sign_in: lane.sign_in.clone(),
        requests: tally.counts.requests,
        errors: tally.errors.clone(),
        requests_per_s: per_s(tally.counts.completed_whole),
        output_tokens_per_s: per_s(tally.counts.completed_tokens),
        goodput_per_s: per_s(tally.counts.completed_good),
        ttft_ms: spread(tally, Measure::Ttft),
        itl_ms: spread(tally, Measure::Itl),
        tpot_ms: spread(tally, Measure::Tpot),
        e2e_ms: spread(tally, Measure::E2e),
        measures_ms: Measure::ALL
            .into_iter()
            .filter_map(|measure| Some((measure.id(), spread(tally, measure)?)))
            .collect(),
        output_tokens_per_s_of_a_request: tally
            .token_rate
            .as_deref()
            .filter(|rate| !rate.is_empty())
            .map(|rate| Spread::of(rate, 1000.0)),
        counts: tally
            .counts
            .clone()
            .fields()
            .into_iter()
            .map(|(name, count)| (name, *count))
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
