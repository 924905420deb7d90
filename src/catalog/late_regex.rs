//! A regular expression of a row, compiled when a text is first held against it.
//!
//! Core. A run meets few of them, and to compile them all took three quarters of a start
//! (`results/published/startup.md`). Whoever reads rows that a test has not seen must call `check` first.

use std::sync::OnceLock;

use regex::Regex;

/// An expression whose `.` matches line ends and which ignores case.
#[derive(Debug, Clone)]
pub(crate) struct LateRegex {
    text: String,
    /// `None` inside where it is no regular expression.
    compiled: OnceLock<Option<Regex>>,
}

impl LateRegex {
    pub(crate) fn new(text: &str) -> LateRegex {
        LateRegex {
            text: format!("(?is){text}"),
            compiled: OnceLock::new(),
        }
    }

    /// Whether it is a regular expression at all.
    pub(crate) fn check(&self) -> Result<(), regex::Error> {
        Regex::new(&self.text).map(|_| ())
    }

    /// Whether a text has it. One that is no regular expression matches nothing.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.compiled
            .get_or_init(|| Regex::new(&self.text).ok())
            .as_ref()
            .is_some_and(|regex| regex.is_match(text))
    }
}
