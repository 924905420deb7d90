//! Whether a run with gaps switched on shows each of them, by the finding that names it and no other.
//!
//! Pure. It must never judge an answer: it compares what was found with what was claimed.

use std::collections::BTreeSet;

use crate::check::finding::Severity;
use crate::report::event::Verdict;
use crate::report::summary::RunSummary;
use crate::scenario::gap::GapClaim;

/// What came of the claims.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Cells that have the finding that their gap names, and no other of weight.
    pub exactly: usize,
    /// What the other cells have, a line each.
    pub others: Vec<String>,
}

/// Compares each cell that ran with the claim of its scenario. `claims` stand in the order of the plan's
/// scenarios.
pub fn shown(summary: &RunSummary, claims: &[Option<GapClaim>]) -> Shown {
    let mut shown = Shown::default();
    for result in summary.cells.iter().flatten() {
        let cell = summary.plan.cells[result.cell];
        let target = &summary.plan.targets[cell.target];
        let Some(claim) = claims.get(cell.scenario).and_then(Option::as_ref) else {
            continue;
        };
        if result.verdict == Verdict::NotApplicable {
            continue;
        }
        let found: BTreeSet<&str> = result
            .findings
            .iter()
            .filter(|judged| judged.finding.severity > Severity::Info)
            .map(|judged| judged.finding.rule.as_str())
            .collect();
        let wanted = claim.finding(&target.dialect);
        if wanted.is_some_and(|rule| found.len() == 1 && found.contains(rule)) {
            shown.exactly += 1;
            continue;
        }
        let list: Vec<&str> = found.into_iter().collect();
        shown.others.push(format!(
            "{} at {}: {} instead of {}",
            summary.plan.scenarios[cell.scenario].name,
            target.label(),
            match (list.is_empty(), result.reason.is_empty()) {
                (false, _) => list.join(", "),
                (true, false) => result.reason.clone(),
                (true, true) => "nothing".to_owned(),
            },
            wanted.unwrap_or("a finding of this dialect"),
        ));
    }
    shown
}

impl Shown {
    /// For people, ending in a line break.
    pub fn words(&self) -> String {
        let all = self.exactly + self.others.len();
        let mut text = format!(
            "gaps: {} of {all} cells have the finding that names their gap, and no other\n",
            self.exactly
        );
        for other in &self.others {
            text.push_str(&format!("  {other}\n"));
        }
        text
    }
}
