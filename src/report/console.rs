//! The final text for people: what differs, what was found, how long it took.
//!
//! A pure function of the document of a run. Words carry the meaning and colour only helps; every
//! string from outside is escaped, because model output is hostile text.

use crate::report::escape::{line, shell_word};
use crate::report::grid;
use crate::report::group::{self, Group};
use crate::report::layout::{counted, hanging, pad, pad_left, width, wrap};
use crate::report::paint::Paint;
use crate::report::record::{
    CellVerdict, Quantiles, Run, RunFinding, RunTarget, RunVerdict, Weight, label,
};

/// How to print.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Columns of the terminal.
    pub width: usize,
    pub colour: bool,
    /// The command that looks closer, without a scenario and target: `sameturn check`.
    pub command: String,
    /// Where the run is kept, if it is.
    pub results: Option<String>,
    /// The exit code this run ends with.
    pub exit_code: u8,
}

/// Lines an excerpt may take.
const EXCERPT_LINES: usize = 6;

/// Reasons for not being applicable that are shown.
const REASONS: usize = 8;

/// Characters an excerpt may have.
const EXCERPT_CHARS: usize = 2000;

/// The whole report, ending in a newline.
pub fn render(run: &Run, settings: &Settings) -> String {
    let page = Page {
        run,
        settings,
        width: settings.width.clamp(40, 200),
        paint: Paint {
            on: settings.colour,
        },
    };
    let sections = [
        page.header(),
        grid::draw(run, page.width, page.paint),
        page.findings(),
        page.gaps(),
        page.stale_gaps(),
        page.retried(),
        page.undetermined(),
        page.not_applicable(),
        page.latency(),
        page.verdict(),
    ];
    let shown: Vec<String> = sections
        .into_iter()
        .filter(|section| !section.is_empty())
        .collect();
    shown.join("\n")
}

/// One line: what the run came to, without where it is kept.
pub fn verdict_line(run: &Run) -> String {
    let n = |verdict| {
        run.cells
            .iter()
            .filter(|cell| cell.verdict == verdict)
            .count()
    };
    let cells = run.planned_cells;
    let mut text = match run.verdict {
        RunVerdict::Pass => match n(CellVerdict::KnownGap) {
            0 => "pass: every cell that applies is as expected".to_owned(),
            gaps => format!("pass: every cell that applies is as expected, {gaps} with known gaps"),
        },
        RunVerdict::Findings => {
            format!("findings: {} of {cells} cells failed", n(CellVerdict::Fail))
        }
        RunVerdict::Undetermined => match n(CellVerdict::Undetermined) {
            0 if run.cells.len() < cells => "undetermined: not all cells ran".to_owned(),
            0 => "undetermined: no cell was determined".to_owned(),
            open => format!(
                "undetermined: nothing failed, but {open} of {cells} cells are undetermined"
            ),
        },
    };
    if run.interrupted {
        text.push_str(&format!(
            " (interrupted: {} of {cells} cells ended)",
            run.cells.len()
        ));
    }
    text
}

/// What TTFT counts, for every report that shows it.
pub const TTFT_NOTE: &str = "TTFT counts from handing the request to the HTTP client to the first event with output; \
     connecting included. Cells that ended with a failure are left out. With n below 20, p95 is the longest.";

struct Page<'a> {
    run: &'a Run,
    settings: &'a Settings,
    width: usize,
    paint: Paint,
}

impl Page<'_> {
    fn heading(&self, text: &str) -> String {
        let lines = wrap(text, self.width);
        lines
            .iter()
            .map(|one| format!("{}\n", self.paint.style("1", one)))
            .collect()
    }

    fn header(&self) -> String {
        let run = self.run;
        let mut out = hanging(
            "",
            &format!("sameturn {}: {}", run.version, line(&run.mode)),
            self.width,
        );
        let facts = format!(
            "{} x {}, {}; seed {}, repeat {}, reference {}; run {}",
            counted(run.scenarios.len(), "scenario"),
            counted(run.targets.len(), "target"),
            counted(run.planned_cells, "cell"),
            run.seed,
            run.repeat,
            line(&run.reference),
            run.run_id,
        );
        out.push_str(&hanging("", &facts, self.width));
        let name = |target: &RunTarget| line(&label(&target.name, target.region.as_deref()));
        let widest = run
            .targets
            .iter()
            .map(|one| width(&name(one)))
            .max()
            .unwrap_or(0);
        for (n, target) in run.targets.iter().enumerate() {
            let mut text = format!(
                "{}, {}, {}, {}",
                line(&target.provider),
                line(&target.dialect),
                line(&target.model),
                line(&target.endpoint)
            );
            if let Some(from) = &target.endpoint_from {
                text.push_str(&format!(" (from {})", line(from)));
            }
            if target.mocked {
                text.push_str(", mocked");
            }
            if let Some(how) = &target.sign_in {
                text.push_str("; ");
                text.push_str(&line(how));
            }
            for warning in &target.warnings {
                text.push_str("; warning: ");
                text.push_str(&line(warning));
            }
            // A long name is never cut here: this is where the numbers of columns are explained.
            let (prefix, text) = if widest <= self.width / 3 {
                (
                    format!("  [{}] {}  ", n + 1, pad(&name(target), widest)),
                    text,
                )
            } else {
                (
                    format!("  [{}] ", n + 1),
                    format!("{}: {text}", name(target)),
                )
            };
            out.push_str(&hanging(&prefix, &text, self.width));
        }
        out
    }

    fn field(&self, name: &str, text: &str) -> String {
        hanging(&format!("  {}", pad(name, 10)), text, self.width)
    }

    fn findings(&self) -> String {
        let groups = group::findings(self.run);
        if groups.is_empty() {
            return String::new();
        }
        let mut out = self.heading(&format!("Findings ({})", groups.len()));
        for (n, group) in groups.iter().enumerate() {
            if n > 0 {
                out.push('\n');
            }
            out.push_str(&self.finding(group));
        }
        out
    }

    fn finding(&self, group: &Group<'_>) -> String {
        let first = group.first;
        let (word, code) = match first.severity {
            Weight::Must => ("must", "1;31"),
            Weight::Should => ("should", "33"),
            Weight::Info => ("info", "2"),
        };
        let mut out = format!(
            "{}  {}\n",
            self.paint.style(code, word),
            self.paint.style("1", &line(&first.rule))
        );
        out.push_str(&hanging("  ", &line(&first.message), self.width));
        out.push_str(&self.field("at", &line(&group::places(&group.all))));
        let evidence = &first.evidence;
        let seen = match (evidence.turn, evidence.event) {
            (Some(turn), Some(event)) => Some(format!("turn {turn}, event {event}")),
            (Some(turn), None) => Some(format!("turn {turn}")),
            (None, Some(event)) => Some(format!("event {event}")),
            (None, None) => None,
        };
        let fields = [
            ("seen", seen.as_deref()),
            ("expected", evidence.expected.as_deref()),
            ("got", evidence.got.as_deref()),
        ];
        for (name, text) in fields {
            out.push_str(
                &text
                    .map(|text| self.field(name, &line(text)))
                    .unwrap_or_default(),
            );
        }
        out.push_str(
            &evidence
                .excerpt
                .as_deref()
                .map(|text| self.excerpt(text))
                .unwrap_or_default(),
        );
        for (name, text) in [("cause", &first.cause), ("fix", &first.fix)] {
            out.push_str(
                &text
                    .as_deref()
                    .map(|text| self.field(name, &line(text)))
                    .unwrap_or_default(),
            );
        }
        out.push_str(&self.field("look", &self.look(first)));
        out
    }

    fn excerpt(&self, text: &str) -> String {
        // Characters without width could make a line as long as they like.
        let text: String = line(text).chars().take(EXCERPT_CHARS).collect();
        let mut lines = wrap(&text, self.width.saturating_sub(12));
        if lines.len() > EXCERPT_LINES {
            lines.truncate(EXCERPT_LINES);
            lines.push("… (the rest is in run.json)".to_owned());
        }
        let mut out = String::new();
        for (n, one) in lines.iter().enumerate() {
            let name = if n == 0 { "excerpt" } else { "" };
            out.push_str(&format!("  {}{one}\n", pad(name, 10)));
        }
        out
    }

    /// The command that runs this place again and keeps what came.
    fn look(&self, finding: &RunFinding) -> String {
        let run = self.run;
        let scenario = run
            .scenarios
            .iter()
            .find(|one| one.name == finding.scenario);
        let what = match scenario {
            Some(one) if one.origin != "built in" => format!(
                "{} --scenario {}",
                shell_word(&one.origin),
                shell_word(&one.name)
            ),
            _ => format!("--scenario {}", shell_word(&finding.scenario)),
        };
        let single = run.targets.iter().all(|one| one.name == finding.target);
        let target = if single {
            String::new()
        } else {
            format!(" --target {}", shell_word(&finding.target))
        };
        format!(
            "{} {what}{target} --keep-streams --show-requests",
            line(&self.settings.command)
        )
    }

    fn gaps(&self) -> String {
        let groups = group::gaps(self.run);
        if groups.is_empty() {
            return String::new();
        }
        let mut out = self.heading(&format!(
            "Known gaps ({}): documented differences, not counted as failures",
            groups.len()
        ));
        for group in groups {
            out.push_str(&hanging(
                "  ",
                &format!("{}: {}", line(&group.gap.id), line(&group.gap.about)),
                self.width,
            ));
            out.push_str(&self.field("so", &line(&group.gap.consequence)));
            out.push_str(&self.field("at", &line(&group::places(&group.all))));
            out.push_str(&self.field(
                "source",
                &format!("{} ({})", line(&group.gap.source), line(&group.gap.date)),
            ));
        }
        out
    }

    fn stale_gaps(&self) -> String {
        let groups = group::stale(self.run);
        if groups.is_empty() {
            return String::new();
        }
        let mut out = self.heading(
            "Stale gaps: documented differences that did not show; the catalog may be out of date",
        );
        for (gap, places) in groups {
            let text = format!(
                "{}: {} (of {}) Not seen at {}.",
                line(&gap.id),
                line(&gap.about),
                line(&gap.date),
                line(&places.join(", "))
            );
            out.push_str(&hanging("  ", &text, self.width));
        }
        out
    }

    fn retried(&self) -> String {
        let retried = group::retried(self.run);
        if retried.is_empty() {
            return String::new();
        }
        let mut out = self.heading("Asked again, as the scenario wants it");
        for (place, verdict, attempts) in retried {
            let text = format!("{place}: {attempts}; in the end {verdict}");
            out.push_str(&hanging("  ", &line(&text), self.width));
        }
        out
    }

    fn undetermined(&self) -> String {
        let reasons = group::reasons(self.run, CellVerdict::Undetermined);
        if reasons.is_empty() {
            return String::new();
        }
        let mut out =
            self.heading("Undetermined: these say nothing about the provider, good or bad");
        for reason in reasons {
            out.push_str(&hanging(
                "  ",
                &format!("{} x {}", reason.n, line(&reason.text)),
                self.width,
            ));
            out.push_str(&self.field("at", &line(&reason.places)));
            out.push_str(
                &reason
                    .fix
                    .map(|fix| self.field("fix", &line(&fix)))
                    .unwrap_or_default(),
            );
        }
        out
    }

    fn not_applicable(&self) -> String {
        let reasons = group::not_applicable(self.run);
        if reasons.is_empty() {
            return String::new();
        }
        let total: usize = reasons.iter().map(|one| one.n).sum();
        let mut out = self.heading(&format!(
            "Not applicable ({total}): nothing was asked there, or it could not be judged"
        ));
        let widest = reasons[0].n.to_string().len();
        // One more than fits is better shown than counted.
        let shown = match reasons.len() {
            n if n <= REASONS + 1 => n,
            _ => REASONS,
        };
        for reason in &reasons[..shown] {
            let prefix = format!("  {} x ", pad_left(&reason.n.to_string(), widest));
            let text = format!("{}; at {}", line(&reason.text), line(&reason.targets));
            out.push_str(&hanging(&prefix, &text, self.width));
        }
        let rest = &reasons[shown..];
        if !rest.is_empty() {
            let cells = rest.iter().map(|one| one.n).sum();
            let text = format!(
                "and {} for {}: `reason` in run.json, and --markdown lists them",
                counted(cells, "cell"),
                counted(rest.len(), "other reason"),
            );
            out.push_str(&hanging("  ", &text, self.width));
        }
        out
    }

    fn latency(&self) -> String {
        let run = self.run;
        if run.latency.is_empty() {
            return String::new();
        }
        let mut table = vec![
            ["", "TTFT", "", "", "total", "", ""].map(str::to_owned),
            ["", "p50", "p95", "n", "p50", "p95", "n"].map(str::to_owned),
        ];
        for one in &run.latency {
            let [ttft_p50, ttft_p95, ttft_n] = cells(&one.ttft_ms);
            let [total_p50, total_p95, total_n] = cells(&one.total_ms);
            let name = line(&label(&one.target, one.region.as_deref()));
            table.push([
                name, ttft_p50, ttft_p95, ttft_n, total_p50, total_p95, total_n,
            ]);
        }
        let widths = |table: &[[String; 7]]| -> [usize; 7] {
            std::array::from_fn(|n| table.iter().map(|row| width(&row[n])).max().unwrap_or(0))
        };
        // Two spaces stand before each column. Names that do not fit give way to their numbers.
        if widths(&table).iter().map(|one| one + 2).sum::<usize>() > self.width {
            for (row, one) in table.iter_mut().skip(2).zip(&run.latency) {
                let same =
                    |target: &RunTarget| target.name == one.target && target.region == one.region;
                if let Some(n) = run.targets.iter().position(same) {
                    row[0] = format!("[{}]", n + 1);
                }
            }
        }
        let widths = widths(&table);
        let mut out = self.heading("Latency in ms");
        for row in &table {
            let mut text = format!("  {}", pad(&row[0], widths[0]));
            for n in 1..7 {
                text.push_str(&format!("  {}", pad_left(&row[n], widths[n])));
            }
            out.push_str(&format!("{}\n", text.trim_end()));
        }
        out.push_str(&hanging("  ", TTFT_NOTE, self.width));
        out
    }

    fn verdict(&self) -> String {
        let code = match self.run.verdict {
            RunVerdict::Pass => "1;32",
            RunVerdict::Findings => "1;31",
            RunVerdict::Undetermined => "1;35",
        };
        let mut text = format!(
            "{}; exit code {}",
            verdict_line(self.run),
            self.settings.exit_code
        );
        if let Some(results) = &self.settings.results {
            text.push_str(&format!("; results in {}", line(results)));
        }
        let lines = wrap(&text, self.width);
        lines
            .iter()
            .map(|one| format!("{}\n", self.paint.style(code, one)))
            .collect()
    }
}

/// p50, p95 and n as they stand in a table.
pub(crate) fn cells(quantiles: &Quantiles) -> [String; 3] {
    let number =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    [
        number(quantiles.p50),
        number(quantiles.p95),
        quantiles.n.to_string(),
    ]
}
