//! A conversation as the items of the Responses API: what the model learns from it.
//!
//! Pure. It must never change an item.

use serde_json::Value;

use crate::mock::ask::Ask;
use crate::mock::data::{Model, Obedience, Provider, ToolChoices};
use crate::mock::question::{Choice, Format, Question, last_words, text_of};
use crate::mock::refusal::Refusal;

/// The question that this request puts at the end of this conversation.
pub fn question(provider: &Provider, model: &Model, ask: &Ask, conversation: &[Value]) -> Question {
    let mut most_calls = usize::MAX;
    if !ask.flag("parallel_tool_calls", true) {
        most_calls = 1;
    }
    if let Some(limit) = ask.number("max_tool_calls")
        && provider.manner.max_tool_calls == Obedience::Honoured
    {
        most_calls = most_calls.min(limit as usize);
    }
    let last = conversation.last().unwrap_or(&Value::Null);
    let is_result = last["type"]
        .as_str()
        .is_some_and(|kind| kind.ends_with("_output"));
    let format = &ask.body.get("text").unwrap_or(&Value::Null)["format"];
    let encrypted = model.kind.reasoning && ask.wants_encrypted_reasoning();
    Question {
        tools: ask.tools.clone(),
        choice: choice(model, ask),
        most_calls,
        output_limit: ask.number("max_output_tokens"),
        format: match format["type"].as_str() {
            Some("json_schema") => Format::Schema(format["schema"].clone()),
            Some("json_object") => Format::Object,
            _ => Format::Text,
        },
        answers_so_far: answers_in(conversation),
        last_result: is_result.then(|| text_of(&last["output"])),
        last_words: last_words(conversation),
        thought: encrypted.then_some(""),
        stops: Vec::new(),
    }
}

/// How many answers of the model a conversation holds: runs of its items.
fn answers_in(conversation: &[Value]) -> usize {
    let mut runs = 0;
    let mut inside = false;
    for item in conversation {
        let of_model = match item["type"].as_str() {
            Some("reasoning" | "function_call" | "custom_tool_call") => true,
            Some("message") | None => item["role"] == "assistant",
            _ => false,
        };
        if of_model && !inside {
            runs += 1;
        }
        inside = of_model;
    }
    runs
}

fn choice(model: &Model, ask: &Ask) -> Choice {
    match ask.body.get("tool_choice") {
        Some(Value::String(word)) if word == "none" => Choice::None,
        Some(Value::String(word)) if word == "required" => Choice::Required,
        Some(Value::Object(named)) if model.kind.tool_choice == ToolChoices::Any => {
            if let Some(Value::Array(tools)) = named.get("tools") {
                let names = tools
                    .iter()
                    .filter_map(|tool| tool["name"].as_str())
                    .map(str::to_owned)
                    .collect();
                let must = named.get("mode").is_some_and(|mode| mode == "required");
                return Choice::Among(names, must);
            }
            match named.get("name").and_then(Value::as_str) {
                Some(name) => Choice::Named(name.to_owned()),
                None => Choice::Auto,
            }
        }
        _ => Choice::Auto,
    }
}

/// Every result belongs to a call, and every call has a result.
pub fn check_pairs(conversation: &[Value]) -> Result<(), Refusal> {
    let ids = |ending: &str| -> Vec<&str> {
        let fits = |kind: &str| {
            matches!(
                kind.strip_suffix(ending),
                Some("function_call" | "custom_tool_call")
            )
        };
        conversation
            .iter()
            .filter(|item| item["type"].as_str().is_some_and(fits))
            .filter_map(|item| item["call_id"].as_str())
            .collect()
    };
    let (calls, results) = (ids(""), ids("_output"));
    if let Some(id) = results.iter().find(|id| !calls.contains(id)) {
        return Err(Refusal::new("orphan-output").with("id", id));
    }
    match calls.iter().find(|id| !results.contains(id)) {
        Some(id) => Err(Refusal::new("missing-output").with("id", id)),
        None => Ok(()),
    }
}
