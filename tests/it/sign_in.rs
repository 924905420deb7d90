//! Keys in named headers, tokens from commands and Azure OpenAI, as users run them.

use serde_json::Value;

use crate::check::{PONG, pong_events, sse};
use crate::diagnostics::check_snapshot;
use crate::program::{Project, Said};
use crate::stub_server::Stub;

const REFUSAL: &str = r#"{"error":{"message":"token is not good","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;

fn refusal() -> Vec<u8> {
    format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{REFUSAL}",
        REFUSAL.len()
    )
    .into_bytes()
}

fn pong() -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{}",
        sse(&pong_events())
    )
    .into_bytes()
}

/// Lets in whoever brings this token.
fn gate(token: &'static str) -> Stub {
    Stub::answering(move |request| {
        match request.contains(&format!("authorization: Bearer {token}\r\n")) {
            true => pong(),
            false => refusal(),
        }
    })
}

/// A target at the server, with a script that prints `sk-marker-token-N`, N counting its runs.
fn counting(server: &Stub, more: &str) -> Project {
    Project::new()
        .file("pong.yaml", PONG)
        .file(
            "token.sh",
            "echo x >> runs\nprintf 'sk-marker-token-%s\\n' $(grep -c x runs)\n",
        )
        .file(
            "sameturn.yaml",
            &format!(
                "targets:\n  own:\n    provider: openai-compatible\n    endpoint: {}\n    model: m\n    \
                 auth: {{ bearer_command: {{ command: [/bin/sh, token.sh]{more} }} }}\n",
                server.base_url
            ),
        )
}

fn runs(project: &Project) -> usize {
    std::fs::read_to_string(project.path("runs")).map_or(0, |text| text.lines().count())
}

fn turns(project: &Project) -> Vec<Value> {
    std::fs::read_to_string(project.run_folder().join("turns.jsonl"))
        .expect("turns")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect()
}

#[track_caller]
fn keeps_secrets(project: &Project, said: &Said) {
    for text in [&said.stdout, &said.stderr] {
        assert!(!text.contains("sk-marker"), "{text}");
    }
    for (path, bytes) in project.files() {
        // The script itself is the user's.
        if path.ends_with("token.sh") {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("sk-marker"), "{} holds it", path.display());
    }
}

#[test]
fn a_refused_token_is_replaced_once() {
    let server = gate("sk-marker-token-2");
    let project = counting(&server, "");
    let said = project
        .run(&[
            "check",
            "--format",
            "json",
            "--repeat",
            "3",
            "--keep-streams",
            "pong.yaml",
        ])
        .exits(0);
    keeps_secrets(&project, &said);
    let run = said.json();
    assert_eq!(run["verdict"], "pass");
    let target = &run["targets"][0];
    assert_eq!(target["sign_in"], "bearer from the command `sh`");
    assert!(
        target["warnings"][0]
            .as_str()
            .is_some_and(|text| text.contains("401 once") && text.contains("sent once more")),
        "{target}"
    );
    // The new token is kept: 401, 200, and two more.
    assert_eq!((server.requests().len(), runs(&project)), (4, 2));
    let said: Vec<(Value, Value)> = turns(&project)
        .iter()
        .map(|turn| (turn["attempt"].clone(), turn["status"].clone()))
        .collect();
    let expected = [(1, 401), (2, 200), (1, 200), (1, 200)];
    assert_eq!(
        said,
        expected.map(|(attempt, status)| (attempt.into(), status.into()))
    );
    let streams = project.run_folder().join("streams");
    let names: Vec<String> = std::fs::read_dir(streams)
        .expect("streams")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
}

#[test]
fn a_token_that_stays_refused_is_undetermined() {
    let server = gate("another");
    let project = counting(&server, "");
    let said = project.run(&["check", "pong.yaml"]).exits(3);
    keeps_secrets(&project, &said);
    assert!(
        said.stdout.contains("invalid_credentials"),
        "{}",
        said.stdout
    );
    assert_eq!(
        (server.requests().len(), runs(&project)),
        (2, 2),
        "once and no more"
    );
}

#[test]
fn the_same_token_is_not_tried_twice() {
    let server = gate("another");
    let project = Project::new().file("pong.yaml", PONG);
    let said = project
        .run(&[
            "check",
            "--base-url",
            &server.base_url,
            "--model",
            "m",
            "--auth-command",
            "printf '%s' sk-marker-constant",
            "--format",
            "json",
            "pong.yaml",
        ])
        .exits(3);
    keeps_secrets(&project, &said);
    assert_eq!(server.requests().len(), 1);
    let text = project
        .run(&[
            "check",
            "--base-url",
            &server.base_url,
            "--model",
            "m",
            "--auth-command",
            "printf '%s' sk-marker-constant",
            "--scenario",
            "format/*",
        ])
        .exits(3);
    keeps_secrets(&project, &text);
    let warning = &said.json()["targets"][0]["warnings"][0];
    assert!(
        warning
            .as_str()
            .is_some_and(|text| text.contains("the same token again")),
        "{warning}"
    );
}

#[test]
fn a_command_that_cannot_be_read_is_not_repeated() {
    let project = Project::new();
    let said = project
        .run(&[
            "check",
            "--base-url",
            "http://127.0.0.1:1/v1",
            "--auth-command",
            "printf 'sk-marker-constant",
        ])
        .exits(2);
    assert!(said.stderr.contains("--auth-command"), "{}", said.stderr);
    keeps_secrets(&project, &said);
}

#[test]
fn a_command_that_fails_later_is_named() {
    let server = gate("another");
    let project = counting(&server, "").file(
        "token.sh",
        "test -e runs && { echo 'the session is over' >&2; exit 4; }; echo x >> runs; echo sk-marker-a\n",
    );
    let said = project
        .run(&["check", "--repeat", "2", "pong.yaml"])
        .exits(3);
    keeps_secrets(&project, &said);
    for words in [
        "no_credentials",
        "the server refused the token with 401",
        "exit status: 4",
        "the session is over",
    ] {
        let flat = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(words), "{words}: {}", said.stdout);
    }
    assert_eq!(
        server.requests().len(),
        1,
        "a command that fails is not run for every cell"
    );
}

#[test]
fn an_old_token_is_replaced_before_the_next_turn() {
    let server = Stub::answering(move |_| {
        std::thread::sleep(std::time::Duration::from_millis(400));
        pong()
    });
    let project = counting(&server, ", refresh: 300ms");
    project
        .run(&["check", "--repeat", "3", "pong.yaml"])
        .exits(0);
    let mut brought: Vec<String> = server
        .requests()
        .iter()
        .filter_map(|request| {
            let (_, after) = request.split_once("Bearer sk-marker-token-")?;
            Some(after.lines().next()?.to_owned())
        })
        .collect();
    brought.dedup();
    assert_eq!(
        brought.len(),
        3,
        "each turn has a token of its own: {brought:?}"
    );
    let lasting = counting(&server, ", refresh: 5m");
    lasting
        .run(&["check", "--repeat", "3", "pong.yaml"])
        .exits(0);
    assert_eq!(runs(&lasting), 1);
}

#[test]
fn a_command_that_cannot_help_sends_nothing() {
    let server = Stub::json("500 Oops", "", "{}");
    let project = counting(&server, ", timeout: 200ms").file("token.sh", "sleep 30\n");
    let said = project.run(&["check", "pong.yaml"]).exits(3);
    let flat = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        flat.contains("the auth command `sh` did not end within 200ms"),
        "{}",
        said.stdout
    );
    assert_eq!(server.requests(), [] as [String; 0]);
}

const STAGED: &str = "\
name: mine/staged
about: Whose key it is.
given: { credentials: STATE }
turns:
  - user: ping
    expect: { failure: FAILURE, sent: SENT }
";

fn staged(state: &str, failure: &str, sent: &str) -> String {
    STAGED
        .replace("STATE", state)
        .replace("FAILURE", failure)
        .replace("SENT", sent)
}

#[test]
fn a_scenario_may_stage_wrong_keys_for_every_way() {
    // Everybody is refused, so that a new token would be asked for if that were allowed.
    let server = gate("nobody-has-this");
    let target = |name: &str, auth: &str| {
        format!(
            "  {name}: {{ provider: openai-compatible, endpoint: \"{}\", model: m, auth: {auth} }}\n",
            server.base_url
        )
    };
    let targets = format!(
        "targets:\n{}{}{}",
        target("command", "{ bearer_command: [/bin/sh, token.sh] }"),
        target("header", "{ key_env: { header: X-Own, env: OWN } }"),
        target("key", "{ api_key_env: OWN }"),
    );
    let project = Project::new()
        .file("sameturn.yaml", &targets)
        .file("token.sh", "echo x >> runs\necho sk-marker-command\n")
        .file(
            "s/invalid.yaml",
            &staged("invalid", "invalid_credentials", "true"),
        )
        .file(
            "s/none.yaml",
            &staged("none", "no_credentials", "false").replace("mine/staged", "mine/none"),
        )
        .variable("OWN", "sk-marker-own");
    let said = project.run(&["check", "--format", "json", "s"]).exits(0);
    keeps_secrets(&project, &said);
    let run = said.json();
    let cells = run["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 6);
    assert!(
        cells.iter().all(|cell| cell["verdict"] == "pass"),
        "{cells:?}"
    );
    let requests = server.requests();
    assert_eq!(requests.len(), 3, "{requests:?}");
    let with = |header: &str| {
        let line = format!("{header}sk-sameturn-nobody-issued-this-key\r\n");
        requests.iter().filter(|one| one.contains(&line)).count()
    };
    assert_eq!((with("authorization: Bearer "), with("x-own: ")), (2, 1));
    assert!(requests.iter().all(|one| !one.contains("sk-marker")));
    assert_eq!(runs(&project), 0, "the command is not run to be wrong");
}

#[test]
fn a_key_in_a_named_header_is_kept_secret() {
    const KEY: &str = "sk-marker-9";
    let body = format!(
        r#"{{"error":{{"message":"no such key {KEY}","type":null,"param":null,"code":"401"}}}}"#
    );
    let server = Stub::json("401 Unauthorized", &format!("x-echo: {KEY}\r\n"), &body);
    let project = Project::new()
        .file("pong.yaml", PONG)
        .file(
            "sameturn.yaml",
            &format!(
                "targets: {{ a: {{ provider: azure-openai, endpoint: \"{}\", model: m }} }}\n",
                server.base_url.trim_end_matches("/v1")
            ),
        )
        .variable("AZURE_OPENAI_API_KEY", KEY);
    let said = project
        .run(&[
            "check",
            "--keep-streams",
            "--show-requests",
            "--junit",
            "j.xml",
            "pong.yaml",
        ])
        .exits(3);
    keeps_secrets(&project, &said);
    let request = &server.requests()[0];
    assert!(
        request.starts_with("POST /openai/v1/responses HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains(&format!("\r\napi-key: {KEY}\r\n")),
        "{request}"
    );
    assert!(!request.contains("authorization"), "{request}");
}

const AZURE: &str = "\
targets:
  v1: { provider: azure-openai, endpoint: https://r.openai.azure.com, model: team-agents }
  chat: { provider: azure-openai, endpoint: https://r.openai.azure.com/openai/v1, model: gpt-5.5, dialect: chat }
  dated: { provider: azure-openai, endpoint: https://r.openai.azure.com, model: team-agents, api_version: 2025-04-01-preview }
  dated-chat: { provider: azure-openai, endpoint: https://r.openai.azure.com, model: team-agents, dialect: chat, api_version: 2024-10-21 }
";

#[test]
fn the_whole_library_runs_on_the_mock_of_azure() {
    let project = Project::new().file("azure.yaml", AZURE);
    let said = project
        .run(&[
            "check",
            "--mocks",
            "--targets",
            "azure.yaml",
            "--format",
            "json",
        ])
        .exits(0);
    let run = said.json();
    let cells = run["cells"].as_array().expect("cells");
    let count = |target: &str, verdict: &str| {
        cells
            .iter()
            .filter(|cell| cell["target"] == target && cell["verdict"] == verdict)
            .count()
    };
    for target in ["v1", "chat", "dated", "dated-chat"] {
        assert_eq!(
            count(target, "fail") + count(target, "undetermined"),
            0,
            "{target}"
        );
        // Azure has one base path, no regions and no AWS credentials; the rest is for other wire APIs.
        let asked = count(target, "pass") + count(target, "known_gap");
        assert!(asked >= 70, "{target}: {asked}");
    }
    for scenario in [
        "access-denied",
        "invalid-key",
        "no-credentials",
        "model-not-found",
    ] {
        let name = format!("failures/{scenario}");
        let passed = cells
            .iter()
            .filter(|cell| cell["scenario"] == name && cell["verdict"] == "pass");
        assert_eq!(passed.count(), 4, "{name}");
    }
    for gap in [
        "azure-openai/prompt-filter-chunk",
        "azure-openai/one-401-for-every-token",
        "azure-openai/flex-refused-without-support",
    ] {
        let findings = run["findings"].as_array().expect("findings");
        assert!(
            findings.iter().any(|one| one["known_gap"]["id"] == gap),
            "{gap}"
        );
    }
    assert_eq!(run["stale_gaps"], serde_json::json!([]));
    let turns = turns(&project);
    let url = |target: &str| {
        let of = |turn: &&Value| turn["target"] == target && turn["scenario"] == "text/plain";
        turns
            .iter()
            .find(of)
            .map(|turn| turn["url"].as_str().unwrap_or_default().to_owned())
    };
    for (target, end) in [
        ("v1", "/azure-openai/openai/v1/responses"),
        ("chat", "/azure-openai/openai/v1/chat/completions"),
        (
            "dated",
            "/azure-openai/openai/responses?api-version=2025-04-01-preview",
        ),
        (
            "dated-chat",
            "/azure-openai/openai/deployments/team-agents/chat/completions?api-version=2024-10-21",
        ),
    ] {
        assert!(
            url(target).is_some_and(|url| url.ends_with(end)),
            "{:?}",
            url(target)
        );
    }
}

#[test]
fn mocks_stand_in_only_where_there_are_some() {
    let project = Project::new().file(
        "t.yaml",
        "targets: { a: { provider: openai-compatible, endpoint: \"http://127.0.0.1:9/v1\", model: m } }\n",
    );
    let said = project
        .run(&["check", "--mocks", "--targets", "t.yaml"])
        .exits(2);
    assert!(
        said.stderr.contains("no mock of `openai-compatible`"),
        "{}",
        said.stderr
    );
}

#[cfg(unix)]
#[test]
fn azure_takes_a_token_from_a_command_as_well() {
    use std::io::{BufRead, BufReader};

    let project = Project::new();
    let mut mock = project.start(&["mock", "--port", "0", "--format", "json"]);
    let mut line = String::new();
    let stdout = mock.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let said: Value = serde_json::from_str(&line).expect("JSON");
    let endpoints = said["endpoints"].as_array().expect("endpoints");
    let azure = endpoints
        .iter()
        .find(|one| one["provider"] == "azure-openai")
        .expect("Azure is served");
    let base = azure["base_url"].as_str().expect("a URL");
    let target = |name: &str, more: &str| {
        format!(
            "  {name}: {{ provider: azure-openai, endpoint: \"{base}\", model: team-agents, {more} }}\n"
        )
    };
    let project = project.file(
        "sameturn.yaml",
        &format!(
            "targets:\n{}{}{}",
            target("key", "dialect: chat, api_version: 2024-10-21"),
            target(
                "token",
                "auth: { bearer_command: [printf, sameturn-mock-bearer-default] }"
            ),
            target(
                "line",
                "dialect: chat, auth: { bearer_command: printf 'sameturn-mock-bearer-default' }"
            ),
        ),
    );
    let project = project.variable("AZURE_OPENAI_API_KEY", "sameturn-mock-bearer-default");
    let said = project.run(&[
        "check",
        "--format",
        "json",
        "--scenario",
        "tools/weather",
        "--scenario",
        "failures/invalid-key",
    ]);
    let stopped = std::process::Command::new("kill")
        .args(["-INT", &mock.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(stopped.success());
    mock.wait().expect("it ends");
    let run = said.json();
    let ways: Vec<&str> = run["targets"]
        .as_array()
        .expect("targets")
        .iter()
        .map(|target| target["sign_in"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(
        ways,
        [
            "key from AZURE_OPENAI_API_KEY in the header api-key",
            "bearer from the command `printf`",
            "bearer from the command `printf`",
        ]
    );
    for cell in run["cells"].as_array().expect("cells") {
        // Without a script the mock makes its weather up, which the words of the scenario do not foresee.
        if cell["scenario"] == "failures/invalid-key" {
            assert_eq!(cell["verdict"], "pass", "{cell}");
        } else {
            assert!(
                cell["outline"]
                    .as_array()
                    .is_some_and(|lines| lines.len() == 2),
                "{cell}"
            );
        }
    }
}

#[test]
fn mistakes_about_dated_apis_are_placed() {
    let one = |rest: &str| {
        format!("targets:\n  azure:\n    provider: azure-openai\n    model: team-agents\n{rest}")
    };
    let endpoint = "    endpoint: https://r.openai.azure.com\n";
    for (name, text) in [
        ("azure-endpoint", one("")),
        (
            "azure-version",
            one(&format!("{endpoint}    api_version: v1\n")),
        ),
        (
            "azure-no-day",
            one(&format!("{endpoint}    api_version: 2025-02-29\n")),
        ),
        (
            "azure-fine",
            one(&format!("{endpoint}    api_version: 2025-04-01-preview\n")),
        ),
    ] {
        let catalog = sameturn::catalog::shipped();
        let said =
            match sameturn::target::read::read_checked("sameturn.yaml", text.as_bytes(), catalog) {
                Ok((_, warnings)) if warnings.is_empty() => "nothing to say\n".to_owned(),
                Ok((_, found)) | Err(found) => found.to_string(),
            };
        check_snapshot(&format!("target-{name}.txt"), &said)
            .expect("as before (UPDATE=1 rewrites)");
    }
}

#[test]
fn the_schema_knows_every_form() {
    let schema = Project::new().run(&["schema", "targets"]).exits(0).json();
    let check = sameturn::json_schema::Schema::compile(&schema).expect("it compiles");
    let file = |auth: Value| {
        serde_json::json!({ "targets": { "a": {
            "provider": "azure-openai", "model": "m", "api_version": "2024-10-21", "auth": auth,
        } } })
    };
    for auth in [
        serde_json::json!({ "bearer_command": "az account" }),
        serde_json::json!({ "bearer_command": ["az", "account"] }),
        serde_json::json!({ "bearer_command": { "command": ["az"], "timeout": "10s", "refresh": "never", "cwd": "/" } }),
        serde_json::json!({ "key_env": { "header": "api-key", "env": "A" } }),
        serde_json::json!({ "api_key_env": "A" }),
    ] {
        assert_eq!(check.check(&file(auth.clone())), Ok(()), "{auth}");
    }
    for auth in [
        serde_json::json!({ "bearer_command": [] }),
        serde_json::json!({ "bearer_command": { "args": ["az"] } }),
        serde_json::json!({ "bearer_command": { "command": ["az"], "timout": "1s" } }),
        serde_json::json!({ "key_env": { "env": "A" } }),
    ] {
        assert!(check.check(&file(auth.clone())).is_err(), "{auth}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_a_hanging_command_and_its_children() {
    use std::time::{Duration, Instant};

    let wait = |what: &str, done: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !done() {
            assert!(started.elapsed() < Duration::from_secs(30), "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let server = Stub::json("500 Oops", "", "{}");
    let project = counting(&server, ", timeout: 60s").file(
        "token.sh",
        "sleep 60 &\necho $! > child.new\nmv child.new child\nwait\n",
    );
    let run = project.start(&["check", "--format", "json", "pong.yaml"]);
    wait("the command did not start", &|| {
        project.path("child").exists()
    });
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &run.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(interrupted.success());
    let output = run.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let child = std::fs::read_to_string(project.path("child")).expect("a number");
    let stat = format!("/proc/{}/stat", child.trim());
    wait("the child lives on", &|| {
        std::fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z "))
    });
    assert_eq!(server.requests(), [] as [String; 0]);
}
