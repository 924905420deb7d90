//! Rules between the request and the answer: what was demanded of the model is what came.
//!
//! Only what the API promises to enforce; it must never judge how well the model did.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::chat::ledger::Ledger;
use crate::check::rules::collect::{Collector, cut};
use crate::check::rules::ledger::text;
use crate::check::rules::must;
use crate::json_schema::Schema;
use crate::turn::trace::{Call, Content, Stop};

static CHOICE: Rule = must(
    "chat/tool-choice-kept",
    "tool_choice is kept: none means no call, required at least one, a named tool only that one.",
    "OpenAI API reference, tool_choice (2026-08-21); sglang-jax issue 1275: a forced call sent as text",
);
static PARALLEL: Rule = must(
    "chat/parallel-calls-kept",
    "With parallel_tool_calls false there is at most one call.",
    "OpenAI API reference, parallel_tool_calls (2026-08-21)",
);
static STRICT: Rule = must(
    "chat/strict-arguments",
    "The arguments of a strict tool are valid by its schema.",
    "OpenAI API reference, strict function tools (2026-08-21)",
);
static STRUCTURED: Rule = must(
    "chat/structured-output",
    "Content held to a JSON schema is JSON and valid by it.",
    "OpenAI API reference, response_format json_schema (2026-08-21)",
);

pub static RULES: &[&Rule] = &[&CHOICE, &PARALLEL, &STRICT, &STRUCTURED];

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let trace = ledger.subject.trace;
    // An answer that was cut short promises nothing, and a capture does not say what was asked.
    let whole = matches!(trace.stop, Some(Stop::End | Stop::ToolCalls)) && trace.failure.is_none();
    if !whole || ledger.subject.request.is_none() {
        return;
    }
    let end = ledger
        .choices
        .values()
        .next()
        .and_then(|choice| choice.finishes.first())
        .map(|(event, _)| *event);
    let calls: Vec<&Call> = trace.calls().collect();
    choice(ledger, &calls, end, out);
    if ledger.asked("/parallel_tool_calls") == Some(&Value::Bool(false)) && calls.len() > 1 {
        out.add(
            &PARALLEL,
            end,
            "several calls came though parallel_tool_calls is false",
            "at most 1",
            calls.len().to_string(),
        );
    }
    // Read once: an answer may have any number of calls.
    let schemas = strict_schemas(ledger);
    for call in &calls {
        if let Some(schema) = schemas.get(call.name.as_str()) {
            strict(schema, call, end, out);
        }
    }
    let refused = trace
        .items
        .iter()
        .any(|item| matches!(item.content, Content::Refusal { .. }));
    if calls.is_empty() && !refused {
        structured(ledger, end, out);
    }
}

fn choice(ledger: &Ledger<'_>, calls: &[&Call], end: Option<usize>, out: &mut Collector<'_>) {
    let Some(choice) = ledger.asked("/tool_choice") else {
        return;
    };
    let named = choice.pointer("/function/name").and_then(Value::as_str);
    let (word, expected) = match (choice.as_str(), named) {
        (Some(word), _) => (word, ""),
        (None, Some(name)) => ("named", name),
        (None, None) => return,
    };
    if word == "none" && !calls.is_empty() {
        let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
        out.add(
            &CHOICE,
            end,
            "a call came though tool_choice is none",
            "no call",
            names.join(", "),
        );
    }
    if matches!(word, "required" | "named") && calls.is_empty() {
        out.add(
            &CHOICE,
            end,
            "no call came though tool_choice demands one",
            "a call",
            "none",
        );
    }
    if word == "named" {
        for call in calls.iter().filter(|call| call.name != expected) {
            out.add(
                &CHOICE,
                end,
                "a call came that tool_choice does not allow",
                expected,
                call.name.as_str(),
            );
        }
    }
}

/// The schemas of the strict tools by name. A schema that cannot be used is for the linter of
/// scenarios to say.
fn strict_schemas<'a>(ledger: &Ledger<'a>) -> BTreeMap<&'a str, Schema> {
    let tools = ledger.asked("/tools").and_then(Value::as_array);
    tools
        .into_iter()
        .flatten()
        .filter_map(|tool| tool.get("function"))
        .filter(|function| function.get("strict") == Some(&Value::Bool(true)))
        .filter_map(|function| {
            let schema = Schema::compile(function.get("parameters")?).ok()?;
            Some((text(function, "name")?, schema))
        })
        .collect()
}

fn strict(schema: &Schema, call: &Call, end: Option<usize>, out: &mut Collector<'_>) {
    // Arguments that are no JSON object have their own finding.
    let arguments = serde_json::from_str::<Value>(&call.arguments)
        .ok()
        .filter(Value::is_object);
    if let Some(arguments) = arguments
        && let Err(told) = schema.check(&arguments)
    {
        out.add(
            &STRICT,
            end,
            format!(
                "the arguments of {} break its strict schema: {told}",
                cut(&call.name, 80)
            ),
            "arguments valid by the schema",
            call.arguments.as_str(),
        );
    }
}

fn structured(ledger: &Ledger<'_>, end: Option<usize>, out: &mut Collector<'_>) {
    let schema = ledger
        .asked("/response_format/json_schema/schema")
        .and_then(|schema| Schema::compile(schema).ok());
    let Some(schema) = schema else {
        return;
    };
    let said = ledger.subject.trace.text();
    let problem = match serde_json::from_str::<Value>(&said) {
        Err(error) => Some(format!("it is not JSON: {error}")),
        Ok(value) => schema.check(&value).err(),
    };
    if let Some(problem) = problem {
        out.add(
            &STRUCTURED,
            end,
            format!("the content breaks the schema it is held to: {problem}"),
            "content valid by the schema",
            said,
        );
    }
}
