//! Markdown fit for the summary of a CI job.
//!
//! Plain GitHub Markdown, no HTML and no pictures. Text from outside cannot become markup, a link or
//! a mention.

use crate::report::console::{TTFT_NOTE, cells, verdict_line};
use crate::report::escape::{code_block, code_span, line, markdown};
use crate::report::group;
use crate::report::layout::counted;
use crate::report::matrix::{self, MarkKind};
use crate::report::record::{CellVerdict, Run, Weight, label};

/// Job summaries are limited to 1 MiB: more groups than this are counted, and found in `run.json`.
const GROUPS: usize = 50;
/// Characters a piece of evidence may have.
const EXCERPT: usize = 600;

/// The document.
pub fn render(run: &Run) -> String {
    let mut out = format!("## sameturn: {}\n\n", verdict_line(run));
    out.push_str(&format!(
        "{}. {}, {}, reference {}, seed {}, run {}, version {}.\n\n",
        markdown(&run.mode),
        counted(run.scenarios.len(), "scenario"),
        counted(run.targets.len(), "target"),
        code_span(&run.reference),
        run.seed,
        code_span(&run.run_id),
        run.version,
    ));
    table_of_targets(run, &mut out);
    findings(run, &mut out);
    gaps(run, &mut out);
    retried(run, &mut out);
    reasons(run, CellVerdict::Undetermined, &mut out);
    latency(run, &mut out);
    reasons(run, CellVerdict::NotApplicable, &mut out);
    table_of_places(run, &mut out);
    out
}

/// The page in a few lines: how many cells of each target came to what.
fn table_of_targets(run: &Run, out: &mut String) {
    let counts = matrix::counts(run);
    let kinds: Vec<MarkKind> = counts.iter().map(|(kind, _)| *kind).collect();
    let heads: Vec<&str> = kinds.iter().map(|kind| kind.meaning()).collect();
    out.push_str(&format!("| target | {} |\n", heads.join(" | ")));
    out.push_str(&format!("| --- |{}\n", " --: |".repeat(kinds.len())));
    for (n, target) in run.targets.iter().enumerate() {
        let here = matrix::counts_of(run, n);
        let numbers: Vec<String> = kinds
            .iter()
            .map(|kind| here.iter().filter(|one| *one == kind).count().to_string())
            .collect();
        out.push_str(&format!(
            "| {} | {} |\n",
            markdown(&label(&target.name, target.region.as_deref())),
            numbers.join(" | ")
        ));
    }
    let counts: Vec<String> = counts
        .into_iter()
        .map(|(kind, n)| format!("{n} {} ({})", kind.word(), kind.meaning()))
        .collect();
    out.push_str(&format!(
        "\n{}: {}.\n",
        counted(run.planned_cells, "cell"),
        counts.join(", ")
    ));
}

/// All scenarios, at the end: a library fills more than a page.
fn table_of_places(run: &Run, out: &mut String) {
    out.push_str("\n### Scenarios\n\n");
    let heads: Vec<String> = run
        .targets
        .iter()
        .map(|one| markdown(&label(&one.name, one.region.as_deref())))
        .collect();
    out.push_str(&format!("| scenario | {} |\n", heads.join(" | ")));
    out.push_str(&format!("| --- |{}\n", " --- |".repeat(heads.len())));
    for row in matrix::rows(run) {
        let marks: Vec<String> = row
            .marks
            .iter()
            .map(|mark| match mark.kind {
                MarkKind::Fail | MarkKind::Undetermined => format!("**{}**", mark.text),
                _ => mark.text.clone(),
            })
            .collect();
        out.push_str(&format!(
            "| {} | {} |\n",
            code_span(&row.scenario),
            marks.join(" | ")
        ));
    }
}

fn findings(run: &Run, out: &mut String) {
    let groups = group::findings(run);
    if groups.is_empty() {
        return;
    }
    out.push_str(&format!("\n### Findings ({})\n\n", groups.len()));
    for group in groups.iter().take(GROUPS) {
        let first = group.first;
        let word = match first.severity {
            Weight::Must => "**must**",
            Weight::Should => "should",
            Weight::Info => "info",
        };
        out.push_str(&format!(
            "- {word} {}: {}\n",
            code_span(&first.rule),
            markdown(&short(&first.message))
        ));
        out.push_str(&format!(
            "  - at {}\n",
            markdown(&group::places(&group.all))
        ));
        let evidence = &first.evidence;
        let turn = evidence.turn.map(|turn| format!("turn {turn}"));
        let event = evidence.event.map(|event| format!("event {event}"));
        let seen: Vec<String> = turn.into_iter().chain(event).collect();
        if !seen.is_empty() {
            out.push_str(&format!("  - seen in {}\n", seen.join(", ")));
        }
        for (name, text) in [("expected", &evidence.expected), ("got", &evidence.got)] {
            if let Some(text) = text {
                out.push_str(&format!("  - {name} {}\n", code_span(&short(text))));
            }
        }
        for (name, text) in [("cause", &first.cause), ("fix", &first.fix)] {
            if let Some(text) = text {
                out.push_str(&format!("  - {name}: {}\n", markdown(text)));
            }
        }
        if let Some(excerpt) = &evidence.excerpt {
            out.push_str(&format!("\n{}\n", code_block(&short(excerpt), "  ")));
        }
    }
    if groups.len() > GROUPS {
        out.push_str(&format!(
            "\n{} more are in run.json.\n",
            groups.len() - GROUPS
        ));
    }
}

fn gaps(run: &Run, out: &mut String) {
    let groups = group::gaps(run);
    if !groups.is_empty() {
        out.push_str("\n### Known gaps\n\n| gap | what differs | consequence | at | source |\n| --- | --- | --- | --- | --- |\n");
    }
    for group in groups {
        let gap = group.gap;
        out.push_str(&format!(
            "| {} | {} | {} | {} | {} ({}) |\n",
            code_span(&gap.id),
            markdown(&gap.about),
            markdown(&gap.consequence),
            markdown(&group::places(&group.all)),
            markdown(&gap.source),
            markdown(&gap.date),
        ));
    }
    let stale = group::stale(run);
    if !stale.is_empty() {
        out.push_str("\n### Stale gaps\n\n");
    }
    for (gap, places) in stale {
        out.push_str(&format!(
            "- {}: {} Not seen at {}.\n",
            code_span(&gap.id),
            markdown(&gap.about),
            markdown(&places.join(", "))
        ));
    }
}

fn retried(run: &Run, out: &mut String) {
    let retried = group::retried(run);
    if retried.is_empty() {
        return;
    }
    out.push_str("\n### Asked again, as the scenario wants it\n\n");
    for (place, verdict, attempts) in retried {
        let (place, attempts) = (markdown(&place), markdown(&attempts));
        out.push_str(&format!("- {place}: {attempts}; in the end {verdict}\n"));
    }
}

/// Why cells came to `verdict`.
fn reasons(run: &Run, verdict: CellVerdict, out: &mut String) {
    let (title, reasons) = match verdict {
        CellVerdict::NotApplicable => ("Not applicable", group::not_applicable(run)),
        verdict => ("Undetermined", group::reasons(run, verdict)),
    };
    if reasons.is_empty() {
        return;
    }
    out.push_str(&format!("\n### {title}\n\n"));
    for reason in reasons {
        let at = match verdict {
            CellVerdict::NotApplicable => &reason.targets,
            _ => &reason.places,
        };
        out.push_str(&format!(
            "- {} x {} (at {})",
            reason.n,
            markdown(&reason.text),
            markdown(at)
        ));
        if let Some(fix) = &reason.fix {
            out.push_str(&format!(" Fix: {}", markdown(fix)));
        }
        out.push('\n');
    }
}

fn latency(run: &Run, out: &mut String) {
    if run.latency.is_empty() {
        return;
    }
    out.push_str("\n### Latency in ms\n\n| target | TTFT p50 | p95 | n | total p50 | p95 | n |\n| --- | --: | --: | --: | --: | --: | --: |\n");
    for one in &run.latency {
        out.push_str(&format!(
            "| {} | {} | {} |\n",
            markdown(&label(&one.target, one.region.as_deref())),
            cells(&one.ttft_ms).join(" | "),
            cells(&one.total_ms).join(" | "),
        ));
    }
    out.push_str(&format!("\n{TTFT_NOTE}\n"));
}

/// Escaped line by line and cut, by characters: some have no width.
fn short(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(line).collect();
    let text = lines.join("\n");
    match text.char_indices().nth(EXCERPT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
