//! Flags, files and environment, resolved: what `check` will do, with no option left that has a default.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use globset::{Glob, GlobSetBuilder};
use indexmap::IndexMap;

use crate::catalog::{self, Catalog};
use crate::cli::args::{CheckArgs, ServerArgs};
use crate::cli::files::{self, Checked};
use crate::diagnostic::Diagnostics;
use crate::plan::PlannedScenario;
use crate::scenario::{digest, gap};
use crate::target::additions;
use crate::target::bearer_command::BearerCommand;
use crate::target::model::{Auth, Target, TargetFile};
use crate::transport::Limits;

/// Whom a run asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The mocks that ship: no credentials, no network.
    Mocks,
    /// The targets of a file, with the mocks that ship in place of their providers.
    MockedFile(PathBuf),
    /// The same, each scenario with the misbehaviour of the gap that it claims.
    Gaps,
    /// The targets of a file.
    TargetFile(PathBuf),
    /// One server, named on the command line.
    Server(String),
}

impl Mode {
    /// The first line of the output.
    pub fn words(&self) -> String {
        match self {
            Mode::Mocks => "built-in mocks on this machine (no credentials, no network)".to_owned(),
            Mode::MockedFile(file) => format!(
                "built-in mocks on this machine for the targets of {} (no credentials, no network)",
                file.display()
            ),
            Mode::Gaps => {
                "built-in mocks on this machine, each with the misbehaviour of a known gap"
                    .to_owned()
            }
            Mode::TargetFile(file) => format!("targets of {}", file.display()),
            Mode::Server(url) => format!("the server at {url}"),
        }
    }
}

/// What `check` will do.
#[derive(Debug)]
pub struct CheckSettings {
    pub mode: Mode,
    pub scenarios: Vec<PlannedScenario>,
    /// Only the chosen targets.
    pub targets: TargetFile,
    pub reference: String,
    pub limits: Limits,
    /// What is odd about the files without being wrong.
    pub warnings: Diagnostics,
}

/// Resolves the flags of `check`. Every error is bad input: nothing has been sent.
pub fn check(args: &CheckArgs) -> anyhow::Result<CheckSettings> {
    let catalog = catalog::shipped();
    let whom = Whom {
        server: &args.server,
        targets: args.targets.as_deref(),
        mocks: args.mocks,
        gaps: args.show_gaps,
    };
    let (mode, file) = mode(&whom, catalog)?;
    let mut warnings = file.warnings;
    let targets = choose_targets(file.value, &args.target)?;
    let scenarios = files::scenarios(&args.scenarios, catalog)?;
    warnings.0.extend(scenarios.warnings.0);
    let mut scenarios = choose_scenarios(scenarios.value, args)?;
    if mode == Mode::Gaps {
        scenarios = scenarios.into_iter().filter_map(with_gap).collect();
        if scenarios.is_empty() {
            bail!(
                "--show-gaps: none of the chosen scenarios claims a gap; `gap:` in a scenario does"
            );
        }
    }
    let reference = targets
        .reference
        .clone()
        .or_else(|| targets.targets.keys().next().cloned())
        .unwrap_or_default();
    Ok(CheckSettings {
        mode,
        scenarios,
        targets,
        reference,
        limits: Limits {
            idle: args.idle_timeout,
            total: args.timeout,
            ..Limits::CHECK
        },
        warnings,
    })
}

/// The flags that say whom to ask.
#[derive(Debug, Clone, Copy)]
pub struct Whom<'a> {
    pub server: &'a ServerArgs,
    pub targets: Option<&'a Path>,
    pub mocks: bool,
    /// Whether the mocks are to misbehave as the known gaps say.
    pub gaps: bool,
}

/// Whom those flags name, with its targets.
pub fn mode(whom: &Whom<'_>, catalog: &Catalog) -> anyhow::Result<(Mode, Checked<TargetFile>)> {
    if whom.gaps {
        return Ok((Mode::Gaps, files::targets_with_gaps(catalog)?));
    }
    if let Some(url) = &whom.server.base_url {
        let file = Checked {
            value: server(whom.server, url)?,
            warnings: Diagnostics::default(),
        };
        return Ok((Mode::Server(url.clone()), file));
    }
    if let Some(file) = whom.targets {
        let mode = match whom.mocks {
            true => Mode::MockedFile(file.to_owned()),
            false => Mode::TargetFile(file.to_owned()),
        };
        return Ok((mode, files::targets(file, catalog)?));
    }
    let usual = Path::new(files::TARGET_FILE);
    if usual.exists() && !whom.mocks {
        return Ok((
            Mode::TargetFile(usual.to_owned()),
            files::targets(usual, catalog)?,
        ));
    }
    Ok((Mode::Mocks, files::mocked_targets(catalog)?))
}

/// The scenario with its gap; it asks something else than without, so it has another digest.
fn with_gap(planned: PlannedScenario) -> Option<PlannedScenario> {
    let scenario = gap::with_fault(planned.scenario)?;
    Some(PlannedScenario {
        digest: digest::digest(&scenario),
        origin: planned.origin,
        scenario,
    })
}

/// A target file's worth of flags.
fn server(args: &ServerArgs, url: &str) -> anyhow::Result<TargetFile> {
    let parsed = reqwest::Url::parse(url)
        .with_context(|| format!("--base-url: `{url}` is not a URL; write http://HOST:PORT/v1"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        bail!("--base-url: `{url}` must begin with http:// or https://");
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        bail!("--base-url: a base URL has no query and no fragment");
    }
    if let Some(base) = url.trim_end_matches('/').strip_suffix("/responses") {
        bail!("--base-url: leave the last part out, it is added: {base}");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        bail!("--base-url: a password does not belong into a URL; use --api-key-env");
    }
    args.dialect
        .parse::<crate::dialect::Dialect>()
        .context("--dialect")?;
    let target = Target {
        provider: "openai-compatible".to_owned(),
        dialect: Some(args.dialect.clone()),
        model: args.model.clone().unwrap_or_default(),
        regions: Vec::new(),
        auth: Some(match (&args.api_key_env, &args.auth_command) {
            (Some(variable), _) => Auth::BearerEnv(variable.clone()),
            (None, Some(command)) => Auth::BearerCommand(
                BearerCommand::of_line(command)
                    .map_err(|reason| anyhow::anyhow!("--auth-command: {reason}"))?,
            ),
            (None, None) => Auth::None,
        }),
        endpoint: Some(url.to_owned()),
        agent: None,
        api_version: None,
        signing_name: None,
        fips: None,
        headers: added("--header", ':', &args.header)?,
        headers_env: IndexMap::new(),
        query: added("--query", '=', &args.query)?,
        organization: None,
        project: None,
        price: None,
        guardrail: None,
    };
    Ok(TargetFile {
        reference: None,
        targets: IndexMap::from([("server".to_owned(), target)]),
    })
}

/// Headers or query parameters of the command line. What may hold a secret is not repeated.
fn added(flag: &str, sign: char, pairs: &[String]) -> anyhow::Result<IndexMap<String, String>> {
    let mut added = IndexMap::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once(sign) else {
            bail!("{flag}: there is no `{sign}` between name and value");
        };
        let (name, value) = match sign {
            ':' => (name.trim(), value.trim()),
            _ => (name, value),
        };
        let checked = match sign {
            ':' => additions::header_name(name, false)
                .and_then(|()| additions::header_value(name, value)),
            _ => additions::parameter(name),
        };
        if let Err(refused) = checked {
            bail!("{flag}: {}\n  help: {}", refused.message, refused.help);
        }
        if added.insert(name.to_owned(), value.to_owned()).is_some() {
            bail!("{flag}: `{name}` is given twice");
        }
    }
    Ok(added)
}

/// Only the targets of these names; all where there is none.
pub fn choose_targets(mut file: TargetFile, names: &[String]) -> anyhow::Result<TargetFile> {
    for name in names {
        if !file.targets.contains_key(name) {
            let known: Vec<&str> = file.targets.keys().map(String::as_str).collect();
            bail!(
                "--target: there is no `{name}`; there is {}",
                known.join(", ")
            );
        }
    }
    if !names.is_empty() {
        file.targets.retain(|name, _| names.contains(name));
        file.reference = file.reference.filter(|reference| names.contains(reference));
    }
    Ok(file)
}

fn choose_scenarios(
    all: Vec<PlannedScenario>,
    args: &CheckArgs,
) -> anyhow::Result<Vec<PlannedScenario>> {
    let mut globs = GlobSetBuilder::new();
    for text in &args.scenario {
        globs.add(Glob::new(text).with_context(|| format!("--scenario: `{text}` is not a glob"))?);
    }
    let globs = globs.build().context("--scenario")?;
    let names: Vec<String> = all.iter().map(|one| one.scenario.name.clone()).collect();
    let tags: BTreeSet<String> = all
        .iter()
        .flat_map(|one| one.scenario.tags.iter().cloned())
        .collect();
    let chosen: Vec<PlannedScenario> = all
        .into_iter()
        .filter(|one| args.scenario.is_empty() || globs.is_match(&one.scenario.name))
        .filter(|one| {
            args.tag.is_empty() || one.scenario.tags.iter().any(|tag| args.tag.contains(tag))
        })
        .collect();
    if chosen.is_empty() {
        bail!(
            "no scenario is left to run\n  names: {}\n  tags: {}",
            names.join(", "),
            Vec::from_iter(tags).join(", ")
        );
    }
    Ok(chosen)
}
