//! A Converse request as the mocked provider reads it, or why it is refused.
//!
//! Pure: bytes in, values out. It reads the wire form on its own and must never use the client's
//! types. What is asked becomes an [`Ask`] in the words of the Responses API, so that the same model
//! answers both.

use base64::Engine;
use serde_json::{Map, Value, json};

use crate::mock::ask::{Ask, object};
use crate::mock::data::{Model, Provider, Sampling};
use crate::mock::question::{Tool, ToolKind};
use crate::mock::refusal::Refusal;

/// Reads and checks a request for a model that the path names.
pub fn read<'a>(
    provider: &'a Provider,
    region: Option<&str>,
    id: &str,
    stream: bool,
    bytes: &[u8],
) -> Result<(Ask, &'a Model), Refusal> {
    let body = object(bytes)?;
    let model = provider.find(id, region)?;
    if !model.kind.converse {
        return Err(Refusal::new("unknown-model").with("model", id));
    }
    let tools = tools(&body)?;
    let items = items(provider, &body)?;
    let uses_tools = items.iter().any(|item| {
        item["type"]
            .as_str()
            .is_some_and(|kind| kind.starts_with("function_call"))
    });
    if uses_tools && tools.is_empty() {
        return Err(invalid(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
        ));
    }
    let body = asked(model, &body, &tools)?;
    Ok((
        Ask {
            body,
            model: id.to_owned(),
            stream,
            items,
            tools,
        },
        model,
    ))
}

fn invalid(words: impl std::fmt::Display) -> Refusal {
    Refusal::new("invalid").with("value", words)
}

fn tools(body: &Map<String, Value>) -> Result<Vec<Tool>, Refusal> {
    let Some(config) = body.get("toolConfig") else {
        return Ok(Vec::new());
    };
    let rows = config["tools"].as_array().filter(|rows| !rows.is_empty());
    let rows = rows.ok_or_else(|| invalid("toolConfig.tools must have at least 1 item."))?;
    rows.iter()
        .enumerate()
        .map(|(index, row)| {
            let spec = &row["toolSpec"];
            let name = spec["name"].as_str().unwrap_or_default();
            let schema = &spec["inputSchema"]["json"];
            if name.is_empty() || name.len() > 64 || schema["type"] != "object" {
                return Err(invalid(format!(
                    "The value at toolConfig.tools.{index}.toolSpec is invalid: a name and an inputSchema.json of type object are required."
                )));
            }
            Ok(Tool {
                name: name.to_owned(),
                namespace: None,
                kind: ToolKind::Function(schema.clone()),
            })
        })
        .collect()
}

/// The conversation in items. Roles alternate, and each call is answered by the message after it.
fn items(provider: &Provider, body: &Map<String, Value>) -> Result<Vec<Value>, Refusal> {
    let messages = body.get("messages").and_then(Value::as_array);
    let messages = messages
        .filter(|all| !all.is_empty())
        .ok_or_else(|| invalid("The messages field must have at least 1 message."))?;
    let mut items = Vec::new();
    let mut open: Vec<String> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let expected = if index % 2 == 0 { "user" } else { "assistant" };
        if message["role"] != expected {
            return Err(invalid(format!(
                "A conversation must alternate between user and assistant roles, and start with user: messages.{index}.role."
            )));
        }
        let content = message["content"].as_array().filter(|all| !all.is_empty());
        let content = content
            .ok_or_else(|| invalid(format!("The content field in messages.{index} is empty.")))?;
        let mut results = Vec::new();
        let mut calls = Vec::new();
        for (place, block) in content.iter().enumerate() {
            let at = format!("messages.{index}.content.{place}");
            let item = item(provider, block, expected, &at)?;
            let id = item["call_id"].as_str().map(str::to_owned);
            match item["type"].as_str() {
                Some("function_call") => calls.extend(id),
                Some("function_call_output") => results.extend(id),
                _ => {}
            }
            items.push(item);
        }
        let unanswered = open.iter().find(|id| !results.contains(id));
        if let (Some(id), "user") = (unanswered, expected) {
            return Err(invalid(format!(
                "Expected toolResult blocks at messages.{index}.content for the following Ids: {id}"
            )));
        }
        if let Some(id) = results.iter().find(|id| !open.contains(id)) {
            return Err(invalid(format!(
                "The toolResult blocks at messages.{index}.content contain Ids that no toolUse block of the previous turn has: {id}"
            )));
        }
        if expected == "assistant" {
            open = calls;
        } else {
            open.clear();
        }
    }
    if messages.len() % 2 == 0 {
        return Err(invalid("The conversation must end with a user message."));
    }
    Ok(items)
}

fn item(provider: &Provider, block: &Value, role: &str, at: &str) -> Result<Value, Refusal> {
    let fields = block.as_object().filter(|fields| fields.len() == 1);
    let kind = fields.and_then(|fields| fields.keys().next());
    match (kind.map_or("", String::as_str), role) {
        ("text", _) => {
            let text = block["text"].as_str().unwrap_or_default();
            if text.trim().is_empty() {
                return Err(invalid(format!(
                    "The text field in the ContentBlock object at {at} is blank. Add text to the text field, and try again."
                )));
            }
            let kind = if role == "user" {
                "input_text"
            } else {
                "output_text"
            };
            Ok(json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]}))
        }
        ("toolUse", "assistant") => {
            let tool = &block["toolUse"];
            if !tool["input"].is_object() {
                return Err(invalid(format!(
                    "The format of the value at {at}.toolUse.input is invalid. Provide a json object for the field and try again."
                )));
            }
            Ok(
                json!({"type": "function_call", "call_id": id(tool, at)?, "name": tool["name"],
                "arguments": tool["input"].to_string()}),
            )
        }
        ("toolResult", "user") => {
            let result = &block["toolResult"];
            let content: Vec<Value> = result["content"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| match one.get("json") {
                    Some(value) => json!({"type": "input_text", "text": value.to_string()}),
                    None => json!({"type": "input_text", "text": one["text"]}),
                })
                .collect();
            Ok(
                json!({"type": "function_call_output", "call_id": id(result, at)?, "output": content}),
            )
        }
        ("reasoningContent", "assistant") => {
            let redacted = block["reasoningContent"].get("redactedContent");
            let shown = &block["reasoningContent"]["reasoningText"]["text"];
            let engine = base64::engine::general_purpose::STANDARD;
            let minted = |text: &str| {
                let bytes = engine.decode(text).unwrap_or_default();
                bytes.starts_with(provider.manner.ids.encrypted_prefix.as_bytes())
            };
            match redacted {
                Some(redacted) if !redacted.as_str().is_some_and(minted) => Err(invalid(format!(
                    "The encrypted content at {at}.reasoningContent could not be verified."
                ))),
                None if !shown.is_string() => Err(invalid(format!(
                    "The value at {at}.reasoningContent is invalid."
                ))),
                _ => Ok(json!({"type": "reasoning", "summary": []})),
            }
        }
        _ => Err(invalid(format!(
            "The content block at {at} is none that a {role} message may have."
        ))),
    }
}

fn id(tool: &Value, at: &str) -> Result<String, Refusal> {
    let id = tool["toolUseId"].as_str().unwrap_or_default();
    let letter = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    if id.is_empty() || id.len() > 64 || !id.chars().all(letter) {
        return Err(invalid(format!(
            "Value at {at}.toolUseId failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.:-]+"
        )));
    }
    Ok(id.to_owned())
}

/// Settings in the words of the Responses API.
fn asked(
    model: &Model,
    body: &Map<String, Value>,
    tools: &[Tool],
) -> Result<Map<String, Value>, Refusal> {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    if let Some(system) = body.get("system").and_then(Value::as_array) {
        let texts: Vec<&str> = system
            .iter()
            .filter_map(|one| one["text"].as_str())
            .collect();
        put("instructions", texts.join("\n").into());
    }
    if let Some(config) = body.get("toolConfig") {
        put("tools", config["tools"].clone());
        let choice = &config["toolChoice"];
        if choice.get("any").is_some() {
            put("tool_choice", "required".into());
        } else if let Some(name) = choice["tool"]["name"].as_str() {
            if !tools.iter().any(|tool| tool.name == name) {
                return Err(invalid(format!(
                    "The toolChoice names {name}, which is none of the tools."
                )));
            }
            put("tool_choice", json!({"type": "function", "name": name}));
        }
    }
    let inference = body.get("inferenceConfig").unwrap_or(&Value::Null);
    if let Some(limit) = inference.get("maxTokens") {
        match limit.as_u64() {
            Some(limit) if limit > 0 => put("max_output_tokens", limit.into()),
            _ => return Err(invalid("inferenceConfig.maxTokens must be at least 1.")),
        };
    }
    for (key, name) in [("temperature", "temperature"), ("topP", "top_p")] {
        let value = inference.get(key).and_then(Value::as_f64);
        if let Some(value) = value.filter(|value| *value != 1.0)
            && model.kind.sampling == Sampling::Fixed
        {
            return Err(Refusal::new("sampling-value")
                .with("type", name)
                .with("value", value));
        }
    }
    if let Some(tier) = body.get("serviceTier") {
        let tier = tier["type"].as_str().unwrap_or_default();
        if !model.kind.service_tiers.iter().any(|one| one == tier) {
            return Err(Refusal::new("service-tier").with("value", tier));
        }
        put("service_tier", tier.into());
    }
    let more = body.get("additionalModelRequestFields");
    let known = model.kind.effort_field.as_deref().unwrap_or_default();
    let first = known.split('.').next().unwrap_or_default();
    for (key, value) in more.and_then(Value::as_object).into_iter().flatten() {
        let effort = match known.strip_prefix(first).unwrap_or_default() {
            "" => value.as_str(),
            rest => value[&rest[1..]].as_str(),
        };
        match effort {
            Some("none") if key == first => {}
            Some(_) if key == first => {
                put("include", json!(["reasoning.encrypted_content"]));
            }
            _ => return Err(Refusal::new("unknown-parameter").with("value", key)),
        }
    }
    Ok(out)
}
