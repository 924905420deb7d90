//! Rules of the echo: what a response says about the request is what was asked.
//!
//! Only fields that the response carries; a server that echoes nothing breaks no rule here.

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::matcher::same_number;
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::ledger::Ledger;
use crate::check::rules::{info, should};

const SOURCE: &str = "OpenAI API reference, the response object (2026-08-21)";

static ECHO: Rule = should(
    "responses/echoes-request",
    "A parameter that the response carries has the value that was sent.",
    SOURCE,
);
static DEFAULT: Rule = info(
    "responses/echoes-default",
    "A parameter that was sent is not echoed as the default of the API.",
    "servers of open models answer with defaults whatever was sent (2026-11-21)",
);

pub static RULES: &[&Rule] = &[&ECHO, &DEFAULT];

/// The parameters that are echoed unchanged, and their documented defaults as JSON.
const PARAMETERS: [(&str, &str); 13] = [
    ("tool_choice", "\"auto\""),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("store", "true"),
    ("instructions", "null"),
    ("metadata", "{}"),
    ("text", "{\"format\":{\"type\":\"text\"}}"),
    ("truncation", "\"disabled\""),
    ("prompt_cache_key", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("temperature", "1"),
    ("top_p", "1"),
];

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let (Some(request), Some((event, response))) = (ledger.subject.request, ledger.response) else {
        return;
    };
    for (key, default) in PARAMETERS {
        let sent = request.get(key).filter(|value| !value.is_null());
        let (Some(sent), Some(echoed)) = (sent, response.get(key)) else {
            continue;
        };
        if carries(echoed, sent) {
            continue;
        }
        // Whether an answer is kept is no matter of taste.
        let kept = key == "store" && *echoed == Value::Bool(true);
        let is_default = !kept
            && (echoed.is_null()
                || serde_json::from_str::<Value>(default)
                    .is_ok_and(|usual| carries(&usual, echoed) || carries(echoed, &usual)));
        out.add(
            if is_default { &DEFAULT } else { &ECHO },
            Some(event),
            format!("{key} comes back with another value than was sent"),
            show(Some(sent)),
            show(Some(echoed)),
        );
    }
    unasked(request, response, event, out);
    tools(request, response, event, out);
}

/// Parameters that nobody sends for another: an echo of one that was not sent is somebody else's.
/// Limits and sampling are not among them, servers fill in their own.
const NEVER_FILLED_IN: [&str; 4] = ["previous_response_id", "metadata", "text", "truncation"];

fn unasked(request: &Value, response: &Value, event: usize, out: &mut Collector<'_>) {
    for (key, default) in PARAMETERS {
        let sent = request.get(key).is_some_and(|value| !value.is_null());
        let Some(echoed) = response.get(key).filter(|value| !value.is_null()) else {
            continue;
        };
        if sent || !NEVER_FILLED_IN.contains(&key) {
            continue;
        }
        let usual = serde_json::from_str::<Value>(default).unwrap_or(Value::Null);
        let empty = |value: &Value| value.as_object().is_some_and(|map| map.is_empty());
        // An empty object is the default too: the defaults inside are left out.
        if empty(echoed) || !empty(&usual) && carries(echoed, &usual) {
            continue;
        }
        out.add(
            &ECHO,
            Some(event),
            format!("{key} comes back though it was not sent"),
            default,
            show(Some(echoed)),
        );
    }
}

/// A tool that is no function comes back at all, by its type; `web_search` may be called
/// `web_search_preview`.
fn other_tools(sent: &[Value], echoed: &[Value], event: usize, out: &mut Collector<'_>) {
    let kind = |tool: &Value| tool["type"].as_str().unwrap_or_default().to_owned();
    for tool in sent.iter().map(kind).filter(|kind| kind != "function") {
        let back = echoed.iter().map(kind).any(|other| {
            !other.is_empty() && (tool.starts_with(&other) || other.starts_with(&tool))
        });
        if !back {
            out.add(
                &ECHO,
                Some(event),
                format!("the tool {tool} is not among the tools that come back"),
                tool,
                "no tool of that type",
            );
        }
    }
}

/// Every function that was declared comes back as it was, where any tool does.
fn tools(request: &Value, response: &Value, event: usize, out: &mut Collector<'_>) {
    let list = |value: &Value| {
        value
            .get("tools")
            .and_then(Value::as_array)
            .filter(|tools| !tools.is_empty())
            .cloned()
    };
    let (Some(sent), Some(echoed)) = (list(request), list(response)) else {
        return;
    };
    other_tools(&sent, &echoed, event, out);
    for tool in sent.iter().filter(|tool| tool["type"] == "function") {
        let name = &tool["name"];
        let back = echoed
            .iter()
            .find(|one| one["name"] == *name && one["type"] == "function");
        let (what, expected, got) = match back {
            None => ("is not among the tools that come back", name, &Value::Null),
            Some(back) if !same_schema(&back["parameters"], &tool["parameters"]) => (
                "comes back with other parameters",
                &tool["parameters"],
                &back["parameters"],
            ),
            Some(back) if !back["strict"].is_null() && back["strict"] != tool["strict"] => (
                "comes back with another strictness",
                &tool["strict"],
                &back["strict"],
            ),
            Some(_) => continue,
        };
        out.add(
            &ECHO,
            Some(event),
            format!("the tool {} {what}", name.as_str().unwrap_or_default()),
            show(Some(expected)),
            show(Some(got)),
        );
    }
}

/// A schema comes back with all that it had; a provider may add to it.
fn same_schema(echoed: &Value, sent: &Value) -> bool {
    sent.is_null() || (echoed.is_object() && has_all(echoed, sent))
}

fn has_all(echoed: &Value, sent: &Value) -> bool {
    match (echoed, sent) {
        (Value::Object(echoed), Value::Object(sent)) => sent
            .iter()
            .all(|(key, value)| echoed.get(key).is_some_and(|other| has_all(other, value))),
        (Value::Array(echoed), Value::Array(sent)) => {
            echoed.len() == sent.len()
                && echoed
                    .iter()
                    .zip(sent)
                    .all(|(one, other)| has_all(one, other))
        }
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        _ => echoed == sent,
    }
}

/// Whether an echo has all that was sent; it may say more (defaults that were filled in).
fn carries(echoed: &Value, sent: &Value) -> bool {
    match (echoed, sent) {
        (Value::Object(echoed), Value::Object(sent)) => sent.iter().all(|(key, value)| {
            value.is_null() || echoed.get(key).is_none_or(|other| carries(other, value))
        }),
        (Value::Array(echoed), Value::Array(sent)) => {
            echoed.len() == sent.len()
                && echoed
                    .iter()
                    .zip(sent)
                    .all(|(one, other)| carries(one, other))
        }
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        _ => echoed == sent,
    }
}
