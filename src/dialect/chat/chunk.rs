//! What a chunk says, whether it was read whole or only as far as a text delta needs it.
//!
//! Both readings give the same two views, so that what a chunk means is decided once, in the fold.

use serde_json::{Map, Value};

use crate::dialect::chat::strand::Field;
use crate::dialect::shallow::{FieldValue, Shallow, View, whole};
use crate::turn::trace::Usage;

/// What a chunk says besides its choices. Texts are empty where there are none.
#[derive(Debug)]
pub(crate) struct Meta<'a> {
    pub(crate) id: &'a str,
    pub(crate) model: &'a str,
    pub(crate) tier: &'a str,
    pub(crate) usage: Option<Usage>,
    /// A guardrail of the endpoint said that it stepped in.
    pub(crate) intervened: bool,
}

/// One choice of a chunk or of a whole answer.
#[derive(Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) index: Option<u64>,
    /// Why it ended; empty while it has not.
    pub(crate) reason: &'a str,
    /// In the order of [`Field::ALL`].
    pub(crate) texts: [&'a str; 4],
    /// The delta or message, for its calls; null where it is known to have none.
    pub(crate) rest: &'a Value,
}

impl<'a> Meta<'a> {
    pub(crate) fn of(chunk: &'a Value) -> Meta<'a> {
        Meta {
            id: text_of(chunk, "id"),
            model: text_of(chunk, "model"),
            tier: text_of(chunk, "service_tier"),
            usage: usage(&chunk["usage"]),
            intervened: chunk.as_object().is_some_and(intervened),
        }
    }
}

impl<'a> Choice<'a> {
    pub(crate) fn of(choice: &'a Value, delta: &'a Value) -> Choice<'a> {
        Choice {
            index: choice["index"].as_u64(),
            reason: text_of(choice, "finish_reason"),
            texts: Field::ALL.map(|field| text_of(delta, field.key())),
            rest: delta,
        }
    }
}

/// A chunk with one choice that brings nothing but text. Whatever else a chunk can say is refused
/// here and read whole.
#[derive(Debug, Default)]
pub(crate) struct ChunkView<'a> {
    id: Option<Shallow<'a>>,
    model: Option<Shallow<'a>>,
    tier: Option<Shallow<'a>>,
    object: Option<Shallow<'a>>,
    choice: Option<ChoiceView<'a>>,
}

impl<'a> View<'a> for ChunkView<'a> {
    fn field<V: FieldValue<'a>>(&mut self, key: &str, value: V) -> Result<(), V::Error> {
        match key {
            "id" => once(&mut self.id, value.shallow()?),
            "model" => once(&mut self.model, value.shallow()?),
            "service_tier" => once(&mut self.tier, value.shallow()?),
            "object" => once(&mut self.object, value.shallow()?),
            "choices" => once(&mut self.choice, value.only()?),
            "usage" | "error" => nothing(value),
            _ if is_intervention(key) => Err(whole()),
            _ => value.skip(),
        }
    }
}

#[derive(Debug, Default)]
struct ChoiceView<'a> {
    index: Option<Shallow<'a>>,
    delta: Option<DeltaView<'a>>,
}

impl<'a> View<'a> for ChoiceView<'a> {
    fn field<V: FieldValue<'a>>(&mut self, key: &str, value: V) -> Result<(), V::Error> {
        match key {
            "index" => once(&mut self.index, value.shallow()?),
            "delta" => once(&mut self.delta, value.view()?),
            "finish_reason" => nothing(value),
            _ => value.skip(),
        }
    }
}

#[derive(Debug, Default)]
struct DeltaView<'a> {
    texts: [Option<Shallow<'a>>; 4],
}

impl<'a> View<'a> for DeltaView<'a> {
    fn field<V: FieldValue<'a>>(&mut self, key: &str, value: V) -> Result<(), V::Error> {
        if let Some(place) = Field::ALL.iter().position(|field| field.key() == key) {
            return once(&mut self.texts[place], value.shallow()?);
        }
        match key {
            "tool_calls" | "function_call" => nothing(value),
            _ => value.skip(),
        }
    }
}

impl ChunkView<'_> {
    pub(crate) fn meta(&self) -> Meta<'_> {
        Meta {
            id: text(&self.id),
            model: text(&self.model),
            tier: text(&self.tier),
            usage: None,
            intervened: false,
        }
    }

    /// Its choice; `None` where there is none, or where the chunk says that it is an error.
    pub(crate) fn choice(&self) -> Option<Choice<'_>> {
        let choice = self.choice.as_ref()?;
        if text(&self.object) == "error" {
            return None;
        }
        let delta = choice.delta.as_ref();
        let texts = delta.map(|delta| delta.texts.each_ref().map(text));
        Some(Choice {
            index: choice.index.as_ref().and_then(Shallow::as_u64),
            reason: "",
            texts: texts.unwrap_or_default(),
            rest: &Value::Null,
        })
    }
}

fn text<'v>(value: &'v Option<Shallow<'_>>) -> &'v str {
    value.as_ref().and_then(Shallow::as_str).unwrap_or("")
}

/// Of two fields of one name a whole reading takes the last.
fn once<T, E: serde::de::Error>(place: &mut Option<T>, value: T) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(whole()),
    }
}

/// A field that may be there as long as it says nothing. Twice nothing is nothing.
fn nothing<'a, V: FieldValue<'a>>(value: V) -> Result<(), V::Error> {
    match value.shallow()? {
        Shallow::Null => Ok(()),
        _ => Err(whole()),
    }
}

/// Whether a guardrail says so, under a key with a vendor's prefix (AWS API reference, InvokeModel,
/// example with a guardrail; read 2026-11-21).
fn intervened(chunk: &Map<String, Value>) -> bool {
    chunk
        .iter()
        .any(|(key, value)| is_intervention(key) && value == "INTERVENED")
}

fn is_intervention(key: &str) -> bool {
    key.ends_with("-guardrailAction")
}

/// Token counts; `None` where there are none.
fn usage(usage: &Value) -> Option<Usage> {
    let count = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64);
    let (input, output, total) = (
        count("/prompt_tokens"),
        count("/completion_tokens"),
        count("/total_tokens"),
    );
    if input.is_none() && output.is_none() && total.is_none() {
        return None;
    }
    Some(Usage {
        input: input.unwrap_or(0),
        output: output.unwrap_or(0),
        total: total.unwrap_or(0),
        cached: count("/prompt_tokens_details/cached_tokens"),
        cache_write: count("/prompt_tokens_details/cache_write_tokens"),
        reasoning: count("/completion_tokens_details/reasoning_tokens"),
    })
}

pub(crate) fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

/// A text field that is there and not empty.
pub(crate) fn some_text(value: &Value, key: &str) -> Option<String> {
    Some(text_of(value, key))
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}
