//! What a step of a search for the highest rate showed.
//!
//! Core. A rate is kept only where it was sent and the objective was kept; must never call kept what it cannot
//! tell.

use std::time::Duration;

use crate::load::find;
use crate::load::judge;
use crate::load::measure::Measure;
use crate::load::slo::{self, Objective};
use crate::load::tally::Tally;
use crate::load::trust::{Busy, Share};

/// A rate that was tried.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    pub objective: &'a Objective,
    /// Per second.
    pub rate: f64,
    /// How long was measured.
    pub measured: Duration,
    /// How far above what a server holds a rate may be and still count as held: 0.05 is 5 %.
    pub precision: f64,
    /// Whether this machine had too much to do.
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
    if wait_grew(tally, tried.measured, tried.precision) {
        broken.push("the wait kept growing".to_owned());
    }
    let held = match broken.is_empty() {
        true => slo::all(&outcomes),
        false => slo::Outcome::Broken,
    };
    // Had it read in time, it might be decided.
    let blurred =
        held == slo::Outcome::Undecided && judge::lateness_decides(tried.objective, tally);
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
            client_bound: tried.client_bound || blurred,
            unloaded: unloaded(seconds, tally),
        },
        why: terms.chain(broken).collect(),
    }
}

/// Fewer requests than this at a time, on average, hardly meet.
const MEETING: f64 = 0.5;

/// Whether requests hardly met each other at the server (Little's law: rate times time is how many are there), and
/// none was refused, which may be a server's way to shed load. A target where nothing is answered at all counts,
/// however long it takes to say so.
fn unloaded(measured: f64, tally: &Tally) -> bool {
    let counts = &tally.counts;
    let refused = counts.throttled + counts.held_back + counts.cut > 0;
    let partly = counts.whole > 0 && !tally.errors.is_empty();
    let seconds = tally
        .measured(Measure::E2e)
        .map_or(0.0, |times| times.mean() / 1e6);
    let under_way = counts.requests as f64 / measured * seconds;
    counts.requests > 0 && !refused && !partly && under_way < MEETING
}

/// Whether requests waited longer and longer: the server took less than came, however short the waits still were.
///
/// Where requests come `1 + x` times as fast as they are served, one that is due after a time `t` waits `x·t`
/// longer than the first; so the means of the first and the last third of the window, whose middles are two thirds
/// of it apart, differ by two thirds of `x` times the window. Only a growth of which that is the lower end of the 95 %
/// interval counts.
fn wait_grew(tally: &Tally, measured: Duration, precision: f64) -> bool {
    let counts = &tally.counts;
    let (early, late) = (counts.early as f64, counts.late as f64);
    if counts.early == 0 {
        return false;
    }
    if counts.late == 0 {
        // Those that were due last were still waiting when the rest was cut.
        return counts.cut > 0;
    }
    let waits = tally
        .measured(Measure::ResponseTtft)
        .or_else(|| tally.measured(Measure::Response));
    let spread = waits.map_or(0.0, |waits| waits.stdev()) / 1e6;
    let growth = (counts.late_us as f64 / late - counts.early_us as f64 / early) / 1e6;
    let error = judge::Z975 * spread * (1.0 / early + 1.0 / late).sqrt();
    growth - error > precision * measured.as_secs_f64() * 2.0 / 3.0
}

/// Whether this machine had too much to do for a lane in a step: by what was seen there, by how many conversations
/// waited for a place of ours, and, where the lane had a good part of the work, by how busy the workers were.
pub fn client_bound(tallies: &[Tally], lane: usize, busy: &[Busy]) -> bool {
    let Some(tally) = tallies.get(lane) else {
        return false;
    };
    let counts = &tally.counts;
    // Those that got no place are cut only, those that were cut while they ran are both.
    let conversations = counts.conversations.max(counts.cut);
    let waited = counts.waited > 0 && counts.waited.saturating_mul(100) >= conversations;
    let reads = |tally: &Tally| tally.counts.reads;
    let all: u64 = tallies.iter().map(reads).sum();
    let lanes = tallies.iter().filter(|tally| reads(tally) > 0).count() as u64;
    // Half of an even part: of two alike neither is left out because the other had one read more.
    let much = reads(tally).saturating_mul(2 * lanes) >= all;
    let share = Share::of(std::iter::once(tally), if much { busy } else { &[] });
    waited || share.overloaded()
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

#[cfg(test)]
#[path = "step_tests.rs"]
mod step_tests;
