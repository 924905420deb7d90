//! Rules between the request and the answer: what was demanded of the model is what came.
//!
//! Only what the API promises to enforce; it must never judge how well the model did.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::collect::Collector;
use crate::check::rules::converse::{Ledger, MODEL};
use crate::check::rules::must;
use crate::json_schema::Schema;

static DECLARED: Rule = must(
    "converse/tool-is-declared",
    "Every call is of a tool that the request declared.",
    MODEL,
);
static CHOICE: Rule = must(
    "converse/tool-choice-kept",
    "toolChoice is kept: any means at least one call, tool only that one.",
    MODEL,
);
static STRICT: Rule = must(
    "converse/strict-input",
    "The input of a strict tool is valid by its schema.",
    MODEL,
);

pub static RULES: &[&Rule] = &[&DECLARED, &CHOICE, &STRICT];

pub(crate) fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let Some(request) = ledger.subject.request else {
        return;
    };
    let specs: Vec<&Value> = request["toolConfig"]["tools"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|tool| tool.get("toolSpec"))
        .collect();
    // Read once: an answer may have any number of calls. A schema that cannot be used is for the linter
    // of scenarios to say.
    let schemas: BTreeMap<&str, Schema> = specs
        .iter()
        .filter(|spec| spec["strict"] == true)
        .filter_map(|spec| {
            let schema = Schema::compile(&spec["inputSchema"]["json"]).ok()?;
            Some((spec["name"].as_str()?, schema))
        })
        .collect();
    for block in ledger.calls() {
        let Some(tool) = block.tool else { continue };
        let name = tool["name"].as_str().unwrap_or_default();
        if !specs.iter().any(|spec| spec["name"] == name) {
            if !name.is_empty() {
                out.add(
                    &DECLARED,
                    Some(block.first),
                    "a call of a tool that was not declared",
                    specs
                        .iter()
                        .filter_map(|spec| spec["name"].as_str())
                        .collect::<Vec<_>>()
                        .join(", "),
                    name,
                );
            }
            continue;
        }
        let input = match ledger.whole {
            Some(_) => tool.get("input").cloned(),
            None if block.input().trim().is_empty() => Some(Value::Object(Default::default())),
            None => serde_json::from_str(&block.input()).ok(),
        };
        // Input that is no JSON object has its own finding.
        if let Some(input) = input.filter(Value::is_object)
            && let Some(schema) = schemas.get(name)
            && let Err(told) = schema.check(&input)
        {
            out.add(
                &STRICT,
                Some(block.first),
                format!("the input of {name} breaks its strict schema: {told}"),
                "input valid by the schema",
                input.to_string(),
            );
        }
    }
    choice(ledger, &request["toolConfig"]["toolChoice"], out);
}

fn choice(ledger: &Ledger<'_>, choice: &Value, out: &mut Collector<'_>) {
    // An answer that was cut short promises nothing.
    let Some((at, reason)) = ledger.stop_reason() else {
        return;
    };
    if !matches!(
        reason.as_str(),
        Some("end_turn" | "tool_use" | "stop_sequence")
    ) {
        return;
    }
    let names: Vec<&str> = ledger
        .calls()
        .filter_map(|block| block.tool?["name"].as_str())
        .collect();
    let wanted = choice["tool"]["name"].as_str();
    if (choice.get("any").is_some() || wanted.is_some()) && names.is_empty() {
        out.add(
            &CHOICE,
            at,
            "no call came though toolChoice demands one",
            wanted.unwrap_or("at least one call"),
            "no call",
        );
    }
    if let (Some(wanted), Some(other)) = (
        wanted,
        names
            .iter()
            .find(|name| wanted.is_some_and(|wanted| **name != wanted)),
    ) {
        out.add(
            &CHOICE,
            at,
            "a call came that toolChoice does not allow",
            wanted,
            *other,
        );
    }
}
