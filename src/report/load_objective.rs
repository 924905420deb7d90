//! The objective of a run of load and the search for the highest rate, as they are written down and shown.
//!
//! Pure.

use schemars::JsonSchema;
use serde::Serialize;

use crate::load::find::{BoundedBy, Found};
use crate::load::judge::Judged;
use crate::load::slo::{Outcome, Term};
use crate::report::layout::{pad, pad_left};

/// One term of the objective at one target and region.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TermRecord {
    /// As it was written: `ttft:p95<800ms`.
    pub term: String,
    /// `kept`, `broken` or `undecided`.
    pub outcome: String,
    /// Milliseconds, or a share from 0 to 1 of errors; null where the run was too short.
    pub value: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
}

/// A search for the highest rate.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SearchRecord {
    /// The highest rate that kept the objective, a second; null where none did.
    pub highest_per_s: Option<f64>,
    /// Whether the limit itself was not reached, so that it is at least this.
    pub at_least: bool,
    /// `server`, `client`, `ceiling` or `floor`: what ended the search upwards.
    pub bounded_by: String,
    /// Further trials at this rate that kept it too.
    pub confirmed: u32,
    /// Whether it ended before it was done.
    pub cut_short: bool,
    pub steps: Vec<StepRecord>,
}

/// One rate that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StepRecord {
    pub rate_per_s: f64,
    pub offered_per_s: f64,
    pub achieved_per_s: f64,
    pub goodput_per_s: f64,
    pub outcome: String,
    pub client_bound: bool,
    /// Whether it was to confirm a result.
    pub confirmation: bool,
}

/// The word of an outcome.
pub fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Held => "kept",
        Outcome::Broken => "broken",
        Outcome::Undecided => "undecided",
    }
}

impl TermRecord {
    pub fn new(judged: &Judged) -> TermRecord {
        let scale = match judged.term {
            Term::Latency { .. } => 1000.0,
            Term::Errors { .. } => 1.0,
        };
        TermRecord {
            term: judged.term.to_string(),
            outcome: word(judged.outcome).to_owned(),
            value: judged.measured.map(|one| one.value * scale),
            interval: judged
                .measured
                .map(|one| [one.low * scale, one.high * scale]),
        }
    }
}

impl SearchRecord {
    pub fn new(found: &Found) -> SearchRecord {
        SearchRecord {
            highest_per_s: found.highest,
            at_least: found.is_lower_bound(),
            bounded_by: match found.bounded_by {
                BoundedBy::Server => "server",
                BoundedBy::Client => "client",
                BoundedBy::Ceiling => "ceiling",
                BoundedBy::Floor => "floor",
            }
            .to_owned(),
            confirmed: found.confirmed,
            cut_short: found.cut_short,
            steps: found
                .steps
                .iter()
                .map(|step| StepRecord {
                    rate_per_s: step.outcome.rate,
                    offered_per_s: step.outcome.offered,
                    achieved_per_s: step.outcome.achieved,
                    goodput_per_s: step.outcome.goodput,
                    outcome: word(step.outcome.held).to_owned(),
                    client_bound: step.outcome.client_bound,
                    confirmation: step.confirm > 0,
                })
                .collect(),
        }
    }

    /// The result in words.
    pub fn words(&self) -> String {
        let end = match (self.bounded_by.as_str(), self.cut_short) {
            ("client", _) => ": this machine was the bottleneck above it",
            ("ceiling", _) => ": nothing higher was tried",
            (_, true) => ", not confirmed: the search was cut short",
            _ => "",
        };
        match self.highest_per_s {
            None => "no rate that was tried kept the objective".to_owned(),
            Some(rate) => format!(
                "{}{}/s keep the objective, confirmed {} times{end}",
                if self.at_least { "at least " } else { "" },
                rate_words(rate),
                self.confirmed
            ),
        }
    }

    /// The knee: for each rate that was tried, in order, what was offered and how much of it was good.
    pub fn knee(&self, width: usize) -> String {
        let mut steps: Vec<&StepRecord> = self.steps.iter().collect();
        steps.sort_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s));
        let most = steps.iter().map(|step| step.rate_per_s).fold(0.0, f64::max);
        let room = width.saturating_sub(44).clamp(10, 60);
        let cells = |rate: f64| match most > 0.0 {
            true => ((rate / most) * room as f64).round() as usize,
            false => 0,
        };
        let mut out = String::from("      rate/s   good/s\n");
        for step in steps {
            let good = cells(step.goodput_per_s).min(room);
            let offered = cells(step.rate_per_s).clamp(good, room);
            let bar = format!("{}{}", "#".repeat(good), ".".repeat(offered - good));
            let client = if step.client_bound {
                ", this machine's limit"
            } else {
                ""
            };
            out.push_str(&format!(
                "  {}{}  {}  {}{client}\n",
                pad_left(&rate_words(step.rate_per_s), 10),
                pad_left(&rate_words(step.goodput_per_s), 9),
                pad(&bar, room),
                step.outcome,
            ));
        }
        out.push_str("  # good answers a second, . up to the rate that was tried\n");
        out
    }
}

fn rate_words(rate: f64) -> String {
    match rate {
        rate if rate >= 100.0 => format!("{rate:.0}"),
        rate if rate >= 10.0 => format!("{rate:.1}"),
        rate => format!("{rate:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::report::load_objective::*;

    fn step(rate: f64, goodput: f64, outcome: &'static str) -> StepRecord {
        StepRecord {
            rate_per_s: rate,
            offered_per_s: rate,
            achieved_per_s: rate,
            goodput_per_s: goodput,
            outcome: outcome.to_owned(),
            client_bound: false,
            confirmation: false,
        }
    }

    #[test]
    fn the_knee_is_in_the_order_of_rates() {
        let search = SearchRecord {
            highest_per_s: Some(20.0),
            at_least: false,
            bounded_by: "server".to_owned(),
            confirmed: 2,
            cut_short: false,
            steps: vec![
                step(10.0, 10.0, "kept"),
                step(40.0, 5.0, "broken"),
                step(20.0, 20.0, "kept"),
            ],
        };
        assert_eq!(
            search.knee(54),
            "      rate/s   good/s\n\
             \x20       10.0     10.0  ###         kept\n\
             \x20       20.0     20.0  #####       kept\n\
             \x20       40.0     5.00  #.........  broken\n\
             \x20 # good answers a second, . up to the rate that was tried\n"
        );
        assert_eq!(
            search.words(),
            "20.0/s keep the objective, confirmed 2 times"
        );
        let lower = SearchRecord {
            at_least: true,
            bounded_by: "client".to_owned(),
            ..search
        };
        assert!(lower.words().starts_with("at least 20.0/s"));
    }
}
