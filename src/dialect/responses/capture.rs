//! Captured files: the same decoding, without a connection.
//!
//! What a file is shows in its first bytes: Server-Sent Events, one JSON event per line, or one JSON
//! answer. A file has no arrival times, so none are given.

use std::time::Duration;

use serde_json::Value;

use crate::catalog;
use crate::dialect::Decoded;
use crate::dialect::failure::Judge;
use crate::dialect::responses::decode::{ResponsesDecoder, payload, plain_body};
use crate::dialect::wire::WireEvent;
use crate::frame::sse::Place;
use crate::turn::trace::Timing;

/// What a file holds.
enum Form {
    Sse,
    Lines,
    Plain,
}

/// Decodes a file as one answer.
pub fn one(bytes: &[u8]) -> Decoded {
    match form(bytes) {
        Form::Lines => of_events(lines(bytes)),
        Form::Sse => {
            let mut decoder = ResponsesDecoder::new();
            decoder.push(Duration::ZERO, bytes);
            // A lone CR needs no next byte, so all that can be complete is complete now.
            untimed(decoder.finish(&judge(), None, None))
        }
        Form::Plain => {
            let place = Place {
                at: Duration::ZERO,
                read: 0,
                end: bytes.len() as u64,
            };
            untimed(plain_body(&judge(), None, bytes, place))
        }
    }
}

/// Decodes a file that may hold several answers, one after the other.
pub fn all(bytes: &[u8]) -> Vec<Decoded> {
    if !matches!(form(bytes), Form::Lines) {
        return vec![one(bytes)];
    }
    let mut answers: Vec<Vec<WireEvent>> = vec![Vec::new()];
    let mut ended = false;
    for event in lines(bytes) {
        let kind = event.kind().unwrap_or("");
        if ended && kind == "response.created" {
            answers.push(Vec::new());
            ended = false;
        }
        ended |= matches!(
            kind,
            "response.completed" | "response.incomplete" | "response.failed"
        );
        if let Some(answer) = answers.last_mut() {
            answer.push(event);
        }
    }
    answers.into_iter().map(of_events).collect()
}

fn of_events(events: Vec<WireEvent>) -> Decoded {
    let mut decoder = ResponsesDecoder::new();
    for event in events {
        decoder.push_event(event);
    }
    untimed(decoder.finish(&judge(), None, None))
}

/// A file does not say who sent it.
fn judge() -> Judge<'static> {
    Judge {
        provider: "",
        failures: &catalog::shipped().failures,
    }
}

fn untimed(mut decoded: Decoded) -> Decoded {
    let timing = decoded.trace.timing;
    decoded.trace.timing = Timing {
        output_events: timing.output_events,
        output_reads: timing.output_reads,
        ..Timing::default()
    };
    decoded
}

fn form(bytes: &[u8]) -> Form {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = text.trim_ascii();
    // No line of an event stream that means anything begins with a brace.
    if text.is_empty() || text[0] != b'{' {
        return match text.first() {
            Some(b'<' | b'[') => Form::Plain,
            _ => Form::Sse,
        };
    }
    match serde_json::from_slice::<Value>(text) {
        Ok(value) if value["type"].is_string() => Form::Lines,
        Ok(_) => Form::Plain,
        // More than one value, or a broken one.
        Err(_) => Form::Lines,
    }
}

fn lines(bytes: &[u8]) -> Vec<WireEvent> {
    let mut events = Vec::new();
    let mut end = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        end += line.len() as u64;
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            continue;
        }
        events.push(WireEvent {
            at: Duration::ZERO,
            read: 0,
            end,
            name: None,
            id: None,
            payload: payload(text.to_owned()),
        });
    }
    events
}
