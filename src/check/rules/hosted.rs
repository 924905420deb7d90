//! Rules of tools that run at the provider: their steps come in order, between announced and finished.
//!
//! What a hosted tool does is not looked at.

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::collect::Collector;
use crate::check::rules::ledger::{ItemLog, Ledger};
use crate::check::rules::must;

static STEPS: Rule = must(
    "responses/hosted-call-steps",
    "A hosted call goes from in_progress over its working steps to completed or failed, once.",
    "OpenAI API reference, Responses streaming events (2026-08-21)",
);

pub static RULES: &[&Rule] = &[&STEPS];

const CALLS: [&str; 6] = [
    "response.web_search_call",
    "response.file_search_call",
    "response.code_interpreter_call",
    "response.image_generation_call",
    "response.mcp_call",
    "response.mcp_list_tools",
];

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    if ledger.lossy {
        return;
    }
    for log in &ledger.items {
        steps(log, out);
    }
}

fn steps(log: &ItemLog<'_>, out: &mut Collector<'_>) {
    let mut stage = 0;
    for event in &log.events {
        let Some((prefix, step)) = event.kind.rsplit_once('.') else {
            continue;
        };
        if !CALLS.contains(&prefix) {
            continue;
        }
        let next = match step {
            "in_progress" => 1,
            "completed" | "failed" => 3,
            _ => 2,
        };
        // Steps on the way may repeat (OpenAI says mcp_call.in_progress twice); the end may not.
        let fits = next > stage || next == stage && next < 3;
        if !fits {
            out.add(
                &STEPS,
                Some(event.index),
                format!(
                    "the hosted call of item {} takes its steps out of order",
                    log.output_index
                ),
                "in_progress, working steps, then completed or failed",
                event.kind,
            );
            return;
        }
        stage = next;
    }
    // Steps that began are ended before the item is finished as completed.
    let finished = log.done.first();
    if let Some((event, item)) = finished
        && (stage == 1 || stage == 2)
        && item.get("status").and_then(Value::as_str) == Some("completed")
    {
        out.add(
            &STEPS,
            Some(*event),
            format!(
                "the hosted call of item {} is finished without its last step",
                log.output_index
            ),
            "completed or failed",
            "the item as completed",
        );
    }
}
