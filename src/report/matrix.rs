//! The matrix: scenario rows, target columns, one mark per place.
//!
//! A mark is a word, never a colour alone. With repeats a mark stands for all of them and its count
//! says how many came to it; the worst decides.

use std::collections::HashMap;

use crate::report::record::{CellVerdict, Run, RunCell};

/// What a place came to, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MarkKind {
    Fail,
    Undetermined,
    NotRun,
    Gap,
    Ok,
    NotApplicable,
}

impl MarkKind {
    /// All kinds in the order of a legend.
    pub const ALL: [MarkKind; 6] = [
        MarkKind::Ok,
        MarkKind::Fail,
        MarkKind::Gap,
        MarkKind::NotApplicable,
        MarkKind::Undetermined,
        MarkKind::NotRun,
    ];

    /// As it stands in the matrix.
    pub fn word(self) -> &'static str {
        match self {
            MarkKind::Ok => "ok",
            MarkKind::Fail => "FAIL",
            MarkKind::Gap => "gap",
            MarkKind::NotApplicable => "n/a",
            MarkKind::Undetermined => "?",
            MarkKind::NotRun => "-",
        }
    }

    /// What the word means.
    pub fn meaning(self) -> &'static str {
        match self {
            MarkKind::Ok => "as expected",
            MarkKind::Fail => "not as expected",
            MarkKind::Gap => "known gap",
            MarkKind::NotApplicable => "not applicable",
            MarkKind::Undetermined => "undetermined",
            MarkKind::NotRun => "not run",
        }
    }

    fn of(verdict: CellVerdict) -> MarkKind {
        match verdict {
            CellVerdict::Pass => MarkKind::Ok,
            CellVerdict::Fail => MarkKind::Fail,
            CellVerdict::KnownGap => MarkKind::Gap,
            CellVerdict::NotApplicable => MarkKind::NotApplicable,
            CellVerdict::Undetermined => MarkKind::Undetermined,
        }
    }
}

/// One place of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub kind: MarkKind,
    /// `ok`, `FAIL 1/3`.
    pub text: String,
}

/// One scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub scenario: String,
    /// One per target of the run.
    pub marks: Vec<Mark>,
    /// Whether a reader should look: a failure, something unknown, or targets that differ.
    pub notable: bool,
}

impl Row {
    /// The text before the first `/`; empty where there is none.
    pub fn theme(&self) -> &str {
        self.scenario.split_once('/').map_or("", |(theme, _)| theme)
    }

    /// The text after it.
    pub fn name(&self) -> &str {
        self.scenario
            .split_once('/')
            .map_or(&self.scenario, |(_, name)| name)
    }
}

/// All rows: themes together, in the order in which each first appears.
pub fn rows(run: &Run) -> Vec<Row> {
    let mut places: HashMap<(&str, &str, Option<&str>), Vec<&RunCell>> = HashMap::new();
    for cell in &run.cells {
        let place = (
            cell.scenario.as_str(),
            cell.target.as_str(),
            cell.region.as_deref(),
        );
        places.entry(place).or_default().push(cell);
    }
    let mut rows: Vec<Row> = Vec::new();
    for scenario in &run.scenarios {
        let marks: Vec<Mark> = run
            .targets
            .iter()
            .map(|target| {
                let place = (
                    scenario.name.as_str(),
                    target.name.as_str(),
                    target.region.as_deref(),
                );
                mark(places.get(&place).map_or(&[], Vec::as_slice), run.repeat)
            })
            .collect();
        let row = Row {
            scenario: scenario.name.clone(),
            notable: notable(&marks),
            marks,
        };
        let after = rows.iter().rposition(|other| other.theme() == row.theme());
        rows.insert(after.map_or(rows.len(), |after| after + 1), row);
    }
    rows
}

/// How many cells came to each kind; cells that were planned but did not run included.
pub fn counts(run: &Run) -> Vec<(MarkKind, usize)> {
    let kind = |kind| match kind {
        MarkKind::NotRun => run.planned_cells.saturating_sub(run.cells.len()),
        kind => run
            .cells
            .iter()
            .filter(|cell| MarkKind::of(cell.verdict) == kind)
            .count(),
    };
    MarkKind::ALL
        .into_iter()
        .map(|one| (one, kind(one)))
        .filter(|(_, n)| *n > 0)
        .collect()
}

/// What each cell of one target came to, by its place in the run; cells that did not run are `NotRun`.
pub fn counts_of(run: &Run, target: usize) -> Vec<MarkKind> {
    let Some(target) = run.targets.get(target) else {
        return Vec::new();
    };
    let mut kinds: Vec<MarkKind> = run
        .cells
        .iter()
        .filter(|cell| cell.target == target.name && cell.region == target.region)
        .map(|cell| MarkKind::of(cell.verdict))
        .collect();
    let planned = run.planned_cells / run.targets.len();
    kinds.resize(planned.max(kinds.len()), MarkKind::NotRun);
    kinds
}

fn notable(marks: &[Mark]) -> bool {
    let alarming = |mark: &Mark| mark.kind <= MarkKind::NotRun;
    let mut kinds = marks
        .iter()
        .map(|mark| mark.kind)
        .filter(|kind| *kind != MarkKind::NotApplicable);
    let first = kinds.next();
    marks.iter().any(alarming) || kinds.any(|kind| Some(kind) != first)
}

fn mark(cells: &[&RunCell], repeat: u32) -> Mark {
    let kind = cells
        .iter()
        .map(|cell| MarkKind::of(cell.verdict))
        .min()
        .unwrap_or(MarkKind::NotRun);
    let n = cells
        .iter()
        .filter(|cell| MarkKind::of(cell.verdict) == kind)
        .count();
    let text = match kind {
        MarkKind::NotRun | MarkKind::NotApplicable => kind.word().to_owned(),
        kind if repeat > 1 => format!("{} {n}/{repeat}", kind.word()),
        kind => kind.word().to_owned(),
    };
    Mark { kind, text }
}
