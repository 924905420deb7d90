//! The proof of the rules of Converse: each fault trips exactly the rules it names, each legal variant
//! none. Streams go the whole way: mutated, written as frames, decoded as an exchange, checked.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::catalog;
use crate::check::finding::{Finding, Severity};
use crate::check::rules::tests::{exchange, ids, rule, told};
use crate::check::rules::{Subject, check};
use crate::dialect::{Dialect, decode, decode_captures};
use crate::mock::fault_file::{converse_faults, converse_variants};
use crate::mock::mutate::WireFault;
use crate::mock::outgoing::{OutEvent, OutStream, Pacing};
use crate::turn::exchange::{End, Exchange, Head, Read};

fn request() -> Value {
    let tool = |name: &str, strict: bool, schema: Value| json!({"toolSpec": {"name": name, "inputSchema": {"json": schema}, "strict": strict}});
    json!({
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "toolConfig": {"tools": [
            tool("get_weather", true, json!({"type": "object", "properties": {"city": {"type": "string"}},
                "required": ["city"], "additionalProperties": false})),
            tool("get_time", false, json!({"type": "object"})),
        ]},
    })
}

/// Reasoning with its signature, text, and two calls.
fn good_stream() -> OutStream {
    let delta = |index: u64, delta: Value| json!({"type": "contentBlockDelta", "contentBlockIndex": index, "delta": delta});
    let stop = |index: u64| json!({"type": "contentBlockStop", "contentBlockIndex": index});
    let start = |index: u64, id: &str, name: &str| {
        json!({"type": "contentBlockStart", "contentBlockIndex": index,
            "start": {"toolUse": {"toolUseId": id, "name": name}}})
    };
    let data = [
        json!({"type": "messageStart", "role": "assistant"}),
        delta(0, json!({"reasoningContent": {"text": "Look up"}})),
        delta(0, json!({"reasoningContent": {"text": " both."}})),
        delta(0, json!({"reasoningContent": {"signature": "c2VhbA=="}})),
        stop(0),
        delta(1, json!({"text": "The weather"})),
        delta(1, json!({"text": " in Dún Laoghaire"})),
        delta(1, json!({"text": " – 🌧"})),
        stop(1),
        start(2, "tooluse_1", "get_weather"),
        delta(2, json!({"toolUse": {"input": "{\"city\":"}})),
        delta(2, json!({"toolUse": {"input": "\"Dublin\"}"}})),
        stop(2),
        start(3, "tooluse_2", "get_time"),
        delta(3, json!({"toolUse": {"input": "{\"zone\":"}})),
        delta(3, json!({"toolUse": {"input": "\"Europe/Dublin\"}"}})),
        stop(3),
        json!({"type": "messageStop", "stopReason": "tool_use"}),
        json!({"type": "metadata", "usage": {"inputTokens": 100, "outputTokens": 60, "totalTokens": 160},
            "metrics": {"latencyMs": 700}}),
    ];
    OutStream::framed(data.into_iter().map(OutEvent::of).collect())
}

fn findings_with(stream: &OutStream, request: &Value) -> Vec<Finding> {
    let exchange = exchange(stream);
    judged(&exchange, true, request)
}

fn judged(exchange: &Exchange, streamed: bool, request: &Value) -> Vec<Finding> {
    let failures = &catalog::shipped().failures;
    let decoded = decode(Dialect::Converse, "", failures, exchange, streamed);
    check(
        "converse",
        &Subject {
            events: &decoded.events,
            trace: &decoded.trace,
            streamed,
            framed: decoded.framed,
            head: exchange.head.as_ref(),
            end: Some(&exchange.end),
            request: Some(request),
        },
    )
}

fn misjudged(fault: &WireFault, pacing: Option<Pacing>) -> Option<String> {
    let mut stream = fault.apply(good_stream());
    stream.pacing = pacing.unwrap_or(stream.pacing);
    let found = findings_with(&stream, &request());
    let expected: BTreeSet<String> = fault.trips.iter().cloned().collect();
    (ids(&found, Severity::Should) != expected).then(|| {
        format!(
            "\n  {} should trip {expected:?}:{}",
            fault.name,
            told(&found)
        )
    })
}

#[test]
fn the_good_stream_has_no_finding() {
    let found = findings_with(&good_stream(), &request());
    assert!(found.is_empty(), "{}", told(&found));
}

#[test]
fn every_fault_trips_the_rules_it_names_and_no_others() {
    let faults = converse_faults();
    let wrong: String = faults
        .iter()
        .filter_map(|one| misjudged(one, None))
        .collect();
    assert!(wrong.is_empty(), "{wrong}");
    assert!(faults.len() >= 50, "faults were lost");
    for fault in faults {
        assert!(!fault.trips.is_empty(), "{} trips nothing", fault.name);
        assert!(
            fault.trips.iter().all(|id| rule(id).is_some()),
            "{}",
            fault.name
        );
    }
}

#[test]
fn legal_variants_have_no_finding() {
    let wrong: String = converse_variants()
        .iter()
        .filter_map(|one| misjudged(one, None))
        .collect();
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn how_frames_are_sent_hides_no_fault() {
    for pacing in [Pacing::SplitEvents, Pacing::OneWrite] {
        let wrong: String = converse_faults()
            .iter()
            .filter_map(|one| misjudged(one, Some(pacing)))
            .collect();
        assert!(wrong.is_empty(), "{pacing:?}: {wrong}");
    }
}

fn whole() -> Value {
    json!({
        "output": {"message": {"role": "assistant", "content": [
            {"text": "Both."},
            {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"city": "Dublin"}}},
            {"toolUse": {"toolUseId": "tooluse_2", "name": "get_time", "input": {}}},
        ]}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 100, "outputTokens": 60, "totalTokens": 160},
        "metrics": {"latencyMs": 700},
    })
}

/// The must and should rules that a plain answer breaks, joined.
fn plain(answer: &Value, request: &Value) -> String {
    let body = answer.to_string();
    let exchange = Exchange {
        head: Some(Head {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            at: Duration::ZERO,
        }),
        reads: vec![Read {
            at: Duration::ZERO,
            len: body.len(),
        }],
        body: Bytes::from(body),
        end: End::Complete,
        total: Duration::ZERO,
    };
    let found = ids(&judged(&exchange, false, request), Severity::Should);
    found.into_iter().collect::<Vec<_>>().join(" ")
}

#[test]
fn plain_answers_are_held_to_the_same() {
    assert_eq!(plain(&whole(), &request()), "");
    let with = |pointer: &str, value: Value| {
        let mut answer = whole();
        *answer.pointer_mut(pointer).expect("there is one") = value;
        plain(&answer, &request())
    };
    let call = "/output/message/content/1/toolUse";
    assert_eq!(
        with("/output/message/role", json!("user")),
        "converse/role-assistant"
    );
    assert_eq!(
        with("/stopReason", json!("end_turn")),
        "converse/stop-matches-calls"
    );
    assert_eq!(with("/stopReason", json!("done")), "converse/stop-reason");
    assert_eq!(
        with("/usage/totalTokens", json!(1)),
        "converse/usage-adds-up"
    );
    assert_eq!(with("/usage", json!(null)), "converse/usage-counts");
    assert_eq!(with("/metrics", json!({})), "converse/latency-told");
    assert_eq!(
        with(&format!("{call}/input"), json!("{}")),
        "converse/tool-input-object"
    );
    assert_eq!(
        with(&format!("{call}/input"), json!({"town": "x"})),
        "converse/strict-input"
    );
    assert_eq!(
        with(&format!("{call}/name"), json!("launch")),
        "converse/tool-is-declared"
    );
    assert_eq!(
        with(&format!("{call}/toolUseId"), json!("tooluse_2")),
        "converse/tool-use-ids-unique"
    );
    assert_eq!(
        with(&format!("{call}/toolUseId"), json!("")),
        "converse/tool-use-named"
    );
}

/// A hostile stream may have any number of blocks and of events of one: no rule compares them in pairs.
#[test]
fn a_flood_of_blocks_is_checked_in_time() {
    let stop = |index: u64| json!({"type": "contentBlockStop", "contentBlockIndex": index});
    let many: u64 = 15_000;
    let start = |index: u64| {
        json!({"type": "contentBlockStart", "contentBlockIndex": index,
            "start": {"toolUse": {"toolUseId": format!("t{index}"), "name": "get_weather"}}})
    };
    let floods: [Vec<Value>; 3] = [
        (0..many).map(|_| stop(0)).collect(),
        (0..many).map(start).collect(),
        (0..many)
            .map(|one| json!({"type": format!("x{one}")}))
            .collect(),
    ];
    for events in floods {
        let stream = OutStream::framed(events.into_iter().map(OutEvent::of).collect());
        let begun = std::time::Instant::now();
        assert!(!findings_with(&stream, &request()).is_empty());
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn tool_choice_is_kept() {
    let with = |choice: Value, answer: &Value| {
        let mut request = request();
        request["toolConfig"]["toolChoice"] = choice;
        plain(answer, &request)
    };
    let mut silent = whole();
    silent["output"]["message"]["content"] = json!([{"text": "No."}]);
    silent["stopReason"] = json!("end_turn");
    let kept = "converse/tool-choice-kept";
    let named = json!({"tool": {"name": "get_time"}});
    assert_eq!(with(json!({"any": {}}), &silent), kept);
    assert_eq!(with(named.clone(), &silent), kept);
    assert_eq!(with(named, &whole()), kept);
    assert_eq!(with(json!({"any": {}}), &whole()), "");
    assert_eq!(with(json!({"auto": {}}), &silent), "");
    silent["stopReason"] = json!("max_tokens");
    assert_eq!(with(json!({"any": {}}), &silent), "");
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "whoever runs the tests should see what was not"
)]
fn real_recordings_have_no_finding() {
    let Ok(folder) = std::env::var("SAMETURN_RECORDINGS") else {
        eprintln!("SAMETURN_RECORDINGS names no folder with recordings: nothing to check");
        return;
    };
    let mut wrong = String::new();
    let mut answers = 0;
    for file in std::fs::read_dir(format!("{folder}/converse")).expect("the folder can be read") {
        let path = file.expect("the folder can be read").path();
        let bytes = std::fs::read(&path).expect("the recording can be read");
        for decoded in decode_captures(Dialect::Converse, &bytes) {
            answers += 1;
            let found = check(
                "converse",
                &Subject {
                    events: &decoded.events,
                    trace: &decoded.trace,
                    streamed: decoded.streamed,
                    framed: decoded.framed,
                    head: None,
                    end: None,
                    request: None,
                },
            );
            assert_eq!(decoded.trace.failure, None, "{path:?}");
            if !ids(&found, Severity::Should).is_empty() {
                wrong.push_str(&format!("\n  {}:{}", path.display(), told(&found)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(answers >= 6, "only {answers} answers were found");
}
