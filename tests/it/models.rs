//! `sameturn models` as users run it.

use std::net::SocketAddr;

use sameturn::mock::data::MockData;
use sameturn::mock::server::MockServer;

use crate::program::Project;
use crate::stub_server::Stub;

/// A table as it was, rewritten with `UPDATE=1`.
#[track_caller]
fn same(name: &str, text: &str) {
    let file = format!("{}/tests/it/reports/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, kept, "{name} differs; UPDATE=1 rewrites it");
}

#[test]
fn the_built_in_mocks_need_no_flags() {
    let project = Project::new();
    let said = project.run(&["models", "--all"]).exits(0);
    same("models-all.txt", &said.stdout);
    let json = project.run(&["models", "--format", "json"]).exits(0).json();
    assert_eq!(json["verdict"], "pass");
    let answers: Vec<&str> = json["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["answer"].as_str().unwrap())
        .collect();
    assert_eq!(
        answers,
        ["listed", "listed", "listed", "no_list", "no_list"]
    );
    assert_eq!(json["targets"][1]["retention"], "default");
    assert_eq!(json["targets"][1]["catalog"]["served"], true);
    assert!(json["note"].as_str().unwrap().contains("not always"));
    assert!(project.files().is_empty(), "nothing is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_a_finding_and_who_may_not_look_learns_nothing() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mock = MockServer::start(any, MockData::shipped().unwrap(), 1)
        .await
        .unwrap();
    let target = |name: &str, model: &str, region: &str, key: &str| {
        format!(
            "  {name}:\n    provider: bedrock-mantle\n    model: {model}\n    regions: [{region}]\n    \
             auth: {{ bearer_env: {key} }}\n    endpoint: http://{}/bedrock-mantle/{{region}}/openai/v1\n",
            mock.address()
        )
    };
    let targets = format!(
        "targets:\n{}{}{}{}{}",
        target("fine", "openai.gpt-5.5", "us-east-1", "A_KEY"),
        target("elsewhere", "openai.gpt-5.5", "us-west-2", "A_KEY"),
        target("short", "gpt-5.5", "us-east-1", "A_KEY"),
        target("off", "sameturn.unavailable", "us-east-1", "A_KEY"),
        target("denied", "openai.gpt-5.5", "us-east-1", "DENIED"),
    );
    let project = Project::new()
        .file("sameturn.yaml", &targets)
        .variable("A_KEY", "sameturn-mock-bearer-default")
        .variable("DENIED", "sameturn-mock-bearer-denied");
    let said = project.run(&["models"]).exits(1);
    same("models-findings.txt", &said.stdout);
    project.run(&["models", "--target", "fine"]).exits(0);
    project.run(&["models", "--target", "off"]).exits(1);
    let denied = ["models", "--target", "denied", "--format", "json"];
    let denied = project.run(&denied).exits(3).json();
    assert_eq!(denied["verdict"], "undetermined");
    let reason = denied["targets"][0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("access_denied: ") && reason.contains("bedrock-mantle:ListModels"),
        "{reason}"
    );
    project.run(&["models", "--target", "nobody"]).exits(2);
}

#[test]
fn what_a_server_says_is_hostile_text() {
    let stub = Stub::json(
        "200 OK",
        "",
        r#"{"data":[{"id":"m","status":"\u001b[31mgone\nx"},{"id":"\u202eevil"}]}"#,
    );
    let arguments = [
        "models",
        "--all",
        "--base-url",
        &stub.base_url,
        "--model",
        "m",
    ];
    let said = Project::new().run(&arguments).exits(1);
    assert!(!said.stdout.contains('\u{1b}') && !said.stdout.contains('\u{202e}'));
    assert!(said.stdout.contains("UNAVAILABLE"), "{}", said.stdout);
    for (status, body, expected) in [
        ("200 OK", "<html>", "bad_response: "),
        (
            "500 Oops",
            r#"{"error":{"message":"the list is out"}}"#,
            "server_error: the list is out",
        ),
        (
            "200 OK",
            r#"{"data":[],"has_more":true}"#,
            "the list goes on",
        ),
    ] {
        let stub = Stub::json(status, "", body);
        let arguments = ["models", "--base-url", &stub.base_url, "--model", "m"];
        let said = Project::new().run(&arguments).exits(3);
        assert!(said.stdout.contains(expected), "{}", said.stdout);
    }
}

/// Ctrl-C ends the command and what its auth command has started.
#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_leaves_no_auth_command_behind() {
    let project = Project::new().variable("PATH", "/usr/bin:/bin");
    let file = project.path("child");
    let script = format!("sh -c 'sleep 60 & echo $! > {}; wait'", file.display());
    let mut models = project.start(&[
        "models",
        "--base-url",
        "http://127.0.0.1:9/v1",
        "--model",
        "m",
        "--auth-command",
        &script,
    ]);
    let started = std::time::Instant::now();
    let soon = |what: &str| {
        assert!(started.elapsed().as_secs() < 5, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let child = loop {
        match std::fs::read_to_string(&file) {
            Ok(id) if id.ends_with('\n') => break id.trim().to_owned(),
            _ => soon("the auth command did not start"),
        }
    };
    let told = std::process::Command::new("kill")
        .args(["-INT", &models.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(told.success());
    assert_eq!(models.wait().expect("it ends").code(), Some(130));
    // Gone, or dead and not yet collected by whoever is its parent now.
    let lives = || {
        std::fs::read_to_string(format!("/proc/{child}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z"))
    };
    while lives() {
        soon("it left its command's child behind");
    }
}
