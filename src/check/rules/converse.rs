//! The rules of Converse: what holds on a good answer, streamed or plain.
//!
//! Works on events of the form `{"contentBlockDelta": {…}}`; it must never know who sent them. Sources:
//! the service model `bedrock-runtime` of botocore 1.44.5 and recorded streams, read 2026-11-21.

pub mod blocks;
pub mod contract;
pub mod message;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::collect::Collector;
use crate::check::rules::{Subject, info};

/// Where the shapes are written down.
pub(crate) const MODEL: &str = "service model bedrock-runtime of botocore 1.44.5 (read 2026-11-21)";
pub(crate) const STREAM: &str =
    "AWS API reference, ConverseStreamOutput; recorded streams (2026-11-21)";

static TRIMMED: Rule = info(
    "converse/capture-trimmed",
    "A capture begins with messageStart; of one that does not, its ends are not checked.",
    "whoever captured it may have left events out",
);

pub static RULES: &[&Rule] = &[&TRIMMED];

/// All families.
pub static FAMILIES: &[&[&Rule]] = &[RULES, message::RULES, blocks::RULES, contract::RULES];

/// Rules that break when a capture lacks its ends.
const BROKEN_BY_LOSS: &[&str] = &[
    "converse/starts-with-message-start",
    "converse/block-closed-once",
    "converse/metadata-once",
    "converse/metadata-last",
];

/// One event of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a> {
    /// Its place among all events.
    pub(crate) at: usize,
    pub(crate) name: &'a str,
    pub(crate) payload: &'a Value,
}

/// A content block as it came: all that its events say.
#[derive(Debug, Default)]
pub(crate) struct Block<'a> {
    /// The first event that names it.
    pub(crate) first: usize,
    /// The `toolUse` of its start, or of a plain block.
    pub(crate) tool: Option<&'a Value>,
    /// Whether a contentBlockStart said something that is no tool.
    pub(crate) other_start: bool,
    pub(crate) starts: Vec<usize>,
    /// Each delta with its place and the key that says its kind.
    pub(crate) deltas: Vec<(usize, &'a str, &'a Value)>,
    pub(crate) stops: Vec<usize>,
    /// Its events after its first stop.
    pub(crate) late: Vec<usize>,
}

impl Block<'_> {
    /// Whether it is a call of a tool.
    pub(crate) fn is_tool(&self) -> bool {
        self.tool.is_some() || self.deltas.iter().any(|(_, kind, _)| *kind == "toolUse")
    }

    /// The pieces of a tool's input, joined.
    pub(crate) fn input(&self) -> String {
        self.deltas
            .iter()
            .filter(|(_, kind, _)| *kind == "toolUse")
            .filter_map(|(_, _, delta)| delta["toolUse"]["input"].as_str())
            .collect()
    }
}

/// An answer, sorted for the rules.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    pub(crate) subject: &'a Subject<'a>,
    pub(crate) events: Vec<Event<'a>>,
    /// By index; what has no index is for a rule of its own.
    pub(crate) blocks: BTreeMap<u64, Block<'a>>,
    /// A plain answer, whole.
    pub(crate) whole: Option<&'a Value>,
    /// The first messageStop and the first error: asked for once per block, of which there may be many.
    pub(crate) message_stop: Option<Event<'a>>,
    pub(crate) first_error: Option<Event<'a>>,
    cut: bool,
}

/// The events that belong to a block.
const OF_BLOCKS: [&str; 3] = ["contentBlockStart", "contentBlockDelta", "contentBlockStop"];

impl<'a> Ledger<'a> {
    fn read(subject: &'a Subject<'a>) -> Ledger<'a> {
        let mut ledger = Ledger {
            subject,
            events: Vec::new(),
            blocks: BTreeMap::new(),
            whole: None,
            message_stop: None,
            first_error: None,
            cut: subject.was_cut() || subject.lost_frames(),
        };
        for (at, event) in subject.events.iter().enumerate() {
            let Some(fields) = event.json().and_then(Value::as_object) else {
                continue;
            };
            if !subject.streamed {
                ledger.whole = event.json();
                ledger.read_whole();
                break;
            }
            if let (1, Some((name, payload))) = (fields.len(), fields.iter().next()) {
                let event = Event { at, name, payload };
                ledger.events.push(event);
                if name == "messageStop" {
                    ledger.message_stop.get_or_insert(event);
                }
                if is_error(name) {
                    ledger.first_error.get_or_insert(event);
                    ledger.cut = true;
                }
                ledger.read_block(event);
            }
        }
        ledger
    }

    fn read_block(&mut self, event: Event<'a>) {
        if !OF_BLOCKS.contains(&event.name) {
            return;
        }
        let Some(index) = event.payload["contentBlockIndex"].as_u64() else {
            return;
        };
        let block = self.blocks.entry(index).or_insert_with(|| Block {
            first: event.at,
            ..Block::default()
        });
        if !block.stops.is_empty() {
            block.late.push(event.at);
        }
        match event.name {
            "contentBlockStart" => {
                block.starts.push(event.at);
                let start = &event.payload["start"];
                match start.get("toolUse") {
                    Some(tool) => block.tool = Some(tool),
                    None => {
                        block.other_start |= start.as_object().is_some_and(|one| !one.is_empty())
                    }
                }
            }
            "contentBlockDelta" => {
                let delta = &event.payload["delta"];
                let kind = delta.as_object().and_then(|one| one.keys().next());
                block
                    .deltas
                    .push((event.at, kind.map_or("", String::as_str), delta));
            }
            _ => block.stops.push(event.at),
        }
    }

    fn read_whole(&mut self) {
        let content = self
            .whole
            .and_then(|answer| answer["output"]["message"]["content"].as_array());
        for (index, block) in (0u64..).zip(content.into_iter().flatten()) {
            let tool = block.get("toolUse");
            self.blocks.insert(
                index,
                Block {
                    tool,
                    ..Block::default()
                },
            );
        }
    }

    /// The first event of this name.
    pub(crate) fn first(&self, name: &str) -> Option<Event<'a>> {
        self.events.iter().find(|event| event.name == name).copied()
    }

    /// The places of all events of this name.
    pub(crate) fn places(&self, name: &str) -> Vec<usize> {
        let named = self.events.iter().filter(|event| event.name == name);
        named.map(|event| event.at).collect()
    }

    /// Whether the answer could not come to its end: what is missing then is no fault of its own.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Why the model stopped, and where it says so.
    pub(crate) fn stop_reason(&self) -> Option<(Option<usize>, &'a Value)> {
        match self.whole {
            Some(answer) => answer.get("stopReason").map(|reason| (Some(0), reason)),
            None => {
                let stop = self.message_stop?;
                Some((Some(stop.at), stop.payload.get("stopReason")?))
            }
        }
    }

    /// The calls of the answer, in order.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &Block<'a>> {
        self.blocks.values().filter(|block| block.is_tool())
    }
}

/// Whether an event of this name is an error that ends the stream.
pub(crate) fn is_error(name: &str) -> bool {
    name == "error" || name.ends_with("Exception")
}

/// Checks an answer; says whether its ends were left out of a capture.
pub(crate) fn check(subject: &Subject<'_>, out: &mut Collector<'_>) -> bool {
    let ledger = Ledger::read(subject);
    message::check(&ledger, out);
    blocks::check(&ledger, out);
    contract::check(&ledger, out);
    let trimmed = subject.is_capture()
        && subject.streamed
        && !ledger.events.is_empty()
        && ledger.first("messageStart").is_none();
    if trimmed {
        out.add(
            &TRIMMED,
            Some(0),
            "the capture does not begin with messageStart, so its ends are not checked",
            "messageStart",
            ledger.events[0].name,
        );
    }
    trimmed
}

/// Whether a finding of this rule says nothing about a capture whose ends were left out.
pub(crate) fn is_broken_by_loss(rule: &str) -> bool {
    BROKEN_BY_LOSS.contains(&rule)
}
