//! What a step of a search for the highest rate showed.
//!
//! Core. A rate is kept only where it was sent and the objective was kept; must never call kept what it cannot
//! tell.

use std::time::Duration;

use crate::load::find;
use crate::load::judge;
use crate::load::slo::{self, Objective};
use crate::load::tally::Tally;

/// A rate that was tried.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    pub objective: &'a Objective,
    /// Per second.
    pub rate: f64,
    /// How long was measured.
    pub measured: Duration,
    /// Whether this machine was the bottleneck.
    pub client_bound: bool,
}

/// What it came to, and what speaks against it in words; nothing does where it was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub outcome: find::Outcome,
    pub why: Vec<String>,
}

/// The outcome of a step at one lane.
pub fn shown(tried: &Tried<'_>, tally: &Tally) -> Shown {
    let judged = judge::judge(tried.objective, tally);
    let outcomes: Vec<slo::Outcome> = judged.iter().map(|one| one.outcome).collect();
    let seconds = tried.measured.as_secs_f64();
    let counts = &tally.counts;
    let mut broken = Vec::new();
    // What was not sent was not held.
    if counts.held_back > 0 {
        broken.push("arrivals were held back".to_owned());
    }
    let held = match broken.is_empty() {
        true => slo::all(&outcomes),
        false => slo::Outcome::Broken,
    };
    let terms = judged
        .iter()
        .filter(|one| one.outcome == held && held != slo::Outcome::Held)
        .map(|one| one.term.to_string());
    Shown {
        outcome: find::Outcome {
            rate: tried.rate,
            offered: (counts.requests + counts.cut + counts.held_back) as f64 / seconds,
            achieved: counts.completed_whole as f64 / seconds,
            held,
            goodput: counts.completed_good as f64 / seconds,
            client_bound: tried.client_bound,
        },
        why: terms.chain(broken).collect(),
    }
}

/// How long nothing is to be sent before the next step: until the last gate opens of those lanes that still search,
/// and, where requests had to be cut, as long as a step, since not every server notices that nobody waits any more.
pub fn rest(
    gates: impl Iterator<Item = Option<Duration>>,
    cut: bool,
    step: Duration,
) -> Option<Duration> {
    let gates = gates.flatten().max();
    gates.max(cut.then_some(step))
}
