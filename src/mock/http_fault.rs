//! Faults of whole answers: the type of a row of `mocks/faults/http.yaml`.
//!
//! Pure data. It must never hold a body: those are each provider's own.

use serde::Deserialize;

use crate::mock::data::{Api, MockData};
use crate::mock::mutate::{Op, WireFault};

/// A named misbehaviour of an answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpFault {
    /// Stable, kebab-case: `throttled`.
    pub name: String,
    /// One sentence: what the client sees.
    pub about: String,
    /// Where it was seen or is written.
    pub source: String,
    pub does: Does,
    /// What is done to a good stream of Chat Completions instead, which has other events.
    #[serde(default)]
    pub chat: Option<Vec<Op>>,
    /// The same for a stream of Converse.
    #[serde(default)]
    pub converse: Option<Vec<Op>>,
    /// The same for a stream of a managed agent.
    #[serde(default)]
    pub agentcore: Option<Vec<Op>>,
    /// The same for a stream of InvokeModel, whose chunks are those of Chat Completions; as there where
    /// absent.
    #[serde(default)]
    pub invoke: Option<Vec<Op>>,
}

/// What happens instead of a good answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// This row of the provider's errors.
    Error(String),
    /// A good stream with these changes.
    Stream(Vec<Op>),
    /// This row of the provider's errors for the first requests of a kind, and a good answer after them.
    FirstTimes { error: String, times: u32 },
    /// The connection is closed before any answer.
    Closed,
    /// No answer at all, and the connection stays open.
    Silence,
    /// The model says nothing and completes.
    NoItems,
}

impl MockData {
    /// The faults that need an error body which this provider's rows do not have.
    pub fn lacks(&self, provider: &str) -> Vec<String> {
        let Some(provider) = self.provider(provider) else {
            return Vec::new();
        };
        let faults = self.http_faults.iter().filter(|fault| {
            let needs = fault.needs();
            needs.is_some_and(|id| !provider.errors.contains_key(id))
        });
        faults.map(|fault| fault.name.clone()).collect()
    }
}

impl HttpFault {
    /// The row of a provider's errors that it is made of.
    pub fn needs(&self) -> Option<&str> {
        match &self.does {
            Does::Error(id) | Does::FirstTimes { error: id, .. } => Some(id),
            Does::Stream(_) | Does::Closed | Does::Silence | Does::NoItems => None,
        }
    }

    /// The same as a fault of a stream of this API, where it is one.
    pub fn as_wire(&self, api: Api) -> Option<WireFault> {
        let own = match api {
            Api::Responses => None,
            Api::Chat => self.chat.as_ref(),
            Api::Converse => self.converse.as_ref(),
            Api::Agentcore => self.agentcore.as_ref(),
            Api::Invoke => self.invoke.as_ref().or(self.chat.as_ref()),
        };
        let stream = match &self.does {
            Does::Stream(ops) => own.unwrap_or(ops).clone(),
            Does::Error(_)
            | Does::FirstTimes { .. }
            | Does::Closed
            | Does::Silence
            | Does::NoItems => return None,
        };
        Some(WireFault {
            name: self.name.clone(),
            about: self.about.clone(),
            trips: Vec::new(),
            source: self.source.clone(),
            stream,
            renumber: None,
        })
    }
}
