//! Every mistake in a file that a user writes has its sentence and its place.
//!
//! The expected messages are files in `tests/it/diagnostics`; `UPDATE=1` rewrites them.

use std::path::Path;

use sameturn::{scenario, target};

use crate::scenario::catalog;

/// What a user is told about a scenario file, or that it is fine.
pub(crate) fn tell_scenario(text: &str) -> String {
    match scenario::read::read_checked("broken.yaml", text.as_bytes(), &catalog()) {
        Ok((_, warnings)) if warnings.is_empty() => "nothing to say\n".to_string(),
        Ok((_, found)) | Err(found) => found.to_string(),
    }
}

pub(crate) fn tell_target(text: &str) -> String {
    match target::read::read_checked("sameturn.yaml", text.as_bytes(), &catalog()) {
        Ok((_, warnings)) if warnings.is_empty() => "nothing to say\n".to_string(),
        Ok((_, found)) | Err(found) => found.to_string(),
    }
}

/// Compares with a file, or rewrites it.
pub(crate) fn check_snapshot(name: &str, got: &str) -> Result<(), String> {
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
pub(crate) const HEAD: &str = "name: a/b\nabout: c\n";
pub(crate) const TOOL: &str = "name: a/b
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
            "number-too-large",
            with("retries: { most: 4294967296, on: [throttled] }\nturns: [ { user: hi } ]\n"),
        ),
        (
            "text-for-count",
            with("retries: { most: two, on: [throttled] }\nturns: [ { user: hi } ]\n"),
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
            "wire-form-of-no-dialect",
            with(
                "wire_fields: { model: x, background: true }\nwire_headers:\n  'a b': c\n\n  Authorization: Bearer k\n\nturns:\n  - wire_items: [ text ]\n    user: hi\n",
            ),
        ),
        (
            "gap-says-nothing",
            with(
                "gap: { fault: ' ', findings: [], seen_at: [a], source: b, date: yesterday, consequence: c }\nturns: [ { user: hi } ]\n",
            ),
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
    let cases: Vec<(&str, String)> =
        vec![
        (
            "fine",
            one("    regions: [us-east-1]\n    auth: { aws_profile: p }\n"),
        ),
        ("empty", "targets: {}\n".to_string()),
        ("unknown-key", one("    region: us-east-1\n")),
        (
            "price-below-nothing",
            one("    price: { input: 1.25, cached: 0.1, output: -10 }\n"),
        ),
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
        (
            "headers-env",
            one("    headers: { X-Team: a }\n    headers_env: { x-team: TEAM, Authorization: KEY, X-Key: 'my secret' }\n"),
        ),
        (
            "query",
            one("    query: { api-version: '1', X-Amz-Signature: abc, token: abc }\n"),
        ),
        ("fips", one("    fips: true\n")),
        (
            "fips-endpoint",
            "targets: { a: { provider: bedrock-runtime, model: us.openai.gpt-5.6-sol, fips: true, endpoint: 'https://x.example' } }\n"
                .to_string(),
        ),
        (
            "endpoint-region",
            one("    regions: [us-east-1]\n    endpoint: https://vpce-1.bedrock-mantle.us-east-2.vpce.amazonaws.com/openai/v1\n"),
        ),
        (
            "arn-region",
            "targets: { a: { provider: bedrock-agentcore, model: 'arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/a-1', regions: [us-east-1] } }\n"
                .to_string(),
        ),
        (
            "region-of-partition",
            "targets: { a: { provider: bedrock-runtime, model: us.openai.gpt-5.6-sol, regions: [cn-north-1] } }\n"
                .to_string(),
        ),
        ("project", one("    project: my project\n    organization: org-1\n")),
        ("project-strange", one("    project: team\n")),
        ("unknown-key-near", one("    header_env: { X-Key: KEY }\n")),
        ("auth-word", one("    auth: { token: x }\n")),
        (
            "auth-secret",
            one("    auth: { bearer_env: sk-very-secret }\n"),
        ),
        ("auth-command-empty", one("    auth: { bearer_command: [] }\n")),
        (
            "auth-command-shell",
            one("    auth: { bearer_command: cat token | head -1 }\n"),
        ),
        (
            "auth-command-key",
            one("    auth:\n      bearer_command:\n        command: [a]\n        timout: 1s\n"),
        ),
        (
            "auth-command-refresh",
            one("    auth:\n      bearer_command:\n        command: [a]\n        refresh: soon\n"),
        ),
        (
            "auth-command-missing",
            one("    auth: { bearer_command: { timeout: 1s } }\n"),
        ),
        ("auth-command-number", one("    auth: { bearer_command: 7 }\n")),
        (
            "auth-key-header",
            one("    auth: { key_env: { header: Authorization, env: A } }\n"),
        ),
        (
            "auth-key-header-name",
            one("    auth: { key_env: { header: 'a b', env: A } }\n"),
        ),
        (
            "auth-key-secret",
            one("    auth: { key_env: { header: api-key, env: sk-very-secret } }\n"),
        ),
        (
            "auth-key-missing",
            one("    auth: { key_env: { env: A } }\n"),
        ),
        ("api-version", one("    api_version: 2024-10-21\n")),
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
