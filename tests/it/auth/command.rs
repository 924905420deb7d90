//! A bearer that a command prints.

use std::time::{Duration, Instant, SystemTime};

use crate::auth::home::*;

use sameturn::auth::aws_chain::LIMITS;
use sameturn::auth::credentials::SignedIn;
use sameturn::auth::{SignInFailure, command};
use sameturn::target::bearer_command::BearerCommand;
use sameturn::target::model::Auth;

/// `sh -c SCRIPT` within a second.
fn shell(script: &str) -> BearerCommand {
    BearerCommand {
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        timeout: Duration::from_secs(5),
        refresh: Some(Duration::from_secs(60)),
        cwd: None,
    }
}

async fn run(command: BearerCommand) -> Result<SignedIn, SignInFailure> {
    let auth = Auth::BearerCommand(command);
    Home::new("")
        .with("DIRECT_KEY", "marker-of-the-row")
        .with("GIVEN", "marker-given")
        .sign_in_at(DIRECT, Some(auth), &LIMITS)
        .await
}

#[tokio::test]
async fn what_it_prints_is_the_token() {
    let signed = run(shell("echo; echo '  marker-token\t'; echo"))
        .await
        .unwrap();
    assert_eq!(bearer(&signed), "marker-token");
    assert_eq!(signed.how, "bearer from the command `sh`");
    // It sees the environment that was given, and no other.
    assert_eq!(
        bearer(&run(shell("echo $GIVEN$CARGO_PKG_NAME")).await.unwrap()),
        "marker-given"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "marker-file").unwrap();
    std::fs::write(folder.path().join("print"), "#!/bin/sh\ncat token\n").unwrap();
    let inside = BearerCommand {
        command: vec!["/bin/sh".to_owned(), "./print".to_owned()],
        cwd: Some(folder.path().display().to_string()),
        ..shell("")
    };
    assert_eq!(bearer(&run(inside).await.unwrap()), "marker-file");
    // What it says besides does not matter as long as it succeeds.
    let chatty = shell("echo WARNING: an update >&2; echo marker-token");
    assert_eq!(bearer(&run(chatty).await.unwrap()), "marker-token");
}

#[tokio::test]
async fn nothing_and_rubbish_are_no_token() {
    for (script, word) in [
        ("true", "printed nothing"),
        ("echo; echo ' '", "printed nothing"),
        ("cat", "printed nothing"),
        (
            "echo '{\"accessToken\": \"marker\"}'",
            "no token in an HTTP header has",
        ),
        ("echo marker; echo marker", "no token in an HTTP header has"),
        (
            "printf 'marker\\000marker'",
            "no token in an HTTP header has",
        ),
        ("printf 'marker\\377'", "no token in an HTTP header has"),
        ("yes marker | head -c 200000", "more than 65536 bytes"),
    ] {
        failed(run(shell(script)).await, "no_credentials", &["`sh`", word]);
    }
}

#[tokio::test]
async fn a_failure_is_quoted_without_secrets() {
    let script =
        "echo marker-half; echo 'please log in' >&2; echo 'Bearer marker-half' >&2; exit 3";
    failed(
        run(shell(script)).await,
        "no_credentials",
        &["`sh`", "exit status: 3", "please log in", "by hand"],
    );
    let long = failed(
        run(shell("yes word | head -c 5000000 >&2; exit 1")).await,
        "no_credentials",
        &["word", "…"],
    );
    assert!(long.message.len() < 600, "{}", long.message.len());
    failed(
        run(shell("kill -9 $$")).await,
        "no_credentials",
        &["signal: 9"],
    );
    let absent = BearerCommand {
        command: vec!["sameturn-no-such-program".to_owned()],
        ..shell("")
    };
    failed(
        run(absent).await,
        "no_credentials",
        &["`sameturn-no-such-program` could not be started", "PATH"],
    );
    let nowhere = BearerCommand {
        cwd: Some("/no/such/folder".to_owned()),
        ..shell("echo marker")
    };
    failed(
        run(nowhere).await,
        "no_credentials",
        &["could not be started in /no/such/folder"],
    );
}

/// Whether a process is there; one that is dead but not waited for does not count.
#[cfg(target_os = "linux")]
fn lives(id: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).is_ok_and(|stat| {
        let state = stat.rsplit(") ").next().unwrap_or_default();
        !state.starts_with('Z')
    })
}

#[cfg(target_os = "linux")]
async fn dies(id: &str) {
    let started = Instant::now();
    while lives(id) {
        assert!(started.elapsed() < Duration::from_secs(5), "{id} lives on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_that_hangs_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child");
    // A child that keeps the pipe, and a shell that waits for it.
    let script = format!("sleep 60 & echo $! > {}; wait", file.display());
    let hanging = BearerCommand {
        timeout: Duration::from_millis(500),
        ..shell(&script)
    };
    let started = Instant::now();
    failed(
        run(hanging.clone()).await,
        "no_credentials",
        &["`sh`", "within 500ms", "killed"],
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    dies(&std::fs::read_to_string(&file).unwrap()).await;

    // So is one that nobody waits for any more.
    std::fs::remove_file(&file).unwrap();
    let patient = BearerCommand {
        timeout: Duration::from_secs(60),
        ..hanging
    };
    let environment = Home::new("").environment;
    let given_up = tokio::time::timeout(
        Duration::from_millis(500),
        command::token(&patient, &environment),
    );
    assert!(given_up.await.is_err());
    dies(&std::fs::read_to_string(&file).unwrap()).await;
}

#[tokio::test]
async fn a_token_becomes_old() {
    let now = Instant::now();
    let signed = run(shell("echo marker")).await.unwrap();
    assert!(!signed.is_due_at(SystemTime::now(), now));
    assert!(signed.is_due_at(SystemTime::now(), now + Duration::from_secs(90)));
    let lasting = BearerCommand {
        refresh: None,
        ..shell("echo marker")
    };
    let signed = run(lasting).await.unwrap();
    assert!(!signed.is_due_at(SystemTime::now(), now + Duration::from_secs(1_000_000)));
    assert!(signed.renewal.is_some(), "a 401 may still renew it");
}
