//! A YAML document as values that remember where they stand.
//!
//! Scalars are resolved as YAML 1.2 says (so `no` and `on` are text); what would be read in two ways,
//! such as `012`, is refused rather than guessed.

use crate::diagnostic::Place;
use crate::document::Problem;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    /// `raw` is what stands in the file.
    Integer {
        value: i128,
        raw: String,
    },
    Float {
        value: f64,
        raw: String,
    },
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and its place.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) place: Place,
    pub(crate) name: String,
}

impl Kind {
    /// A plain scalar, by the YAML 1.2 core schema.
    pub(crate) fn plain(text: &str) -> Result<Kind, Problem> {
        Ok(match text {
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" => Kind::Bool(true),
            "false" | "False" | "FALSE" => Kind::Bool(false),
            _ => match number(text)? {
                Some(number) => number,
                None => Kind::Text(text.to_string()),
            },
        })
    }

    /// What it is, for messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Kind::Null => "nothing".to_string(),
            Kind::Bool(value) => format!("`{value}`"),
            Kind::Integer { raw, .. } | Kind::Float { raw, .. } => format!("the number {raw}"),
            Kind::Text(text) => {
                format!("the text `{}`", crate::diagnostic::cut_to(text, 40))
            }
            Kind::List(items) if items.is_empty() => "an empty list".to_string(),
            Kind::List(_) => "a list".to_string(),
            Kind::Map(entries) if entries.is_empty() => "an empty mapping".to_string(),
            Kind::Map(_) => "a mapping".to_string(),
        }
    }
}

fn number(text: &str) -> Result<Option<Kind>, Problem> {
    let quote = || format!("put it in quotes if it is text: \"{text}\"");
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(
        unsigned,
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN"
    ) {
        return Err(Problem::new(format!("`{text}` has no form in JSON")).help(quote()));
    }
    let integer = |digits: &str, radix| {
        i128::from_str_radix(digits, radix)
            .ok()
            .filter(|value| *value <= i128::from(u64::MAX) && *value >= i128::from(i64::MIN))
            .map(|value| Kind::Integer {
                value,
                raw: text.to_string(),
            })
            .ok_or_else(|| {
                Problem::new(format!(
                    "the number {} does not fit in 64 bits",
                    crate::diagnostic::cut_to(text, 40)
                ))
                .help("put it in quotes if it is text")
            })
    };
    let all = |digits: &str, test: fn(&char) -> bool| {
        !digits.is_empty() && digits.chars().all(|c| test(&c))
    };
    if let Some(digits) = text.strip_prefix("0x")
        && all(digits, char::is_ascii_hexdigit)
    {
        return integer(digits, 16).map(Some);
    }
    if let Some(digits) = text.strip_prefix("0o")
        && all(digits, |c| ('0'..='7').contains(c))
    {
        return integer(digits, 8).map(Some);
    }
    if all(unsigned, char::is_ascii_digit) {
        if unsigned.len() > 1 && unsigned.starts_with('0') {
            return Err(Problem::new(format!(
                "`{}` is read differently by different YAML parsers",
                crate::diagnostic::cut_to(text, 40)
            ))
            .help("put it in quotes if it is text, or write it without leading zeros"));
        }
        let digits = text.strip_prefix('+').unwrap_or(text);
        return integer(digits, 10).map(Some);
    }
    if !is_float(unsigned) {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(Kind::Float {
            value,
            raw: text.to_string(),
        })),
        _ => Err(Problem::new(format!("the number {text} is too big")).help(quote())),
    }
}

/// `[0-9]* . [0-9]*` with at least one digit, and an optional exponent.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|text| {
        let text = text.strip_prefix(['-', '+']).unwrap_or(text);
        !text.is_empty() && digits(text)
    });
    digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty()) && exponent_fits
}

/// A place in a document that is found step by step. A step that does not exist stays where it is,
/// so a complaint about something missing points at what should have it.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    node: &'a Node,
    key: Option<Place>,
    lost: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(node: &'a Node) -> Cursor<'a> {
        Cursor {
            node,
            key: None,
            lost: false,
        }
    }

    /// The value of a key.
    pub fn key(self, name: &str) -> Cursor<'a> {
        let found = match &self.node.kind {
            Kind::Map(entries) if !self.lost => entries.iter().find(|(key, _)| key.name == name),
            _ => None,
        };
        match found {
            Some((key, node)) => Cursor {
                node,
                key: Some(key.place),
                lost: false,
            },
            None => Cursor { lost: true, ..self },
        }
    }

    /// An item of a list, counting from 0.
    pub fn item(self, index: usize) -> Cursor<'a> {
        let found = match &self.node.kind {
            Kind::List(items) if !self.lost => items.get(index),
            _ => None,
        };
        match found {
            Some(node) => Cursor {
                node,
                key: None,
                lost: false,
            },
            None => Cursor { lost: true, ..self },
        }
    }

    /// The value at a JSON pointer below this one.
    pub fn pointer(self, pointer: &str) -> Cursor<'a> {
        pointer
            .split('/')
            .skip(1)
            .fold(self, |at, step| match (&at.node.kind, step.parse()) {
                (Kind::List(_), Ok(index)) => at.item(index),
                _ => at.key(&step.replace("~1", "/").replace("~0", "~")),
            })
    }

    /// Where the value stands.
    pub fn place(&self) -> Place {
        self.node.place
    }

    /// Where the key of the value stands, or the value where it has none.
    pub fn key_place(&self) -> Place {
        self.key.unwrap_or(self.node.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_yaml_1_2() {
        let check = |text: &str, expected: &str| {
            let got = match Kind::plain(text) {
                Ok(kind) => kind.describe(),
                Err(problem) => format!("error: {}", problem.message),
            };
            assert_eq!(got, expected, "{text}");
        };
        for text in [
            "no", "NO", "yes", "on", "y", "12:30", "1_000", "1.2.3", ".", "-", "e5",
        ] {
            check(text, &format!("the text `{text}`"));
        }
        check("~", "nothing");
        check("True", "`true`");
        check("-7", "the number -7");
        check("0x1F", "the number 0x1F");
        check("1e3", "the number 1e3");
        check(".5", "the number .5");
        check(
            "012",
            "error: `012` is read differently by different YAML parsers",
        );
        check(".nan", "error: `.nan` has no form in JSON");
        check("1e999", "error: the number 1e999 is too big");
        check(
            "99999999999999999999",
            "error: the number 99999999999999999999 does not fit in 64 bits",
        );
    }
}
