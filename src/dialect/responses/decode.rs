//! A finished exchange, or its bytes as they come, as Responses events and a trace.
//!
//! The only decode path: captured files come through here too. It never fails and never stops at a
//! broken event: what cannot be used is an irregularity, and the rest still counts.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use crate::catalog::failure::Failures;
use crate::dialect::Decoded;
use crate::dialect::failure::{Judge, broken, own};
use crate::dialect::responses::assemble::{Assembler, Outcome};
use crate::dialect::wire::{Payload, WireEvent};
use crate::frame::sse::{Irregular, Place, SseDecoder, SseItem};
use crate::turn::exchange::{Exchange, Head};
use crate::turn::trace::{Failure, Irregularity, Layer, TurnTrace};

/// How many irregularities of one id are told one by one; the rest are counted.
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
        Some(head) => plain_exchange(&judge, head, exchange),
    };
    let timing = &mut decoded.trace.timing;
    timing.headers = exchange.head.as_ref().map(|head| head.at);
    timing.total = last_byte(exchange);
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
    }
}

/// When the last byte came: of the body, or of the head where there is no body.
fn last_byte(exchange: &Exchange) -> Option<Duration> {
    let body = exchange.reads.last().map(|read| read.at);
    body.or_else(|| exchange.head.as_ref().map(|head| head.at))
}

fn stream(judge: &Judge<'_>, head: &Head, exchange: &Exchange) -> Decoded {
    let mut decoder = ResponsesDecoder::new();
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
    decoder.end_frames();
    let broken = broken(&exchange.end, Some(head));
    if decoder.said_nothing() && broken.is_none() {
        // No stream at all. A whole answer is decoded, to show what was there, but a client that
        // asked for a stream cannot use it.
        let mut decoded = plain(judge, Some(head), exchange);
        if decoded.trace.failure.is_none() {
            decoded.trace.failure = Some(own(
                "bad_response",
                "a stream was asked for, and one JSON object came",
                Some(head.status),
            ));
        }
        return decoded;
    }
    decoder.finish(judge, Some(head), broken)
}

fn plain_exchange(judge: &Judge<'_>, head: &Head, exchange: &Exchange) -> Decoded {
    match broken(&exchange.end, Some(head)) {
        Some(failure) => failed(Some(failure)),
        None => plain(judge, Some(head), exchange),
    }
}

fn plain(judge: &Judge<'_>, head: Option<&Head>, exchange: &Exchange) -> Decoded {
    let place = Place {
        at: exchange.reads.last().map_or(exchange.total, |read| read.at),
        read: u32::try_from(exchange.reads.len().saturating_sub(1)).unwrap_or(u32::MAX),
        end: exchange.body.len() as u64,
    };
    plain_body(judge, head, &exchange.body, place)
}

/// Decodes a body that is no stream: a response object, or else a failure.
pub(crate) fn plain_body(
    judge: &Judge<'_>,
    head: Option<&Head>,
    body: &[u8],
    place: Place,
) -> Decoded {
    let response = match serde_json::from_slice::<Value>(body) {
        Ok(value) if is_response(&value) => value,
        _ => {
            let failure = judge.not_an_answer(head, body);
            let irregularity = Irregularity {
                event: None,
                id: "responses/not-a-response",
                detail: failure.message.clone(),
            };
            let mut decoded = failed(Some(failure));
            decoded.trace.irregularities.push(irregularity);
            return decoded;
        }
    };
    let event = WireEvent {
        at: place.at,
        read: place.read,
        end: place.end,
        name: None,
        id: None,
        payload: Payload::Json(response),
    };
    let mut assembler = Assembler::default();
    assembler.take_response(&event);
    let failure = match (assembler.outcome(), assembler.error()) {
        (Some(Outcome::Failed), error) => {
            let status = head.map(|head| head.status);
            Some(judge.told(error.unwrap_or_default(), Layer::Response, status))
        }
        _ => None,
    };
    let mut trace = assembler.finish();
    trace.failure = failure;
    Decoded {
        events: vec![event],
        trace,
        streamed: false,
    }
}

/// A response object says so, or at least has a list of output items.
fn is_response(value: &Value) -> bool {
    value["object"] == "response" || value["output"].is_array()
}

/// The most events of one answer that are kept. A long real answer has some ten thousand.
pub const MOST_EVENTS: usize = 500_000;

/// An incremental decoder of one streamed answer.
#[derive(Debug, Default)]
pub struct ResponsesDecoder {
    sse: SseDecoder,
    /// A comment came, or part of an event: it is a stream, if one without events.
    stream: bool,
    too_long: bool,
    too_many: bool,
    events: Vec<WireEvent>,
    assembler: Assembler,
    irregularities: Vec<Irregularity>,
    counts: HashMap<&'static str, usize>,
}

impl ResponsesDecoder {
    /// A decoder at the start of an answer.
    pub fn new() -> Self {
        ResponsesDecoder::default()
    }

    /// Takes the bytes of one read that arrived at `at`.
    pub fn push(&mut self, at: Duration, bytes: &[u8]) {
        self.sse.push(at, bytes);
        while let Some(item) = self.sse.next() {
            match item {
                SseItem::Event(event) => self.push_event(WireEvent {
                    at: event.place.at,
                    read: event.place.read,
                    end: event.place.end,
                    name: event.name,
                    id: event.id,
                    payload: payload(event.data),
                }),
                SseItem::Comment { .. } => self.stream = true,
                SseItem::Irregular(irregular) => {
                    // It stands in the event that is not complete yet.
                    let event = self.events.len();
                    self.frame_note(Some(event), irregular);
                }
            }
        }
    }

    /// Takes an event that comes without framing.
    pub fn push_event(&mut self, event: WireEvent) {
        if self.events.len() >= MOST_EVENTS {
            if !std::mem::replace(&mut self.too_many, true) {
                let detail = format!("more than {MOST_EVENTS} events");
                self.note(None, "responses/events-within-limit", detail);
            }
            return;
        }
        let index = Some(self.events.len());
        match &event.payload {
            Payload::Malformed { text, reason } => {
                let detail = format!("{reason}: {}", beginning(text));
                self.note(index, "responses/malformed-json", detail);
            }
            Payload::Json(value) if event.kind().is_none() => {
                let detail = format!("no type: {}", beginning(&value.to_string()));
                self.note(index, "responses/event-without-type", detail);
            }
            Payload::Json(_) | Payload::Done => {}
        }
        self.assembler.take(&event);
        self.events.push(event);
    }

    /// Whether nothing came that a stream of events would have, once its frames are ended.
    fn said_nothing(&self) -> bool {
        self.events.is_empty() && !self.stream
    }

    /// Whether the terminal event has come: a client need not read on.
    pub fn ended(&self) -> bool {
        self.assembler.outcome().is_some()
    }

    /// The answer is over. `broken` is the failure of the connection, if that is how it ended;
    /// `head` is `None` for a captured file.
    pub fn finish(
        mut self,
        judge: &Judge<'_>,
        head: Option<&Head>,
        broken: Option<Failure>,
    ) -> Decoded {
        self.end_frames();
        let mut over: Vec<(&'static str, usize)> = self.counts.drain().collect();
        over.sort_unstable();
        for (id, count) in over.into_iter().filter(|(_, count)| *count > TOLD) {
            self.irregularities.push(Irregularity {
                event: None,
                id,
                detail: format!("and {} more of these", count - TOLD),
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
        }
    }

    /// No more bytes come: what was left unfinished is noted.
    fn end_frames(&mut self) {
        for irregular in std::mem::take(&mut self.sse).finish() {
            self.frame_note(None, irregular);
        }
        for irregularity in &mut self.irregularities {
            // The event they stood in was never completed.
            if irregularity.event >= Some(self.events.len()) {
                irregularity.event = None;
            }
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
        let told = |envelope| judge.told(envelope, Layer::Stream, Some(status));
        match (self.assembler.outcome(), self.assembler.error()) {
            (Some(Outcome::Failed), error) => return Some(told(error.unwrap_or_default())),
            // A turn that reached its end is whole, whatever the connection did afterwards.
            (Some(_), _) => return None,
            (None, Some(error)) => return Some(told(error)),
            (None, None) => {}
        }
        if broken.is_some() {
            return broken;
        }
        let count = self.events.len();
        let (class, message) = if self.too_long {
            (
                "answer_too_big",
                "a line is longer than what is kept".to_owned(),
            )
        } else if self.too_many {
            (
                "answer_too_big",
                format!("there are more than {MOST_EVENTS} events"),
            )
        } else if count > 0 && !self.events.iter().any(is_of_dialect) {
            (
                "bad_response",
                format!("none of {count} events is one of the Responses API"),
            )
        } else {
            (
                "stream_truncated",
                format!(
                    "the stream ended after {count} events without response.completed, \
                     response.incomplete or response.failed"
                ),
            )
        };
        Some(own(class, &message, Some(status)))
    }

    fn frame_note(&mut self, event: Option<usize>, irregular: Irregular) {
        self.stream |= matches!(
            irregular.id,
            "sse/unterminated-event" | "sse/event-without-data" | "sse/line-too-long"
        );
        self.too_long |= irregular.id == "sse/line-too-long";
        self.note(event, irregular.id, irregular.detail);
    }

    fn note(&mut self, event: Option<usize>, id: &'static str, detail: String) {
        let count = self.counts.entry(id).or_default();
        *count += 1;
        if *count <= TOLD {
            self.irregularities.push(Irregularity { event, id, detail });
        }
    }
}

/// What the data of an event is.
pub(crate) fn payload(data: String) -> Payload {
    if data == "[DONE]" {
        return Payload::Done;
    }
    match serde_json::from_str(&data) {
        Ok(value) => Payload::Json(value),
        Err(error) => Payload::Malformed {
            reason: error.to_string(),
            text: data,
        },
    }
}

fn is_of_dialect(event: &WireEvent) -> bool {
    event
        .kind()
        .is_some_and(|kind| kind == "error" || kind.starts_with("response."))
}

/// The beginning of a text, for a note.
fn beginning(text: &str) -> String {
    text.chars().take(120).collect()
}
