//! The scenarios of known gaps: each passes where nobody misbehaves, and has exactly its finding where
//! somebody does. Read from the folders, so that no build stands between a change and its test.
//!
//! `UPDATE=1 cargo test` rewrites `docs/gaps.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use sameturn::auth::environment::Environment;
use sameturn::auth::seen::Seen;
use sameturn::catalog;
use sameturn::check::finding::Severity;
use sameturn::cli::files::targets_with_gaps;
use sameturn::cli::targets::expand;
use sameturn::conduct::cell::Conductor;
use sameturn::conduct::run::{self, Work};
use sameturn::mock::data::MockData;
use sameturn::mock::server::MockServer;
use sameturn::plan::{self, PlannedScenario};
use sameturn::report::event::{Cell, CellResult, RunEvent, Verdict};
use sameturn::scenario::gap::with_fault;
use sameturn::scenario::model::Scenario;
use sameturn::scenario::read::read;
use sameturn::transport::Limits;
use sameturn::transport::live::Live;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use crate::check::{pong_events, sse};
use crate::program::Project;
use crate::stub_server::Stub;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn texts(folder: &Path, below: &str, out: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            texts(&path, &format!("{below}{name}/"), out);
        } else if name.ends_with(".yaml") {
            let text = std::fs::read_to_string(&path).expect("a text");
            out.insert(format!("{below}{name}"), text);
        }
    }
}

/// The scenarios that claim a gap, in the order of their files.
fn claims() -> Vec<(String, Scenario)> {
    let mut files = BTreeMap::new();
    texts(&root().join("scenarios"), "", &mut files);
    files
        .into_iter()
        .map(|(file, text)| {
            let scenario = read(&file, &text).unwrap_or_else(|found| panic!("{found}"));
            (file, scenario)
        })
        .filter(|(_, scenario)| scenario.gap.is_some())
        .collect()
}

/// Runs all scenarios at all targets; results by scenario, target, dialect and model.
async fn results(scenarios: Vec<Scenario>) -> Vec<(String, String, String, CellResult)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut files = BTreeMap::new();
    texts(&root().join("mocks"), "", &mut files);
    let data = MockData::read(&files).expect("the mocks read");
    let mock = MockServer::start("127.0.0.1:0".parse().unwrap(), data, 7)
        .await
        .expect("a free port");
    let catalog = catalog::shipped();
    let file = targets_with_gaps(catalog).expect("the targets").value;
    let columns = expand(&file, catalog, &Environment::default(), Some(&mock))
        .await
        .expect("the columns");
    let (targets, identities): (Vec<_>, Vec<_>) = columns
        .into_iter()
        .map(|column| (column.target, column.identities))
        .unzip();
    let cells = plan::cells(scenarios.len(), targets.len(), 1)
        .into_iter()
        .map(|(scenario, target, repeat)| Cell {
            scenario,
            target,
            repeat,
        })
        .collect();
    let work = Arc::new(Work {
        scenarios: scenarios
            .into_iter()
            .map(|scenario| PlannedScenario {
                scenario,
                digest: String::new(),
                origin: String::new(),
            })
            .collect(),
        targets,
        identities,
        cells,
        reference: "openai".to_owned(),
    });
    let conductor = Arc::new(Conductor {
        transport: Live::new(Limits::CHECK.connect, &[]).expect("a client"),
        catalog,
        limits: Limits::CHECK,
        keep_streams: false,
        seen: Arc::new(Seen::new(false)),
        sign_ins: Default::default(),
    });
    let (events, mut incoming) = unbounded_channel();
    let (_stop, stopped) = watch::channel(false);
    run::run(conductor, Arc::clone(&work), events, stopped).await;
    let mut all = Vec::new();
    while let Some(event) = incoming.recv().await {
        if let RunEvent::CellEnded(result) = event {
            let cell = work.cells[result.cell];
            let target = &work.targets[cell.target];
            all.push((
                work.scenarios[cell.scenario].scenario.name.clone(),
                target.name.clone(),
                target.dialect.word().to_owned(),
                *result,
            ));
        }
    }
    mock.stop().await;
    assert_eq!(all.len(), work.cells.len(), "cells were lost");
    all
}

/// The rules of the findings that weigh.
fn rules(result: &CellResult) -> BTreeSet<&str> {
    let findings = result.findings.iter();
    findings
        .filter(|judged| judged.finding.severity > Severity::Info)
        .map(|judged| judged.finding.rule.as_str())
        .collect()
}

fn told(result: &CellResult) -> String {
    let lines = result.findings.iter();
    let lines: Vec<String> = lines
        .map(|judged| format!("{}: {}", judged.finding.rule, judged.finding.message))
        .collect();
    format!("{:?} {} {lines:#?}", result.verdict, result.reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_fault_a_gap_is_not_found() {
    let claims = claims();
    assert!(claims.len() >= 40, "{} gaps", claims.len());
    let scenarios = claims.iter().map(|(_, scenario)| scenario.clone());
    let mut passed = BTreeSet::new();
    for (name, target, dialect, result) in results(scenarios.collect()).await {
        match result.verdict {
            Verdict::NotApplicable => {}
            Verdict::Pass => {
                passed.insert(name);
            }
            // The mock of a provider that is known for it shows it always, and nothing else.
            Verdict::KnownGap => {
                let claim = claims.iter().find(|(_, one)| one.name == name).unwrap();
                let gap = claim.1.gap.as_ref().unwrap();
                let wanted = gap.finding(&dialect).unwrap_or_default();
                assert_eq!(
                    rules(&result),
                    BTreeSet::from([wanted]),
                    "{name} at {target}: {}",
                    told(&result)
                );
            }
            _ => panic!("{name} at {target}: {}", told(&result)),
        }
    }
    for (file, scenario) in &claims {
        assert!(passed.contains(&scenario.name), "{file} passes nowhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_fault_a_gap_has_exactly_its_finding() {
    let claims = claims();
    let faulty = claims
        .iter()
        .filter_map(|(_, scenario)| with_fault(scenario.clone()));
    let mut shown = BTreeSet::new();
    let mut wrong = String::new();
    for (name, target, dialect, result) in results(faulty.collect()).await {
        if result.verdict == Verdict::NotApplicable {
            continue;
        }
        let (_, scenario) = claims.iter().find(|(_, one)| one.name == name).unwrap();
        let gap = scenario.gap.as_ref().unwrap();
        let wanted = gap.finding(&dialect).unwrap_or("a rule of this dialect");
        if rules(&result) != BTreeSet::from([wanted]) {
            wrong.push_str(&format!("\n{name} at {target}: {}", told(&result)));
        }
        shown.insert((name, wanted.to_owned()));
    }
    assert!(wrong.is_empty(), "{wrong}");
    // Each rule that a scenario claims was seen in some cell.
    for (file, scenario) in &claims {
        for rule in &scenario.gap.as_ref().unwrap().findings {
            let seen = shown.contains(&(scenario.name.clone(), rule.clone()));
            assert!(seen, "{file}: {rule} is shown nowhere");
        }
    }
}

#[test]
fn the_names_say_what_is_wrong_and_where_they_stand() {
    let mut faults = BTreeSet::new();
    for (file, scenario) in claims() {
        assert_eq!(file, format!("{}.yaml", scenario.name));
        let gap = scenario.gap.as_ref().unwrap();
        assert!(
            scenario.tags.iter().any(|tag| tag == "gaps"),
            "{file}: the tag is missing"
        );
        assert!(
            scenario.given.fault.is_none() || gap.findings == ["expect/code"],
            "{file} needs a fault to begin with, so no real endpoint is asked"
        );
        faults.insert(gap.fault.clone());
    }
    // No fault of a gap is without a scenario.
    let text = std::fs::read_to_string(root().join("mocks/faults/gaps.yaml")).unwrap();
    for line in text
        .lines()
        .filter_map(|line| line.strip_prefix("- name: "))
    {
        assert!(faults.contains(line), "no scenario shows {line}");
    }
}

/// One cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn document() -> String {
    let mut text = String::from(
        "# Known gaps\n\n\
         Differences between endpoints that were seen in the wild, each as a scenario under `scenarios/gaps/`. A run\n\
         of `sameturn check` looks for them like for anything else. `sameturn check --show-gaps` shows what each\n\
         one looks like: the built-in mocks misbehave in just this way, and the finding beside it appears.\n\n\
         This file is written by a test from the scenarios (`UPDATE=1 cargo test gaps`).\n\n\
         | scenario | a good endpoint | seen at | date | what it does to an agent | finding |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for (_, scenario) in claims() {
        let gap = scenario.gap.as_ref().unwrap();
        let name = scenario.name.trim_start_matches("gaps/");
        let source = match gap.source.split_whitespace().next() {
            Some(url) if url.starts_with("https://") => {
                let rest = gap.source[url.len()..].trim();
                let more = if rest.is_empty() {
                    String::new()
                } else {
                    format!(" {rest}")
                };
                format!("[{}]({url}){}", cell(&gap.seen_at.join(", ")), cell(&more))
            }
            _ => format!("{} ({})", cell(&gap.seen_at.join(", ")), cell(&gap.source)),
        };
        let findings: Vec<String> = gap.findings.iter().map(|id| format!("`{id}`")).collect();
        text.push_str(&format!(
            "| [{name}](../scenarios/{}.yaml) | {} | {source} | {} | {} | {} |\n",
            scenario.name,
            cell(&scenario.about),
            gap.date,
            cell(&gap.consequence),
            findings.join(", ")
        ));
    }
    text
}

#[test]
fn the_document_lists_them_all() {
    let path = root().join("docs/gaps.md");
    let text = document();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, text, "UPDATE=1 rewrites docs/gaps.md");
}

#[test]
fn the_program_shows_gaps_as_findings() {
    let said = Project::new()
        .run(&[
            "check",
            "--show-gaps",
            "--scenario",
            "gaps/{custom-tools-refused,service-tier-refused,usage-chunk-dropped}",
            "--format",
            "json",
        ])
        .exits(1);
    let run = said.json();
    let cells = run["cells"].as_array().unwrap();
    let verdicts = |name: &str| -> Vec<(&str, &str)> {
        cells
            .iter()
            .filter(|cell| cell["scenario"] == name)
            .map(|cell| {
                (
                    cell["target"].as_str().unwrap(),
                    cell["verdict"].as_str().unwrap(),
                )
            })
            .collect()
    };
    assert!(verdicts("gaps/custom-tools-refused").contains(&("openai", "fail")));
    let findings = run["findings"].as_array().unwrap();
    for one in findings.iter().filter(|one| one["severity"] != "info") {
        let cause = one["cause"].as_str().unwrap();
        assert!(
            cause.starts_with("A difference that was seen before"),
            "{one}"
        );
        assert!(one["fix"].as_str().unwrap().contains("http"), "{one}");
    }
    // Where a row of the catalog names it, it is told as known.
    assert!(verdicts("gaps/service-tier-refused").contains(&("mantle", "known_gap")));
    let last = said.stderr.lines().last().unwrap();
    assert!(
        last.ends_with("cells have the finding that names their gap, and no other"),
        "{last}"
    );
    let counts: Vec<&str> = last.split_whitespace().collect();
    assert_eq!(counts[1], counts[3], "{last}");
}

#[test]
fn a_scenario_without_a_gap_cannot_be_shown() {
    let said = Project::new()
        .run(&["check", "--show-gaps", "--scenario", "tools/weather"])
        .exits(2);
    assert!(said.stderr.contains("claims a gap"), "{}", said.stderr);
    Project::new()
        .run(&[
            "check",
            "--show-gaps",
            "--base-url",
            "http://127.0.0.1:1/v1",
            "--model",
            "m",
        ])
        .exits(2);
}

#[test]
fn a_claim_names_a_rule_and_a_fault_that_there_are() {
    let text = "\
name: mine/gap
about: A word.
gap:
  fault: emtpy-success
  findings: [expect/txt]
  seen_at: [somewhere]
  source: https://example.com
  date: \"2026-08\"
  consequence: Nothing is said.
turns:
  - user: ping
";
    let said = Project::new()
        .file("gap.yaml", text)
        .run(&["lint", "gap.yaml"])
        .exits(2);
    for words in [
        "no mock has a fault `emtpy-success`",
        "did you mean `empty-success`?",
        "gap.yaml:4:10",
        "there is no rule `expect/txt`",
        "gap.yaml:5:14",
    ] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
}

#[test]
fn what_is_written_in_wire_form_is_sent_as_it_is() {
    let text = "\
name: mine/probe
about: A word.
only: { dialects: [responses] }
wire_fields: { background: false, reasoning: { effort: low } }
wire_headers: { X-Probe: wanted }
turns:
  - wire_items: [ { type: compaction_trigger } ]
    user: ping
";
    let stub = Stub::events(&sse(&pong_events()));
    let project = Project::new().file("probe.yaml", text);
    project
        .run(&[
            "check",
            "probe.yaml",
            "--base-url",
            &stub.base_url,
            "--model",
            "m",
        ])
        .exits(0);
    let requests = stub.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("x-probe: wanted"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["background"], false);
    assert_eq!(body["reasoning"]["effort"], "low");
    assert_eq!(body["input"][0]["type"], "compaction_trigger");
    assert_eq!(body["input"][1]["role"], "user");
}
