//! A neutral turn as the JSON body of `POST /responses`.
//!
//! Keys stand in the order in which a real agent (Codex CLI 0.169.0, 2026-11) sends them, and what
//! the scenario does not set is not sent. It must never look at the model or the provider: two
//! targets get bodies that differ in `model` alone.

use serde_json::{Map, Value, json};

use crate::scenario::model::{Format, Settings, Tool, ToolChoice};
use crate::turn::dialogue::{Entry, TurnRequest};
use crate::turn::trace::CallForm;

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
    put("instructions", request.system.map(Value::from));
    put("previous_response_id", request.previous.map(Value::from));
    put("input", Some(input(request.entries)));
    put("tools", tools(request));
    put(
        "tool_choice",
        settings
            .tool_choice
            .as_ref()
            .map(|choice| tool_choice(choice, request)),
    );
    put(
        "parallel_tool_calls",
        settings.parallel_tool_calls.map(Value::from),
    );
    put(
        "reasoning",
        settings
            .reasoning_effort
            .as_ref()
            .map(|effort| json!({ "effort": effort })),
    );
    put(
        "max_output_tokens",
        settings.max_output_tokens.map(Value::from),
    );
    put("max_tool_calls", settings.max_tool_calls.map(Value::from));
    put("temperature", settings.temperature.map(Value::from));
    put("top_p", settings.top_p.map(Value::from));
    put("text", text(settings, request.format));
    put(
        "service_tier",
        settings.service_tier.as_deref().map(Value::from),
    );
    // An agent that keeps its own conversation stores nothing, and so needs the sealed reasoning
    // back to replay it. With a stored response the provider has it already.
    let store = settings.store.unwrap_or(request.stored);
    put("store", Some(store.into()));
    put(
        "include",
        (!store).then(|| json!(["reasoning.encrypted_content"])),
    );
    put("background", settings.background.map(Value::from));
    put("stream", Some(request.stream.into()));
    Value::Object(body)
}

fn input(entries: &[Entry]) -> Value {
    let mut input = Vec::new();
    for entry in entries {
        match entry {
            Entry::User { text } => input.push(json!({
                "type": "message",
                "role": "user",
                "content": [{ "type": "input_text", "text": text }],
            })),
            Entry::Wire { items } => input.extend(items.iter().cloned()),
            Entry::Answer { items } => input.extend(items.iter().map(|item| item.wire.clone())),
            Entry::Result {
                call_id,
                form,
                output,
                ..
            } => input.push(json!({
                "type": match form {
                    CallForm::Function => "function_call_output",
                    CallForm::Custom => "custom_tool_call_output",
                },
                "call_id": call_id,
                "output": output,
            })),
        }
    }
    Value::Array(input)
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
    if tool.custom {
        return json!({ "type": "custom", "name": name, "description": tool.description });
    }
    // A function without a schema takes no arguments; written so that it is legal with `strict` too.
    let parameters = tool.parameters.clone().unwrap_or_else(
        || json!({ "type": "object", "properties": {}, "required": [], "additionalProperties": false }),
    );
    json!({
        "type": "function",
        "name": name,
        "description": tool.description,
        "parameters": parameters,
        "strict": tool.strict,
    })
}

fn tool_choice(choice: &ToolChoice, request: &TurnRequest<'_>) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Tool(name) => {
            let custom = request.tools.get(name).is_some_and(|tool| tool.custom);
            json!({ "type": if custom { "custom" } else { "function" }, "name": name })
        }
    }
}

fn text(settings: &Settings, format: Option<&Format>) -> Option<Value> {
    let mut text = Map::new();
    if let Some(Format::JsonSchema(format)) = format {
        text.insert(
            "format".to_owned(),
            json!({
                "type": "json_schema",
                "name": format.name,
                "schema": format.schema,
                "strict": format.strict,
            }),
        );
    }
    if let Some(verbosity) = &settings.verbosity {
        text.insert("verbosity".to_owned(), verbosity.as_str().into());
    }
    (!text.is_empty()).then_some(Value::Object(text))
}
