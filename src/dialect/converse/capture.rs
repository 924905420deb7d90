//! Captured files: the same decoding, without a connection.
//!
//! What a file is shows in its first bytes: event-stream frames begin with a zero (the high byte of
//! a length), JSON with a brace. A file has no arrival times, so none are given.

use std::time::Duration;

use serde_json::Value;

use crate::catalog;
use crate::dialect::Decoded;
use crate::dialect::converse::assemble::named;
use crate::dialect::converse::decode::{ConverseDecoder, event, is_answer, plain_body};
use crate::dialect::failure::Judge;
use crate::dialect::wire::{Payload, WireEvent};
use crate::frame::sse::Place;
use crate::turn::trace::Timing;

/// Decodes a file as one answer.
pub fn one(bytes: &[u8]) -> Decoded {
    if bytes.first().is_some_and(|first| *first <= 1) {
        let mut decoder = ConverseDecoder::new();
        decoder.push(Duration::ZERO, bytes);
        return untimed(decoder.finish(&judge(), None, None));
    }
    if is_whole(bytes) {
        let place = place(bytes.len() as u64);
        return untimed(plain_body(&judge(), None, bytes, place));
    }
    of_events(lines(bytes))
}

/// Decodes a file that may hold several answers, one after the other: a new one begins where a
/// message starts after another has stopped.
pub fn all(bytes: &[u8]) -> Vec<Decoded> {
    if bytes.first().is_some_and(|first| *first <= 1) || is_whole(bytes) {
        return vec![one(bytes)];
    }
    let mut answers: Vec<Vec<WireEvent>> = vec![Vec::new()];
    let mut ended = false;
    for event in lines(bytes) {
        let name = named(&event).map_or("", |(name, _)| name);
        if ended && name == "messageStart" {
            answers.push(Vec::new());
            ended = false;
        }
        ended |= name == "messageStop";
        if let Some(answer) = answers.last_mut() {
            answer.push(event);
        }
    }
    answers.into_iter().map(of_events).collect()
}

/// One JSON value that is no event: an answer, an error body, or something else altogether.
fn is_whole(bytes: &[u8]) -> bool {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(fields)) => {
            fields.len() != 1 || is_answer(&Value::Object(fields.clone())) || {
                !fields.values().all(Value::is_object)
            }
        }
        Ok(_) => true,
        Err(_) => matches!(bytes.trim_ascii().first(), Some(b'<' | b'[')),
    }
}

fn of_events(events: Vec<WireEvent>) -> Decoded {
    let mut decoder = ConverseDecoder::new();
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

fn place(end: u64) -> Place {
    Place {
        at: Duration::ZERO,
        read: 0,
        end,
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
        let payload = match serde_json::from_str(text) {
            Ok(value) => Payload::Json(value),
            Err(error) => Payload::Malformed {
                text: text.to_owned(),
                reason: error.to_string(),
            },
        };
        let mut event = event(place(end), None, payload);
        event.name = named(&event).map(|(name, _)| name.to_owned());
        events.push(event);
    }
    events
}
