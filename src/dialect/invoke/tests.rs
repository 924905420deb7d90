//! Encoding and decoding of InvokeModel, without a connection.

use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine;
use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::catalog;
use crate::dialect::{Decoded, Dialect, decode, decode_capture, decode_captures, encode};
use crate::scenario::model::Settings;
use crate::turn::dialogue::{Entry, TurnRequest};
use crate::turn::exchange::{End, Exchange, Head, Read};
use crate::turn::trace::{Content, Stop, Usage};

/// A frame as the AWS crate writes it.
fn frame(kind: &'static str, name: &str, payload: &Value) -> Vec<u8> {
    let header =
        |key: String, value: &str| Header::new(key, HeaderValue::String(value.to_owned().into()));
    let message = Message::new(payload.to_string().into_bytes())
        .add_header(header(format!(":{kind}-type"), name))
        .add_header(header(":content-type".to_owned(), "application/json"))
        .add_header(header(":message-type".to_owned(), kind));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("a frame that can be written");
    bytes
}

fn chunk(data: &Value) -> Vec<u8> {
    let bytes = base64::engine::general_purpose::STANDARD.encode(data.to_string());
    frame("event", "chunk", &json!({"bytes": bytes, "p": "abcdef"}))
}

fn chunks() -> Vec<Value> {
    let one = |delta: Value, finish: Value| {
        json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    };
    let mut last = one(json!({}), json!("stop"));
    last["amazon-bedrock-invocationMetrics"] =
        json!({"inputTokenCount": 10, "outputTokenCount": 5, "cacheReadInputTokenCount": 4});
    vec![
        one(
            json!({"role": "assistant", "content": "<reas"}),
            Value::Null,
        ),
        one(json!({"content": "oning>Hm.</reasoning>One "}), Value::Null),
        one(json!({"content": "moment"}), Value::Null),
        last,
    ]
}

fn stream() -> Vec<u8> {
    chunks().iter().flat_map(chunk).collect()
}

/// What a client makes of this body, in reads of `size` bytes.
fn answer(body: &[u8], size: usize, streamed: bool) -> Decoded {
    let reads = body.chunks(size).enumerate().map(|(place, read)| Read {
        at: Duration::from_millis(place as u64),
        len: read.len(),
    });
    let exchange = Exchange {
        head: Some(Head {
            status: 200,
            headers: Vec::new(),
            at: Duration::ZERO,
        }),
        body: Bytes::copy_from_slice(body),
        reads: reads.collect(),
        end: End::Complete,
        total: Duration::from_secs(1),
    };
    let failures = &catalog::shipped().failures;
    decode(Dialect::Invoke, "", failures, &exchange, streamed)
}

fn whole() -> Value {
    json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message":
            {"role": "assistant", "content": "<reasoning>Hm.</reasoning>One moment"}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4}}})
}

#[test]
fn a_stream_and_a_plain_answer_come_to_the_same() {
    let streamed = answer(&stream(), 50, true);
    let plain = answer(whole().to_string().as_bytes(), 50, false);
    for decoded in [&streamed, &plain] {
        let trace = &decoded.trace;
        assert_eq!(trace.failure, None);
        assert_eq!(trace.irregularities, []);
        assert_eq!(trace.text(), "One moment");
        assert_eq!(trace.stop, Some(Stop::End));
        let usage = Usage {
            input: 10,
            output: 5,
            total: 15,
            cached: Some(4),
            cache_write: None,
            reasoning: None,
        };
        assert_eq!(trace.usage, Some(usage));
        let thought = match &trace.items[0].content {
            Content::Reasoning { text, .. } => text.as_str(),
            other => panic!("{other:?}"),
        };
        assert_eq!(thought, "Hm.");
    }
    assert!(streamed.streamed && streamed.framed && !plain.streamed);
    assert_eq!(streamed.trace.timing.output_events, 3);
}

#[test]
fn a_request_is_a_chat_body_without_its_model_and_replays_what_came() {
    let items = answer(&stream(), 1000, true).trace.items;
    let entries = vec![
        Entry::User {
            text: "hi".to_owned(),
        },
        Entry::Answer { items },
        Entry::User {
            text: "and?".to_owned(),
        },
    ];
    let (tools, settings) = (IndexMap::new(), Settings::default());
    let request = TurnRequest {
        model: "m",
        stream: true,
        system: None,
        tools: &tools,
        wire_tools: &[],
        settings: &settings,
        effort_field: None,
        stored: false,
        previous: None,
        format: None,
        entries: &entries,
    };
    let body = encode(Dialect::Invoke, &request);
    assert_eq!(body.get("model"), None);
    assert_eq!(body["stream"], true);
    let said = "<reasoning>Hm.</reasoning>One moment";
    assert_eq!(body["messages"][1]["content"], said);
    let mut chat = encode(Dialect::Chat, &request);
    chat.as_object_mut()
        .expect("an object")
        .shift_remove("model");
    assert_eq!(body, chat);
}

#[test]
fn exceptions_are_failures_with_the_class_of_their_name() {
    let begun: Vec<u8> = chunks()[..2].iter().flat_map(chunk).collect();
    for (exception, class) in [
        ("throttlingException", "throttled"),
        ("modelStreamErrorException", "server_error"),
        ("internalServerException", "server_error"),
        ("serviceUnavailableException", "overloaded"),
        ("validationException", "invalid_request"),
    ] {
        let told = frame("exception", exception, &json!({"message": "Sorry."}));
        let trace = answer(&[begun.clone(), told].concat(), 64, true).trace;
        let failure = trace.failure.expect("a failure");
        assert_eq!(failure.class, class, "{failure:?}");
        assert_eq!(failure.message, "Sorry.");
        assert_eq!(trace.irregularities, []);
    }
}

#[test]
fn each_way_a_stream_breaks_is_a_failure() {
    let good = stream();
    let begun: usize = chunks()[..2].iter().map(|one| chunk(one).len()).sum();
    let mut flipped = good.clone();
    flipped[begun + 70] ^= 1;
    let coral = br#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#;
    let whole = whole().to_string();
    for (body, class, words) in [
        (
            &good[..begun],
            "stream_truncated",
            "without a finish_reason",
        ),
        (&good[..begun + 20], "stream_truncated", "ends in frame 2"),
        (&flipped[..], "bad_response", "checksum"),
        (&coral[..], "wrong_route", "UnknownOperationException"),
        (whole.as_bytes(), "bad_response", "a stream was asked for"),
        (b"", "bad_response", "empty"),
    ] {
        let failure = answer(body, 64, true).trace.failure.expect("a failure");
        assert_eq!(failure.class, class, "{failure:?}");
        assert!(failure.message.contains(words), "{failure:?}");
    }
}

#[test]
fn a_guardrail_that_stepped_in_is_why_the_turn_ended() {
    for (action, stop) in [("INTERVENED", Stop::Guardrail), ("NONE", Stop::End)] {
        let mut told = whole();
        told["amazon-bedrock-guardrailAction"] = action.into();
        let trace = answer(told.to_string().as_bytes(), 64, false).trace;
        assert_eq!(trace.stop, Some(stop));
        let mut all = chunks();
        all[3]["amazon-bedrock-guardrailAction"] = action.into();
        let bytes: Vec<u8> = all.iter().flat_map(chunk).collect();
        assert_eq!(answer(&bytes, 64, true).trace.stop, Some(stop));
    }
}

#[test]
fn frames_and_lines_of_json_are_the_same_capture() {
    let lines: String = chunks().iter().map(|one| format!("{one}\n")).collect();
    let of_lines = decode_capture(Dialect::Invoke, lines.as_bytes());
    let of_frames = decode_capture(Dialect::Invoke, &stream());
    assert_eq!(of_lines.trace, of_frames.trace);
    let plain = decode_capture(Dialect::Invoke, whole().to_string().as_bytes());
    assert_eq!(plain.trace.text(), "One moment");
    let twice = lines.replace("\"c1\"", "\"c2\"");
    let both = decode_captures(Dialect::Invoke, format!("{lines}{twice}").as_bytes());
    assert_eq!(both.len(), 2);
}

#[test]
fn a_flood_of_frames_is_named_and_not_kept() {
    let one = frame("event", "chunk", &json!({}));
    let most = crate::dialect::answer::MOST_EVENTS;
    let mut bytes = Vec::with_capacity(one.len() * (most + 10));
    for _ in 0..most + 10 {
        bytes.extend_from_slice(&one);
    }
    let decoded = decode_capture(Dialect::Invoke, &bytes);
    assert_eq!(decoded.events.len(), most);
    let failure = decoded.trace.failure.expect("a failure");
    assert_eq!(failure.class, "answer_too_big");
    let ids = decoded.trace.irregularities.iter().map(|one| one.id);
    let limits: Vec<&str> = ids.filter(|id| id.ends_with("within-limit")).collect();
    assert_eq!(limits, ["event-stream/events-within-limit"]);
    assert!(decoded.trace.irregularities.len() < 100);
}

proptest::proptest! {
    #[test]
    fn hostile_frames_do_not_break_the_decoder(
        payloads in proptest::collection::vec(
            (0usize..4, proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)), 0..8,
        ),
    ) {
        let mut bytes = chunk(&chunks()[0]);
        for (kind, payload) in payloads {
            let text = String::from_utf8_lossy(&payload).into_owned();
            let encoded = base64::engine::general_purpose::STANDARD.encode(&payload);
            bytes.extend(match kind {
                0 => frame("event", "chunk", &json!({"bytes": encoded})),
                1 => frame("event", "chunk", &json!({"bytes": text})),
                2 => frame("exception", &text, &json!(text)),
                _ => payload,
            });
        }
        for dialect in [Dialect::Invoke, Dialect::Converse] {
            let decoded = decode_capture(dialect, &bytes);
            proptest::prop_assert!(decoded.events.len() <= 9);
        }
        answer(&bytes, 7, true);
    }
}
