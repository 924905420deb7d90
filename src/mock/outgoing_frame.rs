//! One event as a frame of an AWS event stream, written from the format's description.
//!
//! Pure. It must never use the crate that the client reads frames with, or both sides could be wrong
//! together. Format: https://smithy.io/2.0/aws/amazon-eventstream.html (read 2026-11-21).

use base64::Engine;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::mock::outgoing::{OutEvent, patch_once};

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameFault {
    /// The checksum of the prelude does not fit.
    PreludeCrc,
    /// The checksum of the whole does not fit.
    MessageCrc,
    /// The lengths are impossible, with a checksum that fits.
    Length,
    /// There is no `:message-type`, with checksums that fit.
    NoMessageType,
    /// A header is of a type that does not exist, with checksums that fit.
    HeaderType,
    /// It is sent as `:message-type` error, its data in headers.
    Unmodelled,
}

/// The type of a header that is text.
const TEXT: u8 = 7;

/// The bytes of an event. Names that end in `Exception` are exceptions.
pub fn frame(event: &OutEvent) -> Vec<u8> {
    let name = event.name.as_deref().unwrap_or_default();
    let kind = if name.ends_with("Exception") {
        "exception"
    } else {
        "event"
    };
    let mut payload = match &event.raw {
        Some(text) => text.clone().into_bytes(),
        None => {
            let mut data = event.data.clone();
            if let Value::Object(fields) = &mut data {
                fields.shift_remove("type");
            }
            data.to_string().into_bytes()
        }
    };
    for patch in &event.patches {
        patch_once(&mut payload, patch);
    }
    let mut headers = Vec::new();
    if event.broken == Some(FrameFault::Unmodelled) {
        header(&mut headers, ":error-code", name);
        let message = event.data["message"].as_str().unwrap_or_default();
        header(&mut headers, ":error-message", message);
        header(&mut headers, ":message-type", "error");
        payload.clear();
    } else {
        header(&mut headers, &format!(":{kind}-type"), name);
        header(&mut headers, ":content-type", "application/json");
        if event.broken != Some(FrameFault::NoMessageType) {
            header(&mut headers, ":message-type", kind);
        }
    }
    if event.broken == Some(FrameFault::HeaderType) {
        let place = 1 + usize::from(headers[0]);
        headers[place] = 77;
    }
    let total = 12 + headers.len() + payload.len() + 4;
    let told = match event.broken {
        Some(FrameFault::Length) => 64 << 20,
        _ => total as u32,
    };
    let mut bytes = Vec::with_capacity(total);
    bytes.extend(told.to_be_bytes());
    bytes.extend((headers.len() as u32).to_be_bytes());
    let flip = |fault: FrameFault| u32::from(event.broken == Some(fault));
    bytes.extend((crc32(&bytes) ^ flip(FrameFault::PreludeCrc)).to_be_bytes());
    bytes.extend(headers);
    bytes.extend(payload);
    bytes.extend((crc32(&bytes) ^ flip(FrameFault::MessageCrc)).to_be_bytes());
    bytes
}

/// The bytes of an event that is the inside of a `chunk`; one with a `type` is a message of its own.
/// Patches and raw text are those of the inside.
pub fn chunk_frame(event: &OutEvent) -> Vec<u8> {
    if event.kind().is_some() {
        return frame(event);
    }
    let text = event.raw.clone();
    let mut inside = text.unwrap_or_else(|| event.data.to_string()).into_bytes();
    for patch in &event.patches {
        patch_once(&mut inside, patch);
    }
    let bytes = base64::engine::general_purpose::STANDARD.encode(inside);
    frame(&OutEvent {
        name: Some("chunk".to_owned()),
        data: json!({"bytes": bytes}),
        raw: None,
        patches: Vec::new(),
        broken: event.broken,
        run: None,
    })
}

fn header(out: &mut Vec<u8>, name: &str, value: &str) {
    // Names and values here are short; what a length cannot say is cut.
    let name = &name.as_bytes()[..name.len().min(255)];
    let value = &value.as_bytes()[..value.len().min(32_767)];
    out.push(name.len() as u8);
    out.extend(name);
    out.push(TEXT);
    out.extend((value.len() as u16).to_be_bytes());
    out.extend(value);
}

/// The CRC-32 of ISO 3309 (polynomial 0xEDB88320, reflected), bit by bit: frames are small.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::read_message_from;
    use serde_json::json;

    use crate::mock::outgoing_frame::*;

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn the_aws_crate_reads_what_is_written() {
        let mut event = OutEvent::of(json!({"type": "messageStop", "stopReason": "end_turn"}));
        let message = read_message_from(&frame(&event)[..]).expect("a good frame");
        assert_eq!(&message.payload()[..], br#"{"stopReason":"end_turn"}"#);
        let names: Vec<&str> = message
            .headers()
            .iter()
            .map(|header| header.name().as_str())
            .collect();
        assert_eq!(names, [":event-type", ":content-type", ":message-type"]);
        for fault in [
            FrameFault::PreludeCrc,
            FrameFault::MessageCrc,
            FrameFault::Length,
            FrameFault::HeaderType,
        ] {
            event.broken = Some(fault);
            assert!(read_message_from(&frame(&event)[..]).is_err(), "{fault:?}");
        }
    }
}
