//! The wire APIs: a neutral request becomes bytes, bytes become events and a trace.
//!
//! Core. A dialect is one folder; it knows no provider: where a provider's name passes through here,
//! it is only handed on to the failure catalogue. There is one decode path: what a live exchange,
//! a captured file and a plain JSON answer go through is the same code.

pub mod agentcore;
pub mod answer;
pub mod capture;
pub mod carrier;
pub mod chat;
pub mod converse;
pub mod failure;
pub mod guardrail;
pub mod invoke;
pub mod model_list;
pub mod responses;
mod shallow;
pub mod stream;
mod template;
pub mod wire;

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::catalog::failure::Failures;
use crate::dialect::agentcore::decode::AgentFold;
use crate::dialect::agentcore::mapping::Mapping;
use crate::dialect::answer::Fold;
use crate::dialect::carrier::Carrier;
use crate::dialect::chat::fold::ChatFold;
use crate::dialect::invoke::fold::InvokeFold;
use crate::dialect::responses::assemble::Assembler;
use crate::dialect::wire::WireEvent;
use crate::scenario::model::Scenario;
use crate::turn::dialogue::TurnRequest;
use crate::turn::exchange::Exchange;
use crate::turn::trace::TurnTrace;

/// A wire API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The OpenAI Responses API.
    Responses,
    /// The OpenAI Chat Completions API.
    Chat,
    /// Converse and ConverseStream, in JSON and event-stream frames.
    Converse,
    /// InvokeModel and its stream: Chat Completions in event-stream frames.
    Invoke,
    /// Invocations of a managed agent, which keeps the conversation itself.
    Agentcore,
}

impl Dialect {
    /// All that exist, in the order they are listed to users.
    pub const ALL: [Dialect; 5] = [
        Dialect::Responses,
        Dialect::Chat,
        Dialect::Converse,
        Dialect::Invoke,
        Dialect::Agentcore,
    ];

    /// The word used in files and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Dialect::Responses => "responses",
            Dialect::Chat => "chat",
            Dialect::Converse => "converse",
            Dialect::Invoke => "invoke",
            Dialect::Agentcore => "agentcore",
        }
    }

    /// The `Accept` header of a request.
    pub fn accept(self, stream: bool) -> &'static str {
        match (self.carrier(), stream) {
            (_, false) => "application/json",
            (Carrier::ServerSentEvents, true) => "text/event-stream",
            (Carrier::EventStream, true) => "application/vnd.amazon.eventstream",
        }
    }

    /// What carries its streams.
    pub fn carrier(self) -> Carrier {
        match self {
            Dialect::Responses => Assembler::CARRIER,
            Dialect::Chat => ChatFold::CARRIER,
            Dialect::Converse => converse::assemble::Assembler::CARRIER,
            Dialect::Invoke => InvokeFold::CARRIER,
            Dialect::Agentcore => AgentFold::CARRIER,
        }
    }

    /// Why this dialect cannot say what a scenario asks for; `None` where it can. What cannot be
    /// said is never left out silently.
    pub fn cannot(self, scenario: &Scenario) -> Option<String> {
        match self {
            Dialect::Responses => None,
            Dialect::Chat | Dialect::Invoke => chat::encode::cannot(scenario, self),
            Dialect::Converse => converse::cannot::cannot(scenario),
            Dialect::Agentcore => agentcore::encode::cannot(scenario),
        }
    }

    /// Whether an answer need not tell its usage: where it does not, an expectation about it is
    /// neither met nor broken.
    pub fn usage_is_optional(self) -> bool {
        self == Dialect::Agentcore
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that names no dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a dialect: there is {known}")]
pub struct UnknownDialect {
    pub word: String,
    /// The words that exist, separated by commas.
    pub known: String,
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(word: &str) -> Result<Dialect, UnknownDialect> {
        Dialect::ALL
            .into_iter()
            .find(|dialect| dialect.word() == word)
            .ok_or_else(|| UnknownDialect {
                word: word.to_owned(),
                known: Dialect::ALL.map(Dialect::word).join(", "),
            })
    }
}

/// An answer in both forms: as it came, and as it is understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    /// The events in the order of their arrival; a plain JSON answer is one event without a name.
    /// Empty where the answer was an error body instead of the dialect.
    pub events: Vec<WireEvent>,
    pub trace: TurnTrace,
    /// Whether it came as a stream of events, asked for or not; a stream may have a single event.
    pub streamed: bool,
    /// Whether it came with the framing of the wire; a file of one JSON event per line has lost it.
    pub framed: bool,
}

/// The JSON body of a request.
pub fn encode(dialect: Dialect, request: &TurnRequest<'_>) -> Value {
    encode_mapped(dialect, &Mapping::default(), request)
}

/// The same where a managed agent has a contract of its own.
pub fn encode_mapped(dialect: Dialect, mapping: &Mapping, request: &TurnRequest<'_>) -> Value {
    match dialect {
        Dialect::Responses => responses::encode::body(request),
        Dialect::Chat => chat::encode::body(request),
        Dialect::Converse => converse::encode::body(request),
        Dialect::Agentcore => agentcore::encode::body(mapping, request),
        Dialect::Invoke => invoke::encode::body(request),
    }
}

/// Decodes a finished exchange, whatever came back. `streamed` is what the request asked for.
pub fn decode(
    dialect: Dialect,
    provider: &str,
    failures: &Failures,
    exchange: &Exchange,
    streamed: bool,
) -> Decoded {
    let mapping = Mapping::default();
    decode_mapped(dialect, &mapping, provider, failures, exchange, streamed)
}

/// The same where a managed agent has a contract of its own.
pub fn decode_mapped(
    dialect: Dialect,
    mapping: &Mapping,
    provider: &str,
    failures: &Failures,
    exchange: &Exchange,
    streamed: bool,
) -> Decoded {
    match dialect {
        Dialect::Responses => answer::exchange::<Assembler>(provider, failures, exchange, streamed),
        Dialect::Chat => answer::exchange::<ChatFold>(provider, failures, exchange, streamed),
        Dialect::Converse => answer::exchange::<converse::assemble::Assembler>(
            provider, failures, exchange, streamed,
        ),
        Dialect::Invoke => answer::exchange::<InvokeFold>(provider, failures, exchange, streamed),
        Dialect::Agentcore => {
            agentcore::decode::exchange(mapping, provider, failures, exchange, streamed)
        }
    }
}

/// Decodes a captured file as one answer: raw SSE text or event-stream frames (as the dialect has
/// them), one JSON event per line, or one JSON answer object, whichever it looks like. There are no arrival
/// times in a file, so all are zero.
pub fn decode_capture(dialect: Dialect, bytes: &[u8]) -> Decoded {
    match dialect {
        Dialect::Responses => capture::one::<Assembler>(bytes),
        Dialect::Chat => capture::one::<ChatFold>(bytes),
        Dialect::Converse => capture::one::<converse::assemble::Assembler>(bytes),
        Dialect::Invoke => capture::one::<InvokeFold>(bytes),
        Dialect::Agentcore => capture::one::<AgentFold>(bytes),
    }
}

/// The same for a file that may hold several answers one after the other, as recordings of one JSON
/// event per line do: a new answer begins where its first event comes after another has ended. Raw SSE text
/// is always one answer, because an HTTP body holds one.
pub fn decode_captures(dialect: Dialect, bytes: &[u8]) -> Vec<Decoded> {
    match dialect {
        Dialect::Responses => capture::all::<Assembler>(bytes),
        Dialect::Chat => capture::all::<ChatFold>(bytes),
        Dialect::Converse => capture::all::<converse::assemble::Assembler>(bytes),
        Dialect::Invoke => capture::all::<InvokeFold>(bytes),
        Dialect::Agentcore => capture::all::<AgentFold>(bytes),
    }
}
