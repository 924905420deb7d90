//! The events of a run: the interface between whoever conducts cells and every report.
//!
//! Progress, console, JSON, JUnit and Markdown are folds over these. Plain data: the written format
//! has its own types (`record`).

use std::time::Duration;

use crate::catalog::gap::GapRow;
use crate::check::finding::Finding;

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// The run began: what will be done.
    Started(RunPlan),
    /// A target's own identity signed in, for the first time.
    SignedIn {
        /// Index into the plan's targets.
        target: usize,
        /// How, without secrets.
        how: String,
        /// What works and probably is not meant.
        warnings: Vec<String>,
    },
    /// A cell began.
    CellStarted { cell: usize },
    /// An exchange of a cell ended.
    Exchange(Box<ExchangeRecord>),
    /// A cell ended.
    CellEnded(Box<CellResult>),
    /// All cells ended, or the run was stopped. Findings about the run as a whole (parity, stale gaps).
    Ended {
        interrupted: bool,
        /// RFC 3339, UTC.
        finished_at: String,
        findings: Vec<Placed>,
        stale_gaps: Vec<StaleGap>,
    },
}

/// What a run will do.
#[derive(Debug, Clone)]
pub struct RunPlan {
    pub run_id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// One line: built-in mocks, a target file, or a base URL.
    pub mode: String,
    pub seed: u64,
    pub repeat: u32,
    pub reference: String,
    pub targets: Vec<TargetSummary>,
    /// Scenario names in order, with their digests.
    pub scenarios: Vec<ScenarioSummary>,
    /// The cells in the order they are listed: index into `scenarios` and `targets`.
    pub cells: Vec<Cell>,
}

/// A target in one region: a column of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSummary {
    pub name: String,
    pub provider: String,
    pub dialect: String,
    pub model: String,
    pub region: Option<String>,
    /// What is known before anything is sent, and probably is not meant.
    pub foreseen: Vec<String>,
    /// How it signs in, once it has; without secrets.
    pub sign_in: Option<String>,
    /// What works about that and probably is not meant.
    pub warnings: Vec<String>,
    /// The base URL asked.
    pub endpoint: String,
    /// The variable or profile that named it, where one did.
    pub endpoint_from: Option<String>,
    pub mocked: bool,
}

impl TargetSummary {
    /// `mantle us-east-1`, the heading of its column.
    pub fn label(&self) -> String {
        match &self.region {
            Some(region) => format!("{} {region}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A scenario: a row of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioSummary {
    pub name: String,
    pub about: String,
    pub digest: String,
    /// `built in`, or the file.
    pub origin: String,
}

/// One scenario at one target, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cell {
    pub scenario: usize,
    pub target: usize,
    /// Counting from 1.
    pub repeat: u32,
}

/// What a cell came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    Pass,
    Fail,
    KnownGap,
    NotApplicable,
    Undetermined,
}

impl Verdict {
    /// The word used in reports.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::KnownGap => "known_gap",
            Verdict::NotApplicable => "not_applicable",
            Verdict::Undetermined => "undetermined",
        }
    }
}

/// A finished cell.
#[derive(Debug, Clone)]
pub struct CellResult {
    /// Its index in the plan.
    pub cell: usize,
    pub verdict: Verdict,
    /// Why, where the verdict is not applicable or undetermined; empty otherwise.
    pub reason: String,
    /// The class of the failure that the last exchange ended with, expected or not.
    pub failure: Option<String>,
    /// The attempts that were followed by another, or that could have been; none where nothing was repeated.
    pub retries: Vec<Retry>,
    /// TTFT of each turn that had output, in order.
    pub ttft: Vec<Duration>,
    /// Total time of each turn whose last exchange completed, in order.
    pub total: Vec<Duration>,
    pub findings: Vec<Judged>,
    /// A line per turn that says what the model did: `calls get_weather → text`.
    pub outline: Vec<String>,
}

/// A failed attempt of a turn that the scenario wants repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Counting from 1.
    pub turn: usize,
    /// Counting from 1.
    pub attempt: usize,
    /// The class of its failure.
    pub failure: String,
    /// How long was waited before the next attempt; `None` where there was none.
    pub waited: Option<Duration>,
    /// Why there was no other attempt.
    pub gave_up: Option<String>,
}

/// A finding and what the catalog says of it.
#[derive(Debug, Clone)]
pub struct Judged {
    pub finding: Finding,
    /// The known gap that explains it, if any.
    pub gap: Option<KnownGap>,
}

/// A known gap as reports show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownGap {
    pub id: String,
    pub about: String,
    pub consequence: String,
    pub source: String,
    pub date: String,
}

impl KnownGap {
    /// A row of the catalog as reports show it.
    pub fn of(row: &GapRow) -> KnownGap {
        KnownGap {
            id: row.id.clone(),
            about: row.about.clone(),
            consequence: row.consequence.clone(),
            source: row.source.clone(),
            date: row.date.clone(),
        }
    }
}

/// A finding about a place in the matrix that no single cell made.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Index into the plan's cells.
    pub cell: usize,
    pub judged: Judged,
}

/// A known gap whose scenarios ran at a target without showing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleGap {
    pub gap: KnownGap,
    /// Index into the plan's targets.
    pub target: usize,
}

/// One exchange, redacted, as it is kept in `turns.jsonl`.
#[derive(Debug, Clone)]
pub struct ExchangeRecord {
    pub cell: usize,
    /// Counting from 1.
    pub turn: usize,
    /// Counting from 1; more only where the scenario wants failures repeated, or where a token that was refused with
    /// 401 was replaced.
    pub attempt: usize,
    /// SHA-256 of the provider-neutral turn, hexadecimal: equal on all targets.
    pub digest: String,
    pub method: String,
    pub url: String,
    /// Request headers with secrets replaced.
    pub request_headers: Vec<(String, String)>,
    /// The request body as sent.
    pub request_body: String,
    /// `None` when no response head arrived.
    pub status: Option<u16>,
    pub response_headers: Vec<(String, String)>,
    /// `complete`, `dropped: …`, `stalled after 1s`, `not sent: …`.
    pub end: String,
    pub failure: Option<String>,
    /// How long the provider asked to wait.
    pub retry_after: Option<Duration>,
    pub headers_after: Option<Duration>,
    pub ttft: Option<Duration>,
    pub total: Option<Duration>,
    pub response_bytes: u64,
    pub events: u64,
    /// The raw response body, where streams are kept, or where it is the evidence of a failure.
    pub response_body: Option<Vec<u8>>,
}
