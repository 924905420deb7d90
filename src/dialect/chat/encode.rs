//! A neutral turn as the JSON body of `POST /chat/completions`.
//!
//! What the scenario does not set is not sent, and what this dialect has no field for makes the
//! scenario *not applicable* ([`cannot`]). It must never look at the model or the provider: two
//! targets get bodies that differ in `model` alone.

use serde_json::{Map, Value, json};

use crate::dialect::Dialect;
use crate::scenario::model::{Conversation, Format, Scenario, Tool, ToolChoice};
use crate::turn::dialogue::{Entry, TurnRequest};
use crate::turn::trace::Item;

/// What this dialect, or another one with the same bodies, has no words for.
pub fn cannot(scenario: &Scenario, dialect: Dialect) -> Option<String> {
    // The request has custom tools; a chunk has no form for their calls (ChoiceDeltaToolCall of openai-python
    // 3.54.0 is a function), so an agent that streams cannot use them.
    let custom = scenario.tools.iter().find(|(_, tool)| tool.custom);
    if let Some((name, _)) = custom {
        return Some(format!(
            "calls in chunks of the {dialect} dialect are functions, and `{name}` takes free text"
        ));
    }
    if scenario.settings.max_tool_calls.is_some() {
        return Some(format!("the {dialect} dialect has no max_tool_calls"));
    }
    if scenario.conversation == Conversation::Stored {
        return Some("the chat dialect keeps no conversation (previous_response_id)".to_owned());
    }
    if scenario.settings.background == Some(true) {
        return Some("the chat dialect has no background mode".to_owned());
    }
    // Tools in a wire form fit one dialect; which one, `only` says.
    let named = scenario
        .only
        .dialects
        .iter()
        .any(|one| one == dialect.word());
    if !scenario.wire_tools.is_empty() && !named {
        return Some("its wire_tools are in the form of another dialect".to_owned());
    }
    None
}

/// The body of a request.
pub fn body(request: &TurnRequest<'_>) -> Value {
    let settings = request.settings;
    let mut body = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.to_owned(), value);
        }
    };
    put("model", Some(request.model.into()));
    put("messages", Some(messages(request)));
    put("tools", tools(request));
    put(
        "tool_choice",
        settings.tool_choice.as_ref().map(tool_choice),
    );
    put(
        "parallel_tool_calls",
        settings.parallel_tool_calls.map(Value::from),
    );
    put(
        "reasoning_effort",
        settings.reasoning_effort.as_deref().map(Value::from),
    );
    // The older max_tokens is refused by reasoning models of OpenAI, wherever they are served (2026-08).
    put(
        "max_completion_tokens",
        settings.max_output_tokens.map(Value::from),
    );
    put("temperature", settings.temperature.map(Value::from));
    put("top_p", settings.top_p.map(Value::from));
    put("response_format", request.format.map(response_format));
    put("verbosity", settings.verbosity.as_deref().map(Value::from));
    put(
        "service_tier",
        settings.service_tier.as_deref().map(Value::from),
    );
    // Nothing is kept where this is absent, so it need not be said to servers that do not know it.
    put("store", settings.store.map(Value::from));
    put("stream", Some(request.stream.into()));
    // Without it a stream says nothing of tokens.
    put(
        "stream_options",
        request.stream.then(|| json!({ "include_usage": true })),
    );
    Value::Object(body)
}

fn messages(request: &TurnRequest<'_>) -> Value {
    let mut messages = Vec::new();
    // `system` is understood by all servers; OpenAI's reasoning models read it as `developer`.
    messages.extend(
        request
            .system
            .map(|text| json!({ "role": "system", "content": text })),
    );
    for entry in request.entries {
        messages.push(match entry {
            Entry::Wire { items } => {
                messages.extend(items.iter().cloned());
                continue;
            }
            Entry::User { text } => json!({ "role": "user", "content": text }),
            Entry::Answer { items } => answer(items),
            Entry::Result {
                call_id, output, ..
            } => json!({ "role": "tool", "tool_call_id": call_id, "content": output }),
        });
    }
    Value::Array(messages)
}

/// The message that an answer was: each item carries its own part of it. Texts of one field are
/// joined, lists appended.
fn answer(items: &[Item]) -> Value {
    let mut message = Map::new();
    message.insert("role".to_owned(), "assistant".into());
    message.insert("content".to_owned(), Value::Null);
    for (key, value) in items
        .iter()
        .filter_map(|item| item.wire.as_object())
        .flatten()
    {
        match (message.get_mut(key), value) {
            (Some(Value::String(text)), Value::String(more)) => text.push_str(more),
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more.iter().cloned()),
            _ => {
                message.insert(key.clone(), value.clone());
            }
        }
    }
    // Content may be null beside calls only.
    if message["content"].is_null() && !message.contains_key("tool_calls") {
        message.insert("content".to_owned(), "".into());
    }
    Value::Object(message)
}

fn tools(request: &TurnRequest<'_>) -> Option<Value> {
    let tools: Vec<Value> = request
        .tools
        .iter()
        .map(|(name, one)| tool(name, one))
        .chain(request.wire_tools.iter().cloned())
        .collect();
    (!tools.is_empty()).then_some(Value::Array(tools))
}

fn tool(name: &str, tool: &Tool) -> Value {
    // A function without a schema takes no arguments; written so that it is legal with `strict` too.
    let parameters = tool.parameters.clone().unwrap_or_else(
        || json!({ "type": "object", "properties": {}, "required": [], "additionalProperties": false }),
    );
    json!({
        "type": "function",
        "function": {
            "name": name,
            "description": tool.description,
            "parameters": parameters,
            "strict": tool.strict,
        },
    })
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Tool(name) => json!({ "type": "function", "function": { "name": name } }),
    }
}

fn response_format(format: &Format) -> Value {
    let Format::JsonSchema(format) = format;
    json!({
        "type": "json_schema",
        "json_schema": {
            "name": format.name,
            "schema": format.schema,
            "strict": format.strict,
        },
    })
}
