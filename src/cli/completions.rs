//! `sameturn completions SHELL`: a completion script on stdout.

use clap::CommandFactory;

use crate::cli::args::{Cli, CompletionsArgs};
use crate::cli::exit::Exit;
use crate::cli::ui::Ui;

/// Prints the script.
pub fn run(args: &CompletionsArgs, ui: &mut Ui) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sameturn", &mut script);
    ui.out(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
