//! A rule, expectation or comparison that did not hold, with its evidence.
//!
//! Plain data; where a finding belongs (scenario, target, region) is known to whoever collects it.

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; never changes a verdict.
    Info,
    /// A documented expectation that a careful client survives.
    Should,
    /// Broken: some client fails or silently does the wrong thing.
    Must,
}

impl Severity {
    /// The word used in reports.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Must => "must",
            Severity::Should => "should",
            Severity::Info => "info",
        }
    }
}

/// A named thing that can fail to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Stable: `responses/one-terminal-event`.
    pub id: &'static str,
    pub severity: Severity,
    /// One sentence: what holds on a good wire.
    pub about: &'static str,
    /// Where that is written or was observed.
    pub source: &'static str,
}

/// Something that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The id of the rule.
    pub rule: String,
    pub severity: Severity,
    /// One sentence: what is wrong here.
    pub message: String,
    pub evidence: Evidence,
    /// Why it probably is so, where known.
    pub cause: Option<String>,
    /// What to try, where known.
    pub fix: Option<String>,
}

/// What was seen. Model output in here is hostile text: reports escape it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Which turn of the scenario, counting from 1.
    pub turn: Option<usize>,
    /// Which event of the answer, counting from 0.
    pub event: Option<usize>,
    pub expected: Option<String>,
    pub got: Option<String>,
    /// The offending event or body, cut to a readable length.
    pub excerpt: Option<String>,
}
