//! What the mocked model answers: the step of a script, or the plain tool-calling model.
//!
//! Pure: a question in, an answer out, whatever wire API brought it. Whatever it calls with must be
//! harmless, because a real agent runs it.

use serde_json::{Value, json};

use crate::mock::answer::{Answer, Call, CallContent, EarlyEnd, Said};
use crate::mock::pattern;
use crate::mock::question::{Choice, Format, Grammar, Question, Tool, ToolKind};
use crate::mock::satisfy::{HARMLESS, satisfy};
use crate::mock::script::{Script, Step, Stop};

/// Most characters of a quote.
const QUOTE: usize = 160;

/// The answer to this question.
pub fn answer(question: &Question, script: Option<&Script>) -> Answer {
    let step = script.and_then(|script| script.steps.get(question.answers_so_far));
    let mut answer = match step {
        Some(step) => scripted(step, question),
        None => Answer {
            items: plain(question),
            early_end: None,
        },
    };
    let most = match question.choice {
        Choice::None => 0,
        _ => question.most_calls,
    };
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
    if let Some(thought) = question.thought
        && !reasons
    {
        answer.items.insert(0, Said::Reasoning(thought.to_owned()));
    }
    answer
        .stopped_at(&question.stops)
        .limited(question.output_limit)
}

fn scripted(step: &Step, question: &Question) -> Answer {
    let mut items = Vec::new();
    items.extend(step.reasoning.clone().map(Said::Reasoning));
    items.extend(step.text.clone().map(Said::Text));
    items.extend(step.refusal.clone().map(Said::Refusal));
    for call in &step.calls {
        let offered = question.tools.iter().find(|tool| tool.name == call.name);
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

fn plain(question: &Question) -> Vec<Said> {
    let result = question.last_result.as_deref();
    // A tool that runs programs is there to call the others with; of those, what is left beside it
    // makes no sense on its own (waiting for a program that was never started).
    let best = |allowed: &dyn Fn(&Tool) -> bool| -> Option<&Tool> {
        let rank = |tool: &&Tool| match tool.kind {
            ToolKind::Custom(Grammar::Program(_)) => 0,
            ToolKind::Function(_) => 1,
            ToolKind::Custom(_) => 2,
        };
        let allowed = question.tools.iter().filter(|tool| allowed(tool));
        allowed.min_by_key(rank)
    };
    let (tool, must) = match &question.choice {
        Choice::None => (None, false),
        Choice::Auto => (best(&|_| true), false),
        Choice::Required => (best(&|_| true), true),
        Choice::Named(name) => (best(&|tool| tool.name == *name), true),
        Choice::Among(names, must) => (best(&|tool| names.contains(&tool.name)), *must),
    };
    if let Some(tool) = tool
        && (must || result.is_none())
    {
        return vec![Said::Call(call(tool))];
    }
    let text = match &question.format {
        Format::Schema(schema) => satisfy(schema).to_string(),
        Format::Object => json!({"answer": HARMLESS}).to_string(),
        Format::Text => match result {
            Some(result) => format!("The tool answered: {}", quote(result)),
            None => format!("You said: {}", end_of(&question.last_words)),
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
        ToolKind::Custom(grammar) => {
            let text = match grammar {
                Grammar::Regex(regex) => pattern::matching(&format!("^(?:{regex})$"), 0, 10_000),
                Grammar::Program(program) => Some(program.clone()),
                Grammar::Other => None,
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
