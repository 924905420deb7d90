//! Recorded streams, decoded while they arrive, are what they are when they are decoded whole.
//!
//! The recordings are those of `recordings.rs`, of all dialects that have some.

use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use sameturn::catalog;
use sameturn::dialect::agentcore::mapping::Mapping;
use sameturn::dialect::stream::AnswerStream;
use sameturn::dialect::{Dialect, decode_mapped};
use sameturn::turn::exchange::{End, Exchange, Head, Read};
use serde_json::Value;

use crate::recordings::folder;

/// An event as it is framed on the wire.
fn frame(dialect: Dialect, line: &str) -> Vec<u8> {
    let event: Value = serde_json::from_str(line).expect("an event per line");
    if dialect != Dialect::Converse {
        let kind = event["type"].as_str();
        let name = kind.map_or_else(String::new, |kind| format!("event: {kind}\n"));
        return format!("{name}data: {line}\n\n").into_bytes();
    }
    let mut bytes = Vec::new();
    for (name, payload) in event.as_object().expect("an object") {
        let header = |key: &'static str, value: &str| {
            Header::new(key, HeaderValue::String(value.to_owned().into()))
        };
        let message = Message::new(payload.to_string().into_bytes())
            .add_header(header(":event-type", name))
            .add_header(header(":message-type", "event"));
        write_message_to(&message, &mut bytes).expect("a frame that can be written");
    }
    bytes
}

/// Reads of random sizes, or one for each event.
fn reads(events: &[Vec<u8>], random: Option<&mut ChaCha8Rng>) -> Vec<Read> {
    let mut lengths: Vec<usize> = events.iter().map(Vec::len).collect();
    if let Some(random) = random {
        let mut left: usize = lengths.iter().sum();
        lengths.clear();
        while left > 0 {
            let most = [1, 3, 50, 2000, 40_000][random.random_range(0..5)];
            let len = random.random_range(1..=most).min(left);
            lengths.push(len);
            left -= len;
        }
    }
    let lengths = lengths.into_iter().enumerate();
    lengths
        .map(|(read, len)| Read {
            at: Duration::from_millis(read as u64 + 1),
            len,
        })
        .collect()
}

#[test]
fn recordings_decode_the_same_while_they_arrive() {
    let Some(folder) = folder() else {
        return;
    };
    let failures = &catalog::shipped().failures;
    let mapping = Mapping::default();
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut outputs = 0;
    for dialect in [Dialect::Responses, Dialect::Chat, Dialect::Converse] {
        let files = std::fs::read_dir(folder.join(dialect.word())).expect("a folder of recordings");
        for file in files {
            let path = file.expect("a readable folder").path();
            let text = std::fs::read_to_string(&path).expect("a readable recording");
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            let events: Vec<Vec<u8>> = lines.map(|line| frame(dialect, line)).collect();
            for cut in [None, Some(&mut random)] {
                let exchange = Exchange {
                    head: Some(Head {
                        status: 200,
                        headers: Vec::new(),
                        at: Duration::ZERO,
                    }),
                    reads: reads(&events, cut),
                    body: Bytes::from(events.concat()),
                    end: End::Complete,
                    total: Duration::from_secs(60),
                };
                let whole = decode_mapped(dialect, &mapping, "p", failures, &exchange, true).trace;
                let mut stream = AnswerStream::new(dialect, &mapping);
                let (mut heard, mut rest) = (0, &exchange.body[..]);
                for read in &exchange.reads {
                    let (bytes, later) = rest.split_at(read.len);
                    stream.push(read.at, bytes, &mut |_| heard += 1);
                    rest = later;
                }
                let head = exchange.head.as_ref().expect("a head");
                let trace = stream.finish("p", failures, head, &exchange.end);
                assert_eq!(trace, whole, "{}", path.display());
                assert_eq!(heard, trace.timing.output_events, "{}", path.display());
                outputs += heard;
            }
        }
    }
    assert!(outputs > 1000, "the recordings have only {outputs} outputs");
}
