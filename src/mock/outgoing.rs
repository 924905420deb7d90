//! An outgoing stream as plain data, and the exact bytes it becomes.
//!
//! Pure: the mock server and the tests of the rules send what [`write`] returns, so both send the
//! same bytes. It must never wait, know a clock or a socket; a chunk only notes when it is due.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::mock::outgoing_frame::{FrameFault, chunk_frame, frame};
use crate::mock::run::{self, Run};

/// One event about to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct OutEvent {
    /// The `event:` line, if there is one.
    pub name: Option<String>,
    /// The JSON of the `data:` line.
    pub data: Value,
    /// Text to send in place of the JSON.
    pub raw: Option<String>,
    /// Bytes to put in place of some text of the data, for what no string can hold.
    pub patches: Vec<BytePatch>,
    /// What is wrong with its frame, where it is sent in one.
    pub broken: Option<FrameFault>,
    /// Where it stands for many that are alike.
    pub run: Option<Box<Run>>,
}

impl OutEvent {
    /// An event whose name is the `type` of its data, as the Responses API sends them.
    pub fn of(data: Value) -> OutEvent {
        OutEvent {
            name: data.get("type").and_then(Value::as_str).map(str::to_owned),
            data,
            raw: None,
            patches: Vec::new(),
            broken: None,
            run: None,
        }
    }

    /// The `type` of its data.
    pub fn kind(&self) -> Option<&str> {
        self.data.get("type").and_then(Value::as_str)
    }
}

/// The first occurrence of `find` in the data of an event is sent as `with`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BytePatch {
    pub find: Vec<u8>,
    pub with: Vec<u8>,
}

/// A whole answer about to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct OutStream {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type` header.
    pub content_type: String,
    /// More headers of the answer.
    pub headers: Vec<(String, String)>,
    pub events: Vec<OutEvent>,
    pub form: Form,
    /// How many `data: [DONE]` follow the events.
    pub done_markers: u32,
    pub framing: Framing,
    pub pacing: Pacing,
    pub ending: Ending,
}

impl OutStream {
    /// A well-behaved stream of these events.
    pub fn of(events: Vec<OutEvent>) -> OutStream {
        OutStream {
            status: 200,
            content_type: "text/event-stream; charset=utf-8".to_owned(),
            headers: Vec::new(),
            events,
            form: Form::Sse,
            done_markers: 0,
            framing: Framing::default(),
            pacing: Pacing::default(),
            ending: Ending::default(),
        }
    }

    /// The same with each event by itself.
    pub fn unrolled(mut self) -> OutStream {
        let events = self.events.into_iter();
        self.events = events.flat_map(run::unrolled).collect();
        self
    }

    /// The same in the frames of an AWS event stream. The `type` of an event is its name there and no
    /// part of its payload; what only server-sent events have (framing, markers) is not written.
    pub fn framed(events: Vec<OutEvent>) -> OutStream {
        OutStream {
            content_type: "application/vnd.amazon.eventstream".to_owned(),
            form: Form::Frames,
            ..OutStream::of(events)
        }
    }

    /// The same with each event inside a `chunk`.
    pub fn in_chunks(events: Vec<OutEvent>) -> OutStream {
        OutStream {
            form: Form::Chunks,
            ..OutStream::framed(events)
        }
    }
}

/// What carries the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Server-sent events.
    Sse,
    /// Frames of an AWS event stream.
    Frames,
    /// The same, where the data of each event without a `type` is base64 inside a `chunk`.
    Chunks,
}

/// An answer ready to be sent, streamed or whole.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub stream: OutStream,
    /// What is sent where no stream was asked for.
    pub whole: Value,
}

/// How events are written down. All of it is legal by the WHATWG rules for event streams.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Framing {
    pub newline: Newline,
    pub bom: Bom,
    /// A comment line before each event, as proxies send to keep a connection open.
    pub comments: bool,
    /// The JSON is spread over several `data:` lines.
    pub multi_line_data: bool,
    /// A space between the colon and the value.
    pub space_after_colon: bool,
    /// An `id:` line in each event.
    pub ids: bool,
    /// A `retry:` line at the start.
    pub retry: bool,
}

impl Default for Framing {
    fn default() -> Framing {
        Framing {
            newline: Newline::Lf,
            bom: Bom::None,
            comments: false,
            multi_line_data: false,
            space_after_colon: true,
            ids: false,
            retry: false,
        }
    }
}

/// How lines end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Newline {
    Lf,
    Crlf,
    Cr,
}

/// A byte order mark at the start of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bom {
    None,
    /// In the same write as the first event.
    Joined,
    /// In a write of its own.
    Alone,
}

/// How the bytes are spread over writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pacing {
    /// Each event when it is due.
    #[default]
    Paced,
    /// Everything at the end, in one write: streaming in name only.
    OneWrite,
    /// Each event in two writes, the cut in the middle of its bytes.
    SplitEvents,
    /// Each byte in a write of its own.
    ByteByByte,
}

/// How the stream ends. Event numbers count from 0; a negative one counts from the end (-1 is the
/// last event).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// As HTTP says it should.
    #[default]
    Clean,
    /// The connection breaks after this event.
    CutAfterEvent(i64),
    /// The connection breaks in the middle of this event.
    CutMidEvent(i64),
    /// The body ends cleanly in the middle of this event.
    EndMidEvent(i64),
    /// Nothing comes after this event, and the connection stays open.
    StallAfterEvent(i64),
    /// The body ends cleanly, but the blank line after the last event is missing.
    NoBlankLineAtEnd,
}

/// What the server does with the connection after the last chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// End the body properly.
    Close,
    /// Break the connection inside the body.
    Abort,
    /// Send nothing more and keep the connection open.
    Hang,
}

impl Ending {
    /// What happens after the last chunk.
    pub fn finish(self) -> Finish {
        match self {
            Ending::Clean | Ending::NoBlankLineAtEnd | Ending::EndMidEvent(_) => Finish::Close,
            Ending::CutAfterEvent(_) | Ending::CutMidEvent(_) => Finish::Abort,
            Ending::StallAfterEvent(_) => Finish::Hang,
        }
    }
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub bytes: Bytes,
    /// Not to be sent before this event of the stream is due; at once where absent.
    pub due: Option<usize>,
    /// Must reach the reader in a read of its own: leave a moment before it is sent.
    pub apart: bool,
}

/// The stream as bytes, one chunk per write, in order.
pub fn write(stream: &OutStream) -> Vec<Chunk> {
    let plain = stream.framing == Framing::default()
        && stream.pacing == Pacing::Paced
        && stream.ending == Ending::Clean;
    if !plain && stream.events.iter().any(|event| event.run.is_some()) {
        return write(&stream.clone().unrolled());
    }
    let mut draft = Draft::default();
    let eol = stream.framing.newline.text();
    let count = stream.events.len();
    let last_whole = match stream.ending {
        Ending::CutAfterEvent(n) | Ending::StallAfterEvent(n) => Some(position(n, count)),
        Ending::CutMidEvent(n) | Ending::EndMidEvent(n) => Some(position(n, count) - 1),
        Ending::Clean | Ending::NoBlankLineAtEnd => None,
    };
    let sse = stream.form == Form::Sse;
    let at_first = (count > 0).then_some(0);
    if sse && stream.framing.bom != Bom::None {
        draft.bytes.extend_from_slice(b"\xef\xbb\xbf");
        draft.cut(at_first);
    }
    if sse && stream.framing.retry {
        let line = format!("retry:{}3000{eol}{eol}", stream.framing.space());
        draft.bytes.extend_from_slice(line.as_bytes());
        draft.cut(at_first);
    }
    let mut before = 0;
    for event in &stream.events {
        let index = before;
        before += run::length(event);
        if let Some(run) = &event.run {
            write_run(event, run, index, stream.form, &mut draft);
            continue;
        }
        let start = draft.bytes.len();
        match stream.form {
            Form::Sse => write_event(event, index, &stream.framing, &mut draft.bytes),
            Form::Frames => draft.bytes.extend(frame(event)),
            Form::Chunks => draft.bytes.extend(chunk_frame(event)),
        }
        if last_whole.is_some_and(|last| index as i64 > last) {
            let length = draft.bytes.len() - start;
            let half = matches!(
                stream.ending,
                Ending::CutMidEvent(_) | Ending::EndMidEvent(_)
            );
            draft
                .bytes
                .truncate(start + if half { length / 2 } else { 0 });
            if half {
                draft.cut(Some(index));
            }
            break;
        }
        draft.cut(Some(index));
    }
    if sse && last_whole.is_none() {
        for _ in 0..stream.done_markers {
            let line = format!("data:{}[DONE]{eol}{eol}", stream.framing.space());
            draft.bytes.extend_from_slice(line.as_bytes());
            draft.cut(None);
        }
    }
    if sse
        && stream.ending == Ending::NoBlankLineAtEnd
        && let Some(last) = draft.parts.last_mut()
    {
        let length = draft.bytes.len().saturating_sub(eol.len());
        draft.bytes.truncate(length);
        last.end = length;
    }
    if sse {
        join_bom(&mut draft.parts, stream.framing.bom);
    }
    spread(draft.chunks(), stream.pacing)
}

/// Chunks being written, one after the other into one piece of memory: thousands of streams have tens of chunks each.
#[derive(Default)]
struct Draft {
    bytes: Vec<u8>,
    parts: Vec<Part>,
}

struct Part {
    end: usize,
    due: Option<usize>,
    apart: bool,
}

impl Draft {
    /// What was written since the last cut is a chunk.
    fn cut(&mut self, due: Option<usize>) {
        self.parts.push(Part {
            end: self.bytes.len(),
            due,
            apart: false,
        });
    }

    fn chunks(self) -> Vec<Chunk> {
        let mut rest = Bytes::from(self.bytes);
        let mut start = 0;
        let chunk = |part: Part| {
            let bytes = rest.split_to(part.end - start);
            start = part.end;
            Chunk {
                bytes,
                due: part.due,
                apart: part.apart,
            }
        };
        self.parts.into_iter().map(chunk).collect()
    }
}

impl Newline {
    fn text(self) -> &'static str {
        match self {
            Newline::Lf => "\n",
            Newline::Crlf => "\r\n",
            Newline::Cr => "\r",
        }
    }
}

impl Framing {
    fn space(&self) -> &'static str {
        if self.space_after_colon { " " } else { "" }
    }
}

/// The place of event `n`; may be -1 (before the first) or past the end.
fn position(n: i64, count: usize) -> i64 {
    if n < 0 { n + count as i64 } else { n }
}

/// The chunks of a run whose first event has this number.
fn write_run(event: &OutEvent, run: &Run, first: usize, form: Form, draft: &mut Draft) {
    let named = event.name.as_ref();
    let before = named.map_or_else(
        || "data: ".to_owned(),
        |name| format!("event: {name}\ndata: "),
    );
    let mut data = event.data.clone();
    if form == Form::Frames
        && let Value::Object(fields) = &mut data
    {
        fields.shift_remove("type");
    }
    let framed = |text: &str| OutEvent {
        name: event.name.clone(),
        raw: Some(text.to_owned()),
        ..OutEvent::of(Value::Null)
    };
    let start = draft.bytes.len();
    run::each_text(&data, run, |place, text| {
        match form {
            Form::Sse => {
                draft.bytes.extend_from_slice(before.as_bytes());
                draft.bytes.extend_from_slice(text.as_bytes());
                draft.bytes.extend_from_slice(b"\n\n");
            }
            Form::Frames => draft.bytes.extend(frame(&framed(text))),
            Form::Chunks => draft.bytes.extend(chunk_frame(&framed(text))),
        }
        draft.cut(Some(first + place));
        if place == 0 {
            // The others are about as long.
            let one = draft.bytes.len() - start;
            draft.bytes.reserve(one * run.pieces.len());
        }
    });
}

fn write_event(event: &OutEvent, index: usize, framing: &Framing, bytes: &mut Vec<u8>) {
    let eol = framing.newline.text().as_bytes();
    let space = framing.space();
    if framing.comments {
        bytes.extend_from_slice(b": keep-alive");
        bytes.extend_from_slice(eol);
    }
    if let Some(name) = &event.name {
        bytes.extend_from_slice(format!("event:{space}{name}").as_bytes());
        bytes.extend_from_slice(eol);
    }
    if framing.ids {
        bytes.extend_from_slice(format!("id:{space}{index}").as_bytes());
        bytes.extend_from_slice(eol);
    }
    let data = match &event.raw {
        Some(text) => text.clone(),
        // Pretty-printed JSON has its line breaks between tokens, where a reader may join lines by "\n".
        None if framing.multi_line_data => format!("{:#}", event.data),
        None => event.data.to_string(),
    };
    for line in data.split('\n') {
        let mut line = line.as_bytes().to_vec();
        for patch in &event.patches {
            patch_once(&mut line, patch);
        }
        bytes.extend_from_slice(format!("data:{space}").as_bytes());
        bytes.extend_from_slice(&line);
        bytes.extend_from_slice(eol);
    }
    bytes.extend_from_slice(eol);
}

pub(crate) fn patch_once(bytes: &mut Vec<u8>, patch: &BytePatch) {
    if patch.find.is_empty() {
        return;
    }
    let found = bytes
        .windows(patch.find.len())
        .position(|window| window == patch.find.as_slice());
    if let Some(start) = found {
        bytes.splice(start..start + patch.find.len(), patch.with.iter().copied());
    }
}

fn join_bom(parts: &mut Vec<Part>, bom: Bom) {
    if parts.len() < 2 {
        return;
    }
    match bom {
        Bom::None => {}
        // A chunk begins where the one before it ends.
        Bom::Joined => drop(parts.remove(0)),
        Bom::Alone => parts[1].apart = true,
    }
}

fn spread(chunks: Vec<Chunk>, pacing: Pacing) -> Vec<Chunk> {
    match pacing {
        Pacing::Paced => chunks,
        Pacing::OneWrite => vec![Chunk {
            due: chunks.iter().filter_map(|chunk| chunk.due).next_back(),
            bytes: chunks.into_iter().flat_map(|chunk| chunk.bytes).collect(),
            apart: false,
        }],
        Pacing::SplitEvents => chunks
            .into_iter()
            .flat_map(|mut chunk| {
                let head = chunk.bytes.split_to(chunk.bytes.len() / 2);
                [
                    Chunk {
                        bytes: head,
                        due: chunk.due,
                        apart: chunk.apart,
                    },
                    Chunk {
                        bytes: chunk.bytes,
                        due: None,
                        apart: true,
                    },
                ]
            })
            .filter(|chunk| !chunk.bytes.is_empty())
            .collect(),
        Pacing::ByteByByte => chunks
            .into_iter()
            .flat_map(|chunk| {
                let due = chunk.due;
                (0..chunk.bytes.len()).map(move |index| Chunk {
                    bytes: chunk.bytes.slice(index..=index),
                    due: due.filter(|_| index == 0),
                    apart: false,
                })
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::mock::outgoing::*;

    fn two_events() -> OutStream {
        OutStream::of(vec![
            OutEvent::of(json!({"type": "a", "n": 1})),
            OutEvent::of(json!({"type": "b", "n": 2})),
        ])
    }

    fn check(stream: &OutStream, expected: &str) {
        let bytes: Vec<u8> = write(stream)
            .into_iter()
            .flat_map(|chunk| chunk.bytes)
            .collect();
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
    }

    #[test]
    fn framing_is_written_as_asked() {
        let mut stream = two_events();
        stream.done_markers = 1;
        let plain = "event: a\ndata: {\"type\":\"a\",\"n\":1}\n\nevent: b\ndata: {\"type\":\"b\",\"n\":2}\n\ndata: [DONE]\n\n";
        check(&stream, plain);
        stream.framing.newline = Newline::Crlf;
        check(&stream, &plain.replace('\n', "\r\n"));
        stream.framing.newline = Newline::Cr;
        check(&stream, &plain.replace('\n', "\r"));
        stream.framing = Framing {
            space_after_colon: false,
            comments: true,
            multi_line_data: true,
            ..Framing::default()
        };
        stream.events.truncate(1);
        stream.done_markers = 0;
        check(
            &stream,
            ": keep-alive\nevent:a\ndata:{\ndata:  \"type\": \"a\",\ndata:  \"n\": 1\ndata:}\n\n",
        );
    }

    #[test]
    fn endings_cut_where_they_say() {
        let mut stream = two_events();
        stream.ending = Ending::CutAfterEvent(0);
        check(&stream, "event: a\ndata: {\"type\":\"a\",\"n\":1}\n\n");
        stream.ending = Ending::CutMidEvent(-1);
        let bytes: Vec<u8> = write(&stream).into_iter().flat_map(|c| c.bytes).collect();
        assert!(bytes.ends_with(b"event: b\ndata: {\""), "{bytes:?}");
        stream.ending = Ending::NoBlankLineAtEnd;
        let bytes: Vec<u8> = write(&stream).into_iter().flat_map(|c| c.bytes).collect();
        assert!(bytes.ends_with(b"\"n\":2}\n") && !bytes.ends_with(b"\n\n"));
    }

    #[test]
    fn pacing_changes_the_writes_and_never_the_bytes() {
        let mut stream = two_events();
        let whole: Vec<u8> = write(&stream).into_iter().flat_map(|c| c.bytes).collect();
        for (pacing, writes) in [
            (Pacing::OneWrite, 1),
            (Pacing::SplitEvents, 4),
            (Pacing::ByteByByte, whole.len()),
        ] {
            stream.pacing = pacing;
            let chunks = write(&stream);
            assert_eq!(chunks.len(), writes, "{pacing:?}");
            let bytes: Vec<u8> = chunks.into_iter().flat_map(|c| c.bytes).collect();
            assert_eq!(bytes, whole, "{pacing:?}");
        }
    }

    #[test]
    fn bytes_that_no_string_can_hold() {
        let mut stream = two_events();
        stream.events[1].patches.push(BytePatch {
            find: b"\"b\"".to_vec(),
            with: b"\"\xff\"".to_vec(),
        });
        let chunks = write(&stream);
        assert!(str::from_utf8(&chunks[0].bytes).is_ok());
        assert!(str::from_utf8(&chunks[1].bytes).is_err());
    }
}
