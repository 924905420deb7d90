//! An answer of InvokeModel on the wire: a completion, and its chunks inside frames.
//!
//! Pure. The chunks are those that the mocked Chat Completions writes. What is added stands in the
//! streams and headers of the endpoint's other models; no stream of this one was published.

use std::time::Duration;

use serde_json::{Value, json};

use crate::mock::outgoing::{OutEvent, OutStream, Outgoing};

/// Turns a completion into an answer of InvokeModel; `latency` is what the metrics tell.
pub fn of_completion(completion: Outgoing, latency: Duration) -> Outgoing {
    let Outgoing { stream, mut whole } = completion;
    let count = |key: &str| whole["usage"][key].clone();
    let millis = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
    let metrics = json!({
        "inputTokenCount": count("prompt_tokens"),
        "outputTokenCount": count("completion_tokens"),
        "invocationLatency": millis,
        "firstByteLatency": millis,
    });
    let mut events = stream.events;
    tag_stream(&mut events);
    if let Some(Value::Object(last)) = events.last_mut().map(|event| &mut event.data) {
        last.insert("amazon-bedrock-invocationMetrics".to_owned(), metrics);
    }
    for choice in list(&mut whole["choices"]) {
        tag_message(&mut choice["message"]);
    }
    Outgoing {
        stream: OutStream::in_chunks(events),
        whole,
    }
}

/// What the headers of an answer tell beside its body.
pub fn headers(whole: &Value, streamed: bool, latency: Duration) -> Vec<(String, String)> {
    if streamed {
        let json = "application/json".to_owned();
        return vec![("x-amzn-bedrock-content-type".to_owned(), json)];
    }
    let count = |key: &str| whole["usage"][key].to_string();
    [
        ("input-token-count", count("prompt_tokens")),
        ("output-token-count", count("completion_tokens")),
        ("invocation-latency", latency.as_millis().to_string()),
    ]
    .map(|(name, value)| (format!("x-amzn-bedrock-{name}"), value))
    .into()
}

const OPEN: &str = "<reasoning>";
const CLOSE: &str = "</reasoning>";

fn list(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_array_mut().into_iter().flatten()
}

/// Reasoning of a message stands before its text, in tags (AWS user guide, model-parameters-openai).
fn tag_message(message: &mut Value) {
    let Some(fields) = message.as_object_mut() else {
        return;
    };
    if let Some(Value::String(thought)) = fields.shift_remove("reasoning") {
        let text = fields.get("content").and_then(Value::as_str);
        let whole = format!("{OPEN}{thought}{CLOSE}{}", text.unwrap_or_default());
        fields.insert("content".to_owned(), whole.into());
    }
}

/// Pieces of reasoning become pieces of text, the first and the last of them with its tag.
fn tag_stream(events: &mut [OutEvent]) {
    let thoughts: Vec<usize> = events
        .iter()
        .enumerate()
        .filter(|(_, event)| event.data["choices"][0]["delta"]["reasoning"].is_string())
        .map(|(place, _)| place)
        .collect();
    let (Some(first), Some(last)) = (thoughts.first(), thoughts.last()) else {
        return;
    };
    for place in &thoughts {
        let delta = &mut events[*place].data["choices"][0]["delta"];
        let open = if place == first { OPEN } else { "" };
        let close = if place == last { CLOSE } else { "" };
        let piece = delta["reasoning"].as_str().unwrap_or_default().to_owned();
        *delta = json!({"content": format!("{open}{piece}{close}")});
    }
}
