//! The mock as the truth of a load test: answers of a length, and when their events really left.

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use sameturn::mock::data::{MockData, Spread};
use sameturn::mock::pace::PaceChoice;
use sameturn::mock::server::{MockServer, MockSettings};
use sameturn::mock::truth::{HEADER, Truth};
use serde_json::{Value, json};

use crate::mock_client::{BEARER, ask, post, start};
use crate::program::Project;

const WORDS: u64 = 37;

fn prompt() -> String {
    format!("Why? Answer with exactly {WORDS} words.")
}

#[tokio::test]
async fn a_prompt_gets_its_words_as_events_and_as_usage() {
    let server = start().await;
    let message = json!([{"role": "user", "content": prompt()}]);

    let mut body = json!({"model": "gpt-5.5", "input": prompt(), "stream": true,
        "include": ["reasoning.encrypted_content"], "store": false});
    let events = post(&server, "/openai/v1/responses", &body).await.events();
    let numbers = events.iter().map(|event| event["sequence_number"].as_u64());
    assert!(numbers.eq((0..events.len() as u64).map(Some)), "{events:?}");
    let is_delta = |event: &&Value| event["type"] == "response.output_text.delta";
    let deltas: Vec<&Value> = events.iter().filter(is_delta).collect();
    assert_eq!(deltas.len() as u64, WORDS);
    let response = &events[events.len() - 1]["response"];
    assert_eq!(response["usage"]["output_tokens"], WORDS);
    let text: String = deltas
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(response["output"][0]["content"][0]["text"], text);
    assert_eq!(text.split(' ').count() as u64, WORDS);
    body["stream"] = json!(false);
    let whole = post(&server, "/openai/v1/responses", &body).await.json();
    assert_eq!(whole["output"][0]["content"][0]["text"], text);
    assert_eq!(whole["usage"]["output_tokens"], WORDS);

    let body = json!({"model": "gpt-5.5", "messages": message, "stream": true,
        "stream_options": {"include_usage": true}});
    let chunks = post(&server, "/openai/v1/chat/completions", &body)
        .await
        .events();
    let content = |chunk: &Value| {
        chunk["choices"][0]["delta"]["content"]
            .as_str()
            .map(str::to_owned)
    };
    let pieces: Vec<String> = chunks
        .iter()
        .filter_map(content)
        .filter(|one| !one.is_empty())
        .collect();
    assert_eq!(pieces.len() as u64, WORDS);
    assert_eq!(pieces.concat(), text);
    let padded = |chunk: &Value| {
        chunk["obfuscation"]
            .as_str()
            .is_some_and(|one| one.is_ascii() && one.len() >= 8)
    };
    assert!(chunks.iter().all(padded), "{chunks:?}");
    assert_eq!(
        chunks[chunks.len() - 1]["usage"]["completion_tokens"],
        WORDS
    );

    let path = "/bedrock-agentcore/us-east-1/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Fsameturn_agent-abcdefghij/invocations";
    let headers = [("authorization", BEARER), ("accept", "text/event-stream")];
    let body = json!({"prompt": prompt()}).to_string();
    let answer = ask(server.address(), "POST", path, &headers, &body).await;
    let events = answer.events();
    let has_delta = |event: &&Value| event["event"]["contentBlockDelta"].is_object();
    assert_eq!(
        events.iter().filter(has_delta).count() as u64,
        WORDS,
        "{answer:?}"
    );

    let pace = server.pace();
    assert_eq!((pace.streams, pace.streams_now), (3, 0));
    assert!(pace.events >= 3 * WORDS, "{pace:?}");
}

/// A fault that cuts an event must find single events.
#[tokio::test]
async fn a_fault_meets_the_events_of_a_long_answer_one_by_one() {
    let server = start().await;
    let body = json!({"model": "gpt-5.5", "input": prompt(), "stream": true});
    let good = post(&server, "/openai/v1/responses", &body).await;
    let path = "/fault/drop-mid-stream/openai/v1/responses";
    let faulty = post(&server, path, &body).await;
    assert!(!faulty.whole && good.whole, "{faulty:?}");
    let (good, faulty) = (good.events(), faulty.events());
    assert_eq!(faulty.len() + 4, good.len());
    assert_eq!(
        faulty[faulty.len() - 1]["type"],
        "response.output_text.delta"
    );
    let path = "/fault/delta-without-item-id/openai/v1/responses";
    let one = post(&server, path, &body).await.events();
    let lacks = |event: &&Value| {
        event["type"] == "response.output_text.delta" && event["item_id"].is_null()
    };
    assert_eq!(one.iter().filter(lacks).count(), 1, "only the first delta");
    let marked = |events: &[Value]| {
        events
            .iter()
            .any(|event| event.to_string().contains('\u{e000}'))
    };
    assert!(!marked(&good) && !marked(&faulty));
}

/// The rows of a file of truth, by column.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.strip_prefix(HEADER).expect("a header");
    rows.lines().map(|row| row.split(',').collect()).collect()
}

#[tokio::test]
async fn the_truth_names_each_stream_and_is_never_early() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("truth.csv");
    let mut data = MockData::shipped().expect("the shipped data");
    let exact = |ms| {
        Some(Spread {
            median: ms,
            p95: ms,
        })
    };
    let pace = PaceChoice {
        ttft: exact(30.0),
        between: exact(4.0),
        ..PaceChoice::default()
    };
    pace.apply(&mut data).expect("no region is named");
    let settings = MockSettings {
        threads: NonZeroUsize::new(2).expect("two"),
        words: Some(5),
        truth: Some(Truth::to(&path).expect("it opens")),
        ..MockSettings::default()
    };
    let any = "127.0.0.1:0".parse().expect("an address");
    let server = MockServer::start_with(any, data, settings)
        .await
        .expect("a free port");
    let begun = SystemTime::now();
    let body = json!({"model": "gpt-5.5", "messages": [{"role": "user", "content": "hi"}], "stream": true});
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = post(&server, "/openai/v1/chat/completions", &body).await;
        let mut lines = answer.head.lines();
        let id = lines.find_map(|line| line.strip_prefix("x-request-id: "));
        ids.push(id.expect("an id").to_owned());
    }
    let live = ask(server.address(), "GET", "/mock/pace", &[], "")
        .await
        .json();
    assert_eq!(
        (&live["streams"], &live["truth_lines_lost"]),
        (&json!(3), &json!(0))
    );
    let report = server.stop().await;
    // The role, five words, the finish.
    assert_eq!((report.streams, report.events), (3, 21));
    assert_eq!(live["events"], report.events);
    assert!(report.lateness_ms.is_some(), "{report:?}");

    let text = std::fs::read_to_string(&path).expect("it is there");
    let rows = rows(&text);
    let told: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(told, ids, "{text}");
    let begun = begun
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    for row in &rows {
        let number = |place: usize| row[place].parse::<u64>().expect("a number");
        let (read, due, first, last) = (number(1), number(2), number(3), number(4));
        assert!(Duration::from_micros(read + 1) >= begun, "{row:?}");
        assert_eq!(due - read, 30_000, "{row:?}");
        let gaps: Vec<u64> = row[9]
            .split(';')
            .map(|gap| gap.parse().expect("a gap"))
            .collect();
        assert_eq!((number(5), gaps.len()), (5, 4), "{row:?}");
        assert_eq!(first + gaps.iter().sum::<u64>(), last, "{row:?}");
        assert_eq!(number(6), *gaps.iter().max().expect("there are some"));
        assert_eq!(row[8], "whole");
        // A write is never before it is due; the two clocks may differ by what a step of one is.
        assert!(
            first + 1_000 >= due && last + 1_000 >= due + 4 * 4_000,
            "{row:?}"
        );
    }
}

#[test]
fn wrong_flags_say_what_would_be_right() {
    let project = Project::new();
    for (arguments, expected) in [
        (["mock", "--ttft", "soon"], "lognormal(200ms,400ms)"),
        (
            ["mock", "--between", "lognormal(2ms)"],
            "the 95th percentile",
        ),
        (["mock", "--region-ttft", "300ms"], "us-east-1=300ms"),
        (
            ["mock", "--region-ttft", "us-moon-1=300ms"],
            "there are ap-",
        ),
        (["mock", "--tokens", "100001"], "1..=100000"),
        (["mock", "--threads", "0"], "1..=1024"),
        (["mock", "--stall", "1s"], "1s@5s"),
        (
            ["mock", "--truth", "no/such/folder.csv"],
            "truth file no/such/folder.csv",
        ),
    ] {
        let said = project.run(&arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.stderr);
        assert!(
            said.stderr.contains(expected),
            "{arguments:?}: {}",
            said.stderr
        );
    }
}
