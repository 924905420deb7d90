//! The fold of Converse events into a trace.
//!
//! It judges nothing: what contradicts itself is for the rules, which read the events. It must never
//! allocate by an index that the wire claims.

use std::collections::HashMap;

use serde_json::Value;

use crate::dialect::answer::{Fold, Over};
use crate::dialect::carrier::{Carrier, exception_type};
use crate::dialect::converse::block::{Block, content, usage};
use crate::dialect::failure::Envelope;
use crate::dialect::stream::{OutputKind, Outputs};
use crate::dialect::wire::WireEvent;
use crate::turn::trace::{Content, Item, Stop, Timing, TurnTrace, Usage};

/// The fold, fed one event after the other.
#[derive(Debug, Default)]
pub struct Assembler {
    blocks: Vec<Block>,
    /// Which block a `contentBlockIndex` means now: after its stop, the index may mean another.
    by_index: HashMap<Option<u64>, usize>,
    stop_reason: Option<String>,
    usage: Option<Usage>,
    service_tier: Option<String>,
    error: Option<Envelope>,
    /// The last event came.
    metadata: bool,
    timing: Timing,
    /// The blocks of a plain answer.
    whole: Option<Vec<Item>>,
}

/// The name and the payload of an event `{"name": {…}}`.
pub(crate) fn named(event: &WireEvent) -> Option<(&str, &Value)> {
    let fields = event.json()?.as_object()?;
    let (name, payload) = fields.iter().next()?;
    (fields.len() == 1).then_some((name.as_str(), payload))
}

/// Whether an event's name is one of an error that ends a stream.
pub(crate) fn is_error(name: &str) -> bool {
    name == "error" || name.ends_with("Exception")
}

impl Fold for Assembler {
    const NAME: &'static str = "Converse";
    const END: &'static str = "messageStop";
    const NOT_AN_ANSWER: &'static str = "converse/not-an-answer";
    const CARRIER: Carrier = Carrier::EventStream;
    const MALFORMED: &'static str = "converse/malformed-json";

    /// An answer has a message, or at least says why it stopped.
    fn is_answer(body: &Value) -> bool {
        body["output"]["message"].is_object() || body["stopReason"].is_string()
    }

    fn is_event(event: &WireEvent) -> bool {
        named(event).is_some_and(|(_, payload)| payload.is_object())
    }

    fn flaw(event: &WireEvent) -> Option<(&'static str, &'static str)> {
        match named(event) {
            Some(_) => None,
            None => Some((Self::MALFORMED, "no event")),
        }
    }

    fn name_of(value: &Value) -> Option<String> {
        let fields = value.as_object()?;
        fields.keys().next().filter(|_| fields.len() == 1).cloned()
    }

    /// What comes after an error is not part of the turn any more.
    fn take(&mut self, event: &WireEvent) -> Outputs {
        let mut outputs = Outputs::default();
        if self.error.is_some() {
            return outputs;
        }
        self.timing.first_event.get_or_insert(event.at);
        let Some((name, payload)) = named(event) else {
            return outputs;
        };
        match name {
            "contentBlockStart" => {
                let slot = self.block(payload, event);
                self.blocks[slot].start = payload.get("start").cloned();
                if self.blocks[slot]
                    .start
                    .as_ref()
                    .is_some_and(|start| start.get("toolUse").is_some())
                {
                    outputs.add(OutputKind::Call);
                }
            }
            "contentBlockDelta" => {
                let slot = self.block(payload, event);
                if let Some(kind) = self.blocks[slot].take(&payload["delta"]) {
                    outputs.add(kind);
                }
            }
            "contentBlockStop" => {
                let slot = self.block(payload, event);
                self.blocks[slot].ended = Some(event.at);
                self.by_index.remove(&self.blocks[slot].index);
                if self.blocks[slot].input.is_some() {
                    self.timing.first_call.get_or_insert(event.at);
                }
            }
            "messageStop" => {
                self.stop_reason = payload["stopReason"].as_str().map(str::to_owned);
                self.stop_reason.get_or_insert_default();
            }
            "metadata" => {
                self.usage = usage(&payload["usage"]).or(self.usage);
                self.take_tier(payload);
                self.metadata = true;
            }
            name if is_error(name) => self.error = Some(envelope(name, payload)),
            _ => {}
        }
        outputs
    }

    fn take_whole(&mut self, event: &WireEvent) -> Outputs {
        let mut outputs = Outputs::default();
        self.timing.first_event.get_or_insert(event.at);
        let Some(answer) = event.json() else {
            return outputs;
        };
        let blocks = answer["output"]["message"]["content"].as_array();
        let items: Vec<Item> = blocks
            .into_iter()
            .flatten()
            .map(|block| Item {
                id: None,
                content: content(block),
                wire: block.clone(),
                started: None,
                ended: Some(event.at),
            })
            .collect();
        if items
            .iter()
            .any(|item| matches!(item.content, Content::Call(_)))
        {
            self.timing.first_call.get_or_insert(event.at);
        }
        for item in &items {
            outputs.add(OutputKind::of(&item.content));
        }
        self.whole = Some(items);
        self.stop_reason = answer["stopReason"].as_str().map(str::to_owned);
        self.usage = usage(&answer["usage"]);
        self.take_tier(answer);
        outputs
    }

    /// The counts come after the stop.
    fn closed(&self) -> bool {
        self.error.is_some() || self.stop_reason.is_some() && self.metadata
    }

    fn over(&self) -> Option<Over> {
        match (&self.error, &self.stop_reason) {
            (Some(_), _) => Some(Over::Failed),
            (None, Some(_)) => Some(Over::Whole),
            (None, None) => None,
        }
    }

    fn is_next(&self, event: &WireEvent) -> bool {
        self.stop_reason.is_some() && named(event).is_some_and(|(name, _)| name == "messageStart")
    }

    fn error(&self) -> Option<Envelope> {
        self.error.clone()
    }

    /// A stop reason may say that the model's output could not be used.
    fn unusable(&self) -> Option<String> {
        let reason = self.stop_reason.as_deref()?;
        reason
            .starts_with("malformed_")
            .then(|| format!("the model's output could not be used: stopReason {reason}"))
    }

    fn finish(mut self) -> TurnTrace {
        let items = match self.whole.take() {
            Some(items) => items,
            None => {
                // Blocks stand in the order of their indexes, which is the order of their arrival too
                // unless the wire is broken.
                self.blocks
                    .sort_by_key(|block| block.index.unwrap_or(u64::MAX));
                self.blocks.into_iter().map(Block::item).collect()
            }
        };
        TurnTrace {
            response_id: None,
            model: None,
            service_tier: self.service_tier,
            pending: false,
            stop: self.stop_reason.as_deref().and_then(stop),
            items,
            usage: self.usage,
            failure: None,
            irregularities: Vec::new(),
            timing: self.timing,
        }
    }
}

impl Assembler {
    fn take_tier(&mut self, payload: &Value) {
        let tier = payload["serviceTier"]["type"].as_str();
        self.service_tier = tier.map(str::to_owned).or(self.service_tier.take());
    }

    /// The block that an event is about, new where there was none.
    fn block(&mut self, payload: &Value, event: &WireEvent) -> usize {
        let index = payload["contentBlockIndex"].as_u64();
        if let Some(slot) = self.by_index.get(&index) {
            return *slot;
        }
        self.blocks.push(Block {
            index,
            started: Some(event.at),
            ..Block::default()
        });
        self.by_index.insert(index, self.blocks.len() - 1);
        self.blocks.len() - 1
    }
}

/// An exception's payload says its message, and its name its type.
fn envelope(name: &str, payload: &Value) -> Envelope {
    let mut envelope = Envelope::of_json(payload);
    if name != "error" {
        envelope.kind = Some(exception_type(name));
    }
    envelope
}

/// Why a turn ended; `None` for a reason that says the answer is unusable, or that nobody knows.
fn stop(reason: &str) -> Option<Stop> {
    Some(match reason {
        "end_turn" | "stop_sequence" => Stop::End,
        "tool_use" => Stop::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => Stop::Length,
        "content_filtered" => Stop::ContentFilter,
        "guardrail_intervened" => Stop::Guardrail,
        _ => return None,
    })
}
