//! Gathers findings: cuts evidence to a readable length and says "and N more" instead of repeating
//! one rule for every event.
//!
//! It must never drop a rule altogether: at least the first breach of each is kept whole.

use serde_json::Value;

use crate::check::finding::{Evidence, Finding, Rule};
use crate::dialect::wire::{Payload, WireEvent};

/// How many findings of one rule an answer shows.
const SHOWN_PER_RULE: usize = 5;
/// How many characters of an event are shown.
const EXCERPT: usize = 300;
/// How many characters of an expected or actual value are shown.
const VALUE: usize = 160;

/// Findings in the making.
#[derive(Debug)]
pub struct Collector<'a> {
    events: &'a [WireEvent],
    findings: Vec<Finding>,
    /// For each rule that has more findings than are shown: how many more.
    more: Vec<(String, usize)>,
}

impl<'a> Collector<'a> {
    pub fn new(events: &'a [WireEvent]) -> Collector<'a> {
        Collector {
            events,
            findings: Vec::new(),
            more: Vec::new(),
        }
    }

    /// A breach of a rule at an event, with what was expected and what came.
    pub fn add(
        &mut self,
        rule: &Rule,
        event: Option<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) {
        let shown = self
            .findings
            .iter()
            .filter(|finding| finding.rule == rule.id)
            .count();
        if shown >= SHOWN_PER_RULE {
            match self.more.iter_mut().find(|(id, _)| id == rule.id) {
                Some((_, count)) => *count += 1,
                None => self.more.push((rule.id.to_owned(), 1)),
            }
            return;
        }
        let filled = |text: String| (!text.is_empty()).then(|| cut(&text, VALUE));
        self.findings.push(Finding {
            rule: rule.id.to_owned(),
            severity: rule.severity,
            message: message.into(),
            evidence: Evidence {
                turn: None,
                event,
                expected: filled(expected.into()),
                got: filled(got.into()),
                excerpt: event.and_then(|index| self.events.get(index)).map(excerpt),
            },
            cause: None,
            fix: None,
        });
    }

    /// Whether a rule has a finding already.
    pub fn has(&self, rule: &Rule) -> bool {
        self.findings.iter().any(|finding| finding.rule == rule.id)
    }

    /// All findings; where some were held back, the last one shown says how many.
    pub fn finish(mut self) -> Vec<Finding> {
        for (rule, count) in self.more {
            let last = self
                .findings
                .iter_mut()
                .rev()
                .find(|finding| finding.rule == rule);
            if let Some(finding) = last {
                finding.message = format!("{} (and {count} more)", finding.message);
            }
        }
        self.findings
    }
}

/// The start of a text, cut between characters.
pub fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A JSON value as it is shown in a finding; `absent` where there is none.
pub fn show(value: Option<&Value>) -> String {
    match value {
        None => "absent".to_owned(),
        Some(value) => cut(&value.to_string(), VALUE),
    }
}

/// Two texts from a little before the place where they part, quoted.
pub fn difference(expected: &str, got: &str) -> (String, String) {
    let common = expected
        .chars()
        .zip(got.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let start = common.saturating_sub(30);
    let window = |text: &str| {
        let rest: String = text.chars().skip(start).collect();
        let lead = if start > 0 { "…" } else { "" };
        format!("{lead}{:?}", cut(&rest, 80))
    };
    (window(expected), window(got))
}

fn excerpt(event: &WireEvent) -> String {
    match &event.payload {
        Payload::Json(value) => cut(&value.to_string(), EXCERPT),
        Payload::Done => "[DONE]".to_owned(),
        Payload::Malformed { text, .. } => cut(text, EXCERPT),
    }
}
