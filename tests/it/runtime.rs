//! Bedrock Runtime as users meet it: the whole library over each of its wire APIs, guardrails, and
//! frames that are broken on their way.

use std::sync::Arc;

use sameturn::auth::environment::Environment;
use sameturn::auth::seen::Seen;
use sameturn::catalog;
use sameturn::check::finding::Severity;
use sameturn::cli::targets::expand;
use sameturn::conduct::cell::Conductor;
use sameturn::conduct::run::{Work, run};
use sameturn::mock::data::MockData;
use sameturn::mock::server::MockServer;
use sameturn::plan::{PlannedScenario, cells};
use sameturn::report::event::{Cell, RunEvent, Verdict};
use sameturn::scenario::library;
use sameturn::target::read::read;
use sameturn::transport::Limits;
use sameturn::transport::live::Live;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::program::Project;

const GUARDRAIL: &str = r#"guardrail: { id: sameturnguard, version: "1", trace: enabled }"#;

async fn start() -> MockServer {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let data = MockData::shipped().expect("the shipped data");
    let bind = "127.0.0.1:0".parse().expect("an address");
    MockServer::start(bind, data, 7).await.expect("a free port")
}

/// The cells of the whole library that are neither as expected, nor a known gap, nor not applicable.
async fn wrong_cells(targets: &str) -> (Vec<String>, usize, Vec<String>) {
    let server = start().await;
    let file = read("targets.yaml", targets).unwrap_or_else(|told| panic!("{told}"));
    let catalog = catalog::shipped();
    let environment = Environment::default();
    let columns = expand(&file, catalog, &environment, Some(&server))
        .await
        .expect("columns");
    let scenarios: Vec<PlannedScenario> = library::scenarios()
        .into_iter()
        .map(|(file, text)| PlannedScenario {
            scenario: sameturn::scenario::read::read(file, text).expect("a scenario"),
            digest: String::new(),
            origin: "built in".to_owned(),
        })
        .collect();
    let cells: Vec<Cell> = cells(scenarios.len(), columns.len(), 1)
        .into_iter()
        .map(|(scenario, target, repeat)| Cell {
            scenario,
            target,
            repeat,
        })
        .collect();
    let (targets, identities) = columns
        .into_iter()
        .map(|column| (column.target, column.identities))
        .unzip();
    let work = Arc::new(Work {
        scenarios,
        targets,
        identities,
        cells,
        reference: file.targets.keys().next().expect("a target").clone(),
    });
    let conductor = Arc::new(Conductor {
        transport: Live::new(Limits::CHECK.connect, &[]).expect("a client"),
        catalog,
        limits: Limits::CHECK,
        keep_streams: false,
        seen: Arc::new(Seen::new(false)),
        sign_ins: Default::default(),
    });
    let (events, mut incoming) = mpsc::unbounded_channel();
    let (_stop, stopped) = watch::channel(false);
    run(conductor, Arc::clone(&work), events, stopped).await;
    let (mut wrong, mut passed, mut guarded) = (Vec::new(), 0, Vec::new());
    let name = |cell: usize| {
        let cell = work.cells[cell];
        let scenario = &work.scenarios[cell.scenario].scenario.name;
        format!("{scenario} at {}", work.targets[cell.target].name)
    };
    while let Some(event) = incoming.recv().await {
        match event {
            RunEvent::CellEnded(result) => {
                let name = name(result.cell);
                if name.starts_with("failures/guardrail-intervened") {
                    guarded.push(format!("{name}: {:?}", result.verdict));
                }
                match result.verdict {
                    Verdict::Pass | Verdict::KnownGap => passed += 1,
                    Verdict::NotApplicable => assert!(!result.reason.is_empty(), "{name}"),
                    _ => wrong.push(format!("{name}: {result:?}")),
                }
            }
            RunEvent::Ended { findings, .. } => wrong.extend(
                findings
                    .iter()
                    .filter(|placed| {
                        placed.judged.gap.is_none()
                            && placed.judged.finding.severity > Severity::Info
                    })
                    .map(|placed| format!("{}: {:?}", name(placed.cell), placed.judged)),
            ),
            _ => {}
        }
    }
    (wrong, passed, guarded)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library_holds_at_every_wire_api() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012";
    let rows = [
        format!("chat: {{ dialect: chat, model: \"openai.gpt-oss-120b-1:0\", {GUARDRAIL}"),
        "chat-gpt: { dialect: chat, model: us.openai.gpt-5.6-sol".to_owned(),
        format!("invoke: {{ dialect: invoke, model: \"openai.gpt-oss-20b-1:0\", {GUARDRAIL}"),
        format!("converse: {{ dialect: converse, model: \"openai.gpt-oss-20b-1:0\", {GUARDRAIL}"),
        format!(
            "profile: {{ dialect: converse, model: \"{arn}:inference-profile/us.openai.gpt-5.6-sol\""
        ),
        format!(
            "application: {{ dialect: invoke, model: \"{arn}:application-inference-profile/sameturnoss1\""
        ),
        "responses: { dialect: responses, model: global.openai.gpt-5.6-sol".to_owned(),
    ];
    let mut file = "targets:\n".to_owned();
    for row in rows {
        file.push_str(&format!(
            "  {row}, provider: bedrock-runtime, regions: [us-east-1] }}\n"
        ));
    }
    file.push_str(&format!(
        "  mantle: {{ dialect: chat, model: openai.gpt-5.5, {GUARDRAIL}, provider: bedrock-mantle, regions: [us-east-1] }}\n"
    ));
    let (wrong, passed, guarded) = wrong_cells(&file).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passed > 200, "{passed}");
    for expected in [
        "chat: Pass",
        "invoke: Pass",
        "converse: Pass",
        "mantle: KnownGap",
        "responses: NotApplicable",
    ] {
        let there = guarded
            .iter()
            .any(|one| one.ends_with(&format!(" at {expected}")));
        assert!(there, "{expected} is not in {guarded:?}");
    }
}

/// Runs one scenario against the mock at this path, as a user with a target file does.
async fn check(server: &MockServer, fault: &str, dialect: &str, model: &str) -> Value {
    let endpoint = format!(
        "http://{}/fault/{fault}/bedrock-runtime/us-east-1",
        server.address()
    );
    let targets = format!(
        "targets: {{ broken: {{ provider: bedrock-runtime, dialect: {dialect}, model: \"{model}\", \
         regions: [us-east-1], endpoint: \"{endpoint}\", auth: {{ bearer_env: KEY }} }} }}\n"
    );
    let project = Project::new()
        .file("sameturn.yaml", &targets)
        .file(
            "hello.yaml",
            "name: mine/hello\nabout: A word.\nturns: [ { user: Say something longer than a word. } ]\n",
        )
        .variable("KEY", "sameturn-mock-bearer-default");
    tokio::task::spawn_blocking(move || {
        project
            .run(&["check", "--format", "json", "hello.yaml"])
            .exits(1)
            .json()
    })
    .await
    .expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_broken_on_their_way_are_findings() {
    let server = start().await;
    for (dialect, model) in [
        ("converse", "us.openai.gpt-5.6-sol"),
        ("invoke", "openai.gpt-oss-20b-1:0"),
    ] {
        for (fault, class, rule) in [
            ("message-crc", "bad_response", "event-stream/crc"),
            (
                "truncated-mid-frame",
                "stream_truncated",
                "event-stream/truncated",
            ),
        ] {
            let run = check(&server, &format!("{dialect}-{fault}"), dialect, model).await;
            assert_eq!(
                run["cells"][0]["failure"], class,
                "{dialect} {fault}: {run}"
            );
            let findings = run["findings"].as_array().expect("findings");
            let mut rules: Vec<&str> = findings
                .iter()
                .filter_map(|one| one["rule"].as_str())
                .collect();
            rules.sort_unstable();
            assert_eq!(rules, [rule, "expect/failure"], "{dialect} {fault}");
        }
    }
}

#[test]
fn a_guardrail_that_cannot_be_is_refused_and_one_that_does_nothing_is_named() {
    let file = |dialect: &str, id: &str, version: &str| {
        format!(
            "targets:\n  t:\n    provider: bedrock-runtime\n    dialect: {dialect}\n    model: us.openai.gpt-5.6-sol\n    \
             regions: [us-east-1]\n    guardrail: {{ id: {id}, version: {version} }}\n"
        )
    };
    for (id, version, words) in [
        (
            "My-Guardrail",
            "\"1\"",
            "`My-Guardrail` is not a guardrail's id or ARN",
        ),
        ("gr1", "\"01\"", "`01` is not a guardrail's version"),
        ("gr1", "latest", "`latest` is not a guardrail's version"),
    ] {
        let project = Project::new().file("sameturn.yaml", &file("converse", id, version));
        let said = project.run(&["check"]).exits(2);
        assert!(said.stderr.contains(words), "{}", said.stderr);
    }
    let project = Project::new().file("sameturn.yaml", &file("responses", "gr1", "DRAFT"));
    // Nothing was determined, and that is no pass.
    let said = project.run(&["check", "--scenario", "text/plain"]).exits(3);
    assert!(
        said.stderr.contains("does not apply guardrails"),
        "{}",
        said.stderr
    );
}
