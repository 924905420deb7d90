//! A complaint about a file that somebody wrote: where, what, and what would be right.
//!
//! Core: values and plain text; colour and printing belong to `cli`. File content is hostile here:
//! whatever could move a cursor, reorder or hide text is shown escaped, and long lines are cut.

use std::fmt;

use unicode_width::UnicodeWidthChar;

/// The widest source line that is shown whole, in terminal cells.
const LINE_WIDTH: usize = 100;
/// How much of a cut line stands before the marked place, in terminal cells.
const LEAD_WIDTH: usize = 40;
/// Messages and help are cut to this many characters; the file itself has the rest.
const TEXT_LIMIT: usize = 600;

/// A range of characters in one line of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Counting from 1.
    pub line: usize,
    /// In characters, counting from 1.
    pub column: usize,
    /// How many characters are meant; at least 1 is marked.
    pub len: usize,
}

impl Place {
    /// The beginning of a text.
    pub const START: Place = Place {
        line: 1,
        column: 1,
        len: 1,
    };
}

/// How much a complaint weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not say what was meant.
    Warning,
}

/// One complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub level: Level,
    pub file: String,
    /// Counting from 1.
    pub line: usize,
    /// In characters, counting from 1.
    pub column: usize,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What would be right, where that is known.
    pub help: Option<String>,
    /// The source around the place; absent where the file could not be read as text.
    pub snippet: Option<Snippet>,
}

/// One or two source lines, escaped and cut, and where the marker goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// The line before, when it is not blank.
    before: Option<String>,
    line: String,
    /// Cells before the marker.
    indent: usize,
    /// Cells that are marked.
    width: usize,
}

impl Diagnostic {
    /// An error at a place of a text.
    pub fn error(file: &str, text: &str, place: Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            level: Level::Error,
            file: file.to_string(),
            line: place.line,
            column: place.column,
            message: message.into(),
            help: None,
            snippet: Snippet::of(text, place),
        }
    }

    /// A warning at a place of a text.
    pub fn warning(file: &str, text: &str, place: Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            level: Level::Warning,
            ..Diagnostic::error(file, text, place, message)
        }
    }

    /// The same with advice.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        writeln!(f, "{level}: {}", escape(&cut(&self.message)))?;
        let gutter = self.line.to_string().len();
        let file = escape(&self.file);
        writeln!(f, "{:gutter$}--> {file}:{}:{}", "", self.line, self.column)?;
        if let Some(snippet) = &self.snippet {
            writeln!(f, "{:gutter$} |", "")?;
            if let Some(before) = &snippet.before {
                writeln!(f, "{:>gutter$} | {before}", self.line - 1)?;
            }
            writeln!(f, "{} | {}", self.line, snippet.line)?;
            let marks = "^".repeat(snippet.width);
            writeln!(f, "{:gutter$} | {:2$}{marks}", "", "", snippet.indent)?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "{:gutter$} = help: {}", "", escape(&cut(help)))?;
        }
        Ok(())
    }
}

impl Snippet {
    fn of(text: &str, place: Place) -> Option<Snippet> {
        if text.is_empty() {
            return None;
        }
        let mut lines = text.split('\n').skip(place.line.saturating_sub(2));
        let before = if place.line > 1 { lines.next() } else { None };
        let line = lines.next()?.trim_end_matches('\r');
        let before = before
            .map(|before| before.trim_end_matches('\r'))
            .filter(|before| !before.trim().is_empty());

        let start = place.column.saturating_sub(1);
        // Only characters near the place are looked at: a line may be the whole file.
        let skipped = start.saturating_sub(LINE_WIDTH);
        let (from, to) = (start - skipped, start - skipped + place.len.max(1));
        let cells = Cells::of(line, skipped, from + 2 * LINE_WIDTH);
        let from = cells.before(from);
        let to = cells.before(to).max(from + 1);
        let hide = if skipped > 0 || (cells.width() > LINE_WIDTH && from > LEAD_WIDTH) {
            from.saturating_sub(LEAD_WIDTH)
        } else {
            0
        };
        let (shown, hidden) = cells.window(hide);
        let indent = from - hidden + usize::from(cells.cut_left || hidden > 0);
        let room = LINE_WIDTH.saturating_sub(indent).max(1);
        Some(Snippet {
            // A line that is shown in part has no readable line before it.
            before: before
                .filter(|_| !cells.cut_left && hidden == 0)
                .map(|before| Cells::of(before, 0, 2 * LINE_WIDTH).window(0).0),
            line: shown,
            indent,
            width: (to - from).min(room),
        })
    }
}

/// A part of a line as it is shown: each character's escaped form and its width in cells.
struct Cells {
    cells: Vec<(String, usize)>,
    /// Whether the line has characters before this part.
    cut_left: bool,
    /// Whether it has characters after it.
    cut_right: bool,
}

impl Cells {
    /// At most `limit` characters of a line, after `skipped` ones.
    fn of(line: &str, skipped: usize, limit: usize) -> Cells {
        let mut chars = line.chars().skip(skipped);
        let cells = chars
            .by_ref()
            .take(limit)
            .map(|c| match c {
                // A tab is shown as what it does to the eye, without depending on tab stops.
                '\t' => ("    ".to_string(), 4),
                c if is_hidden(c) => {
                    let text = c.escape_unicode().to_string();
                    let width = text.len();
                    (text, width)
                }
                c => (c.to_string(), c.width().unwrap_or(0)),
            })
            .collect();
        Cells {
            cells,
            cut_left: skipped > 0,
            cut_right: chars.next().is_some(),
        }
    }

    fn width(&self) -> usize {
        self.cells.iter().map(|(_, width)| width).sum()
    }

    /// Cells before the n-th character. A place past the end (a missing value) is just after it.
    fn before(&self, n: usize) -> usize {
        self.cells.iter().take(n).map(|(_, width)| width).sum()
    }

    /// What is shown when this many cells are hidden at the left, and how many really are.
    fn window(&self, hide: usize) -> (String, usize) {
        let mut hidden = 0;
        let mut rest = self.cells.iter().peekable();
        while hidden < hide {
            let Some((_, width)) = rest.next() else { break };
            hidden += width;
        }
        let mut shown = String::new();
        if self.cut_left || hidden > 0 {
            shown.push('…');
        }
        let mut width = 0;
        while let Some((text, cell)) = rest.next_if(|(_, cell)| width + cell <= LINE_WIDTH) {
            shown.push_str(text);
            width += cell;
        }
        if rest.peek().is_some() || self.cut_right {
            shown.push('…');
        }
        (shown.trim_end().to_string(), hidden)
    }
}

/// Characters that act on a terminal or on the order of a line instead of showing themselves.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{feff}'
            | '\u{2028}' | '\u{2029}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Text from a file, fit to stand in a message.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

fn cut(text: &str) -> String {
    cut_to(text, TEXT_LIMIT)
}

/// A text of at most `limit` characters, with an ellipsis where something is missing.
pub fn cut_to(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

/// The most complaints about one file: whoever has more has one cause for many of them.
pub const MAX_DIAGNOSTICS: usize = 50;

/// Complaints about one or more files, in the order they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|one| one.level == Level::Error)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Diagnostics {
        Diagnostics(vec![one])
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{one}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, line: usize, column: usize, len: usize, expected: &str) {
        let place = Place { line, column, len };
        let shown = Diagnostic::error("f.yaml", text, place, "wrong").to_string();
        let snippet: Vec<&str> = shown.lines().skip(3).collect();
        assert_eq!(snippet.join("\n"), expected);
    }

    #[test]
    fn marks_the_place_under_the_line_before() {
        check("a: 1\nbcd: 2\n", 2, 1, 3, "1 | a: 1\n2 | bcd: 2\n  | ^^^");
    }

    #[test]
    fn wide_and_hidden_characters_keep_the_marker_aligned() {
        check("漢字: x", 1, 5, 1, "1 | 漢字: x\n  |       ^");
        check("\tkey", 1, 2, 3, "1 |     key\n  |     ^^^");
        check("\u{1b}[2Jx", 1, 5, 1, "1 | \\u{1b}[2Jx\n  |          ^");
        check("\u{202e}abc", 1, 2, 1, "1 | \\u{202e}abc\n  |         ^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let place = Place {
            line: 1,
            column: 501,
            len: 1,
        };
        let shown = Diagnostic::error("f", &text, place, "wrong").to_string();
        let lines: Vec<&str> = shown.lines().collect();
        let at = lines[3].chars().position(|c| c == 'X');
        assert_eq!(at, lines[4].chars().position(|c| c == '^'));
        assert!(lines.iter().all(|line| line.chars().count() < 120));
    }

    #[test]
    fn a_place_past_the_end_is_still_shown() {
        check("a:", 1, 90, 1, "1 | a:\n  |   ^");
        let place = Place {
            line: 99,
            ..Place::START
        };
        assert_eq!(Diagnostic::error("f", "", place, "m").snippet, None);
    }

    #[test]
    fn messages_cannot_steer_a_terminal() {
        let shown = Diagnostic::error("f\u{7}", "x", Place::START, "a\u{1b}[31m\nb").to_string();
        assert!(
            shown.starts_with("error: a\\u{1b}[31m\\nb\n --> f\\u{7}:1:1\n"),
            "{shown}"
        );
    }
}
