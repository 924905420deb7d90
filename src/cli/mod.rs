//! The command line: arguments, settings, one file per command.

pub mod ui;
