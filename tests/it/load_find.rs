//! `sameturn load --find-max` and rates, against servers whose capacity is known.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::Project;

/// What a server does with a request that has come.
enum Answer {
    /// A whole streamed answer, at this time.
    At(Instant),
    /// 429, at once, and so many seconds to wait.
    Refused(u64),
}

/// A chat server that is told of each request when it has come. It never looks whether anybody still waits.
fn server(decide: impl Fn(Instant) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let decide = Arc::new(decide);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (mut connection, decide) = (connection.unwrap(), Arc::clone(&decide));
            std::thread::spawn(move || {
                let mut buffer = [0; 65536];
                if connection.read(&mut buffer).unwrap_or(0) == 0 {
                    return;
                }
                let (head, body) = match decide(Instant::now()) {
                    Answer::At(at) => {
                        std::thread::sleep(at.saturating_duration_since(Instant::now()));
                        let body = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\
                            \"delta\":{\"role\":\"assistant\",\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
                        ("200 OK\r\ncontent-type: text/event-stream".to_owned(), body)
                    }
                    Answer::Refused(seconds) => {
                        let body = r#"{"error":{"message":"slow down","type":"rate_limit_error","code":"rate_limit_exceeded"}}"#;
                        let head = format!(
                            "429 Too Many Requests\r\ncontent-type: application/json\r\nretry-after: {seconds}"
                        );
                        (head, body)
                    }
                };
                let answer = format!(
                    "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = connection.write_all(answer.as_bytes());
            });
        }
    });
    url
}

/// One slot and a queue: each request takes as long, one after the other.
fn one_at_a_time(each: Duration) -> String {
    let free = Mutex::new(Instant::now());
    server(move |now| {
        let mut free = free.lock().unwrap();
        *free = now.max(*free) + each;
        Answer::At(*free)
    })
}

/// Takes so many in any second, and asks for so many seconds of quiet from whoever sends one more.
fn taking(most: usize, quiet: u64) -> String {
    let taken = Mutex::new(VecDeque::new());
    server(move |now| {
        let mut taken = taken.lock().unwrap();
        let second = Duration::from_secs(1);
        while taken
            .front()
            .is_some_and(|at| now.duration_since(*at) >= second)
        {
            taken.pop_front();
        }
        if taken.len() >= most {
            return Answer::Refused(quiet);
        }
        taken.push_back(now);
        Answer::At(now)
    })
}

const WHOM: [&str; 7] = [
    "load",
    "--dialect",
    "chat",
    "--model",
    "m",
    "--format",
    "json",
];
/// In an open loop.
const EVENLY: [&str; 2] = ["--spacing", "constant"];

fn load(url: &str, more: &[&str]) -> (Value, String) {
    let evenly = match more.contains(&"--concurrency") {
        true => &[][..],
        false => &EVENLY,
    };
    let arguments = [&WHOM[..], &["--base-url", url], evenly, more].concat();
    let said = Project::new().run(&arguments).exits(0);
    (said.json(), said.stderr)
}

/// Targets of these names at these servers.
fn targets(servers: &[(&str, &str)]) -> Project {
    let rows: String = servers
        .iter()
        .map(|(name, url)| {
            format!("  {name}: {{ provider: openai-compatible, dialect: chat, endpoint: \"{url}\", model: m }}\n")
        })
        .collect();
    Project::new().file("sameturn.yaml", &format!("targets:\n{rows}"))
}

fn steps(target: &Value) -> Vec<(f64, String, bool)> {
    let steps = target["search"]["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| {
            (
                step["rate_per_s"].as_f64().unwrap(),
                step["outcome"].as_str().unwrap().to_owned(),
                step["client_bound"].as_bool().unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_search_waits_as_long_as_the_provider_asks_before_it_tries_less() {
    let url = taking(30, 2);
    let (run, said) = load(
        &url,
        &[
            "--find-max",
            "--slo",
            "errors<30%",
            "--rate",
            "40",
            "--max-rate",
            "40",
            "--step",
            "1s",
        ],
    );
    let target = &run["targets"][0];
    let steps = steps(target);
    // One refusal closes the gate: few fail, and what was not sent was not held.
    assert!(said.contains("held back"), "{said}");
    // What it takes with room was not broken by the wait for what it did not.
    for (rate, outcome, client_bound) in &steps {
        assert!(
            *rate > 20.0 || *client_bound || outcome == "kept",
            "{rate}: {steps:?}"
        );
    }
    assert!(said.contains("nothing is sent for"), "{said}");
}

#[test]
fn a_rate_at_which_the_wait_grows_is_not_kept() {
    // 50 a second; each request of a step could be answered within the next step's time at twice that.
    let url = one_at_a_time(Duration::from_millis(20));
    let (run, said) = load(
        &url,
        &[
            "--find-max",
            "--slo",
            "ttft:p95<5s, errors<50%",
            "--rate",
            "40",
            "--step",
            "2s",
        ],
    );
    let search = &run["targets"][0]["search"];
    let highest = search["highest_per_s"].as_f64().unwrap();
    assert!(highest <= 50.0 * 1.05, "{highest}: {search}");
    // A step at which a busy machine was late itself says nothing about the server.
    let steps = steps(&run["targets"][0]);
    let mut above = steps
        .iter()
        .filter(|(rate, _, client_bound)| *rate > 60.0 && !client_bound);
    assert!(
        above.clone().all(|(_, outcome, _)| outcome != "kept"),
        "{steps:?}"
    );
    assert!(
        above.next().is_none() || said.contains("the wait kept growing"),
        "{said}"
    );
}

#[test]
fn a_quiet_end_of_the_window_belongs_to_it() {
    let url = server(Answer::At);
    // Arrivals at 0, 1 and 2 s: none is due after that.
    let (run, _) = load(&url, &["--rate", "1", "--duration", "2900ms"]);
    assert_eq!(run["targets"][0]["requests"], 3);
    assert_eq!(run["measured_s"], 2.9);
}

#[test]
fn each_lane_is_measured_until_its_own_last_answer() {
    let fast = one_at_a_time(Duration::from_millis(10));
    let slow = one_at_a_time(Duration::from_millis(200));
    let said = targets(&[("fast", &fast), ("slow", &slow)])
        .run(&[
            "load",
            "--concurrency",
            "1",
            "--requests",
            "10",
            "--format",
            "json",
        ])
        .exits(0);
    let run = said.json();
    let of = |index: usize, name: &str| run["targets"][index][name].as_f64().unwrap();
    for index in 0..2 {
        let rate = of(index, "requests_per_s") * of(index, "measured_s");
        assert!((rate - 10.0).abs() < 1e-6, "{run}");
    }
    // 2 s at least, for ten requests one after the other.
    assert!(of(1, "measured_s") >= 2.0, "{run}");
    assert!(of(0, "measured_s") < of(1, "measured_s"), "{run}");
    assert_eq!(run["measured_s"], run["targets"][1]["measured_s"]);
}

/// Answers the first request at once and the others after 3 s. Says when the second has come.
fn slow_from_the_second() -> (String, std::sync::mpsc::Receiver<()>) {
    let (tell, told) = std::sync::mpsc::channel();
    let seen = Mutex::new((0, tell));
    let url = server(move |now| {
        let mut seen = seen.lock().unwrap();
        seen.0 += 1;
        if seen.0 == 1 {
            return Answer::At(now);
        }
        let _ = seen.1.send(());
        Answer::At(now + Duration::from_secs(3))
    });
    (url, told)
}

/// What is answered after the end of the run counts as a request, and not for rates.
fn only_the_first_counts(run: &Value) {
    let target = &run["targets"][0];
    assert_eq!(target["requests"], 2, "{target}");
    assert_eq!(target["counts"]["completed_whole"], 1, "{target}");
    let measured = target["measured_s"].as_f64().unwrap();
    assert!(measured > 0.0 && measured < 3.0, "{target}");
    let rate = target["requests_per_s"].as_f64().unwrap();
    assert!((rate * measured - 1.0).abs() < 1e-6, "{target}");
}

#[test]
fn a_ceiling_ends_what_rates_are_of() {
    let (url, _told) = slow_from_the_second();
    // Two requests are expected to take all that may be spent: another one is refused while the second is under way.
    let (run, _) = load(
        &url,
        &[
            "--concurrency",
            "2",
            "--requests",
            "9",
            "--prompt-tokens",
            "20",
            "--output-tokens",
            "16",
            "--max-tokens",
            "112",
        ],
    );
    assert_eq!(run["ended"], "ceiling");
    only_the_first_counts(&run);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_what_rates_are_of() {
    let (url, told) = slow_from_the_second();
    let arguments = [&WHOM[..], &["--base-url", &url, "--concurrency", "1"]].concat();
    let project = Project::new();
    let child = project.start(&arguments);
    told.recv_timeout(Duration::from_secs(60)).unwrap();
    Project::interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    only_the_first_counts(&run);
}

#[test]
fn a_wait_for_our_own_places_is_told() {
    let url = one_at_a_time(Duration::from_millis(50));
    let (run, _) = load(
        &url,
        &[
            "--rate",
            "100",
            "--requests",
            "10",
            "--max-in-flight",
            "1",
            "--workers",
            "1",
        ],
    );
    // Each but the first is due long before the one before has its answer.
    assert_eq!(run["targets"][0]["counts"]["waited"], 9, "{run}");
}

#[test]
fn a_search_that_runs_out_of_our_own_places_has_found_our_own_limit() {
    // As many at a time as come, and 5 a second where one at a time may be under way.
    let url = server(|now| Answer::At(now + Duration::from_millis(200)));
    let arguments = [
        &WHOM[..],
        &["--base-url", &url, "--find-max", "--slo", "errors<50%"],
        &["--rate", "4", "--max-rate", "16", "--step", "2s"],
        &["--max-in-flight", "1", "--workers", "1"],
        &EVENLY,
    ];
    let said = Project::new().run(&arguments.concat());
    // A machine that is too busy for 4 a second may find nothing, which is no finding.
    assert!(matches!(said.code, Some(0 | 3)), "{}", said.stderr);
    let search = &said.json()["targets"][0]["search"];
    assert_eq!(search["bounded_by"], "client", "{search}");
    let highest = search["highest_per_s"].as_f64();
    assert!(highest.unwrap_or_default() <= 5.25, "{search}");
}

#[test]
fn shards_that_got_nothing_but_errors_are_a_finding_together_too() {
    let body = r#"{"error":{"message":"no","type":"invalid_request_error"}}"#;
    let stub = crate::stub_server::Stub::json("400 Bad Request", "", body);
    let project = Project::new();
    let shard = [
        "--base-url",
        &stub.base_url,
        "--requests",
        "2",
        "--shard",
        "1/1",
    ];
    let arguments = [&WHOM[..], &shard, &["--run", "night"]].concat();
    project.run(&arguments).exits(1);
    let merged = project
        .run(&["merge", "night", "--format", "json"])
        .exits(1);
    assert_eq!(merged.json()["targets"][0]["requests"], 2);
}
