//! A bearer token from a command: standard output is the token.
//!
//! The semantics are those of Codex's provider auth command (codex-rs/login/src/auth/external_bearer.rs of
//! github.com/openai/codex, read 2026-11-21): no shell, no standard input, surrounding white space is taken
//! off, empty output and a status other than 0 are errors. Beyond that, the command runs in a process group
//! of its own, so that nothing it started outlives the limit or the run, and what it prints is bounded.

use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::auth::SignInFailure;
use crate::auth::credentials::Secret;
use crate::auth::environment::Environment;
use crate::auth::explain::cut;
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
        success,
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
    if !success {
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

/// A command that came to its end by itself.
struct Ended {
    success: bool,
    /// `exit status: 3`, or the signal.
    status: String,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

async fn run(command: &BearerCommand, environment: &Environment) -> Result<Ended, SignInFailure> {
    let name = command.program();
    let mut process = Command::new(program(command));
    process
        .args(command.command.iter().skip(1))
        .env_clear()
        .envs(environment.iter())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(folder) = &command.cwd {
        process.current_dir(folder);
    }
    #[cfg(unix)]
    process.process_group(0);
    let mut child = process.spawn().map_err(|error| {
        let place = match &command.cwd {
            Some(folder) => format!(" in {folder}"),
            None => String::new(),
        };
        failure(
            format!("the auth command `{name}` could not be started{place}: {error}"),
            "check the program's name and PATH, and `cwd`",
        )
    })?;
    let group = Group::of(&child);
    let (stdout, stderr) = tokio::join!(
        read(child.stdout.take(), MOST_OUTPUT),
        read(child.stderr.take(), MOST_OUTPUT)
    );
    let broken = |error: std::io::Error| {
        failure(
            format!("the auth command `{name}` could not be read: {error}"),
            "run it by hand",
        )
    };
    let status = child.wait().await;
    // Until it was waited for, the id of the process, which is that of the group, is nobody else's.
    group.leave();
    let status = status.map_err(broken)?;
    Ok(Ended {
        success: status.success(),
        status: status.to_string(),
        stdout: stdout.map_err(broken)?,
        stderr: stderr.map_err(broken)?,
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

/// Reads to the end; keeps one byte more than `most` at most.
async fn read(pipe: Option<impl AsyncRead + Unpin>, most: u64) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(most + 1).read_to_end(&mut kept).await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(kept)
}

/// The process group of a command; killed when dropped before the command has ended.
struct Group {
    #[cfg(unix)]
    id: Option<rustix::process::Pid>,
}

impl Group {
    #[cfg(unix)]
    fn of(child: &Child) -> Group {
        let id = child
            .id()
            .and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        Group { id }
    }

    /// Elsewhere only the process itself is killed, by `kill_on_drop`.
    #[cfg(not(unix))]
    fn of(_: &Child) -> Group {
        Group {}
    }

    /// What it started may go on: a daemon that caches tokens, for example.
    fn leave(mut self) {
        #[cfg(unix)]
        {
            self.id = None;
        }
        drop(self);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(id) = self.id {
            // It can only fail where nothing is left to kill.
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}

fn failure(message: String, fix: &str) -> SignInFailure {
    SignInFailure::of("command_failed", message, fix.to_string())
}
