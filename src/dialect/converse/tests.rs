//! Encoding and decoding of Converse, without a connection.

use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::catalog;
use crate::dialect::{Decoded, Dialect, decode, decode_capture, encode};
use crate::scenario::model::{Settings, Tool, ToolChoice};
use crate::turn::dialogue::{Entry, TurnRequest};
use crate::turn::exchange::{End, Exchange, Head, Read};
use crate::turn::trace::{CallForm, Content, Stop, Usage};

/// A frame as the AWS crate writes it.
fn frame(message_type: &'static str, name: &str, payload: &Value) -> Vec<u8> {
    let header =
        |key: String, value: &str| Header::new(key, HeaderValue::String(value.to_owned().into()));
    let message = Message::new(payload.to_string().into_bytes())
        .add_header(header(format!(":{message_type}-type"), name))
        .add_header(header(":content-type".to_owned(), "application/json"))
        .add_header(header(":message-type".to_owned(), message_type));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("a frame that can be written");
    bytes
}

fn events() -> Vec<(&'static str, Value)> {
    let delta = |index: u64, delta: Value| {
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": index, "delta": delta, "p": "abcdef"}),
        )
    };
    let stop = |index: u64| ("contentBlockStop", json!({"contentBlockIndex": index}));
    vec![
        ("messageStart", json!({"role": "assistant"})),
        delta(0, json!({"reasoningContent": {"text": "Hm"}})),
        delta(0, json!({"reasoningContent": {"text": "m."}})),
        delta(0, json!({"reasoningContent": {"signature": "c2ln"}})),
        stop(0),
        delta(1, json!({"reasoningContent": {"redactedContent": "cnNu"}})),
        stop(1),
        delta(2, json!({"text": "One "})),
        delta(2, json!({"text": "moment"})),
        stop(2),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}}),
        ),
        delta(3, json!({"toolUse": {"input": "{\"city\": "}})),
        delta(3, json!({"toolUse": {"input": "\"Dublin\"}"}})),
        stop(3),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 4, "start": {"toolUse": {"toolUseId": "t2", "name": "now"}}}),
        ),
        stop(4),
        ("messageStop", json!({"stopReason": "tool_use"})),
        (
            "metadata",
            json!({"usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15,
                "cacheReadInputTokens": 4, "cacheWriteInputTokens": 0}, "metrics": {"latencyMs": 7}}),
        ),
    ]
}

fn bytes(events: &[(&str, Value)]) -> Vec<u8> {
    events
        .iter()
        .flat_map(|(name, payload)| frame("event", name, payload))
        .collect()
}

/// What a client makes of this body, in reads of `size` bytes.
fn answer(body: &[u8], size: usize, streamed: bool) -> Decoded {
    let reads = body
        .chunks(size)
        .enumerate()
        .map(|(place, read)| Read {
            at: Duration::from_millis(place as u64),
            len: read.len(),
        })
        .collect();
    let exchange = Exchange {
        head: Some(Head {
            status: 200,
            headers: Vec::new(),
            at: Duration::ZERO,
        }),
        body: Bytes::copy_from_slice(body),
        reads,
        end: End::Complete,
        total: Duration::from_secs(1),
    };
    let failures = &catalog::shipped().failures;
    decode(Dialect::Converse, "", failures, &exchange, streamed)
}

fn whole() -> Value {
    json!({
        "output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "Hmm.", "signature": "c2ln"}}},
            {"reasoningContent": {"redactedContent": "cnNu"}},
            {"text": "One moment"},
            {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Dublin"}}},
            {"toolUse": {"toolUseId": "t2", "name": "now", "input": {}}},
        ]}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15,
            "cacheReadInputTokens": 4, "cacheWriteInputTokens": 0},
        "metrics": {"latencyMs": 7},
    })
}

#[test]
fn a_stream_and_a_plain_answer_come_to_the_same() {
    let streamed = answer(&bytes(&events()), 1000, true);
    let plain = answer(whole().to_string().as_bytes(), 1000, false);
    for decoded in [&streamed, &plain] {
        let trace = &decoded.trace;
        assert_eq!(trace.failure, None);
        assert_eq!(trace.irregularities, []);
        assert_eq!(trace.text(), "One moment");
        assert_eq!(trace.stop, Some(Stop::ToolCalls));
        let usage = Usage {
            input: 10,
            output: 5,
            total: 15,
            cached: Some(4),
            cache_write: Some(0),
            reasoning: None,
        };
        assert_eq!(trace.usage, Some(usage));
        let calls: Vec<(&str, &str)> = trace
            .calls()
            .map(|call| (call.call_id.as_str(), call.name.as_str()))
            .collect();
        assert_eq!(calls, [("t1", "weather"), ("t2", "now")]);
        let replayed: Vec<&Value> = trace.items.iter().map(|item| &item.wire).collect();
        let content = whole()["output"]["message"]["content"].clone();
        assert_eq!(
            replayed,
            content
                .as_array()
                .expect("a list")
                .iter()
                .collect::<Vec<_>>()
        );
        let sealed = |index: usize| match &trace.items[index].content {
            Content::Reasoning {
                text, encrypted, ..
            } => (text.clone(), *encrypted),
            other => panic!("{other:?}"),
        };
        assert_eq!(sealed(0), ("Hmm.".to_owned(), true));
        assert_eq!(sealed(1), (String::new(), true));
    }
    let arguments = |decoded: &Decoded| -> Vec<String> {
        decoded
            .trace
            .calls()
            .map(|call| call.arguments.clone())
            .collect()
    };
    assert_eq!(arguments(&streamed), ["{\"city\": \"Dublin\"}", "{}"]);
    assert!(streamed.streamed && !plain.streamed);
    assert_eq!(streamed.trace.timing.output_events, 8);
}

#[test]
fn how_bytes_are_split_changes_only_the_times() {
    let body = bytes(&events());
    let expected = answer(&body, body.len(), true);
    for size in [1, 2, 7, 100] {
        let split = answer(&body, size, true);
        assert_eq!(split.trace.text(), expected.trace.text());
        let wires = |decoded: &Decoded| -> Vec<Value> {
            decoded
                .trace
                .items
                .iter()
                .map(|item| item.wire.clone())
                .collect()
        };
        assert_eq!(wires(&split), wires(&expected));
        assert_eq!(split.trace.stop, expected.trace.stop);
    }
}

#[test]
fn frames_and_lines_of_json_are_the_same_capture() {
    let lines: String = events()
        .iter()
        .map(|(name, payload)| format!("{}\n", json!({ *name: payload })))
        .collect();
    let of_lines = decode_capture(Dialect::Converse, lines.as_bytes());
    let of_frames = decode_capture(Dialect::Converse, &bytes(&events()));
    assert_eq!(of_lines.trace, of_frames.trace);
    assert_eq!(of_lines.events.len(), of_frames.events.len());
}

#[track_caller]
fn check_failure(body: &[u8], streamed: bool, class: &str, message: &str) {
    let failure = answer(body, 64, streamed).trace.failure.expect("a failure");
    assert_eq!(failure.class, class, "{failure:?}");
    assert!(failure.message.contains(message), "{failure:?}");
}

#[test]
fn each_way_a_stream_breaks_is_a_failure() {
    let good = bytes(&events());
    let begun = bytes(&events()[..8]);
    check_failure(&begun, true, "stream_truncated", "without messageStop");
    check_failure(
        &good[..begun.len() + 20],
        true,
        "stream_truncated",
        "ends in frame 8",
    );
    let mut flipped = good.clone();
    flipped[begun.len() + 60] ^= 1;
    check_failure(&flipped, true, "bad_response", "checksum");
    let coral = br#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#;
    check_failure(coral, true, "wrong_route", "UnknownOperationException");
    check_failure(coral, false, "wrong_route", "UnknownOperationException");
    check_failure(b"", true, "bad_response", "empty");
    check_failure(b"<html>", true, "bad_response", "html");
    check_failure(
        whole().to_string().as_bytes(),
        true,
        "bad_response",
        "a stream was asked for",
    );
    for (exception, class) in [
        ("throttlingException", "throttled"),
        ("modelStreamErrorException", "server_error"),
        ("internalServerException", "server_error"),
        ("serviceUnavailableException", "overloaded"),
        ("validationException", "invalid_request"),
    ] {
        let told = frame("exception", exception, &json!({"message": "Sorry."}));
        check_failure(&[begun.clone(), told].concat(), true, class, "Sorry.");
    }
}

#[test]
fn reasons_to_stop_are_those_of_the_normal_form() {
    for (reason, expected) in [
        ("end_turn", Some(Stop::End)),
        ("stop_sequence", Some(Stop::End)),
        ("tool_use", Some(Stop::ToolCalls)),
        ("max_tokens", Some(Stop::Length)),
        ("model_context_window_exceeded", Some(Stop::Length)),
        ("guardrail_intervened", Some(Stop::Guardrail)),
        ("content_filtered", Some(Stop::ContentFilter)),
        ("malformed_tool_use", None),
        ("something_new", None),
    ] {
        let mut answer_with = whole();
        answer_with["stopReason"] = reason.into();
        let trace = answer(answer_with.to_string().as_bytes(), 64, false).trace;
        assert_eq!(trace.stop, expected, "{reason}");
        assert_eq!(
            trace.failure.is_some(),
            reason.starts_with("malformed"),
            "{reason}"
        );
    }
}

fn tools() -> IndexMap<String, Tool> {
    let tool = |strict: bool, parameters: Option<Value>| Tool {
        description: "d".to_owned(),
        parameters,
        strict,
        custom: false,
    };
    IndexMap::from([
        (
            "weather".to_owned(),
            tool(true, Some(json!({"type": "object"}))),
        ),
        ("now".to_owned(), tool(false, None)),
    ])
}

#[test]
fn a_request_says_everything_that_is_set_and_replays_the_answer_unchanged() {
    let answered = answer(&bytes(&events()), 1000, true).trace.items;
    let result = |call_id: &str, output: &str| Entry::Result {
        call_id: call_id.to_owned(),
        name: "weather".to_owned(),
        form: CallForm::Function,
        output: output.to_owned(),
    };
    let entries = vec![
        Entry::User {
            text: "hi".to_owned(),
        },
        Entry::Answer { items: answered },
        result("t1", "{\"temp\":11}"),
        result("t2", "noon"),
    ];
    let settings = Settings {
        max_output_tokens: Some(100),
        temperature: Some(0.5),
        top_p: Some(1.0),
        tool_choice: Some(ToolChoice::Tool("now".to_owned())),
        reasoning_effort: Some("low".to_owned()),
        ..Settings::default()
    };
    let tools = tools();
    let mut request = TurnRequest {
        model: "m",
        stream: true,
        system: Some("be brief"),
        tools: &tools,
        wire_tools: &[],
        settings: &settings,
        effort_field: Some("reasoning.effort"),
        stored: false,
        previous: None,
        format: None,
        entries: &entries,
    };
    let body = encode(Dialect::Converse, &request);
    let expected = json!({
        "system": [{"text": "be brief"}],
        "messages": [
            {"role": "user", "content": [{"text": "hi"}]},
            {"role": "assistant", "content": whole()["output"]["message"]["content"]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"json": {"temp": 11}}], "status": "success"}},
                {"toolResult": {"toolUseId": "t2", "content": [{"text": "noon"}], "status": "success"}},
            ]},
        ],
        "inferenceConfig": {"maxTokens": 100, "temperature": 0.5, "topP": 1.0},
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "weather", "description": "d", "inputSchema": {"json": {"type": "object"}}, "strict": true}},
                {"toolSpec": {"name": "now", "description": "d", "inputSchema": {"json":
                    {"type": "object", "properties": {}, "required": [], "additionalProperties": false}}}},
            ],
            "toolChoice": {"tool": {"name": "now"}},
        },
        "additionalModelRequestFields": {"reasoning": {"effort": "low"}},
    });
    assert_eq!(body, expected);
    request.effort_field = Some("reasoning_effort");
    let flat = encode(Dialect::Converse, &request);
    assert_eq!(
        flat["additionalModelRequestFields"],
        json!({"reasoning_effort": "low"})
    );
    let bare = Settings::default();
    request.settings = &bare;
    request.system = None;
    request.tools = Box::leak(Box::default());
    let body = encode(Dialect::Converse, &request);
    let keys: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["messages"]);
}

#[test]
fn what_the_model_says_in_pieces_that_are_no_json_is_replayed_as_it_came() {
    let mut broken = events();
    broken[12].1["delta"]["toolUse"]["input"] = "oops".into();
    let trace = answer(&bytes(&broken), 1000, true).trace;
    assert_eq!(trace.items[3].wire["toolUse"]["input"], "{\"city\": oops");
    assert_eq!(
        trace.calls().next().expect("a call").arguments,
        "{\"city\": oops"
    );
}

proptest::proptest! {
    #[test]
    fn hostile_events_do_not_break_the_decoder(
        changes in proptest::collection::vec((0usize..100, 0usize..3, 0usize..6), 1..6),
    ) {
        let values = [Value::Null, json!(-1), json!(u64::MAX), json!("x"), json!([[]]), json!({"a": 1})];
        let mut hostile = events();
        for (event, place, value) in changes {
            let count = hostile.len();
            let (name, payload) = &mut hostile[event % count];
            match place {
                0 => payload["contentBlockIndex"] = values[value].clone(),
                1 => payload["delta"] = values[value].clone(),
                _ => *name = ["", "metadata", "contentBlockStop", "error", "xException", "messageStop"][value],
            }
        }
        answer(&bytes(&hostile), 50, true);
    }
}
