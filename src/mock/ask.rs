//! A request as the mocked provider reads it, or why it is refused.
//!
//! Pure: bytes in, values out. It reads the wire form on its own and must never use the client's
//! types. It keeps the request as sent, because answers echo it.

use serde_json::{Map, Value};

use crate::mock::code_tool;
use crate::mock::data::{Model, Provider, Sampling, ToolChoices};
use crate::mock::question::{Grammar, Tool, ToolKind};
use crate::mock::refusal::Refusal;

/// A request that the provider takes.
#[derive(Debug, Clone)]
pub struct Ask {
    /// As sent.
    pub body: Map<String, Value>,
    pub model: String,
    pub stream: bool,
    /// The input as items.
    pub items: Vec<Value>,
    /// The tools that can be called, also those of namespaces and of `additional_tools` items.
    pub tools: Vec<Tool>,
}

impl Ask {
    pub fn flag(&self, key: &str, default: bool) -> bool {
        self.body
            .get(key)
            .and_then(Value::as_bool)
            .unwrap_or(default)
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.body.get(key).and_then(Value::as_u64)
    }

    pub fn wants_encrypted_reasoning(&self) -> bool {
        let include = self.body.get("include").and_then(Value::as_array);
        include.is_some_and(|list| list.iter().any(|one| one == "reasoning.encrypted_content"))
    }
}

/// The model id of a body, whatever else is wrong with it; empty where there is none.
pub fn model_named(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    value["model"].as_str().unwrap_or_default().to_owned()
}

/// Reads and checks a request, in the order in which the providers were seen to complain.
pub fn read<'a>(
    provider: &'a Provider,
    region: Option<&str>,
    base_path: &str,
    bytes: &[u8],
) -> Result<(Ask, &'a Model), Refusal> {
    let body = object(bytes)?;
    let Some(id) = body.get("model").and_then(Value::as_str).map(str::to_owned) else {
        return Err(Refusal::new("missing-model"));
    };
    let model = served(provider, region, base_path, &id)?;
    if id.contains(":application-inference-profile/") {
        return Err(Refusal::new("application-profile"));
    }
    if !model.kind.responses {
        return Err(Refusal::new("api-not-offered")
            .with("model", &id)
            .with("path", "/v1/responses"));
    }
    let items = read_items(provider, &body)?;
    let mut tools = Vec::new();
    let mut rows: Vec<&Value> = list(body.get("tools")).collect();
    for item in &items {
        if item["type"] == "additional_tools" {
            rows.extend(list(item.get("tools")));
        }
    }
    for (index, row) in rows.into_iter().enumerate() {
        read_tool(provider, model, row, index, bytes.len(), &mut tools)?;
    }
    check_parameters(provider, model, &body, &tools)?;
    let stream = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
    Ok((
        Ask {
            body,
            model: id,
            stream,
            items,
            tools,
        },
        model,
    ))
}

/// A body that is a JSON object.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let bad = |what: String| Refusal::new("bad-json").with("value", what);
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(bad("not an object".to_owned())),
        Err(error) => Err(bad(error.to_string())),
    }
}

/// The model of this id, where it is served in this region and on this base path.
pub fn served<'a>(
    provider: &'a Provider,
    region: Option<&str>,
    base_path: &str,
    id: &str,
) -> Result<&'a Model, Refusal> {
    let model = provider.find(id, region)?;
    if model.kind.base_path != base_path {
        return Err(Refusal::new("wrong-route").with("model", id));
    }
    Ok(model)
}

pub fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn read_items(provider: &Provider, body: &Map<String, Value>) -> Result<Vec<Value>, Refusal> {
    let known = &provider.manner.input_items;
    let refuse = |index: usize, kind: &str| {
        Refusal::new("bad-input-item")
            .with("index", index)
            .with("type", kind)
            .with("expected", quoted(known, '\'', "and"))
    };
    match body.get("input") {
        Some(Value::String(text)) => Ok(vec![serde_json::json!({
            "type": "message", "role": "user", "content": [{"type": "input_text", "text": text}],
        })]),
        Some(Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                let kind = match item.get("type") {
                    None if item.get("role").is_some() => "message",
                    Some(Value::String(kind)) => kind,
                    _ => return Err(refuse(index, "")),
                };
                if !known.iter().any(|one| one == kind) {
                    return Err(refuse(index, kind));
                }
                let has = |key: &str| item.get(key).is_some_and(|value| !value.is_null());
                let whole = match kind {
                    "message" => has("role") && has("content"),
                    "function_call" => has("call_id") && has("name") && has("arguments"),
                    "custom_tool_call" => has("call_id") && has("name") && has("input"),
                    "function_call_output" | "custom_tool_call_output" => {
                        has("call_id") && has("output")
                    }
                    _ => true,
                };
                if !whole {
                    return Err(refuse(index, kind));
                }
            }
            Ok(items.clone())
        }
        Some(Value::Null) | None if body.contains_key("previous_response_id") => Ok(Vec::new()),
        Some(Value::Null) | None => Err(Refusal::new("missing-input")),
        Some(_) => Err(refuse(0, "")),
    }
}

/// Whether a tool of this type is taken.
pub fn check_tool_type(
    provider: &Provider,
    known: &[String],
    kind: &str,
    index: usize,
    length: usize,
) -> Result<(), Refusal> {
    if known.iter().any(|one| one == kind) {
        return Ok(());
    }
    let expected = match known.len() {
        _ if provider
            .errors
            .get("unknown-tool-type")
            .is_some_and(|row| !row.body.contains("unknown variant")) =>
        {
            quoted(known, '\'', "and")
        }
        1 => quoted(known, '`', ""),
        2 => quoted(known, '`', "or"),
        _ => format!("one of {}", quoted(known, '`', "")),
    };
    Err(Refusal::new("unknown-tool-type")
        .with("index", index)
        .with("type", kind)
        .with("expected", expected)
        .with("column", length))
}

fn read_tool(
    provider: &Provider,
    model: &Model,
    row: &Value,
    index: usize,
    length: usize,
    tools: &mut Vec<Tool>,
) -> Result<(), Refusal> {
    let kind = row["type"].as_str().unwrap_or_default();
    check_tool_type(provider, &model.kind.tools, kind, index, length)?;
    let bad = || {
        Refusal::new("bad-tool")
            .with("index", index)
            .with("column", length)
    };
    match kind {
        "function" | "custom" => tools.push(one_tool(row, None).ok_or_else(bad)?),
        "namespace" => {
            let name = row["name"].as_str().ok_or_else(bad)?;
            if provider
                .manner
                .reserved_namespaces
                .iter()
                .any(|one| one == name)
            {
                return Err(Refusal::new("reserved-namespace").with("value", name));
            }
            for row in list(row.get("tools")) {
                tools.extend(one_tool(row, Some(name)));
            }
        }
        "web_search"
            if row.get("search_content_types").is_some()
                && provider.errors.contains_key("web-search-field") =>
        {
            return Err(Refusal::new("web-search-field"));
        }
        _ => {}
    }
    Ok(())
}

fn one_tool(row: &Value, namespace: Option<&str>) -> Option<Tool> {
    let kind = match row["type"].as_str()? {
        "function" => ToolKind::Function(row.get("parameters").cloned().unwrap_or_default()),
        "custom" => ToolKind::Custom(input_of(row, &row["format"])),
        _ => return None,
    };
    Some(Tool {
        name: row["name"]
            .as_str()
            .filter(|name| !name.is_empty())?
            .to_owned(),
        namespace: namespace.map(str::to_owned),
        kind,
    })
}

/// What a custom tool takes. `syntax` and `definition` stand in the object `format`.
pub fn input_of(tool: &Value, format: &Value) -> Grammar {
    let program = tool["description"].as_str().and_then(code_tool::program);
    match (
        format["syntax"].as_str(),
        format["definition"].as_str(),
        program,
    ) {
        (Some("regex"), Some(regex), _) => Grammar::Regex(regex.to_owned()),
        (_, _, Some(program)) => Grammar::Program(program),
        _ => Grammar::Other,
    }
}

/// Parameters that both APIs have.
pub fn check_shared(
    provider: &Provider,
    model: &Model,
    body: &Map<String, Value>,
) -> Result<(), Refusal> {
    if let Some(tier) = body.get("service_tier").and_then(Value::as_str)
        && !model.kind.service_tiers.iter().any(|one| one == tier)
    {
        return Err(Refusal::new("service-tier")
            .with("value", tier)
            .with("expected", quoted(&model.kind.service_tiers, '\'', "and")));
    }
    if model.kind.sampling == Sampling::Fixed {
        for key in ["temperature", "top_p"] {
            let Some(value) = body
                .get(key)
                .filter(|value| value.as_f64().is_some_and(|value| value != 1.0))
            else {
                continue;
            };
            let by_value = key == "temperature" && provider.errors.contains_key("sampling-value");
            let id = if by_value {
                "sampling-value"
            } else {
                "sampling-parameter"
            };
            return Err(Refusal::new(id).with("type", key).with("value", value));
        }
    }
    Ok(())
}

fn check_parameters(
    provider: &Provider,
    model: &Model,
    body: &Map<String, Value>,
    tools: &[Tool],
) -> Result<(), Refusal> {
    if provider.manner.background_status.is_none()
        && body.get("background") == Some(&Value::Bool(true))
    {
        return Err(Refusal::new("background"));
    }
    if let Some(limit) = body.get("max_output_tokens").and_then(Value::as_i64)
        && limit < 16
    {
        return Err(Refusal::new("min-output-tokens").with("value", limit));
    }
    check_shared(provider, model, body)?;
    let choice = body.get("tool_choice").unwrap_or(&Value::Null);
    match choice {
        Value::String(word)
            if word != "auto" && model.kind.tool_choice == ToolChoices::AutoOnly =>
        {
            Err(Refusal::new("tool-choice-unsupported")
                .with("model", &model.id)
                .with("value", choice)
                .with("path", "/v1/responses"))
        }
        Value::Object(choice) if model.kind.tool_choice == ToolChoices::Any => {
            let name = choice.get("name").and_then(Value::as_str);
            match name {
                Some(name) if !tools.iter().any(|tool| tool.name == name) => {
                    Err(Refusal::new("tool-choice-missing").with("value", name))
                }
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Words as a refusal lists them.
pub fn quoted(words: &[String], mark: char, last: &str) -> String {
    let mut out = String::new();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            let is_last = index + 1 == words.len() && !last.is_empty();
            let comma = if words.len() > 2 || !is_last {
                ", "
            } else {
                " "
            };
            out.push_str(comma);
            if is_last {
                out.push_str(last);
                out.push(' ');
            }
        }
        out.push(mark);
        out.push_str(word);
        out.push(mark);
    }
    out
}
