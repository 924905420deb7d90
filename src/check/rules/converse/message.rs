//! The message around its blocks: start, stop, metadata, usage, errors.
//!
//! It must never judge a block.

use std::collections::HashSet;

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::converse::{Ledger, MODEL, STREAM, is_error};
use crate::check::rules::{info, must, should};

static CONTENT_TYPE: Rule = must(
    "converse/content-type",
    "A stream is declared as application/vnd.amazon.eventstream, a plain answer as application/json.",
    MODEL,
);
static STARTS: Rule = must(
    "converse/starts-with-message-start",
    "The first event of a stream is messageStart.",
    STREAM,
);
static START_ONCE: Rule = must(
    "converse/message-start-once",
    "messageStart comes once.",
    STREAM,
);
static ROLE: Rule = must(
    "converse/role-assistant",
    "The message's role is assistant.",
    MODEL,
);
static STOP_ONCE: Rule = must(
    "converse/message-stop-once",
    "Exactly one messageStop ends the message; without it an answer may be half of one.",
    STREAM,
);
static STOP_REASON: Rule = must(
    "converse/stop-reason",
    "stopReason is one that the API has.",
    MODEL,
);
static AFTER_STOP: Rule = must(
    "converse/nothing-after-message-stop",
    "After messageStop there is nothing but metadata.",
    STREAM,
);
static METADATA_ONCE: Rule = must(
    "converse/metadata-once",
    "Exactly one metadata event tells what the turn used.",
    STREAM,
);
static METADATA_LAST: Rule = should(
    "converse/metadata-last",
    "metadata is the last event, after messageStop.",
    "recorded streams of the real service (2026-11-21)",
);
static USAGE: Rule = must(
    "converse/usage-counts",
    "usage has inputTokens, outputTokens and totalTokens, none negative.",
    MODEL,
);
static USAGE_SUM: Rule = must(
    "converse/usage-adds-up",
    "totalTokens is inputTokens plus outputTokens, with cached input counted or not.",
    MODEL,
);
static LATENCY: Rule = should(
    "converse/latency-told",
    "metrics.latencyMs is a number that is not negative.",
    MODEL,
);
static ERROR_LAST: Rule = must(
    "converse/nothing-after-exception",
    "An exception ends the stream: nothing comes after it.",
    STREAM,
);
static KNOWN: Rule = should(
    "converse/known-event-types",
    "Every event is one that the API has; SDKs drop others.",
    MODEL,
);
static INCREMENTAL: Rule = info(
    "converse/arrives-incrementally",
    "Output arrives over several reads: the stream is not held back and sent at once.",
    "gateways that buffer a stream, seen in the wild (2026-11-21)",
);

pub static RULES: &[&Rule] = &[
    &CONTENT_TYPE,
    &STARTS,
    &START_ONCE,
    &ROLE,
    &STOP_ONCE,
    &STOP_REASON,
    &AFTER_STOP,
    &METADATA_ONCE,
    &METADATA_LAST,
    &USAGE,
    &USAGE_SUM,
    &LATENCY,
    &ERROR_LAST,
    &KNOWN,
    &INCREMENTAL,
];

/// The reasons to stop of the service model.
const REASONS: [&str; 9] = [
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "guardrail_intervened",
    "content_filtered",
    "malformed_model_output",
    "malformed_tool_use",
    "model_context_window_exceeded",
];

const EVENTS: [&str; 6] = [
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
];

/// How many output events make it worth asking whether they came one by one.
const ENOUGH_EVENTS: usize = 5;

pub(crate) fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    content_type(ledger, out);
    if let Some(answer) = ledger.whole {
        role(0, &answer["output"]["message"], out);
        used(ledger, 0, answer, out);
    } else {
        start(ledger, out);
        stop(ledger, out);
        metadata(ledger, out);
        after_error(ledger, out);
        known(ledger, out);
        arrives_incrementally(ledger, out);
    }
    match ledger.stop_reason() {
        Some((_, reason)) if reason.as_str().is_some_and(|one| REASONS.contains(&one)) => {}
        Some((at, reason)) => unknown_reason(at, Some(reason), out),
        None => match (ledger.whole, ledger.first("messageStop")) {
            (None, None) => {}
            (_, stop) => unknown_reason(stop.map(|stop| stop.at), None, out),
        },
    }
}

fn unknown_reason(at: Option<usize>, reason: Option<&Value>, out: &mut Collector<'_>) {
    out.add(
        &STOP_REASON,
        at,
        "stopReason is none of the API's",
        REASONS.join(", "),
        show(reason),
    );
}

fn content_type(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let Some(head) = ledger.subject.head else {
        return;
    };
    let expected = if ledger.subject.streamed {
        "application/vnd.amazon.eventstream"
    } else {
        "application/json"
    };
    let got = head.header("content-type").unwrap_or("absent");
    let essence = got.split(';').next().unwrap_or(got).trim();
    if !essence.eq_ignore_ascii_case(expected) {
        out.add(
            &CONTENT_TYPE,
            None,
            "the answer is declared as something else",
            expected,
            got,
        );
    }
}

fn start(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    if let Some(first) = ledger.events.first()
        && first.name != "messageStart"
        && !is_error(first.name)
    {
        out.add(
            &STARTS,
            Some(first.at),
            "the stream does not begin with messageStart",
            "messageStart",
            first.name,
        );
    }
    let starts = ledger.places("messageStart");
    if let Some(second) = starts.get(1) {
        out.add(
            &START_ONCE,
            Some(*second),
            "messageStart comes more than once",
            "1",
            starts.len().to_string(),
        );
    }
    for event in ledger
        .events
        .iter()
        .filter(|one| one.name == "messageStart")
    {
        role(event.at, event.payload, out);
    }
}

fn role(at: usize, message: &Value, out: &mut Collector<'_>) {
    if message["role"] != "assistant" {
        out.add(
            &ROLE,
            Some(at),
            "the message is not the assistant's",
            "assistant",
            show(message.get("role")),
        );
    }
}

fn stop(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let stops = ledger.places("messageStop");
    if stops.is_empty() && !ledger.is_cut() {
        out.add(
            &STOP_ONCE,
            None,
            "the stream ends without messageStop",
            "1",
            "none",
        );
    }
    if let Some(second) = stops.get(1) {
        out.add(
            &STOP_ONCE,
            Some(*second),
            "messageStop comes more than once",
            "1",
            stops.len().to_string(),
        );
    }
    let Some(first) = stops.first() else { return };
    let after = ledger.events.iter().filter(|event| {
        event.at > *first
            && EVENTS.contains(&event.name)
            && !matches!(event.name, "metadata" | "messageStop")
    });
    for event in after {
        out.add(
            &AFTER_STOP,
            Some(event.at),
            format!("{} comes after messageStop", event.name),
            "metadata or the end",
            event.name,
        );
    }
}

fn metadata(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let all = ledger.places("metadata");
    if all.is_empty() && !ledger.is_cut() {
        out.add(
            &METADATA_ONCE,
            None,
            "the stream ends without metadata, so nobody knows what it used",
            "1",
            "none",
        );
    }
    if let Some(second) = all.get(1) {
        out.add(
            &METADATA_ONCE,
            Some(*second),
            "metadata comes more than once",
            "1",
            all.len().to_string(),
        );
    }
    if let (Some(told), Some(stop)) = (all.first(), ledger.first("messageStop"))
        && *told < stop.at
    {
        out.add(
            &METADATA_LAST,
            Some(*told),
            "metadata comes before messageStop",
            "after messageStop",
            "before it",
        );
    }
    for event in ledger.events.iter().filter(|one| one.name == "metadata") {
        used(ledger, event.at, event.payload, out);
    }
}

fn used(ledger: &Ledger<'_>, at: usize, payload: &Value, out: &mut Collector<'_>) {
    let usage = &payload["usage"];
    let count = |key: &str| usage[key].as_u64();
    let counts = ["inputTokens", "outputTokens", "totalTokens"].map(count);
    let cached = ["cacheReadInputTokens", "cacheWriteInputTokens"];
    let wrong_cached = cached.iter().any(|key| {
        usage
            .get(*key)
            .is_some_and(|value| value.as_u64().is_none())
    });
    match counts {
        [Some(input), Some(output), Some(total)] if !wrong_cached => {
            let plain = input.saturating_add(output);
            let more: u64 = cached
                .iter()
                .filter_map(|key| count(key))
                .fold(0, u64::saturating_add);
            if total != plain && total != plain.saturating_add(more) {
                out.add(
                    &USAGE_SUM,
                    Some(at),
                    "totalTokens is not the sum of its parts",
                    plain.to_string(),
                    total.to_string(),
                );
            }
        }
        _ => out.add(
            &USAGE,
            Some(at),
            "usage does not count the tokens",
            "counts that are not negative",
            show(payload.get("usage")),
        ),
    }
    // Those who edit captures leave metrics out.
    let edited = ledger.subject.is_capture() && payload.get("metrics").is_none();
    if !edited && payload["metrics"]["latencyMs"].as_u64().is_none() {
        out.add(
            &LATENCY,
            Some(at),
            "metrics do not tell the latency",
            "latencyMs, not negative",
            show(payload.get("metrics")),
        );
    }
}

fn after_error(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let Some(error) = ledger.first_error else {
        return;
    };
    if let Some(next) = ledger.events.iter().find(|event| event.at > error.at) {
        out.add(
            &ERROR_LAST,
            Some(next.at),
            format!("{} comes after {}", next.name, error.name),
            "the end",
            next.name,
        );
    }
}

fn known(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let mut seen: HashSet<&str> = HashSet::new();
    for event in &ledger.events {
        if !EVENTS.contains(&event.name) && !is_error(event.name) && seen.insert(event.name) {
            out.add(
                &KNOWN,
                Some(event.at),
                "an event type that the API does not have",
                EVENTS.join(", "),
                event.name,
            );
        }
    }
}

fn arrives_incrementally(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    // A captured file has no reads to speak of.
    if ledger.subject.head.is_none() {
        return;
    }
    let reads: Vec<u32> = ledger
        .places("contentBlockDelta")
        .into_iter()
        .map(|at| ledger.subject.events[at].read)
        .collect();
    if reads.len() >= ENOUGH_EVENTS && reads.iter().all(|read| *read == reads[0]) {
        out.add(
            &INCREMENTAL,
            None,
            "all output came in one read: the stream is buffered somewhere",
            "several reads",
            format!("{} output events in one read", reads.len()),
        );
    }
}
