//! How fast an answer is framed and decoded, beside a floor in the same run.
//!
//! The floor splits lines and parses the JSON of each `data:` line, with no protocol at all: what
//! any correct client must do at least. Times differ between machines; the ratio to the floor does
//! so much less, and is the figure to quote. `cargo bench --bench decode`. `incremental` is an answer
//! as load generation decodes it: one read for each event, and no events kept.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sameturn::catalog;
use sameturn::catalog::failure::Failures;
use sameturn::dialect::agentcore::mapping::Mapping;
use sameturn::dialect::stream::AnswerStream;
use sameturn::dialect::{Dialect, decode};
use sameturn::frame::sse::SseDecoder;
use sameturn::turn::exchange::{End, Exchange, Head, Read};
use serde_json::{Value, json};

/// A text answer of so many tokens, one delta event each, as a direct provider frames it.
fn stream(tokens: usize) -> Vec<u8> {
    let response = |status: &str, output: Value| {
        json!({"id": "resp_0123456789abcdef", "object": "response", "created_at": 1_763_000_000, "status": status,
            "model": "m", "output": output, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
            "error": null, "incomplete_details": null, "store": false, "temperature": 1.0, "top_p": 1.0,
            "usage": {"input_tokens": 100, "output_tokens": tokens, "total_tokens": 100 + tokens}})
    };
    let text: String = (0..tokens)
        .map(|token| format!("word{} ", token % 97))
        .collect();
    let item = json!({"id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}]});
    let mut events = vec![
        json!({"type": "response.created", "response": response("in_progress", json!([]))}),
        json!({"type": "response.output_item.added", "output_index": 0,
            "item": {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}}),
    ];
    events.extend((0..tokens).map(|token| {
        json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0,
            "delta": format!("word{} ", token % 97), "logprobs": [], "obfuscation": "aX3kd9Qw"})
    }));
    events.push(
        json!({"type": "response.output_text.done", "item_id": "msg_1", "output_index": 0,
        "content_index": 0, "text": text}),
    );
    events.push(json!({"type": "response.output_item.done", "output_index": 0, "item": item}));
    events.push(
        json!({"type": "response.completed", "response": response("completed", json!([item]))}),
    );
    let mut body = Vec::new();
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = number.into();
        let kind = event["type"].as_str().expect("a type").to_owned();
        body.extend_from_slice(format!("event: {kind}\ndata: {event}\n\n").as_bytes());
    }
    body
}

/// The same as Chat Completions chunks.
fn chat_stream(tokens: usize) -> Vec<u8> {
    let chunk = |delta: Value, finish: Value| {
        json!({"id": "chatcmpl-0123456789abcdef", "object": "chat.completion.chunk", "created": 1_763_000_000,
            "model": "m", "service_tier": "default", "system_fingerprint": "fp_0123456789",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}],
            "usage": null, "obfuscation": "aX3kd9Qw"})
    };
    let mut chunks = vec![chunk(
        json!({"role": "assistant", "content": ""}),
        Value::Null,
    )];
    chunks.extend((0..tokens).map(|token| {
        chunk(
            json!({"content": format!("word{} ", token % 97)}),
            Value::Null,
        )
    }));
    chunks.push(chunk(json!({}), "stop".into()));
    let mut counts = chunk(json!({}), Value::Null);
    counts["choices"] = json!([]);
    counts["usage"] =
        json!({"prompt_tokens": 100, "completion_tokens": tokens, "total_tokens": 100 + tokens});
    chunks.push(counts);
    let mut body = String::new();
    for chunk in chunks {
        body.push_str(&format!("data: {chunk}\n\n"));
    }
    body.into_bytes()
}

/// The reads of a live stream, one for each event.
fn events(body: &[u8]) -> Vec<&[u8]> {
    let text = std::str::from_utf8(body).expect("UTF-8");
    text.split_inclusive("\n\n").map(str::as_bytes).collect()
}

fn incremental(dialect: Dialect, failures: &Failures, head: &Head, reads: &[&[u8]]) -> usize {
    let mut stream = AnswerStream::new(dialect, &Mapping::default());
    let mut outputs = 0;
    for (index, bytes) in reads.iter().enumerate() {
        let at = Duration::from_micros(index as u64);
        stream.push(at, black_box(bytes), &mut |output| {
            black_box(output);
            outputs += 1;
        });
    }
    black_box(stream.finish("", failures, head, &End::Complete));
    outputs
}

/// Lines and JSON, and nothing of the protocol.
fn floor(body: &[u8]) -> usize {
    let text = std::str::from_utf8(body).expect("UTF-8");
    text.split('\n')
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<Value>(black_box(data)).expect("JSON"))
        .map(|value| usize::from(value.is_object()))
        .sum()
}

fn frames(body: &[u8], read: usize) -> usize {
    let mut decoder = SseDecoder::new();
    let mut items = 0;
    for bytes in body.chunks(read) {
        decoder.push(Duration::ZERO, bytes);
        while let Some(item) = decoder.next() {
            black_box(item);
            items += 1;
        }
    }
    items + decoder.finish().len()
}

fn exchange(body: &[u8], read: usize) -> Exchange {
    let reads: Vec<Read> = body
        .chunks(read)
        .enumerate()
        .map(|(index, bytes)| Read {
            at: Duration::from_micros(index as u64),
            len: bytes.len(),
        })
        .collect();
    Exchange {
        head: Some(Head {
            status: 200,
            headers: Vec::new(),
            at: Duration::ZERO,
        }),
        body: Bytes::copy_from_slice(body),
        reads,
        end: End::Complete,
        total: Duration::from_secs(1),
    }
}

fn benches(criterion: &mut Criterion) {
    for (name, tokens) in [("64-tokens", 64), ("4000-tokens", 4000)] {
        let body = stream(tokens);
        assert_eq!(frames(&body, 4096), floor(&body));

        let mut group = criterion.benchmark_group(format!("frame/{name}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        for read in [1, 200, 16_384] {
            group.bench_function(format!("reads-of-{read}"), |bencher| {
                bencher.iter(|| frames(black_box(&body), read));
            });
        }
        group.finish();

        let failures = &catalog::shipped().failures;
        for (dialect, body) in [
            (Dialect::Responses, body),
            (Dialect::Chat, chat_stream(tokens)),
        ] {
            let mut group = criterion.benchmark_group(format!("decode/{dialect}/{name}"));
            group.throughput(Throughput::Elements(floor(&body) as u64));
            group.bench_function("floor", |bencher| {
                bencher.iter(|| floor(black_box(&body)));
            });
            let exchange = exchange(&body, 200);
            group.bench_function("whole", |bencher| {
                bencher.iter(|| decode(dialect, "", failures, black_box(&exchange), true));
            });
            let reads = events(&body);
            let head = exchange.head.as_ref().expect("a head");
            assert_eq!(incremental(dialect, failures, head, &reads), tokens);
            group.bench_function("incremental", |bencher| {
                bencher.iter(|| incremental(dialect, failures, head, &reads));
            });
            group.finish();
        }
    }
}

criterion_group!(decoding, benches);
criterion_main!(decoding);
