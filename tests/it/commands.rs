//! The smaller commands as users run them: inspect, lint, rules, schema, completions, mock.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use sameturn::mock::outgoing::OutEvent;
use serde_json::Value;

use crate::program::Project;

const CAPTURE: &str = concat!(
    "event: response.created\n",
    r#"data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1,"status":"in_progress","model":"m","output":[]}}"#,
    "\n\nevent: response.completed\n",
    r#"data: {"type":"response.completed","sequence_number":1,"response":{"id":"resp_1","object":"response","created_at":1,"status":"completed","error":null,"incomplete_details":null,"model":"m","output":[],"usage":{"input_tokens":1,"output_tokens":0,"total_tokens":1}}}"#,
    "\n\n",
);

#[test]
fn inspect_shows_findings_where_they_occur() {
    let project = Project::new().file("good.sse", CAPTURE).file(
        "bad.sse",
        &CAPTURE.replace("\"total_tokens\":1", "\"total_tokens\":7"),
    );
    let good = project.run(&["inspect", "good.sse"]).exits(0);
    assert!(good.stdout.contains("2 events"), "{}", good.stdout);

    let bad = project.run(&["inspect", "bad.sse"]).exits(1);
    let lines: Vec<&str> = bad.stdout.lines().collect();
    let event = lines
        .iter()
        .position(|line| line.contains("response.completed"))
        .expect("the event is shown");
    assert!(
        lines[event + 1].contains("must responses/usage-total"),
        "{}",
        bad.stdout
    );

    let both = project
        .run(&["inspect", "--format", "json", "good.sse", "bad.sse"])
        .exits(1)
        .json();
    assert_eq!(both["verdict"], "findings");
    assert_eq!(both["files"][0]["findings"], serde_json::json!([]));
    assert_eq!(both["files"][1]["findings"][0]["evidence"]["event"], 1);
    assert_eq!(both["files"][1]["events"][1]["type"], "response.completed");

    for arguments in [
        vec!["inspect", "missing.sse"],
        vec!["inspect", "--dialect", "morse", "good.sse"],
        vec!["inspect", "--provider", "nobody", "good.sse"],
        vec!["inspect"],
    ] {
        project.run(&arguments).exits(2);
    }
}

#[test]
fn inspect_reads_converse_as_lines_of_json() {
    let lines = [
        r#"{"messageStart":{"role":"assistant"}}"#,
        r#"{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"Hello"}}}"#,
        r#"{"contentBlockStop":{"contentBlockIndex":0}}"#,
        r#"{"messageStop":{"stopReason":"end_turn"}}"#,
        r#"{"metadata":{"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1}}}"#,
    ];
    let project = Project::new()
        .file("good.jsonl", &lines.join("\n"))
        .file("trimmed.jsonl", &lines[1..4].join("\n"))
        .file(
            "bad.jsonl",
            &lines.join("\n").replace("end_turn", "tool_use"),
        );
    let inspect = |file: &str| project.run(&["inspect", "--dialect", "converse", file]);
    let good = inspect("good.jsonl").exits(0);
    assert!(
        good.stdout
            .contains("contentBlockDelta  {\"text\":\"Hello\"}"),
        "{}",
        good.stdout
    );
    let trimmed = inspect("trimmed.jsonl").exits(0);
    assert!(
        trimmed.stdout.contains("info converse/capture-trimmed"),
        "{}",
        trimmed.stdout
    );
    let bad = inspect("bad.jsonl").exits(1);
    assert!(
        bad.stdout.contains("must converse/stop-matches-calls"),
        "{}",
        bad.stdout
    );
}

#[test]
fn inspect_reads_converse_as_raw_frames() {
    let events = [
        serde_json::json!({"type": "messageStart", "role": "assistant"}),
        serde_json::json!({"type": "contentBlockDelta", "contentBlockIndex": 0, "delta": {"text": "Hello"}}),
        serde_json::json!({"type": "contentBlockStop", "contentBlockIndex": 0}),
        serde_json::json!({"type": "messageStop", "stopReason": "end_turn"}),
        serde_json::json!({"type": "metadata", "metrics": {"latencyMs": 1},
            "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}}),
    ];
    let frames: Vec<u8> = events
        .into_iter()
        .flat_map(|event| sameturn::mock::outgoing_frame::frame(&OutEvent::of(event)))
        .collect();
    let project = Project::new();
    let mut flipped = frames.clone();
    flipped[20] ^= 1;
    for (name, bytes, rule) in [
        ("good.bin", &frames[..], ""),
        (
            "cut.bin",
            &frames[..frames.len() - 3],
            "must event-stream/truncated",
        ),
        ("flipped.bin", &flipped[..], "must event-stream/crc"),
    ] {
        std::fs::write(project.path(name), bytes).expect("it can be written");
        let run = project.run(&["inspect", "--dialect", "converse", name]);
        let said = run.exits(i32::from(!rule.is_empty()));
        assert!(said.stdout.contains(rule), "{}", said.stdout);
    }
}

#[test]
fn real_captures_have_no_must_that_no_gap_explains() {
    let Some(folder) = crate::recordings::folder() else {
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.join("responses")).expect("the recordings") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let provider = match name.split("--").next() {
            _ if name.contains("copilot") => "github-copilot",
            Some("azure") => "azure-openai",
            Some("open-responses") => "lm-studio",
            Some("xai") => "xai",
            _ => "openai",
        };
        let path = path.to_string_lossy();
        let said =
            Project::new().run(&["inspect", "--format", "json", "--provider", provider, &path]);
        for finding in said.json()["files"][0]["findings"]
            .as_array()
            .expect("findings")
        {
            assert!(
                finding["severity"] != "must" || finding["known_gap"].is_object(),
                "{name}: {finding}"
            );
        }
        seen += 1;
    }
    assert!(seen >= 25, "{seen} recordings");
}

#[test]
fn lint_reads_and_sends_nothing() {
    let project = Project::new();
    let said = project.run(&["lint"]).exits(0);
    assert!(
        said.stdout.contains("scenarios are fine"),
        "{}",
        said.stdout
    );
    let project = Project::new().file(
        "sameturn.yaml",
        "targets:\n  a: { provider: opnai, model: m }\n",
    );
    let said = project.run(&["lint"]).exits(2);
    assert!(said.stderr.contains("sameturn.yaml:2"), "{}", said.stderr);
    assert!(said.stderr.contains("openai"), "{}", said.stderr);
}

#[test]
fn rules_are_listed_and_explained() {
    let project = Project::new();
    let list = project.run(&["rules"]).exits(0);
    assert!(list.stdout.lines().count() > 60);
    let one = project.run(&["rules", "responses/usage-total"]).exits(0);
    assert!(one.stdout.contains("Source:"), "{}", one.stdout);
    project.run(&["rules", "nothing/like-it"]).exits(2);
    let json = project.run(&["rules", "--format", "json"]).exits(0).json();
    assert!(
        json["rules"]
            .as_array()
            .is_some_and(|rules| rules.len() > 60)
    );
}

#[test]
fn schemas_and_completions_are_printed() {
    let project = Project::new();
    for file in ["scenario", "targets"] {
        let schema = project.run(&["schema", file]).exits(0).json();
        assert_eq!(schema["type"], "object", "{file}");
    }
    let scenario = project.run(&["schema", "scenario"]).exits(0).json();
    let words = &scenario["$defs"]["Expect"]["properties"]["failure"]["enum"];
    let guide = include_str!("../../docs/scenarios.md");
    for class in &sameturn::catalog::shipped().failures.classes {
        assert!(
            words
                .as_array()
                .is_some_and(|words| words.contains(&class.id.as_str().into()))
        );
        assert!(
            guide.contains(&format!("| `{}` |", class.id)),
            "{} is not in the guide",
            class.id
        );
    }
    let script = project.run(&["completions", "bash"]).exits(0);
    assert!(script.stdout.contains("sameturn"));
}

#[cfg(unix)]
#[test]
fn the_mock_says_where_it_is_and_stops_on_ctrl_c() {
    let project = Project::new();
    let mut child = project.start(&["mock", "--port", "0", "--format", "json"]);
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let said: Value = serde_json::from_str(&line).expect("the line is JSON");

    let principals = said["principals"].as_array().expect("principals");
    for one in principals {
        for field in ["name", "access_key_id", "secret_access_key", "bearer"] {
            assert!(one[field].is_string(), "{one}");
        }
    }
    assert!(principals.iter().any(|one| one["allowed"] == false));
    let allowed = principals
        .iter()
        .find(|one| one["allowed"] == true)
        .expect("somebody is allowed");
    let endpoints = said["endpoints"].as_array().expect("endpoints");
    assert!(
        endpoints
            .iter()
            .any(|one| one["provider"] == "openai" && one["region"].is_null())
    );
    let mantle = endpoints
        .iter()
        .find(|one| one["provider"] == "bedrock-mantle" && one["region"] == "us-east-1")
        .expect("Mantle is served");

    let answer = ask(
        mantle["base_url"].as_str().expect("a URL"),
        allowed["bearer"].as_str().expect("a key"),
    );
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("response.completed"), "{answer}");

    let stopped = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(stopped.success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

/// A streamed question over a plain socket.
fn ask(base_url: &str, key: &str) -> String {
    let rest = base_url.strip_prefix("http://").expect("plain HTTP");
    let (host, path) = rest.split_once('/').expect("a path");
    let body = r#"{"model":"openai.gpt-5.5","input":"hi","stream":true}"#;
    let mut connection = TcpStream::connect(host).expect("it listens");
    write!(
        connection,
        "POST /{path}/responses HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("it takes the request");
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).expect("it answers");
    String::from_utf8_lossy(&answer).into_owned()
}

/// A device has no size that could be looked at first.
#[cfg(unix)]
#[test]
fn a_file_without_end_is_not_read_for_ever() {
    let project = Project::new();
    for arguments in [
        ["check", "--targets", "/dev/zero"],
        ["lint", "--color=never", "/dev/zero"],
    ] {
        let said = project.run(&arguments).exits(2);
        assert!(said.stderr.contains("at most 4194304"), "{}", said.stderr);
    }
}

#[test]
fn a_dialect_without_its_server_is_not_ignored() {
    for command in ["check", "models"] {
        let said = Project::new().run(&[command, "--dialect", "chat"]).exits(2);
        assert!(said.stderr.contains("--base-url"), "{}", said.stderr);
    }
}

#[test]
fn a_results_folder_that_cannot_be_is_told_once() {
    let project = Project::new().file("taken", "");
    let said = project
        .run(&["check", "--scenario", "text/plain", "--results", "taken"])
        .exits(2);
    assert!(
        said.stderr.contains(": 1 scenario at 5 targets"),
        "{}",
        said.stderr
    );
    assert_eq!(
        said.stderr.matches("os error").count(),
        1,
        "{}",
        said.stderr
    );
}

/// Each question for a response that is worked on in the background has its own answer.
#[test]
fn no_answer_of_the_background_replaces_another() {
    let project = Project::new();
    project
        .run(&[
            "check",
            "--scenario",
            "settings/background",
            "--target",
            "openai",
            "--keep-streams",
        ])
        .exits(0);
    let run = std::fs::read_to_string(project.path("results/latest")).expect("a run");
    let folder = project.path("results").join(run.trim());
    let turns = std::fs::read_to_string(folder.join("turns.jsonl")).expect("its turns");
    let mut names = std::collections::BTreeSet::new();
    for line in turns.lines() {
        let turn: Value = serde_json::from_str(line).expect("a line is JSON");
        let name = turn["stream"].as_str().expect("a stream").to_owned();
        assert!(folder.join(&name).exists(), "{name}");
        assert!(names.insert(name), "an answer was written over: {line}");
    }
    assert!(names.len() > 1, "{names:?}");
}
