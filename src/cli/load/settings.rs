//! Flags, files and environment, resolved: what `load` will do, with no option left that has a default.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use crate::catalog;
use crate::cli::files;
use crate::cli::load::args::{LoadArgs, SpacingArg};
use crate::cli::settings::{Mode, Whom, choose_targets, mode};
use crate::diagnostic::Diagnostics;
use crate::load::arrival::Spacing;
use crate::load::find;
use crate::load::mix::Mix;
use crate::load::profile::Profile;
use crate::load::prompt::{Prefix, Prompts};
use crate::load::replay::{self, Recorded};
use crate::load::size::Size;
use crate::load::slo::{Bound, Objective, Term};
use crate::load::window::Window;
use crate::load::workload::{Generated, Source, Workload};
use crate::plan::PlannedScenario;
use crate::target::model::TargetFile;
use crate::transport::Limits;

/// How conversations arrive at each target and region.
#[derive(Debug, Clone)]
pub enum Load {
    Closed(Profile),
    Open {
        profile: Profile,
        spacing: Spacing,
    },
    Replay(Arc<[Recorded]>),
    /// A search for the highest rate.
    FindMax {
        /// Chosen by the objective where absent.
        start: Option<f64>,
        search: find::Settings,
        spacing: Spacing,
        step: Duration,
    },
}

impl Load {
    /// In words, for the head of a report.
    pub fn words(&self) -> String {
        let each = "at each target and region";
        match self {
            Load::Closed(profile) => {
                format!("closed loop, {profile} conversations at a time {each}")
            }
            Load::Open { profile, spacing } => format!(
                "open loop, {profile} conversations a second {each}, {}",
                spacing_words(*spacing)
            ),
            Load::Replay(recorded) => {
                format!("open loop, {} recorded arrivals {each}", recorded.len())
            }
            Load::FindMax { spacing, step, .. } => format!(
                "search for the highest rate {each}, {} s a step, {}",
                step.as_secs_f64(),
                spacing_words(*spacing)
            ),
        }
    }
}

fn spacing_words(spacing: Spacing) -> &'static str {
    match spacing {
        Spacing::Constant => "evenly spaced",
        Spacing::Poisson => "as a Poisson process",
    }
}

/// What `load` will do.
#[derive(Debug)]
pub struct LoadSettings {
    pub mode: Mode,
    pub targets: TargetFile,
    pub workload: Workload,
    /// The scenarios of the workload, for whoever asks whether they apply somewhere.
    pub planned: Vec<PlannedScenario>,
    pub load: Load,
    pub window: Window,
    pub objective: Option<Objective>,
    pub limits: Limits,
    /// Threads that send, where somebody said how many.
    pub workers: Option<usize>,
    pub processors: usize,
    /// Millionths of a dollar.
    pub most_micro_dollars: Option<u64>,
    pub warnings: Diagnostics,
}

impl LoadSettings {
    /// How much is about to be sent, in words.
    pub fn words(&self) -> String {
        let window = &self.window;
        let length = match (window.ends(), window.most) {
            (Some(ends), None) => format!(", for {:.0} s", ends.as_secs_f64()),
            (Some(ends), Some(most)) => {
                format!(", {most} of them or {:.0} s", ends.as_secs_f64())
            }
            (None, Some(most)) => format!(", {most} of them"),
            (None, None) => String::new(),
        };
        match &self.load {
            Load::FindMax { .. } => self.load.words(),
            load => format!("{}{length}", load.words()),
        }
    }

    /// All settings that decide what is sent when, in a text that is the same on all machines of a run.
    pub fn fingerprint(&self, args: &LoadArgs) -> String {
        let source = match &self.workload.source {
            Source::Generated(generated) => format!(
                "prompts of {} tokens ({}), answers of {}{}",
                generated.prompt_tokens,
                args.prefix,
                generated.output_tokens,
                match generated.limited {
                    true => "",
                    false => ", unlimited",
                }
            ),
            Source::Scenarios { .. } => args
                .mix
                .as_ref()
                .map_or_else(|| "even".to_owned(), ToString::to_string),
        };
        format!(
            "{}; {}; {source}{}{}{}",
            self.load.words(),
            self.window,
            recorded(&self.workload.recorded),
            match args.no_back_off {
                true => "; no back-off",
                false => "",
            },
            args.max_in_flight
                .map_or_else(String::new, |most| format!("; {most} in flight at most")),
        )
    }
}

/// Recorded arrivals as their number and SHA-256.
fn recorded(recorded: &[Recorded]) -> String {
    if recorded.is_empty() {
        return String::new();
    }
    let mut digest = Sha256::new();
    for one in recorded {
        digest.update(format!("{one:?}"));
    }
    let digest: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("; {} recorded arrivals {digest}", recorded.len())
}

/// Resolves the flags of `load`. Every error is bad input: nothing has been sent.
pub fn resolve(args: &LoadArgs, nonce: u64) -> anyhow::Result<LoadSettings> {
    let catalog = catalog::shipped();
    let whom = Whom {
        server: &args.server,
        targets: args.targets.as_deref(),
        mocks: args.mocks,
        gaps: false,
    };
    let (mode, file) = mode(&whom, catalog)?;
    let mut warnings = file.warnings;
    let targets = choose_targets(file.value, &args.target)?;
    if !args.speed.is_finite() || args.speed <= 0.0 {
        bail!(
            "--speed: {} must be more than 0; 2 is twice as fast",
            args.speed
        );
    }
    let load = load(args)?;
    let recorded: Arc<[Recorded]> = match &load {
        Load::Replay(recorded) => Arc::clone(recorded),
        _ => Arc::from([]),
    };
    no_flag_in_vain(args, &load, &recorded)?;
    let prompt_tokens = args.prompt_tokens.unwrap_or(PROMPT);
    let mut planned = Vec::new();
    let source = if args.scenarios.is_empty() && args.mix.is_none() {
        let prefix = prefix(&args.prefix)?;
        if let Prefix::Shared(shared) = prefix
            && prompt_tokens.least() <= shared
            && recorded.iter().all(|one| one.prompt_tokens.is_none())
        {
            bail!(
                "--prefix: prompts of {} tokens have no room for {shared} shared ones and words of their own\n  help: make \
                 them longer: `--prompt-tokens {}`",
                prompt_tokens,
                shared.saturating_add(200)
            );
        }
        Source::Generated(Generated {
            prompts: Prompts::new(args.seed(), nonce, prefix),
            prompt_tokens,
            output_tokens: args.output_tokens.unwrap_or(OUTPUT),
            limited: !args.unlimited_output,
            seed: args.seed(),
            first: OnceLock::new(),
        })
    } else {
        let read = files::scenarios(&args.scenarios, catalog)?;
        warnings.0.extend(read.warnings.0);
        planned = read.value;
        mixed(&mut planned, args.mix.as_ref(), args.seed())?
    };
    let of_window = window(args, &load)?;
    if of_window.measured == Some(Duration::ZERO) {
        bail!(
            "nothing is left to measure: the load is over when --warm-up and --cool-down are\n  help: make it longer, or \
             these shorter"
        );
    }
    let micro = |dollars: f64| (dollars * 1e6).round() as u64;
    if let Some(cost) = args.max_cost
        && (!cost.is_finite() || cost <= 0.0)
    {
        bail!("--max-cost: {cost} must be more than nothing, in US dollars");
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(LoadSettings {
        mode,
        targets,
        workload: Workload { source, recorded },
        planned,
        window: of_window,
        load,
        objective: objective(args),
        limits: Limits {
            idle: args.idle_timeout,
            total: args.timeout,
            ..Limits::CHECK
        },
        workers: args.workers.map(usize::from),
        processors: cores,
        most_micro_dollars: args.max_cost.map(micro),
        warnings,
    })
}

/// The sizes of generated prompts and their answers, in tokens, where nothing is said.
const PROMPT: Size = Size::Fixed(256);
const OUTPUT: Size = Size::Fixed(64);

/// Refuses what would change nothing: whoever gave it expects that it does.
fn no_flag_in_vain(args: &LoadArgs, load: &Load, recorded: &[Recorded]) -> anyhow::Result<()> {
    if args.max_in_flight.is_some() && matches!(load, Load::Closed(_)) {
        bail!(
            "--max-in-flight: in a closed loop no more are under way than --concurrency says\n  help: leave it away, or \
             give a --rate"
        );
    }
    if args.spacing.is_some() && matches!(load, Load::Closed(_) | Load::Replay(_)) {
        bail!(
            "--spacing: it is for the arrivals of --rate and --find-max, and here {}\n  help: leave it away, or give a --rate",
            match load {
                Load::Replay(_) => "arrivals come as recorded",
                _ => "a conversation begins when another has ended",
            }
        );
    }
    let of_file = |sized: fn(&Recorded) -> bool| !recorded.is_empty() && recorded.iter().all(sized);
    for (flag, given, sized) in [
        (
            "--prompt-tokens",
            args.prompt_tokens.is_some(),
            of_file(|one| one.prompt_tokens.is_some()),
        ),
        (
            "--output-tokens",
            args.output_tokens.is_some(),
            of_file(|one| one.output_tokens.is_some()),
        ),
    ] {
        if given && sized {
            bail!(
                "{flag}: --arrivals says the size of each\n  help: leave it away, or take the sizes out of the file"
            );
        }
    }
    Ok(())
}

/// Closed loop where nothing is said, with so many conversations at a time.
const CONCURRENCY: f64 = 4.0;
/// How long is measured where nothing says it.
const DURATION: Duration = Duration::from_secs(10);

/// No recorded arrivals take longer.
const LONGEST_REPLAY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn load(args: &LoadArgs) -> anyhow::Result<Load> {
    let spacing = match args.spacing {
        None | Some(SpacingArg::Poisson) => Spacing::Poisson,
        Some(SpacingArg::Constant) => Spacing::Constant,
    };
    if args.find_max {
        let start = args.rate.as_ref().map(|rate| rate.at(Duration::ZERO));
        let usual = find::Settings::default();
        let developing = args
            .rate
            .as_ref()
            .is_some_and(|rate| rate.length().is_some());
        if developing || start.is_some_and(|start| start <= 0.0) {
            bail!("--find-max: --rate is where it starts: one number above 0");
        }
        if let Some(most) = args.max_rate
            && (!most.is_finite() || most <= 0.0 || start.is_some_and(|start| most < start))
        {
            bail!(
                "--max-rate: {most} must be above 0, and not below the rate that the search starts with"
            );
        }
        return Ok(Load::FindMax {
            start,
            search: find::Settings {
                ceiling: args.max_rate.unwrap_or(usual.ceiling),
                ..usual
            },
            spacing,
            step: args.step,
        });
    }
    if let Some(file) = &args.arrivals {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("--arrivals: {} cannot be read", file.display()))?;
        let recorded = replay::read(&file.display().to_string(), &text, args.speed)
            .map_err(|wrong| anyhow::anyhow!("{}", wrong.to_string().trim_end()))?;
        if recorded.last().is_some_and(|last| last.at > LONGEST_REPLAY) {
            bail!(
                "--arrivals: at --speed {:e} the last of {} comes more than a year after the first\n  help: \
                 a greater --speed, or a part of the file",
                args.speed,
                file.display()
            );
        }
        return Ok(Load::Replay(recorded.into()));
    }
    Ok(match (&args.rate, &args.concurrency) {
        (Some(profile), _) => Load::Open {
            profile: profile.clone(),
            spacing,
        },
        (None, Some(profile)) => Load::Closed(profile.clone()),
        (None, None) => Load::Closed(Profile::constant(CONCURRENCY, None)),
    })
}

/// The objective. A search needs to know how many failures it may overlook.
fn objective(args: &LoadArgs) -> Option<Objective> {
    let mut objective = args.slo.clone()?;
    let errors = |term: &Term| matches!(term, Term::Errors { .. });
    if args.find_max && !objective.terms.iter().any(errors) {
        objective.terms.push(Term::Errors {
            bound: Bound::Below,
            limit: 0.05,
        });
    }
    Some(objective)
}

fn window(args: &LoadArgs, load: &Load) -> anyhow::Result<Window> {
    let warm_up = args.warm_up.unwrap_or_default();
    let cool_down = args.cool_down.unwrap_or_default();
    let length = match load {
        Load::Closed(profile) | Load::Open { profile, .. } => profile.length(),
        Load::Replay(recorded) => recorded
            .last()
            // The last one belongs to it.
            .map(|last| last.at.saturating_add(Duration::from_millis(1))),
        Load::FindMax { step, .. } => Some(*step + warm_up + cool_down),
    };
    let of_profile = length.map(|length| length.saturating_sub(warm_up + cool_down));
    // Nothing arrives after the profile has ended: to measure on would only make the rates smaller.
    // A recording may well have been of a longer time than until its last arrival.
    if let (Some(length), Some(left), Some(duration)) = (length, of_profile, args.duration)
        && duration > left
        && !matches!(load, Load::Replay(_))
    {
        bail!(
            "--duration: {} after a warm-up of {} and before a cool-down of {} is more than the {} that arrivals last\n  \
             help: leave --duration away to measure all of it, or end with a part without a length (`5/2s,20`)",
            seconds(duration),
            seconds(warm_up),
            seconds(cool_down),
            seconds(length)
        );
    }
    let measured = match (args.duration, args.requests) {
        (Some(duration), _) => Some(duration),
        (None, Some(_)) => of_profile,
        (None, None) => of_profile.or(Some(DURATION)),
    };
    if measured.is_none() && args.cool_down.is_some() {
        bail!(
            "--cool-down: with --requests alone the load is over when the last of them is\n  help: leave it away, or say by \
             --duration how long is measured at most"
        );
    }
    Ok(Window {
        warm_up,
        measured,
        cool_down,
        most: args.requests,
    })
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

fn mixed(
    planned: &mut Vec<PlannedScenario>,
    mix: Option<&Mix>,
    seed: u64,
) -> anyhow::Result<Source> {
    let names: Vec<String> = planned
        .iter()
        .map(|one| one.scenario.name.clone())
        .collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    if let Some(mix) = mix {
        // A part that fits nothing is told with all the names there are.
        mix.over(&all, seed)
            .map_err(|reason| anyhow::anyhow!("--mix: {reason}"))?;
        planned.retain(|one| mix.takes(&one.scenario.name));
    }
    let kept: Vec<&str> = planned
        .iter()
        .map(|one| one.scenario.name.as_str())
        .collect();
    let choice = match mix {
        None => Mix::even(&kept, seed),
        Some(mix) => mix.over(&kept, seed).map_err(anyhow::Error::msg)?,
    };
    if let Some(background) = planned
        .iter()
        .find(|one| one.scenario.settings.background == Some(true))
    {
        bail!(
            "`{}` is answered in the background, where there is no stream to measure: choose others with --mix",
            background.scenario.name
        );
    }
    let scenarios = planned
        .iter()
        .map(|one| Arc::new(one.scenario.clone()))
        .collect();
    Ok(Source::Scenarios { scenarios, choice })
}

fn prefix(text: &str) -> anyhow::Result<Prefix> {
    if text == "unique" {
        return Ok(Prefix::Unique);
    }
    let tokens = text
        .strip_prefix("shared:")
        .and_then(|tokens| tokens.parse().ok())
        .filter(|tokens| (1..=crate::load::size::LARGEST).contains(tokens));
    tokens.map(Prefix::Shared).with_context(|| {
        format!("--prefix: `{text}` must be `unique`, or `shared:N` with N tokens")
    })
}
