//! What tokens cost by the providers' lists: the rows of `data/prices.yaml`.
//!
//! Core. A customer's own price is in the target, and stands before these.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::catalog::provider::glob;

/// US dollars for a million tokens of one model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListPrice {
    pub provider: String,
    /// The model id; `*` stands for any run of characters.
    pub model: String,
    pub input: f64,
    /// Input read from a cache.
    pub cached: f64,
    /// Input written to a cache; as other input where absent.
    #[serde(default)]
    pub cache_write: Option<f64>,
    pub output: f64,
    /// What holds instead for long inputs.
    #[serde(default)]
    pub long: Option<LongListPrice>,
    pub source: String,
    pub date: String,
}

/// What holds for a whole request whose input is long.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongListPrice {
    /// For inputs of more tokens than this.
    pub above: u64,
    pub input: f64,
    pub cached: f64,
    #[serde(default)]
    pub cache_write: Option<f64>,
    pub output: f64,
}

/// All rows, in their order. The file is read by a test, so this cannot fail for a user.
pub fn shipped() -> &'static [ListPrice] {
    static ROWS: LazyLock<Vec<ListPrice>> = LazyLock::new(|| {
        serde_json::from_str(crate::catalog::embedded_rows!("prices"))
            .unwrap_or_else(|error| panic!("prices.yaml in this binary is broken: {error}"))
    });
    &ROWS
}

/// The list price of a model at a provider, where one is known.
pub fn listed(provider: &str, model: &str) -> Option<&'static ListPrice> {
    shipped()
        .iter()
        .find(|row| row.provider == provider && glob(&row.model, model))
}

#[cfg(test)]
mod tests {
    use crate::catalog::price::*;

    #[test]
    fn every_row_can_be_meant_and_says_where_it_is_from() {
        for row in shipped() {
            let name = format!("{} {}", row.provider, row.model);
            assert!(
                crate::catalog::shipped().provider(&row.provider).is_some(),
                "{name}"
            );
            assert!(
                row.source.contains("https://") && row.date.len() == 10,
                "{name}"
            );
            assert_eq!(listed(&row.provider, &row.model), Some(row), "{name}");
            // Whoever mixes up two columns writes one of these.
            assert!(row.cached < row.input && row.input < row.output, "{name}");
            assert!(
                row.cache_write.is_none_or(|write| row.input < write),
                "{name}"
            );
            if let Some(long) = row.long {
                assert!(row.input < long.input && row.output < long.output, "{name}");
                assert_eq!(
                    row.cache_write.is_some(),
                    long.cache_write.is_some(),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn the_profile_decides_at_runtime() {
        let input = |provider, model| listed(provider, model).map(|row| row.input);
        assert_eq!(
            input("bedrock-runtime", "us.openai.gpt-5.6-sol"),
            Some(4.40)
        );
        assert_eq!(
            input("bedrock-runtime", "global.openai.gpt-5.6-sol"),
            Some(4.00)
        );
        assert_eq!(input("bedrock-mantle", "openai.gpt-5.6-sol"), Some(4.40));
        assert_eq!(input("bedrock-mantle", "openai.gpt-5.5-pro"), None);
        assert_eq!(input("azure-openai", "gpt-5.5"), None);
    }
}
