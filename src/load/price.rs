//! What a request costs.
//!
//! Core. By a price that somebody has told: never a guess, and no more than the tokens that were counted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::price::{ListPrice, LongListPrice};
use crate::load::sample::Sample;
use crate::turn::trace::Usage;

/// What a million tokens cost, in US dollars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    #[serde(flatten)]
    pub rates: Rates,
    /// What holds for a whole request whose input is long; null where nothing else does.
    pub long: Option<LongRates>,
    /// Who says so, in words.
    pub said_by: String,
    /// Where a list price stands; null where the target tells its own.
    pub source: Option<String>,
}

/// US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rates {
    pub input: f64,
    /// Input read from a cache; as other input where it is null.
    pub cached: Option<f64>,
    /// Input written to a cache; as other input where it is null.
    pub cache_write: Option<f64>,
    pub output: f64,
}

/// What holds above a number of input tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LongRates {
    pub above: u64,
    #[serde(flatten)]
    pub rates: Rates,
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
    /// What a request has taken, by what the provider reports of it. `asked` are the characters of its body: where nothing
    /// is reported, four of them are a token of input, and each event is one of output.
    pub fn of(sample: &Sample, usage: Option<&Usage>, asked: u64) -> Spending {
        Spending {
            input: match usage {
                Some(usage) => whole_input(usage),
                None if sample.headers.is_some() => asked / 4,
                None => 0,
            },
            cached: usage.and_then(|usage| usage.cached).unwrap_or(0),
            cache_write: usage.and_then(|usage| usage.cache_write).unwrap_or(0),
            output: sample
                .output_tokens
                .unwrap_or(u64::from(sample.output_events)),
        }
    }
}

/// All input tokens. Some count those of a cache beside the input, not in it: then the total shows it.
fn whole_input(usage: &Usage) -> u64 {
    let cache = [usage.cached, usage.cache_write];
    let cache = cache.into_iter().flatten().fold(0, u64::saturating_add);
    let counted = usage.input.saturating_add(usage.output);
    match usage.total == counted.saturating_add(cache) {
        true => usage.input.saturating_add(cache),
        false => usage.input,
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
    /// `$4.40 input, $0.44 cached, $22.00 output for a million tokens (…)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rates = &self.rates;
        write!(f, "{} input", dollars(rates.input))?;
        if let Some(cached) = rates.cached {
            write!(f, ", {} cached", dollars(cached))?;
        }
        write!(
            f,
            ", {} output for a million tokens ({})",
            dollars(rates.output),
            self.said_by
        )
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
        let long = |long: LongListPrice| LongRates {
            above: long.above,
            rates: Rates {
                input: long.input,
                cached: Some(long.cached),
                cache_write: long.cache_write,
                output: long.output,
            },
        };
        Price {
            rates: Rates {
                input: list.input,
                cached: Some(list.cached),
                cache_write: list.cache_write,
                output: list.output,
            },
            long: list.long.map(long),
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
        let words = "$4.40 input, $0.44 cached, $22.00 output for a million tokens (list price of 2026-09-26)";
        assert_eq!(price.to_string(), words);
        let cheap = Price::from(listed("bedrock-mantle", "openai.gpt-5.4").unwrap());
        assert!(cheap.to_string().contains("$0.275 cached"), "{cheap}");
    }
}
