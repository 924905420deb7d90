//! Scenario and target files as users write them: every mistake has its sentence and its place.
//!
//! The expected messages are files in `tests/it/diagnostics`; `UPDATE=1` rewrites them.

use std::path::Path;

use proptest::prelude::*;
use sameturn::catalog::Catalog;
use sameturn::document::MAX_BYTES;
use sameturn::json_schema::Schema;
use sameturn::scenario::library::scenarios;
use sameturn::scenario::lint::{Sourced, check_set};
use sameturn::scenario::model::Scenario;
use sameturn::{scenario, target};

/// A catalog with what the shipped scenarios name, so that these tests do not follow its data.
fn catalog() -> Catalog {
    let classes = [
        "access_denied",
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
        "server_error",
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
- { id: bedrock-mantle, about: a, origin: 'https://bedrock-mantle.{region}.api.aws', dialects: { responses: /responses }, regions: [us-east-1, us-east-2, us-west-2], auth: [none], source: s, date: d }
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

/// What a user is told about a scenario file, or that it is fine.
fn tell_scenario(text: &str) -> String {
    match scenario::read::read_checked("broken.yaml", text.as_bytes(), &catalog()) {
        Ok((_, warnings)) if warnings.is_empty() => "nothing to say\n".to_string(),
        Ok((_, found)) | Err(found) => found.to_string(),
    }
}

fn tell_target(text: &str) -> String {
    match target::read::read_checked("sameturn.yaml", text.as_bytes(), &catalog()) {
        Ok((_, warnings)) if warnings.is_empty() => "nothing to say\n".to_string(),
        Ok((_, found)) | Err(found) => found.to_string(),
    }
}

/// Compares with a file, or rewrites it.
fn check_snapshot(name: &str, got: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/diagnostics")
        .join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, got).unwrap();
        return Ok(());
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected == got {
        return Ok(());
    }
    Err(format!("{name}:\n--- expected\n{expected}\n--- got\n{got}"))
}

fn check_all(prefix: &str, cases: &[(&str, &str)], tell: fn(&str) -> String) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(name, text)| {
            let name = format!("{prefix}-{name}.txt");
            check_snapshot(&name, &tell(text)).err()
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{}\n(UPDATE=1 rewrites them)",
        wrong.join("\n")
    );
}

/// A good head, to which each case adds its mistake.
const HEAD: &str = "name: a/b\nabout: c\n";
const TOOL: &str = "name: a/b
about: c
tools:
  get_weather:
    description: d
    parameters: { type: object, properties: { city: { type: string } }, required: [city], additionalProperties: false }
    strict: true
";

#[test]
fn mistakes_in_the_form_of_a_scenario() {
    let with = |rest: &str| format!("{HEAD}{rest}");
    let bomb = {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_string();
        for n in 1..9 {
            let one = format!("*a{}", n - 1);
            text += &format!("a{n}: &a{n} [{}]\n", [one.as_str(); 9].join(", "));
        }
        text
    };
    let deep = format!("a: {}", "[".repeat(20_000));
    let deep_block: String = (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    let long_line = format!(
        "{HEAD}turns: [ {{ user: '{}', expct: {{}} }} ]",
        "x".repeat(300)
    );
    let cases: Vec<(&str, String)> = vec![
        (
            "unknown-key",
            with("turns:\n  - user: hi\n    expects: { stop: end }\n"),
        ),
        ("unknown-key-root", with("turn: []\n")),
        ("unknown-key-far", with("zebra: 1\nturns: []\n")),
        (
            "unknown-key-nested",
            with("turns:\n  - user: hi\n    expect: { usage: { inputs: { min: 1 } } }\n"),
        ),
        (
            "unknown-key-tool",
            format!("{HEAD}tools:\n  t:\n    desc: d\n"),
        ),
        (
            "missing-name",
            "about: c\nturns: [ { user: hi } ]\n".to_string(),
        ),
        ("missing-turns", HEAD.to_string()),
        (
            "missing-description",
            format!("{HEAD}tools:\n  t: {{ custom: true }}\nturns: [ {{ user: hi }} ]\n"),
        ),
        (
            "number-for-text",
            with("turns:\n  - user: hi\n    expect: { text: { contains: 11 } }\n"),
        ),
        ("bool-for-text", with("turns: [ { user: true } ]\n")),
        (
            "text-for-bool",
            with("stream: no\nturns: [ { user: hi } ]\n"),
        ),
        (
            "text-for-number",
            with("settings: { max_output_tokens: many }\nturns: [ { user: hi } ]\n"),
        ),
        (
            "negative-number",
            with("settings: { max_output_tokens: -1 }\nturns: [ { user: hi } ]\n"),
        ),
        (
            "text-for-list",
            with("tags: smoke\nturns: [ { user: hi } ]\n"),
        ),
        ("map-for-list", with("turns:\n  user: hi\n")),
        ("text-for-mapping", with("turns: [ hi ]\n")),
        ("nothing-for-list", with("turns:\n")),
        ("list-at-root", "- a\n- b\n".to_string()),
        (
            "bad-word",
            with("turns: [ { user: hi, expect: { stop: ended } } ]\n"),
        ),
        (
            "bad-word-far",
            with("given: { credentials: yesterday }\nturns: [ { user: hi } ]\n"),
        ),
        (
            "bad-matcher",
            with("turns: [ { user: hi, expect: { text: pong } } ]\n"),
        ),
        (
            "two-matchers",
            with("turns: [ { user: hi, expect: { text: { contains: a, matches: b } } } ]\n"),
        ),
        (
            "word-without-value",
            with("settings: { tool_choice: tool }\nturns: [ { user: hi } ]\n"),
        ),
        (
            "word-with-value",
            with("settings: { tool_choice: { auto: x } }\nturns: [ { user: hi } ]\n"),
        ),
        (
            "bad-duration",
            with("limits: { idle: 1 hour }\nturns: [ { user: hi } ]\n"),
        ),
        ("duplicate-key", with("name: again\nturns: []\n")),
        (
            "duplicate-key-nested",
            with("turns:\n  - user: hi\n    user: ho\n"),
        ),
        ("tab", with("turns:\n\t- user: hi\n")),
        (
            "two-documents",
            with("turns: [ { user: hi } ]\n---\nname: b\n"),
        ),
        ("empty", String::new()),
        ("only-comment", "# nothing here\n".to_string()),
        ("unclosed-bracket", with("turns: [ { user: hi }\n")),
        ("unclosed-quote", with("turns: [ { user: \"hi } ]\n")),
        ("colon-in-text", with("turns:\n  - user: say: hi\n")),
        ("bad-indent", with("turns:\n  - user: hi\n   expect: {}\n")),
        ("alias-bomb", bomb),
        ("alias-unknown", with("turns: *nowhere\n")),
        ("alias-cycle", with("turns: &a [ *a ]\n")),
        (
            "merge-key",
            with("given: &g { fault: stall }\nlimits:\n  <<: *g\nturns: []\n"),
        ),
        ("tag", with("turns: !secret []\n")),
        ("deep", deep),
        ("deep-block", deep_block),
        (
            "leading-zero",
            with("turns: [ { user: hi, expect: { code: 012 } } ]\n"),
        ),
        (
            "not-a-number",
            with("settings: { temperature: .nan }\nturns: [ { user: hi } ]\n"),
        ),
        ("complex-key", with("? [a, b]\n: c\n")),
        ("escape-in-key", with("\"a\\e[31mb\": 1\nturns: []\n")),
        ("raw-bidi", with("x\u{202e}y: 1\nturns: []\n")),
        ("wide", with("turns: [ { user: 漢字🎉, 期待: 1 } ]\n")),
        ("long-line", long_line),
    ];
    let cases: Vec<(&str, &str)> = cases
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    check_all("form", &cases, tell_scenario);
}

#[test]
fn mistakes_in_the_sense_of_a_scenario() {
    let with = |rest: &str| format!("{HEAD}{rest}");
    let tool = |rest: &str| format!("{TOOL}{rest}");
    let cases: Vec<(&str, String)> = vec![
        (
            "name",
            "name: Tools/Weather!\nabout: c\nturns: [ { user: hi } ]\n".to_string(),
        ),
        (
            "about",
            "name: a\nabout: ''\nturns: [ { user: hi } ]\n".to_string(),
        ),
        ("no-turns", with("turns: []\n")),
        (
            "undeclared-call",
            tool("turns:\n  - user: hi\n    expect: { calls: [ { name: get_wether } ] }\n"),
        ),
        (
            "undeclared-result",
            tool("turns:\n  - user: hi\n  - results: { get_time: 1 }\n"),
        ),
        (
            "undeclared-choice",
            with("settings: { tool_choice: { tool: t } }\nturns: [ { user: hi } ]\n"),
        ),
        (
            "required-without-tools",
            with("settings: { tool_choice: required }\nturns: [ { user: hi } ]\n"),
        ),
        (
            "user-and-results",
            tool("turns:\n  - user: hi\n  - user: ho\n    results: { get_weather: 1 }\n"),
        ),
        (
            "neither-user-nor-results",
            with("turns:\n  - user: hi\n  - expect: { stop: end }\n"),
        ),
        (
            "results-first",
            tool("turns:\n  - results: { get_weather: 1 }\n"),
        ),
        (
            "missing-result",
            format!(
                "{TOOL}  other: {{ description: d, custom: true }}\nturns:\n  - user: hi\n    expect: {{ calls: [ {{ name: get_weather }}, {{ name: other }} ] }}\n  - results: {{ other: 1 }}\n"
            ),
        ),
        (
            "turn-after-failure",
            with("turns:\n  - user: hi\n    expect: { failure: throttled }\n  - user: ho\n"),
        ),
        (
            "parameters-missing",
            with("tools: { t: { description: d } }\nturns: [ { user: hi } ]\n"),
        ),
        (
            "parameters-on-custom",
            with(
                "tools: { t: { description: d, custom: true, parameters: { type: object } } }\nturns: [ { user: hi } ]\n",
            ),
        ),
        (
            "schema-broken",
            with(
                "tools:\n  t:\n    description: d\n    parameters:\n      type: object\n      properties: { a: { type: text } }\nturns: [ { user: hi } ]\n",
            ),
        ),
        (
            "schema-outside",
            with(
                "tools:\n  t:\n    description: d\n    parameters: { type: object, properties: { a: { $ref: 'file:///etc/passwd' } } }\nturns: [ { user: hi } ]\n",
            ),
        ),
        (
            "strict-open",
            with(
                "tools:\n  t:\n    description: d\n    strict: true\n    parameters:\n      type: object\n      properties:\n        a: { type: object, properties: {} }\n      required: [a]\n      additionalProperties: false\nturns: [ { user: hi } ]\n",
            ),
        ),
        (
            "strict-optional",
            with(
                "tools:\n  t:\n    description: d\n    strict: true\n    parameters:\n      type: object\n      properties:\n        a: { type: string }\n        b: { type: string }\n      required: [a]\n      additionalProperties: false\nturns: [ { user: hi } ]\n",
            ),
        ),
        (
            "regex",
            with("turns: [ { user: hi, expect: { text: { matches: '(unclosed' } } } ]\n"),
        ),
        (
            "unknown-argument",
            tool(
                "turns:\n  - user: hi\n    expect: { calls: [ { name: get_weather, arguments: { town: { equals: 1 } } } ] }\n",
            ),
        ),
        (
            "input-of-function",
            tool(
                "turns:\n  - user: hi\n    expect: { calls: [ { name: get_weather, input: { contains: x } } ] }\n",
            ),
        ),
        (
            "failure-class",
            with("turns: [ { user: hi, expect: { failure: throtled } } ]\n"),
        ),
        (
            "failure-and-text",
            with(
                "turns: [ { user: hi, expect: { failure: throttled, stop: end, text: { contains: x } } } ]\n",
            ),
        ),
        (
            "code-without-failure",
            with("turns: [ { user: hi, expect: { code: x } } ]\n"),
        ),
        (
            "provider",
            with("only: { providers: [bedrock] }\nturns: [ { user: hi } ]\n"),
        ),
        (
            "dialect",
            with("only: { dialects: [response] }\nturns: [ { user: hi } ]\n"),
        ),
        (
            "range",
            with(
                "turns: [ { user: hi, expect: { usage: { input: { min: 5, max: 1 }, output: {} } } } ]\n",
            ),
        ),
        (
            "several",
            with("only: { providers: [opnai] }\nturns:\n  - expect: { failure: nope }\n"),
        ),
        (
            "fine",
            with("turns: [ { user: hi, expect: { failure: unknown } } ]\n"),
        ),
    ];
    let cases: Vec<(&str, &str)> = cases
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    check_all("sense", &cases, tell_scenario);
}

#[test]
fn mistakes_in_a_target_file() {
    let one = |rest: &str| {
        format!(
            "targets:\n  mantle:\n    provider: bedrock-mantle\n    model: openai.gpt-5.5\n{rest}"
        )
    };
    let cases: Vec<(&str, String)> = vec![
        (
            "fine",
            one("    regions: [us-east-1]\n    auth: { aws_profile: p }\n"),
        ),
        ("empty", "targets: {}\n".to_string()),
        ("unknown-key", one("    region: us-east-1\n")),
        (
            "missing-model",
            "targets: { a: { provider: openai } }\n".to_string(),
        ),
        (
            "provider",
            "targets: { a: { provider: bedrock-mantel, model: m } }\n".to_string(),
        ),
        ("dialect", one("    dialect: converse\n")),
        ("region", one("    regions: [us-east-1, us-esat-2]\n")),
        ("region-twice", one("    regions: [us-east-1, us-east-1]\n")),
        (
            "region-of-openai",
            "targets: { a: { provider: openai, model: m, regions: [us-east-1] } }\n".to_string(),
        ),
        ("model-not-in-region", one("    regions: [us-west-2]\n")),
        (
            "model-unknown",
            "targets: { a: { provider: bedrock-mantle, model: gpt-5.5, regions: [us-east-1] } }\n"
                .to_string(),
        ),
        ("reference", one("reference: mantel\n")),
        (
            "endpoint-query",
            one("    endpoint: https://example.com/v1?key=1\n"),
        ),
        ("endpoint-scheme", one("    endpoint: example.com/v1\n")),
        (
            "endpoint-user",
            one("    endpoint: https://me:pw@example.com/v1\n"),
        ),
        (
            "endpoint-missing",
            "targets: { a: { provider: openai-compatible, model: m } }\n".to_string(),
        ),
        (
            "header-secret",
            one("    headers: { Authorization: Bearer x }\n"),
        ),
        ("header-transport", one("    headers: { Host: x }\n")),
        ("header-name", one("    headers: { 'a b': x }\n")),
        ("auth-word", one("    auth: { token: x }\n")),
        (
            "auth-secret",
            one("    auth: { bearer_env: sk-very-secret }\n"),
        ),
        (
            "duplicate",
            "targets:\n  a: { provider: openai, model: m }\n  a: { provider: openai, model: n }\n"
                .to_string(),
        ),
    ];
    let cases: Vec<(&str, &str)> = cases
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    check_all("target", &cases, tell_target);
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
    let catalog = catalog();
    scenarios()
        .into_iter()
        .map(|(path, text)| {
            let read = scenario::read::read_checked(path, text.as_bytes(), &catalog);
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
