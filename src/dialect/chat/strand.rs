//! One part of an assistant message while its fragments come in: a text, or a call.
//!
//! Each becomes an item whose wire form is its part of the message, so that an encoder can put the
//! message together again. It must never allocate by an index that the wire claims.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::dialect::stream::OutputKind;
use crate::turn::trace::{Call, CallForm, Content, Item};

/// A text of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Content,
    Refusal,
    /// What servers of open models and gateways call reasoning; not in OpenAI's schema.
    ReasoningContent,
    /// The same under its other name.
    Reasoning,
}

impl Field {
    /// All, in the order in which a chunk that has several is read: reasoning comes before what it
    /// leads to.
    pub(crate) const ALL: [Field; 4] = [
        Field::ReasoningContent,
        Field::Reasoning,
        Field::Content,
        Field::Refusal,
    ];

    /// What output it is.
    pub(crate) fn output(self) -> OutputKind {
        match self {
            Field::Content | Field::Refusal => OutputKind::Text,
            Field::ReasoningContent | Field::Reasoning => OutputKind::Reasoning,
        }
    }

    pub(crate) fn key(self) -> &'static str {
        match self {
            Field::Content => "content",
            Field::Refusal => "refusal",
            Field::ReasoningContent => "reasoning_content",
            Field::Reasoning => "reasoning",
        }
    }
}

/// One part of the message.
#[derive(Debug)]
pub(crate) struct Strand {
    pub(crate) kind: Kind,
    pub(crate) started: Duration,
    pub(crate) ended: Option<Duration>,
}

/// What a part is.
#[derive(Debug)]
pub(crate) enum Kind {
    Text {
        field: Field,
        text: String,
    },
    Call(Fragments),
    /// The call form before tools (2023): there is no id that a result could name.
    OldCall {
        name: String,
        arguments: String,
    },
}

/// A call as its fragments add up.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    pub(crate) index: Option<u64>,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
    /// Fields that the schema does not have, as they came last; some servers want them back.
    pub(crate) extra: Map<String, Value>,
}

impl Fragments {
    /// Adds a fragment. Id and name are those that came first.
    pub(crate) fn add(&mut self, fragment: &Value) {
        let first = |old: &mut String, new: Option<&Value>| {
            if let (true, Some(text)) = (old.is_empty(), new.and_then(Value::as_str)) {
                old.push_str(text);
            }
        };
        let function = fragment.get("function");
        first(&mut self.id, fragment.get("id"));
        first(&mut self.name, function.and_then(|one| one.get("name")));
        match function.and_then(|one| one.get("arguments")) {
            Some(Value::String(text)) => self.arguments.push_str(text),
            None | Some(Value::Null) => {}
            // Some servers send an object where text belongs; an agent that is kind reads it.
            Some(other) => self.arguments.push_str(&other.to_string()),
        }
        for (key, value) in fragment.as_object().into_iter().flatten() {
            let known = ["index", "id", "type", "function"].contains(&key.as_str());
            if !known && !value.is_null() {
                self.extra.insert(key.clone(), value.clone());
            }
        }
    }

    /// Whether a fragment under the same index belongs to another call: it has another id.
    pub(crate) fn is_other(&self, fragment: &Value) -> bool {
        fragment
            .get("id")
            .and_then(Value::as_str)
            .is_some_and(|id| !id.is_empty() && !self.id.is_empty() && id != self.id)
    }

    fn wire(&self) -> Value {
        let mut call = Map::new();
        call.insert("id".to_owned(), self.id.as_str().into());
        call.insert("type".to_owned(), "function".into());
        call.insert(
            "function".to_owned(),
            json!({ "name": self.name, "arguments": self.arguments }),
        );
        call.extend(self.extra.clone());
        json!({ "tool_calls": [call] })
    }
}

impl Strand {
    /// The part as an item. A part has no id of its own on this wire.
    pub(crate) fn item(self) -> Item {
        let (content, wire) = match self.kind {
            Kind::Text { field, text } => {
                let mut wire = Map::new();
                wire.insert(field.key().to_owned(), text.as_str().into());
                let content = match field {
                    Field::Content => Content::Text { text },
                    Field::Refusal => Content::Refusal { text },
                    Field::ReasoningContent | Field::Reasoning => Content::Reasoning {
                        summary: String::new(),
                        text,
                        encrypted: false,
                    },
                };
                (content, Value::Object(wire))
            }
            Kind::Call(fragments) => {
                let wire = fragments.wire();
                let call = Call {
                    call_id: fragments.id,
                    name: fragments.name,
                    namespace: None,
                    arguments: fragments.arguments,
                    form: CallForm::Function,
                };
                (Content::Call(call), wire)
            }
            Kind::OldCall { name, arguments } => (
                Content::Other {
                    kind: "function_call".to_owned(),
                },
                json!({ "function_call": { "name": name, "arguments": arguments } }),
            ),
        };
        Item {
            id: None,
            content,
            wire,
            started: Some(self.started),
            ended: self.ended,
        }
    }
}
