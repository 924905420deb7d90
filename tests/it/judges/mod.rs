//! Outside judges: ordinary packages drive the mocks, and `check` is pointed at ordinary servers.
//!
//! `tests/it/judges/install` puts them into `target/judges`, or the folder in `SAMETURN_JUDGES`. A test
//! whose judge is absent says so and returns.

mod codex;
mod openai_client;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

/// Longest time for one judge. Far more than any takes: it only ends what hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// A program of the judges' folder. `None`, with a printed reason, where it is not there.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn installed(place: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("SAMETURN_JUDGES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges"),
    };
    let program = folder.join(place);
    if program.exists() {
        return Some(program);
    }
    eprintln!(
        "skipped: {} is not there (tests/it/judges/install puts it there)",
        program.display()
    );
    None
}

/// The interpreter that has the packages of `requirements-python.txt`.
pub(crate) fn python() -> Option<PathBuf> {
    installed("python/bin/python")
}

/// Where a file of this folder lies.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/judges")
        .join(name)
}

/// A command with nothing of our environment in it but the search path.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs to the end, or is ended.
async fn finished(mut command: Command) -> Output {
    let running = command.output();
    let ended = tokio::time::timeout(PATIENCE, running).await;
    ended.expect("it ends in time").expect("it runs")
}

/// What a Python judge printed as JSON, when it ended well.
pub(crate) async fn told(python: &Path, script: &str, arguments: &[&str]) -> serde_json::Value {
    let mut command = command(python);
    command.arg(file(script)).args(arguments);
    let run = finished(command).await;
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{script}: {said}");
    serde_json::from_slice(&run.stdout).expect("JSON")
}
