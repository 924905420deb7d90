//! What a request has taken, and what that costs.
//!
//! Core. By a price that somebody has told. The tokens are those that were reported; where nothing was, a guess that is
//! named as one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::price::{ListPrice, LongRates, Rates};
use crate::load::sample::Sample;
use crate::turn::trace::Usage;

/// What a million tokens cost, in US dollars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    pub rates: Rates,
    /// What holds for a whole request whose input is long; null where nothing else does.
    pub long: Option<LongRates>,
    /// Who says so, in words.
    pub said_by: String,
    /// Where a list price stands; null where the target tells its own.
    pub source: Option<String>,
}

/// The tokens of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spending {
    /// All of them, cached ones included.
    pub input: u64,
    /// Of these, read from a cache.
    pub cached: u64,
    /// Of these, written to a cache.
    pub cache_write: u64,
    pub output: u64,
}

impl Spending {
    /// What a request has taken, by what the provider reports of it. Where it reports nothing of an answer: four bytes of
    /// the request's body (`asked`) are a token of input, and each event is one of output. What was refused has taken
    /// nothing.
    pub fn of(sample: &Sample, usage: Option<&Usage>, asked: u64) -> Spending {
        let usage = usage.copied().unwrap_or_default();
        let answered = sample
            .status
            .is_some_and(|status| (200..300).contains(&status));
        Spending {
            input: match whole_input(&usage) {
                0 if answered => asked / 4,
                input => input,
            },
            cached: usage.cached.unwrap_or(0),
            cache_write: usage.cache_write.unwrap_or(0),
            output: match whole_output(&usage) {
                0 => u64::from(sample.output_events),
                output => output,
            },
        }
    }
}

/// All input tokens. Some count those of a cache beside the input, not in it: the total shows it, or that there are more
/// of them than of all.
fn whole_input(usage: &Usage) -> u64 {
    let cache = [usage.cached, usage.cache_write];
    let cache = cache.into_iter().flatten().fold(0, u64::saturating_add);
    let counted = usage.input.saturating_add(usage.output);
    match cache > usage.input || usage.total == counted.saturating_add(cache) {
        true => usage.input.saturating_add(cache),
        false => usage.input,
    }
}

/// All output tokens. Some count those of reasoning beside the output: the total shows it.
fn whole_output(usage: &Usage) -> u64 {
    let reasoning = usage.reasoning.unwrap_or(0);
    let counted = usage.input.saturating_add(usage.output);
    match usage.total == counted.saturating_add(reasoning) {
        true => usage.output.saturating_add(reasoning),
        false => usage.output,
    }
}

impl Price {
    /// A customer's own, the same at any length.
    pub fn own(rates: Rates) -> Price {
        Price {
            rates,
            long: None,
            said_by: "`price` of the target".to_owned(),
            source: None,
        }
    }

    /// The cost of a request in millionths of a dollar, rounded up.
    pub fn micro_dollars(&self, spending: Spending) -> u64 {
        let long = self.long.filter(|long| spending.input > long.above);
        let rates = long.map_or(self.rates, |long| long.rates);
        let cached = spending.cached.min(spending.input);
        let written = spending.cache_write.min(spending.input - cached);
        let plain = spending.input - cached - written;
        let cost = plain as f64 * rates.input
            + cached as f64 * rates.cached.unwrap_or(rates.input)
            + written as f64 * rates.cache_write.unwrap_or(rates.input)
            + spending.output as f64 * rates.output;
        cost.ceil() as u64
    }
}

impl std::fmt::Display for Price {
    /// `$4.40 input, $0.44 cached, $5.50 written to a cache, $22.00 output for a million tokens (…)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rates = &self.rates;
        write!(f, "{} input", dollars(rates.input))?;
        if let Some(cached) = rates.cached {
            write!(f, ", {} cached", dollars(cached))?;
        }
        if let Some(write) = rates.cache_write {
            write!(f, ", {} written to a cache", dollars(write))?;
        }
        write!(f, ", {} output for a million tokens", dollars(rates.output))?;
        if let Some(long) = &self.long {
            let (input, output) = (dollars(long.rates.input), dollars(long.rates.output));
            let above = long.above;
            write!(f, ", from {above} tokens of input on {input} and {output}")?;
        }
        write!(f, " ({})", self.said_by)
    }
}

/// Whole cents with two digits, what is less with as many as it has.
fn dollars(amount: f64) -> String {
    let short = format!("${amount:.2}");
    let full = format!("${amount}");
    if full.len() > short.len() {
        full
    } else {
        short
    }
}

impl From<&ListPrice> for Price {
    fn from(list: &ListPrice) -> Price {
        Price {
            rates: list.rates,
            long: list.long,
            said_by: format!("list price of {}", list.date),
            source: Some(list.source.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::price::listed;
    use crate::load::price::*;

    fn flat(cached: Option<f64>, cache_write: Option<f64>) -> Price {
        let rates = Rates {
            input: 2.0,
            cached,
            cache_write,
            output: 8.0,
        };
        Price::own(rates)
    }

    #[test]
    fn input_from_a_cache_is_counted_once() {
        let of = |total, cached, cache_write| {
            whole_input(&Usage {
                input: 100,
                output: 10,
                total,
                cached,
                cache_write,
                ..Usage::default()
            })
        };
        assert_eq!(of(110, Some(60), None), 100);
        assert_eq!(of(170, Some(60), None), 160);
        assert_eq!(of(190, Some(60), Some(20)), 180);
        assert_eq!(of(110, None, None), 100);
        assert_eq!(of(0, Some(60), None), 100, "no total");
        assert_eq!(of(110, Some(90), Some(20)), 210, "more than all");
    }

    #[test]
    fn reasoning_is_counted_once() {
        let of = |total, reasoning| {
            whole_output(&Usage {
                input: 100,
                output: 10,
                total,
                reasoning,
                ..Usage::default()
            })
        };
        assert_eq!(
            (of(110, Some(8)), of(110, None), of(0, Some(8))),
            (10, 10, 10)
        );
        assert_eq!(of(150, Some(40)), 50);
    }

    #[test]
    fn what_a_cache_reads_and_writes_has_its_own_price() {
        let spending = Spending {
            input: 1000,
            cached: 400,
            cache_write: 200,
            output: 10,
        };
        assert_eq!(flat(None, None).micro_dollars(spending), 2000 + 80);
        assert_eq!(
            flat(Some(0.5), Some(2.5)).micro_dollars(spending),
            800 + 200 + 500 + 80
        );
        // A provider that counts more cached than there was.
        let odd = Spending {
            cached: 900,
            ..spending
        };
        assert_eq!(
            flat(Some(0.5), Some(2.5)).micro_dollars(odd),
            450 + 250 + 80
        );
    }

    #[test]
    fn a_long_input_makes_the_whole_request_dearer() {
        let price = Price::from(listed("bedrock-mantle", "openai.gpt-5.6-sol").unwrap());
        let of = |input| {
            price.micro_dollars(Spending {
                input,
                output: 1000,
                ..Spending::default()
            })
        };
        assert_eq!(of(272_000), 1_196_800 + 22_000);
        assert_eq!(of(272_001), 2_393_609 + 33_000);
        assert_eq!(
            price.to_string(),
            "$4.40 input, $0.44 cached, $5.50 written to a cache, $22.00 output for a million tokens, from 272000 \
             tokens of input on $8.80 and $33.00 (list price of 2026-09-26)"
        );
        let cheap = Price::from(listed("bedrock-mantle", "openai.gpt-5.4").unwrap());
        assert!(cheap.to_string().contains("$0.275 cached"), "{cheap}");
    }
}
