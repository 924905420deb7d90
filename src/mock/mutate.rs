//! A small mutation language: data that turns a good stream into one with a fault, or into a legal
//! variant of itself.
//!
//! Pure, and blind to what a stream means: it must never repair or skip an operation because the
//! result would be wrong. Being wrong is the point.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use crate::mock::outgoing::{BytePatch, Ending, Framing, OutEvent, OutStream, Pacing};
use crate::mock::outgoing_frame::FrameFault;
use crate::mock::pointer::{child, each_place, set, unset};

/// A named misbehaviour of a stream, or, with nothing in `trips`, a legal variant.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireFault {
    /// Stable, kebab-case: `created-missing`.
    pub name: String,
    /// One sentence: what is wrong with the stream, or what is unusual but legal.
    pub about: String,
    /// The rules whose must or should findings it causes, and no others.
    #[serde(default)]
    pub trips: Vec<String>,
    /// Where it was seen or is written.
    pub source: String,
    /// What is done to a good stream, in order.
    pub stream: Vec<Op>,
    /// Whether `sequence_number` is counted anew afterwards, so that a lost event does not also
    /// show as a gap. Where absent: when an operation adds, removes or moves events.
    #[serde(default)]
    pub renumber: Option<bool>,
}

impl WireFault {
    /// The stream with this fault.
    pub fn apply(&self, stream: OutStream) -> OutStream {
        let mut stream = apply(&self.stream, stream);
        if self
            .renumber
            .unwrap_or_else(|| self.stream.iter().any(Op::moves_events))
        {
            renumber(&mut stream);
        }
        stream
    }
}

/// Which events an operation is about: all that match, or one of them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Select {
    /// The `type`; a trailing `*` stands for anything. Any event where absent.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// JSON pointers with the values that must be there.
    pub has: IndexMap<String, Value>,
    /// JSON pointers where something other than null must be.
    pub exists: Vec<String>,
    /// Which of the matches, counting from 0, or from -1 for the last. All where absent.
    pub nth: Option<i64>,
}

/// A place between events.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    Start,
    End,
    /// Before the first event of the selection.
    Before(Select),
    /// After the last event of the selection.
    After(Select),
}

/// One change. Pointers are JSON pointers over an event's data where `*` stands for each element of
/// an array, a negative number counts from its end, and a last `-` appends to it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Events vanish.
    Remove(Select),
    /// Each event is followed by a copy of itself.
    Duplicate(Select),
    /// Events go elsewhere, in their order.
    Move(Move),
    /// Two events change places.
    Swap(Pair),
    /// The events of two selections alternate from where the first of them stood.
    Interleave(Pair),
    /// Events come in.
    Insert(Insert),
    /// A value is set; with `*`, only where there was one.
    Set(Set),
    /// A key or an element of an array vanishes.
    Unset(Unset),
    /// Text is added at the end of a string.
    Append(Append),
    /// A number grows (or shrinks).
    Add(Add),
    /// An array is turned around.
    Reverse(Unset),
    /// The `event:` line becomes this, or vanishes.
    Name(Name),
    /// The data is sent as this text.
    Raw(Raw),
    /// Some text of the data is sent as these bytes.
    Bytes(Bytes),
    /// The frame around the data is broken, where events are sent in frames.
    Frame(Frame),
    /// How many `data: [DONE]` come at the end.
    DoneMarkers(u32),
    /// How events are written down, as a whole.
    Framing(Framing),
    Pacing(Pacing),
    Ending(Ending),
    /// The `Content-Type` header.
    ContentType(String),
    /// Another header of the answer becomes this, or vanishes.
    Header(Header),
    /// The HTTP status.
    Status(u16),
}

/// See [`Op::Header`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// In lower case.
    pub name: String,
    #[serde(default)]
    pub to: Option<String>,
}

/// See [`Op::Move`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    pub events: Select,
    pub to: Place,
}

/// See [`Op::Swap`] and [`Op::Interleave`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    pub one: Select,
    pub other: Select,
}

/// See [`Op::Insert`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Insert {
    pub at: Place,
    /// The data of each event; its `event:` line is its `type`.
    pub data: Vec<Value>,
}

/// See [`Op::Set`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    pub events: Select,
    pub pointer: String,
    pub value: Value,
}

/// See [`Op::Unset`] and [`Op::Reverse`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unset {
    pub events: Select,
    pub pointer: String,
}

/// See [`Op::Append`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Append {
    pub events: Select,
    pub pointer: String,
    pub text: String,
}

/// See [`Op::Add`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Add {
    pub events: Select,
    pub pointer: String,
    pub by: i64,
}

/// See [`Op::Name`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    pub events: Select,
    #[serde(default)]
    pub to: Option<String>,
}

/// See [`Op::Raw`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    pub events: Select,
    pub text: String,
}

/// See [`Op::Bytes`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bytes {
    pub events: Select,
    pub find: String,
    /// Each byte as a number.
    pub with: Vec<u8>,
}

/// See [`Op::Frame`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    pub events: Select,
    pub fault: FrameFault,
}

impl Op {
    fn moves_events(&self) -> bool {
        matches!(
            self,
            Op::Remove(_)
                | Op::Duplicate(_)
                | Op::Move(_)
                | Op::Swap(_)
                | Op::Interleave(_)
                | Op::Insert(_)
        )
    }
}

/// The stream after these changes, `sequence_number` left as it is.
pub fn apply(ops: &[Op], mut stream: OutStream) -> OutStream {
    for op in ops {
        apply_one(op, &mut stream);
    }
    stream
}

/// Counts `sequence_number` anew from 0. A stream that has none keeps none.
pub fn renumber(stream: &mut OutStream) {
    let numbered = |event: &OutEvent| event.data.get("sequence_number").is_some();
    if !stream.events.iter().any(numbered) {
        return;
    }
    for (index, event) in stream.events.iter_mut().enumerate() {
        if let Some(object) = event.data.as_object_mut() {
            object.insert("sequence_number".to_owned(), Value::from(index));
        }
    }
}

fn apply_one(op: &Op, stream: &mut OutStream) {
    let events = &mut stream.events;
    match op {
        Op::Remove(select) => {
            take(events, &select.find(events));
        }
        Op::Duplicate(select) => {
            for index in select.find(events).into_iter().rev() {
                events.insert(index + 1, events[index].clone());
            }
        }
        Op::Move(op) => {
            let taken = take(events, &op.events.find(events));
            let at = op.to.find(events);
            events.splice(at..at, taken);
        }
        Op::Swap(pair) => {
            let one = pair.one.find(events).first().copied();
            let other = pair.other.find(events).first().copied();
            if let (Some(one), Some(other)) = (one, other) {
                events.swap(one, other);
            }
        }
        Op::Interleave(pair) => interleave(events, pair),
        Op::Insert(op) => {
            let at = op.at.find(events);
            events.splice(at..at, op.data.iter().cloned().map(OutEvent::of));
        }
        Op::Set(op) => change(events, &op.events, &op.pointer, |parent, key, many| {
            set(parent, key, &op.value, many);
        }),
        Op::Unset(op) => change(events, &op.events, &op.pointer, |parent, key, _| {
            unset(parent, key);
        }),
        Op::Append(op) => change(events, &op.events, &op.pointer, |parent, key, _| {
            if let Some(Value::String(text)) = child(parent, key) {
                text.push_str(&op.text);
            }
        }),
        Op::Add(op) => change(events, &op.events, &op.pointer, |parent, key, _| {
            if let Some(value) = child(parent, key)
                && let Some(number) = value.as_i64()
            {
                *value = Value::from(number + op.by);
            }
        }),
        Op::Reverse(op) => change(events, &op.events, &op.pointer, |parent, key, _| {
            if let Some(Value::Array(list)) = child(parent, key) {
                list.reverse();
            }
        }),
        Op::Name(op) => {
            for index in op.events.find(events) {
                events[index].name.clone_from(&op.to);
            }
        }
        Op::Raw(op) => {
            for index in op.events.find(events) {
                events[index].raw = Some(op.text.clone());
            }
        }
        Op::Bytes(op) => {
            for index in op.events.find(events) {
                events[index].patches.push(BytePatch {
                    find: op.find.clone().into_bytes(),
                    with: op.with.clone(),
                });
            }
        }
        Op::Frame(op) => {
            for index in op.events.find(events) {
                events[index].broken = Some(op.fault);
            }
        }
        Op::DoneMarkers(count) => stream.done_markers = *count,
        Op::Framing(framing) => stream.framing = framing.clone(),
        Op::Pacing(pacing) => stream.pacing = *pacing,
        Op::Ending(ending) => stream.ending = *ending,
        Op::ContentType(text) => stream.content_type.clone_from(text),
        Op::Header(op) => {
            stream.headers.retain(|(name, _)| *name != op.name);
            let to = op.to.clone().map(|to| (op.name.clone(), to));
            stream.headers.extend(to);
        }
        Op::Status(status) => stream.status = *status,
    }
}

impl Select {
    /// The places of the selected events, ascending.
    pub fn find(&self, events: &[OutEvent]) -> Vec<usize> {
        let all: Vec<usize> = events
            .iter()
            .enumerate()
            .filter(|(_, event)| self.matches(event))
            .map(|(index, _)| index)
            .collect();
        match self.nth {
            None => all,
            Some(n) => {
                let n = if n < 0 { n + all.len() as i64 } else { n };
                usize::try_from(n)
                    .ok()
                    .and_then(|n| all.get(n).copied())
                    .into_iter()
                    .collect()
            }
        }
    }

    fn matches(&self, event: &OutEvent) -> bool {
        let kind_fits = match (&self.kind, event.kind()) {
            (None, _) => true,
            (Some(wanted), Some(kind)) => match wanted.strip_suffix('*') {
                Some(start) => kind.starts_with(start),
                None => kind == wanted,
            },
            (Some(_), None) => false,
        };
        kind_fits
            && self
                .has
                .iter()
                .all(|(pointer, value)| event.data.pointer(pointer) == Some(value))
            && self
                .exists
                .iter()
                .all(|pointer| event.data.pointer(pointer).is_some_and(|v| !v.is_null()))
    }
}

impl Place {
    fn find(&self, events: &[OutEvent]) -> usize {
        match self {
            Place::Start => 0,
            Place::End => events.len(),
            Place::Before(select) => select.find(events).first().copied().unwrap_or(0),
            Place::After(select) => select
                .find(events)
                .last()
                .map_or(events.len(), |last| last + 1),
        }
    }
}

fn take(events: &mut Vec<OutEvent>, places: &[usize]) -> Vec<OutEvent> {
    let mut taken: Vec<OutEvent> = places
        .iter()
        .rev()
        .map(|&place| events.remove(place))
        .collect();
    taken.reverse();
    taken
}

fn interleave(events: &mut Vec<OutEvent>, pair: &Pair) {
    let one = pair.one.find(events);
    let other = pair.other.find(events);
    let Some(&start) = one.iter().chain(&other).min() else {
        return;
    };
    let mut ones = one.iter().map(|&place| events[place].clone());
    let mut others = other.iter().map(|&place| events[place].clone());
    let mut mixed = Vec::new();
    loop {
        let (a, b) = (ones.next(), others.next());
        if a.is_none() && b.is_none() {
            break;
        }
        mixed.extend(a.into_iter().chain(b));
    }
    let mut places: Vec<usize> = one.into_iter().chain(other).collect();
    places.sort_unstable();
    places.dedup();
    take(events, &places);
    events.splice(start..start, mixed);
}

/// Calls `act` for each place of the selected events that the pointer names.
fn change(
    events: &mut [OutEvent],
    select: &Select,
    pointer: &str,
    mut act: impl FnMut(&mut Value, &str, bool),
) {
    for index in select.find(events) {
        each_place(&mut events[index].data, pointer, &mut act);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::mock::mutate::*;

    fn stream() -> OutStream {
        OutStream::of(
            (0..6)
                .map(|n| {
                    OutEvent::of(json!({
                        "type": if n % 2 == 0 { "even" } else { "odd" },
                        "sequence_number": n, "n": n,
                        "list": [{"id": "a"}, {"id": "b"}, {}],
                    }))
                })
                .collect(),
        )
    }

    fn mutate(yaml: &str) -> OutStream {
        let fault: WireFault =
            serde_yaml::from_str(&format!("name: x\nabout: x\nsource: x\nstream:\n{yaml}"))
                .expect("the test's fault reads");
        fault.apply(stream())
    }

    fn check_order(yaml: &str, expected: &[i64]) {
        let stream = mutate(yaml);
        let order: Vec<i64> = stream
            .events
            .iter()
            .map(|event| event.data["n"].as_i64().unwrap_or(-1))
            .collect();
        assert_eq!(order, expected, "{yaml}");
        let numbers: Vec<usize> = stream
            .events
            .iter()
            .map(|event| event.data["sequence_number"].as_u64().unwrap_or(u64::MAX) as usize)
            .collect();
        assert_eq!(numbers, (0..expected.len()).collect::<Vec<_>>(), "{yaml}");
    }

    #[test]
    fn events_are_selected_and_moved() {
        check_order("  - remove: {type: even}", &[1, 3, 5]);
        check_order("  - remove: {type: even, nth: -1}", &[0, 1, 2, 3, 5]);
        check_order("  - remove: {has: {/n: 3}}", &[0, 1, 2, 4, 5]);
        check_order(
            "  - remove: {exists: [/list/1/id], nth: 0}",
            &[1, 2, 3, 4, 5],
        );
        check_order("  - remove: {exists: [/list/2/id]}", &[0, 1, 2, 3, 4, 5]);
        check_order("  - duplicate: {nth: 1}", &[0, 1, 1, 2, 3, 4, 5]);
        check_order(
            "  - move: {events: {type: odd}, to: start}",
            &[1, 3, 5, 0, 2, 4],
        );
        check_order(
            "  - move: {events: {nth: 0}, to: {after: {type: 'e*', nth: 0}}}",
            &[1, 2, 0, 3, 4, 5],
        );
        check_order(
            "  - swap: {one: {nth: 0}, other: {nth: -1}}",
            &[5, 1, 2, 3, 4, 0],
        );
        check_order(
            "  - interleave: {one: {type: odd}, other: {type: even}}",
            &[1, 0, 3, 2, 5, 4],
        );
        check_order(
            "  - insert: {at: {before: {nth: 1}}, data: [{type: new}]}",
            &[0, -1, 1, 2, 3, 4, 5],
        );
    }

    #[test]
    fn values_are_changed_where_the_pointer_says() {
        let stream = mutate(
            "  - set: {events: {nth: 0}, pointer: /list/*/id, value: z}\n  - append: {events: {nth: 0}, pointer: /type, text: '!'}\n  - add: {events: {nth: 0}, pointer: /n, by: 5}\n  - unset: {events: {nth: 1}, pointer: /list/-1}\n  - reverse: {events: {nth: 2}, pointer: /list}\n  - set: {events: {nth: 3}, pointer: /list/-, value: 9}\n",
        );
        assert_eq!(
            stream.events[0].data,
            json!({"type": "even!", "sequence_number": 0, "n": 5, "list": [{"id": "z"}, {"id": "z"}, {}]})
        );
        assert_eq!(
            stream.events[1].data["list"],
            json!([{"id": "a"}, {"id": "b"}])
        );
        assert_eq!(
            stream.events[2].data["list"],
            json!([{}, {"id": "b"}, {"id": "a"}])
        );
        assert_eq!(stream.events[3].data["list"][3], json!(9));
    }
}
