//! Captured files: the same decoding, without a connection.
//!
//! What a file is shows in its first bytes: the frames of a stream (Server-Sent Events, or what else
//! carries the dialect), one JSON event per line, or one JSON answer. A file has no arrival times, so none are given.

use std::time::Duration;

use serde_json::Value;

use crate::catalog;
use crate::dialect::Decoded;
use crate::dialect::answer::{AnswerDecoder, Fold, plain_body};
use crate::dialect::carrier::{Carrier, payload, wire_event};
use crate::dialect::failure::Judge;
use crate::dialect::wire::{Payload, WireEvent};
use crate::frame::sse::Place;
use crate::turn::trace::Timing;

/// What a file holds.
enum Form {
    Stream,
    Lines,
    Plain,
}

/// Decodes a file as one answer.
pub fn one<F: Fold>(bytes: &[u8]) -> Decoded {
    match form::<F>(bytes) {
        Form::Lines => {
            let mut decoder = AnswerDecoder::<F>::new();
            for event in lines::<F>(bytes) {
                decoder.push_event(event);
            }
            untimed(decoder.finish(&judge(), None, None))
        }
        Form::Stream => {
            let mut decoder = AnswerDecoder::<F>::new();
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
            untimed(plain_body(F::default(), &judge(), None, bytes, place))
        }
    }
}

/// Decodes a file that may hold several answers, one after the other.
pub fn all<F: Fold>(bytes: &[u8]) -> Vec<Decoded> {
    if !matches!(form::<F>(bytes), Form::Lines) {
        return vec![one::<F>(bytes)];
    }
    let mut answers = Vec::new();
    let mut decoder = AnswerDecoder::<F>::new();
    for event in lines::<F>(bytes) {
        if decoder.is_next(&event) {
            let whole = std::mem::replace(&mut decoder, AnswerDecoder::new());
            answers.push(untimed(whole.finish(&judge(), None, None)));
        }
        decoder.push_event(event);
    }
    answers.push(untimed(decoder.finish(&judge(), None, None)));
    answers
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

fn form<F: Fold>(bytes: &[u8]) -> Form {
    let framed = F::CARRIER == Carrier::EventStream;
    if framed && F::CARRIER.may_begin(bytes) {
        return Form::Stream;
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = text.trim_ascii();
    // No line of an event stream that means anything begins with a brace.
    if text.is_empty() || text[0] != b'{' {
        return match text.first() {
            Some(b'<' | b'[') => Form::Plain,
            _ if framed => Form::Lines,
            _ => Form::Stream,
        };
    }
    match serde_json::from_slice::<Value>(text) {
        Ok(value) if F::is_answer(&value) => Form::Plain,
        Ok(value) => match F::is_event(&event::<F>(Payload::Json(value), 0)) {
            true => Form::Lines,
            false => Form::Plain,
        },
        // More than one value, or a broken one.
        Err(_) => Form::Lines,
    }
}

fn lines<F: Fold>(bytes: &[u8]) -> Vec<WireEvent> {
    let mut events = Vec::new();
    let mut end = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        end += line.len() as u64;
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            continue;
        }
        events.push(event::<F>(payload(text), end));
    }
    events
}

/// An event without framing.
fn event<F: Fold>(payload: Payload, end: u64) -> WireEvent {
    let name = match &payload {
        Payload::Json(value) => F::name_of(value),
        _ => None,
    };
    let place = Place {
        at: Duration::ZERO,
        read: 0,
        end,
    };
    wire_event(place, name, payload)
}
