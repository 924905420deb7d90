//! What the mocked model is asked, whatever the wire API.
//!
//! Pure data, made from a request by the reader of its API. It must never hold a field as a wire API
//! spells it.

use serde_json::Value;

/// All that decides an answer, besides a script.
#[derive(Debug, Clone)]
pub struct Question {
    pub tools: Vec<Tool>,
    pub choice: Choice,
    /// Most calls in one answer.
    pub most_calls: usize,
    /// Most output tokens.
    pub output_limit: Option<u64>,
    pub format: Format,
    /// How many answers of the model the conversation holds already.
    pub answers_so_far: usize,
    /// What the last tool said, where the conversation ends with that.
    pub last_result: Option<String>,
    /// What the user said last.
    pub last_words: String,
    /// What the model thinks before it speaks, where a script does not say. An empty thought costs
    /// tokens and shows nothing.
    pub thought: Option<&'static str>,
    /// Texts that end an answer and are not part of it.
    pub stops: Vec<String>,
}

/// A tool that the client runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    pub name: String,
    pub namespace: Option<String>,
    pub kind: ToolKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ToolKind {
    /// With the JSON Schema of its arguments.
    Function(Value),
    /// With its grammar, where it has one.
    Custom(Grammar),
}

/// What a custom tool's input must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grammar {
    Regex(String),
    /// None, but the description tells of a program that it runs: this is a harmless one.
    Program(String),
    /// Free text, or a grammar that the mock does not follow.
    Other,
}

/// Which tools may or must be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    Auto,
    None,
    Required,
    Named(String),
    /// Any of these, and whether one must be called.
    Among(Vec<String>, bool),
}

/// What a text must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    Text,
    /// Some JSON object.
    Object,
    /// JSON of this schema.
    Schema(Value),
}

/// The text of content in any of its forms.
pub fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts
                .iter()
                .filter_map(|part| part["text"].as_str())
                .collect();
            texts.join("\n")
        }
        other => other.to_string(),
    }
}

/// What the user said last; messages look alike in both APIs.
pub fn last_words(conversation: &[Value]) -> String {
    let user = conversation
        .iter()
        .rev()
        .find(|item| item["role"] == "user");
    user.map(|item| text_of(&item["content"]))
        .unwrap_or_default()
}
