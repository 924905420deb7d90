//! `check` against servers that are not ours: what it says of each, exactly.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use super::{Running, file, installed};
use crate::program::{Project, Said};

const WEATHER: &str = "\
tools:
  get_weather:
    description: Current weather in a city.
    parameters: { type: object, properties: { city: { type: string } }, required: [city], additionalProperties: false }
    strict: true
turns:
  - user: What is the weather in Dublin?
    expect: { calls: [ { name: get_weather } ], stop: tool_calls }
  - results: { get_weather: { temp_c: 11, sky: rain } }
    expect: { stop: end }
";

/// A tool loop and a plain answer, streamed or not.
fn project(stream: bool) -> Project {
    let head = |name: &str| format!("name: {name}\nabout: For judges.\nstream: {stream}\n");
    let hello = "turns:\n  - user: Say hello.\n    expect: { stop: end }\n";
    Project::new()
        .file("s/weather.yaml", &format!("{}{WEATHER}", head("weather")))
        .file("s/hello.yaml", &format!("{}{hello}", head("hello")))
        .variable("JUDGE_KEY", "sk-judge")
}

fn ask(project: &Project, base: &str, model: &str, dialect: &str, scenario: &str) -> Said {
    project.run(&[
        "check",
        "s",
        "--base-url",
        base,
        "--model",
        model,
        "--dialect",
        dialect,
        "--api-key-env",
        "JUDGE_KEY",
        "--scenario",
        scenario,
        "--format",
        "json",
    ])
}

/// Which rules did not hold, but for what is information only.
fn findings(said: &Said) -> BTreeSet<String> {
    let run = said.json();
    let found = run["findings"].as_array().expect("findings").iter();
    found
        .filter(|finding| finding["severity"] != "info")
        .map(|finding| finding["rule"].as_str().expect("a rule").to_owned())
        .collect()
}

fn rules(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn aimock_counts_neither_events_nor_tokens() {
    let Some(package) = installed("node_modules/@copilotkit/aimock/dist/cli.js") else {
        return;
    };
    let port = free_port();
    let text = port.to_string();
    let fixtures = file("aimock.json");
    let mut arguments: Vec<&Path> = vec![&package, Path::new("-p"), Path::new(&text)];
    arguments.extend([Path::new("-f"), &fixtures]);
    let _running = Running::that_listens(Path::new("node"), &arguments, &[], port);
    let base = format!("http://127.0.0.1:{port}/v1");

    let project = project(true);
    let said = ask(&project, &base, "gpt-5.5", "responses", "*").exits(1);
    assert_eq!(
        findings(&said),
        rules(&[
            "responses/sequence-number-present",
            "responses/usage-not-zero"
        ])
    );
    let said = ask(&project, &base, "gpt-5.5", "chat", "*").exits(0);
    assert_eq!(findings(&said), rules(&[]));
}

#[test]
fn litellm_changes_what_passes_through_it_and_breaks_what_it_makes_up() {
    let Some(litellm) = installed("litellm/bin/litellm") else {
        return;
    };
    let (_mock, line) = Running::that_prints(
        Path::new(env!("CARGO_BIN_EXE_sameturn")),
        &["mock", "--port", "0", "--format", "json"].map(Path::new),
    );
    let mock: Value = serde_json::from_str(&line).expect("JSON");
    let base_of = |provider: &str| {
        let endpoints = mock["endpoints"].as_array().expect("endpoints").iter();
        let found = endpoints
            .filter(|one| one["provider"] == provider)
            .find(|one| one["region"].is_null() || one["region"] == "us-east-1");
        found.expect("an endpoint")["base_url"]
            .as_str()
            .expect("a URL")
            .to_owned()
    };
    let port = free_port();
    let (text, config) = (port.to_string(), file("litellm.yaml"));
    let mut arguments = vec![Path::new("--config"), &config];
    arguments.extend(["--host", "127.0.0.1", "--port", &text].map(Path::new));
    let variables = [
        ("MOCK_OPENAI", base_of("openai")),
        ("MOCK_MANTLE", base_of("bedrock-mantle")),
        ("LITELLM_LOCAL_MODEL_COST_MAP", "True".to_owned()),
        ("LITELLM_TELEMETRY", "False".to_owned()),
    ];
    // It takes half a minute to start: one serves for everything.
    let _running = Running::that_listens(&litellm, &arguments, &variables, port);
    let base = format!("http://127.0.0.1:{port}/v1");
    let streamed = project(true);

    for model in ["through-openai", "through-mantle"] {
        let said = ask(&streamed, &base, model, "responses", "*").exits(1);
        assert_eq!(
            findings(&said),
            rules(&["responses/event-name-present"]),
            "{model}"
        );
        let said = ask(&streamed, &base, model, "chat", "*").exits(1);
        assert_eq!(
            findings(&said),
            rules(&["chat/usage-in-own-chunk"]),
            "{model}"
        );
    }

    // What it makes up itself: a stream that fails with 500 and looks like one that works, ...
    let said = ask(&streamed, &base, "made-up", "responses", "hello").exits(1);
    assert_eq!(findings(&said), rules(&["expect/failure"]));
    let run = said.json();
    assert_eq!(run["cells"][0]["failure"], "server_error");
    let message = run["findings"][0]["message"].as_str().expect("a message");
    assert!(message.contains("HTTP 500"), "{message}");
    // ... a call that is lost in the stream, ...
    let said = ask(&streamed, &base, "made-up-call", "chat", "weather").exits(1);
    assert_eq!(
        findings(&said),
        rules(&["expect/calls", "expect/stop", "chat/usage-in-own-chunk"])
    );
    // ... and, without a stream, a call that is said to be the end of the turn.
    let said = ask(&project(false), &base, "made-up-call", "chat", "weather").exits(1);
    assert_eq!(
        findings(&said),
        rules(&["chat/finish-matches-calls", "expect/stop"])
    );
}
