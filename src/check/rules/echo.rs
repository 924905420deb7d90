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
        let is_default = echoed.is_null()
            || serde_json::from_str::<Value>(default)
                .is_ok_and(|usual| carries(&usual, echoed) || carries(echoed, &usual));
        out.add(
            if is_default { &DEFAULT } else { &ECHO },
            Some(event),
            format!("{key} comes back with another value than was sent"),
            show(Some(sent)),
            show(Some(echoed)),
        );
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
