//! Where a managed agent takes the prompt, and where it says what: JSON pointers, as data.
//!
//! Plain data with defaults for the forms that are documented: text events, the `response` of the
//! HTTP contract of AgentCore runtimes, and the events of Strands agents. Sources, read 2026-11-21:
//! https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/runtime-http-protocol-contract.html,
//! https://github.com/awslabs/fullstack-solution-template-for-agentcore (docs/STREAMING.md) and the
//! source of the Python package bedrock-agentcore 1.25.0.

use schemars::JsonSchema;
use serde::Deserialize;

/// The contract of one agent. Of each list of pointers, the first that finds something in an answer
/// is the one that is read until its end, so that a text that comes in two forms is not read twice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// The endpoint of the runtime: a name that points to a version.
    pub qualifier: String,
    /// Where the user's words go in the payload.
    pub prompt: String,
    /// Texts, or pieces of them. The empty pointer is an event that is a text itself.
    pub text: Vec<String>,
    /// Pieces of readable reasoning.
    pub reasoning: Vec<String>,
    /// The name of a tool that the agent runs by itself.
    pub tool: Vec<String>,
    /// Why the model stopped; the last one counts. Where none is told, the end of the body is the end.
    pub stop: Vec<String>,
    /// What went wrong inside a success.
    pub error: Vec<String>,
    /// Token counts, added up over all events.
    pub usage: UsagePointers,
}

/// Where token counts are told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UsagePointers {
    pub input: Vec<String>,
    pub output: Vec<String>,
    pub cached: Vec<String>,
}

fn pointers(all: &[&str]) -> Vec<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

impl Default for Mapping {
    fn default() -> Mapping {
        Mapping {
            qualifier: "DEFAULT".to_owned(),
            prompt: "/prompt".to_owned(),
            text: pointers(&[
                "",
                "/event/contentBlockDelta/delta/text",
                "/data",
                "/event",
                "/response",
                "/result",
                "/result/content/0/text",
            ]),
            reasoning: pointers(&[
                "/event/contentBlockDelta/delta/reasoningContent/text",
                "/reasoningText",
            ]),
            tool: pointers(&["/event/contentBlockStart/start/toolUse/name"]),
            stop: pointers(&["/event/messageStop/stopReason"]),
            error: pointers(&["/error"]),
            usage: UsagePointers::default(),
        }
    }
}

impl Default for UsagePointers {
    fn default() -> UsagePointers {
        UsagePointers {
            input: pointers(&["/event/metadata/usage/inputTokens"]),
            output: pointers(&["/event/metadata/usage/outputTokens"]),
            cached: pointers(&["/event/metadata/usage/cacheReadInputTokens"]),
        }
    }
}

impl Mapping {
    /// All pointers, each with the name of its key, for whoever checks them.
    pub fn pointers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let lists = [
            ("text", &self.text),
            ("reasoning", &self.reasoning),
            ("tool", &self.tool),
            ("stop", &self.stop),
            ("error", &self.error),
            ("usage", &self.usage.input),
            ("usage", &self.usage.output),
            ("usage", &self.usage.cached),
        ];
        std::iter::once(("prompt", self.prompt.as_str())).chain(
            lists
                .into_iter()
                .flat_map(|(key, list)| list.iter().map(move |one| (key, one.as_str()))),
        )
    }
}

/// Whether a text is a JSON pointer (RFC 6901).
pub fn is_pointer(text: &str) -> bool {
    let escapes_are_known = || {
        text.split('~')
            .skip(1)
            .all(|after| after.starts_with('0') || after.starts_with('1'))
    };
    text.is_empty() || text.starts_with('/') && escapes_are_known()
}
