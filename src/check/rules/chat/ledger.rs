//! A Chat Completions answer, sorted once: its chunks, its choices and their calls, what came when.
//!
//! A plain answer reads as one chunk whose messages are its deltas. It judges nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::check::rules::Subject;
use crate::check::rules::ledger::text;
use crate::dialect::wire::Payload;

/// Everything the rules ask about one answer.
pub struct Ledger<'a> {
    pub subject: &'a Subject<'a>,
    /// Events with choices, in order; those of an error are not among them.
    pub chunks: Vec<Chunk<'a>>,
    pub choices: BTreeMap<u64, Choice<'a>>,
    /// Events that tell an error.
    pub errors: Vec<(usize, &'a Value)>,
    /// Events that are `[DONE]`.
    pub done: Vec<usize>,
}

/// One event with choices.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    pub event: usize,
    pub data: &'a Value,
}

impl<'a> Chunk<'a> {
    pub fn choices(&self) -> &'a [Value] {
        let choices = self.data.get("choices").and_then(Value::as_array);
        choices.map_or(&[], Vec::as_slice)
    }

    pub fn usage(&self) -> Option<&'a Value> {
        self.data.get("usage").filter(|usage| !usage.is_null())
    }

    /// Whether it says nothing at all: no choice and no usage.
    pub fn is_empty(&self) -> bool {
        self.choices().is_empty() && self.usage().is_none()
    }
}

/// One choice of the answer.
#[derive(Debug, Default)]
pub struct Choice<'a> {
    /// Its deltas in order; of a plain answer, its message.
    pub deltas: Vec<(usize, &'a Value)>,
    /// Why it ended, as often as it was said.
    pub finishes: Vec<(usize, &'a Value)>,
}

impl<'a> Choice<'a> {
    /// The word of its first finish reason.
    pub fn finish(&self) -> Option<&'a str> {
        self.finishes.first()?.1.as_str()
    }

    /// The whole of a text field.
    pub fn text(&self, key: &str) -> String {
        self.deltas
            .iter()
            .filter_map(|(_, delta)| text(delta, key))
            .collect()
    }

    /// The fragments of its calls in order.
    pub fn fragments(&self) -> impl Iterator<Item = (usize, &'a Value)> {
        self.deltas.iter().flat_map(|(event, delta)| {
            let list = delta.get("tool_calls").and_then(Value::as_array);
            list.into_iter()
                .flatten()
                .map(move |fragment| (*event, fragment))
        })
    }
}

impl<'a> Ledger<'a> {
    pub fn read(subject: &'a Subject<'a>) -> Ledger<'a> {
        let mut ledger = Ledger {
            subject,
            chunks: Vec::new(),
            choices: BTreeMap::new(),
            errors: Vec::new(),
            done: Vec::new(),
        };
        for (index, event) in subject.events.iter().enumerate() {
            if event.payload == Payload::Done {
                ledger.done.push(index);
            }
            let Some(data) = event.json() else {
                continue;
            };
            let told = data.get("error").is_some_and(|error| !error.is_null())
                || event.name.as_deref() == Some("error")
                || text(data, "object") == Some("error");
            if told {
                ledger.errors.push((index, data));
            } else if data.get("choices").is_some_and(Value::is_array) {
                let chunk = Chunk { event: index, data };
                ledger.chunks.push(chunk);
                ledger.add(chunk);
            }
        }
        ledger
    }

    fn add(&mut self, chunk: Chunk<'a>) {
        let key = if self.subject.streamed {
            "delta"
        } else {
            "message"
        };
        for choice in chunk.choices() {
            // One without a usable index has a finding of its own, and is most likely the only one.
            let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
            let log = self.choices.entry(index).or_default();
            if let Some(delta) = choice.get(key).filter(|delta| delta.is_object()) {
                log.deltas.push((chunk.event, delta));
            }
            let reason = choice.get("finish_reason");
            if let Some(reason) = reason.filter(|reason| !reason.is_null()) {
                log.finishes.push((chunk.event, reason));
            }
        }
    }

    /// Whether every choice said why it ended: what is missing then was left out, not lost.
    pub fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|one| !one.finishes.is_empty())
    }

    /// Whether the answer broke off for a reason that was told or seen, so that it promises nothing.
    pub fn broke_off(&self) -> bool {
        !self.errors.is_empty() || self.subject.was_cut() || self.subject.lost_frames()
    }

    /// What was asked for, under a JSON pointer.
    pub fn asked(&self, pointer: &str) -> Option<&'a Value> {
        let request: &'a Value = self.subject.request?;
        request.pointer(pointer).filter(|value| !value.is_null())
    }
}
