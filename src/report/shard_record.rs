//! `shard-00001-of-00003.json`: one shard's part of a run of load, complete enough to be added to others.
//!
//! Core. Histograms travel whole (HdrHistogram's V2 encoding, deflated, base64), so that adding shards up is as
//! good as having measured in one place. Never holds a percentile: those cannot be added.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::load::measure::Measure;
use crate::load::price::Price;
use crate::load::result::{LaneResult, LoadResult};
use crate::load::tally::{Example, Tally};
use crate::plan::shard::Shard;
use crate::report::load_record;

/// The version of the format.
pub const SCHEMA: u32 = 1;

/// What a file of this format calls itself.
const KIND: &str = "sameturn load shard";

/// A shard's part of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardRecord {
    pub schema: u32,
    pub kind: String,
    pub run: String,
    /// Names this attempt at the shard.
    pub attempt: String,
    /// From 0.
    pub shard: u32,
    pub plan: PlanRecord,
    pub digest: String,
    pub mode: String,
    pub clock: String,
    pub ended: String,
    /// RFC 3339, UTC, by the clock of this machine, as all times here.
    pub started_at: String,
    pub finished_at: String,
    pub timing: TimingRecord,
    pub lanes: Vec<LaneRecord>,
    pub harness: ShardHarness,
}

/// What all shards of a run have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// Of sameturn: another one may draw other arrivals from the same seed.
    pub version: String,
    pub of: u32,
    pub seed: u64,
    /// All settings of the schedule.
    pub schedule: String,
    /// The schedule in words.
    pub load: String,
    pub lanes: Vec<PlannedLane>,
    /// Digests of what is asked.
    pub scenarios: Vec<String>,
    /// What all shards together are to keep, as it is written on the command line.
    pub objective: Option<String>,
}

/// A target in a region, as planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedLane {
    pub target: String,
    pub region: Option<String>,
    pub provider: String,
    pub dialect: String,
    pub model: String,
    /// `built-in mock` where each shard has one of its own.
    pub endpoint: String,
}

/// When it ran.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TimingRecord {
    /// The start of the load, in milliseconds since 1970.
    pub began_ms: u64,
    /// Where a start was agreed: how much later than that it was.
    pub late_ms: Option<f64>,
    /// How far the clock of this machine is ahead of true time; null where it is not known.
    pub clock_offset_ms: Option<f64>,
    /// The measured window, in milliseconds since 1970.
    pub window_from_ms: u64,
    pub window_to_ms: u64,
    pub measured_s: f64,
}

/// A lane's figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneRecord {
    pub endpoint: String,
    pub sign_in: String,
    /// What its tokens cost, where that is known.
    pub price: Option<Price>,
    /// How long was measured here.
    pub measured_s: f64,
    pub counts: BTreeMap<String, u64>,
    pub errors: BTreeMap<String, u64>,
    pub examples: BTreeMap<String, ShardExample>,
    /// By measure, in microseconds.
    pub histograms: BTreeMap<String, String>,
    /// Output tokens per second of each answer, in thousandths.
    pub token_rate: Option<String>,
}

/// How a failure showed; without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardExample {
    pub status: Option<u16>,
    pub message: String,
}

/// The harness's own part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardHarness {
    pub workers: usize,
    pub cpu_s: Vec<f64>,
    pub process_cpu_s: f64,
    pub peak_rss: Option<u64>,
    pub wall_s: f64,
    pub bottleneck: Vec<String>,
    /// Whether it had too much to do, so that what is broken may be its fault.
    pub overloaded: bool,
}

/// A file that is not a shard's record.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ShardError {
    #[error("`{0}` is not the record of a shard: {1}")]
    Unreadable(String, String),
    #[error(
        "`{0}` has schema {1}; this version reads {SCHEMA}: merge with the version that wrote it"
    )]
    Schema(String, u32),
    #[error("`{0}` says that it is `{1}`, and is not: it was changed, or cut")]
    Digest(String, String),
    #[error("`{0}`: the histogram {1} cannot be read: {2}")]
    Histogram(String, String, String),
}

impl PlanRecord {
    /// SHA-256 of all of it, hexadecimal.
    pub fn digest(&self) -> String {
        let text = serde_json::to_string(self).expect("plain data with text keys is JSON");
        let digest = Sha256::digest(text.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first thing that another plan has different, in words; `None` where they are the same.
    pub fn differs(&self, other: &PlanRecord) -> Option<String> {
        let said = |what: &str, own: &dyn std::fmt::Display, others: &dyn std::fmt::Display| {
            Some(format!("{what}: {own} and {others}"))
        };
        if self.version != other.version {
            return said("the version of sameturn", &self.version, &other.version);
        }
        if self.of != other.of {
            return said("the number of shards", &self.of, &other.of);
        }
        if self.seed != other.seed {
            return said("the seed", &self.seed, &other.seed);
        }
        if self.schedule != other.schedule || self.load != other.load {
            return said(
                "the load",
                &format!("{} ({})", self.load, self.schedule),
                &format!("{} ({})", other.load, other.schedule),
            );
        }
        if self.lanes != other.lanes {
            return Some("the targets or their regions, models or endpoints".to_owned());
        }
        if self.objective != other.objective {
            return Some("the objective".to_owned());
        }
        (self.scenarios != other.scenarios).then(|| "what is asked".to_owned())
    }
}

impl ShardRecord {
    /// The record of a shard that ended. `plan` must be that of all shards.
    pub fn new(
        result: &LoadResult,
        run: &str,
        shard: Shard,
        plan: PlanRecord,
        timing: TimingRecord,
    ) -> ShardRecord {
        ShardRecord {
            schema: SCHEMA,
            kind: KIND.to_owned(),
            run: run.to_owned(),
            attempt: result.run_id.clone(),
            shard: shard.index(),
            digest: plan.digest(),
            plan,
            mode: result.mode.clone(),
            clock: result.clock.word().to_owned(),
            ended: load_record::ended(&result.ending).to_owned(),
            started_at: result.started_at.clone(),
            finished_at: result.finished_at.clone(),
            timing,
            lanes: result.lanes.iter().map(LaneRecord::new).collect(),
            harness: ShardHarness {
                workers: result.harness.workers,
                cpu_s: result
                    .harness
                    .cpu
                    .iter()
                    .map(Duration::as_secs_f64)
                    .collect(),
                process_cpu_s: result.harness.process_cpu.as_secs_f64(),
                peak_rss: result.harness.peak_rss,
                wall_s: result.harness.wall.as_secs_f64(),
                bottleneck: result.bottleneck(),
                overloaded: result.overloaded(),
            },
        }
    }

    /// The name of its file.
    pub fn file_name(shard: Shard) -> String {
        format!("shard-{}.json", shard.file_part())
    }

    /// Whether a file is named as a shard's record is.
    pub fn is_file_name(name: &str) -> bool {
        let numbers = name
            .strip_prefix("shard-")
            .and_then(|rest| rest.strip_suffix(".json"))
            .and_then(|rest| rest.split_once("-of-"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        numbers.is_some_and(|(index, count)| digits(index) && digits(count))
    }

    /// The document.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("plain data with text keys is JSON");
        text.push('\n');
        text
    }

    /// Reads the document; `name` is for messages.
    pub fn read(name: &str, bytes: &[u8]) -> Result<ShardRecord, ShardError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
            kind: String,
        }
        let unreadable =
            |error: serde_json::Error| ShardError::Unreadable(name.to_owned(), error.to_string());
        let version: Version = serde_json::from_slice(bytes).map_err(unreadable)?;
        if version.kind != KIND {
            let what = "it says that it is something else".to_owned();
            return Err(ShardError::Unreadable(name.to_owned(), what));
        }
        if version.schema != SCHEMA {
            return Err(ShardError::Schema(name.to_owned(), version.schema));
        }
        let record: ShardRecord = serde_json::from_slice(bytes).map_err(unreadable)?;
        if record.plan.digest() != record.digest {
            return Err(ShardError::Digest(name.to_owned(), record.digest));
        }
        if record.shard >= record.plan.of || record.lanes.len() != record.plan.lanes.len() {
            let what = "its numbers contradict each other".to_owned();
            return Err(ShardError::Unreadable(name.to_owned(), what));
        }
        Ok(record)
    }

    /// Whether both are of the same part of the same plan and came to the same: as many requests, ended alike,
    /// at each lane. Times are not compared: no two attempts take the same.
    pub fn says_the_same(&self, other: &ShardRecord) -> bool {
        const COMPARED: [&str; 4] = ["requests", "whole", "conversations", "output_tokens"];
        self.digest == other.digest
            && self.shard == other.shard
            && self.lanes.len() == other.lanes.len()
            && self.lanes.iter().zip(&other.lanes).all(|(own, others)| {
                own.errors == others.errors
                    && COMPARED
                        .iter()
                        .all(|name| own.counts.get(*name) == others.counts.get(*name))
            })
    }

    /// Requests that were measured.
    pub fn requests(&self) -> u64 {
        let of = |lane: &LaneRecord| lane.counts.get("requests").copied().unwrap_or(0);
        self.lanes.iter().map(of).sum()
    }

    /// How it is called in messages: `shard 2 of 3`.
    pub fn label(&self) -> String {
        format!("shard {} of {}", self.shard + 1, self.plan.of)
    }
}

impl LaneRecord {
    /// A lane's figures, written down.
    pub fn new(lane: &LaneResult) -> LaneRecord {
        let tally = &lane.tally;
        LaneRecord {
            endpoint: lane.endpoint.clone(),
            sign_in: lane.sign_in.clone(),
            price: lane.price.clone(),
            measured_s: lane.measured.as_secs_f64(),
            counts: tally
                .counts
                .clone()
                .fields()
                .into_iter()
                .map(|(name, count)| (name.to_owned(), *count))
                .collect(),
            errors: tally.errors.clone(),
            examples: tally
                .examples
                .iter()
                .map(|(class, example)| {
                    let example = ShardExample {
                        status: example.status,
                        message: example.message.clone(),
                    };
                    (class.clone(), example)
                })
                .collect(),
            histograms: Measure::ALL
                .into_iter()
                .filter_map(|measure| {
                    let written = write(&tally.recorded(measure)?.histogram());
                    Some((measure.id().to_owned(), written))
                })
                .collect(),
            token_rate: tally.token_rate().map(|rate| write(&rate.histogram())),
        }
    }

    /// The figures as they were; `name` is for messages.
    pub fn tally(&self, name: &str) -> Result<Tally, ShardError> {
        let mut tally = Tally::default();
        for (field, count) in tally.counts.fields() {
            *count = self.counts.get(field).copied().unwrap_or(0);
        }
        tally.errors = self.errors.clone();
        for (class, example) in &self.examples {
            let example = Example {
                status: example.status,
                message: example.message.clone(),
            };
            tally.examples.insert(class.clone(), example);
        }
        let broken = |measure: &str, reason: String| {
            ShardError::Histogram(name.to_owned(), measure.to_owned(), reason)
        };
        for (id, text) in &self.histograms {
            let measure =
                Measure::of(id).ok_or_else(|| broken(id, "there is no such measure".to_owned()))?;
            let histogram = read(text).map_err(|reason| broken(id, reason))?;
            tally.restore(measure, histogram);
        }
        if let Some(text) = &self.token_rate {
            let rate = read(text).map_err(|reason| broken("token_rate", reason))?;
            tally.restore_token_rate(rate);
        }
        Ok(tally)
    }
}

fn write(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .expect("memory takes whatever a histogram has");
    STANDARD.encode(bytes)
}

/// The most that a histogram may take uncompressed is bounded by its own range; what claims more is refused by
/// the crate's reader.
fn read(text: &str) -> Result<Histogram<u64>, String> {
    let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| error.to_string())
}
