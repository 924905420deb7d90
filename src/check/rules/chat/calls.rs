//! Rules of tool calls: fragments that add up to calls an agent can run and answer.
//!
//! A fragment is attributed as agents do it, by its index; it must never be repaired.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::json_text::duplicate_key;
use crate::check::rules::chat::CHUNKS;
use crate::check::rules::chat::ledger::{Choice, Ledger};
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::ledger::text;
use crate::check::rules::must;

static INDEX: Rule = must(
    "chat/call-index",
    "Each streamed fragment of a call has an index; indexes count calls from 0 without gaps.",
    CHUNKS,
);
static INDEX_REUSED: Rule = must(
    "chat/call-index-reused",
    "A new call has a new index: readers join what has the same one.",
    "lmdeploy issue 3412: both calls of an answer under index 0 (2026-08)",
);
static ID: Rule = must(
    "chat/call-id-present",
    "The first fragment of a call has an id that is not empty.",
    "lmdeploy issue 3412, CLIProxyAPI issue 4219: without it no result can be sent back (2026-08)",
);
static ID_UNIQUE: Rule = must(
    "chat/call-id-unique",
    "No two calls of an answer have the same id.",
    "readers key results by the id (2026-08)",
);
static TYPE: Rule = must(
    "chat/call-type",
    "The first fragment of a call has the type function (or custom).",
    CHUNKS,
);
static NAME: Rule = must(
    "chat/tool-name-present",
    "The first fragment of a call has the whole name of its tool.",
    CHUNKS,
);
static APPEND: Rule = must(
    "chat/call-fragments-append",
    "Later fragments of a call bring arguments only: readers join ids and names that come again.",
    "lmdeploy issue 3412 on SGLang; openai-python 3.52 joins all texts of a delta (2026-08)",
);
static DECLARED: Rule = must(
    "chat/tool-is-declared",
    "A call names a tool that the request declared.",
    "OpenAI API reference, tools (2026-08-21)",
);
static OBJECT: Rule = must(
    "chat/arguments-are-an-object",
    "The arguments of a finished call add up to the text of one JSON object.",
    "OpenAI API reference, function calling (2026-08-21); vLLM's tests of tool use",
);
static DUPLICATE_KEYS: Rule = must(
    "chat/arguments-keys-unique",
    "No key stands twice in the arguments: parsers keep the first or the last as they like.",
    "RFC 8259, section 4",
);
static FINISH: Rule = must(
    "chat/finish-matches-calls",
    "The finish reason is tool_calls where there are calls, and only there.",
    "vLLM's tests of tool use; LiteLLM and SGLang as seen (2026-11-21)",
);

pub static RULES: &[&Rule] = &[
    &INDEX,
    &INDEX_REUSED,
    &ID,
    &ID_UNIQUE,
    &TYPE,
    &NAME,
    &APPEND,
    &DECLARED,
    &OBJECT,
    &DUPLICATE_KEYS,
    &FINISH,
];

/// A call as its fragments add up.
struct Call<'a> {
    event: usize,
    id: &'a str,
    name: &'a str,
    custom: bool,
    arguments: String,
    /// Arguments came that are no text.
    odd: Option<&'a Value>,
}

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let declared = declared(ledger);
    for choice in ledger.choices.values() {
        let calls = add_up(ledger, choice, out);
        let mut ids = BTreeSet::new();
        for call in &calls {
            if !call.id.is_empty() && !ids.insert(call.id) {
                out.add(
                    &ID_UNIQUE,
                    Some(call.event),
                    "two calls of the answer have the same id",
                    "an id of its own",
                    call.id,
                );
            }
            if let Some(declared) = &declared
                && !call.name.is_empty()
                && !declared.contains(call.name)
            {
                let known: Vec<&str> = declared.iter().copied().collect();
                out.add(
                    &DECLARED,
                    Some(call.event),
                    "a call names a tool that was not declared",
                    match known.is_empty() {
                        true => "no call: no tool was declared".to_owned(),
                        false => known.join(", "),
                    },
                    call.name,
                );
            }
            // What was cut short has the arguments it has.
            let whole = matches!(choice.finish(), Some("stop" | "tool_calls"));
            if whole && !call.custom {
                arguments(call, out);
            }
        }
        finish(ledger, choice, &calls, out);
    }
}

fn add_up<'a>(ledger: &Ledger<'a>, choice: &Choice<'a>, out: &mut Collector<'_>) -> Vec<Call<'a>> {
    let mut calls: Vec<Call<'a>> = Vec::new();
    let mut by_index: BTreeMap<u64, usize> = BTreeMap::new();
    for (event, fragment) in choice.fragments() {
        let id = text(fragment, "id").unwrap_or_default();
        let function = fragment.get("function");
        let name = function.and_then(|one| text(one, "name")).unwrap_or("");
        let index = match ledger.subject.streamed {
            true => fragment.get("index").and_then(Value::as_u64),
            // The calls of a plain answer are a list, and count by their places.
            false => Some(calls.len() as u64),
        };
        if index.is_none() {
            out.add(
                &INDEX,
                Some(event),
                "a fragment of a call has no index",
                "a whole number",
                show(fragment.get("index")),
            );
        }
        let known = match index {
            Some(index) => by_index.get(&index).copied(),
            None => calls.len().checked_sub(1),
        };
        let other = known
            .and_then(|place| calls.get(place))
            .is_some_and(|call| !id.is_empty() && !call.id.is_empty() && id != call.id);
        if other && index.is_some() {
            out.add(
                &INDEX_REUSED,
                Some(event),
                "another call comes under an index that is taken",
                by_index.len().to_string(),
                show(fragment.get("index")),
            );
        }
        let place = match known {
            Some(place) if !other => {
                if !id.is_empty() || !name.is_empty() {
                    out.add(
                        &APPEND,
                        Some(event),
                        "a later fragment of a call has its id or name again",
                        "arguments alone",
                        show(Some(fragment)),
                    );
                }
                place
            }
            _ => {
                if let Some(index) = index {
                    let next = by_index.len() as u64;
                    if !other && index != next {
                        out.add(
                            &INDEX,
                            Some(event),
                            "a call has an index out of line",
                            next.to_string(),
                            index.to_string(),
                        );
                    }
                    by_index.insert(index, calls.len());
                }
                calls.push(begin(event, fragment, id, name, out));
                calls.len() - 1
            }
        };
        let call = &mut calls[place];
        match function.and_then(|one| one.get("arguments")) {
            Some(Value::String(more)) => call.arguments.push_str(more),
            None | Some(Value::Null) => {}
            Some(other) => call.odd = Some(other),
        }
    }
    calls
}

fn begin<'a>(
    event: usize,
    fragment: &'a Value,
    id: &'a str,
    name: &'a str,
    out: &mut Collector<'_>,
) -> Call<'a> {
    let kind = text(fragment, "type");
    let custom = kind == Some("custom");
    if id.is_empty() {
        out.add(
            &ID,
            Some(event),
            "a call has no id",
            "an id that is not empty",
            show(fragment.get("id")),
        );
    }
    if !custom && kind != Some("function") {
        out.add(
            &TYPE,
            Some(event),
            "a call does not say its type",
            "\"function\"",
            show(fragment.get("type")),
        );
    }
    let name = match custom {
        true => fragment
            .get("custom")
            .and_then(|one| text(one, "name"))
            .unwrap_or(""),
        false => name,
    };
    if name.is_empty() {
        out.add(
            &NAME,
            Some(event),
            "a call does not name its tool",
            "a name that is not empty",
            show(fragment.pointer("/function/name")),
        );
    }
    Call {
        event,
        id,
        name,
        custom,
        arguments: String::new(),
        odd: None,
    }
}

fn arguments(call: &Call<'_>, out: &mut Collector<'_>) {
    let problem = match (call.odd, serde_json::from_str::<Value>(&call.arguments)) {
        (Some(_), _) => Some("the arguments of a call are no text".to_owned()),
        (None, Ok(Value::Object(_))) => None,
        (None, Ok(_)) => Some("the arguments of a call are JSON but no object".to_owned()),
        (None, Err(error)) => Some(format!("the arguments of a call are not JSON: {error}")),
    };
    let raw = Value::from(call.arguments.as_str());
    if let Some(problem) = problem {
        out.add(
            &OBJECT,
            Some(call.event),
            problem,
            "a JSON object as text",
            show(call.odd.or(Some(&raw))),
        );
    }
    if let Some(key) = duplicate_key(&call.arguments) {
        out.add(
            &DUPLICATE_KEYS,
            Some(call.event),
            format!("the arguments of a call have the key {key:?} twice"),
            "each key once",
            show(Some(&raw)),
        );
    }
}

fn finish(ledger: &Ledger<'_>, choice: &Choice<'_>, calls: &[Call<'_>], out: &mut Collector<'_>) {
    let Some((event, _)) = choice.finishes.first() else {
        return;
    };
    // A tool that the request forces by name ends with `stop` at OpenAI. A capture does not say
    // what was asked.
    let forced = ledger.subject.request.is_none()
        || ledger.asked("/tool_choice").is_some_and(Value::is_object);
    let wrong = match choice.finish() {
        Some("tool_calls") => calls.is_empty(),
        Some("stop") => !calls.is_empty() && !forced,
        _ => false,
    };
    if wrong {
        out.add(
            &FINISH,
            Some(*event),
            format!(
                "the finish reason does not fit an answer with {} calls",
                calls.len()
            ),
            match calls.is_empty() {
                true => "stop",
                false => "tool_calls",
            },
            choice.finish().unwrap_or_default(),
        );
    }
}

/// The names of the declared tools; `None` where the request is not known.
fn declared<'a>(ledger: &Ledger<'a>) -> Option<BTreeSet<&'a str>> {
    ledger.subject.request?;
    let tools = ledger.asked("/tools").and_then(Value::as_array);
    let names = tools.into_iter().flatten().filter_map(|tool| {
        let form = text(tool, "type")?;
        text(tool.get(form)?, "name")
    });
    Some(names.collect())
}
