//! What a run of load came to: per lane its tally, and the harness's own share.
//!
//! Core: plain data, folded from what workers tell. What is written to disk is `report::load_record`'s.

use std::time::Duration;

use crate::load::find::{BoundedBy, Found};
use crate::load::judge::{self, Judged};
use crate::load::slo::{self, Objective, Outcome};
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
    /// What is missing from the figures through a fault of this program, in words; empty where nothing is.
    pub missing: Vec<String>,
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

/// Classes of failure that say nothing about the provider.
const UNREACHED: [&str; 4] = [
    "unreachable",
    "no_credentials",
    "credentials_expired",
    "invalid_credentials",
];

impl LoadResult {
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
        let tallies = self.lanes.iter().map(|lane| &lane.tally);
        Share::of(tallies, &self.harness.cpu, self.harness.wall)
    }

    /// How each lane kept the objective; empty where there is none, and after a search, whose steps were good and
    /// bad on purpose.
    pub fn judged(&self) -> Vec<Vec<Judged>> {
        let objective = self.objective.iter().filter(|_| self.searches.is_empty());
        objective
            .flat_map(|objective| {
                let lanes = self.lanes.iter();
                lanes.map(|lane| judge::judge(objective, &lane.tally))
            })
            .collect()
    }

    /// What the whole run says: the worst of its lanes. Where the client was the bottleneck, what was broken may
    /// be its fault.
    pub fn verdict(&self) -> Verdict {
        if !self.searches.is_empty() {
            return worst(self.searches.iter().map(of_search));
        }
        // A shard may have nothing to do at a lane.
        let busy = |lane: &&LaneResult| lane.tally.counts.requests > 0;
        if !self.lanes.iter().any(|lane| busy(&lane)) {
            return Verdict::Undetermined;
        }
        let by_answers = self.lanes.iter().filter(busy).map(of_answers);
        let client = !self.bottleneck().is_empty();
        let by_objective = self.lanes.iter().filter(busy).map(|lane| {
            let judged = self.objective.iter();
            let judged = judged.flat_map(|objective| judge::judge(objective, &lane.tally));
            let outcomes: Vec<Outcome> = judged.map(|one| one.outcome).collect();
            match slo::all(&outcomes) {
                Outcome::Held => Verdict::Kept,
                Outcome::Broken if !client => Verdict::Broken,
                Outcome::Broken | Outcome::Undecided => Verdict::Undetermined,
            }
        });
        worst(by_answers.chain(by_objective))
    }

    /// Why the client was the bottleneck; empty where it was not.
    pub fn bottleneck(&self) -> Vec<String> {
        trust::bottleneck(&self.share())
    }
}

/// Broken as soon as one is, kept only where all are.
fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let mut worst = Verdict::Kept;
    for verdict in verdicts {
        match verdict {
            Verdict::Broken => return Verdict::Broken,
            Verdict::Undetermined => worst = Verdict::Undetermined,
            Verdict::Kept => {}
        }
    }
    worst
}

/// A limit was looked for: that there is one is no finding, that even the lowest rate is too much is.
fn of_search(found: &Found) -> Verdict {
    let last = found.steps.last().map(|step| step.outcome.held);
    match (found.highest, found.bounded_by, last) {
        (Some(_), ..) => Verdict::Kept,
        (None, BoundedBy::Floor, Some(Outcome::Broken)) => Verdict::Broken,
        (None, ..) => Verdict::Undetermined,
    }
}

/// A lane that answered nothing but errors.
fn of_answers(lane: &LaneResult) -> Verdict {
    let errors = &lane.tally.errors;
    let told = |class: &String| !UNREACHED.contains(&class.as_str());
    match (lane.tally.counts.whole, errors.keys().any(told)) {
        (0, true) => Verdict::Broken,
        (0, false) => Verdict::Undetermined,
        _ => Verdict::Kept,
    }
}
