//! `credential_process`: the user's own program, run within a limit.
//!
//! Run here and not by the SDK, which starts it with this process's environment, waits for ever, and
//! lets it live on when it is given up. Here it gets the environment that counts, and when its time is
//! over it is ended together with whatever it has started. What it prints on stdout is never shown.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use serde_json::Value;
use tokio::process::Command;

use crate::auth::aws_profile::AwsProfile;
use crate::auth::environment::Environment;
use crate::auth::program::{Ended, Program};
use crate::auth::redact::Redactor;
use crate::auth::{SignInFailure, timestamp};

/// Most bytes that are read of each stream.
const MOST: u64 = 1024 * 1024;
/// Most characters of its complaints that are quoted.
const LONGEST_QUOTE: usize = 400;

/// Runs the command of a profile and reads the credentials that it prints.
pub async fn run(
    command: &str,
    profile: &AwsProfile,
    environment: &Environment,
    limit: Duration,
) -> Result<Credentials, SignInFailure> {
    let name = &profile.source;
    let what = format!("the credential_process of the AWS profile `{name}`");
    let by_hand = format!(
        "run the command by hand and mend what it says: `aws configure get credential_process \
         --profile {name}` shows it"
    );
    let program = start(command, environment).map_err(|error| {
        SignInFailure::of(
            "process_missing",
            format!("{what} could not be started: {error}"),
            by_hand.clone(),
        )
    })?;
    let Ended {
        status,
        stdout,
        stderr,
    } = match tokio::time::timeout(limit, program.ended(MOST)).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => {
            return Err(SignInFailure::of(
                "process_failed",
                format!("{what} could not be read: {error}"),
                by_hand,
            ));
        }
        Err(_) => {
            return Err(SignInFailure::of(
                "process_hung",
                format!("{what} gave no answer within {limit:?} and was ended"),
                "run the command by hand; it may be waiting for input or for a browser".to_string(),
            ));
        }
    };
    if !status.success() {
        let said = quote(&stderr);
        // What a shell says of a program that is not there, or that is none (POSIX sh).
        let (cause, fix) = match status.code() {
            Some(126 | 127) => (
                "process_missing",
                format!("install that program, or correct its path in the profile `{name}`"),
            ),
            _ => ("process_failed", by_hand),
        };
        return Err(SignInFailure::of(
            cause,
            format!("{what} failed ({status}){said}"),
            fix,
        ));
    }
    let keys = read(&stdout).map_err(|reason| {
        SignInFailure::of(
            "process_rubbish",
            format!("{what} printed no credentials: {reason}"),
            "let it print one JSON object with `Version` 1, `AccessKeyId` and `SecretAccessKey`, \
             and nothing else, on stdout"
                .to_string(),
        )
    })?;
    match keys.expiry() {
        Some(at) if at <= SystemTime::now() => Err(SignInFailure::of(
            "process_expired",
            format!(
                "{what} printed credentials that expired {}",
                timestamp::write(at)
            ),
            format!(
                "renew what the command hands out; for a wrapped SSO session that is `aws sso login \
                 --profile {name}`"
            ),
        )),
        _ => Ok(keys),
    }
}

fn start(command: &str, environment: &Environment) -> std::io::Result<Program> {
    #[cfg(unix)]
    let shell = {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        shell
    };
    #[cfg(windows)]
    let shell = {
        let mut shell = Command::new("cmd.exe");
        shell.arg("/C").raw_arg(format!("\"{command}\""));
        shell
    };
    Program::start(shell, environment)
}

/// Reads what a process printed. The error quotes nothing of it.
fn read(text: &[u8]) -> Result<Credentials, String> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err("nothing was printed".to_string());
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(text) else {
        return Err("it is not a JSON object".to_string());
    };
    let field = |name: &str| {
        fields
            .iter()
            .find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null())
            .map(|(_, value)| value)
    };
    match field("Version").map(Value::as_i64) {
        Some(Some(1)) => {}
        Some(_) => return Err("`Version` is not 1".to_string()),
        None => return Err("there is no `Version`".to_string()),
    }
    let text = |name: &str| match field(name).map(Value::as_str) {
        Some(Some(text))
            if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(Some(text.to_string()))
        }
        Some(_) => Err(format!("`{name}` is no key or token")),
        None => Ok(None),
    };
    let required = |name: &str| text(name)?.ok_or(format!("there is no `{name}`"));
    let expires = match field("Expiration") {
        None => None,
        Some(value) => Some(
            value
                .as_str()
                .and_then(timestamp::read)
                .ok_or("`Expiration` is no RFC 3339 time")?,
        ),
    };
    Ok(Credentials::new(
        required("AccessKeyId")?,
        required("SecretAccessKey")?,
        text("SessionToken")?,
        expires,
        "credential_process",
    ))
}

/// What a program complained of, as `: words`, secrets removed.
fn quote(stderr: &[u8]) -> String {
    let text = Redactor::default().redact(String::from_utf8_lossy(stderr).trim());
    let words: Vec<&str> = text.split_whitespace().collect();
    let words = words.join(" ");
    match words.char_indices().nth(LONGEST_QUOTE) {
        _ if words.is_empty() => String::new(),
        Some((at, _)) => format!(": {}…", &words[..at]),
        None => format!(": {words}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::auth::process::read;

    #[test]
    fn what_is_no_credentials_is_told_why() {
        let reason = |text: &str| read(text.as_bytes()).expect_err("read");
        assert_eq!(reason(" \n"), "nothing was printed");
        assert_eq!(reason("logged in"), "it is not a JSON object");
        assert_eq!(reason("[1]"), "it is not a JSON object");
        assert_eq!(reason("{}"), "there is no `Version`");
        assert_eq!(reason(r#"{"Version":"1"}"#), "`Version` is not 1");
        assert_eq!(
            reason(r#"{"Version":1,"SecretAccessKey":"s"}"#),
            "there is no `AccessKeyId`"
        );
        assert_eq!(
            reason(r#"{"Version":1,"AccessKeyId":"a b","SecretAccessKey":"s"}"#),
            "`AccessKeyId` is no key or token"
        );
        assert_eq!(
            reason(r#"{"Version":1,"AccessKeyId":"a","SecretAccessKey":"s","Expiration":"soon"}"#),
            "`Expiration` is no RFC 3339 time"
        );
        let text = r#"{"version":1,"accesskeyid":"a","SecretAccessKey":"s","SessionToken":null}"#;
        assert!(read(text.as_bytes()).is_ok());
    }
}
