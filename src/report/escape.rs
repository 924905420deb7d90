//! Hostile text made harmless: what a model or server said, shown in a terminal or in Markdown.
//!
//! Control characters, escape sequences and characters that turn or hide text are shown by their
//! code point. Never used on text of our own, and never undone.

use std::fmt::Write;

/// One line of terminal text: nothing in it moves the cursor, colours, reverses or hides.
///
/// A newline becomes `\n`, a tab `\t`, any other such character `\u{1b}`. Backslashes stay as they
/// are: evidence is mostly JSON, and doubling them would make it unreadable.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if hides(c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// Controls, bidirectional marks, invisible and non-characters. The joiners that emoji and some
/// scripts need (U+200C, U+200D) are left alone.
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Markdown text inside a paragraph, list item or table cell: no markup, HTML, link or mention.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            // A zero-width space ends what would be read as a mention.
            '@' => out.push_str("@\u{200b}"),
            c => out.push(c),
        }
    }
    // GitHub links bare addresses even in escaped text.
    out.replace("://", "&#58;//").replace("www.", "www&#46;")
}

/// A Markdown code span, safe inside a table cell too.
pub fn code_span(text: &str) -> String {
    // A table splits at `|` before it sees code spans, and only there `\|` means a bar.
    let text = line(text).replace('|', "\u{2502}");
    let fence = "`".repeat(longest_run(&text) + 1);
    // Without the spaces a backtick at an end would join the fence.
    let pad = if text.contains('`') || text.trim().is_empty() {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// A fenced Markdown block of plain text, each line indented so that it belongs to a list item.
pub fn code_block(text: &str, indent: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    let body: Vec<String> = text
        .split('\n')
        .map(|one| format!("{indent}{}", line(one)))
        .collect();
    format!(
        "{indent}{fence}text\n{}\n{indent}{fence}\n",
        body.join("\n")
    )
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// A word for a POSIX shell, quoted only where it must be.
pub fn shell_word(text: &str) -> String {
    let text = line(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::report::escape::*;

    #[test]
    fn nothing_acts_on_the_terminal() {
        assert_eq!(
            line("a\x1b[31mb\r\n\u{202e}c\u{9b}2J"),
            "a\\u{1b}[31mb\\r\\n\\u{202e}c\\u{9b}2J"
        );
        assert_eq!(line("Grüße, 東京 👩‍🚀"), "Grüße, 東京 👩‍🚀");
    }

    #[test]
    fn nothing_acts_in_markdown() {
        assert_eq!(
            markdown("<img src=x> | **b** [a](https://x) @all\n# t"),
            "&lt;img src=x&gt; \\| \\*\\*b\\*\\* \\[a\\](https&#58;//x) @\u{200b}all\\\\n\\# t"
        );
        assert_eq!(code_span("a``b"), "``` a``b ```");
        assert_eq!(code_span("a|b"), "`a\u{2502}b`");
        assert_eq!(
            code_block("a\n````\nb", "  "),
            "  `````text\n  a\n  ````\n  b\n  `````\n"
        );
    }

    #[test]
    fn a_shell_word_is_one_word() {
        assert_eq!(shell_word("tools/weather"), "tools/weather");
        assert_eq!(shell_word("it's $(x)"), "'it'\\''s $(x)'");
        assert_eq!(shell_word(""), "''");
    }

    proptest! {
        #[test]
        fn no_control_is_left(text in any::<String>()) {
            prop_assert!(!line(&text).chars().any(hides));
            prop_assert!(!markdown(&text).contains(['<', '\n']));
        }
    }
}
