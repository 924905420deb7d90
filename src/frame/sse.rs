//! Server-sent events out of bytes, as WHATWG HTML, "Interpreting an event stream", says it.
//!
//! Sans-IO: bytes with their arrival time go in, items come out, and how the bytes were split changes
//! nothing but the times. Unlike a browser it also tells what it had to ignore or repair. It must
//! never know what the data means, never scan a byte twice, and never hold more than its limit.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

/// The most bytes of one unfinished line, and of the data of one unfinished event, that are held.
/// Beyond it the decoder notes `sse/line-too-long` and ignores the rest of the stream.
pub const LIMIT: usize = 64 * 1024 * 1024;

/// How much of a line is quoted in a note, in bytes.
const QUOTE: usize = 120;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Something the bytes said, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SseItem {
    /// A dispatched event.
    Event(SseEvent),
    /// A comment line, as keep-alives are.
    Comment { text: String, place: Place },
    /// Something ignored or repaired.
    Irregular(Irregular),
}

/// The same while its bytes are at hand, so that nothing is copied that nobody keeps.
#[derive(Debug)]
pub enum SsePart<'a> {
    Event(SseData<'a>),
    Comment { text: &'a str, place: Place },
    Irregular(Irregular),
}

/// A dispatched event; its fields are those of [`SseEvent`].
#[derive(Debug, Clone, Copy)]
pub struct SseData<'a> {
    pub name: Option<&'a str>,
    pub id: Option<&'a str>,
    pub data: &'a str,
    pub place: Place,
}

impl From<SsePart<'_>> for SseItem {
    fn from(part: SsePart<'_>) -> SseItem {
        match part {
            SsePart::Event(event) => SseItem::Event(SseEvent {
                name: event.name.map(str::to_owned),
                id: event.id.map(str::to_owned),
                data: event.data.to_owned(),
                place: event.place,
            }),
            SsePart::Comment { text, place } => SseItem::Comment {
                text: text.to_owned(),
                place,
            },
            SsePart::Irregular(irregular) => SseItem::Irregular(irregular),
        }
    }
}

/// A dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// The `event:` field, if there was one that is not empty.
    pub name: Option<String>,
    /// The last `id:` field of this event, if it had one. What a browser calls the last event id
    /// is the latest of these.
    pub id: Option<String>,
    /// The `data:` lines, joined by line feeds.
    pub data: String,
    pub place: Place,
}

/// Where and when an item was complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The arrival time of the read that completed it.
    pub at: Duration,
    /// Which read, counting from 0.
    pub read: u32,
    /// The offset in the stream just after its line end; of a CRLF, after the CR, which completes it.
    pub end: u64,
}

/// Something ignored or repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Irregular {
    /// Stable: `sse/invalid-utf8`, `sse/unterminated-event`, `sse/event-without-data`,
    /// `sse/unknown-field`, `sse/id-field` or `sse/line-too-long`.
    pub id: &'static str,
    /// What was seen.
    pub detail: String,
    pub place: Place,
}

/// The decoder.
#[derive(Debug)]
pub struct SseDecoder {
    limit: usize,
    /// How much of a byte order mark was seen; `None` once the stream is known to be past it.
    bom: Option<usize>,
    /// The line so far, where it came in more than one read.
    line: Vec<u8>,
    /// The last byte was a CR, so a LF that follows is part of it.
    after_cr: bool,
    event: Building,
    id_seen: bool,
    stopped: bool,
    at: Duration,
    reads: u32,
    offset: u64,
    items: VecDeque<SseItem>,
}

/// The event that is being read.
#[derive(Debug, Default)]
struct Building {
    name: String,
    id: Option<String>,
    data: String,
    /// A `data:` line came; it may have been empty.
    has_data: bool,
}

/// The most that is kept allocated for the next event or split line, in bytes. Deltas are far below;
/// what is longer comes a few times in a stream, and thousands of streams wait at the same time.
const KEPT: usize = 2 * 1024;

impl Building {
    /// Empties it for the next event.
    fn clear(&mut self) {
        self.name.clear();
        self.id = None;
        self.has_data = false;
        emptied(&mut self.data);
    }
}

fn emptied(text: &mut String) {
    if text.capacity() > KEPT {
        *text = String::new();
    }
    text.clear();
}

impl Default for SseDecoder {
    fn default() -> Self {
        SseDecoder::new()
    }
}

impl SseDecoder {
    /// A decoder at the start of a stream, with [`LIMIT`].
    pub fn new() -> Self {
        SseDecoder::with_limit(LIMIT)
    }

    /// The same with another limit, in bytes.
    pub fn with_limit(limit: usize) -> Self {
        SseDecoder {
            limit,
            bom: Some(0),
            line: Vec::new(),
            after_cr: false,
            event: Building::default(),
            id_seen: false,
            stopped: false,
            at: Duration::ZERO,
            reads: 0,
            offset: 0,
            items: VecDeque::new(),
        }
    }

    /// Takes the bytes of one read that arrived at `at`.
    pub fn push(&mut self, at: Duration, bytes: &[u8]) {
        let mut items = std::mem::take(&mut self.items);
        self.push_to(at, bytes, &mut |part| items.push_back(part.into()));
        self.items = items;
    }

    /// The same; what the bytes complete goes to `out` instead of [`SseDecoder::next`].
    pub fn push_to(&mut self, at: Duration, bytes: &[u8], out: &mut impl FnMut(SsePart<'_>)) {
        self.at = at;
        self.reads = self.reads.saturating_add(1);
        let mut rest = self.strip_bom(bytes);
        while !rest.is_empty() && !self.stopped {
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                self.offset += 1;
                rest = &rest[1..];
                continue;
            }
            let Some(length) = line_length(rest) else {
                self.offset += rest.len() as u64;
                if self.line.len() + rest.len() > self.limit {
                    self.stop("a line", out);
                } else {
                    self.line.extend_from_slice(rest);
                }
                return;
            };
            let (content, end) = rest.split_at(length);
            self.offset += length as u64 + 1;
            self.after_cr = end[0] == b'\r';
            rest = &end[1..];
            if self.line.len() + content.len() > self.limit {
                self.stop("a line", out);
            } else if self.line.is_empty() {
                self.take_line(content, out);
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(content);
                self.take_line(&line, out);
                if line.capacity() <= KEPT {
                    line.clear();
                    self.line = line;
                }
            }
        }
    }

    /// The next item, if the bytes so far complete one.
    #[expect(clippy::should_implement_trait)] // more bytes may come after `None`
    pub fn next(&mut self) -> Option<SseItem> {
        self.items.pop_front()
    }

    /// The stream is over: what was left unfinished. Items not taken with [`SseDecoder::next`] are
    /// dropped.
    pub fn finish(mut self) -> Vec<Irregular> {
        if self.stopped {
            return Vec::new();
        }
        if let Some(seen) = self.bom.take() {
            self.line.extend_from_slice(&BOM[..seen]);
        }
        let line = std::mem::take(&mut self.line);
        let pending = String::from_utf8_lossy(&line);
        let mut left = None;
        let (field, _) = split_field(&pending);
        let half = matches!(field, "data" | "event" | "id" | "retry");
        if half || self.event.has_data || !self.event.name.is_empty() {
            let said = match self.event.has_data {
                true => &self.event.data,
                false if half => pending.as_ref(),
                false => &self.event.name,
            };
            let detail = format!(
                "the stream ends before the blank line that would complete: {}",
                quote(said)
            );
            left = Some(self.irregular("sse/unterminated-event", detail));
        } else if !pending.is_empty() && !pending.starts_with(':') {
            let detail = format!("the stream ends in the line: {}", quote(&pending));
            left = Some(self.irregular("sse/unknown-field", detail));
        }
        let untaken = self.items.into_iter().filter_map(|item| match item {
            SseItem::Irregular(irregular) => Some(irregular),
            _ => None,
        });
        untaken.chain(left).collect()
    }

    /// Drops a byte order mark at the very start, however it was split.
    fn strip_bom<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        while let (Some(seen), Some(first)) = (self.bom, rest.first()) {
            if *first != BOM[seen] {
                // Not a mark after all: what looked like one is the start of the first line.
                self.line.extend_from_slice(&BOM[..seen]);
                self.bom = None;
            } else {
                self.bom = (seen + 1 < BOM.len()).then_some(seen + 1);
                self.offset += 1;
                rest = &rest[1..];
            }
        }
        rest
    }

    fn take_line(&mut self, bytes: &[u8], out: &mut impl FnMut(SsePart<'_>)) {
        let line = match std::str::from_utf8(bytes) {
            Ok(line) => Cow::Borrowed(line),
            Err(_) => {
                let line = String::from_utf8_lossy(bytes);
                let detail = format!("bytes that are not UTF-8 in the line: {}", quote(&line));
                self.note("sse/invalid-utf8", detail, out);
                line
            }
        };
        if line.is_empty() {
            return self.dispatch(out);
        }
        if let Some(comment) = line.strip_prefix(':') {
            return out(SsePart::Comment {
                text: comment,
                place: self.place(),
            });
        }
        match split_field(&line) {
            ("data", value) => {
                let event = &mut self.event;
                if !std::mem::replace(&mut event.has_data, true) {
                    event.data.push_str(value);
                } else if event.data.len() + value.len() >= self.limit {
                    self.stop("the data of an event", out);
                } else {
                    event.data.push('\n');
                    event.data.push_str(value);
                }
            }
            ("event", value) => {
                self.event.name.clear();
                self.event.name.push_str(value);
            }
            ("id", value) => {
                let ignored = value.contains('\0');
                if !ignored {
                    self.event.id = Some(value.to_owned());
                }
                if !std::mem::replace(&mut self.id_seen, true) {
                    let ignored = if ignored { ", ignored for its NUL" } else { "" };
                    let detail = format!("the first id field{ignored}: {}", quote(value));
                    self.note("sse/id-field", detail, out);
                }
            }
            ("retry", value) if value.bytes().all(|byte| byte.is_ascii_digit()) => {}
            _ => {
                let detail = format!("ignored line: {}", quote(&line));
                self.note("sse/unknown-field", detail, out);
            }
        }
    }

    fn dispatch(&mut self, out: &mut impl FnMut(SsePart<'_>)) {
        let name = &self.event.name;
        if self.event.has_data {
            out(SsePart::Event(SseData {
                name: (!name.is_empty()).then_some(name),
                id: self.event.id.as_deref(),
                data: &self.event.data,
                place: self.place(),
            }));
        } else if !name.is_empty() {
            let detail = format!("`event: {}` has no data", quote(name));
            self.note("sse/event-without-data", detail, out);
        }
        self.event.clear();
    }

    fn stop(&mut self, what: &str, out: &mut impl FnMut(SsePart<'_>)) {
        self.stopped = true;
        self.line = Vec::new();
        self.event = Building::default();
        let detail = format!(
            "{what} is longer than {} bytes; the rest is ignored",
            self.limit
        );
        self.note("sse/line-too-long", detail, out);
    }

    fn note(&self, id: &'static str, detail: String, out: &mut impl FnMut(SsePart<'_>)) {
        out(SsePart::Irregular(self.irregular(id, detail)));
    }

    fn irregular(&self, id: &'static str, detail: String) -> Irregular {
        let place = self.place();
        Irregular { id, detail, place }
    }

    fn place(&self) -> Place {
        Place {
            at: self.at,
            read: self.reads.saturating_sub(1),
            end: self.offset,
        }
    }
}

/// How long the first line is, without its end, if its end is there.
fn line_length(bytes: &[u8]) -> Option<usize> {
    memchr::memchr2(b'\n', b'\r', bytes)
}

/// A line's field name and value: at the first colon, and one leading space of the value dropped.
fn split_field(line: &str) -> (&str, &str) {
    match line.split_once(':') {
        Some((name, value)) => (name, value.strip_prefix(' ').unwrap_or(value)),
        None => (line, ""),
    }
}

/// The beginning of a text, for a note.
fn quote(text: &str) -> Cow<'_, str> {
    if text.len() <= QUOTE {
        return Cow::Borrowed(text);
    }
    let mut end = QUOTE;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}…", &text[..end]))
}

#[cfg(test)]
mod tests;
