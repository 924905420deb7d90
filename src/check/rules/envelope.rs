//! Rules of the stream as a whole: how it begins and ends, and what stays the same in between.
//!
//! It must never look at items; those have their own families.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::matcher::same_number;
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::ledger::{Event, Ledger, TERMINALS, response_of, text};
use crate::check::rules::{must, should};
use crate::dialect::wire::Payload;

const EVENTS: &str = "OpenAI API reference, Responses streaming events (2026-08-21)";
const OPEN: &str = "OpenResponses specification 2026-04-24, streaming";

static CONTENT_TYPE: Rule = must(
    "responses/content-type",
    "A streamed answer is sent as text/event-stream.",
    "OpenResponses specification 2026-04-24, streaming HTTP responses; WHATWG HTML",
);
static STARTS: Rule = must(
    "responses/starts-with-created",
    "The first event is response.created.",
    EVENTS,
);
static CREATED_ONCE: Rule = must(
    "responses/created-once",
    "response.created comes once.",
    EVENTS,
);
static IN_PROGRESS: Rule = should(
    "responses/in-progress-once",
    "response.queued and response.in_progress come at most once each, before any item.",
    "vLLM's tests of its Responses streams; 55 recorded responses (2026-08-22)",
);
static ONE_TERMINAL: Rule = must(
    "responses/exactly-one-terminal",
    "A stream has exactly one of response.completed, response.incomplete and response.failed.",
    "OpenResponses specification 2026-04-24; Codex retries a stream without one",
);
static ERROR_FAILS: Rule = must(
    "responses/error-ends-in-failed",
    "After an error event the response ends in response.failed.",
    "OpenResponses specification 2026-04-24; OpenAI's recorded error stream (2026-08-22)",
);
static AFTER_TERMINAL: Rule = must(
    "responses/nothing-after-terminal",
    "No event follows the terminal event.",
    OPEN,
);
static DONE_ONCE: Rule = must(
    "responses/done-marker-once",
    "data: [DONE] comes at most once, and last.",
    "OpenResponses specification 2026-04-24 asks for it, OpenAI sends none: either is fine",
);
static NAME_MATCHES: Rule = must(
    "responses/event-name-matches-type",
    "Where an event has an event field, it equals the type in its data.",
    OPEN,
);
static NAME_PRESENT: Rule = should(
    "responses/event-name-present",
    "Every event has an event field.",
    OPEN,
);
static RESPONSE_ID: Rule = must(
    "responses/response-id-constant",
    "The response has an id, the same in every event.",
    EVENTS,
);
static MODEL: Rule = should(
    "responses/model-constant",
    "The model is the same in every event.",
    EVENTS,
);
static CREATED_AT: Rule = should(
    "responses/created-at-constant",
    "created_at is the same in every event.",
    EVENTS,
);
static STATUS: Rule = must(
    "responses/status-matches-event",
    "The status of the response inside an event is the one the event stands for.",
    EVENTS,
);
static KNOWN: Rule = should(
    "responses/known-event-types",
    "Event types are those of the API; a vendor's own are written slug:name.",
    "openai-python 3.52 and openai-openapi f85dbe2 (2026-08-21); OpenResponses 2026-04-24",
);

pub static RULES: &[&Rule] = &[
    &CONTENT_TYPE,
    &STARTS,
    &CREATED_ONCE,
    &IN_PROGRESS,
    &ONE_TERMINAL,
    &ERROR_FAILS,
    &AFTER_TERMINAL,
    &DONE_ONCE,
    &NAME_MATCHES,
    &NAME_PRESENT,
    &RESPONSE_ID,
    &MODEL,
    &CREATED_AT,
    &STATUS,
    &KNOWN,
];

/// Every event type there is, one per line, `#` for comments.
const EVENT_TYPES: &str = include_str!("event_types.txt");

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    if !ledger.subject.streamed {
        return;
    }
    content_type(ledger, out);
    beginning(ledger, out);
    end(ledger, out);
    done_markers(ledger, out);
    names(ledger, out);
    constants(ledger, out);
    statuses(ledger, out);
    known_types(ledger, out);
}

fn content_type(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let Some(head) = ledger.subject.head else {
        return;
    };
    let sent = head.header("content-type").unwrap_or_default();
    let media = sent.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("text/event-stream") {
        out.add(
            &CONTENT_TYPE,
            None,
            "the stream is not declared as an event stream",
            "text/event-stream",
            if sent.is_empty() {
                "no content-type"
            } else {
                sent
            },
        );
    }
}

fn beginning(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let Some(first) = ledger.events.first() else {
        return;
    };
    let created: Vec<&Event<'_>> = of_kind(ledger, "response.created").collect();
    // An unreadable event in front may have been the one that is missed.
    if first.kind != "response.created" && (first.index == 0 || !created.is_empty()) {
        out.add(
            &STARTS,
            Some(first.index),
            "the stream does not begin with response.created",
            "response.created",
            first.kind,
        );
    }
    for event in created.iter().skip(1) {
        out.add(
            &CREATED_ONCE,
            Some(event.index),
            "response.created comes again",
            "once",
            format!("{} times", created.len()),
        );
    }
    let first_item = ledger
        .events
        .iter()
        .find(|event| event.data.get("output_index").is_some())
        .map_or(usize::MAX, |event| event.index);
    for kind in ["response.queued", "response.in_progress"] {
        for (count, event) in of_kind(ledger, kind).enumerate() {
            if count > 0 {
                out.add(
                    &IN_PROGRESS,
                    Some(event.index),
                    format!("{kind} comes again"),
                    "at most once",
                    "",
                );
            } else if event.index > first_item {
                out.add(
                    &IN_PROGRESS,
                    Some(event.index),
                    format!("{kind} comes after the first item"),
                    "before any item",
                    "",
                );
            }
        }
    }
}

fn end(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let terminals: Vec<&Event<'_>> = ledger
        .events
        .iter()
        .filter(|event| TERMINALS.contains(&event.kind))
        .collect();
    let expected = "one of response.completed, response.incomplete, response.failed";
    match terminals.as_slice() {
        [] if ledger.subject.was_cut() => {}
        [] => {
            let last = ledger.subject.events.len().checked_sub(1);
            let error = of_kind(ledger, "error").last();
            let message = match error {
                Some(_) => "the stream ends after an error event, without response.failed",
                None => "the stream ends without a terminal event",
            };
            out.add(
                &ONE_TERMINAL,
                error.map(|event| event.index).or(last),
                message,
                expected,
                ledger
                    .events
                    .last()
                    .map_or("no event at all", |event| event.kind),
            );
        }
        [terminal] => {
            let error = of_kind(ledger, "error").next();
            if let Some(error) = error
                && terminal.kind != "response.failed"
                && error.index < terminal.index
            {
                out.add(
                    &ERROR_FAILS,
                    Some(terminal.index),
                    "an error event came, and the response goes on as if it had not",
                    "response.failed",
                    terminal.kind,
                );
            }
        }
        [first, others @ ..] => {
            for event in others {
                out.add(
                    &ONE_TERMINAL,
                    Some(event.index),
                    format!("a second terminal event follows {}", first.kind),
                    "exactly one",
                    event.kind,
                );
            }
        }
    }
    let Some(terminal) = ledger.terminal else {
        return;
    };
    for event in &ledger.events {
        if event.index > terminal.index && !TERMINALS.contains(&event.kind) {
            out.add(
                &AFTER_TERMINAL,
                Some(event.index),
                format!("{} comes after {}", event.kind, terminal.kind),
                "nothing",
                event.kind,
            );
        }
    }
}

fn done_markers(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let markers: Vec<usize> = ledger
        .subject
        .events
        .iter()
        .enumerate()
        .filter(|(_, event)| event.payload == Payload::Done)
        .map(|(index, _)| index)
        .collect();
    for index in markers.iter().skip(1) {
        out.add(
            &DONE_ONCE,
            Some(*index),
            "[DONE] comes again",
            "at most once",
            format!("{} times", markers.len()),
        );
    }
    if let (Some(marker), Some(last)) = (markers.first(), ledger.events.last())
        && last.index > *marker
    {
        out.add(
            &DONE_ONCE,
            Some(*marker),
            "[DONE] comes before the last event",
            "after the last event",
            "",
        );
    }
}

fn names(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    // A file with one JSON event per line has no event fields at all.
    let captured = ledger.subject.head.is_none()
        && ledger.events.iter().all(|event| event.wire.name.is_none());
    for event in &ledger.events {
        match event.wire.name.as_deref() {
            Some(name) if name != event.kind => out.add(
                &NAME_MATCHES,
                Some(event.index),
                "the event field and the type in the data differ",
                event.kind,
                name,
            ),
            None if !captured => out.add(
                &NAME_PRESENT,
                Some(event.index),
                "an event has no event field",
                format!("event: {}", event.kind),
                "none",
            ),
            _ => {}
        }
    }
}

fn constants(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let responses: Vec<(usize, &Value)> = ledger
        .events
        .iter()
        .filter_map(|event| Some((event.index, response_of(*event)?)))
        .collect();
    for (rule, key, needed) in [
        (&RESPONSE_ID, "id", true),
        (&MODEL, "model", false),
        (&CREATED_AT, "created_at", false),
    ] {
        let mut first: Option<&Value> = None;
        for (index, response) in &responses {
            let value = response.get(key).filter(|value| !value.is_null());
            if needed && value.and_then(Value::as_str).is_none_or(str::is_empty) {
                out.add(
                    rule,
                    Some(*index),
                    format!("the response has no {key}"),
                    format!("a non-empty {key}"),
                    show(value),
                );
                continue;
            }
            match (first, value) {
                (None, Some(_)) => first = value,
                (Some(before), Some(now)) if !same_value(before, now) => out.add(
                    rule,
                    Some(*index),
                    format!("the {key} of the response changes inside the stream"),
                    show(first),
                    show(value),
                ),
                _ => {}
            }
        }
    }
}

fn statuses(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    for event in &ledger.events {
        let allowed: &[&str] = match event.kind {
            "response.created" | "response.in_progress" | "response.queued" => {
                &["in_progress", "queued"]
            }
            "response.completed" => &["completed"],
            "response.incomplete" => &["incomplete"],
            "response.failed" => &["failed"],
            _ => continue,
        };
        let Some(response) = response_of(*event) else {
            continue;
        };
        if !text(response, "status").is_some_and(|status| allowed.contains(&status)) {
            out.add(
                &STATUS,
                Some(event.index),
                format!("{} carries a response of another status", event.kind),
                allowed.join(" or "),
                show(response.get("status")),
            );
        }
    }
}

fn known_types(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let mut seen = BTreeSet::new();
    for event in &ledger.events {
        let known = event.kind.contains(':') || is_known(event.kind);
        if !known && seen.insert(event.kind) {
            out.add(
                &KNOWN,
                Some(event.index),
                "an event type that no version of the API has",
                "a type of the API, or slug:name",
                event.kind,
            );
        }
    }
}

/// Whether the API, or a published dialect of it, has this event type.
pub fn is_known(kind: &str) -> bool {
    EVENT_TYPES
        .lines()
        .map(str::trim)
        .any(|line| line == kind && !line.starts_with('#'))
}

fn of_kind<'l, 'a>(ledger: &'l Ledger<'a>, kind: &'l str) -> impl Iterator<Item = &'l Event<'a>> {
    ledger.events.iter().filter(move |event| event.kind == kind)
}

/// Equal as JSON, numbers by value: some providers send `created_at` as 1.0 once and 1 later.
fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        _ => one == other,
    }
}
