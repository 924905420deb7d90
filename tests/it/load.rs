//! `sameturn load` as a user runs it, against the built-in mocks and small servers.

use std::io::{BufRead, BufReader};
use std::process::Child;

use sameturn::load::measure::Measure;
use serde_json::Value;

use crate::program::Project;
use crate::stub_server::Stub;

/// A `sameturn mock` of its own, and the base URL of its mocked OpenAI.
struct Mock {
    process: Child,
    url: String,
}

impl Mock {
    fn start(project: &Project, more: &[&str]) -> Mock {
        let arguments = [&["mock", "--port", "0", "--format", "json"], more].concat();
        let mut process = project.start(&arguments);
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let endpoints = said["endpoints"].as_array().unwrap();
        let url = endpoints
            .iter()
            .find(|one| one["provider"] == "openai")
            .unwrap()["base_url"]
            .as_str()
            .unwrap()
            .to_owned();
        Mock { process, url }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A project that can ask the mocked OpenAI.
pub(crate) fn keyed() -> Project {
    Project::new().variable("MOCK_KEY", "sameturn-mock-bearer-default")
}

pub(crate) fn at<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let whom = [
        "load",
        "--base-url",
        url,
        "--model",
        "gpt-5.5",
        "--api-key-env",
        "MOCK_KEY",
        "--format",
        "json",
    ];
    [&whom[..], more].concat()
}

pub(crate) fn count(target: &Value, name: &str) -> u64 {
    target["counts"][name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name} in {target}"))
}

#[test]
fn the_mocks_are_loaded_where_nobody_is_named() {
    let project = Project::new();
    let said = project
        .run(&[
            "load",
            "--concurrency",
            "3",
            "--requests",
            "12",
            "--output-tokens",
            "8",
            "--format",
            "json",
        ])
        .exits(0);
    let run = said.json();
    assert_eq!(run["schema"], 1);
    let targets = run["targets"].as_array().unwrap();
    let places: Vec<String> = targets
        .iter()
        .map(|one| {
            format!(
                "{} {}",
                one["target"].as_str().unwrap(),
                one["region"].as_str().unwrap_or("-")
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            "openai -",
            "mantle us-east-1",
            "mantle us-east-2",
            "runtime us-east-1",
            "agentcore us-east-1"
        ]
    );
    for target in targets {
        assert_eq!(target["requests"], 12, "{target}");
        assert_eq!(target["errors"], serde_json::json!({}));
        for measure in ["ttft_ms", "itl_ms", "e2e_ms"] {
            let spread = &target[measure];
            assert!(
                measure == "itl_ms" || spread["p50"].as_f64().unwrap() > 0.0,
                "{measure}: {target}"
            );
            // Twelve are too few for a 99th percentile.
            assert!(
                measure == "itl_ms" || spread["p99"].is_null(),
                "{measure}: {spread}"
            );
        }
        assert!(target["requests_per_s"].as_f64().unwrap() > 0.0);
    }
    let harness = &run["harness"];
    for key in ["scheduler_lag_ms", "cpu_s", "peak_rss_mb"] {
        assert!(!harness[key].is_null(), "{key}: {harness}");
    }
    if cfg!(target_os = "linux") {
        assert_eq!(run["clock"], "kernel");
        assert!(harness["read_lag_ms"]["n"].as_u64() > Some(0), "{harness}");
    }
}

#[test]
fn each_measure_is_defined_in_the_docs_as_in_the_code() {
    let docs = include_str!("../../docs/load.md");
    for measure in Measure::ALL {
        let row = format!("| `{}` | {} |", measure.id(), measure.definition());
        assert!(docs.contains(&row), "docs/load.md lacks: {row}");
    }
}

#[test]
fn recorded_arrivals_are_replayed_with_their_sizes() {
    let rows = (0..6)
        .map(|row| format!("0.{row},40,{}\n", row + 3))
        .collect::<String>();
    let project = keyed().file(
        "trace.csv",
        &format!("at,prompt_tokens,output_tokens\n{rows}"),
    );
    let said = project
        .run(&[
            "load",
            "--target",
            "openai",
            "--arrivals",
            "trace.csv",
            "--format",
            "json",
        ])
        .exits(0);
    let run = said.json();
    let target = &run["targets"][0];
    assert_eq!(target["requests"], 6);
    // The mock writes as many words as it is asked for: 3 + 4 + ... + 8.
    assert_eq!(count(target, "output_tokens"), 33);
}

#[test]
fn an_objective_is_kept_broken_or_undecided() {
    for (objective, code) in [
        ("ttft:p50<60s, errors<50%", 0),
        ("ttft:p50<1ms", 1),
        ("ttft:p99<60s", 3),
    ] {
        let said = Project::new().run(&[
            "load",
            "--target",
            "openai",
            "--requests",
            "12",
            "--output-tokens",
            "3",
            "--slo",
            objective,
        ]);
        // On a machine that is busy with other things, what is broken may be the client's fault, which it must then say.
        let excused = said.stdout.contains("the client was the bottleneck")
            && !said.stdout.contains("broken");
        let (code, words) = match code {
            0 => (0, "kept"),
            1 if excused => (3, "undecided"),
            1 => (1, "broken"),
            _ => (3, "too few requests to tell"),
        };
        let said = said.exits(code);
        assert!(said.stdout.contains(words), "{}", said.stdout);
    }
}

#[test]
fn an_agent_loop_is_a_load() {
    let said = Project::new()
        .run(&[
            "load",
            "--target",
            "openai",
            "--mix",
            "tools/weather=1",
            "--requests",
            "6",
            "--concurrency",
            "2",
            "--format",
            "json",
        ])
        .exits(0);
    let run = said.json();
    let target = &run["targets"][0];
    assert_eq!(count(target, "conversations"), 6);
    assert_eq!(
        target["requests"], 12,
        "each has a call and an answer: {target}"
    );
    assert_eq!(target["measures_ms"]["loop"]["n"], 6);
    assert_eq!(target["measures_ms"]["first_call"]["n"], 6);
}

#[test]
fn thinking_is_waited_for_and_not_measured() {
    let scenario = "name: mine/chat\nabout: Two turns.\nturns:\n  - user: hello\n  - user: again\n    think: 400ms\n";
    let project = Project::new().file("mine.yaml", scenario);
    let begun = std::time::Instant::now();
    let said = project
        .run(&[
            "load",
            "mine.yaml",
            "--target",
            "openai",
            "--requests",
            "1",
            "--concurrency",
            "1",
            "--format",
            "json",
        ])
        .exits(0);
    assert!(begun.elapsed() >= std::time::Duration::from_millis(400));
    let run = said.json();
    let target = &run["targets"][0];
    let whole = target["measures_ms"]["loop"]["max"].as_f64().unwrap();
    let turns = target["e2e_ms"]["mean"].as_f64().unwrap() * 2.0;
    // Histograms have three digits.
    assert!(
        (whole - turns).abs() <= turns * 0.01,
        "{whole} ms for turns of {turns} ms"
    );
}

#[test]
fn refusals_are_counted_and_backed_off_from() {
    let body = r#"{"error":{"message":"slow down","type":"rate_limit_error","code":"rate_limit_exceeded"}}"#;
    let stub = Stub::json("429 Too Many Requests", "retry-after: 1\r\n", body);
    let said = keyed()
        .run(&at(
            &stub.base_url,
            &["--rate", "20", "--spacing", "constant", "--duration", "2s"],
        ))
        .exits(1);
    let run = said.json();
    let target = &run["targets"][0];
    let refused = target["errors"]["throttled"].as_u64().unwrap();
    assert!(count(target, "held_back") > 0, "{target}");
    assert_eq!(refused + count(target, "held_back"), 40, "{target}");
    assert_eq!(count(target, "retry_after_most"), 1_000_000);
    assert!(
        target["examples"]["throttled"]["message"]
            .as_str()
            .unwrap()
            .contains("slow down")
    );
    // And without waiting all are sent.
    let said = keyed()
        .run(&at(
            &stub.base_url,
            &[
                "--rate",
                "20",
                "--spacing",
                "constant",
                "--duration",
                "1s",
                "--no-back-off",
            ],
        ))
        .exits(1);
    assert_eq!(said.json()["targets"][0]["errors"]["throttled"], 20);
}

#[test]
fn a_long_wait_is_told_while_it_lasts_however_little_there_is_to_tell() {
    let stub = Stub::json("429 Too Many Requests", "retry-after: 7\r\n", "{}");
    let said = keyed()
        .run(&at(
            &stub.base_url,
            &["--concurrency", "1", "--duration", "4s"],
        ))
        .exits(1);
    // At the end too little of it is left to be told.
    assert!(
        said.stderr.contains("nothing is sent for"),
        "{}",
        said.stderr
    );
}

#[test]
fn who_cannot_be_reached_is_undetermined() {
    let said = keyed()
        .run(&at(
            "http://127.0.0.1:9/v1",
            &["--requests", "3", "--concurrency", "1"],
        ))
        .exits(3);
    assert_eq!(said.json()["targets"][0]["errors"]["unreachable"], 3);
}

#[test]
fn a_key_that_is_not_there_sends_nothing() {
    let stub = Stub::events("");
    let said = Project::new()
        .run(&at(&stub.base_url, &["--requests", "3"]))
        .exits(3);
    assert!(said.stderr.contains("MOCK_KEY"), "{}", said.stderr);
    assert!(stub.requests().is_empty());
}

#[test]
fn a_ceiling_of_tokens_is_not_passed() {
    let said = Project::new()
        .run(&[
            "load",
            "--target",
            "openai",
            "--concurrency",
            "4",
            "--duration",
            "20s",
            "--prompt-tokens",
            "50",
            "--output-tokens",
            "20",
            "--max-tokens",
            "2000",
            "--format",
            "json",
        ])
        .exits(0);
    let run = said.json();
    assert_eq!(run["ended"], "ceiling");
    let target = &run["targets"][0];
    let spent = count(target, "input_tokens") + count(target, "output_tokens");
    assert!(spent <= 2000 && spent > 1000, "{spent}");
}

#[test]
fn nothing_is_spent_without_a_yes() {
    let targets = "targets:\n  openai:\n    provider: openai\n    model: gpt-5.5\n";
    let project = Project::new()
        .file("sameturn.yaml", targets)
        .variable("OPENAI_API_KEY", "sk-not-real-0123456789");
    let said = project.run(&["load", "--requests", "1"]).exits(2);
    assert!(
        said.stderr.contains("--yes") && said.stderr.contains("api.openai.com"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("$5.00 input") && said.stderr.contains("list price of 2"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("sk-not-real"));
}

#[test]
fn a_stall_of_the_server_shows_in_the_tail() {
    let project = keyed();
    let mock = Mock::start(
        &project,
        &["--ttft", "20ms", "--between", "1ms", "--stall", "1s@3s"],
    );
    let said = project
        .run(&at(
            &mock.url,
            &[
                "--rate",
                "40",
                "--spacing",
                "constant",
                "--duration",
                "6s",
                "--output-tokens",
                "3",
            ],
        ))
        .exits(0);
    let run = said.json();
    let target = &run["targets"][0];
    assert_eq!(target["requests"], 240, "{target}");
    let ttft = &target["measures_ms"]["response_ttft"];
    assert!(ttft["max"].as_f64().unwrap() > 700.0, "{ttft}");
    // A sixth of the requests fell into it, so that it shows long before the last percentile.
    assert!(ttft["p90"].as_f64().unwrap() > 100.0, "{ttft}");
    assert!(
        ttft["p50"].as_f64().unwrap() < ttft["p90"].as_f64().unwrap() / 2.0,
        "{ttft}"
    );
}

#[test]
fn the_highest_rate_is_at_least_the_ceiling_that_held() {
    let said = Project::new()
        .run(&[
            "load",
            "--target",
            "openai",
            "--find-max",
            "--slo",
            "ttft:p50<30s, errors<50%",
            "--rate",
            "8",
            "--max-rate",
            "16",
            "--step",
            "2s",
            "--output-tokens",
            "3",
            "--format",
            "json",
        ])
        .exits(0);
    let run = said.json();
    let search = &run["targets"][0]["search"];
    assert_eq!(search["at_least"], true, "{search}");
    // A busy machine may not get there, and must then say so.
    match search["bounded_by"].as_str().unwrap() {
        "ceiling" => assert_eq!(search["highest_per_s"], 16.0, "{search}"),
        other => assert_eq!(other, "client", "{search}"),
    }
    assert_eq!(search["confirmed"], 2);
    assert!(said.stderr.contains("step  1"), "{}", said.stderr);
}

#[test]
fn calibration_compares_with_what_the_mock_sent() {
    for http in ["1", "2"] {
        let said = Project::new()
            .run(&[
                "load",
                "--calibrate",
                "--http",
                http,
                "--concurrency",
                "5",
                "--requests",
                "20",
                "--output-tokens",
                "16",
                "--format",
                "json",
            ])
            .exits(0);
        let run = said.json();
        let found = &run["calibration"];
        assert_eq!(found["compared"], 20, "{found}");
        assert_eq!(found["unmatched"], 0);
        // Not how good it is, but that both mean the same: 200 ms to the first token, whoever says it.
        let error = found["ttft_error_ms"]["p50"].as_f64().unwrap();
        assert!(error.abs() < 100.0, "{found}");
        let told = &said.stderr;
        assert!(told.contains("reported minus true"), "{told}");
        // What the mock cannot know there.
        let earliest = told.contains("may have left at the earliest");
        assert_eq!(earliest, http == "2", "{told}");
    }
    // Whoever reads the table finds it there.
    let said = Project::new()
        .run(&[
            "load",
            "--calibrate",
            "--concurrency",
            "2",
            "--requests",
            "4",
        ])
        .exits(0);
    let told = &said.stdout;
    assert!(
        told.contains("reported minus true") && told.contains("TTFT, kernel's times"),
        "{told}"
    );
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_was_measured() {
    let project = Project::new();
    let child = project.start(&[
        "load",
        "--target",
        "openai",
        "--concurrency",
        "2",
        "--duration",
        "60s",
        "--output-tokens",
        "3",
        "--format",
        "json",
    ]);
    std::thread::sleep(std::time::Duration::from_secs(4));
    Project::interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(run["ended"], "interrupted");
    assert!(run["targets"][0]["requests"].as_u64().unwrap() > 0);
    assert!(run["measured_s"].as_f64().unwrap() < 30.0);
}

#[test]
fn no_secret_is_ever_written() {
    let body = r#"{"error":{"message":"bad key sk-secret-abcdefgh12345678","type":"invalid_request_error"}}"#;
    let stub = Stub::json("400 Bad Request", "", body);
    let project = Project::new().variable("MOCK_KEY", "sk-secret-abcdefgh12345678");
    let said = project
        .run(&at(&stub.base_url, &["--requests", "2"]))
        .exits(1);
    assert!(!said.stdout.contains("abcdefgh12345678") && !said.stderr.contains("abcdefgh12345678"));
    for (path, bytes) in project.files() {
        assert!(
            !String::from_utf8_lossy(&bytes).contains("abcdefgh12345678"),
            "{}",
            path.display()
        );
    }
}

/// Answers each request of a connection, and closes it some time after the answer.
fn closing_soon() -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use std::io::{Read, Write};
    use std::sync::atomic::{AtomicUsize, Ordering};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (mut connection, count) = (connection.unwrap(), std::sync::Arc::clone(&count));
            std::thread::spawn(move || {
                let mut buffer = [0; 65536];
                if connection.read(&mut buffer).unwrap_or(0) == 0 {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let body = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\
                    \"delta\":{\"role\":\"assistant\",\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let _ = connection.write_all((head + body).as_bytes());
                std::thread::sleep(std::time::Duration::from_millis(40));
            });
        }
    });
    (url, asked)
}

#[test]
fn a_connection_that_was_closed_while_idle_is_nobodys_failure() {
    let (url, asked) = closing_soon();
    let said = keyed()
        .run(&at(
            &url,
            &[
                "--dialect",
                "chat",
                "--rate",
                "5",
                "--spacing",
                "constant",
                "--requests",
                "8",
                "--idle-timeout",
                "5s",
            ],
        ))
        .exits(0);
    let run = said.json();
    let target = &run["targets"][0];
    assert_eq!(target["errors"], serde_json::json!({}), "{target}");
    assert_eq!(target["requests"], 8);
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 8);
}

#[test]
fn a_ceiling_ends_an_open_loop_too() {
    let begun = std::time::Instant::now();
    let said = Project::new()
        .run(&[
            "load",
            "--target",
            "openai",
            "--rate",
            "20",
            "--duration",
            "10m",
            "--prompt-tokens",
            "50",
            "--output-tokens",
            "20",
            "--max-tokens",
            "1500",
            "--format",
            "json",
        ])
        .exits(0);
    // Ten minutes were asked for: whether it waits for them is no matter of speed.
    assert!(begun.elapsed() < std::time::Duration::from_secs(300));
    let run = said.json();
    assert_eq!(run["ended"], "ceiling");
    assert!(run["measured_s"].as_f64().unwrap() < 300.0);
}

#[test]
fn no_more_are_under_way_than_may_be() {
    let project = Project::new();
    project
        .run(&[
            "load",
            "--target",
            "openai",
            "--rate",
            "50",
            "--requests",
            "20",
            "--max-in-flight",
            "1",
            "--workers",
            "4",
            "--output-tokens",
            "3",
            "--per-request",
        ])
        .exits(0);
    let rows = std::fs::read_to_string(project.run_folder().join("requests.csv")).unwrap();
    let mut lines = rows.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| head.iter().position(|one| *one == name).unwrap();
    let (begun, ended) = (column("begun_ms"), column("ended_ms"));
    let mut spans: Vec<(f64, f64)> = lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let at = |column: usize| cells[column].parse::<f64>().unwrap();
            (at(begun), at(begun) + at(ended))
        })
        .collect();
    assert_eq!(spans.len(), 20);
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    for pair in spans.windows(2) {
        // Times in the file have three decimals.
        assert!(pair[1].0 >= pair[0].1 - 0.002, "{pair:?} overlap");
    }
}
