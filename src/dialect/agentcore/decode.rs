//! What a managed agent answers, as events and a trace.
//!
//! The content type of the answer decides whether it is a stream: an agent answers as it was built to,
//! whatever was asked. There is no terminal event; the answer is whole when its body ends as HTTP says.
//! Source: https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/runtime-http-protocol-contract.html
//! and `_stream_with_error_handling` of the Python package bedrock-agentcore 1.25.0 (read 2026-11-21).

use std::time::Duration;

use serde_json::{Value, json};

use crate::catalog::failure::Failures;
use crate::dialect::Decoded;
use crate::dialect::agentcore::mapping::Mapping;
use crate::dialect::answer::{self, Fold, Over};
use crate::dialect::failure::Envelope;
use crate::dialect::stream::{OutputKind, Outputs};
use crate::dialect::wire::{Payload, WireEvent};
use crate::turn::exchange::{Exchange, Head};
use crate::turn::trace::{Content, Item, Stop, Timing, TurnTrace, Usage};

/// Decodes a finished exchange. `asked` is whether a stream was asked for.
pub fn exchange(
    mapping: &Mapping,
    provider: &str,
    failures: &Failures,
    exchange: &Exchange,
    asked: bool,
) -> Decoded {
    let streamed = is_stream(exchange.head.as_ref(), asked);
    let fold = AgentFold::new(mapping);
    answer::exchange_with(fold, provider, failures, exchange, streamed)
}

/// Whether an answer is a stream.
pub(crate) fn is_stream(head: Option<&Head>, asked: bool) -> bool {
    let content_type = head
        .and_then(|head| head.header("content-type"))
        .unwrap_or_default()
        .to_ascii_lowercase();
    content_type.starts_with("text/event-stream")
        || asked && !content_type.starts_with("application/json")
}

/// The fold, fed one event after the other.
#[derive(Debug, Default)]
pub struct AgentFold {
    mapping: Mapping,
    /// Which pointer the text and the reasoning of this answer are at.
    text_at: Option<usize>,
    reasoning_at: Option<usize>,
    items: Vec<Item>,
    /// The last reason that was told, and what it means if it is known.
    stop: Option<Option<Stop>>,
    usage: Option<Usage>,
    error: Option<Envelope>,
    timing: Timing,
}

impl Fold for AgentFold {
    const NAME: &'static str = "an agent";
    const END: &'static str = "a single event";
    const NOT_AN_ANSWER: &'static str = "agentcore/not-an-answer";
    const ENDS_WITH_BODY: bool = true;

    /// Any JSON is the agent's own, but for the errors of the service before it.
    fn is_answer(body: &Value) -> bool {
        body.get("__type").is_none() && body["Output"].get("__type").is_none()
    }

    fn is_event(event: &WireEvent) -> bool {
        event.json().is_some()
    }

    fn flaw(_: &WireEvent) -> Option<(&'static str, &'static str)> {
        None
    }

    fn take(&mut self, event: &WireEvent) -> Outputs {
        let mut outputs = Outputs::default();
        self.timing.first_event.get_or_insert(event.at);
        let Payload::Json(data) = &event.payload else {
            return outputs;
        };
        if self.error.is_none() {
            let found = self.mapping.error.iter().find_map(|at| data.pointer(at));
            self.error = found
                .filter(|error| !error.is_null())
                .map(|error| envelope(data, error));
            if self.error.is_some() {
                return outputs;
            }
        }
        self.take_counts(data);
        if let Some(reason) = first_text(data, &self.mapping.stop) {
            self.stop = Some(stop(reason));
        }
        if let Some(name) = first_text(data, &self.mapping.tool) {
            let kind = format!("agent_tool:{name}");
            self.items
                .push(item(Content::Other { kind }, data.clone(), event.at));
        }
        if let Some(piece) = bound(data, &self.mapping.reasoning, &mut self.reasoning_at)
            && self.add(piece, event.at, false)
        {
            outputs.add(OutputKind::Reasoning);
        }
        if let Some(piece) = bound(data, &self.mapping.text, &mut self.text_at)
            && self.add(piece, event.at, true)
        {
            outputs.add(OutputKind::Text);
        }
        outputs
    }

    fn take_whole(&mut self, event: &WireEvent) -> Outputs {
        self.take(event)
    }

    fn over(&self) -> Option<Over> {
        self.error.is_some().then_some(Over::Failed)
    }

    fn is_next(&self, _: &WireEvent) -> bool {
        false
    }

    fn error(&self) -> Option<Envelope> {
        self.error.clone()
    }

    /// An invocation that ends and tells no reason has ended because the agent was done.
    fn finish(self) -> TurnTrace {
        TurnTrace {
            items: self.items,
            stop: self.stop.unwrap_or(Some(Stop::End)),
            usage: self.usage,
            timing: self.timing,
            ..TurnTrace::default()
        }
    }
}

impl AgentFold {
    /// A fold of an agent with this contract.
    pub(crate) fn new(mapping: &Mapping) -> AgentFold {
        AgentFold {
            mapping: mapping.clone(),
            ..AgentFold::default()
        }
    }

    /// Adds a piece to the last item if it is of the same kind, else to a new one.
    fn add(&mut self, piece: &str, at: Duration, is_text: bool) -> bool {
        if piece.is_empty() {
            return false;
        }
        match self.items.last_mut() {
            Some(Item {
                content: Content::Text { text } | Content::Reasoning { text, .. },
                wire,
                ended,
                ..
            }) if wire.get("text").is_some() == is_text => {
                text.push_str(piece);
                *ended = Some(at);
            }
            _ if is_text => self.items.push(item(
                Content::Text {
                    text: piece.to_owned(),
                },
                json!({ "text": null }),
                at,
            )),
            _ => self.items.push(item(
                Content::Reasoning {
                    summary: String::new(),
                    text: piece.to_owned(),
                    encrypted: false,
                },
                json!({ "reasoning": null }),
                at,
            )),
        }
        true
    }

    /// An agent may ask its model several times: counts add up.
    fn take_counts(&mut self, data: &Value) {
        let places = &self.mapping.usage;
        let count = |places: &[String]| {
            places
                .iter()
                .find_map(|place| data.pointer(place)?.as_u64())
        };
        let (input, output) = (count(&places.input), count(&places.output));
        let cached = count(&places.cached);
        if input.is_none() && output.is_none() {
            return;
        }
        let usage = self.usage.get_or_insert_default();
        usage.input = usage.input.saturating_add(input.unwrap_or(0));
        usage.output = usage.output.saturating_add(output.unwrap_or(0));
        usage.total = usage.input.saturating_add(usage.output);
        if let Some(cached) = cached {
            usage.cached = Some(usage.cached.unwrap_or(0).saturating_add(cached));
        }
    }
}

/// Nothing of an answer is sent again, so `wire` only tells kinds of items apart.
fn item(content: Content, wire: Value, at: Duration) -> Item {
    Item {
        id: None,
        content,
        wire,
        started: Some(at),
        ended: Some(at),
    }
}

fn first_text<'a>(data: &'a Value, pointers: &[String]) -> Option<&'a str> {
    pointers.iter().find_map(|at| data.pointer(at)?.as_str())
}

/// The text at the pointer that this answer uses; the first that finds one becomes it.
fn bound<'a>(data: &'a Value, pointers: &[String], at: &mut Option<usize>) -> Option<&'a str> {
    let text = |pointer: &String| {
        let text = data.pointer(pointer)?.as_str()?;
        (!is_printed_object(text)).then_some(text)
    };
    match *at {
        Some(index) => text(pointers.get(index)?),
        None => {
            let (index, found) = pointers
                .iter()
                .enumerate()
                .find_map(|(index, pointer)| Some((index, text(pointer)?)))?;
            *at = Some(index);
            Some(found)
        }
    }
}

/// Whether a text is an object as Python prints it. The package that most agents are served by writes
/// that where an event cannot become JSON (`_safe_serialize_to_json_string`).
pub fn is_printed_object(text: &str) -> bool {
    text.starts_with("{'") && text.ends_with('}')
}

/// The error event of that package is `{error, error_type, message}`; others have an `error` of any form.
fn envelope(data: &Value, error: &Value) -> Envelope {
    let Some(said) = error.as_str() else {
        return Envelope::of_json(error);
    };
    let word = |key: &str| data[key].as_str().filter(|word| !word.is_empty());
    Envelope {
        kind: word("error_type").map(str::to_owned),
        message: match word("message") {
            Some(message) => format!("{message}: {said}"),
            None => said.to_owned(),
        },
        ..Envelope::default()
    }
}

/// The words of Converse, which Strands agents hand on, and of Chat Completions. `tool_use` is about a
/// tool of the agent's own: it goes on by itself.
fn stop(reason: &str) -> Option<Stop> {
    match reason {
        "end_turn" | "stop" | "stop_sequence" | "tool_use" | "tool_calls" => Some(Stop::End),
        "max_tokens" | "length" => Some(Stop::Length),
        "content_filtered" | "content_filter" => Some(Stop::ContentFilter),
        "guardrail_intervened" => Some(Stop::Guardrail),
        _ => None,
    }
}
