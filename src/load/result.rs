//! What a run of load came to: per lane its tally, and the harness's own share.
//!
//! Core: plain data, folded from what workers tell. What is written to disk is `report::load_record`'s.

use std::time::Duration;

use crate::load::find::{BoundedBy, Found};
use crate::load::judge::{self, Judged};
use crate::load::measure::Measure;
use crate::load::slo::{Objective, Outcome};
use crate::load::tally::Tally;
use crate::load::trust::{self, Share};
use crate::transport::wire::Clock;

/// A target in a region, and what was measured there.
#[derive(Debug, Clone)]
pub struct LaneResult {
    pub target: String,
    pub region: Option<String>,
    pub provider: String,
    pub dialect: String,
    pub model: String,
    pub endpoint: String,
    /// How it signed in; safe to print.
    pub sign_in: String,
    pub tally: Tally,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// As planned.
    Planned,
    /// By Ctrl-C or SIGTERM.
    Interrupted,
    /// A ceiling of tokens or cost was reached.
    Ceiling,
}

/// What the whole run says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The objective was kept, or there was none.
    Kept,
    /// It was not.
    Broken,
    /// That could not be told, or nothing was answered.
    Undetermined,
}

/// The harness's own part.
#[derive(Debug, Clone, Default)]
pub struct Harness {
    pub workers: usize,
    /// Processor time of each worker.
    pub cpu: Vec<Duration>,
    /// Processor time of the whole process, mocks in it included.
    pub process_cpu: Duration,
    /// Of the whole process, in bytes; `None` where it cannot be read.
    pub peak_rss: Option<u64>,
    /// Time the load took, drain included.
    pub wall: Duration,
}

/// A run.
#[derive(Debug, Clone)]
pub struct LoadResult {
    pub run_id: String,
    pub started_at: String,
    pub finished_at: String,
    /// Whom it asked, in words.
    pub mode: String,
    /// How it was loaded, in words.
    pub load: String,
    pub seed: u64,
    /// Whose times of arrival these are.
    pub clock: Clock,
    /// How long was measured.
    pub measured: Duration,
    pub ending: Ending,
    pub objective: Option<Objective>,
    /// One per lane, where the highest rate was searched.
    pub searches: Vec<Found>,
    pub lanes: Vec<LaneResult>,
    pub harness: Harness,
}

impl LoadResult {
    /// Classes of failure that say nothing about the provider.
    const UNREACHED: [&'static str; 4] = [
        "unreachable",
        "no_credentials",
        "credentials_expired",
        "invalid_credentials",
    ];

    /// All lanes' figures of the harness together.
    pub fn harness_tally(&self) -> Tally {
        let mut all = Tally::default();
        for lane in &self.lanes {
            all.add(&lane.tally);
        }
        all
    }

    /// The harness's own share.
    pub fn share(&self) -> Share {
        let all = self.harness_tally();
        let p99 = |measure| {
            let histogram = all.measured(measure)?;
            Some(Duration::from_micros(histogram.value_at_quantile(0.99)))
        };
        let wall = self.harness.wall.as_secs_f64();
        let busiest = self.harness.cpu.iter().max();
        Share {
            start_lag: p99(Measure::StartLag),
            read_lag: p99(Measure::ReadLag),
            busiest: busiest
                .filter(|_| wall > 0.0)
                .map(|cpu| cpu.as_secs_f64() / wall),
        }
    }

    /// How each lane kept the objective; empty where there is none.
    pub fn judged(&self) -> Vec<Vec<Judged>> {
        let objective = self.objective.iter();
        objective
            .flat_map(|objective| {
                let lanes = self.lanes.iter();
                lanes.map(|lane| judge::judge(objective, &lane.tally))
            })
            .collect()
    }

    /// What the whole run says. Where the client was the bottleneck, what was broken may be its fault.
    pub fn verdict(&self) -> Verdict {
        if !self.searches.is_empty() {
            // A limit was looked for; that there is one is no finding.
            let nothing = |found: &Found| found.highest.is_none();
            return match self.searches.iter().any(nothing) {
                true if self
                    .searches
                    .iter()
                    .any(|found| found.bounded_by == BoundedBy::Floor) =>
                {
                    Verdict::Broken
                }
                true => Verdict::Undetermined,
                false => Verdict::Kept,
            };
        }
        if self.lanes.iter().any(|lane| lane.tally.counts.whole == 0) {
            let answered = |lane: &LaneResult| {
                let errors = &lane.tally.errors;
                errors
                    .keys()
                    .any(|class| !Self::UNREACHED.contains(&class.as_str()))
            };
            return match self.lanes.iter().any(answered) {
                true => Verdict::Broken,
                false => Verdict::Undetermined,
            };
        }
        let outcomes: Vec<Outcome> = self
            .judged()
            .into_iter()
            .flatten()
            .map(|one| one.outcome)
            .collect();
        match (self.objective.is_some(), crate::load::slo::all(&outcomes)) {
            (false, _) | (_, Outcome::Held) => Verdict::Kept,
            (_, Outcome::Broken) if self.bottleneck().is_empty() => Verdict::Broken,
            _ => Verdict::Undetermined,
        }
    }

    /// Why the client was the bottleneck; empty where it was not.
    pub fn bottleneck(&self) -> Vec<String> {
        trust::bottleneck(&self.share())
    }
}
