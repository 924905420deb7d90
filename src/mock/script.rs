//! A script: what the mocked model says, step by step, whatever it is asked.
//!
//! Pure data. It must never depend on a provider: the same script is played by all of them.

use serde::Deserialize;
use serde_json::Value;

/// A file of `mocks/scripts/`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    pub name: String,
    /// The step is chosen by how many answers of the model are already in the conversation.
    pub steps: Vec<Step>,
}

/// One answer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// Becomes a reasoning item before everything else.
    pub reasoning: Option<String>,
    pub text: Option<String>,
    pub refusal: Option<String>,
    pub calls: Vec<ScriptedCall>,
    /// Why the answer ends too early, if it does.
    pub stop: Option<Stop>,
}

/// A call of a tool. With `input` it is a custom tool's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedCall {
    pub name: String,
    /// Where absent: the namespace under which the request offers a tool of that name, if any.
    #[serde(default)]
    pub namespace: Option<String>,
    /// A text is sent as it is, so that a script can hold arguments that are no JSON.
    #[serde(default)]
    pub arguments: Option<Value>,
    #[serde(default)]
    pub input: Option<String>,
}

/// An early end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// Out of output tokens.
    Length,
    ContentFilter,
}
