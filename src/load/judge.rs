//! Whether a lane kept the objective, by what was measured there.
//!
//! Core. A value counts with its interval: what cannot be told apart from the limit is undecided.

use std::time::Duration;

use crate::load::measure::Measure;
use crate::load::slo::{self, Measured, Metric, Objective, Outcome, Statistic, Term};
use crate::load::tally::Tally;
use crate::load::trust::Share;
use crate::metric::estimate::{estimate_of, share};

/// The 97.5th percentile of the standard normal distribution.
pub const Z975: f64 = 1.959_963_984_540_054;
/// A mean of fewer samples has no interval that is worth anything.
const MEAN_OF: u64 = 30;

/// One term of the objective, and how it came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    pub term: Term,
    pub outcome: Outcome,
    /// `None` where the run was too short.
    pub measured: Option<Measured>,
}

/// The outcome of each term, in their order. Where this program read late, what was measured may be wrong by as much,
/// and the interval is that much wider.
pub fn judge(objective: &Objective, tally: &Tally) -> Vec<Judged> {
    judge_within(objective, tally, late(tally))
}

/// Whether an objective is undecided that would be decided if this program had read in time.
pub fn lateness_decides(objective: &Objective, tally: &Tally) -> bool {
    let decided = |late| {
        let judged = judge_within(objective, tally, late);
        let outcomes: Vec<Outcome> = judged.iter().map(|one| one.outcome).collect();
        slo::all(&outcomes) != Outcome::Undecided
    };
    late(tally).is_some_and(|late| !decided(Some(late)) && decided(None))
}

/// The most by which anything was read late, where that matters. What is seldom late is what the highest percentiles are
/// made of.
fn late(tally: &Tally) -> Option<Duration> {
    Share::of(std::iter::once(tally), &[]).late_reads()?;
    let most = tally.measured(Measure::ReadLag)?.max();
    Some(Duration::from_micros(most))
}

fn judge_within(objective: &Objective, tally: &Tally, late: Option<Duration>) -> Vec<Judged> {
    objective
        .terms
        .iter()
        .map(|term| {
            let measured = measured(term, tally).map(|measured| match late {
                Some(late) => blurred(term, measured, late),
                None => measured,
            });
            Judged {
                term: *term,
                outcome: term.judge(measured),
                measured,
            }
        })
        .collect()
}

/// What it can have been, where events came up to so much earlier than told. They never come later; but where one is
/// told late, the gap after it is too short. A loop has as many ends as turns, and nothing here says how many: it can
/// have been as short as you like.
fn blurred(term: &Term, measured: Measured, late: Duration) -> Measured {
    let late = late.as_secs_f64();
    match term {
        Term::Errors { .. } => measured,
        Term::Latency { metric, .. } => Measured {
            low: match metric {
                Metric::Loop => 0.0,
                _ => (measured.low - late).max(0.0),
            },
            value: measured.value,
            high: match metric {
                Metric::Itl | Metric::Tpot => measured.high + late,
                _ => measured.high,
            },
        },
    }
}

fn measured(term: &Term, tally: &Tally) -> Option<Measured> {
    match term {
        Term::Errors { limit, .. } => {
            let failed: u64 = tally.errors.values().sum();
            // What had to be cut was not answered, nor was what a provider asked not to send.
            let cut = tally.counts.cut + tally.counts.held_back;
            let share = share(failed + cut, tally.counts.requests + cut)?;
            if *limit <= 0.0 {
                // No number of requests proves that none ever fails: what is asked is whether one did.
                return (tally.counts.requests >= MEAN_OF || failed + cut > 0).then_some(
                    Measured {
                        low: share.value,
                        value: share.value,
                        high: share.value,
                    },
                );
            }
            Some(Measured {
                low: share.low,
                value: share.value,
                high: share.high,
            })
        }
        Term::Latency {
            metric, statistic, ..
        } => {
            let recorded = tally.measured(measure(*metric))?;
            // Gaps of one answer are alike: a slow answer has many. Only answers are independent.
            let independent = match metric {
                Metric::Itl => tally.counts.whole.min(recorded.len()),
                _ => recorded.len(),
            };
            let micros = Duration::from_micros;
            match statistic {
                Statistic::Quantile(quantile) => {
                    let found = estimate_of(&recorded, *quantile, independent)?;
                    Some(Measured::duration(
                        micros(found.low),
                        micros(found.value),
                        micros(found.high),
                    ))
                }
                Statistic::Max => {
                    let last = recorded.steps().last()?;
                    let (low, most) = (micros(last.low), micros(last.high));
                    Some(Measured::duration(low, most, most))
                }
                Statistic::Mean => {
                    if independent < MEAN_OF {
                        return None;
                    }
                    let half = Z975 * recorded.stdev() / (independent as f64).sqrt();
                    let mean = recorded.mean();
                    Some(Measured {
                        low: (mean - half).max(0.0) / 1e6,
                        value: mean / 1e6,
                        high: (mean + half) / 1e6,
                    })
                }
            }
        }
    }
}

/// What a word of the objective measures.
pub fn measure(metric: Metric) -> Measure {
    match metric {
        Metric::Headers => Measure::Headers,
        Metric::Ttft => Measure::Ttft,
        Metric::Itl => Measure::Itl,
        Metric::Tpot => Measure::Tpot,
        Metric::E2e => Measure::E2e,
        Metric::Response => Measure::Response,
        Metric::Loop => Measure::Loop,
    }
}

/// How many requests it takes at least to decide an objective that is kept with room.
pub fn needed(objective: &Objective) -> u64 {
    let of = |term: &Term| -> f64 {
        match term {
            // The highest rank must be outside of the interval of the quantile: q^n <= 2.5 %.
            Term::Latency {
                statistic: Statistic::Quantile(quantile),
                ..
            } => 0.025_f64.ln() / quantile.max(1.0 - quantile).clamp(0.5, 0.9999).ln(),
            Term::Latency { .. } => MEAN_OF as f64,
            Term::Errors { limit, .. } if *limit <= 0.0 => MEAN_OF as f64,
            // Wilson's interval of no error in n ends at z²/(n + z²).
            Term::Errors { limit, .. } => Z975 * Z975 * (1.0 - limit) / limit.max(1e-6),
        }
    };
    let most = objective.terms.iter().map(of).fold(1.0, f64::max);
    most.ceil() as u64
}

#[cfg(test)]
mod tests {
    use crate::load::judge::*;

    fn objective(text: &str) -> Objective {
        text.parse().unwrap()
    }

    fn with(requests: u64, ms: u64, failed: u64) -> Tally {
        let mut tally = Tally::default();
        for _ in 0..requests - failed {
            tally.measure(Measure::Ttft, Duration::from_millis(ms));
        }
        tally.counts.requests = requests;
        if failed > 0 {
            tally.errors.insert("throttled".to_owned(), failed);
        }
        tally
    }

    #[test]
    fn too_few_decide_nothing() {
        let wanted = objective("ttft:p95<800ms, errors<1%");
        let outcomes = |tally: &Tally| -> Vec<Outcome> {
            judge(&wanted, tally)
                .iter()
                .map(|one| one.outcome)
                .collect()
        };
        use Outcome::{Broken, Held, Undecided};
        assert_eq!(outcomes(&with(10, 100, 0)), [Undecided, Undecided]);
        assert_eq!(outcomes(&with(1000, 100, 0)), [Held, Held]);
        assert_eq!(outcomes(&with(1000, 900, 100)), [Broken, Broken]);
        // The least that decides is enough, and one less is not.
        let least = needed(&wanted);
        assert_eq!(outcomes(&with(least + 1, 100, 0)), [Held, Held], "{least}");
        assert!(
            outcomes(&with(least - 2, 100, 0)).contains(&Undecided),
            "{least}"
        );
    }

    #[test]
    fn gaps_of_one_answer_are_one_sample() {
        let wanted = objective("itl:p95<60ms, itl:mean<60ms");
        let of = |answers: u64| -> Vec<Outcome> {
            let mut tally = Tally::default();
            tally.counts.whole = answers;
            tally.measure_micros(Measure::Itl, 20_000, answers * 64);
            let judged = judge(&wanted, &tally);
            judged.iter().map(|one| one.outcome).collect()
        };
        use Outcome::{Held, Undecided};
        assert_eq!(of(29), [Undecided, Undecided]);
        assert_eq!(of(71), [Undecided, Held]);
        assert_eq!(of(72), [Held, Held]);
        assert_eq!(needed(&wanted), 72);
    }

    #[test]
    fn the_longest_is_as_exact_as_its_bucket() {
        let wanted = objective("ttft:max<800ms");
        let of = |micros: u64| {
            let mut tally = Tally::default();
            tally.measure_micros(Measure::Ttft, micros, 1);
            judge(&wanted, &tally)[0].outcome
        };
        assert_eq!(of(799_000), Outcome::Held);
        // In its bucket are times on both sides of the limit.
        assert_eq!(of(799_900), Outcome::Undecided);
        assert_eq!(of(801_000), Outcome::Broken);
    }

    #[test]
    fn what_was_cut_was_not_answered() {
        let wanted = objective("errors<5%");
        let mut tally = with(1000, 100, 0);
        tally.counts.cut = 500;
        assert_eq!(judge(&wanted, &tally)[0].outcome, Outcome::Broken);
    }

    #[test]
    fn what_was_read_late_decides_only_what_its_lateness_leaves_open() {
        let outcomes = |wanted: &str, late: u64| {
            let mut tally = with(2000, 100, 0);
            tally.counts.whole = 2000;
            tally.measure_micros(Measure::Itl, 20_000, 10_000);
            tally.measure_micros(Measure::ReadLag, late * 1000, 10_000);
            let judged = judge(&objective(wanted), &tally);
            judged.iter().map(|one| one.outcome).collect::<Vec<_>>()
        };
        use Outcome::{Broken, Held, Undecided};
        let wanted = "ttft:p50<30s, ttft:p50<110ms, ttft:p50<90ms, ttft:p50<10ms, errors<1%";
        assert_eq!(outcomes(wanted, 1), [Held, Held, Broken, Broken, Held]);
        // Never earlier than told.
        assert_eq!(outcomes(wanted, 40), [Held, Held, Undecided, Broken, Held]);
        // What is seldom later still is what high percentiles are made of.
        let mut tally = with(2000, 100, 0);
        tally.measure_micros(Measure::ReadLag, 40_000, 10_000);
        tally.measure_micros(Measure::ReadLag, 95_000, 1);
        let outcome = |wanted| judge(&objective(wanted), &tally)[0].outcome;
        assert_eq!(outcome("ttft:max<10ms"), Undecided);
        assert_eq!(outcome("ttft:max<1ms"), Broken);
        assert!(lateness_decides(&objective("ttft:max<10ms"), &tally));
        assert!(!lateness_decides(&objective("ttft:max<1ms"), &tally));
        assert!(
            !lateness_decides(&objective("errors<0.01%"), &tally),
            "too few"
        );
        let wanted = "itl:p50<30ms, itl:p50<90ms, itl:p50<10ms";
        assert_eq!(outcomes(wanted, 1), [Held, Held, Broken]);
        assert_eq!(outcomes(wanted, 40), [Undecided, Held, Undecided]);
    }
}
