//! Rules of token counts: there when asked for, once, in their place, and adding up.
//!
//! What tokens cost, and whether the count is right, is not looked at.

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::chat::ledger::{Chunk, Ledger};
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::{must, should};

const OPTIONS: &str = "OpenAI API reference, stream_options.include_usage (2026-08-21)";
const SOURCE: &str = "OpenAI API reference, the chat completion object (2026-08-21)";

static PRESENT: Rule = must(
    "chat/usage-present",
    "Usage comes where it was asked for: with include_usage, and in every plain answer.",
    OPTIONS,
);
static ONCE: Rule = must(
    "chat/usage-once",
    "A stream reports its usage once: readers that add up count it twice.",
    OPTIONS,
);
static UNASKED: Rule = should(
    "chat/usage-unasked",
    "A stream without include_usage reports none.",
    OPTIONS,
);
static OWN_CHUNK: Rule = should(
    "chat/usage-in-own-chunk",
    "The usage comes after the finish reasons, in a chunk without choices.",
    "OpenAI API reference, stream_options.include_usage (2026-08-21); recorded streams of OpenAI, Azure and xAI",
);
static COUNTS: Rule = must(
    "chat/usage-counts",
    "Token counts are whole numbers, none below 0.",
    SOURCE,
);
static TOTAL: Rule = must(
    "chat/usage-total",
    "total_tokens is prompt_tokens plus completion_tokens.",
    SOURCE,
);
static DETAILS: Rule = must(
    "chat/usage-details",
    "Cached tokens are part of the prompt, reasoning tokens part of the completion.",
    SOURCE,
);
static NOT_ZERO: Rule = should(
    "chat/usage-not-zero",
    "Every request costs prompt tokens, and every answer that says something completion tokens.",
    SOURCE,
);

pub static RULES: &[&Rule] = &[
    &PRESENT, &ONCE, &UNASKED, &OWN_CHUNK, &COUNTS, &TOTAL, &DETAILS, &NOT_ZERO,
];

/// The counts, by pointer.
const FIELDS: [&str; 6] = [
    "/prompt_tokens",
    "/completion_tokens",
    "/total_tokens",
    "/prompt_tokens_details/cached_tokens",
    "/prompt_tokens_details/cache_write_tokens",
    "/completion_tokens_details/reasoning_tokens",
];

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let with_usage: Vec<&Chunk<'_>> = ledger
        .chunks
        .iter()
        .filter(|chunk| chunk.usage().is_some())
        .collect();
    let streamed = ledger.subject.streamed;
    let asked = match streamed {
        true => ledger.asked("/stream_options/include_usage") == Some(&Value::Bool(true)),
        false => true,
    };
    let Some(first) = with_usage.first() else {
        // Without a finish reason the rest of the answer is missing, the usage with it.
        if asked && ledger.is_finished() && !ledger.broke_off() {
            out.add(&PRESENT, None, "no usage comes", "token counts", "none");
        }
        return;
    };
    if streamed {
        place(ledger, first, asked, out);
    }
    if let Some(second) = with_usage.get(1) {
        out.add(
            &ONCE,
            Some(second.event),
            "the usage comes more than once",
            "1",
            with_usage.len().to_string(),
        );
    }
    let said_something = ledger.choices.values().any(|choice| {
        let says = |(_, delta): &(usize, &Value)| {
            let text = delta.get("content").and_then(Value::as_str);
            text.is_some_and(|text| !text.is_empty()) || delta.get("tool_calls").is_some()
        };
        choice.deltas.iter().any(says)
    });
    // Some repeat the usage in every chunk, and count from 0: the last is what it came to.
    let last = with_usage.last().map(|chunk| chunk.event);
    for chunk in with_usage {
        counts(chunk, last == Some(chunk.event), said_something, out);
    }
}

fn place(ledger: &Ledger<'_>, first: &Chunk<'_>, asked: bool, out: &mut Collector<'_>) {
    if !asked && ledger.subject.request.is_some() {
        out.add(
            &UNASKED,
            Some(first.event),
            "usage comes that was not asked for",
            "none",
            show(first.usage()),
        );
    }
    let last_finish = ledger
        .choices
        .values()
        .filter_map(|choice| choice.finishes.first())
        .map(|(event, _)| *event)
        .max();
    // Before the end of a choice it cannot be whole; with a choice beside it, readers that look for
    // the chunk without choices miss it.
    let early = last_finish.is_some_and(|finish| first.event < finish);
    if early || !first.choices().is_empty() {
        out.add(
            &OWN_CHUNK,
            Some(first.event),
            match early {
                true => "the usage comes before the finish reason",
                false => "the usage comes in the chunk of the last choice",
            },
            "a chunk with choices [] after the finish reason",
            format!("{} choices", first.choices().len()),
        );
    }
}

fn counts(chunk: &Chunk<'_>, is_last: bool, said_something: bool, out: &mut Collector<'_>) {
    let Some(usage) = chunk.usage() else {
        return;
    };
    let event = Some(chunk.event);
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
                event,
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
    let (prompt, completion) = (of("/prompt_tokens"), of("/completion_tokens"));
    let free: Vec<&str> = [
        (prompt == 0).then_some("prompt_tokens"),
        (completion == 0 && said_something).then_some("completion_tokens"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if is_last && !free.is_empty() {
        out.add(
            &NOT_ZERO,
            event,
            format!("no tokens are counted: {}", free.join(", ")),
            "more than 0: clients decide by it when to shorten a conversation",
            show(Some(usage)),
        );
    }
    let sum = prompt.saturating_add(completion);
    if of("/total_tokens") != sum {
        out.add(
            &TOTAL,
            event,
            "total_tokens is not the sum of prompt and completion",
            format!("{prompt} + {completion} = {sum}"),
            of("/total_tokens").to_string(),
        );
    }
    for pointer in &FIELDS[3..] {
        let (limit, whole) = match pointer.starts_with("/prompt") {
            true => (prompt, "prompt_tokens"),
            false => (completion, "completion_tokens"),
        };
        if let Some(part) = count(pointer).filter(|part| *part > limit) {
            out.add(
                &DETAILS,
                event,
                format!("usage{pointer} is more than {whole}"),
                format!("at most {limit}"),
                part.to_string(),
            );
        }
    }
}
