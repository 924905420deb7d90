//! How conversations of a load end that do not come to their last turn, and what later turns wait for.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::load::{at, count, keyed};
use crate::program::Project;
use crate::stub_server::Stub;

/// A whole streamed answer of the Chat API.
pub(crate) fn answer() -> Vec<u8> {
    let body = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\
        \"delta\":{\"role\":\"assistant\",\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}")
        .into_bytes()
}

fn two_turns(think: &str) -> String {
    format!(
        "name: mine/chat\nabout: Two turns.\nturns:\n  - user: hello\n  - user: again\n    think: {think}\n"
    )
}

#[test]
fn recorded_arrivals_are_not_replayed_for_years() {
    let project = keyed().file("trace.csv", "at\n0\n1\n");
    for (speed, code) in [("1e-20", 2), ("1e-8", 2), ("10", 0)] {
        let flags = [
            "load",
            "--target",
            "openai",
            "--arrivals",
            "trace.csv",
            "--speed",
            speed,
        ];
        let said = project.run(&flags).exits(code);
        assert_eq!(
            said.stderr.contains("more than a year"),
            code == 2,
            "{}",
            said.stderr
        );
    }
}

#[test]
fn who_is_cut_while_thinking_is_counted() {
    let stub = Stub::answering(|_| answer());
    let project = keyed().file("mine.yaml", &two_turns("5m"));
    let flags = [
        "mine.yaml",
        "--dialect",
        "chat",
        "--concurrency",
        "2",
        "--duration",
        "1s",
        "--timeout",
        "2s",
    ];
    let run = project.run(&at(&stub.base_url, &flags)).exits(0).json();
    let target = &run["targets"][0];
    assert_eq!(
        ["conversations", "stuck", "cut"].map(|name| count(target, name)),
        [2, 2, 0],
        "{target}"
    );
    assert_eq!(target["requests"], 2);
}

#[cfg(unix)]
#[test]
fn the_first_ctrl_c_begins_no_further_turn() {
    let stub = Stub::answering(|_| answer());
    let project = keyed().file("mine.yaml", &two_turns("100s"));
    let flags = [
        "mine.yaml",
        "--dialect",
        "chat",
        "--concurrency",
        "2",
        "--duration",
        "10m",
    ];
    let mut child = project.start(&at(&stub.base_url, &flags));
    while stub.requests().len() < 2 {
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "it ended before it was told to"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Project::interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    let target = &run["targets"][0];
    assert_eq!(
        ["conversations", "stuck", "cut"].map(|name| count(target, name)),
        [2, 2, 0],
        "{target}"
    );
    assert_eq!(stub.requests().len(), 2);
}

#[test]
fn a_later_turn_waits_for_the_end_of_a_back_off_and_is_charged_for_it() {
    // The think time is long enough for a debug build to compile the patterns of failures, which the refusal needs.
    let asked = AtomicUsize::new(0);
    let stub = Stub::answering(move |_| {
        match asked.fetch_add(1, Ordering::SeqCst) {
        1 => b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 10\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}".to_vec(),
        _ => answer(),
    }
    });
    let project = keyed()
        .file("mine.yaml", &two_turns("8s"))
        .file("trace.csv", "at\n0.0\n0.5\n");
    let flags = [
        "mine.yaml",
        "--dialect",
        "chat",
        "--arrivals",
        "trace.csv",
        "--per-request",
    ];
    let run = project.run(&at(&stub.base_url, &flags)).exits(0).json();
    let target = &run["targets"][0];
    assert_eq!(target["requests"], 3, "{target}");
    let rows = std::fs::read_to_string(project.run_folder().join("requests.csv")).unwrap();
    let mut lines = rows.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let lines: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let of = |arrival: &str, turn: &str, name: &str| -> f64 {
        let column = |name: &str| head.iter().position(|one| *one == name).unwrap();
        let row = lines
            .iter()
            .find(|row| row[column("arrival")] == arrival && row[column("turn")] == turn)
            .unwrap();
        row[column(name)].parse().unwrap()
    };
    let refused = of("1", "0", "begun_ms") + of("1", "0", "ended_ms");
    let begun = of("0", "1", "begun_ms");
    // Times in the file have three decimals.
    assert!(
        begun >= refused + 9999.9,
        "{begun} after {refused}:\n{rows}"
    );
    let waited = begun - of("0", "1", "intended_ms");
    assert!(waited > 2000.0, "{waited}:\n{rows}");
    let measures = &target["measures_ms"];
    assert!(measures["response"]["max"].as_f64().unwrap() >= waited * 0.99);
    assert!(
        measures["start_lag"]["max"].as_f64().unwrap() < waited,
        "{measures}"
    );
}

#[test]
fn a_date_to_ask_again_at_is_heeded_without_the_servers_date() {
    let later = time::OffsetDateTime::now_utc() + std::time::Duration::from_secs(100);
    let format = &time::format_description::well_known::Rfc2822;
    let headers = format!("retry-after: {}\r\n", later.format(format).unwrap());
    let stub = Stub::json("429 Too Many Requests", &headers, "{}");
    let flags = ["--requests", "1", "--rate", "10"];
    let run = keyed().run(&at(&stub.base_url, &flags)).exits(1).json();
    let target = &run["targets"][0];
    assert_eq!(count(target, "retry_after"), 1, "{target}");
    assert!(count(target, "retry_after_most") > 10_000_000, "{target}");
}

#[test]
fn account_ids_in_names_of_targets_are_shown_nowhere() {
    let stub = Stub::json("400 Bad Request", "", "{}");
    let targets = format!(
        "targets:\n  team-123456789012:\n    provider: openai\n    model: gpt-5.5\n    endpoint: {}\n",
        stub.base_url
    );
    // The same label is in the steps of --find-max.
    let arguments = [
        "load",
        "--per-request",
        "--redact-accounts",
        "--requests",
        "3",
        "--concurrency",
        "1",
    ];
    for (key, code, told) in [(true, 1, "loading"), (false, 3, "OPENAI_API_KEY")] {
        let mut project = Project::new();
        if key {
            project = project.variable("OPENAI_API_KEY", "sk-not-real-0123456789");
        }
        let project = project.file("sameturn.yaml", &targets);
        let said = project.run(&arguments).exits(code);
        assert!(said.stderr.contains(told), "{}", said.stderr);
        for text in [&said.stdout, &said.stderr] {
            assert!(!text.contains("123456789012"), "{text}");
        }
        for (path, bytes) in project.files() {
            let text = String::from_utf8_lossy(&bytes);
            assert!(
                path.ends_with("sameturn.yaml") || !text.contains("123456789012"),
                "{}: {text}",
                path.display()
            );
        }
    }
}

#[test]
fn of_answers_without_usage_nobody_knows_how_many_tokens_they_had() {
    let stub = Stub::start(answer());
    let flags = ["--dialect", "chat", "--requests", "3", "--concurrency", "1"];
    let run = keyed().run(&at(&stub.base_url, &flags)).json();
    let target = &run["targets"][0];
    assert_eq!(target["counts"]["without_usage"], 3, "{target}");
    assert!(target["output_tokens_per_s"].is_null(), "{target}");
    assert!(target["requests_per_s"].as_f64().unwrap() > 0.0, "{target}");
}
