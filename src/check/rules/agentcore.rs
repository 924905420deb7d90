//! Rules of a managed agent's answer: its content type, its events, and the session it belongs to.
//!
//! What stands in an event is the agent's own contract, so these are few. It must never read a text
//! itself: the trace has what the target's mapping found.

use serde_json::Value;

use crate::check::finding::{Evidence, Finding, Rule};
use crate::check::rules::collect::{Collector, cut};
use crate::check::rules::{Subject, info, must, should};
use crate::dialect::agentcore::decode::is_printed_object;
use crate::dialect::wire::Payload;
use crate::turn::exchange::Head;
use crate::turn::trace::Content;

const CONTRACT: &str = "https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/runtime-http-protocol-contract.html (read 2026-11-21)";
const SERVED_BY: &str = "Python package bedrock-agentcore 1.25.0, runtime/app.py (read 2026-11-21)";
const MODEL: &str = "service model bedrock-agentcore 2024-02-28 of botocore 1.44.5, InvokeAgentRuntime (read 2026-11-21)";

static CONTENT_TYPE: Rule = must(
    "agentcore/content-type",
    "A successful answer is text/event-stream or application/json.",
    CONTRACT,
);
static AS_ASKED: Rule = info(
    "agentcore/content-type-as-asked",
    "A stream comes where one was asked for, and a whole answer where none was; an agent may be built for one only.",
    MODEL,
);
static DONE_MARKER: Rule = should(
    "agentcore/every-event-json",
    "No event is [DONE]: a reader that parses the data of each event as JSON stops there.",
    SERVED_BY,
);
static PRINTED: Rule = should(
    "agentcore/no-printed-objects",
    "An event is JSON of its own, and not a text that holds an object as Python prints it.",
    SERVED_BY,
);
static AFTER_ERROR: Rule = must(
    "agentcore/error-is-last",
    "Nothing follows an error event: the agent has ended.",
    SERVED_BY,
);
static TEXT_FOUND: Rule = should(
    "agentcore/text-found",
    "The answer has a text where the target's mapping looks for it.",
    "the agent's own contract; `agent.text` of the target says where its text is",
);
static SESSION_KEPT: Rule = must(
    "agentcore/session-kept",
    "The session that the answer names is the one that was asked.",
    MODEL,
);
static SESSION_TOLD: Rule = info(
    "agentcore/session-told",
    "The answer names its session.",
    MODEL,
);

pub static RULES: &[&Rule] = &[
    &CONTENT_TYPE,
    &AS_ASKED,
    &DONE_MARKER,
    &PRINTED,
    &AFTER_ERROR,
    &TEXT_FOUND,
    &SESSION_KEPT,
    &SESSION_TOLD,
];

pub fn check(subject: &Subject<'_>, out: &mut Collector<'_>) {
    content_type(subject, out);
    let mut failed = false;
    for (index, event) in subject.events.iter().enumerate() {
        if failed {
            out.add(
                &AFTER_ERROR,
                Some(index),
                "an event comes after the error event",
                "the end of the stream",
                "",
            );
        }
        match &event.payload {
            Payload::Done => out.add(
                &DONE_MARKER,
                Some(index),
                "an event is [DONE]",
                "JSON",
                "[DONE]",
            ),
            Payload::Json(Value::String(text)) if is_printed_object(text) => out.add(
                &PRINTED,
                Some(index),
                "an event is an object in a text: the agent yields what cannot become JSON",
                "a JSON object",
                cut(text, 120),
            ),
            Payload::Json(data) => {
                // The form of the serving package; other errors are the agent's own and may go on.
                failed |= data["error"].is_string() && data["error_type"].is_string();
            }
            Payload::Malformed { .. } => {}
        }
    }
    text_found(subject, out);
}

fn content_type(subject: &Subject<'_>, out: &mut Collector<'_>) {
    let Some(head) = subject.head else { return };
    let told = head.header("content-type").unwrap_or_default();
    let kind = told
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let wanted = match subject.streamed {
        true => "text/event-stream",
        false => "application/json",
    };
    if !["text/event-stream", "application/json"].contains(&kind.as_str()) {
        out.add(
            &CONTENT_TYPE,
            None,
            "the answer is of a type that the contract does not have",
            wanted,
            told,
        );
    } else if kind != wanted {
        out.add(
            &AS_ASKED,
            None,
            "the answer came in the other form than was asked for",
            wanted,
            told,
        );
    }
}

fn text_found(subject: &Subject<'_>, out: &mut Collector<'_>) {
    let trace = subject.trace;
    let says = |content: &Content| matches!(content, Content::Text { .. });
    if trace.failure.is_some() || trace.items.iter().any(|item| says(&item.content)) {
        return;
    }
    out.add(
        &TEXT_FOUND,
        None,
        "the answer is whole and no text was found in it; `agent.text` of the target says where to look",
        "a text",
        format!("{} events without one", subject.events.len()),
    );
}

/// What the head of an answer says of the session that was asked under `name`. It stands apart because
/// a request's headers are no part of its JSON.
pub fn session(head: &Head, name: &str, sent: &str) -> Vec<Finding> {
    if !(200..300).contains(&head.status) {
        return Vec::new();
    }
    let told = head.header(&name.to_ascii_lowercase());
    let (rule, message) = match told {
        Some(told) if told == sent => return Vec::new(),
        Some(_) => (&SESSION_KEPT, "the answer belongs to another session"),
        None => (&SESSION_TOLD, "the answer does not name its session"),
    };
    vec![Finding {
        rule: rule.id.to_owned(),
        severity: rule.severity,
        message: message.to_owned(),
        evidence: Evidence {
            expected: Some(format!("{name} as it was sent")),
            got: Some(told.map_or("no such header".to_owned(), |told| cut(told, 160))),
            ..Evidence::default()
        },
        cause: None,
        fix: None,
    }]
}
