//! The fold of an InvokeModel answer: that of Chat Completions, with what the carrier adds.
//!
//! It must never read a chunk's meaning itself: chunks go to the chat fold as they are. Its own are
//! the counts that the endpoint adds to the last chunk, and reasoning that comes inside the text.

use base64::Engine;
use serde_json::{Value, json};

use crate::dialect::answer::{Fold, Over};
use crate::dialect::carrier::{Carrier, exception_type, payload, wire_event};
use crate::dialect::chat::fold::ChatFold;
use crate::dialect::failure::Envelope;
use crate::dialect::stream::Outputs;
use crate::dialect::wire::{Payload, WireEvent};
use crate::frame::event_stream::{Message, MessageType};
use crate::turn::trace::{Content, Item, TurnTrace, Usage};

/// The only event of the stream that is no exception.
const CHUNK: &str = "chunk";
/// What stands around reasoning, which comes before the text in the same field
/// (AWS user guide, model-parameters-openai, read 2026-11-21).
const TAGS: (&str, &str) = ("<reasoning>", "</reasoning>");

/// The fold, fed one chunk after the other.
#[derive(Debug, Default)]
pub struct InvokeFold {
    chat: ChatFold,
    counted: Option<Usage>,
}

/// The counts that the endpoint adds to a chunk, under a key with a vendor's prefix.
pub(crate) fn metrics(chunk: &Value) -> Option<&Value> {
    let mut fields = chunk.as_object()?.iter();
    fields
        .find(|(key, _)| key.ends_with("-invocationMetrics"))
        .map(|(_, value)| value)
}

impl Fold for InvokeFold {
    const NAME: &'static str = "InvokeModelWithResponseStream";
    const END: &'static str = ChatFold::END;
    const NOT_AN_ANSWER: &'static str = ChatFold::NOT_AN_ANSWER;
    const CARRIER: Carrier = Carrier::EventStream;
    const MALFORMED: &'static str = "invoke/malformed-chunk";

    fn is_answer(body: &Value) -> bool {
        ChatFold::is_answer(body)
    }

    fn is_event(event: &WireEvent) -> bool {
        ChatFold::is_event(event) || event.json().is_some_and(|chunk| metrics(chunk).is_some())
    }

    fn flaw(event: &WireEvent) -> Option<(&'static str, &'static str)> {
        match event.name {
            Some(_) if Self::is_event(event) => None,
            Some(_) => Some((
                "invoke/known-event-types",
                "neither a chunk nor an exception",
            )),
            // The counts may come in a chunk of their own.
            None if event.json().is_some_and(|chunk| metrics(chunk).is_some()) => None,
            None => ChatFold::flaw(event),
        }
    }

    fn of_message(message: Message) -> WireEvent {
        let Message {
            kind,
            name,
            error_message,
            payload: bytes,
            place,
            ..
        } = message;
        let told = serde_json::from_slice::<Value>(&bytes);
        match (kind, told) {
            (MessageType::Error, _) => {
                let error = json!({ "code": name, "message": error_message.unwrap_or_default() });
                wire_event(
                    place,
                    Some("error".to_owned()),
                    Payload::Json(json!({ "error": error })),
                )
            }
            (MessageType::Event, Ok(told)) if name == CHUNK => {
                wire_event(place, None, chunk(&told))
            }
            (MessageType::Event, Ok(told)) => {
                let told = json!({ name.as_str(): told });
                wire_event(place, Some(name), Payload::Json(told))
            }
            (MessageType::Exception, told) => {
                // In the form in which a chunk would tell an error, so that it is read like one.
                let mut error = match told {
                    Ok(Value::Object(fields)) => fields,
                    _ => Default::default(),
                };
                error.insert("type".to_owned(), exception_type(&name).into());
                wire_event(place, Some(name), Payload::Json(json!({ "error": error })))
            }
            (MessageType::Event, Err(error)) => {
                let payload = Payload::Malformed {
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                    reason: error.to_string(),
                };
                wire_event(place, Some(name), payload)
            }
        }
    }

    fn take(&mut self, event: &WireEvent) -> Outputs {
        self.count(event);
        self.chat.take(event)
    }

    fn take_whole(&mut self, event: &WireEvent) -> Outputs {
        self.chat.take_whole(event)
    }

    /// The counts come last, in the chunk that says why the choice ended or after it.
    fn closed(&self) -> bool {
        self.counted.is_some() && self.chat.over().is_some()
    }

    fn over(&self) -> Option<Over> {
        self.chat.over()
    }

    fn is_next(&self, event: &WireEvent) -> bool {
        self.chat.is_next(event)
    }

    fn error(&self) -> Option<Envelope> {
        self.chat.error()
    }

    fn finish(self) -> TurnTrace {
        let mut trace = self.chat.finish();
        trace.usage = trace.usage.or(self.counted);
        trace.items = trace.items.into_iter().flat_map(apart).collect();
        trace
    }
}

impl InvokeFold {
    fn count(&mut self, event: &WireEvent) {
        let Some(metrics) = event.json().and_then(metrics) else {
            return;
        };
        let count = |key: &str| metrics[key].as_u64();
        let (input, output) = (count("inputTokenCount"), count("outputTokenCount"));
        if input.is_none() && output.is_none() {
            return;
        }
        let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
        self.counted = Some(Usage {
            input,
            output,
            total: input.saturating_add(output),
            cached: count("cacheReadInputTokenCount"),
            cache_write: count("cacheWriteInputTokenCount"),
            reasoning: None,
        });
    }
}

/// The JSON inside a chunk's `bytes`.
fn chunk(told: &Value) -> Payload {
    let malformed = |reason: String| Payload::Malformed {
        text: told.to_string(),
        reason,
    };
    let Some(bytes) = told["bytes"].as_str() else {
        return malformed("the chunk has no `bytes`".to_owned());
    };
    match base64::engine::general_purpose::STANDARD.decode(bytes) {
        Err(error) => malformed(format!("`bytes` is no base64: {error}")),
        Ok(inner) => match String::from_utf8(inner) {
            // A marker of another carrier means nothing here.
            Ok(text) if text == "[DONE]" => malformed("`bytes` is no JSON".to_owned()),
            Ok(text) => payload(&text),
            Err(error) => malformed(format!("`bytes` is no UTF-8: {error}")),
        },
    }
}

/// A text that begins with reasoning, as reasoning and text. Joined again, as a later request does,
/// both are what came.
fn apart(item: Item) -> Vec<Item> {
    let Content::Text { text } = &item.content else {
        return vec![item];
    };
    let found = text
        .strip_prefix(TAGS.0)
        .and_then(|rest| rest.split_once(TAGS.1));
    let Some((thought, said)) = found else {
        return vec![item];
    };
    let (thought, said) = (thought.to_owned(), said.to_owned());
    let before = &text[..text.len() - said.len()];
    let part = |content: Content, wire: &str| Item {
        content,
        wire: json!({ "content": wire }),
        ..item.clone()
    };
    let reasoning = Content::Reasoning {
        summary: String::new(),
        text: thought,
        encrypted: false,
    };
    let mut parts = vec![part(reasoning, before)];
    if !said.is_empty() {
        let wire = said.clone();
        parts.push(part(Content::Text { text: said }, &wire));
    }
    parts
}
