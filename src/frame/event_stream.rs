//! Messages out of the bytes of an AWS event stream (`application/vnd.amazon.eventstream`).
//!
//! Sans-IO like the decoder of server-sent events: bytes with their arrival time go in, messages come
//! out, and how the bytes were split changes nothing but the times. A frame that breaks the format
//! ends the stream: without its length nothing after it can be found. It must never know what a
//! payload means, and never hold more than one frame: what a read completes is handed over at once.

use std::time::Duration;

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::{Header, HeaderValue};
use bytes::Bytes;

use crate::frame::sse::Place;

/// The largest frame, in bytes, that the format knows: 16 MiB (AWS Common Runtime, event-stream
/// limits; read 2026-11-21).
pub const LIMIT: usize = 16 * 1024 * 1024;

/// Total length, headers length and their checksum.
const PRELUDE: usize = 12;
/// The prelude and the checksum of the message.
const LEAST: usize = PRELUDE + 4;

/// The irregularity of a checksum that does not fit.
pub const CRC: &str = "event-stream/crc";
/// The irregularity of a stream that ends inside a frame.
pub const TRUNCATED: &str = "event-stream/truncated";
/// The irregularity of lengths that contradict each other or the limit.
pub const BAD_LENGTH: &str = "event-stream/bad-length";
/// The irregularity of headers that cannot be read, or that do not say what the message is.
pub const BAD_HEADER: &str = "event-stream/bad-header";

/// What a message says it is, by `:message-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    Event,
    /// A modelled error, with a payload.
    Exception,
    /// An error without a model: code and text stand in headers.
    Error,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: MessageType,
    /// `:event-type`, `:exception-type` or `:error-code`.
    pub name: String,
    /// `:error-message`, of an error.
    pub error_message: Option<String>,
    /// `:content-type`, if there was one.
    pub content_type: Option<String>,
    pub payload: Bytes,
    pub place: Place,
}

/// Something that breaks the format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Irregular {
    /// Stable: [`CRC`], [`TRUNCATED`], [`BAD_LENGTH`] or [`BAD_HEADER`].
    pub id: &'static str,
    /// What was seen.
    pub detail: String,
}

/// Something the bytes said, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameItem {
    Message(Message),
    Irregular(Irregular),
}

/// The decoder.
#[derive(Debug, Default)]
pub struct EventStreamDecoder {
    /// The frame so far.
    frame: Vec<u8>,
    /// The length of the frame, once its prelude was read and found good.
    length: Option<usize>,
    stopped: bool,
    at: Duration,
    reads: u32,
    /// Bytes taken so far.
    offset: u64,
    frames: u64,
}

impl EventStreamDecoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        EventStreamDecoder::default()
    }

    /// Takes the bytes of one read that arrived at `at`; each item that they complete goes to `out`.
    pub fn push(&mut self, at: Duration, bytes: &[u8], mut out: impl FnMut(FrameItem)) {
        self.at = at;
        self.reads = self.reads.saturating_add(1);
        let mut rest = bytes;
        while !rest.is_empty() && !self.stopped {
            let wanted = self.length.unwrap_or(PRELUDE) - self.frame.len();
            let (now, later) = rest.split_at(wanted.min(rest.len()));
            self.frame.extend_from_slice(now);
            self.offset += now.len() as u64;
            rest = later;
            let item = match self.length {
                None if self.frame.len() == PRELUDE => self.read_prelude(),
                Some(length) if self.frame.len() == length => Some(self.read_frame()),
                _ => None,
            };
            item.into_iter().for_each(&mut out);
        }
    }

    /// The stream is over: what was left unfinished.
    pub fn finish(self) -> Option<Irregular> {
        if self.stopped || self.frame.is_empty() {
            return None;
        }
        let of = match self.length {
            Some(length) => format!("of {length}"),
            None => "of its prelude".to_owned(),
        };
        Some(Irregular {
            id: TRUNCATED,
            detail: format!(
                "the stream ends in frame {}, after {} bytes {of}",
                self.frames,
                self.frame.len()
            ),
        })
    }

    fn read_prelude(&mut self) -> Option<FrameItem> {
        let word = |at: usize| {
            let mut four = [0; 4];
            four.copy_from_slice(&self.frame[at..at + 4]);
            u32::from_be_bytes(four)
        };
        let (total, headers, told) = (word(0), word(4), word(8));
        let found = crc32fast::hash(&self.frame[..8]);
        if found != told {
            return Some(self.stop(
                CRC,
                format!("checksum of the prelude: {told:08x} is told, the bytes have {found:08x}"),
            ));
        }
        let (total, headers) = (total as usize, headers as usize);
        if !(LEAST..=LIMIT).contains(&total) || headers > total - LEAST {
            return Some(self.stop(
                BAD_LENGTH,
                format!(
                    "a frame of {total} bytes with {headers} bytes of headers; frames have {LEAST} to {LIMIT} bytes"
                ),
            ));
        }
        // Not reserved: a length is a claim until its bytes have come.
        self.length = Some(total);
        None
    }

    fn read_frame(&mut self) -> FrameItem {
        let frame = Bytes::from(std::mem::take(&mut self.frame));
        self.length = None;
        let body = frame.len() - 4;
        let mut four = [0; 4];
        four.copy_from_slice(&frame[body..]);
        let told = u32::from_be_bytes(four);
        let found = crc32fast::hash(&frame[..body]);
        if found != told {
            return self.stop(
                CRC,
                format!("checksum of the message: {told:08x} is told, the bytes have {found:08x}"),
            );
        }
        let message = match read_message_from(frame) {
            Ok(message) => message,
            Err(error) => return self.stop(BAD_HEADER, error.to_string()),
        };
        let item = match sorted(message.headers()) {
            Ok((kind, name, error_message)) => FrameItem::Message(Message {
                kind,
                name,
                error_message,
                content_type: text(message.headers(), ":content-type"),
                payload: message.payload().clone(),
                place: Place {
                    at: self.at,
                    read: self.reads.saturating_sub(1),
                    end: self.offset,
                },
            }),
            // The frame itself is whole, so the next one can be found.
            Err(detail) => self.note(BAD_HEADER, detail),
        };
        self.frames += 1;
        item
    }

    fn stop(&mut self, id: &'static str, detail: String) -> FrameItem {
        self.stopped = true;
        self.frame = Vec::new();
        self.note(id, format!("{detail}; the rest is ignored"))
    }

    fn note(&self, id: &'static str, detail: String) -> FrameItem {
        let detail = format!("frame {}: {detail}", self.frames);
        FrameItem::Irregular(Irregular { id, detail })
    }
}

/// What the headers say the message is.
fn sorted(headers: &[Header]) -> Result<(MessageType, String, Option<String>), String> {
    let Some(word) = text(headers, ":message-type") else {
        return Err("`:message-type` is missing or no text".to_owned());
    };
    let (kind, name) = match word.as_str() {
        "event" => (MessageType::Event, ":event-type"),
        "exception" => (MessageType::Exception, ":exception-type"),
        "error" => (MessageType::Error, ":error-code"),
        _ => return Err(format!("`:message-type` is {word:?}")),
    };
    let Some(name) = text(headers, name) else {
        return Err(format!("`{name}` is missing or no text"));
    };
    Ok((kind, name, text(headers, ":error-message")))
}

/// The text of a header; `None` where it is absent or of another type.
fn text(headers: &[Header], name: &str) -> Option<String> {
    let header = headers
        .iter()
        .find(|header| header.name().as_str() == name)?;
    match header.value() {
        HeaderValue::String(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
