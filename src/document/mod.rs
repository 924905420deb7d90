//! YAML that people write: text becomes a tree that remembers its places, and the tree becomes types.
//!
//! Core, and the only room that names the YAML crate for files of users: scenarios, targets and
//! scripts are read here. One pass, one set of limits, and messages in our words; no input may make
//! it panic, recurse without a limit or expand without a limit.

pub mod nearest;
mod parse;
pub mod tree;
mod typed;

use serde::de::DeserializeOwned;

use crate::diagnostic::{Diagnostic, Diagnostics, Level, Place};
use crate::document::tree::{Cursor, Node};

/// The biggest file that is read, in bytes. Check the size on disk before reading a file whole.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The most nodes a document may have once its aliases are followed.
pub const MAX_NODES: usize = 50_000;
/// The deepest nesting of lists and mappings.
pub const MAX_DEPTH: usize = 64;

/// A parsed document.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    file: &'a str,
    text: &'a str,
    root: Node,
}

/// The complaint about a file that is too big to be read, also for callers that know the size
/// without having read the file.
pub fn too_big(file: &str, bytes: u64) -> Diagnostic {
    Diagnostic {
        level: Level::Error,
        file: file.to_string(),
        line: 1,
        column: 1,
        message: format!(
            "the file has {bytes} bytes; at most {MAX_BYTES} are read ({} MiB)",
            MAX_BYTES / 1024 / 1024
        ),
        help: Some("for a big prompt write `filler_words: 8000` in a turn instead".to_string()),
        snippet: None,
    }
}

/// Bytes as text, or the place where they stop being UTF-8.
pub fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Diagnostics> {
    if bytes.len() > MAX_BYTES {
        return Err(too_big(file, bytes.len() as u64).into());
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let last = good.rsplit('\n').next().unwrap_or_default();
        let place = Place {
            line: good.matches('\n').count() + 1,
            column: last.chars().count() + 1,
            len: 1,
        };
        let bad = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        let message = format!("the file is not UTF-8: byte 0x{bad:02x} cannot stand here");
        Diagnostics::from(
            Diagnostic::error(file, &good, place, message).help("save the file as UTF-8"),
        )
    })
}

impl<'a> Document<'a> {
    /// Parses one YAML document. `what` says what the file should hold, for the message about an
    /// empty one: `a scenario`.
    pub fn parse(file: &'a str, text: &'a str, what: &str) -> Result<Document<'a>, Diagnostics> {
        if text.len() > MAX_BYTES {
            return Err(too_big(file, text.len() as u64).into());
        }
        // A byte order mark is legal at the start and is no content.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let root = parse::parse(text, what).map_err(|problem| problem.diagnostics(file, text))?;
        Ok(Document { file, text, root })
    }

    /// The document as a type. `what` names the whole in messages: `a scenario`.
    pub fn typed<T: DeserializeOwned>(&self, what: &str) -> Result<T, Diagnostics> {
        typed::typed(&self.root, what).map_err(|problem| problem.diagnostics(self.file, self.text))
    }

    /// Where to start looking for a place.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor::new(&self.root)
    }

    /// An error at a place of this document.
    pub fn error(&self, place: Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.file, self.text, place, message)
    }

    /// A warning at a place of this document.
    pub fn warning(&self, place: Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(self.file, self.text, place, message)
    }
}

/// What is wrong with a document, before it is tied to a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    message: String,
    help: Option<String>,
    /// Unknown while an error of a nested value is still on its way up.
    place: Option<Place>,
    /// Whether the enclosing mapping should add its name to the message.
    wants_owner: bool,
}

impl Problem {
    fn new(message: impl Into<String>) -> Problem {
        Problem {
            message: message.into(),
            help: None,
            place: None,
            wants_owner: false,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// Gives the problem a place unless a deeper value already did.
    fn at(mut self, place: Place) -> Problem {
        self.place = self.place.or(Some(place));
        self
    }

    fn diagnostics(self, file: &str, text: &str) -> Diagnostics {
        let place = self.place.unwrap_or(Place::START);
        let mut one = Diagnostic::error(file, text, place, self.message);
        one.help = self.help;
        one.into()
    }
}
