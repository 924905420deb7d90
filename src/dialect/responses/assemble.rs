//! The fold of Responses events into a trace.
//!
//! An item is what its `output_item.done` says, because that is what an agent acts on and replays;
//! where it never came, what the terminal response says, and else what the deltas add up to. It
//! judges nothing: contradictions between these are for the rules, which read the events.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use crate::dialect::answer::{Fold, Over};
use crate::dialect::failure::Envelope;
use crate::dialect::responses::item::{content, has_output, is_item, some_text, text_of, usage};
use crate::dialect::responses::slot::{Channel, Piece, Slot, items};
use crate::dialect::wire::WireEvent;
use crate::turn::trace::{Content, Item, Stop, Timing, TurnTrace};

/// The fold, fed one event after the other.
#[derive(Debug, Default)]
pub struct Assembler {
    slots: Vec<Slot>,
    by_index: HashMap<u64, usize>,
    by_id: HashMap<String, usize>,
    response_id: Option<String>,
    model: Option<String>,
    service_tier: Option<String>,
    terminal: Option<Terminal>,
    error: Option<Envelope>,
    timing: Timing,
    output_read: Option<u32>,
}

/// What is read of the last response object once all is there; the rest may be large and is not kept twice.
fn needed(response: &Value) -> Value {
    let keys = ["output", "usage", "error", "incomplete_details"];
    let kept = keys
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), response.get(key)?.clone())));
    Value::Object(kept.collect())
}

/// How a turn ended, by its last response object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Completed,
    Incomplete,
    Failed,
    /// A plain answer that the provider still works on.
    Pending,
    /// A plain answer that is none of these.
    Unfinished,
}

#[derive(Debug)]
struct Terminal {
    outcome: Outcome,
    response: Value,
    at: Duration,
}

impl Fold for Assembler {
    const NAME: &'static str = "the Responses API";
    const END: &'static str = "response.completed, response.incomplete or response.failed";
    const NOT_AN_ANSWER: &'static str = "responses/not-a-response";

    /// A response object says so, or at least has a list of output items.
    fn is_answer(body: &Value) -> bool {
        body["object"] == "response" || body["output"].is_array()
    }

    fn is_event(event: &WireEvent) -> bool {
        event
            .kind()
            .is_some_and(|kind| kind == "error" || kind.starts_with("response."))
    }

    fn flaw(event: &WireEvent) -> Option<(&'static str, &'static str)> {
        match event.kind() {
            Some(_) => None,
            None => Some(("responses/event-without-type", "no type")),
        }
    }

    /// What comes after the terminal event is not part of the turn any more, because agents stop
    /// reading there.
    fn take(&mut self, event: &WireEvent) {
        if self.terminal.is_some() {
            return;
        }
        self.timing.first_event.get_or_insert(event.at);
        let Some(json) = event.json() else {
            return;
        };
        let Some(kind) = event.kind() else {
            // Gateways put a bare error envelope into a stream that they can no longer refuse.
            if event.name.as_deref() == Some("error")
                || json.get("error").is_some_and(Value::is_object)
            {
                self.take_error(json);
            }
            return;
        };
        match kind {
            "response.created" | "response.queued" | "response.in_progress" => {
                self.take_meta(&json["response"]);
            }
            "response.completed" => {
                self.take_terminal(Outcome::Completed, &json["response"], event)
            }
            "response.incomplete" => {
                self.take_terminal(Outcome::Incomplete, &json["response"], event)
            }
            "response.failed" => self.take_terminal(Outcome::Failed, &json["response"], event),
            "error" => self.take_error(json),
            "response.output_item.added" => self.take_added(json, event.at),
            "response.output_item.done" => self.take_done(json, event),
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                self.take_part(json, event.at);
            }
            _ => self.take_text(kind, json, event),
        }
    }

    fn take_whole(&mut self, event: &WireEvent) {
        self.timing.first_event.get_or_insert(event.at);
        let Some(response) = event.json() else {
            return;
        };
        let outcome = match text_of(response, "status") {
            "completed" => Outcome::Completed,
            "incomplete" => Outcome::Incomplete,
            "failed" => Outcome::Failed,
            "queued" | "in_progress" => Outcome::Pending,
            _ => Outcome::Unfinished,
        };
        self.take_terminal(outcome, response, event);
    }

    fn over(&self) -> Option<Over> {
        let terminal = self.terminal.as_ref()?;
        Some(match terminal.outcome {
            Outcome::Failed => Over::Failed,
            Outcome::Completed | Outcome::Incomplete | Outcome::Pending | Outcome::Unfinished => {
                Over::Whole
            }
        })
    }

    fn is_next(&self, event: &WireEvent) -> bool {
        self.terminal.is_some() && event.kind() == Some("response.created")
    }

    /// The error that was told: by the failed response, completed by what an `error` event added,
    /// or by an `error` event alone.
    fn error(&self) -> Option<Envelope> {
        let of_response = self
            .terminal
            .as_ref()
            .and_then(|terminal| terminal.response.get("error"))
            .filter(|error| !error.is_null())
            .map(Envelope::of_json);
        match (of_response, self.error.clone()) {
            (Some(mut error), Some(event)) => {
                // The type of another error says nothing of this one.
                if error.code.is_none() || event.code.is_none() || error.code == event.code {
                    error.kind = error.kind.or(event.kind);
                }
                error.code = error.code.or(event.code);
                error.param = error.param.or(event.param);
                if error.message.is_empty() {
                    error.message = event.message;
                }
                Some(error)
            }
            (of_response, event) => of_response.or(event),
        }
    }

    fn finish(mut self) -> TurnTrace {
        let terminal = self.terminal.take();
        let finals = terminal
            .as_ref()
            .and_then(|terminal| terminal.response["output"].as_array());
        let at = terminal.as_ref().map(|terminal| terminal.at);
        let items = items(self.slots, finals.map_or(&[], Vec::as_slice), at);

        let mut timing = self.timing;
        if let Some(terminal) = &terminal {
            let calls = items
                .iter()
                .any(|item| matches!(item.content, Content::Call(_)));
            if calls {
                timing.first_call.get_or_insert(terminal.at);
            }
            if timing.first_output.is_none() && items.iter().any(|item| has_output(&item.content)) {
                timing.first_output = Some(terminal.at);
                timing.output_events = 1;
                timing.output_reads = 1;
            }
        }
        TurnTrace {
            response_id: self.response_id,
            model: self.model,
            service_tier: self.service_tier,
            pending: terminal
                .as_ref()
                .is_some_and(|terminal| terminal.outcome == Outcome::Pending),
            stop: terminal
                .as_ref()
                .and_then(|terminal| stop(terminal, &items)),
            usage: terminal
                .as_ref()
                .and_then(|terminal| usage(&terminal.response)),
            items,
            failure: None,
            irregularities: Vec::new(),
            timing,
        }
    }
}

impl Assembler {
    fn take_meta(&mut self, response: &Value) {
        let newest = |old: &mut Option<String>, key: &str| {
            if let Some(text) = some_text(response, key) {
                *old = Some(text);
            }
        };
        newest(&mut self.response_id, "id");
        newest(&mut self.model, "model");
        newest(&mut self.service_tier, "service_tier");
    }

    fn take_terminal(&mut self, outcome: Outcome, response: &Value, event: &WireEvent) {
        self.take_meta(response);
        self.terminal = Some(Terminal {
            outcome,
            response: needed(response),
            at: event.at,
        });
    }

    fn take_error(&mut self, json: &Value) {
        if self.error.is_none() {
            self.error = Some(Envelope::of_json(json));
        }
    }

    fn take_added(&mut self, json: &Value, at: Duration) {
        let item = &json["item"];
        let mut slot = self.slot(json, item.get("id"));
        // A second item under the same index is an item of its own: agents run both.
        if self.slots[slot].added.is_some() || self.slots[slot].done.is_some() {
            slot = self.new_slot(json, item.get("id"));
        }
        let slot = &mut self.slots[slot];
        slot.started.get_or_insert(at);
        slot.added = Some(item.clone());
    }

    fn take_done(&mut self, json: &Value, event: &WireEvent) {
        let item = &json["item"];
        let mut slot = self.slot(json, item.get("id"));
        if self.slots[slot].done.is_some() {
            slot = self.new_slot(json, item.get("id"));
        }
        let slot = &mut self.slots[slot];
        slot.started.get_or_insert(event.at);
        slot.ended = Some(event.at);
        if !is_item(item) {
            return;
        }
        slot.done = Some(item.clone());
        let content = content(item);
        let first = !slot.streamed && has_output(&content);
        slot.streamed |= first;
        if matches!(content, Content::Call(_)) {
            self.timing.first_call.get_or_insert(event.at);
        }
        if first {
            self.count_output(event);
        }
    }

    fn take_part(&mut self, json: &Value, at: Duration) {
        let part = &json["part"];
        let Some(channel) = Channel::of_part(text_of(part, "type")) else {
            return;
        };
        let piece = self.piece(channel, json, at);
        if piece.done.is_none() {
            piece.done = part[channel.whole()].as_str().map(str::to_owned);
        }
    }

    fn take_text(&mut self, kind: &str, json: &Value, event: &WireEvent) {
        let Some((stem, step)) = kind.rsplit_once('.') else {
            return;
        };
        let Some(channel) = Channel::of(stem) else {
            return;
        };
        match step {
            "delta" => {
                let delta = text_of(json, "delta");
                if delta.is_empty() {
                    return;
                }
                self.piece(channel, json, event.at).deltas.push_str(delta);
                let slot = self.slot(json, json.get("item_id"));
                self.slots[slot].streamed = true;
                self.count_output(event);
            }
            "done" => {
                let piece = self.piece(channel, json, event.at);
                piece.done = json[channel.whole()].as_str().map(str::to_owned);
            }
            _ => {}
        }
    }

    fn count_output(&mut self, event: &WireEvent) {
        self.timing.first_output.get_or_insert(event.at);
        self.timing.output_events = self.timing.output_events.saturating_add(1);
        if self.output_read != Some(event.read) {
            self.output_read = Some(event.read);
            self.timing.output_reads = self.timing.output_reads.saturating_add(1);
        }
    }

    fn piece(&mut self, channel: Channel, json: &Value, at: Duration) -> &mut Piece {
        let slot = self.slot(json, json.get("item_id"));
        let slot = &mut self.slots[slot];
        slot.started.get_or_insert(at);
        let part = json[channel.part_index()].as_u64().unwrap_or(0);
        slot.pieces.entry((channel, part)).or_default()
    }

    /// The slot that an event is about: by its output index, else by the item's id (some gateways
    /// change the ids with every event, so the index weighs more), else the latest.
    fn slot(&mut self, json: &Value, id: Option<&Value>) -> usize {
        let index = json["output_index"].as_u64();
        let id_text = id.and_then(Value::as_str);
        let known = match (index, id_text) {
            (Some(index), id) => self.by_index.get(&index).copied().or_else(|| {
                // An id that is known under another index is another item.
                let slot = *self.by_id.get(id?)?;
                self.slots[slot].index.is_none().then_some(slot)
            }),
            (None, Some(id)) => self.by_id.get(id).copied(),
            (None, None) => self.slots.len().checked_sub(1),
        };
        known.unwrap_or_else(|| self.new_slot(json, id))
    }

    fn new_slot(&mut self, json: &Value, id: Option<&Value>) -> usize {
        let slot = self.slots.len();
        let index = json["output_index"].as_u64();
        let id = id.and_then(Value::as_str).map(str::to_owned);
        if let Some(index) = index {
            self.by_index.insert(index, slot);
        }
        if let Some(id) = &id {
            self.by_id.entry(id.clone()).or_insert(slot);
        }
        self.slots.push(Slot {
            index,
            id,
            ..Slot::default()
        });
        slot
    }
}

/// Why the turn ended.
fn stop(terminal: &Terminal, items: &[Item]) -> Option<Stop> {
    match terminal.outcome {
        Outcome::Completed => {
            let calls = items
                .iter()
                .any(|item| matches!(item.content, Content::Call(_)));
            Some(if calls { Stop::ToolCalls } else { Stop::End })
        }
        Outcome::Incomplete => match text_of(&terminal.response["incomplete_details"], "reason") {
            "max_output_tokens" => Some(Stop::Length),
            "content_filter" => Some(Stop::ContentFilter),
            _ => None,
        },
        Outcome::Failed | Outcome::Pending | Outcome::Unfinished => None,
    }
}
