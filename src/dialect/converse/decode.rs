//! A finished exchange, or its bytes as they come, as Converse events and a trace.
//!
//! The only decode path: captured files come through here too. It never fails and never stops at a
//! broken event: what cannot be used is an irregularity, and the rest still counts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::catalog::failure::Failures;
use crate::dialect::Decoded;
use crate::dialect::converse::assemble::{Assembler, named};
use crate::dialect::failure::{Judge, broken, own};
use crate::dialect::wire::{Payload, WireEvent};
use crate::frame::event_stream::{
    CRC, EventStreamDecoder, FrameItem, Irregular, Message, MessageType, TRUNCATED,
};
use crate::frame::sse::Place;
use crate::turn::exchange::{Exchange, Head};
use crate::turn::trace::{Failure, Irregularity, Layer, TurnTrace};

/// How many irregularities are told one by one.
const TOLD: usize = 50;

/// Decodes a finished exchange.
pub fn exchange(
    provider: &str,
    failures: &Failures,
    exchange: &Exchange,
    streamed: bool,
) -> Decoded {
    let judge = Judge { provider, failures };
    let mut decoded = match &exchange.head {
        None => failed(broken(&exchange.end, None)),
        Some(head) if !(200..300).contains(&head.status) => {
            failed(Some(judge.status(head, &exchange.body)))
        }
        Some(head) if streamed => stream(&judge, head, exchange),
        Some(head) => match broken(&exchange.end, Some(head)) {
            Some(failure) => failed(Some(failure)),
            None => plain(&judge, head, exchange),
        },
    };
    let timing = &mut decoded.trace.timing;
    let last = exchange.reads.last().map(|read| read.at);
    timing.headers = exchange.head.as_ref().map(|head| head.at);
    timing.total = last.or(timing.headers);
    decoded
}

fn failed(failure: Option<Failure>) -> Decoded {
    Decoded {
        events: Vec::new(),
        trace: TurnTrace {
            failure,
            ..TurnTrace::default()
        },
        streamed: false,
        framed: true,
    }
}

fn stream(judge: &Judge<'_>, head: &Head, exchange: &Exchange) -> Decoded {
    let broken = broken(&exchange.end, Some(head));
    // A frame begins with the high byte of its length, which is zero in all that are short enough.
    if broken.is_none() && exchange.body.first().is_none_or(|first| *first > 1) {
        let mut decoded = plain(judge, head, exchange);
        if decoded.trace.failure.is_none() {
            decoded.trace.failure = Some(own(
                "bad_response",
                "a stream was asked for, and one JSON object came",
                Some(head.status),
            ));
        }
        return decoded;
    }
    let mut decoder = ConverseDecoder::new();
    let mut rest: &[u8] = &exchange.body;
    for read in &exchange.reads {
        let (bytes, later) = rest.split_at(read.len.min(rest.len()));
        decoder.push(read.at, bytes);
        rest = later;
    }
    if !rest.is_empty() {
        // The reads do not cover the body; what is left came by the end.
        decoder.push(exchange.total, rest);
    }
    decoder.finish(judge, Some(head), broken)
}

fn plain(judge: &Judge<'_>, head: &Head, exchange: &Exchange) -> Decoded {
    let place = Place {
        at: exchange.reads.last().map_or(exchange.total, |read| read.at),
        read: u32::try_from(exchange.reads.len().saturating_sub(1)).unwrap_or(u32::MAX),
        end: exchange.body.len() as u64,
    };
    plain_body(judge, Some(head), &exchange.body, place)
}

/// Decodes a body that is no stream: an answer object, or else a failure.
pub(crate) fn plain_body(
    judge: &Judge<'_>,
    head: Option<&Head>,
    body: &[u8],
    place: Place,
) -> Decoded {
    let answer = match serde_json::from_slice::<Value>(body) {
        Ok(value) if is_answer(&value) => value,
        _ => {
            let failure = judge.not_an_answer(head, body);
            let irregularity = Irregularity {
                event: None,
                id: "converse/not-an-answer",
                detail: failure.message.clone(),
            };
            let mut decoded = failed(Some(failure));
            decoded.trace.irregularities.push(irregularity);
            return decoded;
        }
    };
    let event = event(place, None, Payload::Json(answer));
    let mut assembler = Assembler::default();
    assembler.take_whole(&event);
    let failure = assembler
        .stop_reason()
        .and_then(|reason| malformed(reason, head.map(|head| head.status)));
    let mut trace = assembler.finish();
    trace.failure = failure;
    Decoded {
        events: vec![event],
        trace,
        streamed: false,
        framed: true,
    }
}

/// An answer has a message, or at least says why it stopped.
pub(crate) fn is_answer(value: &Value) -> bool {
    value["output"]["message"].is_object() || value["stopReason"].is_string()
}

/// A stop reason that says that the model's output could not be used.
fn malformed(reason: &str, status: Option<u16>) -> Option<Failure> {
    reason.starts_with("malformed_").then(|| {
        own(
            "bad_response",
            &format!("the model's output could not be used: stopReason {reason}"),
            status,
        )
    })
}

pub(crate) fn event(place: Place, name: Option<String>, payload: Payload) -> WireEvent {
    WireEvent {
        at: place.at,
        read: place.read,
        end: place.end,
        name,
        id: None,
        payload,
    }
}

/// An incremental decoder of one streamed answer.
#[derive(Debug, Default)]
pub struct ConverseDecoder {
    frames: EventStreamDecoder,
    events: Vec<WireEvent>,
    assembler: Assembler,
    irregularities: Vec<Irregularity>,
    untold: usize,
    /// Bytes came, and not events without framing.
    framed: bool,
}

impl ConverseDecoder {
    /// A decoder at the start of an answer.
    pub fn new() -> Self {
        ConverseDecoder::default()
    }

    /// Takes the bytes of one read that arrived at `at`.
    pub fn push(&mut self, at: Duration, bytes: &[u8]) {
        self.framed = true;
        self.frames.push(at, bytes);
        while let Some(item) = self.frames.next() {
            match item {
                FrameItem::Message(message) => self.push_event(of_message(message)),
                FrameItem::Irregular(Irregular { id, detail }) => self.note(None, id, detail),
            }
        }
    }

    /// Takes an event that comes without framing.
    pub fn push_event(&mut self, event: WireEvent) {
        let index = Some(self.events.len());
        match &event.payload {
            Payload::Malformed { text, reason } => {
                let detail = format!("{reason}: {}", text.chars().take(120).collect::<String>());
                self.note(index, "converse/malformed-json", detail);
            }
            Payload::Json(value) if named(&event).is_none() => {
                let detail: String = value.to_string().chars().take(120).collect();
                self.note(
                    index,
                    "converse/malformed-json",
                    format!("no event: {detail}"),
                );
            }
            Payload::Json(_) | Payload::Done => {}
        }
        self.assembler.take(&event);
        self.events.push(event);
    }

    /// Whether the turn is whole: a client need not read on.
    pub fn ended(&self) -> bool {
        self.assembler.stop_reason().is_some() || self.assembler.error().is_some()
    }

    /// The answer is over. `broken` is the failure of the connection, if that is how it ended;
    /// `head` is `None` for a captured file.
    pub fn finish(
        mut self,
        judge: &Judge<'_>,
        head: Option<&Head>,
        broken: Option<Failure>,
    ) -> Decoded {
        if let Some(Irregular { id, detail }) = std::mem::take(&mut self.frames).finish() {
            self.note(None, id, detail);
        }
        if self.untold > 0 {
            self.irregularities.push(Irregularity {
                event: None,
                id: "converse/malformed-json",
                detail: format!("and {} more of these", self.untold),
            });
        }
        let failure = self.failure(judge, head, broken);
        let mut trace = self.assembler.finish();
        trace.failure = failure;
        trace.irregularities = self.irregularities;
        Decoded {
            events: self.events,
            trace,
            streamed: true,
            framed: self.framed,
        }
    }

    /// What the turn failed by: what the server told weighs more than how the connection ended.
    fn failure(
        &self,
        judge: &Judge<'_>,
        head: Option<&Head>,
        broken: Option<Failure>,
    ) -> Option<Failure> {
        // A captured file comes from a stream that had begun, so it had a status of success.
        let status = head.map_or(200, |head| head.status);
        if let Some(error) = self.assembler.error() {
            return Some(judge.told(error, Layer::Stream, Some(status)));
        }
        if let Some(reason) = self.assembler.stop_reason() {
            // A turn that said why it stopped is whole, whatever the connection did afterwards.
            return malformed(reason, Some(status));
        }
        if broken.is_some() {
            return broken;
        }
        let count = self.events.len();
        let frame = self
            .irregularities
            .iter()
            .find(|one| one.id.starts_with("event-stream/"));
        let (class, message) = match frame {
            Some(one) if one.id == TRUNCATED => ("stream_truncated", one.detail.clone()),
            Some(one) if one.id == CRC => (
                "bad_response",
                format!("the bytes were changed on their way: {}", one.detail),
            ),
            Some(one) => ("bad_response", one.detail.clone()),
            None => (
                "stream_truncated",
                format!("the stream ended after {count} events without messageStop"),
            ),
        };
        Some(own(class, &message, Some(status)))
    }

    fn note(&mut self, event: Option<usize>, id: &'static str, detail: String) {
        if self.irregularities.len() < TOLD || id.starts_with("event-stream/") && self.untold < TOLD
        {
            self.irregularities.push(Irregularity { event, id, detail });
        } else {
            self.untold += 1;
        }
    }
}

/// A message in the form of an event.
fn of_message(message: Message) -> WireEvent {
    let Message {
        kind,
        name,
        error_message,
        payload,
        place,
        ..
    } = message;
    if kind == MessageType::Error {
        let error = json!({ "code": name, "message": error_message.unwrap_or_default() });
        let payload = Payload::Json(json!({ "error": error }));
        return event(place, Some("error".to_owned()), payload);
    }
    let payload = match serde_json::from_slice::<Value>(&payload) {
        Ok(value) => Payload::Json(json!({ name.as_str(): value })),
        Err(error) => Payload::Malformed {
            text: String::from_utf8_lossy(&payload).into_owned(),
            reason: error.to_string(),
        },
    };
    event(place, Some(name), payload)
}
