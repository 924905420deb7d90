//! The guardrails of a mocked provider: which one a request names, and what it makes of an answer.
//!
//! Pure. One policy is enough to tell whether a client notices: a word that must not be said. Shapes:
//! service model of botocore 1.44.5 and the AWS API reference of InvokeModel (read 2026-11-21).

use serde_json::{Map, Value, json};

use crate::mock::answer::{Answer, EarlyEnd, Said};
use crate::mock::data::{Guardrail, Provider};
use crate::mock::outgoing::Outgoing;
use crate::mock::refusal::Refusal;

/// A guardrail that a request names.
#[derive(Debug)]
pub struct Guard<'a> {
    guardrail: &'a Guardrail,
    /// Whether the answer tells what was found.
    trace: bool,
    /// What was found, once an answer was looked at.
    found: Option<Found>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    InInput,
    InOutput,
}

impl<'a> Guard<'a> {
    /// The guardrail named in the headers of a request, if one is. Names are in lower case.
    pub fn of_headers(
        provider: &'a Provider,
        headers: &[(String, String)],
    ) -> Result<Option<Guard<'a>>, Refusal> {
        let header = |name: &str| {
            let mut all = headers.iter();
            all.find(|(one, _)| one == name)
                .map(|(_, value)| value.as_str())
        };
        Guard::named(
            provider,
            header("x-amzn-bedrock-guardrailidentifier"),
            header("x-amzn-bedrock-guardrailversion"),
            header("x-amzn-bedrock-trace"),
        )
    }

    /// The one named in the body of a Converse request.
    pub fn of_body(provider: &'a Provider, body: &Value) -> Result<Option<Guard<'a>>, Refusal> {
        let text = |key: &str| body["guardrailConfig"][key].as_str();
        Guard::named(
            provider,
            text("guardrailIdentifier"),
            text("guardrailVersion"),
            text("trace"),
        )
    }

    fn named(
        provider: &'a Provider,
        id: Option<&str>,
        version: Option<&str>,
        trace: Option<&str>,
    ) -> Result<Option<Guard<'a>>, Refusal> {
        let all = &provider.manner.guardrails;
        if all.is_empty() || (id.is_none() && version.is_none()) {
            return Ok(None);
        }
        let id = id.unwrap_or_default();
        let id = id.rsplit_once(":guardrail/").map_or(id, |(_, id)| id);
        let found = all.iter().find(|one| {
            let version = version.unwrap_or_default();
            one.id == id && one.versions.iter().any(|known| known == version)
        });
        let guardrail = found.ok_or_else(|| Refusal::new("guardrail"))?;
        let trace = trace.is_some_and(|word| word.to_ascii_lowercase().starts_with("enabled"));
        Ok(Some(Guard {
            guardrail,
            trace,
            found: None,
        }))
    }

    /// The answer, or what is said in its place. `request` is the part of the body that the user wrote.
    pub fn judge(&mut self, request: &Value, answer: Answer) -> Answer {
        let says = |said: &Said| match said {
            Said::Text(text) | Said::Words(text) => text.contains(&self.guardrail.blocks),
            _ => false,
        };
        let (found, words) = if mentions(request, &self.guardrail.blocks) {
            (Found::InInput, &self.guardrail.instead_of_input)
        } else if answer.items.iter().any(says) {
            (Found::InOutput, &self.guardrail.instead_of_output)
        } else {
            return answer;
        };
        self.found = Some(found);
        Answer {
            items: vec![Said::Text(words.clone())],
            early_end: Some(EarlyEnd::Guardrail),
        }
    }

    /// Adds what Converse tells: the trace, in the metadata of a stream and in a plain answer.
    pub fn mark_converse(&self, outgoing: &mut Outgoing) {
        let (Some(found), true) = (self.found, self.trace) else {
            return;
        };
        let trace = json!({"guardrail": self.assessment(found)});
        outgoing.whole["trace"] = trace.clone();
        for event in &mut outgoing.stream.events {
            if event.kind() == Some("metadata") {
                event.data["trace"] = trace.clone();
            }
        }
    }

    /// Adds what a completion tells: the action, and the trace, in the last chunk and in a plain answer.
    pub fn mark_completion(&self, outgoing: &mut Outgoing) {
        let mut marks = Map::new();
        let action = if self.found.is_some() {
            "INTERVENED"
        } else {
            "NONE"
        };
        marks.insert("amazon-bedrock-guardrailAction".to_owned(), action.into());
        if let (Some(found), true) = (self.found, self.trace) {
            marks.insert(
                "amazon-bedrock-trace".to_owned(),
                json!({"guardrail": self.assessment(found)}),
            );
        }
        let last = outgoing.stream.events.last_mut();
        let last = last.map(|event| &mut event.data);
        for data in last.into_iter().chain([&mut outgoing.whole]) {
            if let Value::Object(fields) = data {
                fields.extend(marks.clone());
            }
        }
    }

    fn assessment(&self, found: Found) -> Value {
        let id = &self.guardrail.id;
        let word = json!({"match": self.guardrail.blocks, "action": "BLOCKED"});
        let policy = json!({"wordPolicy": {"customWords": [word], "managedWordLists": []}});
        match found {
            Found::InInput => json!({"inputAssessment": {id: policy}}),
            Found::InOutput => json!({"outputAssessments": {id: [policy]}}),
        }
    }
}

/// Whether any text of a value has this word in it.
fn mentions(value: &Value, word: &str) -> bool {
    match value {
        Value::String(text) => text.contains(word),
        Value::Array(list) => list.iter().any(|one| mentions(one, word)),
        Value::Object(fields) => fields.values().any(|one| mentions(one, word)),
        _ => false,
    }
}
