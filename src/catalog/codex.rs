//! What the Codex CLI does with each failure, from `data/codex.yaml`.
//!
//! Core. Measured facts of one version of one client: nothing is decided by them.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::catalog::{embedded, embedded_rows};

/// Which version was measured, how, and when.
pub const SOURCE: &str = "measured against the Codex CLI 0.169.0 on loopback, 2026-11-21";

/// What Codex does with one form of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodexRow {
    /// A failure class.
    pub class: String,
    /// In which form it came.
    pub when: String,
    /// Requests that the server saw.
    pub requests: String,
    /// Seconds until Codex gave up.
    pub seconds: String,
    /// The last line that its user sees.
    pub says: String,
}

/// All rows. The file is read by a test, so this cannot fail for a user.
pub fn shipped() -> &'static [CodexRow] {
    static ROWS: LazyLock<Vec<CodexRow>> = LazyLock::new(|| {
        embedded("codex", embedded_rows!("codex"))
            .unwrap_or_else(|error| panic!("the catalog in this binary is broken: {error}"))
    });
    &ROWS
}

#[cfg(test)]
mod tests {
    use crate::catalog::{codex, shipped};

    #[test]
    fn every_row_is_of_a_class() {
        assert!(!codex::shipped().is_empty());
        for row in codex::shipped() {
            assert!(shipped().failures.class(&row.class).is_some(), "{row:?}");
        }
    }
}
