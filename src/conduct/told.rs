//! What is told of an exchange: its record with everything secret blanked, and its outline.
//!
//! Pure. Decides nothing about what it tells.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::dialect::Decoded;
use crate::report::event::ExchangeRecord;
use crate::scenario::model::Scenario;
use crate::turn::dialogue;
use crate::turn::exchange::{End, Exchange};
use crate::turn::trace::{Content, TurnTrace};

/// A response body is kept as evidence of a failure up to this size.
const EVIDENCE_BYTES: usize = 16 * 1024;

/// The headers as sent, with every one that authorisation added or changed blanked.
pub fn redacted(
    before: Vec<(String, String)>,
    after: &[(String, String)],
) -> Vec<(String, String)> {
    after
        .iter()
        .map(|header| {
            if before.contains(header) {
                header.clone()
            } else {
                (header.0.clone(), "(redacted)".to_owned())
            }
        })
        .collect()
}

/// SHA-256 of the provider-neutral turn, hexadecimal.
pub fn digest(scenario: &Scenario, index: usize) -> String {
    let neutral = dialogue::neutral(scenario, index).to_string();
    Sha256::digest(neutral.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// An exchange and all that is known around it.
pub struct Told<'a> {
    pub cell: usize,
    pub index: usize,
    /// Counting from 1.
    pub attempt: usize,
    pub scenario: &'a Scenario,
    pub method: &'static str,
    pub url: String,
    /// Without secrets.
    pub request_headers: Vec<(String, String)>,
    /// Without secrets.
    pub response_headers: Vec<(String, String)>,
    pub body: &'a Value,
    pub exchange: &'a Exchange,
    pub decoded: &'a Decoded,
}

impl Told<'_> {
    /// The record of it; the whole body only where streams are kept or the turn failed.
    pub fn record(self, keep_streams: bool) -> ExchangeRecord {
        let Told {
            cell,
            index,
            attempt,
            scenario,
            method,
            url,
            request_headers,
            response_headers,
            body,
            exchange,
            decoded,
        } = self;
        let trace = &decoded.trace;
        let response_body = if keep_streams {
            Some(exchange.body.to_vec())
        } else if trace.failure.is_some() {
            Some(exchange.body[..exchange.body.len().min(EVIDENCE_BYTES)].to_vec())
        } else {
            None
        };
        ExchangeRecord {
            cell,
            turn: index + 1,
            attempt,
            digest: digest(scenario, index),
            method: method.to_owned(),
            url,
            request_headers,
            request_body: match body {
                Value::Null => String::new(),
                body => body.to_string(),
            },
            status: exchange.head.as_ref().map(|head| head.status),
            response_headers,
            end: end_words(&exchange.end),
            failure: trace.failure.as_ref().map(|failure| failure.class.clone()),
            headers_after: exchange.head.as_ref().map(|head| head.at),
            retry_after: trace
                .failure
                .as_ref()
                .and_then(|failure| failure.retry_after),
            ttft: trace.timing.first_output,
            total: Some(exchange.total),
            response_bytes: exchange.body.len() as u64,
            events: decoded.events.len() as u64,
            response_body,
        }
    }
}

fn end_words(end: &End) -> String {
    match end {
        End::Complete => "complete".to_owned(),
        End::Unreachable { reason } => format!("unreachable: {reason}"),
        End::NoHead { after } => format!("no response head after {after:?}"),
        End::Refused { reason } => format!("refused: {reason}"),
        End::Dropped { reason } => format!("dropped: {reason}"),
        End::Stalled { after } => format!("stalled after {after:?}"),
        End::TooLong { after } => format!("longer than {after:?}"),
        End::TooBig { limit } => format!("more than {limit} bytes"),
    }
}

/// What an answer did, on one line.
pub fn outline(trace: &TurnTrace) -> String {
    if let Some(failure) = &trace.failure {
        return format!("fails: {}", failure.class);
    }
    let mut parts = Vec::new();
    for item in &trace.items {
        parts.push(match &item.content {
            Content::Text { .. } => "text".to_owned(),
            Content::Refusal { .. } => "refusal".to_owned(),
            Content::Reasoning { .. } => "reasoning".to_owned(),
            Content::Call(call) => format!("calls {}", call.name),
            Content::Other { kind } => kind.clone(),
        });
    }
    if let Some(stop) = trace.stop {
        parts.push(format!("({})", stop.word()));
    }
    parts.join(", ")
}
