//! A server that shares nothing with the mocks sends streams with one thing wrong, and unusual ones that
//! are legal: the check must notice every one of the former and none of the latter.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Running, any_python, file};
use crate::program::Project;

const SCENARIO: &str = "\
name: judge/two-calls
about: A thought, a text and two calls; nothing is expected of them but to be sound.
tools:
  get_weather:
    description: Current weather in a city.
    parameters: { type: object, properties: { city: { type: string } }, required: [city], additionalProperties: false }
    strict: true
  get_time:
    description: Current time in a time zone.
    parameters: { type: object, properties: { zone: { type: string } }, required: [zone], additionalProperties: false }
    strict: true
turns:
  - user: What is the weather in Dublin, and how late is it?
";

/// Tools of which one needs no arguments.
const SCENARIO_OF_FRAMES: &str = "\
name: judge/frames
about: A thought, a text and two calls; nothing is expected of them but to be sound.
tools:
  get_weather:
    description: Current weather in a city.
    parameters: { type: object, properties: { city: { type: string } }, required: [city], additionalProperties: false }
  get_time:
    description: Current time in a time zone.
    parameters: { type: object, properties: { zone: { type: string } }, required: [zone], additionalProperties: false }
  now:
    description: The time here.
    parameters: { type: object, properties: {} }
turns:
  - user: What is the weather in Dublin, and how late is it?
";

/// Asks for every stream of a kind in one run; a target per stream, with no comparison between them.
fn check(server: &Value, kind: &str) -> (Option<i32>, Value) {
    let port = &server["port"];
    let mut targets = "targets:\n".to_owned();
    for api in ["responses", "chat"] {
        for name in server[api][kind].as_array().expect("names") {
            let name = name.as_str().expect("a name");
            writeln!(
                targets,
                "  {api}-{name}: {{ provider: openai-compatible, dialect: {api}, model: {name}, \
                 endpoint: 'http://127.0.0.1:{port}/v1', auth: none }}"
            )
            .expect("it fits");
        }
    }
    let project = Project::new()
        .file("sameturn.yaml", &targets)
        .file("two-calls.yaml", SCENARIO);
    let said = project.run(&["check", "two-calls.yaml", "--format", "json"]);
    (said.code, said.json())
}

fn names_of(run: &Value, verdict: &str) -> Vec<String> {
    let cells = run["cells"].as_array().expect("cells").iter();
    cells
        .filter(|cell| cell["verdict"] == verdict)
        .map(|cell| cell["target"].as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn every_corruption_is_noticed_and_no_variant_is() {
    let Some(python) = any_python() else {
        return;
    };
    let (_running, line) = Running::that_prints(&python, &[&file("corrupting_server.py")]);
    let server: Value = serde_json::from_str(&line).expect("JSON");

    let (code, run) = check(&server, "variants");
    let cells = run["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 43);
    let good: Vec<String> = names_of(&run, "pass");
    assert_eq!(good.len(), cells.len(), "{:#}", run["findings"]);
    assert_eq!(code, Some(0));

    let (code, run) = check(&server, "corruptions");
    let cells = run["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 160);
    assert_eq!(names_of(&run, "pass"), Vec::<String>::new(), "unnoticed");
    assert_eq!(names_of(&run, "fail").len(), cells.len());
    assert_eq!(code, Some(1));
}

/// The streams of frames of a kind: how many there are, and those that something was said about. They are of two wire
/// APIs and differ on purpose, so what the comparison says is left out.
fn framed(server: &Value, kind: &str) -> (usize, Vec<String>) {
    let port = &server["port"];
    let mut targets = "targets:\n".to_owned();
    for api in ["converse", "invoke"] {
        for name in server[api][kind].as_array().expect("names") {
            let name = name.as_str().expect("a name");
            writeln!(
                targets,
                "  {api}-{name}: {{ provider: bedrock-runtime, dialect: {api}, model: {name}, \
                 regions: [us-east-1], endpoint: 'http://127.0.0.1:{port}', auth: none }}"
            )
            .expect("it fits");
        }
    }
    let project = Project::new()
        .file("sameturn.yaml", &targets)
        .file("frames.yaml", SCENARIO_OF_FRAMES);
    let run = project
        .run(&["check", "frames.yaml", "--format", "json"])
        .json();
    let findings = run["findings"].as_array().expect("findings").iter();
    let mut blamed: Vec<String> = findings
        .filter(|finding| {
            let rule = finding["rule"].as_str().expect("a rule");
            !rule.starts_with("parity/") && finding["severity"] != "info"
        })
        .map(|finding| finding["target"].as_str().expect("a name").to_owned())
        .collect();
    blamed.sort();
    blamed.dedup();
    (run["cells"].as_array().expect("cells").len(), blamed)
}

#[test]
fn every_corruption_of_frames_is_noticed_and_no_variant_is() {
    let Some(python) = any_python() else {
        return;
    };
    let (_running, line) = Running::that_prints(&python, &[&file("corrupting_frames.py")]);
    let server: Value = serde_json::from_str(&line).expect("JSON");

    assert_eq!(framed(&server, "variants"), (30, vec![]));

    let (count, blamed) = framed(&server, "corruptions");
    assert_eq!(count, 113);
    let unnoticed: Vec<String> = ["converse", "invoke"]
        .iter()
        .flat_map(|api| {
            let names = server[api]["corruptions"].as_array().expect("names").iter();
            names.map(move |name| format!("{api}-{}", name.as_str().expect("a name")))
        })
        .filter(|name| !blamed.contains(name))
        .collect();
    assert_eq!(unnoticed, Vec::<String>::new());
}
