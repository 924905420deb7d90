//! The catalog: dated facts about providers, models, failures and known gaps, from data files.
//!
//! Core. Adding a provider, region, model, error body or gap is a change of data in
//! `src/catalog/data/`, never of code. Every row carries its source and date.

pub mod cause;
pub mod codex;
pub mod engine;
pub mod failure;
pub mod gap;
mod late_regex;
pub mod price;
pub mod provider;
mod whole;

use std::sync::LazyLock;

use crate::catalog::cause::Cause;
use crate::catalog::failure::{Failures, FailuresFile};
use crate::catalog::gap::{Gap, GapRow};
use crate::catalog::provider::{Model, Provider};

/// A data file as the build has written it: JSON.
macro_rules! embedded_rows {
    ($name:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/catalog/", $name, ".json"))
    };
}
pub(crate) use embedded_rows;

/// Everything the data files say.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub providers: Vec<Provider>,
    pub models: Vec<Model>,
    pub failures: Failures,
    pub gaps: Vec<Gap>,
}

/// The catalog that ships in the binary, read from what the build made of its files. They are read and
/// cross-checked by a test, so this cannot fail for a user and does neither again.
pub fn shipped() -> &'static Catalog {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
        let catalog = || {
            Ok(Catalog::of(
                embedded("providers", embedded_rows!("providers"))?,
                embedded("models", embedded_rows!("models"))?,
                embedded("failures", embedded_rows!("failures"))?,
                embedded("gaps", embedded_rows!("gaps"))?,
            ))
        };
        catalog()
            .unwrap_or_else(|error: String| panic!("the catalog in this binary is broken: {error}"))
    });
    &CATALOG
}

/// Why a sign-in can fail. Its file is read by a test, so this cannot fail for a user.
pub fn credential_causes() -> &'static [Cause] {
    static CAUSES: LazyLock<Vec<Cause>> = LazyLock::new(|| {
        embedded("credential_causes", embedded_rows!("credential_causes"))
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
        let catalog = Catalog::of(
            read("providers.yaml", providers)?,
            read("models.yaml", models)?,
            read("failures.yaml", failures)?,
            read("gaps.yaml", gaps)?,
        );
        catalog
            .failures
            .check()
            .map_err(|error| format!("failures.yaml: {error}"))?;
        gap::check(&catalog.gaps).map_err(|error| format!("gaps.yaml: {error}"))?;
        whole::check(&catalog)?;
        Ok(catalog)
    }

    /// The rows together, whether they fit or not.
    fn of(
        providers: Vec<Provider>,
        models: Vec<Model>,
        failures: FailuresFile,
        gaps: Vec<GapRow>,
    ) -> Catalog {
        Catalog {
            providers,
            models,
            failures: Failures::new(failures),
            gaps: gaps.into_iter().map(Gap::new).collect(),
        }
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

/// Rows that the build has translated. `name` is the file's, without its ending.
fn embedded<T: serde::de::DeserializeOwned>(name: &str, json: &str) -> Result<T, String> {
    serde_json::from_str(json)
        .map_err(|error| format!("{name}.yaml, as the build wrote it: {error}"))
}

#[cfg(test)]
mod tests {
    use crate::catalog::*;

    #[test]
    fn what_is_embedded_is_what_the_files_say() {
        let files = Catalog::read(
            include_str!("data/providers.yaml"),
            include_str!("data/models.yaml"),
            include_str!("data/failures.yaml"),
            include_str!("data/gaps.yaml"),
        )
        .expect("the files fit each other");
        let shipped = shipped();
        assert_eq!(files.providers, shipped.providers);
        assert_eq!(files.models, shipped.models);
        assert_eq!(files.failures.classes, shipped.failures.classes);
        assert!(files.failures.patterns().eq(shipped.failures.patterns()));
        let rows = |catalog: &Catalog| -> Vec<GapRow> {
            catalog.gaps.iter().map(|gap| gap.row.clone()).collect()
        };
        assert_eq!(rows(&files), rows(shipped));
        let causes: Vec<Cause> =
            read("", include_str!("data/credential_causes.yaml")).expect("it reads");
        assert_eq!(causes, credential_causes());
        let codex: Vec<codex::CodexRow> =
            read("", include_str!("data/codex.yaml")).expect("it reads");
        assert_eq!(codex, codex::shipped());
    }

    #[test]
    fn a_broken_expression_of_a_file_is_refused() {
        let none = "[]";
        let failures = |text: &str| {
            format!(
                "classes: [{{id: a, about: b, cause: c, fix: d}}]\n\
                 patterns: [{{class: a, text: '{text}', source: s, date: d}}]\n"
            )
        };
        assert!(Catalog::read(none, none, &failures("x"), none).is_ok());
        let error = Catalog::read(none, none, &failures("("), none).expect_err("it is broken");
        assert!(
            error.starts_with("failures.yaml: pattern of class `a`"),
            "{error}"
        );
        let gap = "[{id: g, about: b, consequence: c, rule: r, providers: [], message: '(', source: s, date: d}]";
        let error = Catalog::read(none, none, &failures("x"), gap).expect_err("it is broken");
        assert!(error.starts_with("gaps.yaml: gap `g`"), "{error}");
    }
}
