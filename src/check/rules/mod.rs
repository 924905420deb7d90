//! The named rules of the wire: what holds on a good answer, whoever sends it.
//!
//! Core. A rule reads events and says what does not hold, with evidence; it must never know a
//! provider. What one provider is known to do differently is a row of `gaps.yaml`, not a condition here.

pub mod collect;
pub mod ledger;

pub mod framing;

pub mod envelope;
pub mod fields;
pub mod sequence;

pub mod items;
pub mod parts;
pub mod strands;

pub mod calls;
pub mod hosted;

pub mod final_object;
pub mod reasoning;
pub mod usage;

pub mod contract;
pub mod echo;

pub mod agentcore;
pub mod chat;
pub mod converse;
pub mod invoke;

use serde_json::Value;

use crate::check::finding::{Finding, Rule, Severity};
use crate::check::rules::collect::Collector;
use crate::check::rules::ledger::Ledger;
use crate::dialect::wire::WireEvent;
use crate::turn::exchange::{End, Head};
use crate::turn::trace::{Layer, TurnTrace};

/// One answer to check.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// All events of the answer; of a plain JSON answer, its body as the only one.
    pub events: &'a [WireEvent],
    pub trace: &'a TurnTrace,
    /// Whether the answer came as a stream of events.
    pub streamed: bool,
    /// Whether it came with the framing of the wire; a file of one JSON event per line has lost it.
    pub framed: bool,
    /// The response head; `None` for a captured file.
    pub head: Option<&'a Head>,
    /// How the exchange ended; `None` for a captured file.
    pub end: Option<&'a End>,
    /// The JSON body that was sent; `None` for a captured file.
    pub request: Option<&'a Value>,
}

impl Subject<'_> {
    /// Whether it comes from a file and not from an exchange of ours.
    pub fn is_capture(&self) -> bool {
        self.end.is_none()
    }

    /// Whether the transport failed before the answer could be whole: what is missing then is not
    /// the fault of what came.
    pub fn was_cut(&self) -> bool {
        self.end.is_some_and(|end| *end != End::Complete)
            || self
                .trace
                .failure
                .as_ref()
                .is_some_and(|failure| failure.layer == Layer::Connection)
    }

    /// Whether a frame was broken, so that nothing after it could be read.
    pub fn lost_frames(&self) -> bool {
        let irregularities = &self.trace.irregularities;
        irregularities
            .iter()
            .any(|one| one.id.starts_with("event-stream/"))
    }

    /// Whether there is no answer to check: an error response, or no response at all. An error in
    /// disguise, inside a success, is an answer and a bad one.
    pub fn is_refusal(&self) -> bool {
        match self.head {
            Some(head) => !(200..300).contains(&head.status),
            None => !self.is_capture(),
        }
    }

    /// Whether the body is no answer of the API, or too large a one: no further rule is about it.
    fn is_something_else(&self) -> bool {
        let irregularities = &self.trace.irregularities;
        irregularities
            .iter()
            .any(|one| framing::IS_SOMETHING_ELSE.contains(&one.id))
    }
}

/// Everything that does not hold, in the order of the families, each in the order of the events.
pub fn check(dialect_word: &str, subject: &Subject<'_>) -> Vec<Finding> {
    if subject.is_refusal() {
        return Vec::new();
    }
    let mut collector = Collector::new(subject.events);
    framing::check(subject, &mut collector);
    if subject.is_something_else() {
        return collector.finish();
    }
    if dialect_word == "responses" && !too_many_items(subject, &mut collector) {
        let ledger = Ledger::read(subject);
        envelope::check(&ledger, &mut collector);
        fields::check(&ledger, &mut collector);
        sequence::check(&ledger, &mut collector);
        items::check(&ledger, &mut collector);
        parts::check(&ledger, &mut collector);
        strands::check(&ledger, &mut collector);
        calls::check(&ledger, &mut collector);
        hosted::check(&ledger, &mut collector);
        final_object::check(&ledger, &mut collector);
        usage::check(&ledger, &mut collector);
        reasoning::check(&ledger, &mut collector);
        contract::check(&ledger, &mut collector);
        echo::check(&ledger, &mut collector);
    }
    if dialect_word == "chat" {
        chat::check(subject, &mut collector);
    }
    if dialect_word == "agentcore" {
        agentcore::check(subject, &mut collector);
    }
    let trimmed = dialect_word == "converse" && converse::check(subject, &mut collector);
    let counted = dialect_word == "invoke" && invoke::check(subject, &mut collector);
    let mut findings = collector.finish();
    findings.retain(|one| !(counted && invoke::is_told_by_metrics(one, subject)));
    if trimmed {
        return findings
            .into_iter()
            .filter(|one| !converse::is_broken_by_loss(&one.rule))
            .collect();
    }
    if subject.is_capture() && findings.iter().any(|one| one.rule == sequence::GAPS.id) {
        // Whoever captured the stream may have left events out, and what is missing then says
        // nothing about the provider. On a live wire nothing but the provider can.
        return without_loss(findings);
    }
    findings
}

/// Items of one answer that are compared with each other. Real answers have tens at most (the worst
/// seen in the wild: 59, https://github.com/NousResearch/hermes-agent/issues/41321, 2026-08).
const MOST_ITEMS: usize = 1_000;

static ITEMS_WITHIN_LIMIT: Rule = must(
    "responses/items-within-limit",
    "An answer has at most 1000 items; one with more is not checked any further.",
    "limit of this program: items are compared in pairs",
);

static LIMITS: &[&Rule] = &[&ITEMS_WITHIN_LIMIT];

/// A flood of items would keep the checks busy for minutes. What is not checked is never passed.
fn too_many_items(subject: &Subject<'_>, out: &mut Collector<'_>) -> bool {
    let announced = subject
        .events
        .iter()
        .filter(|event| event.json().is_some_and(|data| data.get("item").is_some()))
        .count();
    let listed = subject
        .events
        .iter()
        .filter_map(|event| {
            let data = event.json()?;
            let response = data.get("response").unwrap_or(data);
            Some(response.get("output")?.as_array()?.len())
        })
        .max()
        .unwrap_or(0);
    // Each item is announced once and finished once.
    let items = listed.max(announced / 2);
    if items > MOST_ITEMS {
        out.add(
            &ITEMS_WITHIN_LIMIT,
            None,
            "the answer has too many items to be checked",
            format!("at most {MOST_ITEMS}"),
            items.to_string(),
        );
    }
    items > MOST_ITEMS
}

/// Rules that break when events are left out of a capture.
const BROKEN_BY_LOSS: &[&str] = &[
    "responses/item-added-first",
    "responses/output-index-dense",
    "responses/item-done-once",
    "responses/part-added-first",
    "responses/part-index-dense",
    "responses/part-closed-once",
    "responses/text-adds-up",
    "responses/refusal-adds-up",
    "responses/reasoning-text-adds-up",
    "responses/summary-adds-up",
    "responses/arguments-add-up",
    "responses/custom-input-adds-up",
    "responses/hosted-input-adds-up",
    "responses/text-in-deltas",
    "responses/final-output-matches-items",
];

fn without_loss(findings: Vec<Finding>) -> Vec<Finding> {
    findings
        .into_iter()
        .filter(|one| !BROKEN_BY_LOSS.contains(&one.rule.as_str()))
        .collect()
}

/// All rules, family by family.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [
        framing::RULES,
        LIMITS,
        envelope::RULES,
        fields::RULES,
        sequence::RULES,
        items::RULES,
        parts::RULES,
        strands::RULES,
        calls::RULES,
        hosted::RULES,
        final_object::RULES,
        usage::RULES,
        reasoning::RULES,
        contract::RULES,
        echo::RULES,
        agentcore::RULES,
    ]
    .into_iter()
    .chain(chat::FAMILIES.iter().copied())
    .chain(converse::FAMILIES.iter().copied())
    .chain([invoke::RULES])
    .flatten()
    .copied()
}

/// A rule whose breach breaks some client.
pub(crate) const fn must(id: &'static str, about: &'static str, source: &'static str) -> Rule {
    Rule {
        id,
        severity: Severity::Must,
        about,
        source,
    }
}

/// A rule whose breach a careful client survives.
pub(crate) const fn should(id: &'static str, about: &'static str, source: &'static str) -> Rule {
    Rule {
        id,
        severity: Severity::Should,
        about,
        source,
    }
}

/// Something worth knowing.
pub(crate) const fn info(id: &'static str, about: &'static str, source: &'static str) -> Rule {
    Rule {
        id,
        severity: Severity::Info,
        about,
        source,
    }
}

#[cfg(test)]
mod tests;
