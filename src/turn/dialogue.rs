//! What to ask next: a scenario's script and the answers so far become the next neutral request.
//!
//! Knows no dialect: the request is a list of entries that each dialect encodes in its own way.

use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::scenario::model::{Format, Scenario, Settings, Tool, Turn};
use crate::turn::trace::{CallForm, Content, Item};

/// A provider-neutral request: one dialect's encoder away from the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnRequest<'a> {
    pub model: &'a str,
    pub stream: bool,
    pub system: Option<&'a str>,
    pub tools: &'a IndexMap<String, Tool>,
    /// Tools in the dialect's own form, sent as they are.
    pub wire_tools: &'a [Value],
    pub settings: &'a Settings,
    /// Where the model takes its reasoning effort in a dialect that has no field of its own for it:
    /// keys joined by dots, from the model's row in the catalog.
    pub effort_field: Option<&'a str>,
    pub format: Option<&'a Format>,
    /// Whether the provider is to keep the answer, where the settings do not say.
    pub stored: bool,
    /// The response that this request continues; `entries` then holds only what is new.
    pub previous: Option<&'a str>,
    /// The conversation so far, oldest first.
    pub entries: &'a [Entry],
}

/// One entry of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// What the user says.
    User { text: String },
    /// Items in the dialect's own form, sent as they are.
    Wire { items: Vec<Value> },
    /// What the model answered, to be replayed unchanged.
    Answer { items: Vec<Item> },
    /// What a tool returned.
    Result {
        call_id: String,
        name: String,
        form: CallForm,
        output: String,
    },
}

/// Why a conversation cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stuck {
    /// The next turn returns results, but the answer before it called nothing.
    NoCalls,
    /// The answer called a tool that the next turn has no result for.
    NoResult { tool: String },
    /// The answer is to be continued, and has no id to name it by.
    NoResponseId,
}

/// What came after the last answer: all that a request carries when the provider keeps the rest.
pub fn since_last_answer(entries: &[Entry]) -> &[Entry] {
    let answer = |entry: &Entry| matches!(entry, Entry::Answer { .. });
    let start = entries.iter().rposition(answer).map_or(0, |at| at + 1);
    &entries[start..]
}

/// Adds what turn `index` of the script says to the conversation.
///
/// Each call of the answer before is given the result that the script names for its tool. Errors say
/// why the script and the model's answer do not fit together.
pub fn advance(
    scenario: &Scenario,
    index: usize,
    answer: &[Item],
    entries: &mut Vec<Entry>,
) -> Result<(), Stuck> {
    let turn = &scenario.turns[index];
    if index > 0 {
        entries.push(Entry::Answer {
            items: answer.to_vec(),
        });
    }
    if !turn.wire_items.is_empty() {
        entries.push(Entry::Wire {
            items: turn.wire_items.clone(),
        });
    }
    if let Some(text) = &turn.user {
        entries.push(Entry::User {
            text: user_text(turn, text),
        });
        return Ok(());
    }
    let mut any = false;
    for item in answer {
        let Content::Call(call) = &item.content else {
            continue;
        };
        any = true;
        let Some(value) = turn.results.get(&call.name) else {
            return Err(Stuck::NoResult {
                tool: call.name.clone(),
            });
        };
        entries.push(Entry::Result {
            call_id: call.call_id.clone(),
            name: call.name.clone(),
            form: call.form,
            output: result_text(value),
        });
    }
    if any { Ok(()) } else { Err(Stuck::NoCalls) }
}

/// A tool's result as text: a string as it is, anything else as compact JSON.
fn result_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Words for filler: common, short, and of no meaning together.
const FILLER: [&str; 16] = [
    "harbour", "seven", "walk", "paper", "under", "stone", "music", "left", "green", "table",
    "river", "often", "glass", "north", "bread", "quiet",
];

/// The user's text with its filler before it. The same for the same turn, everywhere and always.
fn user_text(turn: &Turn, text: &str) -> String {
    if turn.filler_words == 0 {
        return text.to_owned();
    }
    let mut out = String::new();
    // A small linear congruential generator: reproducible without a dependency, and nothing rests on
    // its quality.
    let mut state: u32 = 0x5eed_1234;
    for _ in 0..turn.filler_words {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        out.push_str(FILLER[(state >> 28) as usize]);
        out.push(' ');
    }
    out.push_str("\n\n");
    out.push_str(text);
    out
}

/// The neutral meaning of turn `index`: everything the script itself says up to there, nothing that a
/// provider answered. Equal for equal turns whatever the target.
pub fn neutral(scenario: &Scenario, index: usize) -> Value {
    let tools: Vec<Value> = scenario
        .tools
        .iter()
        .map(|(name, tool)| {
            json!({
                "name": name,
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": tool.strict,
                "custom": tool.custom,
            })
        })
        .collect();
    let said: Vec<Value> = scenario.turns[..=index]
        .iter()
        .map(|turn| {
            json!({
                "user": turn.user.as_ref().map(|text| user_text(turn, text)),
                "wire_items": turn.wire_items,
                "results": turn.results,
            })
        })
        .collect();
    let settings = &scenario.settings;
    json!({
        "stream": scenario.stream,
        "system": scenario.system,
        "tools": tools,
        "wire_tools": scenario.wire_tools,
        "wire_fields": scenario.wire_fields,
        "wire_headers": scenario.wire_headers,
        "settings": {
            "max_output_tokens": settings.max_output_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "tool_choice": settings.tool_choice.as_ref().map(|choice| format!("{choice:?}")),
            "parallel_tool_calls": settings.parallel_tool_calls,
            "max_tool_calls": settings.max_tool_calls,
            "reasoning_effort": settings.reasoning_effort,
            "service_tier": settings.service_tier,
            "store": settings.store,
            "background": settings.background,
            "verbosity": settings.verbosity,
        },
        "format": scenario.format.as_ref().map(|Format::JsonSchema(format)| json!({
            "name": format.name, "schema": format.schema, "strict": format.strict,
        })),
        "conversation": format!("{:?}", scenario.conversation),
        "turns": said,
    })
}
