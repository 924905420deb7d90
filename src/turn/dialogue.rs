//! What to ask next: a scenario's script and the answers so far become the next neutral request.
//!
//! Knows no dialect: the request is a list of entries that each dialect encodes in its own way.

use indexmap::IndexMap;
use serde_json::Value;

use crate::scenario::model::{Format, Settings, Tool};
use crate::turn::trace::{CallForm, Item};

/// A provider-neutral request: one dialect's encoder away from the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnRequest<'a> {
    pub model: &'a str,
    pub stream: bool,
    pub system: Option<&'a str>,
    pub tools: &'a IndexMap<String, Tool>,
    /// Tools in the dialect's own form, sent as they are.
    pub wire_tools: &'a [Value],
    pub settings: &'a Settings,
    pub format: Option<&'a Format>,
    /// The conversation so far, oldest first.
    pub entries: &'a [Entry],
}

/// One entry of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// What the user says.
    User { text: String },
    /// What the model answered, to be replayed unchanged.
    Answer { items: Vec<Item> },
    /// What a tool returned.
    Result {
        call_id: String,
        name: String,
        form: CallForm,
        output: String,
    },
}
