//! What is known of each output item while an answer is read, and what becomes of it at the end.
//!
//! Every event of an item adds to its slot. It must never allocate by an index or length that the
//! wire claims.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value;

use crate::dialect::responses::item::{content, is_item, object, some_text, text_of};
use crate::dialect::stream::OutputKind;
use crate::turn::trace::Item;

/// What is known of one output item.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) index: Option<u64>,
    pub(crate) id: Option<String>,
    pub(crate) added: Option<Value>,
    pub(crate) done: Option<Value>,
    pub(crate) started: Option<Duration>,
    pub(crate) ended: Option<Duration>,
    pub(crate) pieces: BTreeMap<(Channel, u64), Piece>,
    /// A delta of it counted as output.
    pub(crate) streamed: bool,
}

/// One text that arrives in deltas.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    pub(crate) deltas: String,
    pub(crate) done: Option<String>,
}

impl Piece {
    fn text(&self) -> &str {
        self.done.as_deref().unwrap_or(&self.deltas)
    }
}

/// What kind of text a delta belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Channel {
    Text,
    Refusal,
    Reasoning,
    Summary,
    Arguments,
    Input,
}

impl Channel {
    /// The channel of an event type without its `.delta` or `.done`.
    pub(crate) fn of(stem: &str) -> Option<Channel> {
        Some(match stem {
            "response.output_text" => Channel::Text,
            "response.refusal" => Channel::Refusal,
            // The second is how the OpenResponses specification of 2026-04-24 calls it.
            "response.reasoning_text" | "response.reasoning" => Channel::Reasoning,
            "response.reasoning_summary_text" => Channel::Summary,
            "response.function_call_arguments" => Channel::Arguments,
            "response.custom_tool_call_input" => Channel::Input,
            _ => return None,
        })
    }

    /// The channel of a content or summary part.
    pub(crate) fn of_part(kind: &str) -> Option<Channel> {
        Some(match kind {
            "output_text" => Channel::Text,
            "refusal" => Channel::Refusal,
            "reasoning_text" => Channel::Reasoning,
            "summary_text" => Channel::Summary,
            _ => return None,
        })
    }

    /// What output its deltas are.
    pub(crate) fn output(self) -> OutputKind {
        match self {
            Channel::Text | Channel::Refusal => OutputKind::Text,
            Channel::Reasoning | Channel::Summary => OutputKind::Reasoning,
            Channel::Arguments | Channel::Input => OutputKind::Call,
        }
    }

    /// The field of a `.done` event or part that has the whole text.
    pub(crate) fn whole(self) -> &'static str {
        match self {
            Channel::Text | Channel::Reasoning | Channel::Summary => "text",
            Channel::Refusal => "refusal",
            Channel::Arguments => "arguments",
            Channel::Input => "input",
        }
    }

    /// The field that numbers the parts.
    pub(crate) fn part_index(self) -> &'static str {
        match self {
            Channel::Summary => "summary_index",
            _ => "content_index",
        }
    }
}

/// The items in order: by output index, then by arrival. `finals` is the output of the terminal
/// response, which came at `at`.
pub(crate) fn items(slots: Vec<Slot>, finals: &[Value], at: Option<Duration>) -> Vec<Item> {
    let of_slot = claim(&slots, finals);
    let mut claimed = vec![false; finals.len()];
    for one in of_slot.iter().flatten() {
        claimed[*one] = true;
    }
    let arrivals = slots.len();
    let mut items = Vec::new();
    for (arrival, (slot, last)) in slots.into_iter().zip(of_slot).enumerate() {
        let order = (slot.index.unwrap_or(u64::MAX), arrival);
        let last = last
            .map(|last| &finals[last])
            .filter(|last| slot.may_be(last));
        let item = slot.item(last);
        if is_item(&item.wire) {
            items.push((order, item));
        }
    }
    for (index, last) in finals.iter().enumerate() {
        if claimed[index] || !is_item(last) {
            continue;
        }
        let item = Item {
            id: some_text(last, "id"),
            content: content(last),
            wire: last.clone(),
            started: None,
            ended: at,
        };
        items.push(((index as u64, arrivals + index), item));
    }
    items.sort_by_key(|(order, _)| *order);
    items.into_iter().map(|(_, item)| item).collect()
}

/// Which item of the terminal response each slot is: by id, and else by its place.
fn claim(slots: &[Slot], finals: &[Value]) -> Vec<Option<usize>> {
    let mut by_id: HashMap<&str, usize> = HashMap::new();
    for (index, last) in finals.iter().enumerate() {
        let id = text_of(last, "id");
        if !id.is_empty() {
            by_id.entry(id).or_insert(index);
        }
    }
    let mut free = vec![true; finals.len()];
    let mut claims = vec![None; slots.len()];
    for (claim, slot) in claims.iter_mut().zip(slots) {
        let found = slot.ids().find_map(|id| by_id.get(id).copied());
        if let Some(found) = found.filter(|found| free[*found]) {
            free[found] = false;
            *claim = Some(found);
        }
    }
    for (claim, slot) in claims.iter_mut().zip(slots) {
        let place = slot.index.and_then(|index| usize::try_from(index).ok());
        if let (None, Some(place)) = (*claim, place)
            && free.get(place) == Some(&true)
            && (slot.done.is_some() || slot.may_be(&finals[place]))
        {
            free[place] = false;
            *claim = Some(place);
        }
    }
    claims
}

impl Slot {
    /// The ids that events gave the item, latest first.
    fn ids(&self) -> impl Iterator<Item = &str> {
        [
            self.done.as_ref().map(|item| text_of(item, "id")),
            self.added.as_ref().map(|item| text_of(item, "id")),
            self.id.as_deref(),
        ]
        .into_iter()
        .flatten()
        .filter(|id| !id.is_empty())
    }

    /// Whether an item of the terminal response can be this one: of the type that was announced.
    fn may_be(&self, last: &Value) -> bool {
        let announced = self.added.as_ref().map_or("", |item| text_of(item, "type"));
        is_item(last) && (announced.is_empty() || announced == text_of(last, "type"))
    }

    fn item(self, last: Option<&Value>) -> Item {
        let wire = match (&self.done, last) {
            (Some(done), _) => done.clone(),
            (None, Some(last)) => last.clone(),
            (None, None) => self.built(),
        };
        Item {
            id: some_text(&wire, "id").or(self.id),
            content: content(&wire),
            wire,
            started: self.started,
            ended: self.ended,
        }
    }

    /// The item as far as it came: what was announced, filled with what the deltas add up to.
    fn built(&self) -> Value {
        let mut item = match &self.added {
            Some(Value::Object(fields)) => fields.clone(),
            _ => serde_json::Map::new(),
        };
        if !item.get("type").is_some_and(Value::is_string) {
            let Some((channel, _)) = self.pieces.keys().next() else {
                return Value::Null;
            };
            let kind = match channel {
                Channel::Text | Channel::Refusal => "message",
                Channel::Reasoning | Channel::Summary => "reasoning",
                Channel::Arguments => "function_call",
                Channel::Input => "custom_tool_call",
            };
            item.insert("type".to_owned(), kind.into());
            if let Some(id) = &self.id {
                item.insert("id".to_owned(), id.as_str().into());
            }
            if kind == "message" {
                item.insert("role".to_owned(), "assistant".into());
            }
        }
        let mut lists: BTreeMap<&str, BTreeMap<(u64, Channel), Value>> = BTreeMap::new();
        for ((channel, part), piece) in &self.pieces {
            let text = piece.text();
            let (list, value) = match channel {
                Channel::Text => (
                    "content",
                    object([
                        ("type", "output_text".into()),
                        ("text", text.into()),
                        ("annotations", Value::Array(Vec::new())),
                    ]),
                ),
                Channel::Refusal => (
                    "content",
                    object([("type", "refusal".into()), ("refusal", text.into())]),
                ),
                Channel::Reasoning => (
                    "content",
                    object([("type", "reasoning_text".into()), ("text", text.into())]),
                ),
                Channel::Summary => (
                    "summary",
                    object([("type", "summary_text".into()), ("text", text.into())]),
                ),
                Channel::Arguments | Channel::Input => {
                    item.insert(channel.whole().to_owned(), text.into());
                    continue;
                }
            };
            lists
                .entry(list)
                .or_default()
                .insert((*part, *channel), value);
        }
        for (list, parts) in lists {
            item.insert(list.to_owned(), parts.into_values().collect());
        }
        Value::Object(item)
    }
}
