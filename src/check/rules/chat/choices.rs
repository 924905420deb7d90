//! Rules of a choice: its index, its role, the kinds of its deltas, and its one finish reason.
//!
//! Choices are judged one by one, however their chunks are mixed. Calls have their own family.

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::chat::CHUNKS;
use crate::check::rules::chat::ledger::{Choice, Ledger};
use crate::check::rules::collect::{Collector, cut, show};
use crate::check::rules::ledger::text;
use crate::check::rules::{info, must, should};

static INDEX: Rule = must(
    "chat/choice-index",
    "Each choice has a whole-number index below the n that was asked for.",
    CHUNKS,
);
static DELTA: Rule = must(
    "chat/delta-present",
    "Each streamed choice has a delta, each choice of a plain answer a message.",
    CHUNKS,
);
static TYPES: Rule = must(
    "chat/delta-types",
    "Texts of a delta are text or null, its tool_calls a list or null.",
    CHUNKS,
);
static ROLE: Rule = must(
    "chat/role-first",
    "The first delta of a choice has the role assistant.",
    "OpenAI API reference, Chat Completions streaming (2026-08-21); 7 of 7 recorded streams (2026-08-22)",
);
static ROLE_CONSTANT: Rule = must(
    "chat/role-constant",
    "No later delta has another role.",
    CHUNKS,
);
static FINISH_ONCE: Rule = must(
    "chat/finish-reason-once",
    "Each choice says once why it ended; without it a broken answer looks whole.",
    CHUNKS,
);
static FINISH_KNOWN: Rule = must(
    "chat/finish-reason-known",
    "A finish reason is stop, length, tool_calls, content_filter or function_call.",
    CHUNKS,
);
static AFTER_FINISH: Rule = must(
    "chat/nothing-after-finish",
    "A choice brings no more output after its finish reason.",
    "dpv protocols/chat.py (2026-08-22); clients act on the finish reason",
);
static THINK: Rule = should(
    "chat/reasoning-not-in-content",
    "Reasoning is not mixed into the content.",
    "servers of open models without a reasoning parser send <think> as text (2026-08)",
);
static ONE_KIND: Rule = info(
    "chat/one-kind-per-delta",
    "A delta brings reasoning or content, not both: their order would be a guess.",
    "goai issue 119: readers have to put the reasoning first (2026-08)",
);

pub static RULES: &[&Rule] = &[
    &INDEX,
    &DELTA,
    &TYPES,
    &ROLE,
    &ROLE_CONSTANT,
    &FINISH_ONCE,
    &FINISH_KNOWN,
    &AFTER_FINISH,
    &THINK,
    &ONE_KIND,
];

const REASONS: [&str; 5] = [
    "stop",
    "length",
    "tool_calls",
    "content_filter",
    "function_call",
];

/// The texts of a delta; the last two are reasoning under both of its names.
const TEXTS: [&str; 4] = ["content", "refusal", "reasoning_content", "reasoning"];

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    indexes(ledger, out);
    for choice in ledger.choices.values() {
        types(choice, out);
        role(choice, out);
        finish(ledger, choice, out);
        reasoning(choice, out);
    }
    if ledger.choices.is_empty() && !ledger.broke_off() && !ledger.chunks.is_empty() {
        out.add(
            &FINISH_ONCE,
            None,
            "the answer has no choice, and so does not say why it ended",
            "a finish_reason",
            "none",
        );
    }
}

fn indexes(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let limit = ledger.subject.request.map(|_| {
        let asked = ledger.asked("/n").and_then(Value::as_u64);
        asked.unwrap_or(1)
    });
    let key = match ledger.subject.streamed {
        true => "delta",
        false => "message",
    };
    for chunk in &ledger.chunks {
        for choice in chunk.choices() {
            let index = choice.get("index");
            let number = index.and_then(Value::as_u64);
            if number.is_none() || limit.is_some_and(|limit| number >= Some(limit)) {
                out.add(
                    &INDEX,
                    Some(chunk.event),
                    "a choice has no index, or one that was not asked for",
                    limit.map_or("a whole number".to_owned(), |n| format!("below {n}")),
                    show(index),
                );
            }
            if !choice.get(key).is_some_and(Value::is_object) {
                out.add(
                    &DELTA,
                    Some(chunk.event),
                    format!("a choice has no {key}"),
                    "an object",
                    show(choice.get(key)),
                );
            }
        }
    }
}

fn types(choice: &Choice<'_>, out: &mut Collector<'_>) {
    for (event, delta) in &choice.deltas {
        let texts = TEXTS.iter().map(|key| (*key, "text or null"));
        for (key, expected) in texts.chain([("tool_calls", "a list or null")]) {
            let value = delta.get(key).filter(|value| !value.is_null());
            let fits = |value: &Value| match key {
                "tool_calls" => value.is_array(),
                _ => value.is_string(),
            };
            if value.is_some_and(|value| !fits(value)) {
                out.add(
                    &TYPES,
                    Some(*event),
                    format!("{key} of a delta has another type"),
                    expected,
                    show(value),
                );
            }
        }
    }
}

fn role(choice: &Choice<'_>, out: &mut Collector<'_>) {
    let mut deltas = choice.deltas.iter();
    if let Some((event, delta)) = deltas.next()
        && text(delta, "role") != Some("assistant")
    {
        out.add(
            &ROLE,
            Some(*event),
            "the first delta does not have the role assistant",
            "\"assistant\"",
            show(delta.get("role")),
        );
    }
    for (event, delta) in deltas {
        let role = delta.get("role").filter(|role| !role.is_null());
        // An empty one repeats nothing and says nothing.
        if role.is_some_and(|role| role != "assistant" && role != "") {
            out.add(
                &ROLE_CONSTANT,
                Some(*event),
                "the role changes within the answer",
                "\"assistant\"",
                show(role),
            );
        }
    }
}

fn finish(ledger: &Ledger<'_>, choice: &Choice<'_>, out: &mut Collector<'_>) {
    match choice.finishes[..] {
        [] if !ledger.broke_off() => out.add(
            &FINISH_ONCE,
            choice.deltas.last().map(|(event, _)| *event),
            "the choice does not say why it ended",
            "a finish_reason",
            "none",
        ),
        [_, (second, reason), ..] => out.add(
            &FINISH_ONCE,
            Some(second),
            "the choice says more than once why it ended",
            "1",
            format!("{}, then {}", choice.finishes.len(), show(Some(reason))),
        ),
        _ => {}
    }
    for (event, reason) in &choice.finishes {
        if !reason.as_str().is_some_and(|word| REASONS.contains(&word)) {
            out.add(
                &FINISH_KNOWN,
                Some(*event),
                "the finish reason is none that the API has",
                REASONS.join(", "),
                show(Some(reason)),
            );
        }
    }
    let Some((end, _)) = choice.finishes.first() else {
        return;
    };
    for (event, delta) in choice.deltas.iter().filter(|(event, _)| event > end) {
        let texts = TEXTS.iter().filter_map(|key| text(delta, key));
        let calls = delta.get("tool_calls").and_then(Value::as_array);
        if texts.into_iter().any(|text| !text.is_empty()) || calls.is_some_and(|c| !c.is_empty()) {
            out.add(
                &AFTER_FINISH,
                Some(*event),
                "output comes after the finish reason",
                "nothing more of this choice",
                show(Some(delta)),
            );
        }
    }
}

fn reasoning(choice: &Choice<'_>, out: &mut Collector<'_>) {
    let content = choice.text("content");
    let beginning = content.trim_start();
    if beginning.starts_with("<think>") || beginning.starts_with("<|channel|>analysis") {
        out.add(
            &THINK,
            None,
            "the content begins with reasoning",
            "reasoning in a field of its own",
            cut(beginning, 80),
        );
    }
    for (event, delta) in &choice.deltas {
        let has = |key: &str| text(delta, key).is_some_and(|text| !text.is_empty());
        if has("content") && TEXTS[2..].iter().any(|key| has(key)) {
            out.add(
                &ONE_KIND,
                Some(*event),
                "a delta brings reasoning and content",
                "one of them",
                show(Some(delta)),
            );
        }
    }
}
