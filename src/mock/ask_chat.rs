//! A Chat Completions request as the mocked provider reads it, or why it is refused.
//!
//! Pure: bytes in, values out. It reads the wire form on its own and must never use the client's
//! types.

use serde_json::{Map, Value};

use crate::mock::ask::{check_shared, check_tool_type, input_of, list, object, quoted, served};
use crate::mock::data::{ChatKind, Model, Provider, Taken, ToolChoices};
use crate::mock::messages;
use crate::mock::question::{Choice, Format, Question, Tool, ToolKind, last_words};
use crate::mock::refusal::Refusal;

/// Most stop texts of a request: OpenAI API reference, Chat Completions, 2026-08-21.
const MOST_STOPS: usize = 4;

/// A request that the provider takes.
#[derive(Debug, Clone)]
pub struct ChatAsk {
    /// As sent.
    pub body: Map<String, Value>,
    pub stream: bool,
    /// Whether a stream ends with the usage.
    pub include_usage: bool,
    /// Whether the request leaves the padding of chunks on.
    pub obfuscation: bool,
    pub messages: Vec<Value>,
    pub question: Question,
}

/// Reads and checks a request. `deployment` is the model that the address names, if it does.
pub fn read<'a>(
    provider: &'a Provider,
    region: Option<&str>,
    base_path: &str,
    deployment: Option<&str>,
    bytes: &[u8],
) -> Result<(ChatAsk, &'a Model, &'a ChatKind), Refusal> {
    let body = object(bytes)?;
    let named = body.get("model").and_then(Value::as_str);
    let id = deployment
        .or(named)
        .ok_or_else(|| Refusal::new("missing-model"))?;
    let model = served(provider, region, base_path, id)?;
    let Some(kind) = &model.kind.chat else {
        return Err(Refusal::new("api-not-offered")
            .with("model", id)
            .with("path", "/v1/chat/completions"));
    };
    let ask = read_body(provider, model, kind, body, bytes.len())?;
    Ok((ask, model, kind))
}

/// Reads and checks a request of InvokeModel for the model that the path names, whose body is one of
/// Chat Completions. What the body says again must be what the path says.
pub fn read_invoke<'a>(
    provider: &'a Provider,
    region: Option<&str>,
    id: &str,
    stream: bool,
    bytes: &[u8],
) -> Result<(ChatAsk, &'a Model, &'a ChatKind), Refusal> {
    let body = object(bytes)?;
    let model = provider.find(id, region)?;
    let kind = model.kind.chat.as_ref().filter(|_| model.kind.invoke);
    let kind = kind.ok_or_else(|| {
        Refusal::new("api-not-offered")
            .with("model", id)
            .with("path", "/model/{modelId}/invoke")
    })?;
    let told = [("model", Value::from(id)), ("stream", stream.into())];
    for (key, expected) in told {
        if body.get(key).is_some_and(|value| *value != expected) {
            return Err(Refusal::new("body-differs")
                .with("type", key)
                .with("value", expected));
        }
    }
    let mut ask = read_body(provider, model, kind, body, bytes.len())?;
    ask.stream = stream;
    Ok((ask, model, kind))
}

fn read_body(
    provider: &Provider,
    model: &Model,
    kind: &ChatKind,
    body: Map<String, Value>,
    length: usize,
) -> Result<ChatAsk, Refusal> {
    let messages = match body.get("messages") {
        Some(Value::Array(messages)) => messages.clone(),
        _ => return Err(Refusal::new("missing-input")),
    };
    messages::check(&messages)?;
    let mut tools = Vec::new();
    for (index, row) in list(body.get("tools")).enumerate() {
        let name = row["type"].as_str().unwrap_or_default();
        check_tool_type(provider, &kind.tools, name, index, length)?;
        let tool = one_tool(row).ok_or_else(|| {
            Refusal::new("bad-tool")
                .with("index", index)
                .with("type", name)
                .with("column", length)
        })?;
        tools.push(tool);
    }
    check_shared(provider, model, &body)?;
    check_own(model, kind, &body, &tools)?;
    let flag =
        |value: Option<&Value>, default: bool| value.and_then(Value::as_bool).unwrap_or(default);
    let options = body.get("stream_options").unwrap_or(&Value::Null);
    let question = question(model, kind, &body, &messages, tools)?;
    Ok(ChatAsk {
        stream: flag(body.get("stream"), false),
        include_usage: flag(options.get("include_usage"), false),
        obfuscation: flag(options.get("include_obfuscation"), true),
        messages,
        question,
        body,
    })
}

fn one_tool(row: &Value) -> Option<Tool> {
    let kind = row["type"].as_str()?;
    let inner = row.get(kind)?;
    Some(Tool {
        name: inner["name"]
            .as_str()
            .filter(|name| !name.is_empty())?
            .to_owned(),
        namespace: None,
        kind: match kind {
            "function" => ToolKind::Function(inner.get("parameters").cloned().unwrap_or_default()),
            "custom" => ToolKind::Custom(input_of(inner, &inner["format"]["grammar"])),
            _ => return None,
        },
    })
}

fn check_own(
    model: &Model,
    kind: &ChatKind,
    body: &Map<String, Value>,
    tools: &[Tool],
) -> Result<(), Refusal> {
    if let Some(n) = body.get("n").filter(|n| !n.is_null() && **n != 1) {
        return Err(Refusal::new("one-choice").with("value", n));
    }
    if kind.max_tokens == Taken::Refused && body.get("max_tokens").is_some_and(|v| !v.is_null()) {
        return Err(Refusal::new("max-tokens"));
    }
    for key in ["max_completion_tokens", "max_tokens"] {
        if let Some(limit) = body.get(key).and_then(Value::as_i64)
            && limit < 1
        {
            return Err(Refusal::new("min-output-tokens")
                .with("type", key)
                .with("value", limit));
        }
    }
    if let Some(Value::Array(stops)) = body.get("stop")
        && stops.len() > MOST_STOPS
    {
        return Err(Refusal::new("too-many-stops").with("value", stops.len()));
    }
    let effort = body.get("reasoning_effort").and_then(Value::as_str);
    if kind.tools_with_reasoning == Taken::Refused && !tools.is_empty() && effort != Some("none") {
        return Err(Refusal::new("tools-with-reasoning").with("model", &model.id));
    }
    let choice = body.get("tool_choice").unwrap_or(&Value::Null);
    if !choice.is_null() && choice != "none" && tools.is_empty() {
        return Err(Refusal::new("tool-choice-alone"));
    }
    if model.kind.tool_choice == ToolChoices::AutoOnly {
        return match choice.as_str() {
            Some(word) if word != "auto" => Err(Refusal::new("tool-choice-unsupported")
                .with("model", &model.id)
                .with("value", choice)
                .with("path", "/v1/chat/completions")),
            _ => Ok(()),
        };
    }
    let words = ["none", "auto", "required"].map(str::to_owned);
    match choice {
        Value::String(word) if !words.contains(word) => Err(Refusal::new("bad-tool-choice")
            .with("value", word)
            .with("expected", quoted(&words, '\'', "and"))),
        Value::Object(_) => match named(choice) {
            Some(name) if !tools.iter().any(|tool| tool.name == name) => {
                Err(Refusal::new("tool-choice-missing").with("value", name))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The name in `{"type": "function", "function": {"name": …}}`, or the same of a custom tool.
fn named(choice: &Value) -> Option<&str> {
    choice.get(choice["type"].as_str()?)?["name"].as_str()
}

fn question(
    model: &Model,
    kind: &ChatKind,
    body: &Map<String, Value>,
    messages: &[Value],
    tools: Vec<Tool>,
) -> Result<Question, Refusal> {
    let number = |key: &str| body.get(key).and_then(Value::as_u64);
    let parallel = body.get("parallel_tool_calls") != Some(&Value::Bool(false));
    let format = body.get("response_format").unwrap_or(&Value::Null);
    let effort = body.get("reasoning_effort").and_then(Value::as_str);
    let thought = match (model.kind.reasoning, kind.shows_reasoning, effort) {
        (false, _, _) | (true, _, Some("none")) | (true, false, None) => None,
        (true, true, _) => Some("One step is enough for this."),
        (true, false, Some(_)) => Some(""),
    };
    Ok(Question {
        tools,
        choice: choice(model, body.get("tool_choice").unwrap_or(&Value::Null)),
        most_calls: if parallel { usize::MAX } else { 1 },
        output_limit: number("max_completion_tokens").or(number("max_tokens")),
        format: match format["type"].as_str() {
            Some("json_schema") => match format["json_schema"].get("schema") {
                Some(schema) if format["json_schema"]["name"].is_string() => {
                    Format::Schema(schema.clone())
                }
                _ => return Err(Refusal::new("bad-format")),
            },
            Some("json_object") => Format::Object,
            _ => Format::Text,
        },
        answers_so_far: messages::answers_in(messages),
        last_result: messages::last_result(messages),
        last_words: last_words(messages),
        thought,
        stops: match body.get("stop") {
            Some(Value::String(one)) => vec![one.clone()],
            stops => list(stops)
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        },
    })
}

fn choice(model: &Model, choice: &Value) -> Choice {
    match choice {
        Value::String(word) if word == "none" => Choice::None,
        Value::String(word) if word == "required" => Choice::Required,
        Value::Object(_) if model.kind.tool_choice == ToolChoices::Any => {
            if choice["type"] == "allowed_tools" {
                let allowed = &choice["allowed_tools"];
                let names = list(allowed.get("tools"))
                    .filter_map(named)
                    .map(str::to_owned)
                    .collect();
                return Choice::Among(names, allowed["mode"] == "required");
            }
            named(choice).map_or(Choice::Auto, |name| Choice::Named(name.to_owned()))
        }
        _ => Choice::Auto,
    }
}
