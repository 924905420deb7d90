//! Rules between the request and the answer: what was demanded of the model is what came.
//!
//! Only what the API promises to enforce; it must never judge how well the model did.

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::calls::is_call;
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::ledger::{Ledger, text};
use crate::check::rules::{must, should};
use crate::json_schema::Schema;

static CHOICE: Rule = must(
    "responses/tool-choice-kept",
    "tool_choice is kept: none means no call, required at least one, a named tool only that one.",
    "OpenAI API reference, tool_choice (2026-08-21); OpenResponses 2026-04-24",
);
static PARALLEL: Rule = must(
    "responses/parallel-calls-kept",
    "With parallel_tool_calls false there is at most one call.",
    "OpenAI API reference, parallel_tool_calls (2026-08-21)",
);
static STRICT: Rule = must(
    "responses/strict-arguments",
    "The arguments of a strict tool are valid by its schema.",
    "OpenAI API reference, strict function tools (2026-08-21)",
);
static STRUCTURED: Rule = must(
    "responses/structured-output",
    "Text held to a JSON schema is JSON and valid by it.",
    "OpenAI API reference, text.format json_schema (2026-08-21)",
);

static LIMIT: Rule = should(
    "responses/output-limit-kept",
    "A completed answer has at most max_output_tokens; one that hits the limit is incomplete.",
    "OpenAI API reference, max_output_tokens (2026-08-21)",
);

pub static RULES: &[&Rule] = &[&CHOICE, &PARALLEL, &STRICT, &STRUCTURED, &LIMIT];

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let Some(request) = ledger.subject.request else {
        return;
    };
    // An answer that was cut short promises nothing.
    let completed = if ledger.subject.streamed {
        ledger.is_completed()
    } else {
        ledger.status() == Some("completed")
    };
    if !completed {
        return;
    }
    limit(ledger, request, out);
    let items = ledger.finished_items();
    let calls: Vec<(usize, &Value)> = items
        .iter()
        .filter(|(_, item)| is_call(item))
        .copied()
        .collect();
    choice(request, &calls, &items, out);
    if request.get("parallel_tool_calls") == Some(&Value::Bool(false))
        && let Some((event, _)) = calls.get(1)
    {
        out.add(
            &PARALLEL,
            Some(*event),
            "several calls came though parallel_tool_calls is false",
            "at most 1",
            calls.len().to_string(),
        );
    }
    for (event, item) in &calls {
        strict(request, *event, item, out);
    }
    if calls.is_empty() {
        structured(request, &items, out);
    }
}

fn limit(ledger: &Ledger<'_>, request: &Value, out: &mut Collector<'_>) {
    let most = request.get("max_output_tokens").and_then(Value::as_u64);
    let spent = ledger
        .response
        .and_then(|(_, response)| response.pointer("/usage/output_tokens")?.as_u64());
    let (Some(most), Some(spent), Some((event, _))) = (most, spent, ledger.response) else {
        return;
    };
    if spent > most {
        out.add(
            &LIMIT,
            Some(event),
            "the answer is completed and longer than max_output_tokens",
            format!("at most {most} output tokens"),
            spent.to_string(),
        );
    }
}

fn choice(
    request: &Value,
    calls: &[(usize, &Value)],
    items: &[(usize, &Value)],
    out: &mut Collector<'_>,
) {
    let Some(choice) = request.get("tool_choice") else {
        return;
    };
    let first = calls.first().map(|(event, _)| *event);
    let last = items.last().map(|(event, _)| *event);
    let word = choice.as_str().or_else(|| text(choice, "mode"));
    if word == Some("none") && !calls.is_empty() {
        out.add(
            &CHOICE,
            first,
            "a call came though tool_choice is none",
            "no call",
            names(calls),
        );
    }
    // A hosted tool satisfies it too.
    let any_tool = items
        .iter()
        .any(|(_, item)| text(item, "type").is_some_and(|kind| kind.ends_with("_call")));
    if word == Some("required") && !any_tool {
        out.add(
            &CHOICE,
            last,
            "no call came though tool_choice is required",
            "at least one call",
            "none",
        );
    }
    let allowed: Vec<&str> = match text(choice, "type") {
        Some("function" | "custom") => text(choice, "name").into_iter().collect(),
        Some("allowed_tools") => choice
            .get("tools")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|tool| text(tool, "name"))
            .collect(),
        _ => return,
    };
    if allowed.is_empty() {
        return;
    }
    let named = text(choice, "type") != Some("allowed_tools");
    if named && calls.is_empty() {
        out.add(
            &CHOICE,
            last,
            "no call came though tool_choice names a tool",
            allowed.join(", "),
            "no call",
        );
    }
    for (event, item) in calls {
        if !text(item, "name").is_some_and(|name| allowed.contains(&name)) {
            out.add(
                &CHOICE,
                Some(*event),
                "a call came that tool_choice does not allow",
                allowed.join(", "),
                show(item.get("name")),
            );
        }
    }
}

fn names(calls: &[(usize, &Value)]) -> String {
    let names: Vec<&str> = calls
        .iter()
        .map(|(_, item)| text(item, "name").unwrap_or("?"))
        .collect();
    names.join(", ")
}

fn strict(request: &Value, event: usize, item: &Value, out: &mut Collector<'_>) {
    let tool = request
        .get("tools")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|tool| {
            text(tool, "type") == Some("function") && tool.get("name") == item.get("name")
        });
    let Some(schema) = tool
        .filter(|tool| tool.get("strict") == Some(&Value::Bool(true)))
        .and_then(|tool| tool.get("parameters"))
    else {
        return;
    };
    // Arguments that are no JSON object have their own finding.
    let Some(arguments) = text(item, "arguments")
        .and_then(|text| serde_json::from_str::<Value>(text).ok())
        .filter(Value::is_object)
    else {
        return;
    };
    // A schema that cannot be used is for the linter of scenarios to say.
    if let Ok(schema) = Schema::compile(schema)
        && let Err(told) = schema.check(&arguments)
    {
        out.add(
            &STRICT,
            Some(event),
            format!(
                "the arguments of {} break its strict schema: {}",
                text(item, "name").unwrap_or("a call"),
                told
            ),
            "arguments valid by the schema",
            show(Some(&arguments)),
        );
    }
}

fn structured(request: &Value, items: &[(usize, &Value)], out: &mut Collector<'_>) {
    let Some(format) = request.pointer("/text/format") else {
        return;
    };
    if text(format, "type") != Some("json_schema") {
        return;
    }
    let Some(schema) = format
        .get("schema")
        .and_then(|schema| Schema::compile(schema).ok())
    else {
        return;
    };
    for (event, item) in items {
        // Commentary on the way to the answer is not held to the schema.
        if text(item, "type") != Some("message") || text(item, "phase") == Some("commentary") {
            continue;
        }
        let parts = item.get("content").and_then(Value::as_array);
        for part in parts.into_iter().flatten() {
            if text(part, "type") != Some("output_text") {
                continue;
            }
            let said = text(part, "text").unwrap_or_default();
            let problem = match serde_json::from_str::<Value>(said) {
                Err(error) => Some(format!("it is not JSON: {error}")),
                Ok(value) => schema.check(&value).err(),
            };
            if let Some(problem) = problem {
                out.add(
                    &STRUCTURED,
                    Some(*event),
                    format!("the text breaks the schema it is held to: {problem}"),
                    "text valid by the schema",
                    show(part.get("text")),
                );
            }
        }
    }
}
