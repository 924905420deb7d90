//! An answer decoded while it arrives is the answer decoded whole: for recorded, generated, damaged and
//! otherwise hostile streams, however they were split.

use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::catalog;
use crate::dialect::agentcore::mapping::Mapping;
use crate::dialect::decode_mapped;
use crate::dialect::stream::*;
use crate::turn::exchange::{Exchange, Read};

fn at(read: usize) -> Duration {
    Duration::from_millis(10 * (read as u64 + 1))
}

fn exchange(status: u16, content_type: &str, reads: &[Vec<u8>], end: End) -> Exchange {
    Exchange {
        head: Some(Head {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            at: Duration::from_millis(5),
        }),
        body: Bytes::from(reads.concat()),
        reads: reads
            .iter()
            .enumerate()
            .map(|(read, bytes)| Read {
                at: at(read),
                len: bytes.len(),
            })
            .collect(),
        end,
        total: at(reads.len()),
    }
}

/// Both decodings agree; returns the trace, and the outputs that were heard.
fn same(dialect: Dialect, exchange: &Exchange) -> (TurnTrace, Vec<Output>) {
    let mapping = Mapping::default();
    let failures = &catalog::shipped().failures;
    let whole = decode_mapped(dialect, &mapping, "p", failures, exchange, true);
    let mut stream = AnswerStream::new(dialect, &mapping);
    let (mut heard, mut rest) = (Vec::new(), &exchange.body[..]);
    for read in &exchange.reads {
        let (bytes, later) = rest.split_at(read.len);
        stream.push(read.at, bytes, &mut |output| heard.push(output));
        rest = later;
    }
    let head = exchange.head.as_ref().expect("a head");
    let trace = stream.finish("p", failures, head, &exchange.end);
    assert_eq!(trace, whole.trace, "{dialect}");
    if whole.streamed {
        let timing = &trace.timing;
        assert_eq!(heard.len(), timing.output_events as usize, "{dialect}");
        assert_eq!(heard.first().map(|one| one.at), timing.first_output);
        assert_eq!(heard.last().map(|one| one.at), timing.last_output);
    }
    (trace, heard)
}

fn split(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let parts = cuts.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec());
    parts.collect()
}

fn message(name: &str, payload: &Value) -> Vec<u8> {
    let header = |key: &'static str, value: &str| {
        Header::new(key, HeaderValue::String(value.to_owned().into()))
    };
    let exception = name.ends_with("Exception");
    let (kind, key) = match exception {
        true => ("exception", ":exception-type"),
        false => ("event", ":event-type"),
    };
    let message = Message::new(payload.to_string().into_bytes())
        .add_header(header(key, name))
        .add_header(header(":message-type", kind));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("a frame that can be written");
    bytes
}

/// An event as the dialect carries it. Of Converse it is `{"name": {…}}`; text is data as it is.
fn frame(dialect: Dialect, event: &Value) -> Vec<u8> {
    match dialect {
        Dialect::Responses => {
            let kind = event["type"].as_str().unwrap_or("message");
            format!("event: {kind}\ndata: {event}\n\n").into_bytes()
        }
        Dialect::Chat | Dialect::Agentcore => format!("data: {event}\n\n").into_bytes(),
        Dialect::Converse => {
            let fields = event.as_object().into_iter().flatten();
            let frames = fields.map(|(name, payload)| message(name, payload));
            frames.flatten().collect()
        }
        Dialect::Invoke => {
            let bytes = base64::engine::general_purpose::STANDARD.encode(event.to_string());
            message("chunk", &json!({"bytes": bytes}))
        }
    }
}

fn response(status: &str, output: Value) -> Value {
    json!({"id": "resp_1", "model": "m", "status": status, "error": null, "incomplete_details": null, "output": output,
        "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}})
}

/// A turn with reasoning, text and a call.
fn turn(dialect: Dialect) -> Vec<Value> {
    let chunk = |delta: Value, finish: Value| {
        json!({"id": "c1", "object": "chat.completion.chunk", "model": "m", "service_tier": "default",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}], "usage": null})
    };
    let call = json!([{"index": 0, "id": "t", "type": "function", "function": {"name": "n", "arguments": "{}"}}]);
    let mut chunks = vec![
        chunk(json!({"role": "assistant", "content": ""}), Value::Null),
        chunk(json!({"reasoning_content": "Hm\n\u{e9}"}), Value::Null),
        chunk(json!({"content": "One \"moment\""}), Value::Null),
        chunk(
            json!({"content": ".", "reasoning": "Well", "refusal": null}),
            Value::Null,
        ),
        chunk(json!({"tool_calls": call}), Value::Null),
        chunk(json!({}), "tool_calls".into()),
    ];
    match dialect {
        Dialect::Responses => {
            let delta = |kind: &str, index: u64, text: &str| {
                json!({"type": format!("response.{kind}.delta"), "item_id": format!("i{index}"), "output_index": index,
                    "content_index": 0, "summary_index": 0, "delta": text, "logprobs": [], "obfuscation": "x\u{e9}\n"})
            };
            let added = |index: u64, kind: &str| {
                json!({"type": "response.output_item.added", "output_index": index,
                    "item": {"type": kind, "id": format!("i{index}"), "content": [], "summary": []}})
            };
            let call = json!({"type": "function_call", "id": "i2", "call_id": "c", "name": "n", "arguments": "{}"});
            vec![
                json!({"type": "response.created", "response": response("in_progress", json!([]))}),
                added(0, "reasoning"),
                delta("reasoning_summary_text", 0, "Hm"),
                delta("reasoning_text", 0, "Well"),
                added(1, "message"),
                delta("output_text", 1, "One "),
                delta("output_text", 1, ""),
                delta("refusal", 1, "No."),
                delta("function_call_arguments", 2, "{}"),
                json!({"type": "response.output_text.done", "item_id": "i1", "output_index": 1, "content_index": 0,
                    "text": "One "}),
                json!({"type": "response.output_item.done", "output_index": 2, "item": call}),
                json!({"type": "response.completed", "response": response("completed", json!([call]))}),
            ]
        }
        Dialect::Chat => {
            chunks.push(json!({"id": "c1", "choices": [],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}));
            chunks
        }
        Dialect::Invoke => {
            chunks.push(
                json!({"x-invocationMetrics": {"inputTokenCount": 1, "outputTokenCount": 2}}),
            );
            chunks
        }
        Dialect::Converse => {
            let delta = |index: u64, delta: Value| json!({"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}});
            vec![
                json!({"messageStart": {"role": "assistant"}}),
                delta(0, json!({"reasoningContent": {"text": "Hm"}})),
                delta(1, json!({"text": "One "})),
                json!({"contentBlockStart": {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t", "name": "n"}}}}),
                delta(2, json!({"toolUse": {"input": "{}"}})),
                json!({"contentBlockStop": {"contentBlockIndex": 2}}),
                json!({"messageStop": {"stopReason": "tool_use"}}),
                json!({"metadata": {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}}),
            ]
        }
        Dialect::Agentcore => vec![
            json!({"event": {"contentBlockDelta": {"delta": {"reasoningContent": {"text": "Hm"}}}}}),
            json!({"event": {"contentBlockDelta": {"delta": {"text": "One "}}}}),
            json!({"event": {"contentBlockDelta": {"delta": {"text": "moment"}}}}),
            json!({"event": {"messageStop": {"stopReason": "end_turn"}}}),
        ],
    }
}

fn whole_body(dialect: Dialect, events: &[Value]) -> Vec<u8> {
    let mut body: Vec<u8> = events
        .iter()
        .flat_map(|event| frame(dialect, event))
        .collect();
    if dialect == Dialect::Chat {
        body.extend_from_slice(b"data: [DONE]\n\n");
    }
    body
}

fn content_type(dialect: Dialect) -> &'static str {
    dialect.accept(true)
}

/// Text that JSON has to escape, and text that it cannot mean.
const AWKWARD: [&str; 11] = [
    r#""delta":"a","delta":"b""#,
    r#""delta":"\ud800""#,
    r#""logprobs":"\ud800""#,
    r#""obfuscation":1e999"#,
    r#""content":"twice","content":"again""#,
    r#""\u0064elta":"escaped key""#,
    r#""choices":[],"choices":[{"delta":{"content":"x"}}]"#,
    r#""type":"response.failed","type":"response.output_text.delta""#,
    r#""x-guardrailAction":"INTERVENED""#,
    r#""usage":{"total_tokens":9},"error":null"#,
    r#""object":"error""#,
];

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(u64::MAX)),
        Just(json!(0.5)),
        Just(json!([])),
        Just(
            json!([{"index": 1, "delta": {"content": "b"}}, {"delta": {"content": "a"}, "finish_reason": "stop"}])
        ),
        Just(json!({"message": "m", "code": "c"})),
        "\\PC{0,6}".prop_map(Value::from),
        prop::sample::select(vec![
            "error",
            "message",
            "response.failed",
            "response.completed",
            "response.output_text.delta",
            "response.output_item.done",
            "function_call",
            "stop"
        ])
        .prop_map(Value::from),
    ]
}

/// Replaces the value at a place, counting every value in the order in which it stands.
fn replace(value: &mut Value, place: &mut usize, with: &Value) -> bool {
    if *place == 0 {
        *value = with.clone();
        return true;
    }
    *place -= 1;
    match value {
        Value::Array(list) => list.iter_mut().any(|one| replace(one, place, with)),
        Value::Object(fields) => fields.values_mut().any(|one| replace(one, place, with)),
        _ => false,
    }
}

fn end() -> impl Strategy<Value = End> {
    prop::sample::select(vec![
        End::Complete,
        End::Dropped {
            reason: "reset".to_owned(),
        },
        End::Stalled {
            after: Duration::from_secs(3),
        },
    ])
}

fn dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(Dialect::ALL.to_vec())
}

fn indexes(most: usize) -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..most)
}

/// A delta, one of a few that are alike.
#[derive(Debug, Clone)]
struct Alike {
    kind: usize,
    item: u64,
    tier: usize,
    number: u64,
    text: String,
    pad: String,
    last: bool,
}

fn alike() -> impl Strategy<Value = Vec<Alike>> {
    let text = prop_oneof![4 => "[a-c \u{e9}]{0,3}", 1 => r#"["\\\n\u{1}]"#];
    let pad = prop_oneof![9 => "[a-c]{0,2}", 1 => Just("\n".to_owned())];
    let own = (0_u64..1000, text, pad, prop::bool::weighted(0.05));
    let run = prop::collection::vec(own, 1..6);
    (0_usize..4, 0_u64..3, 0_usize..3, run).prop_map(|(kind, item, tier, run)| {
        let run = run.into_iter();
        run.map(|(number, text, pad, last)| Alike {
            kind,
            item,
            tier,
            number,
            text,
            pad,
            last,
        })
        .collect()
    })
}

impl Alike {
    fn of(&self, dialect: Dialect) -> Value {
        let Alike {
            item, number, text, ..
        } = self;
        if dialect == Dialect::Responses {
            let kind = [
                "output_text",
                "reasoning_text",
                "refusal",
                "function_call_arguments",
            ][self.kind];
            let (step, field) = if self.last {
                ("done", "text")
            } else {
                ("delta", "delta")
            };
            return json!({"type": format!("response.{kind}.{step}"), "sequence_number": number, field: text,
                "item_id": format!("i{item}"), "output_index": item, "content_index": self.tier, "obfuscation": self.pad});
        }
        let field = ["content", "reasoning_content", "refusal", "reasoning"][self.kind];
        let finish = if self.last {
            json!("stop")
        } else {
            Value::Null
        };
        let tier = ["default", "flex", ""][self.tier];
        json!({"id": "c1", "created": number, "service_tier": tier, "obfuscation": self.pad,
            "choices": [{"index": item, "delta": {field: text}, "finish_reason": finish}]})
    }
}

proptest! {
    #[test]
    fn any_split_of_a_turn(dialect in dialect(), cuts in indexes(20), end in end()) {
        let body = whole_body(dialect, &turn(dialect));
        same(dialect, &exchange(200, content_type(dialect), &split(&body, &cuts), end));
    }

    #[test]
    fn any_damage(
        dialect in dialect(),
        faults in prop::collection::vec((any::<prop::sample::Index>(), 0usize..14, value()), 0..6),
        awkward in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(AWKWARD.to_vec()))),
        dropped in indexes(3),
        cuts in indexes(12),
        flipped in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        end in end(),
    ) {
        let mut events = turn(dialect);
        for (event, mut place, with) in faults {
            let event = event.index(events.len());
            replace(&mut events[event], &mut place, &with);
        }
        for event in dropped {
            events.remove(event.index(events.len()));
        }
        let mut body = whole_body(dialect, &events);
        if let (Some((event, extra)), false) = (awkward, events.is_empty())
            && matches!(dialect, Dialect::Responses | Dialect::Chat | Dialect::Agentcore)
        {
            let mut lines: Vec<String> = events.iter().map(|event| format!("data: {event}\n\n")).collect();
            let event = event.index(lines.len());
            lines[event] = lines[event].replacen('{', &format!("{{{extra},"), 1);
            body = lines.concat().into_bytes();
        }
        if let (Some((place, byte)), false) = (flipped, body.is_empty()) {
            let place = place.index(body.len());
            body[place] = byte;
        }
        same(dialect, &exchange(200, content_type(dialect), &split(&body, &cuts), end));
    }

    /// Deltas that are like the one before, nearly like it, or like one before that.
    #[test]
    fn events_that_repeat_each_other(
        chat: bool,
        runs in prop::collection::vec(alike(), 1..6),
        edit in prop::option::of((any::<prop::sample::Index>(), 0_usize..3, r#"[0-9"\\\\,:{}n é]{0,2}"#)),
    ) {
        let dialect = if chat { Dialect::Chat } else { Dialect::Responses };
        let events = runs.iter().flatten();
        let mut reads: Vec<String> = events.map(|event| format!("data: {}\n\n", event.of(dialect))).collect();
        if let Some((place, cut, with)) = edit {
            let read = place.index(reads.len());
            let read = &mut reads[read];
            let bounds: Vec<usize> = read.char_indices().map(|(at, _)| at).collect();
            let start = place.index(bounds.len());
            let end = (start + cut).min(bounds.len() - 1);
            read.replace_range(bounds[start]..bounds[end], &with);
        }
        let reads: Vec<Vec<u8>> = reads.into_iter().map(String::into_bytes).collect();
        same(dialect, &exchange(200, content_type(dialect), &reads, End::Complete));
    }

    #[test]
    fn bodies_that_are_no_stream(dialect in dialect(), value in value(), status in prop::sample::select(vec![200u16, 400, 503]), json: bool, cuts in indexes(3)) {
        for body in [value.to_string(), json!({"error": value}).to_string(), format!("<html><title>{value}</title>"), format!("data: {}\n\n", json!({"error": value})), String::new(), ": ping\n\n".to_owned()] {
            let content_type = if json { "application/json" } else { "text/event-stream" };
            same(dialect, &exchange(status, content_type, &split(body.as_bytes(), &cuts), End::Complete));
        }
    }
}

/// The turn of each dialect brings what it says, of each kind and at its time, so that the
/// comparisons above compare something.
#[test]
fn each_kind_of_output_has_its_first_time() {
    use OutputKind::{Call, Reasoning, Text};
    for (dialect, expected) in [
        (
            Dialect::Responses,
            vec![
                (2, Reasoning),
                (3, Reasoning),
                (5, Text),
                (7, Text),
                (8, Call),
                (10, Call),
            ],
        ),
        (
            Dialect::Chat,
            vec![(1, Reasoning), (2, Text), (3, Text), (4, Call)],
        ),
        (
            Dialect::Invoke,
            vec![(1, Reasoning), (2, Text), (3, Text), (4, Call)],
        ),
        (
            Dialect::Converse,
            vec![(1, Reasoning), (2, Text), (3, Call), (4, Call)],
        ),
        (
            Dialect::Agentcore,
            vec![(0, Reasoning), (1, Text), (2, Text)],
        ),
    ] {
        let reads: Vec<Vec<u8>> = turn(dialect)
            .iter()
            .map(|event| frame(dialect, event))
            .collect();
        let (trace, heard) = same(
            dialect,
            &exchange(200, content_type(dialect), &reads, End::Complete),
        );
        assert_eq!(trace.failure, None, "{dialect}");
        let got: Vec<(usize, OutputKind)> = heard
            .iter()
            .map(|one| (one.read as usize, one.kind))
            .collect();
        // The item of Responses that was streamed is not output again when it is done.
        let expected: Vec<_> = match dialect {
            Dialect::Responses => expected[..5].to_vec(),
            _ => expected,
        };
        assert_eq!(got, expected, "{dialect}");
        let first = |kind| {
            let found = expected.iter().find(|(_, one)| *one == kind);
            found.map(|(read, _)| at(*read))
        };
        let timing = trace.timing;
        assert_eq!(timing.first_reasoning, first(Reasoning), "{dialect}");
        assert_eq!(timing.first_text, first(Text), "{dialect}");
        assert_eq!(timing.first_call_output, first(Call), "{dialect}");
        assert_eq!(
            timing.last_output,
            expected.last().map(|(read, _)| at(*read))
        );
    }
}

/// What only the terminal event brings is heard when it comes.
#[test]
fn output_that_comes_with_the_end_is_heard_too() {
    let message = json!({"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hello"}]});
    let event =
        json!({"type": "response.completed", "response": response("completed", json!([message]))});
    let reads = [b": ping\n\n".to_vec(), frame(Dialect::Responses, &event)];
    let (_, heard) = same(
        Dialect::Responses,
        &exchange(200, "text/event-stream", &reads, End::Complete),
    );
    let expected = Output {
        at: at(1),
        read: 1,
        kind: OutputKind::Text,
    };
    assert_eq!(heard, [expected]);
}

#[test]
fn a_stream_is_over_when_its_last_event_came_and_not_before() {
    for dialect in Dialect::ALL {
        let mut stream = AnswerStream::new(dialect, &Mapping::default());
        let mut reads: Vec<Vec<u8>> = turn(dialect)
            .iter()
            .map(|event| frame(dialect, event))
            .collect();
        if matches!(dialect, Dialect::Chat | Dialect::Agentcore) {
            reads.push(b"data: [DONE]\n\n".to_vec());
        }
        for bytes in reads {
            assert!(!stream.over(), "{dialect}");
            stream.push(Duration::ZERO, &bytes, &mut |_| ());
        }
        assert!(stream.over(), "{dialect}");
    }
}

/// A text delta is taken without reading all of it, or the figures for speed say nothing.
#[test]
fn text_deltas_are_read_only_as_far_as_needed() {
    fn quick<F: Fold>(event: &Value) -> bool {
        F::default()
            .take_data(None, &event.to_string(), Duration::ZERO)
            .is_some()
    }
    let responses = turn(Dialect::Responses);
    let quick_of_responses: Vec<bool> = responses
        .iter()
        .map(quick::<responses::assemble::Assembler>)
        .collect();
    let deltas: Vec<bool> = responses
        .iter()
        .map(|event| {
            event["type"]
                .as_str()
                .is_some_and(|kind| kind.ends_with(".delta"))
        })
        .collect();
    assert_eq!(quick_of_responses, deltas);
    let quick_of_chat: Vec<bool> = turn(Dialect::Chat).iter().map(quick::<ChatFold>).collect();
    assert_eq!(quick_of_chat, [true, true, true, true, false, false, false]);
}
