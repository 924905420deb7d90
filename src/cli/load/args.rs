//! The flags of `load` as typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::args::{Format, ServerArgs};
use crate::load::mix::Mix;
use crate::load::profile::Profile;
use crate::load::size::Size;
use crate::load::slo::Objective;
use crate::scenario::model::parse_duration;

/// The seed of the schedule where nobody gives one.
const SEED: u64 = 1;

impl LoadArgs {
    /// The seed of the schedule.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or(SEED)
    }
}

/// Flags of `load`.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// Scenario files or folders to draw from; generated prompts where neither these nor --mix are given.
    pub scenarios: Vec<PathBuf>,

    /// The target file; ./sameturn.yaml where there is one, else the built-in mocks.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "base_url",
        help_heading = "Whom to ask"
    )]
    pub targets: Option<PathBuf>,
    /// Use the built-in mocks although there is a ./sameturn.yaml; with --targets, they stand in for the
    /// providers of that file.
    #[arg(long, conflicts_with = "base_url", help_heading = "Whom to ask")]
    pub mocks: bool,
    /// Only these targets; may be repeated.
    #[arg(long, value_name = "NAME", help_heading = "Whom to ask")]
    pub target: Vec<String>,
    #[command(flatten)]
    pub server: ServerArgs,

    /// Closed loop: so many conversations at a time at each target and region. A number, or how it develops:
    /// `1..100/60s,100/2m`. [default: 4]
    #[arg(long, value_name = "PROFILE", conflicts_with_all = ["rate", "arrivals"], help_heading = "Arrivals")]
    pub concurrency: Option<Profile>,
    /// Open loop: so many conversations a second at each target and region, whatever became of those before.
    /// A number, or how it develops: `5..50/60s,50/2m`.
    #[arg(
        long,
        value_name = "PROFILE",
        conflicts_with = "arrivals",
        help_heading = "Arrivals"
    )]
    pub rate: Option<Profile>,
    /// How the arrivals of --rate are spaced. [default: poisson]
    #[arg(long, value_enum, help_heading = "Arrivals")]
    pub spacing: Option<SpacingArg>,
    /// Open loop: replay recorded arrivals and sizes, as CSV or JSON lines (docs/load.md).
    #[arg(long, value_name = "FILE", help_heading = "Arrivals")]
    pub arrivals: Option<PathBuf>,
    /// How much faster than recorded.
    #[arg(
        long,
        value_name = "FACTOR",
        default_value_t = 1.0,
        requires = "arrivals",
        help_heading = "Arrivals"
    )]
    pub speed: f64,
    /// How long is measured. [default: the length of the profile, else 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = "Arrivals")]
    pub duration: Option<Duration>,
    /// How many conversations are measured at each target and region.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Arrivals")]
    pub requests: Option<u64>,
    /// Load before the measured part. [default: none]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = "Arrivals")]
    pub warm_up: Option<Duration>,
    /// Load after the measured part, so that the last measured requests end under load. [default: none]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = "Arrivals")]
    pub cool_down: Option<Duration>,
    /// Go on at full rate where a provider refuses requests as too many, instead of waiting as it asks.
    #[arg(long, help_heading = "Arrivals")]
    pub no_back_off: bool,
    /// The seed of everything random. Where it is given, a run repeats another one byte for byte, prompts included, which
    /// a prompt cache may remember; without it the schedule is that of seed 1, and the prompts are new in each run.
    #[arg(long, value_name = "N", help_heading = "Arrivals")]
    pub seed: Option<u64>,

    /// Which scenarios, and how often: `tools/weather=3,text/*=1`; of the library that ships where no file is
    /// named.
    #[arg(long, value_name = "MIX", help_heading = "Workload")]
    pub mix: Option<Mix>,
    /// The size of generated prompts, in tokens (estimated): `256`, `100..400`, `normal(256,64)`,
    /// `lognormal(200,800)`. [default: 256]
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["mix", "scenarios"], help_heading = "Workload")]
    pub prompt_tokens: Option<Size>,
    /// The size of answers that generated prompts ask for, in tokens, likewise. [default: 64]
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["mix", "scenarios"], help_heading = "Workload")]
    pub output_tokens: Option<Size>,
    /// Do not limit answers to the size that is asked for (max_output_tokens).
    #[arg(long, conflicts_with_all = ["mix", "scenarios"], help_heading = "Workload")]
    pub unlimited_output: bool,
    /// How generated prompts begin: `unique` to miss prompt caches, `shared:N` with the same N tokens to hit
    /// them.
    #[arg(long, value_name = "PREFIX", default_value = "unique", conflicts_with_all = ["mix", "scenarios"], help_heading = "Workload")]
    pub prefix: String,

    /// What is promised: `ttft:p95<800ms, itl:p99<60ms, errors<1%`. Broken: exit code 1.
    #[arg(long, value_name = "OBJECTIVE", help_heading = "Objective")]
    pub slo: Option<Objective>,
    /// Find the highest rate at which each target and region keeps the objective.
    #[arg(long, requires = "slo", conflicts_with_all = ["concurrency", "arrivals", "requests", "duration"], help_heading = "Objective")]
    pub find_max: bool,
    /// How long each rate of --find-max is measured.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_duration, requires = "find_max", help_heading = "Objective")]
    pub step: Duration,
    /// The highest rate that --find-max tries.
    #[arg(
        long,
        value_name = "R",
        requires = "find_max",
        help_heading = "Objective"
    )]
    pub max_rate: Option<f64>,

    /// Stop before more tokens than this are spent, input and output together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Spending")]
    pub max_tokens: Option<u64>,
    /// Stop before more US dollars than this are spent, at the prices of the targets, or the lists of their providers.
    #[arg(long, value_name = "USD", help_heading = "Spending")]
    pub max_cost: Option<f64>,
    /// Do not ask before requests go to a real provider.
    #[arg(long, short, help_heading = "Spending")]
    pub yes: bool,

    /// Threads that send. [default: as many as there are processors; in a closed loop one for each 256
    /// conversations at most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512), help_heading = "Harness")]
    pub workers: Option<u16>,
    /// Conversations under way at a time, at most; open loop. Later ones wait, which is charged to them.
    /// [default: 20000, or what open files and ports allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Harness")]
    pub max_in_flight: Option<u32>,
    /// A new connection for each request.
    #[arg(long, help_heading = "Harness")]
    pub fresh_connections: bool,
    /// The version of HTTP.
    #[arg(long, value_name = "VERSION", value_enum, default_value_t = HttpArg::One, help_heading = "Harness")]
    pub http: HttpArg,
    /// Take the time of the read, not the kernel's time of arrival.
    #[arg(long, help_heading = "Harness")]
    pub read_times: bool,
    /// Measure this program itself, against mocks that know when they sent what.
    #[arg(long, conflicts_with_all = ["base_url", "targets", "find_max"], help_heading = "Harness")]
    pub calibrate: bool,

    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = Format::Text, help_heading = "Output")]
    pub format: Format,
    /// Where run folders are made.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "results",
        help_heading = "Output"
    )]
    pub results: PathBuf,
    #[command(flatten)]
    pub out: LoadOutArgs,
    /// Replace AWS account ids in everything written and printed.
    #[arg(long, help_heading = "Output")]
    pub redact_accounts: bool,

    /// The longest silence of an endpoint.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration, help_heading = "Limits")]
    pub idle_timeout: Duration,
    /// The longest exchange as a whole.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration, help_heading = "Limits")]
    pub timeout: Duration,
}

/// How arrivals are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SpacingArg {
    /// At random, as independent users come.
    Poisson,
    /// Evenly.
    Constant,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HttpArg {
    /// HTTP/1.1: a connection per request under way.
    #[value(name = "1", alias = "1.1")]
    One,
    /// HTTP/2: at most 64 requests share a connection.
    #[value(name = "2")]
    Two,
}

/// What a run of `load` leaves behind, and its part of a larger one.
#[derive(Debug, Clone, Args)]
pub struct LoadOutArgs {
    /// The name of the run, its folder in the results; one of its own where absent. All shards of a run share it.
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    pub run: Option<String>,
    /// Also write requests.csv, a line per request.
    #[arg(long, help_heading = "Output")]
    pub per_request: bool,
    /// Take only this part of the plan, e.g. 2/3; `env` reads it from the variables of Kubernetes indexed jobs, AWS
    /// Batch arrays, Slurm arrays and CI matrices.
    #[arg(
        long,
        value_name = "PART",
        requires = "run",
        help_heading = "Several machines"
    )]
    pub shard: Option<String>,
    /// Begin at this time of day (RFC 3339, e.g. 2026-11-21T12:00:00Z), as all shards do.
    #[arg(long, value_name = "TIME", help_heading = "Several machines")]
    pub start_at: Option<String>,
}
