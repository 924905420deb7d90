//! Decoding and encoding at the boundary: bytes in, traces out; turns in, bodies out.

use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::catalog;
use crate::dialect::{Decoded, Dialect, decode, decode_capture, decode_captures, encode};
use crate::scenario::model::{Format, Scenario, SchemaFormat, Settings, Tool, ToolChoice};
use crate::turn::dialogue::{Entry, TurnRequest};
use crate::turn::exchange::{End, Exchange, Head, Read};
use crate::turn::trace::{Call, CallForm, Content, Layer, Stop, TurnTrace, Usage};

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// An exchange whose head comes after 5 ms and whose reads come every 10 ms.
fn exchange(status: u16, reads: &[&[u8]], end: End) -> Exchange {
    let arrivals = (1u64..).zip(reads);
    Exchange {
        head: Some(Head {
            status,
            headers: Vec::new(),
            at: ms(5),
        }),
        body: Bytes::from(reads.concat()),
        reads: arrivals
            .map(|(place, read)| Read {
                at: ms(10 * place),
                len: read.len(),
            })
            .collect(),
        end,
        total: ms(10 * reads.len() as u64 + 3),
    }
}

fn decoded(exchange: &Exchange, streamed: bool) -> Decoded {
    let failures = &catalog::shipped().failures;
    decode(Dialect::Chat, "openai", failures, exchange, streamed)
}

fn frame(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

/// Each chunk as one read of its own, then `[DONE]`.
fn stream(chunks: &[Value]) -> Decoded {
    ended(chunks, "data: [DONE]\n\n", End::Complete)
}

fn ended(chunks: &[Value], last: &str, end: End) -> Decoded {
    let mut frames: Vec<String> = chunks.iter().map(frame).collect();
    frames.push(last.to_owned());
    let reads: Vec<&[u8]> = frames.iter().map(String::as_bytes).collect();
    decoded(&exchange(200, &reads, end), true)
}

fn chunk(delta: Value, finish: Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": null})
}

fn usage() -> Value {
    json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3}})
}

fn fragment(index: Value, id: Value, name: Value, arguments: &str) -> Value {
    chunk(
        json!({"tool_calls": [{"index": index, "id": id, "type": "function",
            "function": {"name": name, "arguments": arguments}}]}),
        Value::Null,
    )
}

/// Reasoning, text, two calls whose fragments alternate, and the usage at the end.
fn turn() -> Vec<Value> {
    let said = |key: &str, text: &str| chunk(json!({ key: text }), Value::Null);
    vec![
        chunk(json!({"role": "assistant", "content": ""}), Value::Null),
        said("reasoning_content", "Look"),
        said("reasoning_content", " both up."),
        said("content", "Hel"),
        said("content", "lo"),
        fragment(json!(0), json!("call_a"), json!("get_weather"), ""),
        fragment(json!(1), json!("call_b"), json!("get_time"), "{"),
        fragment(json!(0), Value::Null, Value::Null, "{\"city\":\"Dublin\"}"),
        fragment(json!(1), Value::Null, Value::Null, "}"),
        chunk(json!({}), json!("tool_calls")),
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1",
            "choices": [], "usage": usage(), "service_tier": "default"}),
    ]
}

fn call(id: &str, name: &str, arguments: &str) -> Call {
    Call {
        call_id: id.to_owned(),
        name: name.to_owned(),
        namespace: None,
        arguments: arguments.to_owned(),
        form: CallForm::Function,
    }
}

fn contents(trace: &TurnTrace) -> Vec<Content> {
    trace
        .items
        .iter()
        .map(|item| item.content.clone())
        .collect()
}

fn expected() -> Vec<Content> {
    vec![
        Content::Reasoning {
            summary: String::new(),
            text: "Look both up.".to_owned(),
            encrypted: false,
        },
        Content::Text {
            text: "Hello".to_owned(),
        },
        Content::Call(call("call_a", "get_weather", "{\"city\":\"Dublin\"}")),
        Content::Call(call("call_b", "get_time", "{}")),
    ]
}

#[test]
fn folds_chunks_into_a_trace_with_times() {
    let Decoded { events, trace, .. } = stream(&turn());
    assert_eq!(events.len(), 12);
    assert_eq!(contents(&trace), expected());
    assert_eq!(trace.response_id.as_deref(), Some("chatcmpl-1"));
    assert_eq!(trace.model.as_deref(), Some("m-1"));
    assert_eq!(trace.service_tier.as_deref(), Some("default"));
    assert_eq!(trace.stop, Some(Stop::ToolCalls));
    let usage = Usage {
        input: 10,
        output: 5,
        total: 15,
        cached: Some(4),
        cache_write: None,
        reasoning: Some(3),
    };
    assert_eq!(trace.usage, Some(usage));
    assert_eq!((trace.failure, trace.irregularities.len()), (None, 0));
    let timing = trace.timing;
    assert_eq!(timing.headers, Some(ms(5)));
    assert_eq!(timing.first_event, Some(ms(10)));
    assert_eq!(timing.first_output, Some(ms(20)), "the role is no output");
    assert_eq!(timing.first_call, Some(ms(70)), "when the next one began");
    assert_eq!(timing.total, Some(ms(120)));
    assert_eq!((timing.output_events, timing.output_reads), (8, 8));
    assert_eq!(trace.items[1].started, Some(ms(40)));
    assert_eq!(trace.items[1].ended, Some(ms(100)));
}

#[test]
fn a_plain_answer_gives_the_items_of_the_stream() {
    let function = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let body = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-1", "usage": usage(),
        "service_tier": "default",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "Hello", "reasoning_content": "Look both up.",
            "tool_calls": [function("call_a", "get_weather", "{\"city\":\"Dublin\"}"),
                function("call_b", "get_time", "{}")]}}],
    })
    .to_string();
    let answer = decoded(&exchange(200, &[body.as_bytes()], End::Complete), false);
    let streamed = stream(&turn()).trace;
    assert_eq!((answer.events.len(), answer.streamed), (1, false));
    assert_eq!(contents(&answer.trace), contents(&streamed));
    let wires = |trace: &TurnTrace| -> Vec<Value> {
        trace.items.iter().map(|item| item.wire.clone()).collect()
    };
    assert_eq!(wires(&answer.trace), wires(&streamed));
    assert_eq!(answer.trace.stop, streamed.stop);
    assert_eq!(answer.trace.usage, streamed.usage);
    assert_eq!(answer.trace.failure, None);
    // Whoever asked for a stream cannot use it.
    let unasked = decoded(&exchange(200, &[body.as_bytes()], End::Complete), true).trace;
    assert_eq!(contents(&unasked), expected());
    assert_eq!(unasked.failure.expect("a failure").class, "bad_response");
}

#[test]
fn how_a_turn_ends() {
    let text = chunk(json!({"role": "assistant", "content": "x"}), Value::Null);
    let run = fragment(json!(0), json!("c"), json!("f"), "{}");
    for (chunks, reason, stop) in [
        (vec![text.clone()], "stop", Some(Stop::End)),
        (vec![text.clone()], "length", Some(Stop::Length)),
        (
            vec![text.clone()],
            "content_filter",
            Some(Stop::ContentFilter),
        ),
        (vec![text.clone()], "eos", None),
        (vec![run.clone()], "tool_calls", Some(Stop::ToolCalls)),
        // Forced by name: it waits for a result all the same.
        (vec![run.clone()], "stop", Some(Stop::ToolCalls)),
    ] {
        let mut chunks = chunks;
        chunks.push(chunk(json!({}), json!(reason)));
        let trace = stream(&chunks).trace;
        assert_eq!((trace.stop, trace.failure), (stop, None), "{reason}");
    }
}

#[test]
fn what_goes_wrong_has_one_name() {
    let text = chunk(json!({"role": "assistant", "content": "x"}), Value::Null);
    let end = chunk(json!({}), json!("stop"));
    let error = json!({"error": {"message": "The server is overloaded.", "type": "server_error",
        "code": "server_is_overloaded"}});
    let dropped = || End::Dropped {
        reason: "reset".to_owned(),
    };
    let class = |decoded: Decoded| decoded.trace.failure.map(|failure| failure.class);
    let done = "data: [DONE]\n\n";
    let text_end = [text.clone(), end.clone()];
    let alone = std::slice::from_ref(&text);
    for (decoded, expected) in [
        (ended(alone, done, End::Complete), Some("stream_truncated")),
        (ended(alone, "", End::Complete), Some("stream_truncated")),
        (ended(alone, "", dropped()), Some("connection_dropped")),
        // The turn is whole; a missing [DONE] is a finding.
        (ended(&text_end, "", End::Complete), None),
        (ended(&text_end, "", dropped()), None),
        (
            ended(&[json!({"a": 1})], done, End::Complete),
            Some("bad_response"),
        ),
    ] {
        assert_eq!(class(decoded).as_deref(), expected);
    }
    for chunks in [vec![text.clone(), error.clone()], vec![text, end, error]] {
        let failure = stream(&chunks).trace.failure.expect("a failure");
        assert_eq!(failure.layer, Layer::Stream);
        assert_eq!(failure.code.as_deref(), Some("server_is_overloaded"));
        assert_eq!(failure.class, "overloaded");
    }
    let refused = exchange(404, &[b"{\"error\":{\"message\":\"no\"}}"], End::Complete);
    let failure = decoded(&refused, true).trace.failure.expect("a failure");
    assert_eq!(
        (failure.layer, failure.status),
        (Layer::Response, Some(404))
    );
}

#[test]
fn fragments_are_attributed_as_agents_do_it() {
    let end = chunk(json!({}), json!("tool_calls"));
    let calls = |chunks: Vec<Value>| -> Vec<(String, String, String)> {
        let mut chunks = chunks;
        chunks.push(end.clone());
        let trace = stream(&chunks).trace;
        let parts = |call: &Call| {
            (
                call.call_id.clone(),
                call.name.clone(),
                call.arguments.clone(),
            )
        };
        trace.calls().map(parts).collect()
    };
    let own = |id: &str, name: &str, arguments: &str| {
        (id.to_owned(), name.to_owned(), arguments.to_owned())
    };
    // Two ids under one index are two calls.
    assert_eq!(
        calls(vec![
            fragment(json!(0), json!("a"), json!("f"), "{}"),
            fragment(json!(0), json!("b"), json!("g"), "{}"),
        ]),
        [own("a", "f", "{}"), own("b", "g", "{}")]
    );
    // What comes again does not double.
    assert_eq!(
        calls(vec![
            fragment(json!(0), json!("a"), json!("f"), "{"),
            fragment(json!(0), json!("a"), json!("f"), "}"),
        ]),
        [own("a", "f", "{}")]
    );
    // Without an index the latest call goes on.
    assert_eq!(
        calls(vec![
            fragment(Value::Null, json!("a"), json!("f"), "{"),
            fragment(Value::Null, Value::Null, Value::Null, "}"),
            fragment(Value::Null, json!("b"), json!("g"), "{}"),
        ]),
        [own("a", "f", "{}"), own("b", "g", "{}")]
    );
    // Indexes order the calls, however high they are.
    assert_eq!(
        calls(vec![
            fragment(json!(u64::MAX), json!("b"), json!("g"), "{}"),
            fragment(json!(1), json!("a"), json!("f"), "{}"),
        ]),
        [own("a", "f", "{}"), own("b", "g", "{}")]
    );
}

#[test]
fn reasoning_has_two_names_and_a_refusal_one() {
    let end = chunk(json!({}), json!("stop"));
    let both = chunk(
        json!({"role": "assistant", "reasoning": "r", "reasoning_content": "r"}),
        Value::Null,
    );
    let other = chunk(json!({"role": "assistant", "reasoning": "r"}), Value::Null);
    for (first, key) in [(both, "reasoning_content"), (other, "reasoning")] {
        let trace = stream(&[first, end.clone()]).trace;
        assert_eq!(trace.items.len(), 1);
        assert_eq!(trace.items[0].wire, json!({ key: "r" }));
    }
    let refusal = chunk(
        json!({"role": "assistant", "refusal": "I won't."}),
        Value::Null,
    );
    let trace = stream(&[refusal, end]).trace;
    let text = "I won't.".to_owned();
    assert_eq!(contents(&trace), [Content::Refusal { text }]);
}

#[test]
fn the_first_choice_is_the_turn() {
    // Whichever index comes first.
    let late = chunk(
        json!({"role": "assistant", "content": "x"}),
        json!("length"),
    );
    let mut first = late.clone();
    first["choices"][0]["index"] = json!(1);
    first["choices"][0]["delta"]["content"] = json!("first");
    first["choices"][0]["finish_reason"] = json!("stop");
    let trace = stream(&[first, late]).trace;
    assert_eq!(
        (trace.text().as_str(), trace.stop),
        ("first", Some(Stop::End))
    );
    let mut chunks = Vec::new();
    for one in turn() {
        let mut other = one.clone();
        if other["choices"][0].is_object() {
            other["choices"][0]["index"] = json!(1);
            other["choices"][0]["delta"]["content"] = json!("other");
            chunks.extend([one, other]);
        } else {
            chunks.push(one);
        }
    }
    assert_eq!(contents(&stream(&chunks).trace), expected());
}

#[test]
fn a_capture_is_read_in_each_of_its_forms() {
    let sse: String = turn().iter().map(frame).collect::<String>() + "data: [DONE]\n\n";
    let lines: String = turn().iter().map(|one| format!("{one}\n")).collect();
    let of_sse = decode_capture(Dialect::Chat, sse.as_bytes());
    let of_lines = decode_capture(Dialect::Chat, lines.as_bytes());
    assert_eq!((of_sse.framed, of_lines.framed), (true, false));
    assert_eq!(contents(&of_sse.trace), expected());
    assert_eq!(contents(&of_lines.trace), expected());
    assert_eq!(of_lines.trace.failure, None);
    // One chunk alone is a line, no plain answer.
    let one = decode_capture(Dialect::Chat, turn()[0].to_string().as_bytes());
    assert!(one.streamed);
    let second = lines.replace("chatcmpl-1", "chatcmpl-2");
    let answers = decode_captures(Dialect::Chat, format!("{lines}{second}").as_bytes());
    let ids: Vec<_> = answers
        .iter()
        .map(|one| one.trace.response_id.as_deref())
        .collect();
    assert_eq!(ids, [Some("chatcmpl-1"), Some("chatcmpl-2")]);
    assert_eq!(answers[0].trace.usage, answers[1].trace.usage);
}

#[test]
fn encodes_a_request_and_replays_the_answer_unchanged() {
    let tools = IndexMap::from([(
        "f".to_owned(),
        Tool {
            description: "d".to_owned(),
            parameters: None,
            strict: true,
            custom: false,
        },
    )]);
    let settings = Settings {
        max_output_tokens: Some(100),
        temperature: Some(0.5),
        top_p: Some(0.9),
        tool_choice: Some(ToolChoice::Tool("f".to_owned())),
        parallel_tool_calls: Some(false),
        max_tool_calls: None,
        reasoning_effort: Some("low".to_owned()),
        service_tier: Some("flex".to_owned()),
        store: Some(false),
        background: None,
        verbosity: Some("low".to_owned()),
    };
    let format = Format::JsonSchema(SchemaFormat {
        name: "s".to_owned(),
        schema: json!({"type": "object"}),
        strict: true,
    });
    let result = |id: &str| Entry::Result {
        call_id: id.to_owned(),
        name: "f".to_owned(),
        form: CallForm::Function,
        output: "11".to_owned(),
    };
    let mut chunks = turn();
    // A field that a server wants back, beside a call.
    chunks[5]["choices"][0]["delta"]["tool_calls"][0]["extra_content"] = json!({"sealed": "s"});
    let entries = [
        Entry::User {
            text: "hi".to_owned(),
        },
        Entry::Answer {
            items: stream(&chunks).trace.items,
        },
        result("call_a"),
        result("call_b"),
        Entry::Answer { items: Vec::new() },
    ];
    let body = encode(
        Dialect::Chat,
        &TurnRequest {
            effort_field: None,
            stored: false,
            previous: None,
            model: "m",
            stream: true,
            system: Some("be brief"),
            tools: &tools,
            wire_tools: &[],
            settings: &settings,
            format: Some(&format),
            entries: &entries,
        },
    );
    assert_eq!(
        body,
        json!({
            "model": "m",
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "Hello", "reasoning_content": "Look both up.",
                    "tool_calls": [
                        {"id": "call_a", "type": "function", "extra_content": {"sealed": "s"},
                            "function": {"name": "get_weather", "arguments": "{\"city\":\"Dublin\"}"}},
                        {"id": "call_b", "type": "function",
                            "function": {"name": "get_time", "arguments": "{}"}},
                    ]},
                {"role": "tool", "tool_call_id": "call_a", "content": "11"},
                {"role": "tool", "tool_call_id": "call_b", "content": "11"},
                {"role": "assistant", "content": ""},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "description": "d", "strict": true,
                "parameters": {"type": "object", "properties": {}, "required": [],
                    "additionalProperties": false}}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "parallel_tool_calls": false,
            "reasoning_effort": "low",
            "max_completion_tokens": 100,
            "temperature": 0.5,
            "top_p": 0.9,
            "response_format": {"type": "json_schema",
                "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": true}},
            "verbosity": "low",
            "service_tier": "flex",
            "store": false,
            "stream": true,
            "stream_options": {"include_usage": true},
        })
    );
}

#[test]
fn what_is_not_set_is_not_sent() {
    let entries = [Entry::User {
        text: "hi".to_owned(),
    }];
    let body = encode(
        Dialect::Chat,
        &TurnRequest {
            effort_field: None,
            stored: false,
            previous: None,
            model: "m",
            stream: false,
            system: None,
            tools: &IndexMap::new(),
            wire_tools: &[],
            settings: &Settings::default(),
            format: None,
            entries: &entries,
        },
    );
    let messages = json!([{"role": "user", "content": "hi"}]);
    assert_eq!(
        body,
        json!({"model": "m", "messages": messages, "stream": false})
    );
}

#[test]
fn what_cannot_be_said_is_told() {
    let scenario = |extra: &str| -> Scenario {
        let text = format!("name: a/b\nabout: x\nturns: [{{user: hi}}]\n{extra}");
        serde_yaml::from_str(&text).expect("a scenario")
    };
    for (extra, reason) in [
        ("", None),
        ("settings: {max_output_tokens: 9}", None),
        ("tools: {f: {description: x}}", None),
        (
            "only: {dialects: [chat]}\nwire_tools: [{type: function}]",
            None,
        ),
        (
            "tools: {f: {description: x, custom: true}}",
            Some("`f` takes free text"),
        ),
        ("settings: {max_tool_calls: 1}", Some("max_tool_calls")),
        ("wire_tools: [{type: web_search}]", Some("wire_tools")),
    ] {
        let scenario = scenario(extra);
        let told = Dialect::Chat.cannot(&scenario);
        match reason {
            None => assert_eq!(told, None, "{extra}"),
            Some(part) => assert!(told.is_some_and(|told| told.contains(part)), "{extra}"),
        }
        assert_eq!(Dialect::Responses.cannot(&scenario), None);
    }
}

/// Every place of a value, as JSON pointers.
fn places(value: &Value, here: &str, out: &mut Vec<String>) {
    out.push(here.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                places(inner, &format!("{here}/{key}"), out);
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                places(inner, &format!("{here}/{index}"), out);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn splits_change_nothing_but_times(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let whole: String = turn().iter().map(frame).collect::<String>() + "data: [DONE]\n\n";
        let whole = whole.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let reads: Vec<&[u8]> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
        let parts = decoded(&exchange(200, &reads, End::Complete), true);
        let once = decode_capture(Dialect::Chat, whole);
        prop_assert_eq!(contents(&parts.trace), contents(&once.trace));
        prop_assert_eq!(&parts.trace.usage, &once.trace.usage);
        prop_assert_eq!(&parts.trace.irregularities, &once.trace.irregularities);
        let ends = |decoded: &Decoded| decoded.events.iter().map(|event| event.end).collect::<Vec<_>>();
        prop_assert_eq!(ends(&parts), ends(&once));
    }

    #[test]
    fn hostile_chunks_are_survived(
        faults in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0usize..12), 1..12),
        dropped in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let values = [
            Value::Null, json!(true), json!(-1), json!(u64::MAX), json!(1e300), json!("x"), json!([]),
            json!([[null]]), json!({}), json!({"error": "x"}), json!({"index": 0, "delta": {"content": 1}}),
            json!([{"index": 7, "delta": {"tool_calls": [{}, null, {"index": -1}]}, "finish_reason": 1}]),
        ];
        let mut chunks = turn();
        for (chunk, place, value) in faults {
            let chunk = chunk.index(chunks.len());
            let mut pointers = Vec::new();
            places(&chunks[chunk], "", &mut pointers);
            let pointer = &pointers[place.index(pointers.len())];
            if let Some(place) = chunks[chunk].pointer_mut(pointer) {
                *place = values[value].clone();
            }
        }
        for chunk in dropped {
            if !chunks.is_empty() {
                chunks.remove(chunk.index(chunks.len()));
            }
        }
        let trace = stream(&chunks).trace;
        prop_assert!(trace.items.len() <= chunks.len() * 3 + 4);
        let lines: String = chunks.iter().map(|one| format!("{one}\n")).collect();
        decode_capture(Dialect::Chat, lines.as_bytes());
        for chunk in &chunks {
            let body = chunk.to_string().replace("delta", "message");
            decoded(&exchange(200, &[body.as_bytes()], End::Complete), false);
        }
    }
}
