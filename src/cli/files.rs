//! Finding and opening the files that people write. What is in them is for `scenario` and `target`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::catalog::Catalog;
use crate::check::{expect, rules};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::document::nearest::{list, nearest};
use crate::document::{self, Document};
use crate::mock::data::{Api, MockData};
use crate::plan::PlannedScenario;
use crate::scenario::lint::Sourced;
use crate::scenario::model::Scenario;
use crate::scenario::{self, library};
use crate::target;
use crate::target::model::TargetFile;

/// The name of the target file that is looked for in the working directory.
pub const TARGET_FILE: &str = "sameturn.yaml";

/// What was read, and what is odd about it without being wrong.
#[derive(Debug)]
pub struct Checked<T> {
    pub value: T,
    pub warnings: Diagnostics,
}

/// Reads the scenarios that are named, or the library. All mistakes in all files are reported at once.
pub fn scenarios(
    paths: &[PathBuf],
    catalog: &Catalog,
) -> anyhow::Result<Checked<Vec<PlannedScenario>>> {
    let mut texts: Vec<(String, Vec<u8>)> = Vec::new();
    if paths.is_empty() {
        for (file, text) in library::scenarios() {
            texts.push((file.to_owned(), text.as_bytes().to_vec()));
        }
    } else {
        for file in found(paths)? {
            texts.push((file.display().to_string(), open(&file)?));
        }
    }
    // Most scenarios name nothing of the mocks': they are read for the first that does.
    let mut mocks: Option<MockData> = None;
    let mut read: Vec<(&str, &str, Scenario)> = Vec::new();
    let mut mistakes = Diagnostics::default();
    let mut warnings = Diagnostics::default();
    for (file, bytes) in &texts {
        match scenario::read::read_checked(file, bytes, catalog) {
            Ok((scenario, odd)) => {
                warnings.0.extend(odd.0);
                let text = std::str::from_utf8(bytes).unwrap_or_default();
                mistakes.0.extend(unknown_rules(file, text, &scenario).0);
                if names_of_mocks(&scenario)
                    .iter()
                    .any(|name| name.2.is_some())
                {
                    let mocks = match &mut mocks {
                        Some(mocks) => mocks,
                        none => none.insert(MockData::shipped().map_err(anyhow::Error::msg)?),
                    };
                    mistakes
                        .0
                        .extend(unknown_to_the_mocks(file, text, &scenario, mocks).0);
                }
                read.push((file, text, scenario));
            }
            Err(wrong) => mistakes.0.extend(wrong.0),
        }
    }
    let set: Vec<Sourced<'_>> = read
        .iter()
        .map(|(file, text, scenario)| Sourced {
            file,
            text,
            scenario,
        })
        .collect();
    mistakes.0.extend(scenario::lint::check_set(&set).0);
    if !mistakes.is_empty() {
        return Err(mistakes.into());
    }
    let value = read
        .into_iter()
        .map(|(file, _, scenario)| PlannedScenario {
            digest: scenario::digest::digest(&scenario),
            origin: if paths.is_empty() {
                "built in".to_owned()
            } else {
                file.to_owned()
            },
            scenario,
        })
        .collect();
    Ok(Checked { value, warnings })
}

/// Where a scenario may name a fault or a script of the mocks, and what it says there.
fn names_of_mocks(scenario: &Scenario) -> [(&'static str, &'static str, Option<&String>); 3] {
    let gap = scenario.gap.as_ref();
    [
        ("given", "fault", scenario.given.fault.as_ref()),
        ("given", "script", scenario.given.script.as_ref()),
        ("gap", "fault", gap.map(|gap| &gap.fault)),
    ]
}

/// Faults and scripts that no mock knows.
fn unknown_to_the_mocks(
    file: &str,
    text: &str,
    scenario: &Scenario,
    mocks: &MockData,
) -> Diagnostics {
    let apis = [
        Api::Responses,
        Api::Chat,
        Api::Converse,
        Api::Invoke,
        Api::Agentcore,
    ];
    let mut found = Diagnostics::default();
    for (block, key, name) in names_of_mocks(scenario) {
        let Some(name) = name else { continue };
        let known: Vec<&str> = match key {
            "script" => mocks.script_names(),
            _ => apis
                .iter()
                .flat_map(|api| mocks.fault_names(*api))
                .collect(),
        };
        if known.contains(&name.as_str()) {
            continue;
        }
        let place = Document::parse(file, text, "a scenario").map_or(Place::START, |document| {
            document.cursor().key(block).key(key).place()
        });
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", list(known)),
        };
        let message = format!("no mock has a {key} `{name}`");
        found
            .0
            .push(Diagnostic::error(file, text, place, message).help(help));
    }
    found
}

/// Rules of a claimed gap that there are not.
fn unknown_rules(file: &str, text: &str, scenario: &Scenario) -> Diagnostics {
    let mut found = Diagnostics::default();
    let all = rules::all().chain(expect::RULES.iter().copied());
    let known: Vec<&str> = all.map(|rule| rule.id).collect();
    let claimed = scenario.gap.iter().flat_map(|gap| &gap.findings);
    for (index, rule) in claimed.enumerate() {
        if known.contains(&rule.as_str()) {
            continue;
        }
        let place = Document::parse(file, text, "a scenario").map_or(Place::START, |document| {
            let findings = document.cursor().key("gap").key("findings");
            findings.item(index).place()
        });
        let help = match nearest(rule, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`sameturn rules` lists them".to_owned(),
        };
        let message = format!("there is no rule `{rule}`");
        found
            .0
            .push(Diagnostic::error(file, text, place, message).help(help));
    }
    found
}

/// Reads a target file.
pub fn targets(file: &Path, catalog: &Catalog) -> anyhow::Result<Checked<TargetFile>> {
    target_file(&file.display().to_string(), &open(file)?, catalog)
}

/// The targets at which the built-in mocks show gaps: each wire API, and each provider with gaps of its own.
pub fn targets_with_gaps(catalog: &Catalog) -> anyhow::Result<Checked<TargetFile>> {
    let text = include_str!("../../mocks/gap-targets.yaml");
    target_file("mocks/gap-targets.yaml", text.as_bytes(), catalog)
}

/// The targets that the built-in mocks serve.
pub fn mocked_targets(catalog: &Catalog) -> anyhow::Result<Checked<TargetFile>> {
    let text = include_str!("../../mocks/targets.yaml");
    target_file("mocks/targets.yaml", text.as_bytes(), catalog)
}

fn target_file(name: &str, bytes: &[u8], catalog: &Catalog) -> anyhow::Result<Checked<TargetFile>> {
    let (value, warnings) = target::read::read_checked(name, bytes, catalog)?;
    Ok(Checked { value, warnings })
}

/// The files behind paths: folders are searched for `.yaml` and `.yml`, in the order of their names.
fn found(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let before = files.len();
        search(path, true, &mut files)?;
        if files.len() == before {
            bail!("{}: no .yaml file is in this folder", path.display());
        }
    }
    Ok(files)
}

fn search(path: &Path, named: bool, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let what =
        fs::metadata(path).with_context(|| format!("{}: could not be read", path.display()))?;
    if what.is_dir() {
        let mut inside: Vec<PathBuf> = fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .with_context(|| format!("{}: could not be read", path.display()))?;
        inside.sort();
        for one in inside {
            search(&one, false, files)?;
        }
    } else if named
        || path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml")
    {
        files.push(path.to_owned());
    }
    Ok(())
}

/// Reads a file that is not too large to be meant. A device or a pipe has no size that could be asked before.
fn open(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = document::MAX_BYTES as u64;
    let size = fs::File::open(file)
        .and_then(|mut open| {
            let told = open.metadata()?.len();
            let read = (&mut open).take(most + 1).read_to_end(&mut bytes)? as u64;
            Ok(told.max(read))
        })
        .with_context(|| format!("{}: could not be read", file.display()))?;
    if bytes.len() > document::MAX_BYTES {
        let mistake = document::too_big(&file.display().to_string(), size);
        return Err(Diagnostics::from(mistake).into());
    }
    Ok(bytes)
}
