//! Scenario and target files as users write them, good and hostile, and the library that ships.

use std::path::Path;

use proptest::prelude::*;
use sameturn::catalog::{Catalog, shipped};
use sameturn::document::MAX_BYTES;
use sameturn::json_schema::Schema;
use sameturn::scenario::library::scenarios;
use sameturn::scenario::lint::{Sourced, check_set};
use sameturn::scenario::model::Scenario;
use sameturn::{scenario, target};

use crate::diagnostics::{HEAD, TOOL, check_snapshot, tell_scenario, tell_target};

/// A small catalog, so that tests of messages do not follow the data that ships.
pub(crate) fn catalog() -> Catalog {
    let classes = [
        "access_denied",
        "clock_skew",
        "model_not_found",
        "wrong_route",
        "invalid_credentials",
        "credentials_expired",
        "no_credentials",
        "no_region",
        "throttled",
        "overloaded",
        "context_overflow",
        "unsupported_tool",
        "invalid_request",
        "server_error",
        "bad_response",
        "clock_skew",
        "connection_refused",
        "content_filtered",
        "invalid_request",
        "no_response",
        "quota_exhausted",
        "region_not_served",
        "response_not_found",
        "stream_truncated",
        "timed_out",
        "unreachable",
        "unsupported_parameter",
        "connection_dropped",
        "stalled",
    ];
    let failures: String = classes
        .iter()
        .map(|id| format!("- {{ id: {id}, about: a, cause: c, fix: f }}\n"))
        .collect();
    Catalog::read(
        "
- { id: openai, about: a, origin: 'https://api.openai.com', dialects: { responses: /responses }, auth: [none], source: s, date: d }
- { id: azure-openai, about: a, endpoint_is_origin: true, dialects: { responses: /responses, chat: /chat/completions }, auth: [none], source: s, date: d }
- { id: bedrock-mantle, about: a, origin: 'https://bedrock-mantle.{region}.api.aws', dialects: { responses: /responses }, regions: [us-east-1, us-east-2, us-west-2], auth: [none], project: { header: openai-project, accepts: [default, 'proj_*'], source: s }, source: s, date: d }
- { id: bedrock-runtime, about: a, origin: 'https://bedrock-runtime.{region}.amazonaws.com', dialects: { converse: '{origin}/model/{model}/converse{-stream}' }, regions: [us-east-1], auth: [none], fips_origin: 'https://bedrock-runtime-fips.{region}.amazonaws.com', partitions: [{ regions: ['cn-*'], origin: 'https://bedrock-runtime.{region}.amazonaws.com.cn', source: s }], source: s, date: d }
- { id: bedrock-agentcore, about: a, origin: 'https://bedrock-agentcore.{region}.amazonaws.com', dialects: { agentcore: '{origin}/runtimes/{model}/invocations?qualifier={qualifier}' }, regions: [us-east-1], auth: [none], source: s, date: d }
- { id: openai-compatible, about: a, dialects: { responses: /responses, chat: /chat/completions }, auth: [none], source: s, date: d }
",
        "
- { provider: bedrock-mantle, id: 'openai.gpt-5*', regions: [us-east-1, us-east-2], source: s, date: 2026-08-19 }
",
        &format!("classes:\n{failures}patterns: []\n"),
        "[]",
    )
    .unwrap()
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let told = tell_target(
        "targets: { a: { provider: openai, model: m, auth: { bearer_env: sk-very-secret } } }\n",
    );
    assert!(
        told.contains("bearer_env") && !told.contains("secret-"),
        "{told}"
    );
    assert!(!told.contains("sk-very"), "{told}");
}

#[test]
fn big_files_and_other_encodings_are_refused_in_words() {
    let big = vec![b'#'; 50 * 1024 * 1024];
    let tell = |bytes: &[u8]| {
        scenario::read::read_bytes("f.yaml", bytes)
            .unwrap_err()
            .to_string()
    };
    assert!(
        tell(&big)
            .starts_with("error: the file has 52428800 bytes; at most 4194304 are read (4 MiB)\n")
    );
    assert!(scenario::read::read_bytes("f.yaml", &vec![b' '; MAX_BYTES]).is_err());
    check_snapshot("form-not-utf8.txt", &tell(b"name: a\nabout: caf\xe9\n")).unwrap();
    check_snapshot("form-utf16.txt", &tell(b"\xff\xfen\0a\0")).unwrap();
}

/// None of these may take long or much memory: each stops at a limit.
#[test]
fn files_made_to_hurt_are_refused_at_once() {
    let fill = |part: &str| part.repeat(MAX_BYTES / part.len());
    let calls: String = (0..4000).map(|n| format!("{{ name: t{n} }}, ")).collect();
    let cases = [
        fill("- a\n"),
        fill("["),
        fill("{a: "),
        fill("? "),
        fill("- "),
        fill("&a "),
        fill("\""),
        format!("name: {}", fill("x "))
            .chars()
            .take(MAX_BYTES)
            .collect(),
        format!("{}: 1", "k".repeat(MAX_BYTES - 10)),
        fill("\u{202e}"),
        format!("{HEAD}turns: [ {{ user: a, expect: {{ calls: [ {calls} ] }} }} ]\n"),
    ];
    for text in &cases {
        let told = tell_scenario(text);
        assert!(told.starts_with("error: "), "{told}");
        assert!(told.len() < 100_000, "{} bytes of messages", told.len());
    }
    // Without limits this would not come to an end.
}

#[test]
fn words_that_yaml_1_1_took_for_booleans_stay_text() {
    let text = format!(
        "{TOOL}turns:\n  - user: no\n  - results: {{ get_weather: {{ country: NO, on: y, n: 1, answer: yes, time: 12:30 }} }}\n"
    );
    let scenario = scenario::read::read("f", &text).unwrap();
    assert_eq!(scenario.turns[0].user.as_deref(), Some("no"));
    assert_eq!(
        scenario.turns[1].results["get_weather"].to_string(),
        r#"{"country":"NO","on":"y","n":1,"answer":"yes","time":"12:30"}"#
    );
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine() {
    let text = format!("\u{feff}{HEAD}turns: [ {{ user: hi }} ]\n").replace('\n', "\r\n");
    assert!(scenario::read::read("f", &text).is_ok());
    let broken = text.replace("about", "abot");
    let told = scenario::read::read("f", &broken).unwrap_err().to_string();
    assert!(told.contains("--> f:2:1\n"), "{told}");
}

#[test]
fn aliases_may_save_writing() {
    let text = format!(
        "{TOOL}  again:\n    description: e\n    parameters: &p {{ type: object }}\n  third: {{ description: f, parameters: *p }}\nturns: [ {{ user: hi }} ]\n"
    );
    let scenario = scenario::read::read("f", &text).unwrap();
    assert_eq!(
        scenario.tools["third"].parameters,
        scenario.tools["again"].parameters
    );
}

fn library() -> Vec<(&'static str, &'static str, Scenario)> {
    let catalog = shipped();
    scenarios()
        .into_iter()
        .map(|(path, text)| {
            let read = scenario::read::read_checked(path, text.as_bytes(), catalog);
            let (scenario, warnings) = read.unwrap_or_else(|found| panic!("{found}"));
            assert!(warnings.is_empty(), "{warnings}");
            (path, text, scenario)
        })
        .collect()
}

#[test]
fn the_library_that_ships_lints_clean() {
    let library = library();
    assert!(library.len() >= 24, "{} scenarios", library.len());
    let set: Vec<Sourced<'_>> = library
        .iter()
        .map(|(file, text, scenario)| Sourced {
            file,
            text,
            scenario,
        })
        .collect();
    let found = check_set(&set);
    assert!(found.is_empty(), "{found}");
    for (path, _, scenario) in &library {
        assert_eq!(*path, format!("{}.yaml", scenario.name));
        assert!(
            scenario.about.ends_with('.') && !scenario.tags.is_empty(),
            "{path}"
        );
        if let Some(script) = &scenario.given.script {
            let script =
                Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("mocks/scripts/{script}.yaml"));
            assert!(script.is_file(), "{path} names {}", script.display());
        }
    }
}

#[test]
fn the_library_names_only_what_the_shipped_catalog_knows() {
    for (path, text) in scenarios() {
        let read =
            scenario::read::read_checked(path, text.as_bytes(), sameturn::catalog::shipped());
        let (_, warnings) = read.unwrap_or_else(|found| panic!("{found}"));
        assert!(warnings.is_empty(), "{warnings}");
    }
}

#[test]
fn every_script_is_named_by_a_scenario() {
    let library = library();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mocks/scripts");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str();
        let named = library
            .iter()
            .any(|(_, _, one)| one.given.script.as_deref() == stem);
        assert!(named, "nobody names {}", path.display());
    }
}

#[test]
fn a_name_that_is_taken_is_said_where_it_stands() {
    let text = format!("{HEAD}turns: [ {{ user: hi }} ]\n");
    let scenario = scenario::read::read("one.yaml", &text).unwrap();
    let one = |file| Sourced {
        file,
        text: &text,
        scenario: &scenario,
    };
    let told = check_set(&[one("one.yaml"), one("two.yaml")]).to_string();
    check_snapshot("set-duplicate-name.txt", &told).unwrap();
}

/// YAML to JSON by the same parser, without the types.
fn as_json(text: &str) -> serde_json::Value {
    sameturn::document::Document::parse("f", text, "a file")
        .and_then(|document| document.typed("a file"))
        .unwrap()
}

#[test]
fn the_schema_accepts_every_shipped_scenario_and_refuses_mistakes() {
    let schema = Schema::compile(&scenario::schema::schema()).unwrap();
    for (path, text) in scenarios() {
        schema
            .check(&as_json(text))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    for broken in [
        "about: b\nturns: []\n",
        "name: a\nabout: b\nturns: [ { user: hi, expects: {} } ]\n",
        "name: a\nabout: b\nturns: [ { user: hi, expect: { stop: ended } } ]\n",
    ] {
        assert!(schema.check(&as_json(broken)).is_err(), "{broken}");
    }
    let schema = Schema::compile(&target::schema::schema()).unwrap();
    let good = "targets: { a: { provider: openai, model: m, auth: { bearer_env: K } }, b: { provider: openai, model: m, auth: none } }";
    assert_eq!(schema.check(&as_json(good)), Ok(()));
    assert!(
        schema
            .check(&as_json("targets: { a: { provider: openai } }"))
            .is_err()
    );
}

#[test]
fn the_examples_of_the_documentation_are_right() {
    let docs = include_str!("../../docs/scenarios.md");
    let mut seen = (0, 0);
    for block in docs.split("```yaml\n").skip(1) {
        let text = block.split("```").next().unwrap();
        if text.contains("\nturns:") {
            assert_eq!(tell_scenario(text), "nothing to say\n");
            seen.0 += 1;
        } else if text.contains("\ntargets:") {
            assert_eq!(tell_target(text), "nothing to say\n");
            seen.1 += 1;
        }
    }
    assert!(seen.0 >= 2 && seen.1 >= 1, "{seen:?}");
}

fn mutated(text: &str, edits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    const BITS: [&[u8]; 16] = [
        b"\n",
        b"\t",
        b"  ",
        b": ",
        b"- ",
        b"[",
        b"]",
        b"{",
        b"}",
        b"&a ",
        b"*a",
        b"'",
        b"\"",
        b"|\n",
        b"\xff",
        b"\xe2\x80\xae",
    ];
    for (at, what, bit) in edits {
        let at = at % (bytes.len() + 1);
        match what % 3 {
            0 if at < bytes.len() => {
                bytes.remove(at);
            }
            1 if at < bytes.len() => bytes.truncate(bytes.len() - (bytes.len() - at) / 16),
            _ => {
                let bit = BITS[*bit as usize % BITS.len()];
                bytes.splice(at..at, bit.iter().copied());
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_of_a_good_file_panics(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..12),
    ) {
        let all = scenarios();
        let (_, text) = all[which.index(all.len())];
        let bytes = mutated(text, &edits);
        if let Err(found) = scenario::read::read_checked("f.yaml", &bytes, &catalog()) {
            prop_assert!(!found.to_string().is_empty());
            for one in &found.0 {
                prop_assert!(one.line >= 1 && one.column >= 1);
            }
        }
        if let Err(found) = target::read::read_checked("f.yaml", &bytes, &catalog()) {
            prop_assert!(!found.to_string().is_empty());
        }
    }

    #[test]
    fn no_text_at_all_panics(text in "[\\PC\n\t:\\-\\[\\]{}&*#'\"|>%@`!]{0,200}") {
        if let Err(found) = scenario::read::read("f.yaml", &text) {
            prop_assert!(!found.to_string().is_empty());
        }
    }
}
