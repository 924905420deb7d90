//! A refusal on its way out: which row of the provider's errors, and what fills its gaps.
//!
//! Pure. It must never make up a text: every word it sends stands in a data file.

use std::fmt::Display;

use serde_json::Value;

use crate::mock::data::{Api, ErrorBody, Provider};

/// An error id with the words for its `{{gaps}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub id: String,
    words: Vec<(&'static str, String)>,
}

impl Refusal {
    pub fn new(id: &str) -> Refusal {
        Refusal {
            id: id.to_owned(),
            words: Vec::new(),
        }
    }

    pub fn with(mut self, gap: &'static str, word: impl Display) -> Refusal {
        self.words.push((gap, word.to_string()));
        self
    }

    /// The provider's row and the body with its gaps filled; `None` if the provider has no such row.
    /// Where another API than Responses has words of its own, their row is `chat/` or `native-` and the id.
    pub fn body<'a>(&self, provider: &'a Provider, api: Api) -> Option<(&'a ErrorBody, String)> {
        let own = match api {
            Api::Chat => provider.errors.get(&format!("chat/{}", self.id)),
            Api::Converse | Api::Invoke => provider.errors.get(&format!("native-{}", self.id)),
            Api::Responses | Api::Agentcore => None,
        };
        let row = own.or_else(|| provider.errors.get(&self.id))?;
        Some((row, self.fill(&row.body, escape_json)))
    }

    /// A text with its `{{gaps}}` filled, each word escaped by `escape`.
    pub fn fill(&self, template: &str, escape: fn(&str) -> String) -> String {
        let mut body = String::with_capacity(template.len() + 64);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            let (gap, after) = after.split_once("}}").unwrap_or((after, ""));
            body.push_str(before);
            let word = self.words.iter().find(|(name, _)| *name == gap);
            body.push_str(&escape(word.map_or("", |(_, word)| word.as_str())));
            rest = after;
        }
        body.push_str(rest);
        body
    }
}

/// Escaped as inside a JSON string.
pub(crate) fn escape_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}
