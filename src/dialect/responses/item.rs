//! An output item and the figures of a response, out of their JSON.
//!
//! Nothing here fails: what has the wrong type reads as absent, and the rules say so elsewhere.

use serde_json::{Map, Value};

use crate::turn::trace::{Call, CallForm, Content, Usage};

/// What an item in its final form is.
pub(crate) fn content(item: &Value) -> Content {
    match text_of(item, "type") {
        "message" => {
            let text = joined(item, "content", "output_text", "text", "");
            let refusal = joined(item, "content", "refusal", "refusal", "");
            match text.is_empty() && !refusal.is_empty() {
                true => Content::Refusal { text: refusal },
                false => Content::Text { text },
            }
        }
        "reasoning" => Content::Reasoning {
            summary: joined(item, "summary", "summary_text", "text", "\n"),
            text: joined(item, "content", "reasoning_text", "text", ""),
            encrypted: !text_of(item, "encrypted_content").is_empty(),
        },
        "function_call" => Content::Call(call(item, CallForm::Function)),
        "custom_tool_call" => Content::Call(call(item, CallForm::Custom)),
        kind => Content::Other {
            kind: kind.to_owned(),
        },
    }
}

/// Whether there is output in it that a user or agent could use.
pub(crate) fn has_output(content: &Content) -> bool {
    match content {
        Content::Text { text } | Content::Refusal { text } => !text.is_empty(),
        Content::Reasoning { summary, text, .. } => !summary.is_empty() || !text.is_empty(),
        Content::Call(_) => true,
        Content::Other { .. } => false,
    }
}

/// Token counts of a response; `None` where it has none.
pub(crate) fn usage(response: &Value) -> Option<Usage> {
    let usage = response.get("usage")?;
    let count = |key: &str| usage.get(key).and_then(Value::as_u64);
    let part = |group: &str, key: &str| usage.get(group)?.get(key)?.as_u64();
    let (input, output, total) = (
        count("input_tokens"),
        count("output_tokens"),
        count("total_tokens"),
    );
    if input.is_none() && output.is_none() && total.is_none() {
        return None;
    }
    Some(Usage {
        input: input.unwrap_or(0),
        output: output.unwrap_or(0),
        total: total.unwrap_or(0),
        cached: part("input_tokens_details", "cached_tokens"),
        cache_write: part("input_tokens_details", "cache_write_tokens"),
        reasoning: part("output_tokens_details", "reasoning_tokens"),
    })
}

/// A text field; empty where there is none.
pub(crate) fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

/// A text field that is there and not empty.
pub(crate) fn some_text(value: &Value, key: &str) -> Option<String> {
    Some(text_of(value, key))
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// An item that is usable as one: an object that says its type.
pub(crate) fn is_item(value: &Value) -> bool {
    !text_of(value, "type").is_empty()
}

/// An object with these fields, in this order.
pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(Map::from_iter(
        fields.map(|(key, value)| (key.to_owned(), value)),
    ))
}

fn call(item: &Value, form: CallForm) -> Call {
    let arguments = match form {
        CallForm::Function => item.get("arguments"),
        CallForm::Custom => item.get("input"),
    };
    Call {
        call_id: text_of(item, "call_id").to_owned(),
        name: text_of(item, "name").to_owned(),
        namespace: some_text(item, "namespace"),
        arguments: match arguments {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            // Some servers send an object where text belongs; an agent that is kind reads it.
            Some(other) => other.to_string(),
        },
        form,
    }
}

/// The texts of the parts of one type.
fn joined(item: &Value, list: &str, kind: &str, key: &str, between: &str) -> String {
    let parts = item.get(list).and_then(Value::as_array);
    let texts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .filter(|part| text_of(part, "type") == kind)
        .map(|part| text_of(part, key))
        .collect();
    texts.join(between)
}
