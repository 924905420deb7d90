//! A program of the user's that prints credentials: started, read within bounds, and ended with all it started.
//!
//! It runs in a process group of its own. Dropped before it has ended, the whole group is killed; what it leaves
//! behind when it ends by itself (a daemon that caches tokens, for example) lives on.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::auth::environment::Environment;

/// A running program.
pub struct Program(Child);

/// A program that came to its end by itself.
pub struct Ended {
    pub status: ExitStatus,
    /// At most one byte more than was to be kept.
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Program {
    /// Starts it with this environment alone and without standard input.
    pub fn start(mut command: Command, environment: &Environment) -> std::io::Result<Program> {
        #[cfg(unix)]
        command.process_group(0);
        command
            .env_clear()
            .envs(environment.iter())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map(Program)
    }

    /// Reads both outputs to their ends and waits. Keeps one byte more than `most` of each at most, so that a
    /// longer one shows.
    pub async fn ended(mut self, most: u64) -> std::io::Result<Ended> {
        let (stdout, stderr) = tokio::try_join!(
            read(self.0.stdout.take(), most),
            read(self.0.stderr.take(), most)
        )?;
        Ok(Ended {
            status: self.0.wait().await?,
            stdout,
            stderr,
        })
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, most: u64) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(most + 1).read_to_end(&mut kept).await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(kept)
}

impl Drop for Program {
    fn drop(&mut self) {
        // Once it was waited for there is no id any more, and somebody else could have the number. Elsewhere than
        // on Unix only the process itself is killed, by `kill_on_drop`.
        #[cfg(unix)]
        if let Some(group) = self
            .0
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw)
        {
            // It can only fail where nothing is left to kill.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}
