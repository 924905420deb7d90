//! What carries the events of a stream: server-sent events, or the frames of an AWS event stream.
//!
//! One interface over the two decoders, so that everything after them is the same code.

use std::time::Duration;

use serde_json::{Value, json};

use crate::dialect::wire::{Payload, WireEvent};
use crate::frame::event_stream::{EventStreamDecoder, FrameItem, Message, MessageType};
use crate::frame::sse::{Irregular as SseIrregular, Place, SseData, SseDecoder, SsePart};

/// The two carriers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// `text/event-stream`.
    ServerSentEvents,
    /// `application/vnd.amazon.eventstream`.
    EventStream,
}

impl Carrier {
    /// Whether a body begins as this carrier's streams do, or may do so.
    pub fn may_begin(self, body: &[u8]) -> bool {
        match self {
            Carrier::ServerSentEvents => true,
            // The high byte of a length, which is zero in all frames that are short enough.
            Carrier::EventStream => body.first().is_some_and(|first| *first <= 1),
        }
    }
}

/// Something the bytes said, in order.
#[derive(Debug)]
pub(crate) enum Carried<'a> {
    Data(SseData<'a>),
    Message(Message),
    /// A comment: it is a stream, if one without events.
    Comment,
    Irregular {
        id: &'static str,
        detail: String,
    },
}

/// The decoder of either.
#[derive(Debug)]
pub(crate) enum Frames {
    Sse(Box<SseDecoder>),
    EventStream(EventStreamDecoder),
}

impl Frames {
    pub(crate) fn new(carrier: Carrier) -> Frames {
        match carrier {
            Carrier::ServerSentEvents => Frames::Sse(Box::default()),
            Carrier::EventStream => Frames::EventStream(EventStreamDecoder::new()),
        }
    }

    /// Takes the bytes of one read that arrived at `at`; what they complete goes to `out`.
    pub(crate) fn push(&mut self, at: Duration, bytes: &[u8], mut out: impl FnMut(Carried<'_>)) {
        match self {
            Frames::Sse(sse) => {
                sse.push_to(at, bytes, &mut |part| {
                    out(match part {
                        SsePart::Event(event) => Carried::Data(event),
                        SsePart::Comment { .. } => Carried::Comment,
                        SsePart::Irregular(SseIrregular { id, detail, .. }) => {
                            Carried::Irregular { id, detail }
                        }
                    });
                });
            }
            Frames::EventStream(frames) => frames.push(at, bytes, |item| {
                out(match item {
                    FrameItem::Message(message) => Carried::Message(message),
                    FrameItem::Irregular(one) => Carried::Irregular {
                        id: one.id,
                        detail: one.detail,
                    },
                });
            }),
        }
    }

    /// No more bytes come: what was left unfinished. Says nothing when asked again.
    pub(crate) fn finish(&mut self) -> Vec<(&'static str, String)> {
        match self {
            Frames::Sse(sse) => std::mem::take(sse)
                .finish()
                .into_iter()
                .map(|one| (one.id, one.detail))
                .collect(),
            Frames::EventStream(frames) => std::mem::take(frames)
                .finish()
                .into_iter()
                .map(|one| (one.id, one.detail))
                .collect(),
        }
    }
}

/// An event without an id.
pub(crate) fn wire_event(place: Place, name: Option<String>, payload: Payload) -> WireEvent {
    WireEvent {
        at: place.at,
        read: place.read,
        end: place.end,
        name,
        id: None,
        payload,
    }
}

/// A server-sent event, read whole.
pub(crate) fn data_event(event: SseData<'_>) -> WireEvent {
    WireEvent {
        name: event.name.map(str::to_owned),
        id: event.id.map(str::to_owned),
        ..wire_event(event.place, None, payload(event.data))
    }
}

/// What the data of an event is.
pub(crate) fn payload(data: &str) -> Payload {
    if data == "[DONE]" {
        return Payload::Done;
    }
    match serde_json::from_str(data) {
        Ok(value) => Payload::Json(value),
        Err(error) => Payload::Malformed {
            reason: error.to_string(),
            text: data.to_owned(),
        },
    }
}

/// A message in the form that recordings write it: `{"name": {…}}`; an error without a model as
/// `{"error": {"code", "message"}}`.
pub(crate) fn named_message(message: Message) -> WireEvent {
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
        return wire_event(place, Some("error".to_owned()), payload);
    }
    let payload = match serde_json::from_slice::<Value>(&payload) {
        Ok(value) => Payload::Json(json!({ name.as_str(): value })),
        Err(error) => Payload::Malformed {
            text: String::from_utf8_lossy(&payload).into_owned(),
            reason: error.to_string(),
        },
    };
    wire_event(place, Some(name), payload)
}

/// `throttlingException` as an exception of a response is called: with a capital.
pub(crate) fn exception_type(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + letters.as_str()
    })
}
