//! Finding and opening the files that people write. What is in them is for `scenario` and `target`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::catalog::Catalog;
use crate::diagnostic::Diagnostics;
use crate::plan::PlannedScenario;
use crate::scenario::model::Scenario;
use crate::scenario::{self, library};
use crate::target::model::TargetFile;
use crate::target::{self};

/// The name of the target file that is looked for in the working directory.
pub const TARGET_FILE: &str = "sameturn.yaml";

/// Reads the scenarios that are named, or the library. All mistakes in all files are reported at once.
pub fn scenarios(paths: &[PathBuf], catalog: &Catalog) -> anyhow::Result<Vec<PlannedScenario>> {
    let mut read: Vec<(String, Scenario)> = Vec::new();
    let mut mistakes = Diagnostics::default();
    let mut add = |file: &str, bytes: &[u8]| {
        let scenario = scenario::read::read_bytes(file, bytes)
            .and_then(|(scenario, text)| scenario::lint::lint(file, &text, scenario, catalog));
        match scenario {
            Ok(scenario) => read.push((file.to_owned(), scenario)),
            Err(diagnostics) => mistakes.extend(diagnostics),
        }
    };
    if paths.is_empty() {
        for (file, text) in library::files() {
            add(&file, text.as_bytes());
        }
    } else {
        for file in found(paths)? {
            add(&file.display().to_string(), &open(&file)?);
        }
    }
    mistakes.extend(scenario::lint::check_set(&read));
    if !mistakes.is_empty() {
        return Err(mistakes.into());
    }
    Ok(read
        .into_iter()
        .map(|(file, scenario)| PlannedScenario {
            digest: scenario::digest::digest(&scenario),
            origin: if paths.is_empty() {
                "built in".to_owned()
            } else {
                file
            },
            scenario,
        })
        .collect())
}

/// Reads a target file.
pub fn targets(file: &Path, catalog: &Catalog) -> anyhow::Result<TargetFile> {
    let bytes = open(file)?;
    Ok(target::read::read_bytes(
        &file.display().to_string(),
        &bytes,
        catalog,
    )?)
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
    let what = fs::metadata(path).with_context(|| format!("{}: could not be read", path.display()))?;
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

/// Opens a file that is not too large to be meant.
fn open(file: &Path) -> anyhow::Result<Vec<u8>> {
    let limit = scenario::read::MAX_BYTES;
    let size = fs::metadata(file)
        .with_context(|| format!("{}: could not be read", file.display()))?
        .len();
    if size > limit as u64 {
        bail!(
            "{}:1:1: the file has {size} bytes; a scenario or target file has at most {limit}",
            file.display()
        );
    }
    fs::read(file).with_context(|| format!("{}: could not be read", file.display()))
}
