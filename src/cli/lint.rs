//! `sameturn lint`: scenario and target files, without sending anything.

use std::path::Path;

use crate::catalog;
use crate::cli::args::LintArgs;
use crate::cli::exit::Exit;
use crate::cli::files;
use crate::cli::ui::Ui;
use crate::diagnostic::Diagnostics;
use crate::report::layout::counted;

/// Reads everything; a mistake is an error with its place.
pub fn run(args: &LintArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let catalog = catalog::shipped();
    let scenarios = files::scenarios(&args.scenarios, catalog)?;
    warn(ui, &scenarios.warnings)?;
    ui.out(&fine(scenarios.value.len(), "scenario"))?;
    let usual = Path::new(files::TARGET_FILE);
    let file = args
        .targets
        .as_deref()
        .or_else(|| usual.exists().then_some(usual));
    if let Some(file) = file {
        let targets = files::targets(file, catalog)?;
        warn(ui, &targets.warnings)?;
        let fine = fine(targets.value.targets.len(), "target");
        ui.out(&format!("{}: {fine}", file.display()))?;
    }
    Ok(Exit::Ok)
}

fn fine(n: usize, noun: &str) -> String {
    let verb = if n == 1 { "is" } else { "are" };
    format!("{} {verb} fine\n", counted(n, noun))
}

/// Says what is odd without being wrong, on stderr.
pub fn warn(ui: &mut Ui, warnings: &Diagnostics) -> std::io::Result<()> {
    if warnings.is_empty() {
        return Ok(());
    }
    ui.err(&format!("{warnings}\n"))
}
