//! What the mocked model answers: the step of a script, or the plain tool-calling model.
//!
//! Pure: a question in, an answer out, whatever wire API brought it. Whatever it calls with must be
//! harmless, because a real agent runs it.

use serde_json::{Value, json};

use crate::mock::answer::{Answer, Call, CallContent, EarlyEnd, Said, words};
use crate::mock::pattern;
use crate::mock::question::{Choice, Format, Grammar, Question, Tool, ToolKind};
use crate::mock::satisfy::{HARMLESS, satisfy};
use crate::mock::script::{Script, Step, Stop};

/// Most characters of a quote.
const QUOTE: usize = 160;

/// Most words of an answer whose length was asked for.
pub const MOST_WORDS: usize = 100_000;

/// The answer to this question. A text has so many words where neither the question nor the script says.
pub fn answer(question: &Question, script: Option<&Script>, length: Option<usize>) -> Answer {
    let step = script.and_then(|script| script.steps.get(question.answers_so_far));
    let mut answer = match step {
        Some(step) => scripted(step, question),
        None => Answer {
            items: plain(question, length),
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
    // Who counts words does not think first: thoughts would cost tokens that nobody asked for.
    let counts = matches!(answer.items.first(), Some(Said::Words(_)));
    if let Some(thought) = question.thought
        && !reasons
        && !counts
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

fn plain(question: &Question, length: Option<usize>) -> Vec<Said> {
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
    let asked = words_asked(&question.last_words).filter(|_| result.is_none());
    if let Some(tool) = tool
        && (must || result.is_none() && asked.is_none())
    {
        return vec![Said::Call(call(tool))];
    }
    if let Some(count) = asked.or(length)
        && question.format == Format::Text
    {
        return vec![Said::Words(words(count.min(MOST_WORDS)))];
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

/// The number in a last sentence `Answer with exactly 64 words.`, which load generators end their prompts with.
fn words_asked(text: &str) -> Option<usize> {
    let rest = text.trim_end().strip_suffix(" words.")?;
    let (before, number) = rest.rsplit_once(' ')?;
    before.ends_with("Answer with exactly").then_some(())?;
    number.parse().ok().filter(|count| *count > 0)
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

#[cfg(test)]
mod tests {
    use crate::mock::plain_model::*;

    #[test]
    fn a_number_of_words_is_found_only_where_the_prompt_ends_with_it() {
        let asked = |text| words_asked(text);
        assert_eq!(asked("Answer with exactly 64 words."), Some(64));
        assert_eq!(asked("Why? (7f3a) Answer with exactly 1 words.\n"), Some(1));
        assert_eq!(asked("Answer with exactly 64 words. Please."), None);
        assert_eq!(asked("Answer with exactly many words."), None);
        assert_eq!(asked("Answer with exactly 0 words."), None);
        assert_eq!(asked("Answer with 64 words."), None);
    }

    fn question(words: &str) -> Question {
        Question {
            tools: Vec::new(),
            choice: Choice::Auto,
            most_calls: usize::MAX,
            output_limit: None,
            format: Format::Text,
            answers_so_far: 0,
            last_result: None,
            last_words: words.to_owned(),
            thought: Some("Let me count."),
            stops: Vec::new(),
        }
    }

    #[test]
    fn the_question_says_how_long_and_the_server_where_it_does_not() {
        let tokens = |words: &str, length| {
            let said = answer(&question(words), None, length).items;
            (said.len(), said.iter().map(Said::tokens).sum::<u64>())
        };
        assert_eq!(tokens("Answer with exactly 12 words.", Some(3)), (1, 12));
        assert_eq!(tokens("Hello", Some(3)), (1, 3));
        assert_eq!(
            tokens("Answer with exactly 999999999 words.", None),
            (1, 100_000)
        );
        let plain = answer(&question("Hello"), None, None);
        assert!(
            matches!(plain.items.last(), Some(Said::Text(_))),
            "{plain:?}"
        );
        let limited = Question {
            output_limit: Some(16),
            ..question("Answer with exactly 64 words.")
        };
        let cut = answer(&limited, None, None);
        assert_eq!(cut.early_end, Some(EarlyEnd::MaxOutputTokens));
        assert_eq!(cut.items[0].tokens(), 16);
    }

    #[test]
    fn a_tool_is_called_unless_the_prompt_asks_for_words() {
        let tool = Tool {
            name: "f".to_owned(),
            namespace: None,
            kind: ToolKind::Function(json!({"type": "object"})),
        };
        let called = |words: &str, choice| {
            let question = Question {
                tools: vec![tool.clone()],
                choice,
                thought: None,
                ..question(words)
            };
            let said = answer(&question, None, Some(3)).items;
            matches!(said[0], Said::Call(_))
        };
        assert!(called("Hello", Choice::Auto));
        assert!(!called("Answer with exactly 2 words.", Choice::Auto));
        assert!(called("Answer with exactly 2 words.", Choice::Required));
    }
}
