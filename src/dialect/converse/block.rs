//! A content block while it is read, and what becomes of it.
//!
//! Nothing here fails: what has the wrong type reads as absent, and the rules say so elsewhere.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::dialect::stream::OutputKind;
use crate::turn::trace::{Call, CallForm, Content, Item, Usage};

/// What is known of one content block.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) index: Option<u64>,
    /// The `start` of its contentBlockStart.
    pub(crate) start: Option<Value>,
    pub(crate) text: Option<String>,
    pub(crate) thought: Option<String>,
    pub(crate) signature: Option<String>,
    pub(crate) redacted: Option<String>,
    /// The pieces of a tool's input, joined.
    pub(crate) input: Option<String>,
    /// The last delta of a kind that this normal form has no word for.
    pub(crate) other: Option<Value>,
    pub(crate) started: Option<Duration>,
    pub(crate) ended: Option<Duration>,
}

/// A text field; `None` where there is none.
fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

impl Block {
    /// Takes one `delta`; says what output it brought.
    pub(crate) fn take(&mut self, delta: &Value) -> Option<OutputKind> {
        let add = |to: &mut Option<String>, piece: &str| {
            to.get_or_insert_default().push_str(piece);
            !piece.is_empty()
        };
        if let Some(piece) = text(delta, "text") {
            return add(&mut self.text, piece).then_some(OutputKind::Text);
        }
        if let Some(tool) = delta.get("toolUse") {
            let piece = text(tool, "input").unwrap_or_default();
            return add(&mut self.input, piece).then_some(OutputKind::Call);
        }
        if let Some(reasoning) = delta.get("reasoningContent") {
            let mut any = false;
            if let Some(piece) = text(reasoning, "text") {
                any |= add(&mut self.thought, piece);
            }
            if let Some(piece) = text(reasoning, "signature") {
                add(&mut self.signature, piece);
            }
            if let Some(piece) = text(reasoning, "redactedContent") {
                add(&mut self.redacted, piece);
            }
            return any.then_some(OutputKind::Reasoning);
        }
        self.other = Some(delta.clone());
        None
    }

    fn tool(&self) -> Option<&Value> {
        self.start.as_ref()?.get("toolUse")
    }

    /// The block as a plain answer would have it: what a later request replays.
    fn wire(&self) -> Value {
        if self.tool().is_some() || self.input.is_some() {
            let mut tool = match self.tool() {
                Some(Value::Object(fields)) => fields.clone(),
                _ => Map::new(),
            };
            let input = self.input.as_deref().unwrap_or_default();
            let input = match input.trim() {
                // A tool without arguments comes without pieces.
                "" => json!({}),
                // What is no JSON stays as it is: the API refuses it, and hiding that helps nobody.
                _ => serde_json::from_str(input).unwrap_or_else(|_| Value::from(input)),
            };
            tool.insert("input".to_owned(), input);
            return json!({ "toolUse": tool });
        }
        if let Some(redacted) = &self.redacted {
            return json!({ "reasoningContent": { "redactedContent": redacted } });
        }
        if self.thought.is_some() || self.signature.is_some() {
            let mut inner = json!({ "text": self.thought.as_deref().unwrap_or_default() });
            if let Some(signature) = &self.signature {
                inner["signature"] = signature.as_str().into();
            }
            return json!({ "reasoningContent": { "reasoningText": inner } });
        }
        match (&self.text, &self.other, &self.start) {
            (Some(text), _, _) => json!({ "text": text }),
            (None, Some(other), _) => other.clone(),
            (None, None, Some(start)) if start.as_object().is_some_and(|all| !all.is_empty()) => {
                start.clone()
            }
            (None, None, _) => json!({ "text": "" }),
        }
    }

    pub(crate) fn item(self) -> Item {
        let wire = self.wire();
        let mut content = content(&wire);
        if let (Content::Call(call), Some(input)) = (&mut content, self.input) {
            call.arguments = if input.trim().is_empty() {
                "{}".to_owned()
            } else {
                input
            };
        }
        Item {
            id: None,
            content,
            wire,
            started: self.started,
            ended: self.ended,
        }
    }
}

/// What a whole content block is.
pub(crate) fn content(block: &Value) -> Content {
    if let Some(said) = text(block, "text") {
        return Content::Text {
            text: said.to_owned(),
        };
    }
    if let Some(tool) = block.get("toolUse") {
        return Content::Call(Call {
            call_id: text(tool, "toolUseId").unwrap_or_default().to_owned(),
            name: text(tool, "name").unwrap_or_default().to_owned(),
            namespace: None,
            arguments: match tool.get("input") {
                Some(Value::String(raw)) => raw.clone(),
                Some(value) => value.to_string(),
                None => "{}".to_owned(),
            },
            form: CallForm::Function,
        });
    }
    if let Some(reasoning) = block.get("reasoningContent") {
        let shown = &reasoning["reasoningText"];
        let sealed = |value: &Value, key: &str| text(value, key).is_some_and(|one| !one.is_empty());
        return Content::Reasoning {
            summary: String::new(),
            text: text(shown, "text").unwrap_or_default().to_owned(),
            encrypted: sealed(shown, "signature") || sealed(reasoning, "redactedContent"),
        };
    }
    let kind = block.as_object().and_then(|fields| fields.keys().next());
    Content::Other {
        kind: kind.cloned().unwrap_or_default(),
    }
}

/// Token counts; `None` where nothing is counted.
pub(crate) fn usage(usage: &Value) -> Option<Usage> {
    let count = |key: &str| usage.get(key).and_then(Value::as_u64);
    let (input, output, total) = (
        count("inputTokens"),
        count("outputTokens"),
        count("totalTokens"),
    );
    if input.is_none() && output.is_none() && total.is_none() {
        return None;
    }
    Some(Usage {
        input: input.unwrap_or(0),
        output: output.unwrap_or(0),
        total: total.unwrap_or(0),
        cached: count("cacheReadInputTokens"),
        cache_write: count("cacheWriteInputTokens"),
        reasoning: None,
    })
}
