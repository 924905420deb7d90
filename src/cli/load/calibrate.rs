//! `--calibrate`: the same load against a mock in a process of its own, which writes down when it sent what.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::cli::load::args::LoadArgs;
use crate::load::calibration::{self, Calibration, quantile};
use crate::load::sample::Sample;

/// What the mock calls its key that everybody knows.
pub const KEY_VARIABLE: &str = "SAMETURN_CALIBRATION_KEY";

/// A model that the mocked direct provider has.
const MODEL: &str = "gpt-5.5";

/// The mock, and where its truth goes.
pub struct Specimen {
    process: Child,
    /// Its mocked direct provider.
    pub base_url: String,
    /// The key it takes.
    pub key: String,
    truth: PathBuf,
    _folder: tempfile::TempDir,
}

impl Specimen {
    /// Starts it: 200 ms to the first token and 20 ms between tokens, without spread.
    pub fn start() -> anyhow::Result<Specimen> {
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let truth = folder.path().join("truth.csv");
        let program = std::env::current_exe().context("this program cannot find itself")?;
        let mut command = Command::new(program);
        command
            .args(["mock", "--port", "0", "--format", "json"])
            .args(["--ttft", "200ms", "--between", "20ms", "--truth"])
            .arg(&truth)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // Ctrl-C is for the load: the mock must go on while what is under way ends.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut process = command.spawn().context("the mock did not start")?;
        let mut line = String::new();
        let stdout = process.stdout.take().context("the mock says nothing")?;
        BufReader::new(stdout)
            .read_line(&mut line)
            .context("the mock says nothing")?;
        let said: Value =
            serde_json::from_str(&line).context("the mock did not say where it is")?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let first = &said["endpoints"][0];
        let allowed = said["principals"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["allowed"] == true));
        let (Some(base_url), Some(key)) = (
            text(&first["base_url"]),
            allowed.and_then(|one| text(&one["bearer"])),
        ) else {
            let _ = process.kill();
            bail!("the mock did not say where it is");
        };
        Ok(Specimen {
            process,
            base_url,
            key,
            truth,
            _folder: folder,
        })
    }

    /// The flags that ask it.
    pub fn arguments(&self, args: &LoadArgs) -> LoadArgs {
        let mut args = args.clone();
        args.server.base_url = Some(self.base_url.clone());
        args.server.model = Some(MODEL.to_owned());
        args.server.api_key_env = Some(KEY_VARIABLE.to_owned());
        args
    }

    /// Ends the mock, and compares what was measured with its truth.
    /// `origin` is when the round began.
    pub fn compare(
        mut self,
        samples: &[Sample],
        origin: SystemTime,
    ) -> anyhow::Result<Calibration> {
        #[cfg(unix)]
        if let Some(pid) = i32::try_from(self.process.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            // Told to stop, it writes the rest of its truth.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        #[cfg(not(unix))]
        let _ = self.process.kill();
        self.process.wait().context("the mock did not end")?;
        let text = std::fs::read_to_string(&self.truth).context("the mock left no truth")?;
        let truths = calibration::read(&text).map_err(anyhow::Error::msg)?;
        let since = origin.duration_since(SystemTime::UNIX_EPOCH);
        let origin = u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX);
        Ok(calibration::compare(&truths, samples, origin))
    }
}

impl Drop for Specimen {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The result, for people. `shared`: over HTTP/2.
pub fn words(calibration: &Calibration, shared: bool) -> String {
    let row = |name: &str, differences: &[i64]| {
        let ms = |q| quantile(differences, q).map_or("-".to_owned(), |ms| format!("{ms:+.3}"));
        format!(
            "  {name:28}  p50 {:>8}  p90 {:>8}  p99 {:>8}  most {:>8}\n",
            ms(0.5),
            ms(0.9),
            ms(0.99),
            ms(1.0)
        )
    };
    let mut out = format!(
        "Calibration: reported minus true, in ms, of {} answers\n",
        calibration.compared
    );
    out.push_str(&row("TTFT, kernel's times", &calibration.ttft));
    out.push_str(&row("TTFT, times of the reads", &calibration.ttft_read));
    out.push_str(&row("gaps between output events", &calibration.itl));
    for (count, words) in [
        (calibration.unmatched, "answers are not in the mock's truth"),
        (
            calibration.other_gaps,
            "answers had other numbers of events than the mock says it sent",
        ),
    ] {
        if count > 0 {
            out.push_str(&format!("  {count} {words}\n"));
        }
    }
    out.push_str(&row("until the mock had read it", &calibration.until_read));
    out.push_str(
        "  (true: from our last byte sent to the mock's handing of the first output to the kernel; the last row is\n   \
         the mock's own share of that)\n",
    );
    if shared {
        // `mock::stamped` says why.
        out.push_str(
            "  (over HTTP/2 the mock knows no more than when an event may have left at the earliest: above the medians, a\n   \
             difference is also the mock's)\n",
        );
    }
    out
}

/// The result, for machines.
pub fn json(calibration: &Calibration) -> Value {
    let spread = |differences: &[i64]| {
        serde_json::json!({
            "p50": quantile(differences, 0.5), "p90": quantile(differences, 0.9),
            "p99": quantile(differences, 0.99), "max": quantile(differences, 1.0),
        })
    };
    serde_json::json!({
        "compared": calibration.compared,
        "unmatched": calibration.unmatched,
        "ttft_error_ms": spread(&calibration.ttft),
        "ttft_read_error_ms": spread(&calibration.ttft_read),
        "until_read_ms": spread(&calibration.until_read),
        "itl_error_ms": spread(&calibration.itl),
    })
}
