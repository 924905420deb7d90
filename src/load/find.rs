//! The highest rate that keeps an objective, found by trials: a state machine that is told outcomes.
//!
//! The rate grows by a factor until a trial does not hold, then the gap is halved until it is narrow
//! enough; the boundary is looked at twice, and the result is confirmed by further trials. Must never
//! report a rate that was not held, nor call the client's own limit the server's.

use crate::load::profile::HIGHEST;
use crate::load::slo::Outcome as Held;

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How far the lowest rate that fails may be above the result: 0.05 is 5 %.
    pub precision: f64,
    /// How many further trials at the result must hold.
    pub confirm: u32,
    /// The factor by which the rate grows, and shrinks when the first one fails already.
    pub growth: f64,
    /// The highest rate to try.
    pub ceiling: f64,
    /// The lowest rate to try.
    pub floor: f64,
    /// The most trials. From 1 to a billion with a factor of 2 are 30, then 4 for 5 %, 1 for the second
    /// look, and the confirmations; the rest is room for noise.
    pub steps: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            precision: 0.05,
            confirm: 2,
            growth: 2.0,
            ceiling: HIGHEST,
            floor: 0.1,
            steps: 50,
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Try a rate. `confirm` counts the confirmations of a result from 1; 0 is a trial of the search.
    Try {
        rate: f64,
        confirm: u32,
    },
    Done(Found),
}

/// What a trial showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The rate that was to be tried, per second.
    pub rate: f64,
    /// Requests that were due, per second.
    pub offered: f64,
    /// Requests that were answered, per second.
    pub achieved: f64,
    /// Whether the objective was kept.
    pub held: Held,
    /// Good answers, per second.
    pub goodput: f64,
    /// Whether this machine could not keep up, so that the trial tells nothing about the server.
    pub client_bound: bool,
    /// Whether requests hardly met each other at the server, and none was refused as too many: what was broken then
    /// is not mended by a lower rate.
    pub unloaded: bool,
}

/// One trial of the search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepResult {
    pub outcome: Outcome,
    /// As in [`Step::Try`].
    pub confirm: u32,
}

/// What ended the search upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundedBy {
    /// A higher rate was not held: the result is the server's limit.
    Server,
    /// A higher rate was too much for this machine: the limit is at least the result.
    Client,
    /// The highest rate that was to be tried held: the limit is at least the result.
    Ceiling,
    /// Not even the lowest rate held.
    Floor,
}

/// The result.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The highest rate that held; `None` when none did.
    pub highest: Option<f64>,
    pub bounded_by: BoundedBy,
    /// How many further trials at the result held. Fewer than asked for when the steps ran out.
    pub confirmed: u32,
    /// Whether the steps ran out before the result was narrow enough and confirmed.
    pub cut_short: bool,
    pub steps: Vec<StepResult>,
}

impl Found {
    /// Whether the limit itself was not reached, so that the result is only `at least`.
    pub fn is_lower_bound(&self) -> bool {
        self.highest.is_some() && self.bounded_by != BoundedBy::Server
    }
}

/// A rate that did not hold.
#[derive(Debug, Clone, Copy)]
struct Failed {
    rate: f64,
    client: bool,
    /// Whether it must not be tried a second time.
    final_look: bool,
}

/// A search.
#[derive(Debug)]
pub struct Search {
    settings: Settings,
    start: f64,
    /// Rates that held, increasing; all below those that failed.
    held: Vec<f64>,
    /// Rates that failed, increasing.
    failed: Vec<Failed>,
    /// Confirmations of the highest rate that held.
    confirmed: u32,
    /// Rates that have had their second look, whatever became of them.
    looked: Vec<f64>,
    /// Trials that did not hold although hardly any requests met.
    in_vain: u32,
    steps: Vec<StepResult>,
}

/// After so many trials in vain no lower rate is tried: once could be chance.
const IN_VAIN: u32 = 2;

/// What is to be done, before it is said in terms of [`Step`].
enum Decision {
    Try(f64, u32),
    Done(BoundedBy),
}

impl Search {
    /// A search that begins at a rate; settings that make no sense are brought into range.
    pub fn new(start_rate: f64, settings: Settings) -> Search {
        let ceiling = within(settings.ceiling, f64::MIN_POSITIVE, HIGHEST);
        let floor = within(settings.floor, f64::MIN_POSITIVE, ceiling);
        Search {
            settings: Settings {
                // Rates have four digits: nothing finer can be told apart.
                precision: within(settings.precision, 0.001, 1.0),
                growth: within(settings.growth, 1.1, 100.0),
                steps: settings.steps.max(1),
                confirm: settings.confirm,
                ceiling,
                floor,
            },
            start: within(start_rate, floor, ceiling),
            held: Vec::new(),
            failed: Vec::new(),
            confirmed: 0,
            looked: Vec::new(),
            in_vain: 0,
            steps: Vec::new(),
        }
    }

    /// What to do now. The same until an outcome is told.
    pub fn next(&self) -> Step {
        let decision = self.decide();
        let cut_short = self.steps.len() >= self.settings.steps;
        match decision {
            Decision::Try(rate, confirm) if !cut_short => Step::Try { rate, confirm },
            Decision::Try(..) => Step::Done(self.found(self.bound(), true)),
            Decision::Done(bounded_by) => Step::Done(self.found(bounded_by, false)),
        }
    }

    /// The result as far as it is known, for a search that has to end here.
    pub fn so_far(&self) -> Found {
        match self.next() {
            Step::Done(found) => found,
            Step::Try { .. } => self.found(self.bound(), true),
        }
    }

    /// Takes the outcome of the trial that was asked for.
    pub fn told(&mut self, outcome: Outcome) {
        let confirm = match self.decide() {
            Decision::Try(rate, confirm) if rate == outcome.rate => confirm,
            _ => 0,
        };
        self.steps.push(StepResult { outcome, confirm });
        let rate = outcome.rate;
        if outcome.held == Held::Held && !outcome.client_bound {
            self.in_vain = 0;
            self.failed.retain(|failed| failed.rate > rate);
            if self.held.last() == Some(&rate) {
                self.confirmed += u32::from(confirm > 0);
                return;
            }
            if self.held.last().is_none_or(|last| rate > *last) {
                self.held.push(rate);
                self.confirmed = 0;
            }
            return;
        }
        // Above a rate that held there is a limit, and nothing is in vain.
        let vain = outcome.unloaded && self.held.is_empty();
        if outcome.held == Held::Broken && vain && !outcome.client_bound {
            self.in_vain += 1;
        }
        // Undecided counts as failed: unknown is never told as good. The second look may still mend it.
        let again = self.failed.iter().any(|failed| failed.rate == rate);
        if again {
            self.looked.push(rate);
        }
        let had_held = self.held.contains(&rate);
        self.failed.retain(|failed| failed.rate < rate);
        self.failed.push(Failed {
            rate,
            client: outcome.client_bound,
            // A rate that held and then failed is on the edge: there is nothing more to learn there. One hiccup of this
            // machine is no limit: where it was the bottleneck, the rate is looked at once more too.
            final_look: had_held || self.looked.contains(&rate),
        });
        let before = self.held.len();
        self.held.retain(|held| *held < rate);
        if self.held.len() < before {
            self.confirmed = 0;
        }
    }

    fn decide(&self) -> Decision {
        let Settings {
            precision,
            confirm,
            growth,
            ceiling,
            floor,
            ..
        } = self.settings;
        let low = self.held.last().copied();
        let high = self.failed.first().copied();
        let confirmed_or = |rate: f64| {
            if self.confirmed < confirm {
                Decision::Try(rate, self.confirmed + 1)
            } else {
                Decision::Done(self.bound())
            }
        };
        match (low, high) {
            (None, None) => Decision::Try(self.start, 0),
            (Some(low), None) if low >= ceiling => confirmed_or(low),
            (Some(low), None) => Decision::Try(rounded(low * growth).min(ceiling), 0),
            (None, Some(_)) if self.in_vain >= IN_VAIN => Decision::Done(self.bound()),
            (None, Some(high)) if high.rate <= floor => {
                if high.final_look {
                    Decision::Done(self.bound())
                } else {
                    Decision::Try(high.rate, 0)
                }
            }
            (None, Some(high)) => Decision::Try(rounded(high.rate / growth).max(floor), 0),
            (Some(low), Some(high)) => {
                let middle = rounded((low * high.rate).sqrt());
                if high.rate / low - 1.0 > precision && low < middle && middle < high.rate {
                    Decision::Try(middle, 0)
                } else if !high.final_look {
                    Decision::Try(high.rate, 0)
                } else {
                    confirmed_or(low)
                }
            }
        }
    }

    /// What ends the search upwards, as far as is known.
    fn bound(&self) -> BoundedBy {
        match (self.held.last(), self.failed.first()) {
            (_, Some(failed)) if failed.client => BoundedBy::Client,
            (None, Some(_)) => BoundedBy::Floor,
            (_, Some(_)) => BoundedBy::Server,
            (_, None) => BoundedBy::Ceiling,
        }
    }

    fn found(&self, bounded_by: BoundedBy, cut_short: bool) -> Found {
        Found {
            highest: self.held.last().copied(),
            bounded_by,
            confirmed: self.confirmed,
            cut_short,
            steps: self.steps.clone(),
        }
    }
}

/// The value in a range; what is no number is the lower end.
fn within(value: f64, low: f64, high: f64) -> f64 {
    if value.is_nan() {
        low
    } else {
        value.clamp(low, high)
    }
}

/// Four significant digits: nobody reads more of a rate.
fn rounded(rate: f64) -> f64 {
    if rate <= 0.0 {
        return rate;
    }
    let digits = 3 - rate.log10().floor() as i32;
    let scale = 10f64.powi(digits.abs());
    // Dividing by a whole number gives the nearest decimal; multiplying by a fraction does not.
    if digits >= 0 {
        (rate * scale).round() / scale
    } else {
        (rate / scale).round() * scale
    }
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod find_tests;
