//! Every class of failure has a scenario, and the document of them is up to date.

use std::collections::BTreeSet;
use std::fs;

use sameturn::catalog;
use sameturn::scenario::{self, library};

use crate::program::Project;

/// Classes without a scenario, and why.
const WITHOUT: &[(&str, &str)] = &[(
    "answer_too_big",
    "the limits are tens of megabytes and a quarter of a million events, which no quick run should send; \
     the decoder's own tests reach both",
)];

#[test]
fn every_class_has_a_scenario_or_a_reason() {
    let mut shown = BTreeSet::new();
    for (path, text) in library::scenarios() {
        let scenario = scenario::read::read(path, text).unwrap();
        for turn in &scenario.turns {
            let classes = turn.expect.failure.iter().flat_map(|classes| &classes.0);
            shown.extend(classes.cloned());
        }
    }
    for class in &catalog::shipped().failures.classes {
        let excused = WITHOUT.iter().any(|(id, _)| *id == class.id);
        assert_ne!(
            shown.contains(&class.id),
            excused,
            "{}: a scenario or a reason, and not both",
            class.id
        );
    }
}

#[test]
fn the_document_says_what_the_data_say() {
    let made = Project::new()
        .run(&["failures", "--format", "markdown"])
        .exits(0)
        .stdout;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/failures.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, &made).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap();
    assert!(
        made == kept,
        "docs/failures.md is stale: run UPDATE=1 cargo test the_document_says"
    );
    for row in made.lines().filter(|row| row.starts_with("| ")) {
        let bars = row.replace("\\|", "").matches('|').count();
        assert!(bars == 6 || bars == 5, "{row}");
    }
}

#[test]
fn failures_can_be_looked_up() {
    let project = Project::new();
    let list = project.run(&["failures"]).exits(0).stdout;
    assert!(list.contains("throttled"), "{list}");
    let one = project.run(&["failures", "throttled"]).exits(0).stdout;
    for part in ["429", "bedrock-mantle", "Codex", "cause:", "fix:"] {
        assert!(one.contains(part), "{part}: {one}");
    }
    let json = project
        .run(&[
            "failures",
            "wrong_route",
            "--provider",
            "bedrock-mantle",
            "--format",
            "json",
        ])
        .exits(0)
        .json();
    let looks = json["failures"][0]["looks"].as_array().unwrap();
    assert!(!looks.is_empty());
    assert!(
        looks
            .iter()
            .all(|look| look["provider"] == "bedrock-mantle")
    );
    let wrong = project.run(&["failures", "throtled"]).exits(2);
    assert!(wrong.stderr.contains("throttled"), "{}", wrong.stderr);
    project.run(&["failures", "--provider", "nobody"]).exits(2);
}
