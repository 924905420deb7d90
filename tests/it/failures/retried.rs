//! Turns that are asked again: what is waited, kept and said.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::Project;

fn mine(retries: &str, expect: &str) -> String {
    format!(
        "name: mine/again\nabout: Asked again.\ngiven: {{ fault: throttled-once }}\nretries: {{ {retries} }}\nturns:\n  - user: ping\n    expect: {{ {expect} }}\n"
    )
}

#[test]
fn a_turn_is_asked_again_and_every_attempt_is_told() {
    let project = Project::new();
    let started = Instant::now();
    let said = project
        .run(&[
            "check",
            "--scenario",
            "failures/throttled-then-ok",
            "--target",
            "openai",
            "--repeat",
            "2",
        ])
        .exits(0);
    assert!(
        started.elapsed() >= Duration::from_secs(2),
        "Retry-After was not waited"
    );
    assert!(
        said.stdout
            .contains("first attempt: throttled (waited 1.0 s)"),
        "{}",
        said.stdout
    );
    let folder = project.run_folder();
    let turns = std::fs::read_to_string(folder.join("turns.jsonl")).unwrap();
    let kept: Vec<(Value, Value)> = turns
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| (line["attempt"].clone(), line["status"].clone()))
        .collect();
    let pair = |attempt: u64, status: u64| (Value::from(attempt), Value::from(status));
    assert_eq!(
        kept,
        [pair(1, 429), pair(2, 200), pair(1, 429), pair(2, 200)]
    );
    let run: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("run.json")).unwrap()).unwrap();
    let retry = &run["cells"][0]["retries"][0];
    assert_eq!(
        (&retry["failure"], &retry["waited_ms"]),
        (&Value::from("throttled"), &Value::from(1000.0))
    );
    project
        .run(&[
            "check",
            "--scenario",
            "failures/throttled-then-ok",
            "--target",
            "openai",
            "--junit",
            "run.xml",
            "--markdown",
            "run.md",
        ])
        .exits(0);
    for file in ["run.xml", "run.md"] {
        let told = std::fs::read_to_string(project.path(file)).unwrap();
        assert!(
            told.contains("first attempt: throttled (waited 1.0 s)"),
            "{file}: {told}"
        );
    }
}

#[test]
fn what_is_too_long_or_not_wanted_is_not_waited() {
    let give_up = mine(
        "most: 2, on: throttled, wait_at_most: 500ms",
        "failure: throttled",
    );
    let project = Project::new().file("again.yaml", &give_up);
    let said = project
        .run(&["check", "again.yaml", "--target", "openai"])
        .exits(0);
    let told = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        told.contains("gave up: the provider asks to wait 1.0 s, and 0.5 s is the most"),
        "{told}"
    );

    let other = mine("most: 2, on: overloaded", "failure: throttled");
    let project = Project::new().file("again.yaml", &other);
    let said = project
        .run(&["check", "again.yaml", "--target", "openai"])
        .exits(0);
    assert!(!said.stdout.contains("Asked again"), "{}", said.stdout);

    let first = mine(
        "most: 2, on: throttled",
        "stop: end, first: { failure: overloaded }",
    );
    let project = Project::new().file("again.yaml", &first);
    let said = project
        .run(&["check", "again.yaml", "--target", "openai"])
        .exits(1);
    assert!(
        said.stdout
            .contains("the first attempt failed with throttled"),
        "{}",
        said.stdout
    );
}

#[test]
fn attempts_run_out() {
    let text = mine(
        "most: 1, on: overloaded, wait_at_most: 1s",
        "failure: overloaded",
    )
    .replace("throttled-once", "overloaded-twice");
    let project = Project::new().file("again.yaml", &text);
    let said = project
        .run(&["check", "again.yaml", "--target", "openai"])
        .exits(0);
    assert!(
        said.stdout.contains("gave up: after 2 attempts"),
        "{}",
        said.stdout
    );
}
