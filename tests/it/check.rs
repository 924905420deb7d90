//! `sameturn check` as users run it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::Project;
use crate::stub_server::Stub;

/// A scenario that any model can pass.
pub(crate) const PONG: &str = "\
name: mine/pong
about: A word.
turns:
  - user: Answer with the single word pong.
    expect: { text: { contains: pong }, stop: end }
";

/// A good streamed answer, event by event.
pub(crate) fn pong_events() -> Vec<Value> {
    let response = |status: &str, output: Value, usage: Value| {
        json!({
            "id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "m",
            "error": null, "incomplete_details": null, "output": output, "usage": usage,
        })
    };
    let part = |text: &str| json!({ "type": "output_text", "text": text, "annotations": [] });
    let item = |status: &str, content: Value| json!({ "id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": content });
    let place = json!({ "item_id": "msg_1", "output_index": 0, "content_index": 0 });
    let at_place = |kind: &str, more: Value| {
        let mut event = json!({ "type": kind });
        for source in [&place, &more] {
            for (key, value) in source.as_object().expect("an object") {
                event[key] = value.clone();
            }
        }
        event
    };
    let done = item("completed", json!([part("pong")]));
    let usage = json!({
        "input_tokens": 9, "output_tokens": 1, "total_tokens": 10,
        "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens_details": { "reasoning_tokens": 0 },
    });
    let mut events = vec![
        json!({ "type": "response.created", "response": response("in_progress", json!([]), Value::Null) }),
        json!({ "type": "response.in_progress", "response": response("in_progress", json!([]), Value::Null) }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": item("in_progress", json!([])) }),
        at_place("response.content_part.added", json!({ "part": part("") })),
        at_place(
            "response.output_text.delta",
            json!({ "delta": "po", "logprobs": [] }),
        ),
        at_place(
            "response.output_text.delta",
            json!({ "delta": "ng", "logprobs": [] }),
        ),
        at_place(
            "response.output_text.done",
            json!({ "text": "pong", "logprobs": [] }),
        ),
        at_place(
            "response.content_part.done",
            json!({ "part": part("pong") }),
        ),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": done }),
        json!({ "type": "response.completed", "response": response("completed", json!([done]), usage) }),
    ];
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    events
}

pub(crate) fn sse(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| {
            let kind = event["type"].as_str().expect("a type");
            format!("event: {kind}\ndata: {event}\n\n")
        })
        .collect()
}

fn server_arguments<'a>(base_url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["check", "--base-url", base_url, "--model", "m"];
    arguments.extend_from_slice(more);
    arguments
}

#[test]
fn with_nothing_at_all_the_mocks_are_checked() {
    let project = Project::new();
    let run = project
        .run(&[
            "check",
            "--format",
            "json",
            "--junit",
            "j.xml",
            "--markdown",
            "s.md",
        ])
        .exits(0)
        .json();
    assert_eq!(run["schema"], 1);
    assert_eq!(run["verdict"], "pass");

    let cells = run["cells"].as_array().expect("cells");
    let count = |verdict: &str| {
        cells
            .iter()
            .filter(|cell| cell["verdict"] == verdict)
            .count()
    };
    assert_eq!(count("fail") + count("undetermined"), 0);
    assert!(count("pass") > 80, "{}", count("pass"));
    for cell in cells.iter().filter(|cell| cell["verdict"] == "known_gap") {
        assert_ne!(cell["target"], "openai", "{cell}");
    }
    for gap in [
        "mantle/call-ids-restart",
        "mantle/overflow-without-code",
        "mantle/service-tier-refused",
        "runtime/overflow-without-code",
        "runtime/service-tier-refused",
    ] {
        let finding = run["findings"]
            .as_array()
            .expect("findings")
            .iter()
            .find(|finding| finding["known_gap"]["id"] == gap)
            .unwrap_or_else(|| panic!("{gap} did not show"));
        assert!(
            finding["known_gap"]["source"]
                .as_str()
                .is_some_and(|text| text.starts_with("https://"))
        );
    }
    // The same word for a failure on both providers, whatever their bodies say.
    for scenario in [
        "failures/access-denied",
        "failures/throttled",
        "failures/stall",
        "failures/drop-mid-stream",
    ] {
        let classes: Vec<&Value> = cells
            .iter()
            .filter(|cell| cell["scenario"] == scenario)
            .map(|cell| &cell["failure"])
            .collect();
        assert_eq!(classes.len(), run["targets"].as_array().map_or(0, Vec::len));
        assert!(
            classes
                .iter()
                .all(|class| *class == classes[0] && class.is_string()),
            "{scenario}: {classes:?}"
        );
    }

    assert_eq!(
        std::fs::read_to_string(project.run_folder().join("run.json")).expect("run.json"),
        serde_json::to_string_pretty(&run)
            .map(|text| text + "\n")
            .expect("text"),
        "run.json is what was printed"
    );
    assert!(
        std::fs::read_to_string(project.path("j.xml"))
            .is_ok_and(|text| text.contains("<testsuite"))
    );
    assert!(
        std::fs::read_to_string(project.path("s.md"))
            .is_ok_and(|text| text.contains("tools/weather"))
    );
}

#[test]
fn all_targets_are_asked_the_same() {
    let project = Project::new();
    project
        .run(&[
            "check",
            "--scenario",
            "tools/*",
            "--scenario",
            "failures/wrong-route",
        ])
        .exits(0);
    let text = std::fs::read_to_string(project.run_folder().join("turns.jsonl")).expect("turns");
    let mut turns: BTreeMap<(String, u64), Vec<Value>> = BTreeMap::new();
    for line in text.lines() {
        let turn: Value = serde_json::from_str(line).expect("a line is JSON");
        let key = (
            turn["scenario"].as_str().expect("a scenario").to_owned(),
            turn["turn"].as_u64().expect("a number"),
        );
        turns.entry(key).or_default().push(turn);
    }
    assert!(turns.len() > 20);
    for ((scenario, number), same) in &turns {
        for turn in same {
            assert_eq!(
                turn["digest"], same[0]["digest"],
                "{scenario} turn {number}"
            );
            assert_eq!(turn["digest"].as_str().map(str::len), Some(64));
            // Another wire API says the same in other words.
            if *number == 1 && turn["target"] != "runtime" {
                let first = same.iter().find(|turn| turn["target"] != "runtime");
                let (mut one, mut other) = (
                    turn["request_body"].clone(),
                    first.expect("this one at least")["request_body"].clone(),
                );
                assert!(one["model"].is_string(), "{turn}");
                one["model"] = Value::Null;
                other["model"] = Value::Null;
                assert_eq!(one, other, "{scenario}");
            }
        }
    }
}

#[test]
fn a_good_server_passes_and_a_bad_stream_does_not() {
    let project = Project::new().file("pong.yaml", PONG);
    let good = Stub::events(&sse(&pong_events()));
    project
        .run(&server_arguments(&good.base_url, &["pong.yaml"]))
        .exits(0);

    let mut events = pong_events();
    events.pop();
    let cut = Stub::events(&sse(&events));
    let run = project
        .run(&server_arguments(
            &cut.base_url,
            &["--format", "json", "pong.yaml"],
        ))
        .exits(1)
        .json();
    assert_eq!(run["verdict"], "findings");
    assert_eq!(run["cells"][0]["failure"], "stream_truncated");
    let rules: Vec<&Value> = run["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|finding| &finding["rule"])
        .collect();
    assert!(
        rules.contains(&&json!("responses/exactly-one-terminal")),
        "{rules:?}"
    );
}

#[test]
fn a_refusal_is_named_with_cause_and_fix() {
    let project = Project::new().file("pong.yaml", PONG);
    let body = r#"{"error":{"code":"access_denied","message":"User: arn:aws:iam::123456789012:user/u is not authorized to perform: bedrock-mantle:CreateInference on resource: arn:aws:bedrock-mantle:us-east-1:123456789012:project/default","param":null,"type":"permission_denied_error"}}"#;
    let server = Stub::json("401 Unauthorized", "", body);
    let said = project
        .run(&server_arguments(
            &server.base_url,
            &["--redact-accounts", "pong.yaml"],
        ))
        .exits(1);
    assert!(said.stdout.contains("access_denied"), "{}", said.stdout);
    assert!(said.stdout.contains("CreateInference"), "{}", said.stdout);
    assert!(!said.stdout.contains("123456789012"), "{}", said.stdout);
    assert_eq!(server.requests().len(), 1, "nothing is retried");
}

#[test]
fn what_cannot_be_reached_is_undetermined() {
    let project = Project::new().file("pong.yaml", PONG);
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("it")
        .port();
    let url = format!("http://127.0.0.1:{port}/v1");
    let run = project
        .run(&server_arguments(&url, &["--format", "json", "pong.yaml"]))
        .exits(3)
        .json();
    assert_eq!(run["verdict"], "undetermined");
    assert_eq!(run["cells"][0]["failure"], "unreachable");
}

#[test]
fn missing_and_expired_credentials_are_undetermined_and_send_nothing() {
    let server = Stub::json("500 Oops", "", "{}");
    let targets = format!(
        "targets:\n  mantle:\n    provider: bedrock-mantle\n    model: openai.gpt-5.5\n    regions: [us-east-1]\n    endpoint: {}\n",
        server.base_url.replace("/v1", "/openai/v1")
    );
    let project = Project::new()
        .file("pong.yaml", PONG)
        .file("sameturn.yaml", &targets);
    let run = project
        .run(&["check", "--format", "json", "pong.yaml"])
        .exits(3)
        .json();
    assert_eq!(run["cells"][0]["failure"], "no_credentials");

    let expired = Project::new()
        .file("pong.yaml", PONG)
        .file("sameturn.yaml", &targets)
        .file(
            ".aws/config",
            "[profile work]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Dev\nregion = us-east-1\n[sso-session corp]\nsso_start_url = https://corp.invalid/start\nsso_region = us-east-1\n",
        )
        .file(
            // sha1 of the session's name, as the AWS tools write it.
            ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json",
            r#"{"startUrl":"https://corp.invalid/start","region":"us-east-1","accessToken":"old-token-marker","expiresAt":"2024-01-01T00:00:00Z"}"#,
        )
        .variable("AWS_PROFILE", "work");
    let said = expired.run(&["check", "pong.yaml"]).exits(3);
    assert!(
        said.stdout.contains("credentials_expired"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.contains("aws sso login --profile work"),
        "{}",
        said.stdout
    );
    assert_eq!(server.requests(), [] as [String; 0]);
}

#[test]
fn secrets_reach_no_file_and_no_stream() {
    const KEY: &str = "sk-marker-0123456789abcdef-marker";
    let body = format!(
        r#"{{"error":{{"message":"Incorrect API key provided: {KEY}","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}}}"#
    );
    let server = Stub::json("401 Unauthorized", &format!("x-echo: {KEY}\r\n"), &body);
    let project = Project::new()
        .file("pong.yaml", PONG)
        .variable("MY_KEY", KEY);
    let said = project
        .run(&server_arguments(
            &server.base_url,
            &[
                "--api-key-env",
                "MY_KEY",
                "--keep-streams",
                "--show-requests",
                "--junit",
                "j.xml",
                "--markdown",
                "s.md",
                "pong.yaml",
            ],
        ))
        .exits(3);
    assert!(server.requests()[0].contains(KEY), "the key is sent");
    assert!(
        said.stdout.contains("invalid_credentials"),
        "{}",
        said.stdout
    );
    assert!(!said.stdout.contains(KEY) && !said.stderr.contains(KEY));
    for (path, bytes) in project.files() {
        assert!(
            !String::from_utf8_lossy(&bytes).contains(KEY),
            "{} holds the key",
            path.display()
        );
    }
}

#[test]
fn bad_input_sends_nothing() {
    let server = Stub::events("");
    let project = Project::new()
        .file("typo.yaml", &PONG.replace("expect:", "expects:"))
        .file("pong.yaml", PONG);
    let said = project
        .run(&server_arguments(&server.base_url, &["typo.yaml"]))
        .exits(2);
    assert!(said.stderr.contains("typo.yaml:5:5"), "{}", said.stderr);
    assert!(
        said.stderr.contains("did you mean `expect`"),
        "{}",
        said.stderr
    );
    for arguments in [
        vec!["check", "--base-url", "ftp://x/v1", "--model", "m"],
        vec!["check", "--base-url", "http://127.0.0.1:1/v1"],
        vec!["check", "--scenario", "nothing/*"],
        vec!["check", "--target", "nobody"],
        vec!["check", "missing.yaml"],
        vec!["check", "--targets", "missing.yaml"],
        vec![
            "check",
            "--base-url",
            "http://127.0.0.1:1/v1",
            "--model",
            "m",
            "--dialect",
            "morse",
        ],
        vec!["chekc"],
    ] {
        let said = project.run(&arguments).exits(2);
        assert!(
            !said.stderr.is_empty() && said.stdout.is_empty(),
            "{arguments:?}"
        );
    }
    assert_eq!(server.requests(), [] as [String; 0]);
}

#[test]
fn a_killed_run_leaves_what_was_finished() {
    let project = Project::new();
    let mut child = project.start(&["check"]);
    let started = Instant::now();
    let turns = loop {
        let text = std::fs::read_to_string(project.path("results/latest"))
            .ok()
            .and_then(|_| std::fs::read_to_string(project.run_folder().join("turns.jsonl")).ok())
            .unwrap_or_default();
        if text.lines().count() >= 5 {
            break text;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "no turn was written"
        );
        std::thread::sleep(Duration::from_millis(5));
    };
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    assert!(turns.ends_with('\n'));
    for line in turns.lines() {
        serde_json::from_str::<Value>(line).expect("a line is JSON");
    }
    let run = std::fs::read_to_string(project.run_folder().join("run.json")).expect("run.json");
    let run: Value = serde_json::from_str(&run).expect("run.json is JSON");
    assert_eq!(run["interrupted"], true);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_gently_with_what_is_there() {
    let project = Project::new();
    let child = project.start(&["check", "--repeat", "50", "--format", "json"]);
    let started = Instant::now();
    while !project.path("results/latest").exists() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "the run did not start"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(killed.success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let run: Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(run["interrupted"], true);
}
