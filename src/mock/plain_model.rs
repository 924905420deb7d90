//! What the mocked model answers: the step of a script, or the plain tool-calling model.
//!
//! Pure: conversation in, answer out. Whatever it calls with must be harmless, because a real agent
//! runs it.

use serde_json::{Value, json};

use crate::mock::answer::{Answer, Call, CallContent, EarlyEnd, Said};
use crate::mock::ask::{Ask, Tool, ToolKind};
use crate::mock::data::{Model, Obedience, Provider, ToolChoices};
use crate::mock::pattern;
use crate::mock::satisfy::{HARMLESS, satisfy};
use crate::mock::script::{Script, Step, Stop};

/// Most characters of a quote.
const QUOTE: usize = 160;

/// The answer to this conversation, which ends with the items of the request.
pub fn answer(
    provider: &Provider,
    model: &Model,
    ask: &Ask,
    conversation: &[Value],
    script: Option<&Script>,
) -> Answer {
    let step = script.and_then(|script| script.steps.get(answers_in(conversation)));
    let mut answer = match step {
        Some(step) => scripted(step, ask),
        None => Answer {
            items: plain(model, ask, conversation),
            early_end: None,
        },
    };
    let mut most = usize::MAX;
    if choice(model, ask) == Choice::None {
        most = 0;
    } else if !ask.flag("parallel_tool_calls", true) {
        most = 1;
    }
    if let Some(limit) = ask.number("max_tool_calls")
        && provider.manner.max_tool_calls == Obedience::Honoured
    {
        most = most.min(limit as usize);
    }
    let mut calls = 0;
    answer.items.retain(|item| {
        let is_call = matches!(item, Said::Call(_));
        calls += usize::from(is_call);
        !is_call || calls <= most
    });
    let reasons = answer
        .items
        .iter()
        .any(|item| matches!(item, Said::Reasoning(_)));
    if model.kind.reasoning && ask.wants_encrypted_reasoning() && !reasons {
        answer.items.insert(0, Said::Reasoning(String::new()));
    }
    answer.limited(ask.number("max_output_tokens"))
}

/// How many answers of the model a conversation holds: runs of its items.
fn answers_in(conversation: &[Value]) -> usize {
    let mut runs = 0;
    let mut inside = false;
    for item in conversation {
        let of_model = match item["type"].as_str() {
            Some("reasoning" | "function_call" | "custom_tool_call") => true,
            Some("message") | None => item["role"] == "assistant",
            _ => false,
        };
        if of_model && !inside {
            runs += 1;
        }
        inside = of_model;
    }
    runs
}

fn scripted(step: &Step, ask: &Ask) -> Answer {
    let mut items = Vec::new();
    items.extend(step.reasoning.clone().map(Said::Reasoning));
    items.extend(step.text.clone().map(Said::Text));
    items.extend(step.refusal.clone().map(Said::Refusal));
    for call in &step.calls {
        let offered = ask.tools.iter().find(|tool| tool.name == call.name);
        let namespace = offered.and_then(|tool| tool.namespace.clone());
        items.push(Said::Call(Call {
            name: call.name.clone(),
            namespace: call.namespace.clone().or(namespace),
            content: match (&call.input, &call.arguments) {
                (Some(input), _) => CallContent::Input(input.clone()),
                (None, Some(Value::String(text))) => CallContent::Arguments(text.clone()),
                (None, Some(value)) => CallContent::Arguments(value.to_string()),
                (None, None) => CallContent::Arguments("{}".to_owned()),
            },
        }));
    }
    Answer {
        items,
        early_end: step.stop.map(|stop| match stop {
            Stop::Length => EarlyEnd::MaxOutputTokens,
            Stop::ContentFilter => EarlyEnd::ContentFilter,
        }),
    }
}

#[derive(PartialEq)]
enum Choice<'a> {
    Auto,
    None,
    Required,
    Named(&'a str),
    /// Any of these, and whether one must be called.
    Among(Vec<&'a str>, bool),
}

fn choice<'a>(model: &Model, ask: &'a Ask) -> Choice<'a> {
    match ask.body.get("tool_choice") {
        Some(Value::String(word)) if word == "none" => Choice::None,
        Some(Value::String(word)) if word == "required" => Choice::Required,
        Some(Value::Object(named)) if model.kind.tool_choice == ToolChoices::Any => {
            if let Some(Value::Array(tools)) = named.get("tools") {
                let names = tools
                    .iter()
                    .filter_map(|tool| tool["name"].as_str())
                    .collect();
                let must = named.get("mode").is_some_and(|mode| mode == "required");
                return Choice::Among(names, must);
            }
            match named.get("name").and_then(Value::as_str) {
                Some(name) => Choice::Named(name),
                None => Choice::Auto,
            }
        }
        _ => Choice::Auto,
    }
}

fn plain(model: &Model, ask: &Ask, conversation: &[Value]) -> Vec<Said> {
    let last = conversation.last().unwrap_or(&Value::Null);
    let result = last["type"]
        .as_str()
        .is_some_and(|kind| kind.ends_with("_output"))
        .then(|| text_of(&last["output"]));
    let function_first = |allowed: &dyn Fn(&Tool) -> bool| -> Option<&Tool> {
        let is_function = |tool: &&Tool| matches!(tool.kind, ToolKind::Function(_));
        let mut allowed = ask.tools.iter().filter(|tool| allowed(tool));
        let any = allowed.clone().next();
        allowed.find(is_function).or(any)
    };
    let (tool, must) = match choice(model, ask) {
        Choice::None => (None, false),
        Choice::Auto => (function_first(&|_| true), false),
        Choice::Required => (function_first(&|_| true), true),
        Choice::Named(name) => (function_first(&|tool| tool.name == name), true),
        Choice::Among(names, must) => (
            function_first(&|tool| names.contains(&tool.name.as_str())),
            must,
        ),
    };
    if let Some(tool) = tool
        && (must || result.is_none())
    {
        return vec![Said::Call(call(tool))];
    }
    let format = &ask.body.get("text").unwrap_or(&Value::Null)["format"];
    let text = match format["type"].as_str() {
        Some("json_schema") => satisfy(&format["schema"]).to_string(),
        Some("json_object") => json!({"answer": HARMLESS}).to_string(),
        _ => match result {
            Some(result) => format!("The tool answered: {}", quote(&result)),
            None => format!("You said: {}", end_of(&last_words(conversation))),
        },
    };
    vec![Said::Text(text)]
}

fn call(tool: &Tool) -> Call {
    let content = match &tool.kind {
        ToolKind::Function(schema) => {
            let value = satisfy(schema);
            // Arguments are an object, also for a tool without parameters.
            let value = if value.is_object() { value } else { json!({}) };
            CallContent::Arguments(value.to_string())
        }
        ToolKind::Custom(format) => {
            let grammar = &format["definition"];
            let text = match (format["syntax"].as_str(), grammar.as_str()) {
                (Some("regex"), Some(regex)) => {
                    pattern::matching(&format!("^(?:{regex})$"), 0, 10_000)
                }
                _ => None,
            };
            CallContent::Input(text.unwrap_or_else(|| HARMLESS.to_owned()))
        }
    };
    Call {
        name: tool.name.clone(),
        namespace: tool.namespace.clone(),
        content,
    }
}

/// The text of content in any of its forms.
fn text_of(content: &Value) -> String {
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

fn last_words(conversation: &[Value]) -> String {
    let user = conversation
        .iter()
        .rev()
        .find(|item| item["role"] == "user");
    user.map(|item| text_of(&item["content"]))
        .unwrap_or_default()
}

/// The last words: what a long prompt asks for stands at its end.
fn end_of(text: &str) -> String {
    let text = text.trim();
    let count = text.chars().count();
    if count <= QUOTE {
        return text.to_owned();
    }
    let end: String = text.chars().skip(count - QUOTE).collect();
    format!("…{end}")
}

/// The beginning: what a tool says first is what it was asked for.
fn quote(text: &str) -> String {
    let text = text.trim();
    let mut out: String = text.chars().take(QUOTE).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}
