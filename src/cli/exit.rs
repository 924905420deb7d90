//! The exit codes, which are documented API. Nothing else in the tree knows the numbers.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All was as expected.
    Ok,
    /// There are findings.
    Findings,
    /// A file, flag or variable is wrong; nothing was sent.
    BadInput,
    /// It could not be determined: no credentials, unreachable.
    Undetermined,
    /// Stopped by Ctrl-C; what was finished is kept.
    Interrupted,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Findings => 1,
            Exit::BadInput => 2,
            Exit::Undetermined => 3,
            Exit::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Ends the process here and now, without unwinding.
#[expect(
    clippy::exit,
    reason = "the second Ctrl-C must end what does not listen to the first"
)]
pub fn now(exit: Exit) -> ! {
    std::process::exit(i32::from(exit.code()))
}
