//! A turn as the payload of an invocation, and what a managed agent cannot be asked.
//!
//! Only the user's last words are sent: the session keeps the rest. It must never add what the target's
//! mapping does not name, because the payload is the agent's own contract.

use serde_json::{Map, Value};

use crate::dialect::agentcore::mapping::Mapping;
use crate::scenario::model::{Conversation, Scenario};
use crate::turn::dialogue::{Entry, TurnRequest};

/// The payload of an invocation.
pub fn body(mapping: &Mapping, request: &TurnRequest<'_>) -> Value {
    let words = request.entries.iter().rev().find_map(|entry| match entry {
        Entry::User { text } => Some(text.as_str()),
        _ => None,
    });
    let words = Value::from(words.unwrap_or_default());
    // From the innermost key outwards; a prompt at the empty pointer is the payload itself.
    mapping
        .prompt
        .split('/')
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .fold(words, |inner, key| {
            let mut object = Map::new();
            object.insert(key.replace("~1", "/").replace("~0", "~"), inner);
            Value::Object(object)
        })
}

/// Why the scenario cannot be asked of a managed agent; `None` where it can. The agent brings its own
/// model, system text, tools and settings, and an invocation has no field for others.
pub fn cannot(scenario: &Scenario) -> Option<String> {
    let settings = &scenario.settings;
    let missing = [
        (
            !scenario.tools.is_empty() || !scenario.wire_tools.is_empty(),
            "tools of the client",
        ),
        (scenario.system.is_some(), "a system text"),
        (scenario.format.is_some(), "a JSON schema for text (format)"),
        (settings.max_output_tokens.is_some(), "an output limit"),
        (
            settings.temperature.is_some() || settings.top_p.is_some(),
            "sampling settings",
        ),
        (
            settings.tool_choice.is_some()
                || settings.parallel_tool_calls.is_some()
                || settings.max_tool_calls.is_some(),
            "a choice of tools",
        ),
        (settings.reasoning_effort.is_some(), "a reasoning effort"),
        (settings.service_tier.is_some(), "a service tier"),
        (settings.verbosity.is_some(), "a verbosity"),
        (settings.store == Some(true), "stored responses (store)"),
        (
            scenario.conversation == Conversation::Stored,
            "a stored response to continue: its session keeps the conversation",
        ),
        (settings.background == Some(true), "work in the background"),
    ];
    missing
        .iter()
        .find(|(asked, _)| *asked)
        .map(|(_, what)| format!("a managed agent cannot be given {what}"))
}
