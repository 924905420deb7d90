//! Real recorded streams are the judge of the decoder.
//!
//! They are not part of this project: `SAMETURN_RECORDINGS` names the folder that has them, with
//! `responses/*.jsonl`, one event per line. Without it these tests say so and prove nothing.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use sameturn::catalog;
use sameturn::dialect::wire::{Payload, WireEvent};
use sameturn::dialect::{Decoded, Dialect, decode, decode_capture, decode_captures};
use sameturn::turn::exchange::{End, Exchange, Head, Read};
use sameturn::turn::trace::{Content, Item, Stop, TurnTrace};
use serde_json::Value;

/// The folder of recordings; where there is none, it says so.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SAMETURN_RECORDINGS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: SAMETURN_RECORDINGS does not name a folder of recorded streams");
    }
    folder
}

/// The recordings by name, or nothing when there are none.
fn recordings() -> Vec<(String, Vec<u8>)> {
    let Some(folder) = folder() else {
        return Vec::new();
    };
    let folder = folder.join("responses");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no recordings", folder.display());
    files
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(&path).expect("a readable recording");
            (path.display().to_string(), bytes)
        })
        .collect()
}

/// The response of the terminal event.
fn terminal(events: &[WireEvent]) -> Option<&Value> {
    events
        .iter()
        .find(|event| {
            matches!(
                event.kind(),
                Some("response.completed" | "response.incomplete" | "response.failed")
            )
        })
        .and_then(WireEvent::json)
        .map(|event| &event["response"])
}

/// The text and the calls of a terminal response, read without the decoder.
fn said(response: &Value) -> (String, Vec<[String; 2]>) {
    let (mut texts, mut calls) = (Vec::new(), Vec::new());
    for item in response["output"].as_array().into_iter().flatten() {
        let text = |key: &str| item[key].as_str().unwrap_or("").to_owned();
        match item["type"].as_str() {
            Some("message") => texts.push(
                item["content"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|part| part["text"].as_str())
                    .collect::<String>(),
            ),
            Some("function_call") => calls.push([text("name"), text("arguments")]),
            Some("custom_tool_call") => calls.push([text("name"), text("input")]),
            _ => {}
        }
    }
    (texts.join("\n"), calls)
}

fn calls(trace: &TurnTrace) -> Vec<[String; 2]> {
    trace
        .calls()
        .map(|call| [call.name.clone(), call.arguments.clone()])
        .collect()
}

#[test]
fn every_recording_decodes_and_says_what_its_terminal_response_says() {
    for (name, bytes) in recordings() {
        for Decoded { events, trace, .. } in decode_captures(Dialect::Responses, &bytes) {
            assert!(
                events
                    .iter()
                    .all(|event| matches!(event.payload, Payload::Json(_))),
                "{name}: a malformed event"
            );
            assert_eq!(trace.irregularities, [], "{name}");
            let response = terminal(&events).unwrap_or_else(|| panic!("{name}: no terminal event"));
            assert_eq!((trace.text(), calls(&trace)), said(response), "{name}");
            let output = response["output"].as_array().expect("a list of items");
            assert_eq!(trace.items.len(), output.len(), "{name}");
            assert_eq!(
                trace.response_id.as_deref(),
                response["id"].as_str(),
                "{name}"
            );
            assert_eq!(trace.model.as_deref(), response["model"].as_str(), "{name}");
            match response["status"].as_str() {
                Some("completed") => {
                    let expect = match trace.calls().count() {
                        0 => Stop::End,
                        _ => Stop::ToolCalls,
                    };
                    assert_eq!(
                        (trace.stop, &trace.failure),
                        (Some(expect), &None),
                        "{name}"
                    );
                    let usage = trace.usage.unwrap_or_else(|| panic!("{name}: no usage"));
                    assert_eq!(
                        Some(usage.input),
                        response["usage"]["input_tokens"].as_u64()
                    );
                    assert_eq!(
                        Some(usage.total),
                        response["usage"]["total_tokens"].as_u64()
                    );
                }
                _ => {
                    let failure = trace
                        .failure
                        .unwrap_or_else(|| panic!("{name}: no failure"));
                    assert_eq!(failure.class, "quota_exhausted", "{name}");
                }
            }
        }
    }
}

#[test]
fn deltas_alone_add_up_to_what_done_says() {
    let mut compared = 0;
    let recordings = recordings();
    let any = !recordings.is_empty();
    for (name, bytes) in recordings {
        for whole in decode_captures(Dialect::Responses, &bytes) {
            if !is_unedited(&whole.events) {
                continue;
            }
            let kept: Vec<&WireEvent> = whole
                .events
                .iter()
                .filter(|event| {
                    let kind = event.kind().unwrap_or("");
                    !kind.ends_with(".done") && !kind.starts_with("response.completed")
                })
                .collect();
            // Some servers send no deltas for an item; only items that had some are compared.
            let streamed: HashSet<u64> = kept
                .iter()
                .filter(|event| event.kind().is_some_and(|kind| kind.ends_with(".delta")))
                .filter_map(|event| event.json()?["output_index"].as_u64())
                .collect();
            let lines: String = kept
                .iter()
                .filter_map(|event| event.json())
                .map(|event| format!("{event}\n"))
                .collect();
            let cut = decode_capture(Dialect::Responses, lines.as_bytes()).trace;
            let comparable = |trace: &TurnTrace| -> Vec<Content> {
                trace
                    .items
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| streamed.contains(&(*index as u64)))
                    .map(|(_, item)| match &item.content {
                        // What is sealed comes with the item and never in deltas.
                        Content::Reasoning { summary, text, .. } => Content::Reasoning {
                            summary: summary.clone(),
                            text: text.clone(),
                            encrypted: false,
                        },
                        content => content.clone(),
                    })
                    .collect()
            };
            let expect = comparable(&whole.trace);
            assert_eq!(comparable(&cut), expect, "{name}");
            compared += expect.len();
        }
    }
    assert!(!any || compared >= 10, "only {compared} items had deltas");
}

#[test]
fn framing_and_splits_change_nothing() {
    let failures = &catalog::shipped().failures;
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for (name, bytes) in recordings() {
        for whole in decode_captures(Dialect::Responses, &bytes) {
            for end in ["\n", "\r\n", "\r"] {
                let mut body = String::new();
                for event in whole.events.iter().filter_map(WireEvent::json) {
                    let kind = event["type"].as_str().expect("a type");
                    body += &format!("event: {kind}{end}data: {event}{end}{end}");
                }
                let exchange = exchange(body.into_bytes(), &mut random);
                let framed = decode(Dialect::Responses, "openai", failures, &exchange, true);
                assert_eq!(
                    untimed(framed.trace),
                    untimed(whole.trace.clone()),
                    "{name}"
                );
                let payloads = |events: &[WireEvent]| -> Vec<Payload> {
                    events.iter().map(|event| event.payload.clone()).collect()
                };
                assert_eq!(payloads(&framed.events), payloads(&whole.events), "{name}");
            }
        }
    }
}

/// Whether no event was taken out of a recording by those who made it.
fn is_unedited(events: &[WireEvent]) -> bool {
    let numbers: Vec<Option<u64>> = events
        .iter()
        .map(|event| event.json()?["sequence_number"].as_u64())
        .collect();
    numbers
        .windows(2)
        .all(|pair| pair[0].is_some() && pair[1] == pair[0].map(|number| number + 1))
}

/// A body in reads of random sizes, some of one byte and some of many events.
fn exchange(body: Vec<u8>, random: &mut ChaCha8Rng) -> Exchange {
    let mut reads = Vec::new();
    let mut left = body.len();
    while left > 0 {
        let most = [1, 3, 50, 2000, 40_000][random.random_range(0..5)];
        let len = random.random_range(1..=most).min(left);
        let at = Duration::from_millis(reads.len() as u64);
        reads.push(Read { at, len });
        left -= len;
    }
    Exchange {
        head: Some(Head {
            status: 200,
            headers: Vec::new(),
            at: Duration::ZERO,
        }),
        body: Bytes::from(body),
        end: End::Complete,
        total: Duration::from_millis(reads.len() as u64),
        reads,
    }
}

/// A trace without what depends on when its bytes came and whether there was a connection.
fn untimed(mut trace: TurnTrace) -> TurnTrace {
    trace.timing = Default::default();
    trace.items = trace
        .items
        .into_iter()
        .map(|item| Item {
            started: None,
            ended: None,
            ..item
        })
        .collect();
    trace
}
