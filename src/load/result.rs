//! What a run of load came to: per lane its tally, and the harness's own share.
//!
//! Core: plain data, folded from what workers tell. What is written to disk is `report::load_record`'s.

use std::time::Duration;

use crate::load::find::{BoundedBy, Found};
use crate::load::judge::{self, Judged};
use crate::load::price::Price;
use crate::load::slo::{self, Objective, Outcome, Term};
use crate::load::tally::Tally;
use crate::load::trust::{self, Busy, Share};
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
    /// What its tokens cost, where that is known.
    pub price: Option<Price>,
    /// How long was measured here; the rates are per second of this.
    pub measured: Duration,
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
    /// How busy each worker was while it was measured.
    pub busy: Vec<Busy>,
    /// Why the client was the bottleneck, where that is known from elsewhere: each shard says its own.
    pub told: Option<Told>,
    /// Processor time of the whole process, mocks in it included.
    pub process_cpu: Duration,
    /// Of the whole process, in bytes; `None` where it cannot be read.
    pub peak_rss: Option<u64>,
    /// Time the load took, drain included.
    pub wall: Duration,
    /// What is missing from the figures through a fault of this program, in words; empty where nothing is.
    pub missing: Vec<String>,
}

/// What shards said of their own client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Why it was the bottleneck; empty where it was not.
    pub reasons: Vec<String>,
    /// Whether it had too much to do.
    pub overloaded: bool,
}

impl Harness {
    /// Adds how busy the workers were in another round.
    pub fn add_busy(&mut self, more: &[Busy]) {
        let all = self.busy.len().max(more.len());
        self.busy.resize(all, Busy::default());
        for (own, more) in self.busy.iter_mut().zip(more) {
            own.add(*more);
        }
    }
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
    /// How long was measured, at the lane where it took longest.
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
    /// Adds how long each lane was measured in another round.
    pub fn measured_more(&mut self, more: &[Duration]) {
        for (lane, more) in self.lanes.iter_mut().zip(more) {
            lane.measured += *more;
        }
        self.measured += more.iter().max().copied().unwrap_or_default();
    }

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
        Share::of(tallies, &self.harness.busy)
    }

    /// How each lane kept the objective; empty where there is none, and after a search, whose steps were good and
    /// bad on purpose. Where the client had too much to do, what is broken may be its fault, and is undecided.
    pub fn judged(&self) -> Vec<Vec<Judged>> {
        let Some(objective) = self.objective.as_ref().filter(|_| self.searches.is_empty()) else {
            return Vec::new();
        };
        let client = self.overloaded();
        let fairly = |mut one: Judged| {
            if client && one.outcome == Outcome::Broken {
                one.outcome = Outcome::Undecided;
            }
            one
        };
        let of = |lane: &LaneResult| {
            let judged = judge::judge(objective, &lane.tally).into_iter();
            let unsent = held_back(&lane.tally);
            judged
                .map(fairly)
                .map(|mut one| {
                    // How quick the rest is says nothing of the load that was meant.
                    if unsent
                        && one.outcome == Outcome::Held
                        && !matches!(one.term, Term::Errors { .. })
                    {
                        one.outcome = Outcome::Undecided;
                    }
                    one
                })
                .collect()
        };
        self.lanes.iter().map(of).collect()
    }

    /// What the whole run says: the worst of its lanes.
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
        let judged = self.judged();
        let judged = self
            .lanes
            .iter()
            .zip(&judged)
            .filter(|(lane, _)| busy(lane));
        let by_objective = judged.map(|(_, judged)| {
            let outcomes: Vec<Outcome> = judged.iter().map(|one| one.outcome).collect();
            match slo::all(&outcomes) {
                Outcome::Held => Verdict::Kept,
                Outcome::Broken => Verdict::Broken,
                Outcome::Undecided => Verdict::Undetermined,
            }
        });
        worst(by_answers.chain(by_objective))
    }

    /// Whether the client had too much to do.
    pub fn overloaded(&self) -> bool {
        match &self.harness.told {
            Some(told) => told.overloaded,
            None => self.share().overloaded(),
        }
    }

    /// Why the client was the bottleneck; empty where it was not.
    pub fn bottleneck(&self) -> Vec<String> {
        match &self.harness.told {
            Some(told) => told.reasons.clone(),
            None => trust::bottleneck(&self.share()),
        }
    }
}

/// Whether more than one arrival in a hundred was not sent, because the provider asked to wait.
fn held_back(tally: &Tally) -> bool {
    let (held_back, held) = (tally.counts.held_back, tally.counts.conversations);
    // The counts may come from a file.
    held_back.saturating_mul(100) > held.saturating_add(held_back)
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
        // Lower rates were still to be tried.
        (None, ..) if found.cut_short => Verdict::Undetermined,
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

#[cfg(test)]
mod tests {
    use crate::load::find::StepResult;
    use crate::load::measure::Measure;
    use crate::load::result::*;

    /// A lane whose TTFT is 100 ms, started so late.
    fn result(objective: &str, lag: Duration) -> LoadResult {
        let mut tally = Tally::default();
        tally.counts.requests = 1000;
        tally.counts.whole = 1000;
        for _ in 0..1000 {
            tally.measure(Measure::Ttft, Duration::from_millis(100));
            tally.measure(Measure::StartLag, lag);
        }
        LoadResult {
            run_id: String::new(),
            started_at: String::new(),
            finished_at: String::new(),
            mode: String::new(),
            load: String::new(),
            seed: 0,
            clock: Clock::Kernel,
            measured: Duration::ZERO,
            ending: Ending::Planned,
            objective: objective.parse().ok(),
            searches: Vec::new(),
            lanes: vec![LaneResult {
                target: String::new(),
                region: None,
                provider: String::new(),
                dialect: String::new(),
                model: String::new(),
                endpoint: String::new(),
                sign_in: String::new(),
                price: None,
                measured: Duration::ZERO,
                tally,
            }],
            harness: Harness::default(),
        }
    }

    #[test]
    fn what_is_broken_may_be_the_fault_of_a_client_that_was_the_bottleneck() {
        let on_time = Duration::from_millis(1);
        let late = Duration::from_millis(50);
        let of = |objective, lag| {
            let result = result(objective, lag);
            (result.judged()[0][0].outcome, result.verdict())
        };
        let broken = "ttft:p95<50ms";
        assert_eq!(of(broken, on_time), (Outcome::Broken, Verdict::Broken));
        assert_eq!(
            of(broken, late),
            (Outcome::Undecided, Verdict::Undetermined)
        );
        assert_eq!(of("ttft:p95<1s", late), (Outcome::Held, Verdict::Kept));
        let mut told = result(broken, on_time);
        let of_shard = |overloaded| {
            Some(Told {
                reasons: vec!["shard 1 of 2: busy".to_owned()],
                overloaded,
            })
        };
        told.harness.told = of_shard(true);
        assert_eq!(told.verdict(), Verdict::Undetermined);
        told.harness.told = of_shard(false);
        assert_eq!(told.verdict(), Verdict::Broken);
    }

    #[test]
    fn an_objective_is_not_kept_by_what_was_not_sent() {
        let of = |held_back, turns| {
            let mut one = result("ttft:p95<1s, errors<5%", Duration::ZERO);
            let counts = &mut one.lanes[0].tally.counts;
            counts.held_back = held_back;
            counts.conversations = counts.requests / turns;
            let outcomes: Vec<Outcome> = one.judged()[0].iter().map(|one| one.outcome).collect();
            (outcomes, one.verdict())
        };
        use Outcome::{Broken, Held, Undecided};
        assert_eq!(of(0, 1), (vec![Held, Held], Verdict::Kept));
        assert_eq!(of(10, 1), (vec![Held, Held], Verdict::Kept));
        // Of 1,020 arrivals 20.
        assert_eq!(of(20, 1), (vec![Undecided, Held], Verdict::Undetermined));
        // Of 110.
        assert_eq!(of(10, 10), (vec![Undecided, Held], Verdict::Undetermined));
        assert_eq!(of(1000, 1), (vec![Undecided, Broken], Verdict::Broken));
    }

    #[test]
    fn busy_is_by_the_time_in_which_it_was() {
        let s = Duration::from_secs;
        let mut harness = Harness::default();
        harness.add_busy(&[Busy {
            cpu: s(9),
            time: s(10),
        }]);
        harness.add_busy(&[
            Busy {
                cpu: s(1),
                time: s(10),
            },
            Busy {
                cpu: s(6),
                time: s(10),
            },
        ]);
        let mut one = result("ttft:p95<1s", Duration::ZERO);
        // However long the rest took.
        one.harness = Harness {
            wall: s(1000),
            ..harness
        };
        assert_eq!(one.share().busiest, Some(0.6));
    }

    #[test]
    fn a_search_is_no_finding_unless_even_the_lowest_rate_was_too_much() {
        let of = |highest, bounded_by, held| {
            let outcome = crate::load::find::Outcome {
                rate: 1.0,
                offered: 1.0,
                achieved: 1.0,
                held,
                goodput: 1.0,
                client_bound: bounded_by == BoundedBy::Client,
                unloaded: false,
            };
            let mut one = result("ttft:p95<1s", Duration::ZERO);
            one.searches = vec![Found {
                highest,
                bounded_by,
                confirmed: 0,
                cut_short: false,
                steps: vec![StepResult {
                    outcome,
                    confirm: 0,
                }],
            }];
            one.verdict()
        };
        use BoundedBy::{Client, Floor, Server};
        use Outcome::{Broken, Undecided};
        assert_eq!(of(Some(1.0), Server, Broken), Verdict::Kept);
        assert_eq!(of(Some(1.0), Client, Broken), Verdict::Kept);
        assert_eq!(of(None, Client, Broken), Verdict::Undetermined);
        assert_eq!(of(None, Floor, Broken), Verdict::Broken);
        assert_eq!(of(None, Floor, Undecided), Verdict::Undetermined);
    }
}
