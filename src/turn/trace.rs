//! The normal form of an exchange: what every dialect's answer becomes, and the only thing that
//! expectations, parity, metrics and reports read.
//!
//! Plain data. It must never know a dialect's field names beyond [`Item::wire`], which is carried
//! unread so that a later request can replay it unchanged.

use std::time::Duration;

use serde_json::Value;

/// One model answer, whole. Broken provider output is data here, never an `Err`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TurnTrace {
    /// The provider's id of the response, if it gave one.
    pub response_id: Option<String>,
    /// The model as the provider names it in its answer.
    pub model: Option<String>,
    /// The service tier the provider says it used.
    pub service_tier: Option<String>,
    /// What the model produced, in the order of its output indexes.
    pub items: Vec<Item>,
    /// Whether the provider says that it still works on the answer (`queued`, `in_progress`), so that it is to be
    /// asked for again by `response_id`.
    pub pending: bool,
    /// Why the turn ended; `None` when the wire never said so.
    pub stop: Option<Stop>,
    /// Token counts as reported; `None` when they were not.
    pub usage: Option<Usage>,
    /// What went wrong, if the turn failed at any layer.
    pub failure: Option<Failure>,
    /// What the decoder could not make sense of; rules turn these into findings.
    pub irregularities: Vec<Irregularity>,
    /// When each part arrived.
    pub timing: Timing,
}

impl TurnTrace {
    /// The calls of this answer, in order.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.items.iter().filter_map(|item| match &item.content {
            Content::Call(call) => Some(call),
            _ => None,
        })
    }

    /// All visible text of the answer, message items joined by a newline.
    pub fn text(&self) -> String {
        let parts: Vec<&str> = self
            .items
            .iter()
            .filter_map(|item| match &item.content {
                Content::Text { text } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        parts.join("\n")
    }
}

/// One output item.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The provider's id of the item.
    pub id: Option<String>,
    /// What it is.
    pub content: Content,
    /// The item as it came in its final form, for unchanged replay in the next request.
    pub wire: Value,
    /// When the item was announced and when it was finished, from the start of the exchange.
    pub started: Option<Duration>,
    /// See `started`; `None` for an item that never finished.
    pub ended: Option<Duration>,
}

/// What an output item is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Text for the user.
    Text { text: String },
    /// The model declined, in its own words.
    Refusal { text: String },
    /// Reasoning: readable summary and text, and whether sealed content came with it.
    Reasoning {
        summary: String,
        text: String,
        encrypted: bool,
    },
    /// A request to run a tool.
    Call(Call),
    /// An item this normal form has no word for, by its wire type.
    Other { kind: String },
}

/// A tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The id that the result must name.
    pub call_id: String,
    /// The tool's name.
    pub name: String,
    /// The namespace the tool was declared in, if any.
    pub namespace: Option<String>,
    /// The arguments exactly as sent: JSON text for a function, raw text for a custom tool.
    pub arguments: String,
    /// Which shape of call it is.
    pub form: CallForm,
}

/// How a tool takes its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallForm {
    /// JSON arguments.
    Function,
    /// Free text.
    Custom,
}

/// Why a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stop {
    /// The model was done.
    End,
    /// The model waits for tool results.
    ToolCalls,
    /// The output limit was hit.
    Length,
    /// A filter of the model or its provider stopped it.
    ContentFilter,
    /// The customer's own guardrail stopped it.
    Guardrail,
}

impl Stop {
    /// The word used in scenarios and reports.
    pub fn word(self) -> &'static str {
        match self {
            Stop::End => "end",
            Stop::ToolCalls => "tool_calls",
            Stop::Length => "length",
            Stop::ContentFilter => "content_filter",
            Stop::Guardrail => "guardrail",
        }
    }
}

/// Token counts as the provider reports them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    pub total: u64,
    /// Input tokens read from a cache; `None` when not reported.
    pub cached: Option<u64>,
    /// Input tokens written to a cache; `None` when not reported.
    pub cache_write: Option<u64>,
    /// Output tokens spent on reasoning; `None` when not reported.
    pub reasoning: Option<u64>,
}

/// A failed turn, as it showed and as it is classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One word whatever the provider said: an id of the failure catalogue, or `unknown`.
    pub class: String,
    /// The layer that failed.
    pub layer: Layer,
    /// The HTTP status, when a response head arrived.
    pub status: Option<u16>,
    /// The provider's own code, e.g. `context_length_exceeded`; before a request left, the cause.
    pub code: Option<String>,
    /// The provider's own error type, e.g. `invalid_request_error`.
    pub kind: Option<String>,
    /// The field the provider blames.
    pub param: Option<String>,
    /// What was said, secrets removed, at most a few kilobytes.
    pub message: String,
    /// How long the provider asked us to wait.
    pub retry_after: Option<Duration>,
}

/// Where a failure happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Before a request left: credentials, region, configuration.
    Local,
    /// No usable HTTP response: name resolution, connection, TLS, a head that never came.
    Connection,
    /// An HTTP status (or a body that says what the status does not).
    Response,
    /// Inside a stream that began with success.
    Stream,
}

/// Something in the bytes that the decoder could not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Irregularity {
    /// Which event, counting from 0, or `None` for the stream as a whole.
    pub event: Option<usize>,
    /// A stable id, e.g. `sse/invalid-utf8`; rules of the same id turn it into a finding.
    pub id: &'static str,
    /// What was seen.
    pub detail: String,
}

/// Arrival times, all from the moment the request was handed to the transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// The response head.
    pub headers: Option<Duration>,
    /// The first event of any kind.
    pub first_event: Option<Duration>,
    /// The first event that carries output: text, reasoning or a call's arguments (TTFT).
    pub first_output: Option<Duration>,
    /// The first event that carried reasoning, text (refusals included) or part of a tool call.
    pub first_reasoning: Option<Duration>,
    pub first_text: Option<Duration>,
    pub first_call_output: Option<Duration>,
    /// The last event that carried output.
    pub last_output: Option<Duration>,
    /// The first tool call that was complete.
    pub first_call: Option<Duration>,
    /// The last byte.
    pub total: Option<Duration>,
    /// Events that carried output.
    pub output_events: u32,
    /// Reads of the socket that completed at least one output event.
    pub output_reads: u32,
}
