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
use crate::dialect::shallow::{FieldValue, Shallow, View, view, whole};
use crate::dialect::stream::{OutputKind, Outputs};
use crate::dialect::template::Template;
use crate::dialect::wire::WireEvent;
use crate::turn::trace::{Content, Item, Stop, Timing, TurnTrace, Usage};

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
    /// An event carried output.
    output: bool,
    timing: Timing,
    template: Template<Place>,
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
    /// Nothing comes after it, so the items are what they will be.
    items: Vec<Item>,
    usage: Option<Usage>,
    error: Option<Envelope>,
    /// Why it is incomplete; empty where nothing says so.
    reason: String,
}

/// A piece of a text, however it was read: what it means is in one place.
struct TextDelta<'a> {
    channel: Channel,
    text: &'a str,
    item_id: Option<&'a str>,
    output_index: Option<u64>,
    part: u64,
}

/// Where the text of a delta belongs.
#[derive(Debug)]
struct Place {
    channel: Channel,
    item_id: Option<String>,
    output_index: Option<u64>,
    part: u64,
}

/// What differs from delta to delta and is not looked at.
const FREE: [&str; 2] = ["sequence_number", "obfuscation"];

impl Place {
    fn of(delta: &TextDelta<'_>) -> Place {
        Place {
            channel: delta.channel,
            item_id: delta.item_id.map(str::to_owned),
            output_index: delta.output_index,
            part: delta.part,
        }
    }

    fn delta<'a>(&'a self, text: &'a str) -> TextDelta<'a> {
        TextDelta {
            channel: self.channel,
            text,
            item_id: self.item_id.as_deref(),
            output_index: self.output_index,
            part: self.part,
        }
    }
}

/// A delta event as far as it matters.
#[derive(Default)]
struct DeltaView<'a> {
    kind: Option<Shallow<'a>>,
    delta: Option<Shallow<'a>>,
    item_id: Option<Shallow<'a>>,
    output_index: Option<Shallow<'a>>,
    content_index: Option<Shallow<'a>>,
    summary_index: Option<Shallow<'a>>,
}

impl<'a> View<'a> for DeltaView<'a> {
    fn field<V: FieldValue<'a>>(&mut self, key: &str, value: V) -> Result<(), V::Error> {
        let place = match key {
            "type" => &mut self.kind,
            "delta" => &mut self.delta,
            "item_id" => &mut self.item_id,
            "output_index" => &mut self.output_index,
            "content_index" => &mut self.content_index,
            "summary_index" => &mut self.summary_index,
            _ => return value.skip(),
        };
        let value = value.shallow()?;
        // Most events that are none say so first, and need not be read twice.
        let other = key == "type" && !value.as_str().is_some_and(|kind| kind.ends_with(".delta"));
        match other || place.replace(value).is_some() {
            true => Err(whole()),
            false => Ok(()),
        }
    }
}

impl DeltaView<'_> {
    fn text_delta(&self) -> Option<TextDelta<'_>> {
        let kind = self.kind.as_ref()?.as_str()?;
        let channel = Channel::of(kind.strip_suffix(".delta")?)?;
        let part = match channel.part_index() {
            "summary_index" => &self.summary_index,
            _ => &self.content_index,
        };
        let number = |value: &Option<Shallow<'_>>| value.as_ref().and_then(Shallow::as_u64);
        Some(TextDelta {
            channel,
            text: self.delta.as_ref().and_then(Shallow::as_str).unwrap_or(""),
            item_id: self.item_id.as_ref().and_then(Shallow::as_str),
            output_index: number(&self.output_index),
            part: number(part).unwrap_or(0),
        })
    }
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
    fn take(&mut self, event: &WireEvent) -> Outputs {
        let none = Outputs::default();
        if self.terminal.is_some() {
            return none;
        }
        self.timing.first_event.get_or_insert(event.at);
        let Some(json) = event.json() else {
            return none;
        };
        let Some(kind) = event.kind() else {
            // Gateways put a bare error envelope into a stream that they can no longer refuse.
            if event.name.as_deref() == Some("error")
                || json.get("error").is_some_and(Value::is_object)
            {
                self.take_error(json);
            }
            return none;
        };
        let outputs = match kind {
            "response.created" | "response.queued" | "response.in_progress" => {
                self.take_meta(&json["response"]);
                none
            }
            "response.completed" => {
                self.take_terminal(Outcome::Completed, &json["response"], event.at)
            }
            "response.incomplete" => {
                self.take_terminal(Outcome::Incomplete, &json["response"], event.at)
            }
            "response.failed" => self.take_terminal(Outcome::Failed, &json["response"], event.at),
            "error" => {
                self.take_error(json);
                none
            }
            // Early returned: where nothing else came, the whole is still the output.
            "response.output_item.added" => return self.take_added(json, event.at),
            "response.output_item.done" => self.take_done(json, event.at),
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                self.take_part(json, event.at);
                none
            }
            _ => self.take_text(kind, json, event.at),
        };
        self.output |= outputs.any();
        outputs
    }

    fn take_data(&mut self, _: Option<&str>, data: &str, at: Duration) -> Option<Outputs> {
        if self.terminal.is_some() {
            return None;
        }
        let mut template = std::mem::take(&mut self.template);
        let outputs = match template.read(data) {
            Some((place, text)) => Some(self.take_delta(&place.delta(text), at)),
            None => self.take_view(data, at, &mut template),
        };
        self.template = template;
        self.output |= outputs.is_some_and(Outputs::any);
        outputs
    }

    fn take_whole(&mut self, event: &WireEvent) -> Outputs {
        self.timing.first_event.get_or_insert(event.at);
        let Some(response) = event.json() else {
            return Outputs::default();
        };
        let outcome = match text_of(response, "status") {
            "completed" => Outcome::Completed,
            "incomplete" => Outcome::Incomplete,
            "failed" => Outcome::Failed,
            "queued" | "in_progress" => Outcome::Pending,
            _ => Outcome::Unfinished,
        };
        self.take_terminal(outcome, response, event.at)
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

    fn closed(&self) -> bool {
        self.terminal.is_some()
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
            .and_then(|terminal| terminal.error.clone());
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

    fn finish(self) -> TurnTrace {
        let mut trace = TurnTrace {
            response_id: self.response_id,
            model: self.model,
            service_tier: self.service_tier,
            timing: self.timing,
            ..TurnTrace::default()
        };
        match self.terminal {
            None => trace.items = items(self.slots, &[], None),
            Some(terminal) => {
                trace.pending = terminal.outcome == Outcome::Pending;
                trace.stop = stop(&terminal);
                trace.usage = terminal.usage;
                trace.items = terminal.items;
            }
        }
        trace
    }
}

impl Assembler {
    /// A delta that is like none before.
    fn take_view(
        &mut self,
        data: &str,
        at: Duration,
        template: &mut Template<Place>,
    ) -> Option<Outputs> {
        let view: DeltaView<'_> = view(data)?;
        let delta = view.text_delta()?;
        self.timing.first_event.get_or_insert(at);
        template.learn(data, delta.text, &FREE, || Place::of(&delta));
        Some(self.take_delta(&delta, at))
    }

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

    /// Where nothing came before the whole, the whole is the output.
    fn take_terminal(&mut self, outcome: Outcome, response: &Value, at: Duration) -> Outputs {
        self.take_meta(response);
        let finals = response["output"].as_array();
        let slots = std::mem::take(&mut self.slots);
        let items = items(slots, finals.map_or(&[], Vec::as_slice), Some(at));
        if has_call(&items) {
            self.timing.first_call.get_or_insert(at);
        }
        let mut outputs = Outputs::default();
        for item in items.iter().filter(|item| has_output(&item.content)) {
            if !self.output {
                outputs.add(OutputKind::of(&item.content));
            }
        }
        let error = response.get("error").filter(|error| !error.is_null());
        self.terminal = Some(Terminal {
            outcome,
            items,
            usage: usage(response),
            error: error.map(Envelope::of_json),
            reason: text_of(&response["incomplete_details"], "reason").to_owned(),
        });
        outputs
    }

    fn take_error(&mut self, json: &Value) {
        if self.error.is_none() {
            self.error = Some(Envelope::of_json(json));
        }
    }

    /// A call's name is output of the model. Its arguments count when they come, also where they come whole.
    fn take_added(&mut self, json: &Value, at: Duration) -> Outputs {
        let mut outputs = Outputs::default();
        let item = &json["item"];
        let (index, id) = (json["output_index"].as_u64(), item["id"].as_str());
        let mut slot = self.slot(index, id);
        // A second item under the same index is an item of its own: agents run both.
        if self.slots[slot].added.is_some() || self.slots[slot].done.is_some() {
            slot = self.new_slot(index, id);
        }
        let slot = &mut self.slots[slot];
        slot.started.get_or_insert(at);
        slot.added = Some(item.clone());
        let call = matches!(text_of(item, "type"), "function_call" | "custom_tool_call");
        if call && !text_of(item, "name").is_empty() {
            outputs.add(OutputKind::Call);
        }
        outputs
    }

    fn take_done(&mut self, json: &Value, at: Duration) -> Outputs {
        let mut outputs = Outputs::default();
        let item = &json["item"];
        let (index, id) = (json["output_index"].as_u64(), item["id"].as_str());
        let mut slot = self.slot(index, id);
        if self.slots[slot].done.is_some() {
            slot = self.new_slot(index, id);
        }
        let slot = &mut self.slots[slot];
        slot.started.get_or_insert(at);
        slot.ended = Some(at);
        if !is_item(item) {
            return outputs;
        }
        slot.done = Some(item.clone());
        let content = content(item);
        if !slot.streamed && has_output(&content) {
            slot.streamed = true;
            outputs.add(OutputKind::of(&content));
        }
        if matches!(content, Content::Call(_)) {
            self.timing.first_call.get_or_insert(at);
        }
        outputs
    }

    fn take_part(&mut self, json: &Value, at: Duration) {
        let part = &json["part"];
        let Some(channel) = Channel::of_part(text_of(part, "type")) else {
            return;
        };
        let slot = self.slot_of(json);
        let piece = self.piece(slot, channel, part_of(channel, json), at);
        if piece.done.is_none() {
            piece.done = part[channel.whole()].as_str().map(str::to_owned);
        }
    }

    fn take_text(&mut self, kind: &str, json: &Value, at: Duration) -> Outputs {
        let none = Outputs::default();
        let Some((stem, step)) = kind.rsplit_once('.') else {
            return none;
        };
        let Some(channel) = Channel::of(stem) else {
            return none;
        };
        match step {
            "delta" => {
                let delta = TextDelta {
                    channel,
                    text: text_of(json, "delta"),
                    item_id: json["item_id"].as_str(),
                    output_index: json["output_index"].as_u64(),
                    part: part_of(channel, json),
                };
                return self.take_delta(&delta, at);
            }
            "done" => {
                let slot = self.slot_of(json);
                let piece = self.piece(slot, channel, part_of(channel, json), at);
                piece.done = json[channel.whole()].as_str().map(str::to_owned);
                if channel.output() == OutputKind::Call {
                    self.timing.first_call.get_or_insert(at);
                }
            }
            _ => {}
        }
        none
    }

    fn take_delta(&mut self, delta: &TextDelta<'_>, at: Duration) -> Outputs {
        let mut outputs = Outputs::default();
        if delta.text.is_empty() {
            return outputs;
        }
        let slot = self.slot(delta.output_index, delta.item_id);
        self.slots[slot].streamed = true;
        self.piece(slot, delta.channel, delta.part, at)
            .deltas
            .push_str(delta.text);
        outputs.add(delta.channel.output());
        outputs
    }

    fn piece(&mut self, slot: usize, channel: Channel, part: u64, at: Duration) -> &mut Piece {
        let slot = &mut self.slots[slot];
        slot.started.get_or_insert(at);
        slot.pieces.entry((channel, part)).or_default()
    }

    fn slot_of(&mut self, json: &Value) -> usize {
        self.slot(json["output_index"].as_u64(), json["item_id"].as_str())
    }

    /// The slot that an event is about: by its output index, else by the item's id (some gateways
    /// change the ids with every event, so the index weighs more), else the latest.
    fn slot(&mut self, index: Option<u64>, id: Option<&str>) -> usize {
        let known = match (index, id) {
            (Some(index), id) => self.by_index.get(&index).copied().or_else(|| {
                // An id that is known under another index is another item.
                let slot = *self.by_id.get(id?)?;
                self.slots[slot].index.is_none().then_some(slot)
            }),
            (None, Some(id)) => self.by_id.get(id).copied(),
            (None, None) => self.slots.len().checked_sub(1),
        };
        known.unwrap_or_else(|| self.new_slot(index, id))
    }

    fn new_slot(&mut self, index: Option<u64>, id: Option<&str>) -> usize {
        let slot = self.slots.len();
        if let Some(index) = index {
            self.by_index.insert(index, slot);
        }
        if let Some(id) = id {
            self.by_id.entry(id.to_owned()).or_insert(slot);
        }
        if self.slots.is_empty() {
            // Most answers have one; left to itself, the first makes room for four.
            self.slots.reserve_exact(1);
        }
        self.slots.push(Slot {
            index,
            id: id.map(str::to_owned),
            ..Slot::default()
        });
        slot
    }
}

/// Which part of its item an event is about.
fn part_of(channel: Channel, json: &Value) -> u64 {
    json[channel.part_index()].as_u64().unwrap_or(0)
}

fn has_call(items: &[Item]) -> bool {
    items
        .iter()
        .any(|item| matches!(item.content, Content::Call(_)))
}

/// Why the turn ended.
fn stop(terminal: &Terminal) -> Option<Stop> {
    match terminal.outcome {
        Outcome::Completed => Some(match has_call(&terminal.items) {
            true => Stop::ToolCalls,
            false => Stop::End,
        }),
        Outcome::Incomplete => match terminal.reason.as_str() {
            "max_output_tokens" => Some(Stop::Length),
            "content_filter" => Some(Stop::ContentFilter),
            _ => None,
        },
        Outcome::Failed | Outcome::Pending | Outcome::Unfinished => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::dialect::responses::assemble::*;

    /// Or the figures for speed say nothing.
    #[test]
    fn deltas_that_repeat_each_other_are_not_parsed() {
        let delta = |number: u64, text: &str| {
            format!(
                r#"{{"type":"response.output_text.delta","sequence_number":{number},"output_index":0,"delta":"{text}"}}"#
            )
        };
        let mut fold = Assembler::default();
        fold.take_data(None, &delta(9, "one"), Duration::ZERO);
        assert!(fold.template.read(&delta(10, "two")).is_some());
    }
}
