//! All cells of a run: one lane per target, side by side, and what they say about each other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::catalog::Catalog;
use crate::catalog::gap::{GapRow, Place};
use crate::conduct::cell::{CellOutcome, Conductor, Lane};
use crate::conduct::identity::Identities;
use crate::conduct::judge::judge;
use crate::parity;
use crate::plan::{PlannedScenario, PlannedTarget};
use crate::report::event::{Cell, KnownGap, Placed, RunEvent, StaleGap, Verdict};
use crate::report::store::format_time;
use crate::transport::Transport;

/// What is to be run.
#[derive(Debug)]
pub struct Work {
    pub scenarios: Vec<PlannedScenario>,
    pub targets: Vec<PlannedTarget>,
    /// One per target.
    pub identities: Vec<Identities>,
    pub cells: Vec<Cell>,
    /// Index of the reference among the targets' names; every region of that name is one.
    pub reference: String,
}

/// Runs all cells and sends what happens, ending with [`RunEvent::Ended`].
///
/// Each target has a task of its own. `stop` turning true ends the run early: finished cells keep their
/// results.
pub async fn run<T: Transport + 'static>(
    conductor: Arc<Conductor<T>>,
    work: Arc<Work>,
    events: UnboundedSender<RunEvent>,
    stop: watch::Receiver<bool>,
) {
    let lanes: Vec<_> = (0..work.targets.len())
        .map(|target| {
            tokio::spawn(run_lane(
                Arc::clone(&conductor),
                Arc::clone(&work),
                target,
                events.clone(),
                stop.clone(),
            ))
        })
        .collect();
    let mut outcomes: Vec<CellOutcome> = Vec::new();
    for lane in lanes {
        // A lane that panicked leaves its cells without results, which is never a pass.
        outcomes.extend(lane.await.unwrap_or_default());
    }
    outcomes.sort_by_key(|outcome| outcome.result.cell);
    let _ = events.send(RunEvent::Ended {
        interrupted: *stop.borrow(),
        finished_at: format_time(SystemTime::now()),
        findings: compare(conductor.catalog, &work, &outcomes),
        stale_gaps: stale(conductor.catalog, &work, &outcomes),
    });
}

async fn run_lane<T: Transport>(
    conductor: Arc<Conductor<T>>,
    work: Arc<Work>,
    target: usize,
    events: UnboundedSender<RunEvent>,
    mut stop: watch::Receiver<bool>,
) -> Vec<CellOutcome> {
    let mut lane = Lane::new(
        &conductor,
        target,
        &work.targets[target],
        &work.identities[target],
        events,
    );
    let mut outcomes = Vec::new();
    for (index, cell) in work.cells.iter().enumerate() {
        if cell.target != target {
            continue;
        }
        if *stop.borrow() {
            break;
        }
        let _ = lane.events.send(RunEvent::CellStarted { cell: index });
        let outcome = tokio::select! {
            outcome = lane.run(index, &work.scenarios[cell.scenario]) => outcome,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let _ = lane
            .events
            .send(RunEvent::CellEnded(Box::new(outcome.result.clone())));
        outcomes.push(outcome);
    }
    outcomes
}

/// Compares each cell with the reference's first cell of the same scenario and repeat.
///
/// A cell that failed has its own finding, and comparing it would say it twice. Of one with a known gap
/// everything is compared but what the gap is about.
fn compare(catalog: &Catalog, work: &Work, outcomes: &[CellOutcome]) -> Vec<Placed> {
    let comparable = |outcome: &&CellOutcome| {
        matches!(outcome.result.verdict, Verdict::Pass | Verdict::KnownGap)
    };
    let mut references: HashMap<(usize, u32), &CellOutcome> = HashMap::new();
    for outcome in outcomes.iter().filter(comparable) {
        let cell = work.cells[outcome.result.cell];
        if work.targets[cell.target].name == work.reference {
            references
                .entry((cell.scenario, cell.repeat))
                .or_insert(outcome);
        }
    }
    let mut placed = Vec::new();
    for outcome in outcomes.iter().filter(comparable) {
        let cell = work.cells[outcome.result.cell];
        let target = &work.targets[cell.target];
        let Some(reference) = references.get(&(cell.scenario, cell.repeat)) else {
            continue;
        };
        if target.name == work.reference {
            continue;
        }
        let mut explained: HashSet<String> = [&reference.result, &outcome.result]
            .into_iter()
            .flat_map(|result| &result.findings)
            .filter(|judged| judged.gap.is_some())
            .map(|judged| judged.finding.rule.replace("expect/", "parity/"))
            .collect();
        // A conversation that fails is over, so that the turns after it are missing too.
        if explained.contains("parity/failure") {
            explained.insert("parity/turns".to_owned());
        }
        let scenario = &work.scenarios[cell.scenario].scenario.name;
        for finding in parity::compare(&reference.traces, &outcome.traces) {
            if !explained.contains(&finding.rule) {
                placed.push(Placed {
                    cell: outcome.result.cell,
                    judged: judge(catalog, target, scenario, finding),
                });
            }
        }
    }
    placed
}

/// Known gaps that scenarios ran to show, and that no cell of the target showed.
fn stale(catalog: &Catalog, work: &Work, outcomes: &[CellOutcome]) -> Vec<StaleGap> {
    let mut stale = Vec::new();
    for gap in &catalog.gaps {
        for (index, target) in work.targets.iter().enumerate() {
            let mut looked = outcomes
                .iter()
                .filter(|outcome| {
                    let cell = work.cells[outcome.result.cell];
                    let scenario = &work.scenarios[cell.scenario].scenario.name;
                    let place = Place {
                        provider: &target.provider.id,
                        dialect: target.dialect.word(),
                        model: &target.model,
                        scenario,
                    };
                    cell.target == index
                        && answered(outcome)
                        && gap.row.shown_by.contains(scenario)
                        && gap.concerns(&place)
                })
                .peekable();
            if looked.peek().is_some() && !looked.any(|outcome| shows(outcome, &gap.row)) {
                stale.push(StaleGap {
                    gap: KnownGap::of(&gap.row),
                    target: index,
                });
            }
        }
    }
    stale
}

/// Whether the cell came far enough to show what it looks for. A cell that failed may have failed before.
fn answered(outcome: &CellOutcome) -> bool {
    matches!(outcome.result.verdict, Verdict::Pass | Verdict::KnownGap)
}

fn shows(outcome: &CellOutcome, row: &GapRow) -> bool {
    outcome
        .result
        .findings
        .iter()
        .any(|judged| judged.gap.as_ref().is_some_and(|gap| gap.id == row.id))
}
