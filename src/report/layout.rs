//! Text in columns: width of characters, padding, cutting and wrapping.
//!
//! Widths are those of a terminal as Unicode estimates them. Takes text that is already escaped;
//! never writes colour.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text followed by spaces up to a width.
pub fn pad(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(width(text))))
}

/// The text after spaces up to a width.
pub fn pad_left(text: &str, to: usize) -> String {
    format!("{}{text}", " ".repeat(to.saturating_sub(width(text))))
}

/// The text cut to a width, with `…` where something is gone.
pub fn cut(text: &str, to: usize) -> String {
    if width(text) <= to {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > to {
            break;
        }
        used += wide;
        out.push(c);
    }
    out.push('…');
    out
}

/// Lines of at most a width, broken at spaces where there are some. Never empty.
pub fn wrap(text: &str, to: usize) -> Vec<String> {
    let to = to.max(8);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let wide = width(word);
        if used > 0 && used + 1 + wide > to {
            lines.push(String::new());
            used = 0;
        }
        let line = lines.last_mut().expect("starts with one line");
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        if used + wide <= to {
            line.push_str(word);
            used += wide;
            continue;
        }
        for c in word.chars() {
            let wide = c.width().unwrap_or(0);
            if used + wide > to {
                lines.push(String::new());
                used = 0;
            }
            lines.last_mut().expect("starts with one line").push(c);
            used += wide;
        }
    }
    lines
}

/// A wrapped text with one prefix for its first line and spaces before the others.
pub fn hanging(prefix: &str, text: &str, to: usize) -> String {
    let indent = width(prefix);
    let mut out = String::new();
    for (n, line) in wrap(text, to.saturating_sub(indent)).iter().enumerate() {
        let lead = if n == 0 {
            prefix.to_owned()
        } else {
            " ".repeat(indent)
        };
        out.push_str(format!("{lead}{line}").trim_end());
        out.push('\n');
    }
    out
}

/// A number with its noun: `1 scenario`, `2 scenarios`.
pub fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use crate::report::layout::*;

    #[test]
    fn one_has_no_s() {
        assert_eq!(counted(1, "scenario"), "1 scenario");
        assert_eq!(counted(0, "target"), "0 targets");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(pad("東京", 6), "東京  ");
        assert_eq!(cut("東京都庁", 5), "東京…");
        assert_eq!(cut("short", 5), "short");
    }

    #[test]
    fn wraps_at_spaces_and_inside_long_words() {
        assert_eq!(wrap("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("aaaaaaaaaaaa b", 8), ["aaaaaaaa", "aaaa b"]);
        assert_eq!(wrap("", 8), [""]);
        assert_eq!(
            hanging("fix  ", "one two three", 14),
            "fix  one two\n     three\n"
        );
    }
}
