//! The command line: flags become settings, each command is one file, `ui` alone prints, `exit` alone
//! knows codes.
//!
//! Shell. The only room that names clap and anyhow.

pub mod args;
pub mod check;
pub mod completions;
pub mod endpoint;
pub mod exit;
pub mod failures;
pub mod files;
pub mod inspect;
pub mod lint;
pub mod load;
pub mod merge;
pub mod mock;
pub mod models;
pub mod open_files;
pub mod pace_flags;
pub mod rules;
pub mod schema;
pub mod settings;
pub mod signals;
pub mod targets;
pub mod ui;

use clap::Parser;

use crate::cli::args::{Cli, Command};
use crate::cli::exit::Exit;
use crate::cli::ui::Ui;

/// Runs the program with the process's arguments.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help and version to stdout, mistakes to stderr.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::BadInput
            } else {
                Exit::Ok
            };
        }
    };
    // Without this the first TLS connection panics: neither reqwest nor aws-config chooses for us.
    // An error means that it has been done already.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let mut ui = Ui::new(cli.color.into());
    let outcome = match cli.command {
        Command::Check(args) => check::run(&args, &mut ui),
        Command::Load(args) => load::run(&args, &mut ui),
        Command::Models(args) => models::run(&args, &mut ui),
        Command::Mock(args) => mock::run(&args, &mut ui),
        Command::Inspect(args) => inspect::run(&args, &mut ui),
        Command::Lint(args) => lint::run(&args, &mut ui),
        Command::Rules(args) => rules::run(&args, &mut ui),
        Command::Failures(args) => failures::run(&args, &mut ui),
        Command::Merge(args) => merge::run(&args, &mut ui),
        Command::Schema(args) => schema::run(&args, &mut ui),
        Command::Completions(args) => completions::run(&args, &mut ui),
    };
    match outcome {
        Ok(exit) => exit,
        Err(error) => {
            // Where even stderr is gone, the exit code is all that is left to say.
            let text = format!("{error:#}");
            let text = match text.strip_prefix("error: ") {
                // Mistakes in files say it themselves, each.
                Some(_) => format!("{text}\n"),
                None => format!("error: {text}\n"),
            };
            // What could not be told is not the fault of what was asked for.
            let unwritten = ui.failed();
            let _ = ui.err(&text);
            match unwritten {
                true => Exit::Undetermined,
                false => Exit::BadInput,
            }
        }
    }
}
