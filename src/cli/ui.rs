//! The only place that prints: stdout for results, stderr for progress and diagnostics.
//!
//! A reader that goes away (`| head`) is a quiet end, not an error. Decides colour and width once;
//! never decides what is said. Text it is given is already escaped, but for what progress shows.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report::escape::line;
use crate::report::event::{RunEvent, RunPlan, Verdict};

/// `--color`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ColourChoice {
    #[default]
    Auto,
    Always,
    Never,
}

/// Whether to colour a stream: what was asked for, else a terminal that is not dumb, without `NO_COLOR`.
pub fn colour(
    choice: ColourChoice,
    terminal: bool,
    no_color: Option<&OsStr>,
    term: Option<&OsStr>,
) -> bool {
    match choice {
        ColourChoice::Always => true,
        ColourChoice::Never => false,
        // https://no-color.org: set and not empty.
        ColourChoice::Auto => {
            terminal && no_color.is_none_or(OsStr::is_empty) && term != Some(OsStr::new("dumb"))
        }
    }
}

/// A writer that ends quietly when its reader goes away.
pub struct Quiet<W> {
    inner: W,
    closed: bool,
    failed: bool,
}

impl<W: Write> Quiet<W> {
    pub fn new(inner: W) -> Quiet<W> {
        Quiet {
            inner,
            closed: false,
            failed: false,
        }
    }

    /// Writes and flushes. After a broken pipe nothing is written any more, and that is no error.
    pub fn print(&mut self, text: &str) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        match self
            .inner
            .write_all(text.as_bytes())
            .and_then(|()| self.inner.flush())
        {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => {
                self.failed |= other.is_err();
                other
            }
        }
    }

    /// Whether the reader went away.
    pub fn closed(&self) -> bool {
        self.closed
    }
}

/// Both streams and what is known of the terminal.
pub struct Ui {
    out: Quiet<io::Stdout>,
    err: Quiet<io::Stderr>,
    /// Whether stdout is coloured.
    pub colour: bool,
    /// Columns of the terminal; 100 where there is none.
    pub width: usize,
}

impl Ui {
    /// Looks at the terminal and environment once.
    pub fn new(choice: ColourChoice) -> Ui {
        let (no_color, term) = (env::var_os("NO_COLOR"), env::var_os("TERM"));
        Ui {
            colour: colour(
                choice,
                io::stdout().is_terminal(),
                no_color.as_deref(),
                term.as_deref(),
            ),
            width: width(),
            out: Quiet::new(io::stdout()),
            err: Quiet::new(io::stderr()),
        }
    }

    /// Prints on stderr what must not end a run that measures. That it could not be printed is remembered.
    pub fn tell(&mut self, text: &str) {
        let _ = self.err.print(text);
    }

    /// Whether something could not be written, on a full disk for instance.
    pub fn failed(&self) -> bool {
        self.out.failed || self.err.failed
    }

    /// Prints on stdout, as it is.
    pub fn out(&mut self, text: &str) -> io::Result<()> {
        self.out.print(text)
    }

    /// Prints on stderr, as it is.
    pub fn err(&mut self, text: &str) -> io::Result<()> {
        self.err.print(text)
    }
}

/// Columns of stdout's terminal; 100 where stdout is no terminal, so that files do not depend on who
/// made them.
fn width() -> usize {
    const ELSEWHERE: usize = 100;
    if !io::stdout().is_terminal() {
        return ELSEWHERE;
    }
    terminal_size::terminal_size_of(io::stdout())
        .map(|(terminal_size::Width(columns), _)| usize::from(columns))
        .filter(|columns| *columns > 0)
        .unwrap_or(ELSEWHERE)
}

/// Targets that get a line of their own; a terminal has few lines.
const LINES: usize = 12;

/// What runs now, on stderr while it is a terminal: a bar over all cells and a line per target.
/// Elsewhere it shows nothing.
pub struct Progress {
    terminal: bool,
    shown: Option<Shown>,
}

struct Shown {
    plan: RunPlan,
    lines: MultiProgress,
    bar: ProgressBar,
    /// One per target, as far as they fit.
    targets: Vec<ProgressBar>,
    /// Cells that run now, with their targets.
    running: BTreeMap<usize, usize>,
    failed: usize,
}

impl Progress {
    /// Shows progress only where stderr is a terminal that can move its cursor.
    pub fn new() -> Progress {
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Progress {
            terminal: io::stderr().is_terminal() && !dumb,
            shown: None,
        }
    }

    /// No progress, whatever stderr is.
    pub fn hidden() -> Progress {
        Progress {
            terminal: false,
            shown: None,
        }
    }

    /// Takes in one event.
    pub fn push(&mut self, event: &RunEvent) {
        if !self.terminal {
            return;
        }
        match (event, &mut self.shown) {
            (RunEvent::Started(plan), shown) => {
                *shown = Some(Shown::new(plan.clone(), ProgressDrawTarget::stderr()));
            }
            (RunEvent::Ended { .. }, shown) => {
                if let Some(shown) = shown.take() {
                    shown.clear();
                }
            }
            (event, Some(shown)) => shown.push(event),
            (_, None) => {}
        }
    }
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

impl Drop for Progress {
    /// A run that ends by an error leaves no half-drawn bar behind.
    fn drop(&mut self) {
        if let Some(shown) = self.shown.take() {
            shown.clear();
        }
    }
}

impl Shown {
    fn new(plan: RunPlan, target: ProgressDrawTarget) -> Shown {
        let lines = MultiProgress::with_draw_target(target);
        let style =
            |template| ProgressStyle::with_template(template).expect("the template is well formed");
        let bar = lines.add(ProgressBar::new(plan.cells.len() as u64));
        bar.set_style(style("{bar:30} {pos}/{len} cells  {elapsed}  {wide_msg}"));
        bar.enable_steady_tick(Duration::from_millis(200));
        let targets = plan
            .targets
            .iter()
            .take(LINES)
            .map(|target| {
                let one = lines.add(ProgressBar::new_spinner());
                one.set_style(style("  {prefix:24!} {wide_msg}"));
                one.set_prefix(line(&target.label()));
                one
            })
            .collect();
        Shown {
            plan,
            lines,
            bar,
            targets,
            running: BTreeMap::new(),
            failed: 0,
        }
    }

    fn push(&mut self, event: &RunEvent) {
        match event {
            RunEvent::CellStarted { cell } => {
                if let Some(place) = self.plan.cells.get(*cell) {
                    self.running.insert(*cell, place.target);
                    self.show(place.target);
                }
            }
            RunEvent::CellEnded(result) => {
                self.bar.inc(1);
                if result.verdict == Verdict::Fail {
                    self.failed += 1;
                    self.bar.set_message(format!("{} failed", self.failed));
                }
                if let Some(target) = self.running.remove(&result.cell) {
                    self.show(target);
                }
            }
            RunEvent::Started(_)
            | RunEvent::SignedIn { .. }
            | RunEvent::Exchange(_)
            | RunEvent::Ended { .. } => {}
        }
    }

    fn show(&self, target: usize) {
        if let Some(one) = self.targets.get(target) {
            one.set_message(self.now(target));
        }
    }

    /// The scenarios that run at a target now.
    fn now(&self, target: usize) -> String {
        let cells = self
            .running
            .iter()
            .filter(|(_, at)| **at == target)
            .filter_map(|(cell, _)| self.plan.cells.get(*cell));
        let names = cells
            .filter_map(|cell| self.plan.scenarios.get(cell.scenario))
            .map(|one| line(&one.name));
        names.collect::<Vec<_>>().join(", ")
    }

    fn clear(self) {
        // Nothing can be done about a terminal that cannot be cleared.
        let _ = self.lines.clear();
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::ui::*;
    use crate::report::event::{Cell, CellResult, ScenarioSummary, TargetSummary};

    struct Broken(io::ErrorKind, usize);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_broken_pipe_is_a_quiet_end() {
        let mut quiet = Quiet::new(Broken(io::ErrorKind::BrokenPipe, 0));
        assert!(quiet.print("a").is_ok() && quiet.print("b").is_ok());
        assert!(quiet.closed());
        assert_eq!(
            quiet.inner.1, 1,
            "nothing is written after the reader went away"
        );
        let mut full = Quiet::new(Broken(io::ErrorKind::StorageFull, 0));
        assert_eq!(
            full.print("a").unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
    }

    #[test]
    fn who_gets_colour() {
        let (empty, one, dumb) = (OsStr::new(""), OsStr::new("1"), OsStr::new("dumb"));
        for (choice, terminal, no_color, term, expected) in [
            (ColourChoice::Auto, true, None, None, true),
            (ColourChoice::Auto, true, Some(empty), None, true),
            (ColourChoice::Auto, true, Some(one), None, false),
            (ColourChoice::Auto, true, None, Some(dumb), false),
            (ColourChoice::Auto, false, None, None, false),
            (ColourChoice::Always, false, Some(one), Some(dumb), true),
            (ColourChoice::Never, true, None, None, false),
        ] {
            assert_eq!(
                colour(choice, terminal, no_color, term),
                expected,
                "{choice:?} {terminal} {no_color:?} {term:?}"
            );
        }
    }

    #[test]
    fn progress_says_what_runs_now() {
        let target = |name: &str| TargetSummary {
            name: name.to_owned(),
            provider: String::new(),
            dialect: String::new(),
            model: String::new(),
            region: None,
            sign_in: None,
            warnings: Vec::new(),
            endpoint: String::new(),
            endpoint_from: None,
            foreseen: Vec::new(),
            mocked: true,
        };
        let scenario = |name: &str| ScenarioSummary {
            name: name.to_owned(),
            about: String::new(),
            digest: String::new(),
            origin: String::new(),
        };
        let cell = |scenario, target| Cell {
            scenario,
            target,
            repeat: 1,
        };
        let plan = RunPlan {
            run_id: String::new(),
            started_at: String::new(),
            mode: String::new(),
            seed: 0,
            repeat: 1,
            reference: String::new(),
            targets: vec![target("openai"), target("mantle")],
            scenarios: vec![scenario("text/hello"), scenario("x\x1b[2J")],
            cells: vec![cell(0, 0), cell(0, 1), cell(1, 1)],
        };
        let ended = |cell, verdict| {
            RunEvent::CellEnded(Box::new(CellResult {
                cell,
                verdict,
                reason: String::new(),
                failure: None,
                retries: Vec::new(),
                ttft: Vec::new(),
                total: Vec::new(),
                findings: Vec::new(),
                outline: Vec::new(),
            }))
        };
        let mut shown = Shown::new(plan, ProgressDrawTarget::hidden());
        for cell in 0..3 {
            shown.push(&RunEvent::CellStarted { cell });
        }
        assert_eq!(shown.targets[0].message(), "text/hello");
        assert_eq!(shown.targets[1].message(), "text/hello, x\\u{1b}[2J");
        shown.push(&ended(1, Verdict::Fail));
        assert_eq!(shown.targets[1].message(), "x\\u{1b}[2J");
        assert_eq!(
            (shown.bar.position(), shown.bar.message()),
            (1, "1 failed".to_owned())
        );
    }
}
