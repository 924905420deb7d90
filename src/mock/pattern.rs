//! A text that matches a regular expression.
//!
//! Pure. It gives up on what cannot be read (look-ahead, back references) and never guesses: what it
//! returns has been matched.

use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Letters to prefer, so that a text is readable and harmless.
const FIRST_CHOICE: &str = "sameturn0123456789SAMETURN_-. ";

/// How many repetitions are tried beyond the fewest.
const MOST_EXTRA: u32 = 64;

/// A matching text with a length (in characters) within the bounds.
pub fn matching(pattern: &str, min: usize, max: usize) -> Option<String> {
    let regex = Regex::new(pattern).ok()?;
    let read = |unicode: bool| {
        let mut builder = regex_syntax::ParserBuilder::new();
        builder.unicode(unicode).utf8(unicode);
        builder.build().parse(pattern).ok()
    };
    // The second reading needs no Unicode tables for `\d` and its like.
    let hir = read(true).or_else(|| read(false))?;
    (0..=MOST_EXTRA).find_map(|extra| {
        let mut text = String::new();
        write(&hir, extra, &mut text);
        let mut length = text.chars().count();
        // A pattern without an end mark leaves room for more.
        while length < min && regex.is_match(&format!("{text}s")) && extra == MOST_EXTRA {
            text.push('s');
            length += 1;
        }
        (length >= min && length <= max && regex.is_match(&text)).then_some(text)
    })
}

fn write(hir: &Hir, extra: u32, out: &mut String) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(class) => out.extend(pick(class)),
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or(u32::MAX);
            // A bound of thousands is somebody's mistake or an attack; a match is not worth it.
            let times = repetition.min.saturating_add(extra).min(most).min(10_000);
            for _ in 0..times {
                if out.len() > 100_000 {
                    return;
                }
                write(&repetition.sub, 0, out);
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, extra, out),
        HirKind::Concat(parts) => {
            for part in parts {
                write(part, extra, out);
            }
        }
        HirKind::Alternation(parts) => {
            if let Some(part) = parts.first() {
                write(part, extra, out);
            }
        }
    }
}

fn pick(class: &Class) -> Option<char> {
    let holds = |letter: char| match class {
        Class::Unicode(class) => class
            .ranges()
            .iter()
            .any(|range| range.start() <= letter && letter <= range.end()),
        Class::Bytes(class) => u8::try_from(letter).is_ok_and(|byte| {
            class
                .ranges()
                .iter()
                .any(|range| range.start() <= byte && byte <= range.end())
        }),
    };
    let first = || match class {
        Class::Unicode(class) => class.ranges().first().map(|range| range.start()),
        Class::Bytes(class) => class.ranges().first().map(|range| range.start() as char),
    };
    FIRST_CHOICE
        .chars()
        .chain(' '..='~')
        .find(|&letter| holds(letter))
        .or_else(first)
}

#[cfg(test)]
mod tests {
    use crate::mock::pattern::*;

    #[test]
    fn common_patterns() {
        for (pattern, min, max) in [
            ("^[a-z]+$", 0, 100),
            ("^[A-Z]{3}-[0-9]{4}$", 0, 100),
            (r"^\d{4}-\d{2}-\d{2}$", 0, 100),
            (r"^(?:foo|bar)?[\w.-]+@[\w-]+\.[a-z]{2,}$", 10, 40),
            ("^#[0-9a-fA-F]{6}$", 0, 7),
            ("^[^/\\s]+$", 20, 20),
            ("sku_", 12, 12),
            ("^$", 0, 0),
            ("^(a|b)*c$", 9, 9),
        ] {
            let text = matching(pattern, min, max).unwrap_or_else(|| panic!("{pattern}"));
            assert!(
                Regex::new(pattern).expect("there is one").is_match(&text),
                "{pattern}: {text}"
            );
            assert!(
                (min..=max).contains(&text.chars().count()),
                "{pattern}: {text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_matched_is_left_alone() {
        assert_eq!(matching("^(?=x)y$", 0, 9), None);
        assert_eq!(matching("^aaaa$", 0, 2), None);
        assert_eq!(matching("^(", 0, 2), None);
    }
}
