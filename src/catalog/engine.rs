//! How engines tell the copies of a job apart: the rows of `data/engines.yaml`.
//!
//! Core. Names of variables only: nothing here reads the environment.

use std::sync::LazyLock;

use serde::Deserialize;

/// One engine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    pub id: String,
    /// For messages.
    pub name: String,
    /// The variable with the index of this copy.
    pub index: String,
    /// The variable with the number of copies.
    pub count: String,
    /// The first index, where no variable says it.
    pub base: u32,
    /// The variable with the first index.
    #[serde(default)]
    pub lowest: Option<String>,
    /// The variable with the last index.
    #[serde(default)]
    pub highest: Option<String>,
    /// The variable with the distance of two indexes.
    #[serde(default)]
    pub step: Option<String>,
    /// Whether a count of 1 without an index means a job that is not split.
    #[serde(default)]
    pub unsplit: bool,
    pub source: String,
    pub date: String,
}

/// All engines, in the order in which they are looked for. The file is read by a test, so this cannot
/// fail for a user.
pub fn shipped() -> &'static [Engine] {
    static ROWS: LazyLock<Vec<Engine>> = LazyLock::new(|| {
        serde_yaml::from_str(include_str!("data/engines.yaml"))
            .unwrap_or_else(|error| panic!("engines.yaml in this binary is broken: {error}"))
    });
    &ROWS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::catalog::engine::shipped;

    #[test]
    fn every_row_has_variables_of_its_own_a_source_and_a_date() {
        let mut seen = BTreeSet::new();
        assert_eq!(shipped().len(), 5);
        for row in shipped() {
            for variable in [Some(&row.index), Some(&row.count), row.lowest.as_ref()] {
                let Some(variable) = variable else { continue };
                assert!(seen.insert(variable), "{variable} is there twice");
                let plain = |c: char| c.is_ascii_uppercase() || c == '_';
                assert!(variable.chars().all(plain), "{variable}");
            }
            assert!(row.base <= 1 && !row.source.is_empty(), "{row:?}");
            assert_eq!(row.date.len(), 10, "{row:?}");
        }
    }
}
