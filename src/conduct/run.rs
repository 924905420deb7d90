//! All cells of a run: one lane per target, side by side, and what they say about each other.

use std::time::SystemTime;

use futures_util::future::join_all;
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
/// `stop` turning true ends the run early: finished cells keep their results.
pub async fn run<T: Transport>(
    conductor: &Conductor<T>,
    work: &Work,
    events: UnboundedSender<RunEvent>,
    stop: watch::Receiver<bool>,
) {
    let lanes = work.targets.iter().enumerate().map(|(index, target)| {
        let lane = Lane::new(conductor, target, &work.identities[index], events.clone());
        run_lane(lane, index, work, stop.clone())
    });
    let mut outcomes: Vec<CellOutcome> = join_all(lanes).await.into_iter().flatten().collect();
    outcomes.sort_by_key(|outcome| outcome.result.cell);
    let _ = events.send(RunEvent::Ended {
        interrupted: *stop.borrow(),
        finished_at: format_time(SystemTime::now()),
        findings: compare(conductor.catalog, work, &outcomes),
        stale_gaps: stale(conductor.catalog, work, &outcomes),
    });
}

async fn run_lane<T: Transport>(
    mut lane: Lane<'_, T>,
    target: usize,
    work: &Work,
    mut stop: watch::Receiver<bool>,
) -> Vec<CellOutcome> {
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

/// Compares each cell with the reference's cell of the same scenario and repeat.
fn compare(catalog: &Catalog, work: &Work, outcomes: &[CellOutcome]) -> Vec<Placed> {
    // A cell that failed or shows a known gap has its own finding; comparing it would say it twice.
    let comparable = |outcome: &&CellOutcome| outcome.result.verdict == Verdict::Pass;
    let mut placed = Vec::new();
    for outcome in outcomes.iter().filter(comparable) {
        let cell = work.cells[outcome.result.cell];
        let target = &work.targets[cell.target];
        if target.name == work.reference {
            continue;
        }
        let Some(reference) = outcomes.iter().filter(comparable).find(|other| {
            let other = work.cells[other.result.cell];
            other.scenario == cell.scenario
                && other.repeat == cell.repeat
                && work.targets[other.target].name == work.reference
        }) else {
            continue;
        };
        let scenario = &work.scenarios[cell.scenario].scenario.name;
        for finding in parity::compare(&reference.traces, &outcome.traces) {
            placed.push(Placed {
                cell: outcome.result.cell,
                judged: judge(catalog, target, scenario, finding),
            });
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
                        model: &target.model,
                        scenario,
                    };
                    cell.target == index
                        && is_determined(outcome.result.verdict)
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

fn is_determined(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Pass | Verdict::Fail | Verdict::KnownGap)
}

fn shows(outcome: &CellOutcome, row: &GapRow) -> bool {
    outcome
        .result
        .findings
        .iter()
        .any(|judged| judged.gap.as_ref().is_some_and(|gap| gap.id == row.id))
}
