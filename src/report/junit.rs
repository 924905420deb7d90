//! JUnit XML: a suite per target and region, a case per scenario and repeat.
//!
//! A failed check is a `failure`, a cell that could not be determined an `error`: they never share
//! a word. Known gaps pass and say so in `system-out`.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::report::escape::line;
use crate::report::record::{CellVerdict, Run, RunCell, RunFinding, label};

/// The document, or why it could not be written.
pub fn render(run: &Run) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("sameturn");
    let mut all = Duration::ZERO;
    for target in &run.targets {
        let mut suite = TestSuite::new(line(&label(&target.name, target.region.as_deref())));
        let mut total = Duration::ZERO;
        for (name, value) in [
            ("run_id", run.run_id.as_str()),
            ("mode", &run.mode),
            ("provider", &target.provider),
            ("dialect", &target.dialect),
            ("model", &target.model),
            ("endpoint", &target.endpoint),
        ] {
            suite.add_property(Property::new(name, line(value)));
        }
        let here = |cell: &&RunCell| cell.target == target.name && cell.region == target.region;
        for cell in run.cells.iter().filter(here) {
            let time = Duration::from_secs_f64(cell.total_ms.unwrap_or(0.0).max(0.0) / 1000.0);
            total += time;
            suite.add_test_case(case(run, cell, time));
        }
        suite.set_time(total);
        all += total;
        report.add_test_suite(suite);
    }
    // Without this a run that was stopped early would look green.
    if run.cells.len() < run.planned_cells {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("not_run");
        status.set_message(format!(
            "only {} of {} cells ended",
            run.cells.len(),
            run.planned_cells
        ));
        let mut suite = TestSuite::new("run");
        suite.add_test_case(TestCase::new("all cells ended", status));
        report.add_test_suite(suite);
    }
    report.set_time(all);
    report.to_string()
}

fn case(run: &Run, cell: &RunCell, time: Duration) -> TestCase {
    let findings: Vec<&RunFinding> = run
        .findings
        .iter()
        .filter(|one| {
            (&one.scenario, &one.target, &one.region, one.repeat)
                == (&cell.scenario, &cell.target, &cell.region, cell.repeat)
        })
        .collect();
    let open: Vec<&RunFinding> = findings
        .iter()
        .filter(|one| one.known_gap.is_none())
        .copied()
        .collect();
    let status = match cell.verdict {
        CellVerdict::Pass | CellVerdict::KnownGap => TestCaseStatus::success(),
        CellVerdict::NotApplicable => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(line(&cell.reason));
            status
        }
        CellVerdict::Fail => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            // The first of the worst: `max_by_key` takes the last.
            let worst = open.iter().rev().max_by_key(|one| one.severity);
            if let Some(worst) = worst {
                status.set_type(line(&worst.rule));
                status.set_message(line(&worst.message));
            }
            let told: Vec<String> = open.iter().map(|one| tell(one)).collect();
            status.set_description(told.join("\n"));
            status
        }
        CellVerdict::Undetermined => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(line(&cell.reason));
            status.set_type(line(cell.failure.as_deref().unwrap_or("undetermined")));
            let told: Vec<String> = open.iter().map(|one| tell(one)).collect();
            if !told.is_empty() {
                status.set_description(told.join("\n"));
            }
            status
        }
    };
    let name = match run.repeat {
        0 | 1 => line(&cell.scenario),
        _ => format!("{} #{}", line(&cell.scenario), cell.repeat),
    };
    let mut case = TestCase::new(name, status);
    case.set_classname(line(&label(&cell.target, cell.region.as_deref())));
    case.set_time(time);
    let retried = cell.retried().into_iter().map(|one| line(&one));
    let notes: Vec<String> = findings
        .iter()
        .filter_map(|one| one.known_gap.as_ref().map(|gap| (one, gap)))
        .map(|(one, gap)| {
            format!(
                "known gap {}: {} {} Source: {} ({}). Here: {}",
                line(&gap.id),
                line(&gap.about),
                line(&gap.consequence),
                line(&gap.source),
                line(&gap.date),
                line(&one.message)
            )
        })
        .chain(retried)
        .collect();
    if !notes.is_empty() {
        case.set_system_out(notes.join("\n"));
    }
    case
}

fn tell(finding: &RunFinding) -> String {
    let mut out = format!("{}: {}\n", line(&finding.rule), line(&finding.message));
    let evidence = &finding.evidence;
    let turn = evidence.turn.map(|turn| turn.to_string());
    let event = evidence.event.map(|event| event.to_string());
    for (name, text) in [
        ("turn", &turn),
        ("event", &event),
        ("expected", &evidence.expected),
        ("got", &evidence.got),
        ("excerpt", &evidence.excerpt),
        ("cause", &finding.cause),
        ("fix", &finding.fix),
    ] {
        if let Some(text) = text {
            out.push_str(&format!("  {name}: {}\n", line(text)));
        }
    }
    out
}
