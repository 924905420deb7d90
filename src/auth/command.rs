//! A bearer token from a command: standard output is the token.
//!
//! The semantics are those of Codex's provider auth command (codex-rs/login/src/auth/external_bearer.rs of
//! github.com/openai/codex, read 2026-11-21): no shell, no standard input, surrounding white space is taken
//! off, empty output and a status other than 0 are errors. Beyond that, nothing it started outlives the limit,
//! and what it prints is bounded (`program`).

use tokio::process::Command;

use crate::auth::SignInFailure;
use crate::auth::credentials::Secret;
use crate::auth::environment::Environment;
use crate::auth::explain::cut;
use crate::auth::program::{Ended, Program};
use crate::auth::redact::Redactor;
use crate::target::bearer_command::BearerCommand;

/// What is read of each output, in bytes; tokens have some kilobytes at most.
const MOST_OUTPUT: u64 = 64 * 1024;

/// Runs the command with this environment alone, and returns the token it prints.
///
/// All failures are of the class `no_credentials`: there is nothing to send. Dropping the future kills what
/// runs.
pub async fn token(
    command: &BearerCommand,
    environment: &Environment,
) -> Result<Secret, SignInFailure> {
    let name = command.program();
    let Ended {
        status,
        stdout,
        stderr,
    } = match tokio::time::timeout(command.timeout, run(command, environment)).await {
        Ok(ended) => ended?,
        Err(_) => {
            return Err(failure(
                format!(
                    "the auth command `{name}` did not end within {:?} and was killed",
                    command.timeout
                ),
                "run it by hand: it must not wait for input; raise `timeout` if it is only slow",
            ));
        }
    };
    let printed = Secret::new(String::from_utf8_lossy(&stdout).trim());
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        let said = Redactor::new([printed]).redact(stderr.trim());
        let said = match said.is_empty() {
            true => String::new(),
            false => format!(": {}", cut(&said)),
        };
        return Err(failure(
            format!("the auth command `{name}` failed with {status}{said}"),
            "run that command by hand and mend what it says",
        ));
    }
    if stdout.len() as u64 > MOST_OUTPUT {
        return Err(failure(
            format!("the auth command `{name}` printed more than {MOST_OUTPUT} bytes"),
            "it must print the token and nothing else",
        ));
    }
    if printed.expose().is_empty() {
        return Err(failure(
            format!("the auth command `{name}` printed nothing on standard output"),
            "it must print the token, and nothing else, on standard output",
        ));
    }
    if !printed.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(failure(
            format!(
                "the auth command `{name}` printed {} bytes with characters that no token in an HTTP header has",
                stdout.len()
            ),
            "it must print the token and nothing else: no JSON, no second line (for `az`: `--query accessToken -o tsv`)",
        ));
    }
    Ok(printed)
}

async fn run(command: &BearerCommand, environment: &Environment) -> Result<Ended, SignInFailure> {
    let name = command.program();
    let mut process = Command::new(program(command));
    process.args(command.command.iter().skip(1));
    if let Some(folder) = &command.cwd {
        process.current_dir(folder);
    }
    let started = Program::start(process, environment).map_err(|error| {
        let place = match &command.cwd {
            Some(folder) => format!(" in {folder}"),
            None => String::new(),
        };
        failure(
            format!("the auth command `{name}` could not be started{place}: {error}"),
            "check the program's name and PATH, and `cwd`",
        )
    })?;
    started.ended(MOST_OUTPUT).await.map_err(|error| {
        failure(
            format!("the auth command `{name}` could not be read: {error}"),
            "run it by hand",
        )
    })
}

/// The program to start: a bare name is looked up in PATH, a path with folders begins in `cwd`.
fn program(command: &BearerCommand) -> std::path::PathBuf {
    let program = command.command.first().map_or("", String::as_str);
    match &command.cwd {
        Some(folder) if program.contains('/') => std::path::Path::new(folder).join(program),
        _ => program.into(),
    }
}

fn failure(message: String, fix: &str) -> SignInFailure {
    SignInFailure::of("command_failed", message, fix.to_string())
}
