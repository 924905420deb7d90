//! The decoder against frames of the AWS crate's own encoder, against broken ones, and at any split.

use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use proptest::prelude::*;

use crate::frame::event_stream::{
    BAD_HEADER, BAD_LENGTH, CRC, EventStreamDecoder, FrameItem, LIMIT,
};

/// What one decoding came to, in short.
fn decode<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut decoder = EventStreamDecoder::new();
    let mut out = Vec::new();
    for (index, read) in reads.into_iter().enumerate() {
        decoder.push(Duration::from_millis(index as u64), read, |item| {
            out.push(match item {
                FrameItem::Message(message) => format!(
                    "{:?} {} {}{} @{}",
                    message.kind,
                    message.name,
                    String::from_utf8_lossy(&message.payload),
                    message.error_message.unwrap_or_default(),
                    message.place.end,
                ),
                FrameItem::Irregular(irregular) => format!("!{}", irregular.id),
            });
        });
    }
    out.extend(
        decoder
            .finish()
            .map(|irregular| format!("end!{}", irregular.id)),
    );
    out
}

fn frame(headers: &[(&'static str, HeaderValue)], payload: &str) -> Vec<u8> {
    let mut message = Message::new(payload.as_bytes().to_vec());
    for (name, value) in headers {
        message = message.add_header(Header::new(*name, value.clone()));
    }
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("a frame that can be written");
    bytes
}

fn word(text: &'static str) -> HeaderValue {
    HeaderValue::String(text.into())
}

fn event(name: &'static str, payload: &str) -> Vec<u8> {
    frame(
        &[
            (":event-type", word(name)),
            (":content-type", word("application/json")),
            (":message-type", word("event")),
        ],
        payload,
    )
}

/// Two events, an exception and an error.
fn stream() -> Vec<u8> {
    let exception = frame(
        &[
            (":exception-type", word("throttlingException")),
            (":message-type", word("exception")),
        ],
        "{}",
    );
    let error = frame(
        &[
            (":error-code", word("Boom")),
            (":error-message", word("it broke")),
            (":message-type", word("error")),
        ],
        "",
    );
    [event("a", "{\"n\":1}"), event("b", "é"), exception, error].concat()
}

#[test]
fn messages_are_what_their_headers_say() {
    let bytes = stream();
    let all = decode([&bytes[..]]);
    assert_eq!(all.len(), 4);
    assert!(all[0].starts_with("Event a {\"n\":1} @"), "{all:?}");
    assert!(all[2].starts_with("Exception throttlingException {}"));
    assert_eq!(all[3], format!("Error Boom it broke @{}", bytes.len()));
}

#[test]
fn an_end_inside_a_frame_is_noticed() {
    let bytes = stream();
    let ends: Vec<usize> = (1..bytes.len())
        .filter(|end| {
            !decode([&bytes[..*end]])
                .last()
                .is_some_and(|last| last.starts_with("end!"))
        })
        .collect();
    // Only between frames is the end an end.
    assert_eq!(ends.len(), 3, "{ends:?}");
}

#[test]
fn any_flipped_bit_is_noticed() {
    let bytes = event("a", "{\"n\":1}");
    for place in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[place] ^= 0x10;
        assert_eq!(decode([&broken[..]]), [format!("!{CRC}")], "byte {place}");
    }
}

/// A prelude with a right checksum.
fn prelude(total: u32, headers: u32) -> Vec<u8> {
    let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

#[test]
fn impossible_lengths_stop_the_stream_at_once() {
    for (total, headers) in [
        (0, 0),
        (15, 0),
        (16, 1),
        (100, 85),
        (u32::MAX, 0),
        (16 << 20, 16 << 20),
    ] {
        let bytes = prelude(total, headers);
        assert_eq!(
            decode([&bytes[..]]),
            [format!("!{BAD_LENGTH}")],
            "{total} {headers}"
        );
    }
    let largest = prelude(16 << 20, 0);
    assert_eq!(decode([&largest[..]]), ["end!event-stream/truncated"]);
}

/// A length is a claim: what is kept is what came.
#[test]
fn a_huge_length_takes_no_memory_before_its_bytes_come() {
    let mut decoder = EventStreamDecoder::new();
    decoder.push(Duration::ZERO, &prelude(LIMIT as u32, 0), |item| {
        panic!("{item:?}")
    });
    decoder.push(Duration::ZERO, &[0; 100], |item| panic!("{item:?}"));
    assert!(decoder.frame.capacity() < 1024);
}

#[test]
fn headers_that_say_nothing_are_noted_and_the_stream_goes_on() {
    for headers in [
        vec![],
        vec![(":message-type", word("event"))],
        vec![
            (":message-type", word("rumour")),
            (":event-type", word("a")),
        ],
        vec![
            (":message-type", HeaderValue::Int32(7)),
            (":event-type", word("a")),
        ],
    ] {
        let bytes = [frame(&headers, "{}"), event("b", "{}")].concat();
        let all = decode([&bytes[..]]);
        assert_eq!(all[0], format!("!{BAD_HEADER}"));
        assert!(all[1].starts_with("Event b"), "{all:?}");
    }
    // A header of a type that does not exist.
    let mut bytes = event("a", "{}");
    bytes[PRELUDE_AND_NAME] = 77;
    let body = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..body]).to_be_bytes();
    bytes[body..].copy_from_slice(&crc);
    assert_eq!(decode([&bytes[..]]), [format!("!{BAD_HEADER}")]);
}

/// Where the type of the first header of [`event`] stands: prelude, length of the name, name.
const PRELUDE_AND_NAME: usize = 12 + 1 + ":event-type".len();

proptest! {
    #[test]
    fn any_split_gives_the_same(cuts in prop::collection::vec(0usize..400, 0..40), break_at in 0usize..600) {
        let mut bytes = stream();
        if break_at < bytes.len() {
            bytes[break_at] ^= 1;
        }
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let reads = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        prop_assert_eq!(decode(reads), decode([&bytes[..]]));
        prop_assert_eq!(decode(bytes.chunks(1)), decode([&bytes[..]]));
    }

    /// Checksums that fit keep rubbish from being thrown away at once: headers of any bytes.
    #[test]
    fn rubbish_in_headers_is_noted_and_the_stream_goes_on(headers in prop::collection::vec(any::<u8>(), 0..200)) {
        let total = (headers.len() + 16) as u32;
        let mut bytes = prelude(total, headers.len() as u32);
        bytes.extend(&headers);
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend(event("b", "{}"));
        let all = decode([&bytes[..]]);
        prop_assert!(!all.is_empty() && all.len() <= 2, "{:?}", all);
        prop_assert!(all[0].starts_with('!'), "{:?}", all);
    }

    #[test]
    fn rubbish_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        decode([&bytes[..]]);
        let mut begun = prelude(300, 200);
        begun.extend(bytes);
        decode([&begun[..]]);
    }
}
