//! Credentials from a program.

use crate::auth::home::*;
use std::time::{Duration, SystemTime};

use sameturn::auth::aws_chain::{LIMITS, Limits};
use sameturn::auth::timestamp;
use serde_json::json;

fn process(command: &str) -> Home {
    Home::new(&format!("[profile p]\ncredential_process = {command}\n"))
}

fn answer(expiration: SystemTime) -> Home {
    let home = Home::new("");
    let file = home.folder.path().join("answer.json");
    let text = json!({
        "Version": 1, "AccessKeyId": "AKIDPROC", "SecretAccessKey": "marker-proc",
        "Expiration": timestamp::write(expiration),
    });
    std::fs::write(&file, text.to_string()).unwrap();
    let config = format!("[profile p]\ncredential_process = cat {}\n", file.display());
    std::fs::write(home.folder.path().join(".aws/config"), config).unwrap();
    home
}

#[tokio::test]
async fn a_process_gives_keys() {
    let signed = answer(hence(3600)).sign_in(profile("p")).await.unwrap();
    assert_eq!(keys(&signed), "AKIDPROC/marker-proc/-");
}

#[tokio::test]
async fn keys_of_a_process_that_are_over_are_expired() {
    failed(
        answer(hence(-60)).sign_in(profile("p")).await,
        "credentials_expired",
        &["profile `p`", "credential_process"],
    );
}

#[tokio::test]
async fn a_process_that_fails_is_quoted_without_secrets() {
    let home = process("echo please log in, AWS_SESSION_TOKEN=marker-t >&2; exit 3");
    failed(
        home.sign_in(profile("p")).await,
        "no_credentials",
        &["credential_process", "`p`", "please log in", "3"],
    );
    failed(
        process("/no/such/program").sign_in(profile("p")).await,
        "no_credentials",
        &["credential_process"],
    );
    failed(
        process("echo marker").sign_in(profile("p")).await,
        "no_credentials",
        &["credential_process", "JSON"],
    );
}

#[tokio::test]
async fn a_process_that_hangs_is_cut() {
    let limits = Limits {
        process: Duration::from_secs(1),
        ..LIMITS
    };
    failed(
        process("sleep 20")
            .sign_in_at(MANTLE, profile("p"), &limits)
            .await,
        "no_credentials",
        &["within 1s", "`p`"],
    );
}
