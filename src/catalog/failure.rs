//! The failure catalogue: classes with their causes and fixes, and the patterns that recognise them.
//!
//! Classification reads what came back (status, body, stream error), never what was sent.

use regex::Regex;
use serde::Deserialize;

/// The class of a failure that no pattern recognises.
pub const UNKNOWN: &str = "unknown";

/// All classes and patterns.
#[derive(Debug, Clone)]
pub struct Failures {
    pub classes: Vec<Class>,
    patterns: Vec<(Pattern, Option<Regex>)>,
}

/// The file `failures.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailuresFile {
    pub classes: Vec<Class>,
    pub patterns: Vec<Pattern>,
}

/// One way to fail, by one word whatever the provider said.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    pub id: String,
    /// What it is, in one sentence.
    pub about: String,
    /// Why it probably happened.
    pub cause: String,
    /// What to try.
    pub fix: String,
    /// Whether it says nothing about the provider's behaviour: the cell is undetermined, not failed.
    #[serde(default)]
    pub undetermined: bool,
}

/// A shape of failure. All that is given must match; the first pattern that matches decides.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pattern {
    pub class: String,
    /// Providers it was seen at; any where empty.
    pub providers: Vec<String>,
    /// HTTP statuses; any where empty. `0` stands for a failure inside a stream.
    pub status: Vec<u16>,
    /// Provider codes, compared without case.
    pub codes: Vec<String>,
    /// Provider error types, compared without case.
    pub kinds: Vec<String>,
    /// A regular expression over the message or, where there is none, the body. Case is ignored.
    pub text: Option<String>,
    pub source: String,
    pub date: String,
}

/// What a failure looked like.
#[derive(Debug, Clone, Copy)]
pub struct Symptom<'a> {
    pub provider: &'a str,
    /// The HTTP status; 0 for a failure inside a stream.
    pub status: u16,
    pub code: Option<&'a str>,
    pub kind: Option<&'a str>,
    /// The message, or the body as text where no message could be found.
    pub text: &'a str,
}

impl Failures {
    /// Compiles the patterns; the error names the broken one.
    pub fn new(file: FailuresFile) -> Result<Failures, String> {
        let mut patterns = Vec::new();
        for pattern in file.patterns {
            if !file.classes.iter().any(|class| class.id == pattern.class) {
                return Err(format!(
                    "a pattern names the class `{}`, which is not declared",
                    pattern.class
                ));
            }
            let regex =
                match &pattern.text {
                    Some(text) => Some(Regex::new(&format!("(?is){text}")).map_err(|error| {
                        format!("pattern of class `{}`: {error}", pattern.class)
                    })?),
                    None => None,
                };
            patterns.push((pattern, regex));
        }
        Ok(Failures {
            classes: file.classes,
            patterns,
        })
    }

    /// A class by id.
    pub fn class(&self, id: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.id == id)
    }

    /// All patterns, in the order they are tried.
    pub fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.patterns.iter().map(|(pattern, _)| pattern)
    }

    /// The class of a failure, or [`UNKNOWN`].
    pub fn classify(&self, symptom: &Symptom<'_>) -> &str {
        self.patterns
            .iter()
            .find(|(pattern, regex)| pattern.matches(regex.as_ref(), symptom))
            .map_or(UNKNOWN, |(pattern, _)| pattern.class.as_str())
    }
}

impl Pattern {
    fn matches(&self, regex: Option<&Regex>, symptom: &Symptom<'_>) -> bool {
        let among = |list: &[String], value: Option<&str>| {
            list.is_empty()
                || value.is_some_and(|value| list.iter().any(|one| one.eq_ignore_ascii_case(value)))
        };
        (self.providers.is_empty() || self.providers.iter().any(|one| one == symptom.provider))
            && (self.status.is_empty() || self.status.contains(&symptom.status))
            && among(&self.codes, symptom.code)
            && among(&self.kinds, symptom.kind)
            && regex.is_none_or(|regex| regex.is_match(symptom.text))
    }
}
