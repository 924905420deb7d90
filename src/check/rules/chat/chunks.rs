//! Rules of the chunks as such: what each says of itself, and how the stream ends.
//!
//! It must never look into choices; those have their own family.

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::chat::CHUNKS;
use crate::check::rules::chat::ledger::{Chunk, Ledger};
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::ledger::text;
use crate::check::rules::{info, must, should};

static CONTENT_TYPE: Rule = must(
    "chat/content-type",
    "A streamed answer is sent as text/event-stream.",
    "OpenAI API reference, Chat Completions streaming (2026-08-21); WHATWG HTML",
);
static OBJECT: Rule = must(
    "chat/object",
    "Each chunk calls itself chat.completion.chunk, a plain answer chat.completion.",
    CHUNKS,
);
static FIELDS: Rule = must(
    "chat/chunk-fields",
    "Each chunk has an id and a model that are not empty, and created as a whole number.",
    CHUNKS,
);
static ID: Rule = must(
    "chat/id-constant",
    "All chunks of an answer have the same id.",
    CHUNKS,
);
static MODEL: Rule = must(
    "chat/model-constant",
    "All chunks of an answer name the same model.",
    CHUNKS,
);
static CREATED: Rule = info(
    "chat/created-constant",
    "All chunks of an answer have the same created time.",
    "OpenAI API reference (2026-08-21); 3 of 7 recorded streams count on (2026-08-22)",
);
static EMPTY: Rule = should(
    "chat/chunk-says-something",
    "A chunk has a choice or the usage.",
    "OpenAI API reference: choices are empty in the usage chunk alone (2026-08-21)",
);
static DONE: Rule = must(
    "chat/done-marker-once",
    "A stream ends with data: [DONE], once.",
    CHUNKS,
);
static AFTER_DONE: Rule = must(
    "chat/nothing-after-done",
    "Nothing comes after data: [DONE]: clients stop reading there.",
    CHUNKS,
);
static ERROR: Rule = must(
    "chat/error-has-message",
    "An error inside a stream is an object with a message.",
    "openai-python 3.52 raises what stands under error (2026-08); LiteLLM 1.106 as seen (2026-11-21)",
);
static AFTER_ERROR: Rule = must(
    "chat/nothing-after-error",
    "After an error no more chunks come.",
    "dpv protocols/chat.py; clients raise at the error and read no further (2026-08-22)",
);

pub static RULES: &[&Rule] = &[
    &CONTENT_TYPE,
    &OBJECT,
    &FIELDS,
    &ID,
    &MODEL,
    &CREATED,
    &EMPTY,
    &DONE,
    &AFTER_DONE,
    &ERROR,
    &AFTER_ERROR,
];

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let streamed = ledger.subject.streamed;
    if streamed {
        content_type(ledger, out);
    }
    let word = match streamed {
        true => "chat.completion.chunk",
        false => "chat.completion",
    };
    for chunk in &ledger.chunks {
        if chunk.is_empty() {
            out.add(
                &EMPTY,
                Some(chunk.event),
                "a chunk has neither a choice nor the usage",
                "a choice or the usage",
                show(chunk.data.get("choices")),
            );
            continue;
        }
        if text(chunk.data, "object") != Some(word) {
            out.add(
                &OBJECT,
                Some(chunk.event),
                "the object is called otherwise",
                word,
                show(chunk.data.get("object")),
            );
        }
        fields(chunk, out);
    }
    for (rule, key) in [(&ID, "id"), (&MODEL, "model"), (&CREATED, "created")] {
        constant(ledger, rule, key, out);
    }
    if streamed {
        done(ledger, out);
    }
    errors(ledger, out);
}

fn content_type(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let Some(head) = ledger.subject.head else {
        return;
    };
    let kind = head.header("content-type").unwrap_or_default();
    let media = kind.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("text/event-stream") {
        out.add(
            &CONTENT_TYPE,
            None,
            "the stream is declared as something else",
            "text/event-stream",
            kind,
        );
    }
}

fn fields(chunk: &Chunk<'_>, out: &mut Collector<'_>) {
    for key in ["id", "model"] {
        if text(chunk.data, key).is_none_or(str::is_empty) {
            out.add(
                &FIELDS,
                Some(chunk.event),
                format!("{key} is no text or empty"),
                "a text",
                show(chunk.data.get(key)),
            );
        }
    }
    if chunk.data.get("created").and_then(Value::as_u64).is_none() {
        out.add(
            &FIELDS,
            Some(chunk.event),
            "created is no whole number",
            "seconds since 1970",
            show(chunk.data.get("created")),
        );
    }
}

/// A value that all chunks share. One that is empty or of the wrong type is a breach of [`FIELDS`].
fn constant(ledger: &Ledger<'_>, rule: &Rule, key: &str, out: &mut Collector<'_>) {
    let usable = |value: &&Value| match value {
        Value::String(text) => !text.is_empty(),
        other => other.as_u64().is_some(),
    };
    let values = ledger
        .chunks
        .iter()
        .filter(|chunk| !chunk.is_empty())
        .filter_map(|chunk| Some((chunk.event, chunk.data.get(key).filter(usable)?)));
    let mut first = None;
    for (event, value) in values {
        let first = *first.get_or_insert(value);
        if value != first {
            out.add(
                rule,
                Some(event),
                format!("{key} changes within the answer"),
                show(Some(first)),
                show(Some(value)),
            );
        }
    }
}

fn done(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    // Where the framing is lost, so is a marker that is no JSON; what broke off has another finding.
    let due = ledger.subject.framed && ledger.is_finished() && !ledger.broke_off();
    match ledger.done[..] {
        [] if due => out.add(
            &DONE,
            None,
            "the stream ends without data: [DONE]",
            "data: [DONE]",
            "the end of the body",
        ),
        [_, second, ..] => out.add(
            &DONE,
            Some(second),
            "data: [DONE] comes more than once",
            "1",
            ledger.done.len().to_string(),
        ),
        _ => {}
    }
    let Some(first) = ledger.done.first() else {
        return;
    };
    let chunks = ledger.chunks.iter().map(|chunk| chunk.event);
    let errors = ledger.errors.iter().map(|(event, _)| *event);
    for event in chunks.chain(errors).filter(|event| event > first) {
        out.add(
            &AFTER_DONE,
            Some(event),
            "an event comes after data: [DONE]",
            "nothing",
            "an event",
        );
    }
}

fn errors(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    for (event, data) in &ledger.errors {
        let error = data.get("error");
        let message = error.and_then(|error| text(error, "message"));
        if message.is_none_or(str::is_empty) {
            out.add(
                &ERROR,
                Some(*event),
                "an error has no message",
                "{\"error\":{\"message\":…}}",
                show(error),
            );
        }
    }
    let Some((first, _)) = ledger.errors.first() else {
        return;
    };
    if let Some(chunk) = ledger.chunks.iter().find(|chunk| chunk.event > *first) {
        out.add(
            &AFTER_ERROR,
            Some(chunk.event),
            "the answer goes on after an error",
            "[DONE] or the end",
            "a chunk",
        );
    }
}
