//! The fold of a run's events: what each cell came to, and what the run as a whole came to.
//!
//! Pure and incremental, so progress and the record of an unfinished run use it too. Never decides
//! what a finding means: cells are judged where they are conducted; only a finding about the run as
//! a whole can still turn the cell it is placed in.

use crate::check::finding::Severity;
use crate::report::event::{CellResult, Placed, RunEvent, RunPlan, StaleGap, Verdict};

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overall {
    /// All cells ended, something was determined, and nothing failed.
    Pass,
    /// A cell failed.
    Findings,
    /// Nothing failed, but not everything is known.
    Undetermined,
}

/// A run as far as its events tell.
#[derive(Debug, Clone)]
pub struct RunSummary {
    pub plan: RunPlan,
    /// One per cell of the plan; `None` until it ended.
    pub cells: Vec<Option<CellResult>>,
    pub exchanges: u64,
    /// Findings about the run as a whole.
    pub findings: Vec<Placed>,
    pub stale_gaps: Vec<StaleGap>,
    /// True until the run says that it ended by itself.
    pub interrupted: bool,
    /// RFC 3339, UTC; `None` until the run ended.
    pub finished_at: Option<String>,
}

/// The incremental form: nothing until the run started.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    summary: Option<RunSummary>,
}

impl Fold {
    /// Takes in one event. Events before `Started` and cells outside the plan are passed over.
    pub fn push(&mut self, event: &RunEvent) {
        match (event, &mut self.summary) {
            (RunEvent::Started(plan), summary) => *summary = Some(RunSummary::new(plan.clone())),
            (_, None) => {}
            (event, Some(summary)) => summary.push(event),
        }
    }

    /// The run so far.
    pub fn summary(&self) -> Option<&RunSummary> {
        self.summary.as_ref()
    }
}

impl RunSummary {
    /// A run of which nothing ended yet.
    pub fn new(plan: RunPlan) -> RunSummary {
        RunSummary {
            cells: vec![None; plan.cells.len()],
            plan,
            exchanges: 0,
            findings: Vec::new(),
            stale_gaps: Vec::new(),
            interrupted: true,
            finished_at: None,
        }
    }

    /// Folds all events; `None` where the run never started.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a RunEvent>) -> Option<RunSummary> {
        let mut fold = Fold::default();
        for event in events {
            fold.push(event);
        }
        fold.summary
    }

    fn push(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Started(_) | RunEvent::CellStarted { .. } => {}
            RunEvent::SignedIn {
                target,
                how,
                warnings,
            } => {
                if let Some(target) = self.plan.targets.get_mut(*target) {
                    target.sign_in = Some(how.clone());
                    target.warnings.clone_from(warnings);
                }
            }
            RunEvent::Exchange(_) => self.exchanges += 1,
            RunEvent::CellEnded(result) => {
                if let Some(slot) = self.cells.get_mut(result.cell) {
                    *slot = Some(CellResult::clone(result));
                }
            }
            RunEvent::Ended {
                interrupted,
                finished_at,
                findings,
                stale_gaps,
            } => {
                self.interrupted = *interrupted;
                self.finished_at = Some(finished_at.clone());
                self.findings.clone_from(findings);
                self.stale_gaps.clone_from(stale_gaps);
            }
        }
    }

    /// The verdict of a cell, with what was found about the run as a whole; `None` until it ended.
    ///
    /// A *must* or *should* finding that no gap explains fails the cell it is placed in; one that a gap explains
    /// makes a passed cell a known gap.
    pub fn verdict(&self, cell: usize) -> Option<Verdict> {
        let own = self.cells.get(cell)?.as_ref()?.verdict;
        let mut placed = self
            .findings
            .iter()
            .filter(|placed| placed.cell == cell)
            .map(|placed| &placed.judged);
        let fails = placed
            .clone()
            .any(|one| one.gap.is_none() && one.finding.severity > Severity::Info);
        let waived = placed.any(|one| one.gap.is_some() && one.finding.severity > Severity::Info);
        Some(match own {
            _ if fails => Verdict::Fail,
            Verdict::Pass if waived => Verdict::KnownGap,
            own => own,
        })
    }

    /// The verdict of the run.
    pub fn overall(&self) -> Overall {
        overall((0..self.cells.len()).map(|cell| self.verdict(cell)))
    }
}

/// The verdict of a run from those of its cells, `None` for a cell that did not end.
///
/// A failure outweighs everything. A run in which nothing was determined says nothing good.
pub fn overall(cells: impl IntoIterator<Item = Option<Verdict>>) -> Overall {
    let mut determined = false;
    let mut open = false;
    for verdict in cells {
        match verdict {
            Some(Verdict::Fail) => return Overall::Findings,
            Some(Verdict::Pass | Verdict::KnownGap) => determined = true,
            Some(Verdict::NotApplicable) => {}
            Some(Verdict::Undetermined) | None => open = true,
        }
    }
    if open || !determined {
        Overall::Undetermined
    } else {
        Overall::Pass
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::report::summary::*;

    const PASS: Option<Verdict> = Some(Verdict::Pass);
    const FAIL: Option<Verdict> = Some(Verdict::Fail);
    const GAP: Option<Verdict> = Some(Verdict::KnownGap);
    const NA: Option<Verdict> = Some(Verdict::NotApplicable);
    const UNDETERMINED: Option<Verdict> = Some(Verdict::Undetermined);

    #[test]
    fn the_table_of_verdicts() {
        for (cells, expected) in [
            (vec![], Overall::Undetermined),
            (vec![PASS], Overall::Pass),
            (vec![GAP], Overall::Pass),
            (vec![NA], Overall::Undetermined),
            (vec![PASS, NA, GAP], Overall::Pass),
            (vec![PASS, UNDETERMINED], Overall::Undetermined),
            (vec![PASS, None], Overall::Undetermined),
            (vec![None], Overall::Undetermined),
            (vec![FAIL], Overall::Findings),
            (vec![UNDETERMINED, None, FAIL, PASS], Overall::Findings),
        ] {
            assert_eq!(overall(cells.clone()), expected, "{cells:?}");
        }
    }

    proptest! {
        /// The order of cells never matters, and a pass needs every cell ended and determined.
        #[test]
        fn order_does_not_matter(picks in prop::collection::vec(0usize..6, 0..8)) {
            let kinds = [PASS, FAIL, GAP, NA, UNDETERMINED, None];
            let cells: Vec<_> = picks.iter().map(|pick| kinds[*pick]).collect();
            let forward = overall(cells.clone());
            prop_assert_eq!(forward, overall(cells.iter().rev().copied()));
            prop_assert_eq!(forward == Overall::Findings, cells.contains(&FAIL));
            let clean = cells.iter().all(|cell| matches!(*cell, PASS | GAP | NA));
            let determined = cells.iter().any(|cell| matches!(*cell, PASS | GAP));
            prop_assert_eq!(forward == Overall::Pass, clean && determined);
        }
    }
}
