//! Stored responses, so that they can be read again and continued.
//!
//! Pure but for its growth, which is bounded: the oldest is forgotten first. It must never outlive
//! the server.

use indexmap::IndexMap;
use serde_json::Value;

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
    /// All items up to and with this response's own.
    pub conversation: Vec<Value>,
    /// Rough size, in bytes.
    pub size: usize,
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

    pub fn forget(&mut self, place: &Place) -> bool {
        let found = self.all.shift_remove(place);
        self.bytes -= found
            .as_ref()
            .map_or(0, |stored| stored.size.min(self.bytes));
        found.is_some()
    }
}
