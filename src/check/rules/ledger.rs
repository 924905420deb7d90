//! An answer sorted for the rules: which event belongs to which item, part and run of text, and
//! what the final response object is.
//!
//! It only sorts; it must never judge. What cannot be sorted is left to the rules to notice.

use std::collections::HashMap;

use serde_json::Value;

use crate::check::rules::Subject;
use crate::dialect::wire::{Payload, WireEvent};

/// The events that end a stream.
pub const TERMINALS: [&str; 3] = [
    "response.completed",
    "response.incomplete",
    "response.failed",
];

/// A JSON event with a type.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Its place among all events of the answer, counting from 0.
    pub index: usize,
    pub kind: &'a str,
    pub data: &'a Value,
    pub wire: &'a WireEvent,
}

/// An answer, sorted.
#[derive(Debug)]
pub struct Ledger<'a> {
    pub subject: &'a Subject<'a>,
    /// All events that have a type, in order.
    pub events: Vec<Event<'a>>,
    /// The first terminal event.
    pub terminal: Option<Event<'a>>,
    /// The final response object, and the event that brought it: of the first terminal event, or
    /// the body of a plain JSON answer.
    pub response: Option<(usize, &'a Value)>,
    /// Items in the order they were first mentioned.
    pub items: Vec<ItemLog<'a>>,
    /// Whether events are known to be lost, unreadable or after the end: what is missing or does
    /// not add up is then explained already.
    pub lossy: bool,
    /// The output index of each item id, as the first event says that has both.
    indexes: HashMap<&'a str, i64>,
}

/// All that was said about one output item.
#[derive(Debug)]
pub struct ItemLog<'a> {
    pub output_index: i64,
    /// The item of each `output_item.added`.
    pub added: Vec<(usize, &'a Value)>,
    /// The item of each `output_item.done`.
    pub done: Vec<(usize, &'a Value)>,
    /// Every event that names the item, in order.
    pub events: Vec<Event<'a>>,
    pub strands: Vec<Strand<'a>>,
}

/// What a run of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrandKind {
    Text,
    Refusal,
    ReasoningText,
    Summary,
    Arguments,
    Input,
    McpArguments,
    Code,
}

/// Which list of an item a run of text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    Content,
    Summary,
    Whole,
}

/// One run of text: announced, sent in pieces, closed.
#[derive(Debug)]
pub struct Strand<'a> {
    pub axis: Axis,
    /// The `content_index` or `summary_index`; 0 where there is only one.
    pub index: i64,
    /// What it is, once an event has said so.
    pub kind: Option<StrandKind>,
    /// `content_part.added` or `reasoning_summary_part.added`.
    pub part_added: Vec<(usize, &'a Value)>,
    pub deltas: Vec<(usize, &'a str)>,
    /// Whether a delta carries no text: what came in pieces is then not known.
    pub unreadable: bool,
    /// The `….done` of the text, with the text it says.
    pub dones: Vec<(usize, Option<&'a str>)>,
    /// `content_part.done` or `reasoning_summary_part.done`.
    pub part_dones: Vec<(usize, &'a Value)>,
    pub annotations: Vec<Event<'a>>,
    /// Pieces that came as another kind of text than those before.
    pub strays: Vec<(usize, StrandKind)>,
}

impl StrandKind {
    /// The field that holds the whole text, in the `….done` event and in the item.
    pub fn field(self) -> &'static str {
        match self {
            StrandKind::Text | StrandKind::ReasoningText | StrandKind::Summary => "text",
            StrandKind::Refusal => "refusal",
            StrandKind::Arguments | StrandKind::McpArguments => "arguments",
            StrandKind::Input => "input",
            StrandKind::Code => "code",
        }
    }

    /// What a reader calls it.
    pub fn words(self) -> &'static str {
        match self {
            StrandKind::Text => "text",
            StrandKind::Refusal => "refusal",
            StrandKind::ReasoningText => "reasoning text",
            StrandKind::Summary => "reasoning summary",
            StrandKind::Arguments => "arguments",
            StrandKind::Input => "input",
            StrandKind::McpArguments => "MCP arguments",
            StrandKind::Code => "code",
        }
    }

    /// The type of the part that holds it, where it stands in a part.
    pub fn part_type(self) -> Option<&'static str> {
        match self {
            StrandKind::Text => Some("output_text"),
            StrandKind::Refusal => Some("refusal"),
            StrandKind::ReasoningText => Some("reasoning_text"),
            StrandKind::Summary => Some("summary_text"),
            _ => None,
        }
    }

    fn of_prefix(prefix: &str) -> Option<(StrandKind, Axis)> {
        Some(match prefix {
            "response.output_text" => (StrandKind::Text, Axis::Content),
            "response.refusal" => (StrandKind::Refusal, Axis::Content),
            // The second name is that of the OpenResponses specification of 2026-04-24.
            "response.reasoning_text" | "response.reasoning" => {
                (StrandKind::ReasoningText, Axis::Content)
            }
            "response.reasoning_summary_text" => (StrandKind::Summary, Axis::Summary),
            "response.function_call_arguments" => (StrandKind::Arguments, Axis::Whole),
            "response.custom_tool_call_input" => (StrandKind::Input, Axis::Whole),
            "response.mcp_call_arguments" => (StrandKind::McpArguments, Axis::Whole),
            "response.code_interpreter_call_code" => (StrandKind::Code, Axis::Whole),
            _ => return None,
        })
    }

    /// The text of this run inside a whole item.
    pub fn in_item(self, item: &Value, index: i64) -> Option<&str> {
        text(self.holder(item, index)?, self.field())
    }

    /// What holds this run inside a whole item: one of its parts, or the item itself.
    pub fn holder(self, item: &Value, index: i64) -> Option<&Value> {
        let index = usize::try_from(index).ok()?;
        match self {
            StrandKind::Text | StrandKind::Refusal | StrandKind::ReasoningText => {
                item.get("content")?.get(index)
            }
            StrandKind::Summary => item.get("summary")?.get(index),
            _ => Some(item),
        }
    }

    /// Whether what holds it says that it holds something else.
    pub fn is_other_part(self, holder: &Value) -> bool {
        self.part_type()
            .is_some_and(|kind| text(holder, "type") != Some(kind))
    }
}

impl<'a> Ledger<'a> {
    /// Sorts an answer.
    pub fn read(subject: &'a Subject<'a>) -> Ledger<'a> {
        let events: Vec<Event<'a>> = subject
            .events
            .iter()
            .enumerate()
            .filter_map(|(index, wire)| {
                let data = wire.json()?;
                let kind = wire.kind()?;
                Some(Event {
                    index,
                    kind,
                    data,
                    wire,
                })
            })
            .collect();
        let terminal = events
            .iter()
            .find(|event| TERMINALS.contains(&event.kind))
            .copied();
        let response = if subject.streamed {
            terminal.and_then(|event| Some((event.index, response_of(event)?)))
        } else {
            subject
                .events
                .iter()
                .find_map(WireEvent::json)
                .map(|body| (0, body))
        };
        let unreadable = subject.events.iter().any(|event| match &event.payload {
            Payload::Malformed { .. } => true,
            Payload::Json(value) => subject.streamed && value.get("type").is_none(),
            Payload::Done => false,
        }) || subject.trace.irregularities.iter().any(|one| {
            matches!(
                one.id,
                "sse/invalid-utf8" | "sse/line-too-long" | "sse/malformed-json"
            )
        });
        let late = terminal.is_some_and(|terminal| {
            events.iter().any(|event| {
                event.index > terminal.index && event.data.get("output_index").is_some()
            })
        });
        let mut ledger = Ledger {
            subject,
            terminal,
            response,
            items: Vec::new(),
            lossy: unreadable || late,
            indexes: indexes(&events),
            events,
        };
        if subject.streamed {
            let end = terminal.map_or(usize::MAX, |event| event.index);
            for event in ledger.events.clone() {
                if event.index < end {
                    ledger.sort(event);
                }
            }
        }
        ledger
    }

    /// Whether the stream says that everything came: nothing may be missing then.
    pub fn is_completed(&self) -> bool {
        !self.subject.was_cut()
            && !self.lossy
            && self
                .terminal
                .is_some_and(|event| event.kind == "response.completed")
    }

    /// The status word of the final response object.
    pub fn status(&self) -> Option<&'a str> {
        text(self.response?.1, "status")
    }

    /// The items of the final response object.
    pub fn output(&self) -> &'a [Value] {
        self.response
            .and_then(|(_, response)| response.get("output")?.as_array())
            .map_or(&[], Vec::as_slice)
    }

    /// The finished items: of the stream, or of the plain JSON answer; each with its event.
    pub fn finished_items(&self) -> Vec<(usize, &'a Value)> {
        if self.subject.streamed {
            let mut items: Vec<&ItemLog<'a>> = self.items.iter().collect();
            items.sort_by_key(|item| item.output_index);
            items
                .into_iter()
                .filter_map(|item| item.done.first().copied())
                .collect()
        } else {
            self.output().iter().map(|item| (0, item)).collect()
        }
    }

    fn sort(&mut self, event: Event<'a>) {
        let item_event = matches!(
            event.kind,
            "response.output_item.added" | "response.output_item.done"
        );
        let item = event.data.get("item");
        let id = match item {
            Some(item) => text(item, "id"),
            None => text(event.data, "item_id"),
        };
        let Some(output_index) = self.place_of(event, id) else {
            return;
        };
        let found = self.find(event, output_index, id);
        let log = match found {
            Some(place) => &mut self.items[place],
            None => {
                self.items.push(ItemLog {
                    output_index,
                    added: Vec::new(),
                    done: Vec::new(),
                    events: Vec::new(),
                    strands: Vec::new(),
                });
                let last = self.items.len() - 1;
                &mut self.items[last]
            }
        };
        log.events.push(event);
        match item {
            Some(item) if item_event && event.kind.ends_with(".added") => {
                log.added.push((event.index, item));
            }
            Some(item) if item_event => log.done.push((event.index, item)),
            _ => log.sort_into_strand(event),
        }
    }

    /// The output index an event names, directly or through a known item id.
    fn place_of(&self, event: Event<'a>, id: Option<&str>) -> Option<i64> {
        if let Some(index) = event.data.get("output_index").and_then(Value::as_i64) {
            return Some(index);
        }
        // Any other event of the item will do, also a later one.
        self.indexes.get(id?).copied()
    }

    /// The item that an event belongs to. Another item announced at an index in use is a new one.
    fn find(&self, event: Event<'a>, output_index: i64, id: Option<&str>) -> Option<usize> {
        let at_index = || {
            self.items
                .iter()
                .enumerate()
                .filter(|(_, log)| log.output_index == output_index)
        };
        let last = at_index().next_back()?.0;
        let by_id = at_index()
            .find(|(_, log)| log.id().is_some() && log.id() == id)
            .map(|(place, _)| place);
        if event.kind == "response.output_item.added" && by_id.is_none() {
            let open = &self.items[last];
            return open.added.is_empty().then_some(last);
        }
        by_id.or(Some(last))
    }
}

impl<'a> ItemLog<'a> {
    /// The id by which the item was announced.
    pub fn id(&self) -> Option<&'a str> {
        text(self.added.first()?.1, "id")
    }

    /// The item as it was finished or, failing that, announced.
    pub fn item(&self) -> Option<&'a Value> {
        let (_, item) = self.done.first().or_else(|| self.added.first())?;
        Some(item)
    }

    /// Its type, as finished or announced.
    pub fn kind(&self) -> &'a str {
        self.item()
            .and_then(|item| text(item, "type"))
            .unwrap_or("item")
    }

    fn sort_into_strand(&mut self, event: Event<'a>) {
        let Some((prefix, verb)) = event.kind.rsplit_once('.') else {
            return;
        };
        match prefix {
            "response.content_part" | "response.reasoning_part" => {
                let kind = match event.data.pointer("/part/type").and_then(Value::as_str) {
                    Some("output_text") => Some(StrandKind::Text),
                    Some("refusal") => Some(StrandKind::Refusal),
                    Some("reasoning_text") => Some(StrandKind::ReasoningText),
                    _ => None,
                };
                self.sort_part(event, verb, Axis::Content, kind);
            }
            "response.reasoning_summary_part" => {
                self.sort_part(event, verb, Axis::Summary, Some(StrandKind::Summary));
            }
            "response.output_text.annotation" => {
                let strand = self.strand(event, Axis::Content, Some(StrandKind::Text));
                strand.annotations.push(event);
            }
            _ => {
                if let Some((kind, axis)) = StrandKind::of_prefix(prefix) {
                    let strand = self.strand(event, axis, Some(kind));
                    let begun = !strand.deltas.is_empty() || !strand.dones.is_empty();
                    if begun && strand.kind.is_some_and(|known| known != kind) {
                        strand.strays.push((event.index, kind));
                    }
                    // The events of the text know better than its announcement.
                    if strand.deltas.is_empty() && strand.dones.is_empty() {
                        strand.kind = Some(kind);
                    }
                    match verb {
                        "delta" => {
                            let piece = text(event.data, "delta");
                            strand.unreadable |= piece.is_none();
                            strand.deltas.push((event.index, piece.unwrap_or_default()));
                        }
                        "done" => {
                            let whole = text(event.data, kind.field());
                            strand.dones.push((event.index, whole));
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn sort_part(&mut self, event: Event<'a>, verb: &str, axis: Axis, kind: Option<StrandKind>) {
        let part = event.data.get("part").unwrap_or(&Value::Null);
        let strand = self.strand(event, axis, kind);
        match verb {
            "added" => strand.part_added.push((event.index, part)),
            "done" => strand.part_dones.push((event.index, part)),
            _ => {}
        }
    }

    fn strand(
        &mut self,
        event: Event<'a>,
        axis: Axis,
        kind: Option<StrandKind>,
    ) -> &mut Strand<'a> {
        let index = match axis {
            Axis::Content => integer(event.data, "content_index"),
            Axis::Summary => integer(event.data, "summary_index"),
            Axis::Whole => Some(0),
        }
        .unwrap_or(0);
        let found = self
            .strands
            .iter()
            .position(|strand| strand.axis == axis && strand.index == index);
        let place = found.unwrap_or_else(|| {
            self.strands.push(Strand {
                axis,
                index,
                kind: None,
                part_added: Vec::new(),
                deltas: Vec::new(),
                unreadable: false,
                dones: Vec::new(),
                part_dones: Vec::new(),
                annotations: Vec::new(),
                strays: Vec::new(),
            });
            self.strands.len() - 1
        });
        let strand = &mut self.strands[place];
        strand.kind = strand.kind.or(kind);
        strand
    }
}

fn indexes<'a>(events: &[Event<'a>]) -> HashMap<&'a str, i64> {
    let mut indexes = HashMap::new();
    for event in events {
        let id = match event.data.get("item") {
            Some(item) => text(item, "id"),
            None => text(event.data, "item_id"),
        };
        if let (Some(id), Some(index)) = (id, integer(event.data, "output_index")) {
            indexes.entry(id).or_insert(index);
        }
    }
    indexes
}

/// The response object that an event carries.
pub fn response_of(event: Event<'_>) -> Option<&Value> {
    event.data.get("response").filter(|value| value.is_object())
}

/// A string field.
pub fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

/// An integer field.
pub fn integer(value: &Value, key: &str) -> Option<i64> {
    value.get(key)?.as_i64()
}
