//! What tokens cost by the providers' lists: the rows of `data/prices.yaml`.
//!
//! Core. A customer's own price is in the target, and stands before these.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::catalog::provider::glob;
use crate::catalog::{embedded, embedded_rows};

/// The list price of some models at a provider.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListPrice {
    pub provider: String,
    /// Model ids; `*` stands for any run of characters.
    pub models: Vec<String>,
    pub rates: Rates,
    /// What holds instead for long inputs.
    #[serde(default)]
    pub long: Option<LongRates>,
    pub source: String,
    pub date: String,
}

/// US dollars for a million tokens, 0 or more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    #[serde(deserialize_with = "dollars")]
    pub input: f64,
    /// Input read from a cache; as other input where it is absent or null.
    #[serde(default, deserialize_with = "some_dollars")]
    pub cached: Option<f64>,
    /// Input written to a cache; as other input where it is absent or null.
    #[serde(default, deserialize_with = "some_dollars")]
    pub cache_write: Option<f64>,
    #[serde(deserialize_with = "dollars")]
    pub output: f64,
}

/// With less than nothing, a ceiling of cost would never be reached.
fn dollars<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    checked(f64::deserialize(from)?)
}

fn some_dollars<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    Option::deserialize(from)?.map(checked).transpose()
}

fn checked<E: serde::de::Error>(price: f64) -> Result<f64, E> {
    match price.is_finite() && price >= 0.0 {
        true => Ok(price),
        false => Err(E::custom(format!(
            "a price of {price} should be 0 or more, in US dollars for a million tokens"
        ))),
    }
}

/// What holds for a whole request whose input is long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LongRates {
    /// For inputs of more tokens than this.
    pub above: u64,
    pub rates: Rates,
}

/// All rows, in their order. The file is read by a test, so this cannot fail for a user.
pub fn shipped() -> &'static [ListPrice] {
    static ROWS: LazyLock<Vec<ListPrice>> = LazyLock::new(|| {
        embedded("prices", embedded_rows!("prices"))
            .unwrap_or_else(|error| panic!("the catalog in this binary is broken: {error}"))
    });
    &ROWS
}

/// The list price of a model at a provider, where one is known.
pub fn listed(provider: &str, model: &str) -> Option<&'static ListPrice> {
    shipped().iter().find(|row| {
        row.provider == provider && row.models.iter().any(|pattern| glob(pattern, model))
    })
}

#[cfg(test)]
mod tests {
    use crate::catalog::price::*;

    /// Whoever mixes up two columns writes none of these.
    fn in_order(rates: &Rates) -> bool {
        rates.cached.is_none_or(|cached| cached < rates.input)
            && rates.cache_write.is_none_or(|write| rates.input < write)
            && rates.input < rates.output
    }

    #[test]
    fn every_row_can_be_meant_and_says_where_it_is_from() {
        for row in shipped() {
            let name = format!("{} {:?}", row.provider, row.models);
            let providers = crate::catalog::shipped();
            assert!(providers.provider(&row.provider).is_some(), "{name}");
            assert!(
                row.source.contains("https://") && row.date.len() == 10,
                "{name}"
            );
            for model in &row.models {
                assert_eq!(listed(&row.provider, model), Some(row), "{name}");
            }
            assert!(in_order(&row.rates), "{name}");
            if let Some(long) = row.long {
                assert!(in_order(&long.rates), "{name}");
                assert!(
                    row.rates.input < long.rates.input && row.rates.output < long.rates.output,
                    "{name}"
                );
                assert_eq!(
                    row.rates.cache_write.is_some(),
                    long.rates.cache_write.is_some(),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn profiles_and_snapshots_are_told_apart() {
        for (provider, model, input) in [
            ("bedrock-runtime", "us.openai.gpt-5.6-sol", Some(4.40)),
            ("bedrock-runtime", "global.openai.gpt-5.6-sol", Some(4.00)),
            ("bedrock-runtime", "us.openai.gpt-5.5", None),
            ("bedrock-mantle", "openai.gpt-5.6-sol", Some(4.40)),
            ("bedrock-mantle", "openai.gpt-5.6-sol-pro", None),
            ("bedrock-mantle", "openai.gpt-5.5-2026-04-23", Some(5.50)),
            ("bedrock-mantle", "openai.gpt-5.5-pro", None),
            ("openai", "gpt-5.4", Some(2.50)),
            ("azure-openai", "gpt-5.5", None),
        ] {
            let found = listed(provider, model).map(|row| row.rates.input);
            assert_eq!(found, input, "{provider} {model}");
        }
    }
}
