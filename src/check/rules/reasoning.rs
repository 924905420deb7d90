//! Rules of reasoning items: sealed where that was asked for, and counted.
//!
//! Sealed content is opaque: it must never be read or compared.

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::ledger::{Ledger, text};
use crate::check::rules::{info, must};

static SEALED: Rule = must(
    "responses/reasoning-sealed",
    "Where one reasoning item of an answer carries encrypted_content, all finished ones do.",
    "OpenAI API reference, reasoning items: agents replay them in the next request (2026-08-21)",
);
static NOT_SEALED: Rule = info(
    "responses/reasoning-not-sealed",
    "Reasoning carries encrypted_content when the request includes it.",
    "OpenAI API reference, the include parameter (2026-08-21); servers of open models have none",
);
static COUNTED: Rule = info(
    "responses/reasoning-counted",
    "Reasoning tokens are reported exactly when there is a reasoning item.",
    "recorded responses (2026-08-22)",
);

pub static RULES: &[&Rule] = &[&SEALED, &NOT_SEALED, &COUNTED];

const INCLUDE: &str = "reasoning.encrypted_content";

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let items: Vec<(usize, &Value)> = ledger
        .finished_items()
        .into_iter()
        .filter(|(_, item)| text(item, "type") == Some("reasoning"))
        .collect();
    sealed(ledger, &items, out);
    let Some((event, response)) = ledger.response else {
        return;
    };
    let tokens = response
        .pointer("/usage/output_tokens_details/reasoning_tokens")
        .and_then(Value::as_u64);
    if let Some(tokens) = tokens
        && (tokens > 0) == items.is_empty()
        && !ledger.lossy
    {
        out.add(
            &COUNTED,
            Some(event),
            if items.is_empty() {
                "reasoning tokens are reported and no reasoning item came"
            } else {
                "a reasoning item came and no reasoning tokens are reported"
            },
            format!("{} reasoning items", items.len()),
            format!("{tokens} reasoning tokens"),
        );
    }
}

fn sealed(ledger: &Ledger<'_>, items: &[(usize, &Value)], out: &mut Collector<'_>) {
    let asked = ledger
        .subject
        .request
        .and_then(|request| request.get("include")?.as_array())
        .is_some_and(|list| list.iter().any(|one| one.as_str() == Some(INCLUDE)));
    if !asked || items.is_empty() {
        return;
    }
    let seal =
        |item: &Value| text(item, "encrypted_content").is_some_and(|content| !content.is_empty());
    let any = items.iter().any(|(_, item)| seal(item));
    let rule = if any { &SEALED } else { &NOT_SEALED };
    for (event, item) in items {
        if !seal(item) {
            out.add(
                rule,
                Some(*event),
                "a reasoning item carries no encrypted_content though it was asked for",
                "encrypted_content",
                show(item.get("encrypted_content")),
            );
        }
    }
}
