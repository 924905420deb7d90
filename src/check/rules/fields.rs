//! Rules of the fields an event cannot do without: who is spoken of, and what is said.
//!
//! A table of data. It must never ask for what real providers leave out (logprobs, the name of
//! closed arguments, the status of reasoning), whatever the published schemas say.

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::ledger::{Event, Ledger, text};
use crate::check::rules::must;

static FIELDS: Rule = must(
    "responses/event-fields",
    "Every event has the fields that say what it is about, each of the right JSON type.",
    "openai-python 3.52 and openai-openapi f85dbe2, less what recordings leave out (2026-08-22)",
);

pub static RULES: &[&Rule] = &[&FIELDS];

/// What a field holds.
#[derive(Debug, Clone, Copy)]
enum Holds {
    Text,
    Integer,
    Number,
    Object,
    Array,
    Is(&'static str),
}

/// A field by its JSON pointer.
type Field = (&'static str, Holds);

/// The fields for a type.
type Table = fn(&str) -> &'static [Field];

const ITEM_ID: Field = ("/item_id", Holds::Text);
const OUTPUT: Field = ("/output_index", Holds::Integer);
const CONTENT: Field = ("/content_index", Holds::Integer);
const SUMMARY: Field = ("/summary_index", Holds::Integer);
const DELTA: Field = ("/delta", Holds::Text);

/// What an event needs. Terminal events without a response have a finding elsewhere.
fn needs(kind: &str) -> &'static [Field] {
    match kind {
        "response.created" | "response.queued" | "response.in_progress" => &[
            ("/response", Holds::Object),
            ("/response/object", Holds::Is("response")),
            ("/response/model", Holds::Text),
            ("/response/created_at", Holds::Number),
            ("/response/output", Holds::Array),
        ],
        "response.completed" | "response.incomplete" | "response.failed" => &[
            ("/response/model", Holds::Text),
            ("/response/created_at", Holds::Number),
        ],
        "response.output_item.added" => &[
            OUTPUT,
            ("/item", Holds::Object),
            ("/item/type", Holds::Text),
        ],
        "response.output_item.done" => &[
            OUTPUT,
            ("/item", Holds::Object),
            ("/item/id", Holds::Text),
            ("/item/type", Holds::Text),
        ],
        "response.content_part.added"
        | "response.content_part.done"
        | "response.reasoning_part.added"
        | "response.reasoning_part.done" => &[ITEM_ID, OUTPUT, CONTENT, ("/part", Holds::Object)],
        "response.reasoning_summary_part.added" | "response.reasoning_summary_part.done" => {
            &[ITEM_ID, OUTPUT, SUMMARY, ("/part", Holds::Object)]
        }
        "response.output_text.delta"
        | "response.refusal.delta"
        | "response.reasoning_text.delta"
        | "response.reasoning.delta" => &[ITEM_ID, OUTPUT, CONTENT, DELTA],
        "response.output_text.done"
        | "response.reasoning_text.done"
        | "response.reasoning.done" => &[ITEM_ID, OUTPUT, CONTENT, ("/text", Holds::Text)],
        "response.refusal.done" => &[ITEM_ID, OUTPUT, CONTENT, ("/refusal", Holds::Text)],
        "response.output_text.annotation.added" => {
            &[ITEM_ID, OUTPUT, CONTENT, ("/annotation", Holds::Object)]
        }
        "response.reasoning_summary_text.delta" => &[ITEM_ID, OUTPUT, SUMMARY, DELTA],
        "response.reasoning_summary_text.done" => {
            &[ITEM_ID, OUTPUT, SUMMARY, ("/text", Holds::Text)]
        }
        "response.function_call_arguments.delta"
        | "response.custom_tool_call_input.delta"
        | "response.mcp_call_arguments.delta"
        | "response.code_interpreter_call_code.delta" => &[ITEM_ID, OUTPUT, DELTA],
        "response.function_call_arguments.done" | "response.mcp_call_arguments.done" => {
            &[ITEM_ID, OUTPUT, ("/arguments", Holds::Text)]
        }
        "response.custom_tool_call_input.done" => &[ITEM_ID, OUTPUT, ("/input", Holds::Text)],
        "response.code_interpreter_call_code.done" => &[ITEM_ID, OUTPUT, ("/code", Holds::Text)],
        _ if is_hosted_step(kind) => &[ITEM_ID, OUTPUT],
        _ => &[],
    }
}

fn is_hosted_step(kind: &str) -> bool {
    [
        "response.web_search_call.",
        "response.file_search_call.",
        "response.code_interpreter_call.",
        "response.image_generation_call.",
        "response.mcp_call.",
        "response.mcp_list_tools.",
    ]
    .iter()
    .any(|prefix| kind.starts_with(prefix))
}

/// What an item needs, announced or finished. What calls need is the matter of `calls`.
fn item_needs(kind: &str) -> &'static [Field] {
    match kind {
        "message" => &[
            ("/role", Holds::Is("assistant")),
            ("/content", Holds::Array),
        ],
        "reasoning" => &[("/summary", Holds::Array)],
        _ => &[],
    }
}

/// What an announced call needs; of a finished one that is the matter of `calls`.
fn announced_needs(kind: &str) -> &'static [Field] {
    match kind {
        "function_call" => &[
            ("/call_id", Holds::Text),
            ("/name", Holds::Text),
            ("/arguments", Holds::Text),
        ],
        "custom_tool_call" => &[
            ("/call_id", Holds::Text),
            ("/name", Holds::Text),
            ("/input", Holds::Text),
        ],
        _ => &[],
    }
}

/// What a part needs, announced or finished.
fn part_needs(kind: &str) -> &'static [Field] {
    match kind {
        "output_text" => &[("/text", Holds::Text), ("/annotations", Holds::Array)],
        "reasoning_text" | "summary_text" => &[("/text", Holds::Text)],
        "refusal" => &[("/refusal", Holds::Text)],
        _ => &[],
    }
}

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    if !ledger.subject.streamed {
        return;
    }
    for event in &ledger.events {
        lacks(event, event.data, needs(event.kind), event.kind, out);
        let announced = event.kind == "response.output_item.added";
        let tables: [(&str, Table); 3] = [
            ("item", item_needs),
            ("part", part_needs),
            (if announced { "item" } else { "" }, announced_needs),
        ];
        for (key, needs) in tables {
            if let Some(inner) = event.data.get(key)
                && let Some(kind) = text(inner, "type")
            {
                lacks(
                    event,
                    inner,
                    needs(kind),
                    &format!("the {kind} of {}", event.kind),
                    out,
                );
            }
        }
    }
}

fn lacks(event: &Event<'_>, value: &Value, fields: &[Field], whose: &str, out: &mut Collector<'_>) {
    for (pointer, holds) in fields {
        let found = value.pointer(pointer);
        // What is inside something that is missing is not missed as well.
        let outer = pointer.rsplit_once('/').map_or("", |(outer, _)| outer);
        if !value.pointer(outer).is_some_and(Value::is_object) {
            continue;
        }
        let (fits, expected) = match holds {
            Holds::Text => (found.is_some_and(Value::is_string), "text"),
            Holds::Integer => (
                found.is_some_and(|value| value.as_i64().is_some()),
                "an integer",
            ),
            Holds::Number => (found.is_some_and(Value::is_number), "a number"),
            Holds::Object => (found.is_some_and(Value::is_object), "an object"),
            Holds::Array => (found.is_some_and(Value::is_array), "an array"),
            Holds::Is(word) => (found.and_then(Value::as_str) == Some(*word), *word),
        };
        if !fits {
            out.add(
                &FIELDS,
                Some(event.index),
                format!(
                    "{whose} has no usable {}",
                    pointer.trim_start_matches('/').replace('/', ".")
                ),
                expected,
                show(found),
            );
        }
    }
}
