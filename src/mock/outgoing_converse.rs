//! An answer of Converse on the wire: the whole object, and the sequence of its events.
//!
//! Pure. It writes the API from its public description (service model of botocore 1.44.5 and recorded
//! streams, read 2026-11-21) and must never use the client's decoder to do so. Text and reasoning
//! blocks have no contentBlockStart, as in the streams of the real service.

use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use crate::mock::answer::{Answer, EarlyEnd, Said, pieces};
use crate::mock::ask::Ask;
use crate::mock::data::{Letters, Model, Provider};
use crate::mock::namer::Namer;
use crate::mock::outgoing::{OutEvent, OutStream, Outgoing};
use crate::mock::outgoing_response::input_tokens;

/// Letters of a toolUseId after its prefix.
const ID_LENGTH: usize = 22;

/// Writes an answer down; `latency` is what the metrics tell.
pub fn build(
    provider: &Provider,
    model: &Model,
    ask: &Ask,
    answer: &Answer,
    namer: &mut Namer,
    latency: Duration,
) -> Outgoing {
    let mut events = vec![json!({"type": "messageStart", "role": "assistant"})];
    let mut content = Vec::new();
    let mut calls = false;
    for (index, said) in answer.items.iter().enumerate() {
        let mut delta = |delta: Value| {
            events.push(
                json!({"type": "contentBlockDelta", "contentBlockIndex": index, "delta": delta}),
            );
        };
        match said {
            Said::Reasoning(text) if model.kind.readable_reasoning => {
                let text = if text.is_empty() {
                    "Thinking it over."
                } else {
                    text
                };
                for piece in pieces(text) {
                    delta(json!({"reasoningContent": {"text": piece}}));
                }
                content.push(json!({"reasoningContent": {"reasoningText": {"text": text}}}));
            }
            Said::Reasoning(_) => {
                let sealed = namer.encrypted(&provider.manner.ids.encrypted_prefix, 96);
                let sealed = base64::engine::general_purpose::STANDARD.encode(sealed);
                delta(json!({"reasoningContent": {"redactedContent": sealed}}));
                content.push(json!({"reasoningContent": {"redactedContent": sealed}}));
            }
            // There is no refusal of its own here: the model says it in words.
            Said::Text(text) | Said::Words(text) | Said::Refusal(text) => {
                for piece in said.pieces() {
                    delta(json!({"text": piece}));
                }
                content.push(json!({"text": text}));
            }
            Said::Call(call) => {
                calls = true;
                let id = namer.letters("tooluse_", Letters::Base32, ID_LENGTH);
                events.push(
                    json!({"type": "contentBlockStart", "contentBlockIndex": index,
                    "start": {"toolUse": {"toolUseId": id, "name": call.name}}}),
                );
                let input = call.content.text();
                for piece in pieces(input) {
                    events.push(
                        json!({"type": "contentBlockDelta", "contentBlockIndex": index,
                        "delta": {"toolUse": {"input": piece}}}),
                    );
                }
                let input: Value = serde_json::from_str(input).unwrap_or_else(|_| json!({}));
                content
                    .push(json!({"toolUse": {"toolUseId": id, "name": call.name, "input": input}}));
            }
        }
        events.push(json!({"type": "contentBlockStop", "contentBlockIndex": index}));
    }
    let reason = match answer.early_end {
        Some(EarlyEnd::MaxOutputTokens) => "max_tokens",
        Some(EarlyEnd::ContentFilter) => "content_filtered",
        Some(EarlyEnd::Guardrail) => "guardrail_intervened",
        None if calls => "tool_use",
        None => "end_turn",
    };
    let (input, output) = (
        input_tokens(ask, &ask.items),
        answer.items.iter().map(Said::tokens).sum::<u64>(),
    );
    let usage = json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output,
        "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0});
    let metrics = json!({"latencyMs": u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)});
    events.push(json!({"type": "messageStop", "stopReason": reason}));
    events.push(json!({"type": "metadata", "usage": usage, "metrics": metrics}));
    Outgoing {
        stream: OutStream::framed(events.into_iter().map(OutEvent::of).collect()),
        whole: json!({
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": reason,
            "usage": usage,
            "metrics": metrics,
        }),
    }
}
