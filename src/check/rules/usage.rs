//! Rules of token counts: there, whole numbers, and adding up.
//!
//! What tokens cost, and whether the count is right, is not looked at.

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::ledger::Ledger;
use crate::check::rules::{must, should};

const SOURCE: &str = "OpenAI API reference, the response object (2026-08-21)";

static PRESENT: Rule = must(
    "responses/usage-present",
    "A completed or incomplete response reports its usage.",
    "OpenAI API reference, the response object (2026-08-21); OpenAI sends null on failure",
);
static COUNTS: Rule = must(
    "responses/usage-counts",
    "Token counts are whole numbers, none below 0.",
    SOURCE,
);
static TOTAL: Rule = must(
    "responses/usage-total",
    "total_tokens is input_tokens plus output_tokens.",
    SOURCE,
);
static DETAILS: Rule = must(
    "responses/usage-details",
    "Cached tokens are part of the input, reasoning tokens part of the output.",
    SOURCE,
);
static NOT_ZERO: Rule = should(
    "responses/usage-not-zero",
    "Every request costs input tokens, and every answer with an item output tokens.",
    "OpenAI API reference, the response object (2026-08-21); @copilotkit/aimock 1.43.0 reports 0 (2026-11-21)",
);

pub static RULES: &[&Rule] = &[&PRESENT, &COUNTS, &TOTAL, &DETAILS, &NOT_ZERO];

/// The counts, by pointer.
const FIELDS: [&str; 6] = [
    "/input_tokens",
    "/output_tokens",
    "/total_tokens",
    "/input_tokens_details/cached_tokens",
    "/input_tokens_details/cache_write_tokens",
    "/output_tokens_details/reasoning_tokens",
];

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let Some((event, response)) = ledger.response else {
        return;
    };
    let due = match ledger.terminal {
        Some(event) => event.kind != "response.failed",
        None => matches!(ledger.status(), Some("completed" | "incomplete")),
    };
    let Some(usage) = response.get("usage").filter(|usage| !usage.is_null()) else {
        if due {
            out.add(
                &PRESENT,
                Some(event),
                "the final response reports no usage",
                "token counts",
                show(response.get("usage")),
            );
        }
        return;
    };
    let mut sound = true;
    for (place, pointer) in FIELDS.iter().enumerate() {
        let value = usage.pointer(pointer);
        // The first three are always there; details may be absent or null.
        if place >= 3 && value.is_none_or(Value::is_null) {
            continue;
        }
        if value.and_then(Value::as_u64).is_none() {
            sound = false;
            out.add(
                &COUNTS,
                Some(event),
                format!("usage{pointer} is not a token count"),
                "a whole number",
                show(value),
            );
        }
    }
    if !sound {
        return;
    }
    let count = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64);
    let of = |pointer: &str| count(pointer).unwrap_or(0);
    let (input, output) = (of("/input_tokens"), of("/output_tokens"));
    let said_something = response
        .get("output")
        .and_then(Value::as_array)
        .is_some_and(|items| !items.is_empty());
    let free: Vec<&str> = [
        (input == 0).then_some("input_tokens"),
        (output == 0 && said_something).then_some("output_tokens"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if due && !free.is_empty() {
        out.add(
            &NOT_ZERO,
            Some(event),
            format!("no tokens are counted: {}", free.join(", ")),
            "more than 0: clients decide by it when to shorten a conversation",
            show(Some(usage)),
        );
    }
    let sum = input.saturating_add(output);
    if of("/total_tokens") != sum {
        out.add(
            &TOTAL,
            Some(event),
            "total_tokens is not the sum of input and output",
            format!("{input} + {output} = {sum}"),
            of("/total_tokens").to_string(),
        );
    }
    for (pointer, limit, whole) in [
        ("/input_tokens_details/cached_tokens", input, "input_tokens"),
        (
            "/input_tokens_details/cache_write_tokens",
            input,
            "input_tokens",
        ),
        (
            "/output_tokens_details/reasoning_tokens",
            output,
            "output_tokens",
        ),
    ] {
        if let Some(part) = count(pointer).filter(|part| *part > limit) {
            out.add(
                &DETAILS,
                Some(event),
                format!("usage{pointer} is more than {whole}"),
                format!("at most {limit}"),
                part.to_string(),
            );
        }
    }
}
