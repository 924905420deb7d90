//! A finished exchange, or its bytes as they come, as events and a trace: the one decode path of all
//! dialects, whatever carries their events. What the events mean is each dialect's [`Fold`].
//!
//! Captured files come through here too. It never fails and never stops at a broken event: what
//! cannot be used is an irregularity, and the rest still counts.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use crate::catalog::failure::Failures;
use crate::dialect::Decoded;
use crate::dialect::carrier::{Carried, Carrier, Frames, data_event, named_message, wire_event};
use crate::dialect::failure::{Envelope, Judge, broken, own};
use crate::dialect::stream::{Output, OutputCount, Outputs};
use crate::dialect::wire::{Payload, WireEvent};
use crate::frame::event_stream::{CRC, Message, TRUNCATED};
use crate::frame::sse::{Place, SseData};
use crate::turn::exchange::{End, Exchange, Head};
use crate::turn::trace::{Failure, Irregularity, Layer, TurnTrace};

/// How many irregularities of one id are told one by one; the rest are counted.
const TOLD: usize = 50;

/// What a dialect makes of its events, fed one after the other.
pub trait Fold: Default {
    /// What the dialect is called in messages.
    const NAME: &'static str;
    /// What ends a whole stream, for the message where it never came.
    const END: &'static str;
    /// The irregularity of a plain body that is no answer.
    const NOT_AN_ANSWER: &'static str;
    /// Whether a stream is whole when its body ends as HTTP says, without an event that ends it.
    const ENDS_WITH_BODY: bool = false;
    /// What carries its streams.
    const CARRIER: Carrier = Carrier::ServerSentEvents;
    /// The irregularity of an event whose data is no JSON.
    const MALFORMED: &'static str = "sse/malformed-json";

    /// Whether a plain body is an answer of this dialect.
    fn is_answer(body: &Value) -> bool;
    /// Whether an event is one of this dialect, good or bad.
    fn is_event(event: &WireEvent) -> bool;
    /// What makes an event useless that is JSON: the id of the irregularity, and why.
    fn flaw(event: &WireEvent) -> Option<(&'static str, &'static str)>;
    /// The event that a message of an event stream is, where that is the carrier.
    fn of_message(message: Message) -> WireEvent {
        named_message(message)
    }
    /// The name of an event that was written down without its framing.
    fn name_of(_: &Value) -> Option<String> {
        None
    }
    /// Takes the next event of a stream, and says what output it carried.
    fn take(&mut self, event: &WireEvent) -> Outputs;
    /// Takes the next event of a stream by its `event:` field and its data, where that can be done without
    /// reading all of it: `None` leaves everything to [`Fold::take`], and what it takes must come to
    /// what `take` makes of it. It must be an event of this dialect, without a flaw.
    fn take_data(&mut self, _name: Option<&str>, _data: &str, _at: Duration) -> Option<Outputs> {
        None
    }
    /// Takes a plain answer, whole.
    fn take_whole(&mut self, event: &WireEvent) -> Outputs;
    /// Whether the last event came that belongs to a turn; what ends a turn may not be the last.
    fn closed(&self) -> bool {
        false
    }
    /// How the turn ended; `None` while it has not.
    fn over(&self) -> Option<Over>;
    /// Whether this event is the first of another answer, in a file that has several.
    fn is_next(&self, event: &WireEvent) -> bool;
    /// The error that was told, if one was.
    fn error(&self) -> Option<Envelope>;
    /// Why a turn that reached its end is of no use all the same; `None` where it is.
    fn unusable(&self) -> Option<String> {
        None
    }
    /// What it all came to. Failure, irregularities and the times of head and end are not known here.
    fn finish(self) -> TurnTrace;
}

/// How a turn ended, as far as decoding goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// It said why it ended.
    Whole,
    /// It said that it failed.
    Failed,
}

/// Decodes a finished exchange.
pub fn exchange<F: Fold>(
    provider: &str,
    failures: &Failures,
    exchange: &Exchange,
    streamed: bool,
) -> Decoded {
    exchange_with(F::default(), provider, failures, exchange, streamed)
}

/// The same with a fold that was told something before it starts.
pub fn exchange_with<F: Fold>(
    fold: F,
    provider: &str,
    failures: &Failures,
    exchange: &Exchange,
    streamed: bool,
) -> Decoded {
    let judge = Judge { provider, failures };
    let Some(head) = &exchange.head else {
        let mut decoded = failed(broken(&exchange.end, None));
        decoded.trace.timing.total = exchange.reads.last().map(|read| read.at);
        return decoded;
    };
    let mut decoder = AnswerDecoder::with(fold, true);
    if streamed && is_success(head) {
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
    }
    let body = Body {
        bytes: Some(&exchange.body),
        len: exchange.body.len() as u64,
        reads: u32::try_from(exchange.reads.len()).unwrap_or(u32::MAX),
        last_read: exchange.reads.last().map(|read| read.at),
        total: exchange.total,
    };
    conclude(decoder, &judge, head, &exchange.end, &body, streamed)
}

/// A body that has ended, as far as it was kept.
pub(crate) struct Body<'a> {
    /// Its beginning or all of it; `None` where it was not kept because output came.
    pub(crate) bytes: Option<&'a [u8]>,
    pub(crate) len: u64,
    pub(crate) reads: u32,
    pub(crate) last_read: Option<Duration>,
    /// When the exchange ended.
    pub(crate) total: Duration,
}

/// What an exchange came to whose bytes were given to the decoder, where they were a stream.
pub(crate) fn conclude<F: Fold>(
    decoder: AnswerDecoder<F>,
    judge: &Judge<'_>,
    head: &Head,
    end: &End,
    body: &Body<'_>,
    streamed: bool,
) -> Decoded {
    let broken = broken(end, Some(head));
    let mut decoded = if !is_success(head) {
        failed(Some(judge.status(head, body.bytes.unwrap_or_default())))
    } else if streamed {
        stream(decoder, judge, head, broken, body)
    } else {
        match broken {
            Some(failure) => failed(Some(failure)),
            None => plain(decoder.answer.fold, judge, Some(head), body),
        }
    };
    let timing = &mut decoded.trace.timing;
    timing.headers = Some(head.at);
    // The last byte: of the body, or of the head where there is no body.
    timing.total = body.last_read.or(Some(head.at));
    decoded
}

fn is_success(head: &Head) -> bool {
    (200..300).contains(&head.status)
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

fn stream<F: Fold>(
    mut decoder: AnswerDecoder<F>,
    judge: &Judge<'_>,
    head: &Head,
    broken: Option<Failure>,
    body: &Body<'_>,
) -> Decoded {
    // A body of which output was read began as it should.
    let begins = body.bytes.is_none_or(|bytes| F::CARRIER.may_begin(bytes));
    decoder.end_frames();
    if broken.is_none() && (!begins || decoder.answer.said_nothing()) {
        return no_stream(decoder.answer.fold, judge, head, body);
    }
    decoder.finish(judge, Some(head), broken)
}

/// No stream at all. A whole answer is decoded, to show what was there, but a client that asked for a
/// stream cannot use it.
fn no_stream<F: Fold>(fold: F, judge: &Judge<'_>, head: &Head, body: &Body<'_>) -> Decoded {
    let mut decoded = plain(fold, judge, Some(head), body);
    if decoded.trace.failure.is_none() {
        decoded.trace.failure = Some(own(
            "bad_response",
            "a stream was asked for, and one JSON object came",
            Some(head.status),
        ));
    }
    decoded
}

fn plain<F: Fold>(fold: F, judge: &Judge<'_>, head: Option<&Head>, body: &Body<'_>) -> Decoded {
    let place = Place {
        at: body.last_read.unwrap_or(body.total),
        read: body.reads.saturating_sub(1),
        end: body.len,
    };
    plain_body(fold, judge, head, body.bytes.unwrap_or_default(), place)
}

/// Decodes a body that is no stream: a response object, or else a failure.
pub(crate) fn plain_body<F: Fold>(
    mut fold: F,
    judge: &Judge<'_>,
    head: Option<&Head>,
    body: &[u8],
    place: Place,
) -> Decoded {
    let answer = match serde_json::from_slice::<Value>(body) {
        Ok(value) if F::is_answer(&value) => value,
        _ => {
            let failure = judge.not_an_answer(head, body);
            let irregularity = Irregularity {
                event: None,
                id: F::NOT_AN_ANSWER,
                detail: failure.message.clone(),
            };
            let mut decoded = failed(Some(failure));
            decoded.trace.irregularities.push(irregularity);
            return decoded;
        }
    };
    let event = wire_event(place, None, Payload::Json(answer));
    let mut outputs = OutputCount::default();
    outputs.take(fold.take_whole(&event), event.at, event.read);
    let status = head.map(|head| head.status);
    let failure = match (fold.over(), fold.error()) {
        (Some(Over::Failed), error) => {
            Some(judge.told(error.unwrap_or_default(), Layer::Response, status))
        }
        _ => unusable(&fold, status),
    };
    let trace = finished(fold, outputs, failure);
    Decoded {
        events: vec![event],
        trace,
        streamed: false,
        framed: true,
    }
}

fn unusable<F: Fold>(fold: &F, status: Option<u16>) -> Option<Failure> {
    let why = fold.unusable()?;
    Some(own("bad_response", &why, status))
}

/// The most events of one answer that are kept. A long real answer has some ten thousand.
pub const MOST_EVENTS: usize = 500_000;

/// An incremental decoder of one streamed answer.
#[derive(Debug)]
pub struct AnswerDecoder<F> {
    frames: Frames,
    answer: Answer<F>,
}

/// What the events so far came to.
#[derive(Debug)]
struct Answer<F> {
    /// Bytes came, and not events without framing.
    framed: bool,
    /// A comment came, or part of an event: it is a stream, if one without events.
    stream: bool,
    too_long: bool,
    too_many: bool,
    /// The first thing that broke the frames of an event stream.
    broken_frame: Option<(&'static str, String)>,
    /// How many events came.
    count: usize,
    /// One of them was an event of this dialect.
    ours: bool,
    /// `[DONE]` came.
    done: bool,
    /// The events, where they are kept.
    events: Option<Vec<WireEvent>>,
    outputs: OutputCount,
    fold: F,
    irregularities: Vec<Irregularity>,
    counts: HashMap<&'static str, usize>,
}

impl<F: Fold> Default for AnswerDecoder<F> {
    fn default() -> Self {
        AnswerDecoder::with(F::default(), true)
    }
}

impl<F: Fold> AnswerDecoder<F> {
    /// A decoder at the start of an answer.
    pub fn new() -> Self {
        AnswerDecoder::default()
    }

    /// One that keeps no events, with a fold that was told something before it starts.
    pub(crate) fn without_events(fold: F) -> Self {
        AnswerDecoder::with(fold, false)
    }

    fn with(fold: F, keeps_events: bool) -> Self {
        AnswerDecoder {
            frames: Frames::new(F::CARRIER),
            answer: Answer {
                framed: false,
                stream: false,
                too_long: false,
                too_many: false,
                broken_frame: None,
                count: 0,
                ours: false,
                done: false,
                events: keeps_events.then(Vec::new),
                outputs: OutputCount::default(),
                fold,
                irregularities: Vec::new(),
                counts: HashMap::new(),
            },
        }
    }

    /// Takes the bytes of one read that arrived at `at`.
    pub fn push(&mut self, at: Duration, bytes: &[u8]) {
        self.push_hearing(at, bytes, &mut |_| ());
    }

    /// The same; `hear` is called for each event that carries output.
    pub(crate) fn push_hearing(
        &mut self,
        at: Duration,
        bytes: &[u8],
        hear: &mut impl FnMut(Output),
    ) {
        let AnswerDecoder { frames, answer } = self;
        answer.framed = true;
        frames.push(at, bytes, |carried| {
            let output = match carried {
                Carried::Data(event) => answer.take_data(event),
                Carried::Message(message) => answer.take(F::of_message(message)),
                Carried::Comment => {
                    answer.stream = true;
                    None
                }
                Carried::Irregular { id, detail } => {
                    // It stands in the event that is not complete yet.
                    answer.frame_note(Some(answer.count), id, detail);
                    None
                }
            };
            if let Some(output) = output {
                hear(output);
            }
        });
    }

    /// Takes an event that comes without framing.
    pub fn push_event(&mut self, event: WireEvent) {
        self.answer.take(event);
    }

    /// Whether this event begins another answer, in a file that has several.
    pub fn is_next(&self, event: &WireEvent) -> bool {
        self.answer.fold.is_next(event)
    }

    /// Whether the last event of the turn came, or `[DONE]`.
    pub(crate) fn closed(&self) -> bool {
        self.answer.done || self.answer.fold.closed()
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
        self.answer.finish(judge, head, broken)
    }

    /// No more bytes come: what was left unfinished is noted.
    fn end_frames(&mut self) {
        for (id, detail) in self.frames.finish() {
            self.answer.frame_note(None, id, detail);
        }
        for irregularity in &mut self.answer.irregularities {
            // The event they stood in was never completed.
            if irregularity.event >= Some(self.answer.count) {
                irregularity.event = None;
            }
        }
    }
}

impl<F: Fold> Answer<F> {
    /// Takes a server-sent event, in full only where that is needed.
    fn take_data(&mut self, event: SseData<'_>) -> Option<Output> {
        let Place { at, read, .. } = event.place;
        if self.events.is_none()
            && self.count < MOST_EVENTS
            && let Some(outputs) = self.fold.take_data(event.name, event.data, at)
        {
            self.ours = true;
            self.count += 1;
            return self.outputs.take(outputs, at, read);
        }
        self.take(data_event(event))
    }

    fn take(&mut self, event: WireEvent) -> Option<Output> {
        if self.count >= MOST_EVENTS {
            if !std::mem::replace(&mut self.too_many, true) {
                let detail = format!("more than {MOST_EVENTS} events");
                let id = match F::CARRIER {
                    Carrier::ServerSentEvents => "sse/events-within-limit",
                    Carrier::EventStream => "event-stream/events-within-limit",
                };
                self.note(None, id, detail);
            }
            return None;
        }
        let index = Some(self.count);
        match &event.payload {
            Payload::Malformed { text, reason } => {
                let detail = format!("{reason}: {}", beginning(text));
                self.note(index, F::MALFORMED, detail);
            }
            Payload::Json(value) => {
                if let Some((id, why)) = F::flaw(&event) {
                    let detail = format!("{why}: {}", beginning(&value.to_string()));
                    self.note(index, id, detail);
                }
            }
            Payload::Done => self.done = true,
        }
        self.ours = self.ours || F::is_event(&event);
        self.count += 1;
        let outputs = self.fold.take(&event);
        let output = self.outputs.take(outputs, event.at, event.read);
        if let Some(events) = &mut self.events {
            events.push(event);
        }
        output
    }

    /// Whether nothing came that a stream of events would have, once its frames are ended.
    fn said_nothing(&self) -> bool {
        self.count == 0 && !self.stream
    }

    fn finish(
        mut self,
        judge: &Judge<'_>,
        head: Option<&Head>,
        broken: Option<Failure>,
    ) -> Decoded {
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
        let mut trace = finished(self.fold, self.outputs, failure);
        trace.irregularities = self.irregularities;
        Decoded {
            events: self.events.unwrap_or_default(),
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
        let told = |envelope| judge.told(envelope, Layer::Stream, Some(status));
        match (self.fold.over(), self.fold.error()) {
            (Some(Over::Failed), error) => return Some(told(error.unwrap_or_default())),
            // A turn that reached its end is whole, whatever the connection did afterwards.
            (Some(_), _) => return unusable(&self.fold, Some(status)),
            (None, Some(error)) => return Some(told(error)),
            (None, None) => {}
        }
        if broken.is_some() {
            return broken;
        }
        let count = self.count;
        let whole = self.ours && !self.too_long && !self.too_many;
        if F::ENDS_WITH_BODY && whole {
            return None;
        }
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
        } else if let Some((id, detail)) = &self.broken_frame {
            match *id {
                TRUNCATED => ("stream_truncated", detail.clone()),
                CRC => (
                    "bad_response",
                    format!("the bytes were changed on their way: {detail}"),
                ),
                _ => ("bad_response", detail.clone()),
            }
        } else if count > 0 && !self.ours {
            (
                "bad_response",
                format!("none of {count} events is one of {}", F::NAME),
            )
        } else {
            (
                "stream_truncated",
                format!("the stream ended after {count} events without {}", F::END),
            )
        };
        Some(own(class, &message, Some(status)))
    }

    fn frame_note(&mut self, event: Option<usize>, id: &'static str, detail: String) {
        if F::CARRIER == Carrier::EventStream {
            // Frames are found by their lengths, so that a broken one stands in no event.
            self.broken_frame
                .get_or_insert_with(|| (id, detail.clone()));
            self.stream = true;
            return self.note(None, id, detail);
        }
        self.stream |= matches!(
            id,
            "sse/unterminated-event" | "sse/event-without-data" | "sse/line-too-long"
        );
        self.too_long |= id == "sse/line-too-long";
        self.note(event, id, detail);
    }

    fn note(&mut self, event: Option<usize>, id: &'static str, detail: String) {
        let count = self.counts.entry(id).or_default();
        *count += 1;
        if *count <= TOLD {
            self.irregularities.push(Irregularity { event, id, detail });
        }
    }
}

/// What it all came to, with the failure that only the frame around it knows.
fn finished<F: Fold>(fold: F, outputs: OutputCount, failure: Option<Failure>) -> TurnTrace {
    let mut trace = fold.finish();
    trace.timing = outputs.beside(trace.timing);
    if F::ENDS_WITH_BODY && failure.is_some() {
        // The end was assumed from the end of the body.
        trace.stop = None;
    }
    trace.failure = failure;
    trace
}

/// The beginning of a text, for a note.
fn beginning(text: &str) -> String {
    text.chars().take(120).collect()
}
