//! All cells of a run: one lane per target, side by side, and what they say about each other.

use futures_util::future::join_all;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::catalog::Catalog;
use crate::catalog::gap::{GapRow, Place};
use crate::check::finding::{Evidence, Finding, Severity};
use crate::conduct::cell::{CellOutcome, Conductor, Lane, judge};
use crate::conduct::identity::Identities;
use crate::parity;
use crate::plan::{PlannedScenario, PlannedTarget};
use crate::report::event::{Cell, Judged, KnownGap, Placed, RunEvent, Verdict};
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
    let mut findings = compare(conductor.catalog, work, &outcomes);
    findings.extend(stale(conductor.catalog, work, &outcomes));
    let _ = events.send(RunEvent::Ended {
        interrupted: *stop.borrow(),
        findings,
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
    let comparable = |outcome: &&CellOutcome| {
        matches!(outcome.result.verdict, Verdict::Pass | Verdict::KnownGap)
    };
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

/// Known gaps whose scenario ran and did not show them.
fn stale(catalog: &Catalog, work: &Work, outcomes: &[CellOutcome]) -> Vec<Placed> {
    let mut placed = Vec::new();
    for outcome in outcomes {
        let cell = work.cells[outcome.result.cell];
        let target = &work.targets[cell.target];
        let scenario = &work.scenarios[cell.scenario].scenario.name;
        let place = Place {
            provider: &target.provider.id,
            model: &target.model,
            scenario,
        };
        let determined = matches!(
            outcome.result.verdict,
            Verdict::Pass | Verdict::Fail | Verdict::KnownGap
        );
        if !determined {
            continue;
        }
        for gap in &catalog.gaps {
            let shown = outcome
                .result
                .findings
                .iter()
                .any(|judged| judged.gap.as_ref().is_some_and(|known| known.id == gap.row.id));
            if gap.row.shown_by.contains(scenario) && gap.concerns(&place) && !shown {
                placed.push(Placed {
                    cell: outcome.result.cell,
                    judged: stale_finding(&gap.row),
                });
            }
        }
    }
    placed
}

fn stale_finding(row: &GapRow) -> Judged {
    Judged {
        finding: Finding {
            rule: "gap/stale".to_owned(),
            severity: Severity::Info,
            message: format!("the known gap `{}` did not show: {}", row.id, row.about),
            evidence: Evidence {
                expected: Some(format!("a finding of {}", row.rule)),
                got: Some("none".to_owned()),
                ..Evidence::default()
            },
            cause: Some("The provider may have closed the gap.".to_owned()),
            fix: Some(
                "Run it again on another day; if it stays away, the row of the catalog can go."
                    .to_owned(),
            ),
        },
        gap: Some(KnownGap::of(row)),
    }
}
