//! Findings as people read them: the same thing in many places told once.
//!
//! Pure grouping over the document of a run; nothing is dropped, and the order is stable.

use crate::report::layout::counted;
use crate::report::record::{CellVerdict, Run, RunCell, RunFinding, RunGap, RunStaleGap, label};

/// Findings with the same rule, severity and message.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// The one whose evidence is shown.
    pub first: &'a RunFinding,
    pub all: Vec<&'a RunFinding>,
}

/// A known gap with the findings it explains.
#[derive(Debug, Clone)]
pub struct GapGroup<'a> {
    pub gap: &'a RunGap,
    pub all: Vec<&'a RunFinding>,
}

/// Findings that no gap explains: must first, then in the order of the run.
pub fn findings(run: &Run) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for one in run.findings.iter().filter(|one| one.known_gap.is_none()) {
        let same = |group: &&mut Group<'_>| {
            let first = group.first;
            (&first.rule, first.severity, &first.message) == (&one.rule, one.severity, &one.message)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.all.push(one),
            None => groups.push(Group {
                first: one,
                all: vec![one],
            }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.first.severity));
    groups
}

/// The known gaps that showed.
pub fn gaps(run: &Run) -> Vec<GapGroup<'_>> {
    let mut groups: Vec<GapGroup<'_>> = Vec::new();
    for one in &run.findings {
        let Some(gap) = &one.known_gap else { continue };
        match groups.iter_mut().find(|group| group.gap.id == gap.id) {
            Some(group) => group.all.push(one),
            None => groups.push(GapGroup {
                gap,
                all: vec![one],
            }),
        }
    }
    groups
}

/// The gaps that no longer show, each with the targets where it did not.
pub fn stale(run: &Run) -> Vec<(&RunGap, Vec<String>)> {
    let mut groups: Vec<(&RunGap, Vec<String>)> = Vec::new();
    for RunStaleGap {
        gap,
        target,
        region,
    } in &run.stale_gaps
    {
        let place = label(target, region.as_deref());
        match groups.iter_mut().find(|(known, _)| known.id == gap.id) {
            Some((_, places)) => push_new(places, place),
            None => groups.push((gap, vec![place])),
        }
    }
    groups
}

/// Where findings are: `tools/weather: mantle us-east-1, mantle us-east-2; text/plain: …`.
pub fn places(findings: &[&RunFinding]) -> String {
    let place = |one: &RunFinding| {
        (
            one.scenario.clone(),
            label(&one.target, one.region.as_deref()),
        )
    };
    listed(findings.iter().map(|one| place(one)))
}

/// Cells with attempts that were repeated: where, what they came to, and the attempts.
pub fn retried(run: &Run) -> Vec<(String, &'static str, String)> {
    let word = |verdict| match verdict {
        CellVerdict::Pass => "pass",
        CellVerdict::Fail => "fail",
        CellVerdict::KnownGap => "known gap",
        CellVerdict::NotApplicable => "not applicable",
        CellVerdict::Undetermined => "undetermined",
    };
    run.cells
        .iter()
        .filter(|cell| !cell.retries.is_empty())
        .map(|cell| {
            let place = format!(
                "{} at {}",
                cell.scenario,
                label(&cell.target, cell.region.as_deref())
            );
            (place, word(cell.verdict), cell.retried().join("; "))
        })
        .collect()
}

/// Cells of one verdict grouped by their reason: the reason, what to try, how many, where.
pub fn reasons(run: &Run, verdict: CellVerdict) -> Vec<Reason> {
    let mut groups: Vec<(&str, Vec<&RunCell>)> = Vec::new();
    for cell in run.cells.iter().filter(|cell| cell.verdict == verdict) {
        match groups.iter_mut().find(|(reason, _)| *reason == cell.reason) {
            Some((_, cells)) => cells.push(cell),
            None => groups.push((&cell.reason, vec![cell])),
        }
    }
    groups
        .into_iter()
        .map(|(reason, cells)| Reason {
            text: reason.to_owned(),
            targets: by_target(&cells),
            fix: cells.iter().find_map(|cell| fix_of(run, cell)),
            n: cells.len(),
            places: listed(cells.iter().map(|cell| {
                (
                    cell.scenario.clone(),
                    label(&cell.target, cell.region.as_deref()),
                )
            })),
        })
        .collect()
}

/// Cells with the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub text: String,
    pub fix: Option<String>,
    pub n: usize,
    /// `openai 3, mantle us-east-1 2`: how many cells of each target.
    pub targets: String,
    pub places: String,
}

fn by_target(cells: &[&RunCell]) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for cell in cells {
        let name = label(&cell.target, cell.region.as_deref());
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, n)) => *n += 1,
            None => counts.push((name, 1)),
        }
    }
    let counts = counts.iter().map(|(name, n)| format!("{name} {n}"));
    counts.collect::<Vec<_>>().join(", ")
}

/// Why cells do not apply, the most frequent reason first.
pub fn not_applicable(run: &Run) -> Vec<Reason> {
    let mut reasons = reasons(run, CellVerdict::NotApplicable);
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.n));
    reasons
}

/// The first fix that a finding of the cell offers.
fn fix_of(run: &Run, cell: &RunCell) -> Option<String> {
    run.findings
        .iter()
        .filter(|one| {
            (&one.scenario, &one.target, &one.region, one.repeat)
                == (&cell.scenario, &cell.target, &cell.region, cell.repeat)
        })
        .find_map(|one| one.fix.clone())
}

/// At most this many scenarios are named; the document has them all.
const NAMED: usize = 6;

fn listed(places: impl Iterator<Item = (String, String)>) -> String {
    let mut scenarios: Vec<(String, Vec<String>)> = Vec::new();
    for (scenario, column) in places {
        match scenarios.iter_mut().find(|(known, _)| *known == scenario) {
            Some((_, columns)) => push_new(columns, column),
            None => scenarios.push((scenario, vec![column])),
        }
    }
    let more = scenarios.len().saturating_sub(NAMED);
    let mut text: Vec<String> = scenarios
        .into_iter()
        .take(NAMED)
        .map(|(scenario, columns)| format!("{scenario}: {}", columns.join(", ")))
        .collect();
    if more > 0 {
        text.push(format!("and {} more", counted(more, "scenario")));
    }
    text.join("; ")
}

fn push_new(list: &mut Vec<String>, text: String) {
    if !list.contains(&text) {
        list.push(text);
    }
}
