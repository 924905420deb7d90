//! The command line as typed. Raw flags die in `settings`: nothing below `cli` sees them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli::load::args::LoadArgs;
use crate::cli::pace_flags;
use crate::cli::ui::ColourChoice;
use crate::mock::data::Spread;
use crate::mock::pace::Stall;
use crate::mock::plain_model::MOST_WORDS;
use crate::scenario::model::parse_duration;

/// The same agent turn through every provider: what differs, how it fails, how fast it is.
///
/// Exit codes: 0 all as expected, 1 findings, 2 bad input (nothing was sent), 3 could not be
/// determined (no credentials, unreachable), 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "sameturn", version, max_term_width = 100)]
pub struct Cli {
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    #[command(subcommand)]
    pub command: Command,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

impl From<Color> for ColourChoice {
    fn from(color: Color) -> ColourChoice {
        match color {
            Color::Auto => ColourChoice::Auto,
            Color::Always => ColourChoice::Always,
            Color::Never => ColourChoice::Never,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run scenarios through the targets: conformance on the wire, and parity with the reference.
    Check(Box<CheckArgs>),
    /// Measure latency and throughput under load, per target and region.
    Load(Box<LoadArgs>),
    /// Ask the targets which models they have, and whether theirs is among them.
    Models(Box<ModelsArgs>),
    /// Serve the mocked providers on loopback, for any client.
    Mock(MockArgs),
    /// Check captured streams against the wire rules, without a network.
    Inspect(InspectArgs),
    /// Check scenario and target files without sending anything.
    Lint(LintArgs),
    /// List the wire rules, or explain one.
    Rules(RulesArgs),
    /// List the classes of failure, or explain one.
    Failures(FailuresArgs),
    /// Add the shards of a run of load up to one.
    Merge(MergeArgs),
    /// Print the JSON Schema of a file.
    Schema(SchemaArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
}

/// Flags of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Scenario files or folders; the library that ships where none is named.
    pub scenarios: Vec<PathBuf>,
    /// The target file; ./sameturn.yaml where there is one, else the built-in mocks.
    #[arg(long, value_name = "FILE", conflicts_with = "base_url")]
    pub targets: Option<PathBuf>,
    /// Use the built-in mocks although there is a ./sameturn.yaml; with --targets, they stand in for the
    /// providers of that file.
    #[arg(long, conflicts_with = "base_url")]
    pub mocks: bool,
    /// Only these targets; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub target: Vec<String>,
    /// Only scenarios whose name matches; may be repeated.
    #[arg(long, value_name = "GLOB")]
    pub scenario: Vec<String>,
    /// Only scenarios with this tag; may be repeated.
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Show what each known gap looks like: run the scenarios that claim one at the built-in mocks,
    /// with the misbehaviour switched on. Such a run ends with findings.
    #[arg(long, conflicts_with_all = ["base_url", "targets", "mocks"])]
    pub show_gaps: bool,
    /// How often each cell runs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// The seed of everything random (the pace of the mocks).
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub server: ServerArgs,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Also write a JUnit file.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Also write a Markdown file, fit for a CI job summary.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Where run folders are made.
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results: PathBuf,
    /// Keep each raw answer in the run folder.
    #[arg(long)]
    pub keep_streams: bool,
    /// Print where the requests to the targets differ.
    #[arg(long)]
    pub show_requests: bool,
    /// Replace AWS account ids in everything written and printed.
    #[arg(long)]
    pub redact_accounts: bool,
    /// The longest silence of an endpoint.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub idle_timeout: Duration,
    /// The longest exchange as a whole.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// Flags of `merge`.
#[derive(Debug, Clone, Args)]
pub struct MergeArgs {
    /// The name of the run in the results, or the folder that holds its shards.
    pub run: String,
    /// Where the runs are: a folder, or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "URL")]
    pub results: Option<String>,
    /// Also add up what is not from the same time: shards that did not run side by side.
    #[arg(long)]
    pub any_time: bool,
    /// Also show a row per target over all its regions.
    #[arg(long)]
    pub sum_regions: bool,
    /// Replace a load.json that says something else.
    #[arg(long)]
    pub force: bool,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Flags of `models`.
#[derive(Debug, Clone, Args)]
pub struct ModelsArgs {
    /// The target file; ./sameturn.yaml where there is one, else the built-in mocks.
    #[arg(long, value_name = "FILE", conflicts_with = "base_url")]
    pub targets: Option<PathBuf>,
    /// Use the built-in mocks although there is a ./sameturn.yaml.
    #[arg(long, conflicts_with_all = ["base_url", "targets"])]
    pub mocks: bool,
    /// Only these targets; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub target: Vec<String>,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Also show every listed model, with the targets and regions that list it.
    #[arg(long)]
    pub all: bool,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Replace AWS account ids in everything printed.
    #[arg(long)]
    pub redact_accounts: bool,
    /// The longest a list may take.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// Any server, without a target file.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// The base URL of any server, e.g. http://127.0.0.1:8000/v1.
    #[arg(long, value_name = "URL", requires = "model")]
    pub base_url: Option<String>,
    /// Its wire API: `responses` or `chat`.
    #[arg(
        long,
        value_name = "DIALECT",
        default_value = "responses",
        requires = "base_url"
    )]
    pub dialect: String,
    /// The model to ask for.
    #[arg(long, value_name = "MODEL", requires = "base_url")]
    pub model: Option<String>,
    /// The environment variable that holds its API key; no key is sent where absent.
    #[arg(long, value_name = "VAR", requires = "base_url")]
    pub api_key_env: Option<String>,
    /// A command that prints a bearer token for it, e.g. 'gcloud auth print-access-token'. Split into words as
    /// a shell would, but run without one.
    // Split later: a complaint of the parser would repeat the whole text, which may hold a secret.
    #[arg(
        long,
        value_name = "CMD",
        requires = "base_url",
        conflicts_with = "api_key_env"
    )]
    pub auth_command: Option<String>,
    /// A header of each request, as `Name: value`; may be repeated. Not for secrets.
    #[arg(long, value_name = "HEADER", requires = "base_url")]
    pub header: Vec<String>,
    /// A query parameter of each request, as `name=value`; may be repeated.
    #[arg(long, value_name = "PAIR", requires = "base_url")]
    pub query: Vec<String>,
}

/// What to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document and nothing else.
    Json,
}

/// Flags of `mock`.
#[derive(Debug, Args)]
pub struct MockArgs {
    /// The port; 0 lets the system choose.
    #[arg(long, default_value_t = 8642)]
    pub port: u16,
    /// The address to bind. Anything but loopback lets others in: the mocks' keys are public.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub bind: std::net::IpAddr,
    /// The seed of the pace.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// `json` prints one line that scripts can read.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Print a line per request on stderr.
    #[arg(long)]
    pub log: bool,
    /// The time to the first token, in place of each region's own: a duration, which is then exact, or
    /// `lognormal(MEDIAN,P95)`.
    #[arg(long, value_name = "TIME", value_parser = pace_flags::spread)]
    pub ttft: Option<Spread>,
    /// The time between tokens, written alike.
    #[arg(long, value_name = "TIME", value_parser = pace_flags::spread)]
    pub between: Option<Spread>,
    /// The time to the first token in one region, e.g. us-east-1=300ms; may be repeated.
    #[arg(long, value_name = "REGION=TIME", value_parser = pace_flags::region_ttft)]
    pub region_ttft: Vec<(String, Spread)>,
    /// How many tokens a text answer has, one event each, where the prompt does not end with
    /// `Answer with exactly N words.`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_WORDS as i64))]
    pub tokens: Option<u32>,
    /// How many threads share the connections; one per core where absent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// The whole server sends nothing for a while, counted from its start: 1s@5s.
    #[arg(long, value_name = "LENGTH@WHEN", value_parser = pace_flags::stall)]
    pub stall: Option<Stall>,
    /// Append a line of CSV per stream: when its request was read and when its events really left.
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
}

/// Flags of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Captured answers: raw SSE (of Converse and InvokeModel: raw frames), one JSON event per line, or one JSON
    /// response. `-` reads stdin.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// The wire API: `responses`, `chat`, `converse` or `invoke`.
    #[arg(long, value_name = "DIALECT", default_value = "responses")]
    pub dialect: String,
    /// Who sent it: its known gaps are told apart.
    #[arg(long, value_name = "PROVIDER", default_value = "openai-compatible")]
    pub provider: String,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Flags of `lint`.
#[derive(Debug, Args)]
pub struct LintArgs {
    /// Scenario files or folders; the library that ships where none is named.
    pub scenarios: Vec<PathBuf>,
    /// The target file; ./sameturn.yaml where there is one.
    #[arg(long, value_name = "FILE")]
    pub targets: Option<PathBuf>,
}

/// Flags of `rules`.
#[derive(Debug, Args)]
pub struct RulesArgs {
    /// A rule's id, or the beginning of some.
    pub id: Option<String>,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Flags of `failures`.
#[derive(Debug, Args)]
pub struct FailuresArgs {
    /// A failure class.
    pub class: Option<String>,
    /// Only what this provider sends.
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = FailuresFormat::Text)]
    pub format: FailuresFormat,
}

/// What `failures` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailuresFormat {
    Text,
    Json,
    /// The document that is kept as docs/failures.md.
    Markdown,
}

/// Flags of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Which file.
    #[arg(value_enum)]
    pub file: SchemaOf,
}

/// A file that has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    Scenario,
    Targets,
    /// load.json, and what `load --format json` prints.
    Load,
}

/// Flags of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}
