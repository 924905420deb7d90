//! A neutral turn as the JSON body of a Converse request.
//!
//! The model id and whether the answer is streamed stand in the path and not here. What the scenario
//! does not set is not sent. It must never look at the model or the provider: where a model takes its
//! reasoning effort is told by the request. Source of the shapes: the service model of botocore
//! 1.44.5, read 2026-11-21.

use serde_json::{Map, Value, json};

use crate::scenario::model::{Tool, ToolChoice};
use crate::turn::dialogue::{Entry, TurnRequest};

/// Where the effort goes when nothing is known of the model: as the gpt-5 models take it
/// (https://github.com/anomalyco/opencode/issues/45405, 2026-08).
const EFFORT_FIELD: &str = "reasoning.effort";

/// The body of a request.
pub fn body(request: &TurnRequest<'_>) -> Value {
    let settings = request.settings;
    let mut body = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.to_owned(), value);
        }
    };
    put(
        "system",
        request.system.map(|text| json!([{ "text": text }])),
    );
    put("messages", Some(messages(request.entries)));
    let mut inference = Map::new();
    for (key, value) in [
        ("maxTokens", settings.max_output_tokens.map(Value::from)),
        ("temperature", settings.temperature.map(Value::from)),
        ("topP", settings.top_p.map(Value::from)),
    ] {
        if let Some(value) = value {
            inference.insert(key.to_owned(), value);
        }
    }
    put(
        "inferenceConfig",
        (!inference.is_empty()).then_some(Value::Object(inference)),
    );
    put("toolConfig", tool_config(request));
    put(
        "additionalModelRequestFields",
        settings.reasoning_effort.as_deref().map(|effort| {
            let field = request.effort_field.unwrap_or(EFFORT_FIELD);
            field
                .rsplit('.')
                .fold(Value::from(effort), |inner, key| json!({ key: inner }))
        }),
    );
    put(
        "serviceTier",
        settings
            .service_tier
            .as_deref()
            .map(|tier| json!({ "type": tier })),
    );
    Value::Object(body)
}

/// Roles alternate: what one side says in a row is one message.
fn messages(entries: &[Entry]) -> Value {
    let mut messages: Vec<(&str, Vec<Value>)> = Vec::new();
    for entry in entries {
        let (role, content) = match entry {
            // Blocks of the user's message: roles of a probe would have to alternate too.
            Entry::Wire { items } => ("user", items.clone()),
            Entry::User { text } => ("user", vec![json!({ "text": text })]),
            Entry::Answer { items } => (
                "assistant",
                items
                    .iter()
                    .map(|item| item.wire.clone())
                    .filter(|block| !is_blank(block))
                    .collect(),
            ),
            Entry::Result {
                call_id, output, ..
            } => ("user", vec![tool_result(call_id, output)]),
        };
        if content.is_empty() {
            continue;
        }
        match messages.last_mut() {
            Some((last, all)) if *last == role => all.extend(content),
            _ => messages.push((role, content)),
        }
    }
    messages
        .into_iter()
        .map(|(role, content)| json!({ "role": role, "content": content }))
        .collect()
}

/// A text block without text is refused in a request, though an answer may hold one.
fn is_blank(block: &Value) -> bool {
    block["text"]
        .as_str()
        .is_some_and(|text| text.trim().is_empty())
}

/// A result that is a JSON object is sent as one; `json` takes no other value.
fn tool_result(call_id: &str, output: &str) -> Value {
    let content = match serde_json::from_str::<Value>(output) {
        Ok(object @ Value::Object(_)) => json!({ "json": object }),
        _ => json!({ "text": output }),
    };
    json!({ "toolResult": { "toolUseId": call_id, "content": [content], "status": "success" } })
}

fn tool_config(request: &TurnRequest<'_>) -> Option<Value> {
    if request.tools.is_empty() {
        return None;
    }
    let tools: Vec<Value> = request
        .tools
        .iter()
        .map(|(name, one)| tool(name, one))
        .collect();
    let mut config = Map::new();
    config.insert("tools".to_owned(), Value::Array(tools));
    let choice = match &request.settings.tool_choice {
        None | Some(ToolChoice::None) => None,
        Some(ToolChoice::Auto) => Some(json!({ "auto": {} })),
        Some(ToolChoice::Required) => Some(json!({ "any": {} })),
        Some(ToolChoice::Tool(name)) => Some(json!({ "tool": { "name": name } })),
    };
    if let Some(choice) = choice {
        config.insert("toolChoice".to_owned(), choice);
    }
    Some(Value::Object(config))
}

fn tool(name: &str, tool: &Tool) -> Value {
    // A function without a schema takes no arguments; written so that it is legal with `strict` too.
    let schema = tool.parameters.clone().unwrap_or_else(
        || json!({ "type": "object", "properties": {}, "required": [], "additionalProperties": false }),
    );
    let mut spec = Map::new();
    spec.insert("name".to_owned(), name.into());
    spec.insert("description".to_owned(), tool.description.as_str().into());
    spec.insert("inputSchema".to_owned(), json!({ "json": schema }));
    if tool.strict {
        spec.insert("strict".to_owned(), true.into());
    }
    json!({ "toolSpec": spec })
}
