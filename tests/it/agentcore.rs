//! Managed agents from outside: the library on the mock, sessions, an agent with a contract of its own,
//! and boto3.

use std::process::Command;

use serde_json::{Value, json};

use crate::mock_client::{Answer, BEARER, ask, start};
use crate::program::Project;
use crate::stub_server::Stub;

const PATH: &str = "/bedrock-agentcore/us-east-1/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Fsameturn_agent-abcdefghij/invocations";
const SESSION: &str = "x-amzn-bedrock-agentcore-runtime-session-id";

/// Every scenario of the library runs or says why it cannot.
#[test]
fn the_library_passes_at_a_managed_agent() {
    let project = Project::new();
    let run = project
        .run(&["check", "--target", "agentcore", "--format", "json"])
        .exits(0)
        .json();
    let cells = run["cells"].as_array().expect("cells");
    let with = |verdict: &str| -> Vec<&str> {
        let some = cells.iter().filter(|cell| cell["verdict"] == verdict);
        some.map(|cell| cell["scenario"].as_str().expect("a name"))
            .collect()
    };
    let passed = with("pass");
    assert_eq!(
        passed.len() + with("not_applicable").len(),
        cells.len(),
        "{cells:?}"
    );
    for scenario in [
        "text/plain",
        "text/unicode",
        "text/long-answer",
        "prompt/memory",
        "prompt/big",
        "failures/access-denied",
        "failures/expired-key",
        "failures/expired-sso",
        "failures/invalid-key",
        "failures/no-credentials",
        "failures/no-region",
        "failures/model-not-found",
        "failures/throttled",
        "failures/server-error",
        "failures/stall",
        "failures/drop-mid-stream",
        "failures/response-failed-mid-stream",
    ] {
        assert!(passed.contains(&scenario), "{scenario}: {passed:?}");
    }
    for (scenario, reason) in [
        ("tools/weather", "tools of the client"),
        ("prompt/system", "a system text"),
        ("text/output-limit", "an output limit"),
        ("text/plain-not-streamed", "reports no usage"),
    ] {
        let cell = cells.iter().find(|cell| cell["scenario"] == scenario);
        let told = cell.expect("it is there")["reason"].as_str();
        assert!(
            told.is_some_and(|told| told.contains(reason)),
            "{scenario}: {told:?}"
        );
    }
}

/// All turns of a cell are one session, each cell is another, and only the last words are sent.
#[test]
fn a_cell_is_a_session() {
    let project = Project::new();
    project
        .run(&[
            "check",
            "--target",
            "agentcore",
            "--scenario",
            "prompt/*",
            "--repeat",
            "2",
        ])
        .exits(0);
    let text = std::fs::read_to_string(project.run_folder().join("turns.jsonl")).expect("turns");
    let turns: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    let session = |turn: &Value| -> String {
        let headers = turn["request_headers"].as_array().expect("headers");
        let found = headers
            .iter()
            .find(|pair| pair[0].as_str() == Some(SESSION));
        found.expect("a session")[1]
            .as_str()
            .expect("text")
            .to_owned()
    };
    let memory: Vec<&Value> = turns
        .iter()
        .filter(|turn| turn["scenario"] == "prompt/memory")
        .collect();
    assert_eq!(memory.len(), 6, "three turns, twice");
    for (index, turn) in memory.iter().enumerate() {
        assert_eq!(session(turn), session(memory[index / 3 * 3]));
        assert!((33..=256).contains(&session(turn).len()));
        let sent = turn["request_body"].as_object().expect("an object");
        assert_eq!(sent.keys().collect::<Vec<_>>(), ["prompt"]);
    }
    assert_ne!(session(memory[0]), session(memory[3]));
    let asked = memory[2]["request_body"]["prompt"].as_str();
    assert!(asked.is_some_and(|asked| !asked.contains("Schrödinger")));
    let big = turns.iter().find(|turn| turn["scenario"] == "prompt/big");
    assert_ne!(session(big.expect("it ran")), session(memory[0]));
}

fn agent_at(stub: &Stub, more: &str) -> Project {
    let origin = stub.base_url.trim_end_matches("/v1");
    let targets = format!(
        "targets:\n  agent:\n    provider: bedrock-agentcore\n    model: arn:aws:bedrock-agentcore:us-east-1:1:runtime/x\n    regions: [us-east-1]\n    endpoint: {origin}\n    auth: {{ bearer_env: A_JWT }}\n{more}"
    );
    Project::new()
        .file("sameturn.yaml", &targets)
        .file(
            "s.yaml",
            "name: own/pong\nabout: x\nturns: [ { user: ping, expect: { text: { equals: pong }, stop: end } } ]\n",
        )
        .variable("A_JWT", "a.jwt.for-tests")
}

/// The payload of an agent is its own: a target says where things stand.
#[test]
fn a_target_says_where_an_agent_takes_and_tells_things() {
    let stub = Stub::events(
        "data: {\"say\": {\"words\": \"po\"}}\n\ndata: {\"say\": {\"words\": \"ng\"}}\n\n",
    );
    let own = "    agent: { qualifier: canary, prompt: /input/words, text: [/say/words] }\n";
    agent_at(&stub, own).run(&["check", "s.yaml"]).exits(0);
    let asked = stub.requests().concat();
    let (head, body) = asked.split_once("\r\n\r\n").expect("a request");
    assert!(
        head.starts_with("POST /runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A1%3Aruntime%2Fx/invocations?qualifier=canary HTTP/1.1"),
        "{head}"
    );
    assert!(head.contains("Bearer a.jwt.for-tests"), "{head}");
    assert_eq!(body, r#"{"input":{"words":"ping"}}"#);
    // Without it nothing is found, and the finding says where to look.
    let plain = agent_at(&stub, "");
    let said = plain.run(&["check", "s.yaml"]).exits(1);
    assert!(
        said.stdout.contains("agentcore/text-found"),
        "{}",
        said.stdout
    );
}

#[test]
fn another_session_in_the_answer_is_a_finding() {
    let stub = Stub::start(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{SESSION}: {}\r\nconnection: close\r\n\r\ndata: \"pong\"\n\n",
        "x".repeat(40)
    ));
    let said = agent_at(&stub, "").run(&["check", "s.yaml"]).exits(1);
    assert!(
        said.stdout.contains("agentcore/session-kept"),
        "{}",
        said.stdout
    );
}

/// What the agent does not report is neither met nor broken; what it says wrong is still a failure.
#[test]
fn usage_that_is_not_told_is_not_applicable() {
    let stub = Stub::events("data: \"pong\"\n\n");
    let text = |words: &str| {
        format!(
            "name: own/usage\nabout: x\nturns: [ {{ user: ping, expect: {{ text: {{ equals: {words} }}, usage: {{ input: {{ min: 1 }} }} }} }} ]\n"
        )
    };
    // Nothing but cells that do not apply is nothing determined.
    for (words, code, verdict) in [("pong", 3, "not_applicable"), ("pang", 1, "fail")] {
        let run = agent_at(&stub, "")
            .file("u.yaml", &text(words))
            .run(&["check", "u.yaml", "--format", "json"])
            .exits(code)
            .json();
        assert_eq!(run["cells"][0]["verdict"], verdict, "{run}");
    }
}

#[test]
fn a_mistake_in_a_contract_is_shown_where_it_stands() {
    for (provider, agent, told) in [
        (
            "bedrock-agentcore",
            "{ text: [event] }",
            "not a JSON pointer",
        ),
        (
            "bedrock-agentcore",
            "{ qualifier: 'a b' }",
            "not the name of an endpoint",
        ),
        ("bedrock-agentcore", "{ texts: [] }", "texts"),
        ("openai", "{ prompt: /x }", "has no managed agents"),
    ] {
        let text =
            format!("targets:\n  t:\n    provider: {provider}\n    model: m\n    agent: {agent}\n");
        let said = Project::new()
            .file("sameturn.yaml", &text)
            .run(&["check", "--scenario", "text/plain"])
            .exits(2);
        assert!(said.stderr.contains(told), "{}", said.stderr);
        assert!(said.stderr.contains("sameturn.yaml:5:"), "{}", said.stderr);
    }
}

async fn invoke(prefix: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let server = start().await;
    let mut all = vec![("authorization", BEARER)];
    all.extend_from_slice(headers);
    ask(
        server.address(),
        "POST",
        &format!("{prefix}{path}"),
        &all,
        body,
    )
    .await
}

#[tokio::test]
async fn the_mock_refuses_as_the_service_model_says() {
    let prompt = r#"{"prompt": "hi"}"#;
    let short = [(SESSION, "short")];
    for (path, headers, body, status, kind) in [
        (
            PATH.to_owned(),
            &short[..],
            prompt,
            400,
            "ValidationException",
        ),
        (
            format!("{PATH}?qualifier=nope"),
            &[],
            prompt,
            404,
            "ResourceNotFoundException",
        ),
        (
            PATH.replace("abcdefghij", "other"),
            &[],
            prompt,
            404,
            "ResourceNotFoundException",
        ),
        (PATH.to_owned(), &[], "no JSON", 424, "RuntimeClientError"),
        (PATH.to_owned(), &[], "[]", 424, "RuntimeClientError"),
    ] {
        let answer = invoke("", &path, headers, body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let line = format!("x-amzn-errortype: {}", kind.to_lowercase());
        assert!(answer.head.to_lowercase().contains(&line), "{answer:?}");
    }
    // Without a session the service makes one up and tells it.
    let answer = invoke("", PATH, &[("accept", "text/event-stream")], prompt).await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.to_lowercase().contains(SESSION));
    assert!(answer.events().len() > 5);
}

/// boto3 keeps a session, reads both forms, and names failures as it would name the service's.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
async fn boto3_takes_the_mock_for_the_real_thing() {
    let python = std::env::var("SAMETURN_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let known = "import boto3; boto3.client('bedrock-agentcore', region_name='us-east-1').invoke_agent_runtime";
    let there = Command::new(&python).args(["-c", known]).output();
    if !there.is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: `{python}` has no boto3 that knows AgentCore (set SAMETURN_PYTHON)");
        return;
    }
    let server = start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/judges/agentcore.py");
    let origin = format!("http://{}", server.address());
    let run =
        tokio::task::spawn_blocking(move || Command::new(python).args([script, &origin]).output())
            .await
            .expect("it ends")
            .expect("it runs");
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}");
    let seen: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    let cat = "Your cat is called Schrödinger.";
    assert_eq!(seen["memory"], json!(["noted", "ready", cat]));
    for (what, expected) in [
        ("other_session", "noted"),
        ("other_principal", "noted"),
        ("whole", "You said: pong"),
        ("qualifier", "You said: pong"),
        ("denied", "AccessDeniedException"),
        ("expired", "ExpiredTokenException"),
        ("unknown_key", "UnrecognizedClientException"),
        ("unknown_agent", "ResourceNotFoundException"),
        ("unknown_qualifier", "ResourceNotFoundException"),
        ("no_prompt", "RuntimeClientError"),
        ("no_json", "RuntimeClientError"),
        ("throttled", "ThrottlingException"),
        ("server_error", "InternalServerException"),
        ("dropped", "ResponseStreamingError"),
    ] {
        assert_eq!(seen[what], expected, "{what}");
    }
}
