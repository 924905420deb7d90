//! How fast an answer is framed and decoded, beside a floor in the same run.
//!
//! The floor splits lines and parses the JSON of each `data:` line, with no protocol at all: what
//! any correct client must do at least. Times differ between machines; the ratio to the floor does
//! so much less, and is the figure to quote. `cargo bench --bench decode`.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sameturn::catalog;
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
        let events = floor(&body) as u64;
        assert_eq!(frames(&body, 4096) as u64, events);

        let mut group = criterion.benchmark_group(format!("frame/{name}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        for read in [1, 200, 16_384] {
            group.bench_function(format!("reads-of-{read}"), |bencher| {
                bencher.iter(|| frames(black_box(&body), read));
            });
        }
        group.finish();

        let mut group = criterion.benchmark_group(format!("decode/{name}"));
        group.throughput(Throughput::Elements(events));
        group.bench_function("floor", |bencher| {
            bencher.iter(|| floor(black_box(&body)));
        });
        let failures = &catalog::shipped().failures;
        let exchange = exchange(&body, 200);
        group.bench_function("responses", |bencher| {
            bencher.iter(|| decode(Dialect::Responses, "", failures, black_box(&exchange), true));
        });
        group.finish();
    }
}

criterion_group!(decoding, benches);
criterion_main!(decoding);
