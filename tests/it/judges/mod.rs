//! Outside judges: ordinary packages drive the mocks, and `check` is pointed at ordinary servers.
//!
//! `tests/it/judges/install` puts them into `target/judges`, or the folder in `SAMETURN_JUDGES`. A test
//! whose judge is absent says so and returns.

mod codex;
mod corrupting;
mod openai_client;
mod servers;
mod shards;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

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

/// An interpreter for what needs no packages: the one on the search path, or that one.
fn any_python() -> Option<PathBuf> {
    let tried = std::process::Command::new("python3")
        .arg("--version")
        .output();
    match tried.is_ok_and(|run| run.status.success()) {
        true => Some("python3".into()),
        false => python(),
    }
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

/// A server, until the test ends.
struct Running {
    child: Child,
    /// Its home and working directory.
    home: TempDir,
}

impl Running {
    fn start(program: &Path, arguments: &[&Path], variables: &[(&str, String)]) -> Running {
        let home = TempDir::new().expect("a folder");
        let child = std::process::Command::new(program)
            .args(arguments)
            .current_dir(home.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .envs(
                variables
                    .iter()
                    .map(|(name, value)| (name, OsStr::new(value))),
            )
            // Some serve until their input ends: ours, kept open as long as we are.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(
                std::fs::File::create(home.path().join("stderr")).expect("a file"),
            ))
            .spawn()
            .expect("it starts");
        Running { child, home }
    }

    /// Starts, and waits for the first line on stdout.
    fn that_prints(program: &Path, arguments: &[&Path]) -> (Running, String) {
        let mut running = Running::start(program, arguments, &[]);
        let stdout = running.child.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert!(!line.is_empty(), "it ended: {}", running.stderr());
        (running, line)
    }

    /// Starts, and waits until the port takes connections.
    fn that_listens(
        program: &Path,
        arguments: &[&Path],
        variables: &[(&str, String)],
        port: u16,
    ) -> Running {
        let mut running = Running::start(program, arguments, variables);
        // Whatever it prints must not fill the pipe.
        let mut stdout = running.child.stdout.take().expect("a pipe");
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = running.child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "it ended: {}", running.stderr());
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not listen: {}",
                running.stderr()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        running
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(self.home.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
