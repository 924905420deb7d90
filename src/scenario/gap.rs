//! What a scenario says about a known difference: the misbehaviour that shows it, and the finding that names it.
//!
//! Core: plain data. Whether the fault and the rules exist is checked by whoever knows them.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::scenario::model::Scenario;

/// A difference that was seen in the wild, and how it is recognised.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GapClaim {
    /// The misbehaviour of a mocked endpoint that reproduces it; off unless `check --show-gaps`.
    pub fault: String,
    /// The rule that names it; where wire APIs have rules of their own, one for each.
    pub findings: Vec<String>,
    /// Who was seen doing it.
    pub seen_at: Vec<String>,
    /// The report: a URL where there is one.
    pub source: String,
    /// When it was seen or read, as `2026-08` or `2026-08-22`.
    pub date: String,
    /// What it does to an agent.
    pub consequence: String,
}

impl GapClaim {
    /// The rule that must name it in this dialect: the dialect's own, else one that is of no dialect.
    pub fn finding(&self, dialect: &str) -> Option<&str> {
        let family = |rule: &str| rule.split('/').next().unwrap_or_default().to_owned();
        let of_all = |rule: &&String| !DIALECTS.contains(&family(rule).as_str());
        self.findings
            .iter()
            .find(|rule| family(rule) == dialect)
            .or_else(|| self.findings.iter().find(of_all))
            .map(String::as_str)
    }
}

/// Families of rules that are of one dialect.
const DIALECTS: [&str; 5] = ["responses", "chat", "converse", "invoke", "agentcore"];

/// The scenario with its misbehaviour switched on; `None` for one that claims no gap.
pub fn with_fault(mut scenario: Scenario) -> Option<Scenario> {
    let fault = scenario.gap.as_ref()?.fault.clone();
    scenario.given.fault = Some(fault);
    Some(scenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialects_own_rule_comes_first() {
        let claim = GapClaim {
            fault: "f".to_owned(),
            findings: vec!["chat/a".to_owned(), "expect/b".to_owned()],
            seen_at: Vec::new(),
            source: String::new(),
            date: String::new(),
            consequence: String::new(),
        };
        assert_eq!(claim.finding("chat"), Some("chat/a"));
        assert_eq!(claim.finding("responses"), Some("expect/b"));
        let one = GapClaim {
            findings: vec!["responses/c".to_owned()],
            ..claim
        };
        assert_eq!(one.finding("converse"), None);
    }
}
