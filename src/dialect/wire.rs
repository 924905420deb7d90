//! One event of an answer as it came over the wire, before anything is made of it.
//!
//! Rules read these; they are the same for a live stream, a captured file and a plain JSON answer.

use std::time::Duration;

use serde_json::Value;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct WireEvent {
    /// When the bytes that completed it arrived, from the start of the exchange.
    pub at: Duration,
    /// Which read of the socket completed it, counting from 0.
    pub read: u32,
    /// The offset in the body just after its last byte.
    pub end: u64,
    /// The `event:` field, if there was one.
    pub name: Option<String>,
    /// The `id:` field, if there was one.
    pub id: Option<String>,
    /// Its data.
    pub payload: Payload,
}

/// The data of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// JSON.
    Json(Value),
    /// The literal `[DONE]`.
    Done,
    /// Anything else: the text, and why it is not JSON.
    Malformed { text: String, reason: String },
}

impl WireEvent {
    /// The JSON, if it is JSON.
    pub fn json(&self) -> Option<&Value> {
        match &self.payload {
            Payload::Json(value) => Some(value),
            _ => None,
        }
    }

    /// The `type` of a JSON event.
    pub fn kind(&self) -> Option<&str> {
        self.json()?.get("type")?.as_str()
    }
}
