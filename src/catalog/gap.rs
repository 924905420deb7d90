//! Known gaps: documented differences that a provider's profile waives, with source and date.
//!
//! A gap turns findings of its rule into *known gap* (reported, not failed). A gap whose scenario ran
//! without showing it is reported as stale.

use serde::Deserialize;

use crate::catalog::late_regex::LateRegex;
use crate::catalog::provider::glob;

/// One documented difference.
#[derive(Debug, Clone)]
pub struct Gap {
    pub row: GapRow,
    message: Option<LateRegex>,
}

/// A row of `gaps.yaml`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapRow {
    /// Stable: `mantle/call-ids-restart`.
    pub id: String,
    /// One sentence: what differs.
    pub about: String,
    /// What it does to an agent.
    pub consequence: String,
    /// The rule or expectation whose findings it explains.
    pub rule: String,
    /// Providers that do it.
    pub providers: Vec<String>,
    /// Dialects it shows in; all where empty.
    #[serde(default)]
    pub dialects: Vec<String>,
    /// Globs over model ids; all where empty.
    #[serde(default)]
    pub models: Vec<String>,
    /// Globs over scenario names; all where empty.
    #[serde(default)]
    pub scenarios: Vec<String>,
    /// A regular expression over the finding's message, where the rule alone is too wide.
    #[serde(default)]
    pub message: Option<String>,
    /// The scenarios that show it: when one ran and did not, the gap is stale.
    #[serde(default)]
    pub shown_by: Vec<String>,
    pub source: String,
    pub date: String,
}

/// Where a finding was made.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub provider: &'a str,
    pub dialect: &'a str,
    pub model: &'a str,
    pub scenario: &'a str,
}

/// Whether the regular expressions of all gaps are some; the error names the broken one.
pub(crate) fn check(gaps: &[Gap]) -> Result<(), String> {
    gaps.iter().try_for_each(|gap| {
        let regex = gap.message.as_ref();
        regex
            .map_or(Ok(()), LateRegex::check)
            .map_err(|error| format!("gap `{}`: {error}", gap.row.id))
    })
}

impl Gap {
    pub(crate) fn new(row: GapRow) -> Gap {
        Gap {
            message: row.message.as_deref().map(LateRegex::new),
            row,
        }
    }

    /// Whether this gap is about the place at all.
    pub fn concerns(&self, place: &Place<'_>) -> bool {
        let among = |list: &[String], text: &str| {
            list.is_empty() || list.iter().any(|pattern| glob(pattern, text))
        };
        self.row
            .providers
            .iter()
            .any(|one| glob(one, place.provider))
            && among(&self.row.dialects, place.dialect)
            && among(&self.row.models, place.model)
            && among(&self.row.scenarios, place.scenario)
    }

    /// Whether it explains a finding of this rule, with this message, at this place.
    pub fn explains(&self, place: &Place<'_>, rule: &str, message: &str) -> bool {
        self.row.rule == rule
            && self.concerns(place)
            && self
                .message
                .as_ref()
                .is_none_or(|regex| regex.is_match(message))
    }
}
