//! The catalog: dated facts about providers, models, failures and known gaps, from data files.
//!
//! Core. Adding a provider, region, model, error body or gap is a change of data in
//! `src/catalog/data/`, never of code. Every row carries its source and date.

pub mod cause;
pub mod codex;
pub mod engine;
pub mod failure;
pub mod gap;
pub mod provider;
mod whole;

use std::sync::LazyLock;

use crate::catalog::cause::Cause;
use crate::catalog::failure::Failures;
use crate::catalog::gap::Gap;
use crate::catalog::provider::{Model, Provider};

/// Everything the data files say.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub providers: Vec<Provider>,
    pub models: Vec<Model>,
    pub failures: Failures,
    pub gaps: Vec<Gap>,
}

/// The catalog that ships in the binary. Its files are read by a test, so this cannot fail for a user.
pub fn shipped() -> &'static Catalog {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
        Catalog::read(
            include_str!("data/providers.yaml"),
            include_str!("data/models.yaml"),
            include_str!("data/failures.yaml"),
            include_str!("data/gaps.yaml"),
        )
        .unwrap_or_else(|error| panic!("the catalog in this binary is broken: {error}"))
    });
    &CATALOG
}

/// Why a sign-in can fail. Its file is read by a test, so this cannot fail for a user.
pub fn credential_causes() -> &'static [Cause] {
    static CAUSES: LazyLock<Vec<Cause>> = LazyLock::new(|| {
        read(
            "credential_causes.yaml",
            include_str!("data/credential_causes.yaml"),
        )
        .unwrap_or_else(|error| panic!("the catalog in this binary is broken: {error}"))
    });
    &CAUSES
}

impl Catalog {
    /// Reads the four data files. The error names the file, and line and column, or the row that fits no other.
    pub fn read(
        providers: &str,
        models: &str,
        failures: &str,
        gaps: &str,
    ) -> Result<Catalog, String> {
        let catalog = Catalog {
            providers: read("providers.yaml", providers)?,
            models: read("models.yaml", models)?,
            failures: Failures::new(read("failures.yaml", failures)?)
                .map_err(|error| format!("failures.yaml: {error}"))?,
            gaps: gap::compile(read("gaps.yaml", gaps)?)
                .map_err(|error| format!("gaps.yaml: {error}"))?,
        };
        whole::check(&catalog)?;
        Ok(catalog)
    }

    /// A provider by id.
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.id == id)
    }

    /// The ids of all providers, in the order of the file.
    pub fn provider_ids(&self) -> impl Iterator<Item = &str> {
        self.providers.iter().map(|provider| provider.id.as_str())
    }

    /// The row of a model at a provider, if the catalog has one.
    pub fn model(&self, provider: &str, id: &str) -> Option<&Model> {
        self.models
            .iter()
            .find(|model| model.provider == provider && provider::glob(&model.id, id))
    }
}

fn read<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, String> {
    serde_yaml::from_str_with_options(text, serde_yaml::options! { strict_booleans: true })
        .map_err(|error| format!("{file}: {error}"))
}
