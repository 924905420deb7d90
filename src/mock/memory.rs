//! Stored responses, so that they can be read again and continued.
//!
//! Pure but for its growth, which is bounded: the oldest is forgotten first. It must never outlive
//! the server.

use indexmap::IndexMap;
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Most responses kept.
const MOST: usize = 1000;
/// Most bytes of JSON kept, roughly.
const MOST_BYTES: usize = 128 * 1024 * 1024;

/// A stored response belongs to the provider and region that made it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub provider: String,
    pub region: Option<String>,
    pub id: String,
}

#[derive(Debug, Clone)]
pub struct Stored {
    pub response: Value,
    /// Until when it is worked on in the background, and the status that it has meanwhile.
    pub pending: Option<(OffsetDateTime, String)>,
    /// All items up to and with this response's own.
    pub conversation: Vec<Value>,
    /// Rough size, in bytes.
    pub size: usize,
}

impl Stored {
    /// The response as it is told at this time.
    pub fn at(&self, now: OffsetDateTime) -> Value {
        match &self.pending {
            Some((until, status)) if now < *until => unfinished(&self.response, status),
            _ => self.response.clone(),
        }
    }

    /// Stops the work on it. Nothing happens to one that is finished.
    pub fn cancel(&mut self, now: OffsetDateTime) {
        if self.pending.as_ref().is_some_and(|(until, _)| now < *until) {
            self.response = unfinished(&self.response, "cancelled");
            self.pending = None;
        }
    }
}

/// A response before anything of it was made.
pub fn unfinished(response: &Value, status: &str) -> Value {
    let mut early = response.clone();
    early["status"] = json!(status);
    early["output"] = json!([]);
    for key in ["usage", "error", "incomplete_details", "completed_at"] {
        early[key] = Value::Null;
    }
    early
}

#[derive(Debug, Default)]
pub struct Memory {
    all: IndexMap<Place, Stored>,
    bytes: usize,
}

impl Memory {
    pub fn keep(&mut self, place: Place, stored: Stored) {
        self.bytes += stored.size;
        self.all.insert(place, stored);
        while self.all.len() > MOST || self.bytes > MOST_BYTES {
            let Some((_, oldest)) = self.all.shift_remove_index(0) else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(oldest.size);
        }
    }

    pub fn get(&self, place: &Place) -> Option<&Stored> {
        self.all.get(place)
    }

    pub fn get_mut(&mut self, place: &Place) -> Option<&mut Stored> {
        self.all.get_mut(place)
    }

    pub fn forget(&mut self, place: &Place) -> bool {
        let found = self.all.shift_remove(place);
        self.bytes -= found
            .as_ref()
            .map_or(0, |stored| stored.size.min(self.bytes));
        found.is_some()
    }
}
