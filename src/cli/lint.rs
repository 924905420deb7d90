//! `sameturn lint`: scenario and target files, without sending anything.

use std::path::Path;

use crate::catalog;
use crate::cli::args::LintArgs;
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::ui::Ui;

/// Reads everything; a mistake is an error with its place.
pub fn run(args: &LintArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let catalog = catalog::shipped();
    let scenarios = files::scenarios(&args.scenarios, catalog)?;
    ui.out(&format!("{} scenarios are fine\n", scenarios.len()));
    let usual = Path::new(files::TARGET_FILE);
    let file = args
        .targets
        .as_deref()
        .or_else(|| usual.exists().then_some(usual));
    if let Some(file) = file {
        let targets = files::targets(file, catalog)?;
        ui.out(&format!(
            "{}: {} targets are fine\n",
            file.display(),
            targets.targets.len()
        ));
    }
    Ok(Exit::Ok)
}
