//! Rules of the response object that ends an answer, streamed or not: whole, consistent with its
//! status, and the same as the items that were streamed.
//!
//! Sealed reasoning is encrypted anew each time it is sent: it must never be compared.

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::ledger::{ItemLog, Ledger, text};
use crate::check::rules::{must, should};

const OBJECT_SOURCE: &str = "OpenAI API reference, the response object (2026-08-21)";

/// Also used where a run of text differs between the finished item and the final output.
pub static OUTPUT_MATCHES: Rule = must(
    "responses/final-output-matches-items",
    "The output of the final response is the finished items, in order.",
    "OpenAI API reference, Responses streaming events (2026-08-21); 55 recordings (2026-08-22)",
);
static WITHOUT_ERROR: Rule = must(
    "responses/completed-without-error",
    "A completed response has neither an error nor incomplete_details.",
    OBJECT_SOURCE,
);
static REASON: Rule = must(
    "responses/incomplete-has-reason",
    "An incomplete response says why: max_output_tokens or content_filter.",
    OBJECT_SOURCE,
);
static FAILED: Rule = must(
    "responses/failed-has-error",
    "A failed response has an error with code and message.",
    OBJECT_SOURCE,
);
static SHAPE: Rule = must(
    "responses/response-object",
    "The final response has object \"response\", a status word and an output array.",
    OBJECT_SOURCE,
);
static COMPLETED_AT: Rule = should(
    "responses/completed-at-after-created-at",
    "Where a completed response has completed_at, it is not before created_at.",
    OBJECT_SOURCE,
);

pub static RULES: &[&Rule] = &[
    &OUTPUT_MATCHES,
    &WITHOUT_ERROR,
    &REASON,
    &FAILED,
    &SHAPE,
    &COMPLETED_AT,
];

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let Some((event, response)) = ledger.response else {
        if let Some(terminal) = ledger.terminal {
            out.add(
                &SHAPE,
                Some(terminal.index),
                format!("{} carries no response", terminal.kind),
                "a response object",
                "absent",
            );
        }
        return;
    };
    shape(ledger, event, response, out);
    outcome(ledger, event, response, out);
    let compared = ledger.subject.streamed
        && !ledger.lossy
        && response.get("output").is_some_and(Value::is_array)
        && ledger
            .terminal
            .is_some_and(|event| event.kind != "response.failed");
    if compared {
        output(ledger, event, out);
    }
}

/// What a status means: the event's word counts where the response's own is wrong.
fn status_of<'a>(ledger: &Ledger<'a>) -> Option<&'a str> {
    match ledger.terminal {
        Some(event) => event.kind.strip_prefix("response."),
        None => ledger.status(),
    }
}

fn shape(ledger: &Ledger<'_>, event: usize, response: &Value, out: &mut Collector<'_>) {
    if text(response, "object") != Some("response") {
        out.add(
            &SHAPE,
            Some(event),
            "the final response is not marked as one",
            "object: \"response\"",
            show(response.get("object")),
        );
    }
    if !response.get("output").is_some_and(Value::is_array) {
        out.add(
            &SHAPE,
            Some(event),
            "the output of the final response is no array",
            "an array",
            show(response.get("output")),
        );
    }
    // In a stream the status is compared with the event.
    let known = [
        "completed",
        "incomplete",
        "failed",
        "in_progress",
        "queued",
        "cancelled",
    ];
    if !ledger.subject.streamed && !ledger.status().is_some_and(|word| known.contains(&word)) {
        out.add(
            &SHAPE,
            Some(event),
            "the response has no known status",
            known.join(", "),
            show(response.get("status")),
        );
    }
    let completed_at = response
        .get("completed_at")
        .filter(|value| !value.is_null() && !value.is_number());
    if completed_at.is_some() {
        out.add(
            &COMPLETED_AT,
            Some(event),
            "completed_at is no time",
            "a number or null",
            show(completed_at),
        );
    }
    let at = |key: &str| response.get(key).and_then(Value::as_f64);
    if let (Some(created), Some(completed)) = (at("created_at"), at("completed_at"))
        && completed < created.floor()
    {
        out.add(
            &COMPLETED_AT,
            Some(event),
            "the response was completed before it was created",
            format!("at least {created}"),
            completed.to_string(),
        );
    }
}

fn outcome(ledger: &Ledger<'_>, event: usize, response: &Value, out: &mut Collector<'_>) {
    let given = |key: &str| response.get(key).filter(|value| !value.is_null());
    match status_of(ledger) {
        Some("completed") => {
            for key in ["error", "incomplete_details"] {
                if let Some(value) = given(key) {
                    out.add(
                        &WITHOUT_ERROR,
                        Some(event),
                        format!("a completed response has {key}"),
                        "null",
                        show(Some(value)),
                    );
                }
            }
        }
        Some("incomplete") => {
            let reason = response.pointer("/incomplete_details/reason");
            let known = ["max_output_tokens", "content_filter"];
            if !reason
                .and_then(Value::as_str)
                .is_some_and(|word| known.contains(&word))
            {
                out.add(
                    &REASON,
                    Some(event),
                    "an incomplete response does not say why",
                    known.join(" or "),
                    show(reason.or(response.get("incomplete_details"))),
                );
            }
        }
        Some("failed") => {
            let filled = |key: &str| {
                given("error")
                    .and_then(|error| text(error, key))
                    .is_some_and(|text| !text.is_empty())
            };
            if !filled("code") || !filled("message") {
                out.add(
                    &FAILED,
                    Some(event),
                    "a failed response does not say what failed",
                    "an error with code and message",
                    show(response.get("error")),
                );
            }
        }
        _ => {}
    }
}

/// The item of the final output that stands for a streamed item.
pub fn partner<'a>(ledger: &Ledger<'a>, log: &ItemLog<'a>) -> Option<(usize, &'a Value)> {
    let (event, _) = ledger.response?;
    let output = ledger.output();
    if let Some(id) = log.id().filter(|id| !id.is_empty())
        && ledger
            .items
            .iter()
            .filter(|other| other.id() == Some(id))
            .count()
            == 1
        && let Some(item) = output.iter().find(|item| text(item, "id") == Some(id))
    {
        return Some((event, item));
    }
    // Where ids do not help (they rotate at one provider), the place does.
    if output.len() != ledger.items.len() {
        return None;
    }
    let place = ledger
        .items
        .iter()
        .filter(|other| other.output_index < log.output_index)
        .count();
    let item = output.get(place)?;
    let taken = ledger
        .items
        .iter()
        .any(|other| other.id().is_some() && other.id() == text(item, "id"));
    (!taken).then_some((event, item))
}

fn output(ledger: &Ledger<'_>, event: usize, out: &mut Collector<'_>) {
    let output = ledger.output();
    let mut logs: Vec<&ItemLog<'_>> = ledger.items.iter().collect();
    logs.sort_by_key(|log| log.output_index);
    let kinds = |items: &mut dyn Iterator<Item = &str>| {
        let words: Vec<&str> = items.collect();
        format!("[{}]", words.join(", "))
    };
    let streamed = kinds(&mut logs.iter().map(|log| log.kind()));
    let ended = kinds(&mut output.iter().map(|item| text(item, "type").unwrap_or("?")));
    if logs.len() != output.len() {
        out.add(
            &OUTPUT_MATCHES,
            Some(event),
            if output.len() < logs.len() {
                "the final output lacks an item that was streamed"
            } else {
                "the final output has an item that was not streamed"
            },
            streamed,
            ended,
        );
    } else {
        // Ids tell the order only where the final output has the same ones.
        let ids: Vec<Option<&str>> = logs.iter().map(|log| log.id()).collect();
        let last: Vec<Option<&str>> = output.iter().map(|item| text(item, "id")).collect();
        let mut sorted = (ids.clone(), last.clone());
        sorted.0.sort_unstable();
        sorted.1.sort_unstable();
        if ids != last && sorted.0 == sorted.1 {
            out.add(
                &OUTPUT_MATCHES,
                Some(event),
                "the final output has its items in another order",
                streamed,
                ended,
            );
        }
    }
    for log in logs {
        if let (Some((_, done)), Some((_, item))) = (log.done.first(), partner(ledger, log)) {
            compare(event, log, done, item, out);
            kept(event, log, done, item, out);
        }
    }
}

/// The same in a finished item and in the final output, whatever it says.
fn kept(event: usize, log: &ItemLog<'_>, done: &Value, last: &Value, out: &mut Collector<'_>) {
    let sealed = |item: &Value| text(item, "encrypted_content").is_some();
    let mut differ = Vec::new();
    // Sealed anew each time, but sealed.
    if sealed(done) != sealed(last) {
        differ.push("encrypted_content".to_owned());
    }
    // A status that is wrong in the finished item has its finding already.
    if text(done, "status") == Some("completed") && text(last, "status") != Some("completed") {
        differ.push("status".to_owned());
    }
    let parts = |item: &Value| {
        item.get("content")
            .and_then(Value::as_array)
            .map_or(0, Vec::len)
    };
    for index in 0..parts(done).min(parts(last)) {
        // A part of another type has its finding already.
        let of_type = |item: &Value| item.pointer(&format!("/content/{index}/type")).cloned();
        if of_type(done) == of_type(last) {
            differ.push(format!("content/{index}/annotations"));
        }
    }
    for place in differ {
        let pointer = format!("/{place}");
        let (before, now) = (done.pointer(&pointer), last.pointer(&pointer));
        if before != now {
            out.add(
                &OUTPUT_MATCHES,
                Some(event),
                format!(
                    "item {} has another {place} in the final output",
                    log.output_index
                ),
                show(before),
                show(now),
            );
        }
    }
}

/// Compares what no other rule does: texts and arguments are compared run by run.
fn compare(event: usize, log: &ItemLog<'_>, done: &Value, last: &Value, out: &mut Collector<'_>) {
    for key in ["type", "role", "name", "call_id", "namespace", "phase"] {
        let announced = log.added.first().and_then(|(_, item)| item.get(key));
        // A finished item that differs from its announcement has its finding already.
        let already = announced.is_some_and(|value| !value.is_null()) && done.get(key) != announced;
        if done.get(key) != last.get(key) && !already {
            out.add(
                &OUTPUT_MATCHES,
                Some(event),
                format!(
                    "item {} has another {key} in the final output",
                    log.output_index
                ),
                show(done.get(key)),
                show(last.get(key)),
            );
        }
    }
    let streamed_text = !log.strands.is_empty();
    for key in ["arguments", "input"] {
        if !streamed_text && done.get(key) != last.get(key) {
            out.add(
                &OUTPUT_MATCHES,
                Some(event),
                format!(
                    "item {} has other {key} in the final output",
                    log.output_index
                ),
                show(done.get(key)),
                show(last.get(key)),
            );
        }
    }
    for key in ["content", "summary"] {
        let count = |item: &Value| item.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        if count(done) != count(last) {
            out.add(
                &OUTPUT_MATCHES,
                Some(event),
                format!(
                    "item {} has another number of {key} parts in the final output",
                    log.output_index
                ),
                count(done).to_string(),
                count(last).to_string(),
            );
        }
    }
}
