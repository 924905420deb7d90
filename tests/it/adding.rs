//! A provider, a region, a model, a failure, a gap and a scenario are added by data alone: the examples of
//! `docs/adding.md` are added to the texts of the data files, and the library runs over what they make.

use std::collections::BTreeMap;
use std::sync::Arc;

use sameturn::auth::environment::Environment;
use sameturn::auth::seen::Seen;
use sameturn::catalog::Catalog;
use sameturn::cli::targets::expand;
use sameturn::conduct::cell::Conductor;
use sameturn::conduct::run::{self, Work};
use sameturn::mock::data::MockData;
use sameturn::mock::server::MockServer;
use sameturn::plan::{self, PlannedScenario};
use sameturn::report::event::{Cell, RunEvent, Verdict};
use sameturn::scenario;
use sameturn::target;
use sameturn::transport::Limits;
use sameturn::transport::live::Live;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use crate::gaps::{root, texts};

type Files = BTreeMap<String, String>;

const PROVIDERS: &str = "src/catalog/data/providers.yaml";
const MODELS: &str = "src/catalog/data/models.yaml";
const FAILURES: &str = "src/catalog/data/failures.yaml";
const GAPS: &str = "src/catalog/data/gaps.yaml";

/// The data files of the project by their path.
fn shipped() -> Files {
    let mut files = Files::new();
    for folder in ["mocks", "scenarios", "src/catalog/data"] {
        texts(&root().join(folder), &format!("{folder}/"), &mut files);
    }
    files
}

fn catalog(files: &Files) -> Result<Catalog, String> {
    Catalog::read(
        &files[PROVIDERS],
        &files[MODELS],
        &files[FAILURES],
        &files[GAPS],
    )
}

fn mocks(files: &Files) -> Result<MockData, String> {
    let below = files
        .iter()
        .filter_map(|(path, text)| Some((path.strip_prefix("mocks/")?.to_owned(), text.clone())));
    MockData::read(&below.collect())
}

/// Adds an example to the files, as its first line says.
fn add(files: &mut Files, example: &str) {
    let (order, rows) = example.split_once('\n').expect("an order and rows");
    if let Some(path) = order.strip_prefix("# add to ") {
        files.get_mut(path).expect(path).push_str(rows);
    } else if let Some(path) = order.strip_prefix("# new file ") {
        assert!(
            files.insert(path.to_owned(), rows.to_owned()).is_none(),
            "{path}"
        );
    } else if let Some(rest) = order.strip_prefix("# copy ") {
        let (from, to) = rest.split_once(" to ").expect(order);
        let to = to.strip_suffix(" and add").expect(order);
        files.insert(to.to_owned(), format!("{}{rows}", files[from]));
    } else if let Some(rest) = order.strip_prefix("# insert into ") {
        let words: Vec<&str> = rest.splitn(3, ' ').collect();
        let line = format!("{}\n", words[2].trim_matches('"'));
        let text = files.get_mut(words[0]).expect(order);
        let at = text.find(&line).expect(order);
        let at = if words[1] == "after" {
            at + line.len()
        } else {
            at
        };
        text.insert_str(at, rows);
    } else {
        panic!("no order: {order}");
    }
}

/// The examples of the page.
fn examples() -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/adding.md")).expect("the page");
    let blocks = page.split("```yaml\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

fn with_examples() -> Files {
    let mut files = shipped();
    for example in examples() {
        add(&mut files, &example);
    }
    files
}

const TARGETS: &str = r#"
reference: openai
targets:
  openai: { provider: openai, model: gpt-5.5 }
  gate: { provider: gatehouse, model: gate-1, regions: [north-1] }
  gate-chat: { provider: gatehouse, model: gate-chat, regions: [south-1] }
  west: { provider: bedrock-mantle, model: openai.gpt-9-sol, regions: [us-west-1] }
"#;

/// Scenario, target and verdict of each cell of these themes, with what was found.
async fn outcomes(files: &Files, themes: &[&str]) -> Vec<(String, String, Verdict, String)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let catalog: &'static Catalog = Box::leak(Box::new(catalog(files).expect("the catalog")));
    let data = mocks(files).expect("the mocks");
    let mock = MockServer::start("127.0.0.1:0".parse().unwrap(), data, 7)
        .await
        .expect("a free port");
    let file =
        target::read::read("targets.yaml", TARGETS).unwrap_or_else(|found| panic!("{found}"));
    let columns = expand(&file, catalog, &Environment::default(), Some(&mock))
        .await
        .expect("the columns");
    let (targets, identities): (Vec<_>, Vec<_>) = columns
        .into_iter()
        .map(|column| (column.target, column.identities))
        .unzip();
    let scenarios: Vec<_> = files
        .iter()
        .filter(|(path, _)| {
            themes
                .iter()
                .any(|theme| path.starts_with(&format!("scenarios/{theme}")))
        })
        .map(|(path, text)| PlannedScenario {
            scenario: scenario::read::read(path, text).unwrap_or_else(|found| panic!("{found}")),
            digest: String::new(),
            origin: String::new(),
        })
        .collect();
    let cells = plan::cells(scenarios.len(), targets.len(), 1)
        .into_iter()
        .map(|(scenario, target, repeat)| Cell {
            scenario,
            target,
            repeat,
        })
        .collect();
    let work = Arc::new(Work {
        scenarios,
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
            all.push((
                work.scenarios[cell.scenario].scenario.name.clone(),
                work.targets[cell.target].name.clone(),
                result.verdict,
                format!("{:?} {:?}", result.reason, result.findings),
            ));
        }
    }
    mock.stop().await;
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_page_run_by_data_alone() {
    let files = with_examples();
    let all = outcomes(&files, &["failures/", "text/", "tools/"]).await;
    for (scenario, target, verdict, found) in &all {
        assert!(
            matches!(
                verdict,
                Verdict::Pass | Verdict::NotApplicable | Verdict::KnownGap
            ),
            "{scenario} at {target}: {verdict:?}: {found}"
        );
    }
    let verdict = |scenario: &str, target: &str| {
        let mut found = all
            .iter()
            .filter(|one| one.0 == scenario && one.1 == target);
        found.next().map(|one| one.2)
    };
    // The failures that were there before reach the new provider, and the new one reaches it alone.
    for scenario in [
        "failures/gate-closed",
        "failures/throttled",
        "failures/invalid-key",
        "failures/access-denied",
        "failures/html-502",
        "tools/weather",
    ] {
        assert_eq!(verdict(scenario, "gate"), Some(Verdict::Pass), "{scenario}");
    }
    assert_eq!(
        verdict("failures/gate-closed", "west"),
        Some(Verdict::NotApplicable)
    );
    assert_eq!(
        verdict("failures/expired-key", "gate"),
        Some(Verdict::NotApplicable)
    );
    assert_eq!(verdict("tools/custom", "gate"), Some(Verdict::KnownGap));
    assert_eq!(verdict("tools/weather", "west"), Some(Verdict::Pass));
    assert_eq!(verdict("tools/weather", "gate-chat"), Some(Verdict::Pass));
}

#[test]
fn a_mistake_in_the_data_is_told_with_its_place() {
    let broken = |path: &str, from: &str, to: &str| {
        let mut files = with_examples();
        let text = files.get_mut(path).expect(path);
        assert!(text.contains(from), "{from} is not in {path}");
        *text = text.replacen(from, to, 1);
        match (catalog(&files), mocks(&files)) {
            (Err(error), _) | (_, Err(error)) => error,
            _ => panic!("{path}: nobody minds {to}"),
        }
    };
    let told = |path: &str, from: &str, to: &str, words: &[&str]| {
        let error = broken(path, from, to);
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    };
    told(
        PROVIDERS,
        "absent_model:",
        "absent_modle:",
        &["providers.yaml", "absent_modle", "line", "column"],
    );
    told(
        PROVIDERS,
        "- id: gatehouse",
        "- id: openai",
        &["providers.yaml", "a second row `openai`"],
    );
    told(
        PROVIDERS,
        "  regions: [north-1, south-1]\n",
        "",
        &["providers.yaml", "gatehouse", "regions"],
    );
    told(
        MODELS,
        "provider: gatehouse",
        "provider: gatehose",
        &["models.yaml", "gatehose", "gatehouse"],
    );
    told(
        MODELS,
        "dialects: [chat]\n  source: an example",
        "dialects: [chatter]\n  source: an example",
        &["models.yaml", "gate-chat*", "chatter"],
    );
    told(
        FAILURES,
        "class: gate_closed",
        "class: gate_open",
        &["failures.yaml", "gate_open"],
    );
    told(
        GAPS,
        "  rule: expect/failure",
        "  rul: expect/failure",
        &["gaps.yaml", "rul", "line"],
    );
    told(
        "mocks/gatehouse/models.yaml",
        "base_path: /api/v1",
        "base_path: /api/v2",
        &["gatehouse/models.yaml", "base path"],
    );
    told(
        "mocks/gatehouse/models.yaml",
        "regions: [south-1]",
        "regions: [south-2]",
        &["gatehouse/models.yaml", "south-2"],
    );
    told(
        "mocks/gatehouse/models.yaml",
        "    reasoning: true\n",
        "    reasoning: true\n    invoke: true\n    invok: 1\n",
        &["gatehouse/models.yaml", "invok", "line"],
    );
    told(
        "mocks/gatehouse/errors.yaml",
        "- id: invalid-key",
        "- id: invalid-kee",
        &["gatehouse/errors.yaml", "invalid-key", "key_header"],
    );
    told(
        "mocks/gatehouse/provider.yaml",
        "signing_names: []",
        "signing_names: [gate]",
        &["gatehouse/errors.yaml", "unknown-key", "signing_names"],
    );
}
