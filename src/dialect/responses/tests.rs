//! Decoding at the boundary: bytes in, traces out. Encoding and hostile input have their own files.

mod encoding;
mod hostile;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::catalog;
use crate::dialect::wire::Payload;
use crate::dialect::{Decoded, Dialect, decode, decode_capture, decode_captures};
use crate::turn::exchange::{End, Exchange, Head, Read};
use crate::turn::trace::{CallForm, Content, Item, Layer, Stop, Usage};

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// An exchange whose head comes after 5 ms and whose reads come every 10 ms.
fn exchange(status: u16, headers: &[(&str, &str)], reads: &[&[u8]], end: End) -> Exchange {
    Exchange {
        head: Some(Head {
            status,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            at: ms(5),
        }),
        body: Bytes::from(reads.concat()),
        reads: reads
            .iter()
            .enumerate()
            .map(|(index, read)| Read {
                at: ms(10 * (index as u64 + 1)),
                len: read.len(),
            })
            .collect(),
        end,
        total: ms(10 * reads.len() as u64 + 3),
    }
}

fn decoded(exchange: &Exchange, streamed: bool) -> Decoded {
    let failures = &catalog::shipped().failures;
    decode(Dialect::Responses, "openai", failures, exchange, streamed)
}

/// Each event as one read of its own.
fn stream(events: &[Value]) -> Decoded {
    let frames: Vec<String> = events.iter().map(frame).collect();
    let reads: Vec<&[u8]> = frames.iter().map(String::as_bytes).collect();
    decoded(&exchange(200, &[], &reads, End::Complete), true)
}

fn frame(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap_or("message");
    format!("event: {kind}\ndata: {event}\n\n")
}

fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

fn response(status: &str, output: Value) -> Value {
    json!({
        "id": "resp_1", "object": "response", "model": "m-1", "status": status, "service_tier": "default",
        "error": null, "incomplete_details": null, "output": output,
        "usage": {
            "input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "output_tokens_details": {"reasoning_tokens": 3}
        }
    })
}

fn message(text: &str) -> Value {
    json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

fn call(id: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "id": id, "call_id": format!("call_{id}"), "name": "get_weather",
        "arguments": arguments, "status": "completed"})
}

fn added(index: u64, item: Value) -> Value {
    json!({"type": "response.output_item.added", "output_index": index, "item": item})
}

fn done(index: u64, item: &Value) -> Value {
    json!({"type": "response.output_item.done", "output_index": index, "item": item})
}

fn text_delta(index: u64, delta: &str) -> Value {
    json!({"type": "response.output_text.delta", "output_index": index, "item_id": "msg_1",
        "content_index": 0, "delta": delta})
}

fn created() -> Value {
    let mut response = response("in_progress", json!([]));
    response["usage"] = Value::Null;
    json!({"type": "response.created", "response": response})
}

fn completed(output: Value) -> Value {
    json!({"type": "response.completed", "response": response("completed", output)})
}

fn text_and_call() -> Vec<Value> {
    let (message, call) = (message("Hello"), call("fc_1", "{\"city\":\"Dublin\"}"));
    let mut open_call = call.clone();
    open_call["arguments"] = "".into();
    let arguments = |delta: &str| {
        json!({"type": "response.function_call_arguments.delta", "output_index": 1,
            "item_id": "fc_1", "delta": delta})
    };
    vec![
        created(),
        added(
            0,
            json!({"type": "message", "id": "msg_1", "role": "assistant", "content": []}),
        ),
        text_delta(0, ""),
        text_delta(0, "Hel"),
        added(1, open_call),
        arguments("{\"city\":"),
        text_delta(0, "lo"),
        arguments("\"Dublin\"}"),
        done(0, &message),
        done(1, &call),
        completed(json!([message, call])),
    ]
}

#[test]
fn a_call_is_complete_when_its_input_is() {
    let mut events = text_and_call();
    let whole = json!({"type": "response.function_call_arguments.done", "output_index": 1, "item_id": "fc_1",
        "arguments": "{\"city\":\"Dublin\"}"});
    events.insert(8, whole);
    let timing = stream(&events).trace.timing;
    assert_eq!(timing.first_call, Some(ms(90)));
}

#[test]
fn folds_a_stream_into_a_trace_with_times() {
    let Decoded { events, trace, .. } = stream(&text_and_call());
    assert_eq!(events.len(), 11);
    assert_eq!(events[3].read, 3);
    assert_eq!(trace.response_id.as_deref(), Some("resp_1"));
    assert_eq!(trace.model.as_deref(), Some("m-1"));
    assert_eq!(trace.service_tier.as_deref(), Some("default"));
    assert_eq!(trace.text(), "Hello");
    let calls: Vec<_> = trace.calls().collect();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].call_id, "call_fc_1");
    assert_eq!(calls[0].arguments, "{\"city\":\"Dublin\"}");
    assert_eq!(trace.stop, Some(Stop::ToolCalls));
    let usage = Usage {
        input: 10,
        output: 5,
        total: 15,
        cached: Some(4),
        cache_write: Some(2),
        reasoning: Some(3),
    };
    assert_eq!(trace.usage, Some(usage));
    assert_eq!((trace.failure, trace.irregularities.len()), (None, 0));
    let timing = trace.timing;
    assert_eq!(timing.headers, Some(ms(5)));
    assert_eq!(timing.first_event, Some(ms(10)));
    assert_eq!(
        timing.first_output,
        Some(ms(40)),
        "an empty delta is no output"
    );
    assert_eq!(timing.first_call, Some(ms(100)));
    assert_eq!(timing.total, Some(ms(110)));
    assert_eq!(timing.first_call_output, Some(ms(50)), "a call's name");
    assert_eq!((timing.output_events, timing.output_reads), (5, 5));
    assert_eq!(trace.items[0].started, Some(ms(20)));
    assert_eq!(trace.items[0].ended, Some(ms(90)));
    assert_eq!(trace.items[1].wire, call("fc_1", "{\"city\":\"Dublin\"}"));
}

#[test]
fn reads_with_output_are_counted_once() {
    let frames: Vec<String> = text_and_call().iter().map(frame).collect();
    let reads = [
        frames[..5].concat(),
        frames[5..8].concat(),
        frames[8..].concat(),
    ];
    let reads: Vec<&[u8]> = reads.iter().map(String::as_bytes).collect();
    let timing = decoded(&exchange(200, &[], &reads, End::Complete), true)
        .trace
        .timing;
    assert_eq!((timing.output_events, timing.output_reads), (5, 2));
    assert_eq!(timing.first_output, Some(ms(10)));
}

#[test]
fn a_plain_answer_gives_the_items_of_the_stream() {
    let streamed = stream(&text_and_call()).trace;
    let body = response(
        "completed",
        json!([message("Hello"), call("fc_1", "{\"city\":\"Dublin\"}")]),
    );
    let body = body.to_string();
    let exchange = exchange(200, &[], &[body.as_bytes()], End::Complete);
    let Decoded { events, trace, .. } = decoded(&exchange, false);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].end, body.len() as u64);
    let bare = |items: &[Item]| -> Vec<(Content, Value)> {
        items
            .iter()
            .map(|item| (item.content.clone(), item.wire.clone()))
            .collect()
    };
    assert_eq!(bare(&trace.items), bare(&streamed.items));
    assert_eq!((trace.stop, trace.usage), (streamed.stop, streamed.usage));
    assert_eq!(trace.timing.first_output, Some(ms(10)));
    assert_eq!(trace.timing.first_call, Some(ms(10)));
    assert_eq!(trace.failure, None);
}

#[test]
fn what_done_says_wins_over_deltas_and_the_terminal_response() {
    let events = [
        created(),
        added(0, json!({"type": "message", "id": "msg_1"})),
        text_delta(0, "from deltas"),
        done(0, &message("from done")),
        completed(json!([message("from terminal")])),
    ];
    assert_eq!(stream(&events).trace.text(), "from done");
    let without_done = [&events[..3], &events[4..]].concat();
    assert_eq!(stream(&without_done).trace.text(), "from terminal");
    let cut = stream(&events[..3]).trace;
    assert_eq!(cut.text(), "from deltas");
    assert_eq!((cut.items[0].ended, cut.stop), (None, None));
    let only_terminal = stream(&[created(), completed(json!([message("whole")]))]).trace;
    assert_eq!(only_terminal.text(), "whole");
    assert_eq!(only_terminal.items.len(), 1);
    assert_eq!(only_terminal.timing.first_output, Some(ms(20)));
}

#[test]
fn unfinished_items_are_built_from_what_came() {
    let address = |kind: &str, rest: Value| {
        let mut event = json!({"type": kind, "output_index": 7, "item_id": "x"});
        for (key, value) in rest.as_object().into_iter().flatten() {
            event[key] = value.clone();
        }
        event
    };
    let cases = [
        (
            vec![
                address(
                    "response.refusal.delta",
                    json!({"content_index": 0, "delta": "I "}),
                ),
                address(
                    "response.refusal.delta",
                    json!({"content_index": 0, "delta": "won't"}),
                ),
            ],
            Content::Refusal {
                text: "I won't".to_owned(),
            },
        ),
        (
            vec![
                address(
                    "response.reasoning_summary_text.delta",
                    json!({"summary_index": 1, "delta": "b"}),
                ),
                address(
                    "response.reasoning_summary_text.delta",
                    json!({"summary_index": 0, "delta": "a"}),
                ),
                address(
                    "response.reasoning.delta",
                    json!({"content_index": 0, "delta": "t"}),
                ),
            ],
            Content::Reasoning {
                summary: "a\nb".to_owned(),
                text: "t".to_owned(),
                encrypted: false,
            },
        ),
        (
            // a server that sends the arguments only at once
            vec![
                added(
                    7,
                    json!({"type": "function_call", "id": "x", "call_id": "c", "name": "n", "arguments": ""}),
                ),
                address(
                    "response.function_call_arguments.done",
                    json!({"arguments": "{}"}),
                ),
            ],
            Content::Call(crate::turn::trace::Call {
                call_id: "c".to_owned(),
                name: "n".to_owned(),
                namespace: None,
                arguments: "{}".to_owned(),
                form: CallForm::Function,
            }),
        ),
        (
            vec![
                added(
                    7,
                    json!({"type": "custom_tool_call", "id": "x", "call_id": "c", "name": "n", "input": "", "namespace": "s"}),
                ),
                address(
                    "response.custom_tool_call_input.delta",
                    json!({"delta": "*** "}),
                ),
                address(
                    "response.custom_tool_call_input.delta",
                    json!({"delta": "Begin"}),
                ),
            ],
            Content::Call(crate::turn::trace::Call {
                call_id: "c".to_owned(),
                name: "n".to_owned(),
                namespace: Some("s".to_owned()),
                arguments: "*** Begin".to_owned(),
                form: CallForm::Custom,
            }),
        ),
        (
            vec![added(7, json!({"type": "web_search_call", "id": "x"}))],
            Content::Other {
                kind: "web_search_call".to_owned(),
            },
        ),
        (
            vec![address(
                "response.content_part.done",
                json!({"content_index": 0, "part": {"type": "output_text", "text": "part"}}),
            )],
            Content::Text {
                text: "part".to_owned(),
            },
        ),
    ];
    for (events, expect) in cases {
        let trace = stream(&events).trace;
        assert_eq!(trace.items.len(), 1, "{events:?}");
        assert_eq!(trace.items[0].content, expect);
        assert_eq!(trace.items[0].id.as_deref(), Some("x"));
    }
}

#[test]
fn items_that_share_an_index_or_change_their_ids_are_kept_apart_or_together() {
    // two calls under one index: an agent runs both
    let (one, two) = (call("a", "{}"), call("b", "{}"));
    let trace = stream(&[
        added(0, one.clone()),
        done(0, &one),
        added(0, two.clone()),
        done(0, &two),
    ])
    .trace;
    let ids: Vec<_> = trace.calls().map(|call| call.call_id.as_str()).collect();
    assert_eq!(ids, ["call_a", "call_b"]);
    // one item whose id changes with every event, in the terminal response too
    let mut last = message("Hello");
    last["id"] = "other".into();
    let trace = stream(&[
        added(0, json!({"type": "message", "id": "first"})),
        text_delta(0, "Hello"),
        done(0, &message("Hello")),
        completed(json!([last])),
    ])
    .trace;
    assert_eq!(trace.items.len(), 1);
    // an item of the terminal response that is known by its id is not also another one by its place
    let trace = stream(&[
        json!({"type": "response.output_text.delta", "output_index": 0, "item_id": "cut", "delta": "half"}),
        done(1, &message("Hello")),
        completed(json!([message("Hello")])),
    ])
    .trace;
    assert_eq!(trace.text(), "half\nHello");
    // order is that of the indexes, not of arrival
    let trace = stream(&[done(1, &one), done(0, &two)]).trace;
    let ids: Vec<_> = trace.calls().map(|call| call.call_id.as_str()).collect();
    assert_eq!(ids, ["call_b", "call_a"]);
}

#[test]
fn nothing_after_the_terminal_event_counts() {
    let mut events = text_and_call();
    events.push(done(2, &call("late", "{}")));
    events.push(json!({"type": "error", "error": {"message": "late"}}));
    let Decoded { events, trace, .. } = stream(&events);
    assert_eq!(events.len(), 13);
    assert_eq!((trace.calls().count(), trace.failure), (1, None));
}

#[test]
fn says_why_a_turn_stopped() {
    let incomplete = |reason: &str| {
        let mut response = response("incomplete", json!([message("x")]));
        response["incomplete_details"] = json!({ "reason": reason });
        json!({"type": "response.incomplete", "response": response})
    };
    let cases = [
        (completed(json!([message("x")])), Some(Stop::End)),
        (completed(json!([call("a", "{}")])), Some(Stop::ToolCalls)),
        (incomplete("max_output_tokens"), Some(Stop::Length)),
        (incomplete("content_filter"), Some(Stop::ContentFilter)),
        (incomplete("boredom"), None),
    ];
    for (event, stop) in cases {
        let trace = stream(std::slice::from_ref(&event)).trace;
        assert_eq!((trace.stop, trace.failure), (stop, None), "{event}");
        let body = event["response"].to_string();
        let plain = exchange(200, &[], &[body.as_bytes()], End::Complete);
        assert_eq!(decoded(&plain, false).trace.stop, stop);
    }
}

#[test]
fn failures_inside_a_stream() {
    let failed = |error: Value| {
        let mut response = response("failed", json!([]));
        response["error"] = error;
        response["usage"] = Value::Null;
        json!({"type": "response.failed", "response": response})
    };
    let limit = json!({"code": "rate_limit_exceeded", "message": "Please try again in 1.5s."});
    let nested = json!({"type": "error", "sequence_number": 2,
        "error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "m", "param": "p"}});
    let flat = json!({"type": "error", "code": "server_error", "message": "m", "param": null});
    let bare = json!({"error": {"code": "context_length_exceeded", "message": "m"}});
    let cases = [
        (vec![created(), failed(limit)], "throttled", Some(1500)),
        (vec![created(), failed(Value::Null)], "unknown", None),
        (
            vec![created(), json!({"type": "response.failed"})],
            "unknown",
            None,
        ),
        (vec![created(), nested.clone()], "quota_exhausted", None),
        (vec![created(), flat], "server_error", None),
        (vec![created(), bare], "context_overflow", None),
        (
            vec![
                nested,
                failed(json!({"code": "server_error", "message": "said here"})),
            ],
            "server_error",
            None,
        ),
        (vec![created()], "stream_truncated", None),
        (
            vec![json!({"object": "chat.completion.chunk", "choices": []})],
            "bad_response",
            None,
        ),
    ];
    for (events, class, wait) in cases {
        let failure = stream(&events).trace.failure.expect("a failure");
        assert_eq!(failure.class, class, "{events:?}");
        assert_eq!(failure.retry_after, wait.map(ms));
        assert_eq!((failure.layer, failure.status), (Layer::Stream, Some(200)));
        assert!(!failure.message.is_empty());
    }
    let both = stream(&[
        json!({"type": "error", "error": {"type": "t", "param": "p", "message": "event"}}),
        failed(json!({"code": "c", "message": "response"})),
    ]);
    let failure = both.trace.failure.expect("a failure");
    assert_eq!(failure.message, "response");
    assert_eq!(
        (failure.kind.as_deref(), failure.param.as_deref()),
        (Some("t"), Some("p"))
    );
}

#[test]
fn failures_of_the_connection() {
    let reason = || "why".to_owned();
    let part = frame(&created());
    let cases = [
        (End::Complete, "stream_truncated"),
        (End::Dropped { reason: reason() }, "connection_dropped"),
        (End::Stalled { after: ms(500) }, "stalled"),
        (End::TooLong { after: ms(500) }, "timed_out"),
        (End::TooBig { limit: 10 }, "answer_too_big"),
    ];
    for (end, class) in cases {
        for body in [part.as_bytes(), b": ping\n\n"] {
            let exchange = exchange(200, &[], &[body], end.clone());
            let failure = decoded(&exchange, true).trace.failure.expect("a failure");
            assert_eq!(
                (failure.class.as_str(), failure.layer),
                (class, Layer::Stream)
            );
        }
        // whole turns stay whole
        let whole: String = text_and_call().iter().map(frame).collect();
        let exchange = exchange(200, &[], &[whole.as_bytes()], end);
        assert_eq!(decoded(&exchange, true).trace.failure, None);
    }
    let cases = [
        (End::Unreachable { reason: reason() }, "unreachable"),
        (End::NoHead { after: ms(500) }, "no_response"),
        (End::Refused { reason: reason() }, "connection_refused"),
        (End::TooLong { after: ms(500) }, "timed_out"),
    ];
    for (end, class) in cases {
        let mut exchange = exchange(200, &[], &[], end);
        exchange.head = None;
        for streamed in [true, false] {
            let trace = decoded(&exchange, streamed).trace;
            let failure = trace.failure.expect("a failure");
            assert_eq!(
                (failure.class.as_str(), failure.layer),
                (class, Layer::Connection)
            );
            assert_eq!((failure.status, trace.timing.total), (None, None));
        }
    }
}

#[test]
fn failures_of_the_response() {
    let coral = r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#;
    let error = r#"{"error":{"code":"x","message":"nobody knows"}}"#;
    let unfinished = "data: {\"type\":\"response.created\"}";
    let cases = [
        (404, "", true, "wrong_route", Layer::Response),
        (
            503,
            "<html>busy</html>",
            true,
            "overloaded",
            Layer::Response,
        ),
        (302, "", true, "wrong_route", Layer::Response),
        (200, "", true, "bad_response", Layer::Response),
        (200, "", false, "bad_response", Layer::Response),
        (200, coral, true, "wrong_route", Layer::Response),
        (200, coral, false, "wrong_route", Layer::Response),
        (200, error, true, "bad_response", Layer::Response),
        (
            200,
            "<html>sign in</html>",
            false,
            "bad_response",
            Layer::Response,
        ),
        (200, unfinished, true, "stream_truncated", Layer::Stream),
        (200, unfinished, false, "bad_response", Layer::Response),
    ];
    for (status, body, streamed, class, layer) in cases {
        let exchange = exchange(status, &[], &[body.as_bytes()], End::Complete);
        let Decoded { events, trace, .. } = decoded(&exchange, streamed);
        let failure = trace.failure.expect("a failure");
        assert_eq!(
            (failure.class.as_str(), failure.layer),
            (class, layer),
            "{status} {body}"
        );
        assert_eq!(failure.status, Some(status));
        assert!(events.is_empty());
        let noted = trace
            .irregularities
            .iter()
            .any(|one| one.id == "responses/not-a-response");
        assert_eq!(noted, status == 200 && layer == Layer::Response);
    }
    // a whole answer where a stream was asked for: shown, and still a failure
    let body = response("completed", json!([message("x")])).to_string();
    let exchange = exchange(200, &[], &[body.as_bytes()], End::Complete);
    let trace = decoded(&exchange, true).trace;
    assert_eq!(trace.text(), "x");
    assert_eq!(
        trace.failure.map(|failure| failure.class).as_deref(),
        Some("bad_response")
    );
}

#[test]
fn a_plain_answer_can_have_failed() {
    let mut body = response("failed", json!([]));
    body["error"] = json!({"code": "server_error", "message": "sorry"});
    let body = body.to_string();
    let failure = decoded(
        &exchange(200, &[], &[body.as_bytes()], End::Complete),
        false,
    )
    .trace
    .failure
    .expect("a failure");
    assert_eq!(
        (failure.class.as_str(), failure.message.as_str()),
        ("server_error", "sorry")
    );
}

#[test]
fn irregularities_stand_at_their_event() {
    let first = frame(&created());
    let whole = [
        first.as_bytes(),
        b"foo: bar\ndata: {\"type\":\"x.y\",\n\n",
        b"data: {\"a\":1}\n\ndata: [DONE]\n\n: ping\n\nevent: half",
    ]
    .concat();
    let exchange = exchange(200, &[], &[&whole], End::Complete);
    let Decoded { events, trace, .. } = decoded(&exchange, true);
    assert_eq!(events.len(), 4);
    assert_eq!(events[3].payload, Payload::Done);
    let seen: Vec<_> = trace
        .irregularities
        .iter()
        .map(|one| (one.id, one.event))
        .collect();
    assert_eq!(
        seen,
        [
            ("sse/unknown-field", Some(1)),
            ("sse/malformed-json", Some(1)),
            ("responses/event-without-type", Some(2)),
            ("sse/unterminated-event", None),
        ]
    );
    let many = "foo: bar\n".repeat(1000) + &frame(&completed(json!([])));
    let exchange = self::exchange(200, &[], &[many.as_bytes()], End::Complete);
    let trace = decoded(&exchange, true).trace;
    assert_eq!(trace.irregularities.len(), 51);
    assert_eq!(trace.irregularities[50].detail, "and 950 more of these");
}

#[test]
fn captured_files_of_each_form_give_one_trace() {
    let events = text_and_call();
    let sse: String = events.iter().map(frame).collect();
    let of_lines = decode_capture(Dialect::Responses, lines(&events).as_bytes());
    let of_sse = decode_capture(Dialect::Responses, sse.as_bytes());
    assert_eq!(of_lines.trace, of_sse.trace);
    assert_eq!(of_lines.events.len(), events.len());
    let single = decode_capture(Dialect::Responses, lines(&events[..1]).as_bytes());
    assert!(single.streamed && of_sse.streamed);
    assert_eq!(of_lines.trace.failure, None);
    assert_eq!(
        of_lines.trace.timing.first_output, None,
        "a file has no times"
    );
    let response = response("completed", json!([message("Hello")]));
    let pretty = serde_json::to_string_pretty(&response).expect("serialises");
    for text in [response.to_string(), pretty] {
        let plain = decode_capture(Dialect::Responses, text.as_bytes());
        assert!(!plain.streamed);
        assert_eq!(
            (plain.trace.text().as_str(), plain.events.len()),
            ("Hello", 1)
        );
    }
    for text in [
        "",
        "\n",
        "<html></html>",
        "{\"error\":{\"message\":\"m\"}}",
        "garbage",
    ] {
        let decoded = decode_capture(Dialect::Responses, text.as_bytes());
        assert!(decoded.trace.failure.is_some(), "{text:?}");
    }
    let two = lines(&events).repeat(2);
    let answers = decode_captures(Dialect::Responses, two.as_bytes());
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0].trace, of_lines.trace);
    assert_eq!(answers[1].trace, of_lines.trace);
}

#[test]
fn a_word_that_is_no_dialect_is_told_what_there_is() {
    assert_eq!("responses".parse(), Ok(Dialect::Responses));
    let error = "morse".parse::<Dialect>().expect_err("not there");
    assert_eq!(
        error.to_string(),
        "`morse` is not a dialect: there is responses, chat, converse, invoke, agentcore"
    );
    assert_eq!(Dialect::Responses.to_string(), "responses");
}
