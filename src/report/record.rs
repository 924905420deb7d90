//! The document of a run as `run.json` holds it: schema 1, written and read.
//!
//! With `turns` the only types that are serialised to disk; inner types never are, so that the
//! format changes only on purpose. A finding is never left out: one that a known gap explains says so.
//! Times are milliseconds to a tenth; `null` where there is none.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::check::finding::{Finding, Severity};
use crate::metric::latency::Latency;
use crate::report::event::{CellResult, Judged, KnownGap, Verdict};
use crate::report::summary::{Overall, RunSummary};

/// The version of the format. Raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub schema: u32,
    pub run_id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// `null` until the run ended.
    pub finished_at: Option<String>,
    /// Of sameturn.
    pub version: String,
    pub mode: String,
    pub seed: u64,
    pub repeat: u32,
    pub reference: String,
    /// True until the run ended by itself.
    pub interrupted: bool,
    pub verdict: RunVerdict,
    /// Cells that were planned; `cells` has those that ended.
    pub planned_cells: usize,
    pub exchanges: u64,
    pub targets: Vec<RunTarget>,
    pub scenarios: Vec<RunScenario>,
    pub cells: Vec<RunCell>,
    pub findings: Vec<RunFinding>,
    pub latency: Vec<RunLatency>,
    pub stale_gaps: Vec<RunStaleGap>,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunVerdict {
    Pass,
    Findings,
    Undetermined,
}

/// What a cell came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CellVerdict {
    Pass,
    Fail,
    KnownGap,
    NotApplicable,
    Undetermined,
}

/// How much a finding weighs; greater weighs more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    Info,
    Should,
    Must,
}

/// A target in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTarget {
    pub name: String,
    pub provider: String,
    pub dialect: String,
    pub model: String,
    pub region: Option<String>,
    pub endpoint: String,
    /// The variable or profile that named it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_from: Option<String>,
    pub mocked: bool,
    /// How it signed in; null where it did not.
    pub sign_in: Option<String>,
    /// What is known about the target or its sign-in that works and probably is not meant.
    pub warnings: Vec<String>,
}

/// A scenario of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunScenario {
    pub name: String,
    pub about: String,
    pub digest: String,
    /// `built in`, or the file.
    pub origin: String,
}

/// A cell that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunCell {
    pub scenario: String,
    pub target: String,
    pub region: Option<String>,
    pub repeat: u32,
    pub verdict: CellVerdict,
    pub reason: String,
    pub failure: Option<String>,
    /// Attempts that were repeated, or could have been.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retries: Vec<RunRetry>,
    /// Of the first turn that had output.
    pub ttft_ms: Option<f64>,
    /// The sum over the exchanges that completed; `null` where none did.
    pub total_ms: Option<f64>,
    pub outline: Vec<String>,
}

/// A failed attempt of a turn that the scenario wants repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRetry {
    /// Counting from 1.
    pub turn: usize,
    /// Counting from 1.
    pub attempt: usize,
    pub failure: String,
    /// `null` where there was no other attempt.
    pub waited_ms: Option<f64>,
    pub gave_up: Option<String>,
}

impl RunCell {
    /// `turn 1, first attempt: throttled (waited 1.0 s)`, one text per failed attempt.
    pub fn retried(&self) -> Vec<String> {
        self.retries
            .iter()
            .map(|one| {
                let attempt = match one.attempt {
                    1 => "first attempt".to_owned(),
                    number => format!("attempt {number}"),
                };
                let then = match (one.waited_ms, &one.gave_up) {
                    (Some(waited), _) => format!("waited {:.1} s", waited / 1000.0),
                    (None, Some(why)) => format!("gave up: {why}"),
                    (None, None) => "no other attempt".to_owned(),
                };
                format!("turn {}, {attempt}: {} ({then})", one.turn, one.failure)
            })
            .collect()
    }
}

/// Something that did not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFinding {
    pub rule: String,
    pub severity: Weight,
    pub scenario: String,
    pub target: String,
    pub region: Option<String>,
    pub repeat: u32,
    pub message: String,
    pub evidence: RunEvidence,
    pub cause: Option<String>,
    pub fix: Option<String>,
    pub known_gap: Option<RunGap>,
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEvidence {
    /// Counting from 1.
    pub turn: Option<usize>,
    /// Counting from 0.
    pub event: Option<usize>,
    pub expected: Option<String>,
    pub got: Option<String>,
    pub excerpt: Option<String>,
}

/// A known gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunGap {
    pub id: String,
    pub about: String,
    pub consequence: String,
    pub source: String,
    pub date: String,
}

/// A known gap that no longer shows at a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStaleGap {
    pub gap: RunGap,
    pub target: String,
    pub region: Option<String>,
}

/// Latency at a target in one region, over the cells that ended without a failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunLatency {
    pub target: String,
    pub region: Option<String>,
    /// Exchanges that completed.
    pub turns: u64,
    pub ttft_ms: Quantiles,
    pub total_ms: Quantiles,
}

/// Two quantiles, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many values they are of.
    pub n: u64,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
}

/// Why a document is not a run.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("not JSON: {0}")]
    Json(#[source] serde_json::Error),
    #[error("no number under `schema`: this is not a run of sameturn")]
    NoSchema,
    #[error("written in schema {found}; this version reads schema {SCHEMA}: use a newer sameturn")]
    Schema { found: u64 },
    #[error("not a run of schema {SCHEMA}: {0}")]
    Shape(#[source] serde_json::Error),
}

impl Run {
    /// The document of a run, as far as it came.
    pub fn new(summary: &RunSummary) -> Run {
        let plan = &summary.plan;
        let ended = || {
            summary
                .cells
                .iter()
                .enumerate()
                .filter_map(|(index, cell)| Some((index, cell.as_ref()?)))
        };
        let own =
            ended().flat_map(|(index, cell)| cell.findings.iter().map(move |one| (index, one)));
        let placed = summary.findings.iter().map(|one| (one.cell, &one.judged));
        Run {
            schema: SCHEMA,
            run_id: plan.run_id.clone(),
            started_at: plan.started_at.clone(),
            finished_at: summary.finished_at.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: plan.mode.clone(),
            seed: plan.seed,
            repeat: plan.repeat,
            reference: plan.reference.clone(),
            interrupted: summary.interrupted,
            verdict: match summary.overall() {
                Overall::Pass => RunVerdict::Pass,
                Overall::Findings => RunVerdict::Findings,
                Overall::Undetermined => RunVerdict::Undetermined,
            },
            planned_cells: plan.cells.len(),
            exchanges: summary.exchanges,
            targets: plan
                .targets
                .iter()
                .map(|target| RunTarget {
                    name: target.name.clone(),
                    provider: target.provider.clone(),
                    dialect: target.dialect.clone(),
                    model: target.model.clone(),
                    region: target.region.clone(),
                    endpoint: target.endpoint.clone(),
                    endpoint_from: target.endpoint_from.clone(),
                    mocked: target.mocked,
                    sign_in: target.sign_in.clone(),
                    warnings: [target.foreseen.as_slice(), &target.warnings].concat(),
                })
                .collect(),
            scenarios: plan
                .scenarios
                .iter()
                .map(|scenario| RunScenario {
                    name: scenario.name.clone(),
                    about: scenario.about.clone(),
                    digest: scenario.digest.clone(),
                    origin: scenario.origin.clone(),
                })
                .collect(),
            cells: ended()
                .filter_map(|(index, cell)| run_cell(summary, index, cell))
                .collect(),
            findings: own
                .chain(placed)
                .filter_map(|(index, one)| run_finding(summary, index, one))
                .collect(),
            latency: latency(summary),
            stale_gaps: summary
                .stale_gaps
                .iter()
                .filter_map(|stale| {
                    let target = plan.targets.get(stale.target)?;
                    Some(RunStaleGap {
                        gap: run_gap(&stale.gap),
                        target: target.name.clone(),
                        region: target.region.clone(),
                    })
                })
                .collect(),
        }
    }

    /// Reads `run.json`. Unknown fields are passed over; another schema is refused.
    pub fn read(text: &str) -> Result<Run, ReadError> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(ReadError::Json)?;
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            None => return Err(ReadError::NoSchema),
            Some(found) if found != u64::from(SCHEMA) => return Err(ReadError::Schema { found }),
            Some(_) => {}
        }
        serde_json::from_value(value).map_err(ReadError::Shape)
    }

    /// The text of `run.json`, ending in a newline.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain data has a JSON form");
        text.push('\n');
        text
    }

    /// The same run with every string that came from outside passed through `redact`.
    pub fn redacted(mut self, redact: &dyn Fn(&str) -> String) -> Run {
        self.each_outside_string(&mut |text| *text = redact(text));
        self
    }

    fn each_outside_string(&mut self, each: &mut dyn FnMut(&mut String)) {
        each(&mut self.mode);
        each(&mut self.reference);
        for one in &mut self.targets {
            for text in [
                &mut one.name,
                &mut one.provider,
                &mut one.dialect,
                &mut one.model,
                &mut one.endpoint,
            ] {
                each(text);
            }
            one.region
                .iter_mut()
                .chain(&mut one.endpoint_from)
                .chain(&mut one.sign_in)
                .chain(&mut one.warnings)
                .for_each(&mut *each);
        }
        for one in &mut self.scenarios {
            for text in [&mut one.name, &mut one.about, &mut one.origin] {
                each(text);
            }
        }
        for one in &mut self.cells {
            for text in [&mut one.scenario, &mut one.target, &mut one.reason] {
                each(text);
            }
            one.region
                .iter_mut()
                .chain(&mut one.failure)
                .chain(&mut one.outline)
                .for_each(&mut *each);
        }
        for one in &mut self.findings {
            for text in [
                &mut one.rule,
                &mut one.scenario,
                &mut one.target,
                &mut one.message,
            ] {
                each(text);
            }
            let evidence = &mut one.evidence;
            for text in [
                &mut one.region,
                &mut one.cause,
                &mut one.fix,
                &mut evidence.expected,
                &mut evidence.got,
                &mut evidence.excerpt,
            ] {
                text.iter_mut().for_each(&mut *each);
            }
        }
        for one in &mut self.latency {
            each(&mut one.target);
            one.region.iter_mut().for_each(&mut *each);
        }
        for one in &mut self.stale_gaps {
            each(&mut one.target);
            one.region.iter_mut().for_each(&mut *each);
        }
    }
}

/// `mantle us-east-1`: the heading of a column, and how a place is named.
pub fn label(target: &str, region: Option<&str>) -> String {
    match region {
        Some(region) => format!("{target} {region}"),
        None => target.to_owned(),
    }
}

/// Milliseconds to a tenth.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

fn run_cell(summary: &RunSummary, index: usize, cell: &CellResult) -> Option<RunCell> {
    let place = summary.plan.cells.get(index)?;
    let target = summary.plan.targets.get(place.target)?;
    Some(RunCell {
        scenario: summary.plan.scenarios.get(place.scenario)?.name.clone(),
        target: target.name.clone(),
        region: target.region.clone(),
        repeat: place.repeat,
        verdict: match summary.verdict(index)? {
            Verdict::Pass => CellVerdict::Pass,
            Verdict::Fail => CellVerdict::Fail,
            Verdict::KnownGap => CellVerdict::KnownGap,
            Verdict::NotApplicable => CellVerdict::NotApplicable,
            Verdict::Undetermined => CellVerdict::Undetermined,
        },
        retries: cell
            .retries
            .iter()
            .map(|one| RunRetry {
                turn: one.turn,
                attempt: one.attempt,
                failure: one.failure.clone(),
                waited_ms: one.waited.map(millis),
                gave_up: one.gave_up.clone(),
            })
            .collect(),
        reason: cell.reason.clone(),
        failure: cell.failure.clone(),
        ttft_ms: cell.ttft.first().copied().map(millis),
        total_ms: (!cell.total.is_empty()).then(|| millis(cell.total.iter().sum())),
        outline: cell.outline.clone(),
    })
}

fn run_finding(summary: &RunSummary, index: usize, judged: &Judged) -> Option<RunFinding> {
    let place = summary.plan.cells.get(index)?;
    let target = summary.plan.targets.get(place.target)?;
    let Finding {
        rule,
        severity,
        message,
        evidence,
        cause,
        fix,
    } = &judged.finding;
    Some(RunFinding {
        rule: rule.clone(),
        severity: match severity {
            Severity::Info => Weight::Info,
            Severity::Should => Weight::Should,
            Severity::Must => Weight::Must,
        },
        scenario: summary.plan.scenarios.get(place.scenario)?.name.clone(),
        target: target.name.clone(),
        region: target.region.clone(),
        repeat: place.repeat,
        message: message.clone(),
        evidence: RunEvidence {
            turn: evidence.turn,
            event: evidence.event,
            expected: evidence.expected.clone(),
            got: evidence.got.clone(),
            excerpt: evidence.excerpt.clone(),
        },
        cause: cause.clone(),
        fix: fix.clone(),
        known_gap: judged.gap.as_ref().map(run_gap),
    })
}

fn run_gap(gap: &KnownGap) -> RunGap {
    RunGap {
        id: gap.id.clone(),
        about: gap.about.clone(),
        consequence: gap.consequence.clone(),
        source: gap.source.clone(),
        date: gap.date.clone(),
    }
}

/// An exchange that failed says how fast a refusal is, not how fast a turn is: cells with a failure,
/// expected or not, are left out.
fn latency(summary: &RunSummary) -> Vec<RunLatency> {
    let mut by_target: HashMap<usize, (Latency, Latency)> = HashMap::new();
    for (place, cell) in summary.plan.cells.iter().zip(&summary.cells) {
        let Some(cell) = cell.as_ref().filter(|cell| cell.failure.is_none()) else {
            continue;
        };
        let (ttft, total) = by_target.entry(place.target).or_default();
        cell.ttft.iter().for_each(|one| ttft.record(*one));
        cell.total.iter().for_each(|one| total.record(*one));
    }
    let targets = summary.plan.targets.iter().enumerate();
    targets
        .filter_map(|(index, target)| {
            let (ttft, total) = by_target.get(&index)?;
            (total.count() > 0).then(|| RunLatency {
                target: target.name.clone(),
                region: target.region.clone(),
                turns: total.count(),
                ttft_ms: quantiles(ttft),
                total_ms: quantiles(total),
            })
        })
        .collect()
}

fn quantiles(latency: &Latency) -> Quantiles {
    Quantiles {
        n: latency.count(),
        p50: latency.quantile(0.5).map(millis),
        p95: latency.quantile(0.95).map(millis),
    }
}
