//! The content blocks: opened where they must be, of one kind, closed once, and whole.
//!
//! Text and reasoning blocks are not opened in the streams of the real service, so that is never
//! asked for. It must never judge what a block says.

use std::collections::HashSet;

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::collect::{Collector, cut, show};
use crate::check::rules::converse::{Block, Ledger, MODEL, STREAM};
use crate::check::rules::{must, should};

static INDEX: Rule = must(
    "converse/block-index",
    "Every event of a block has a contentBlockIndex, a number from 0.",
    MODEL,
);
static CLOSED: Rule = must(
    "converse/block-closed-once",
    "Every block is closed by one contentBlockStop, before messageStop.",
    STREAM,
);
static LATE: Rule = must(
    "converse/nothing-after-block-stop",
    "After its contentBlockStop an index has no more events.",
    STREAM,
);
static STARTED_ONCE: Rule = must(
    "converse/block-started-once",
    "A block has at most one contentBlockStart, before its first delta.",
    STREAM,
);
static TOOL_STARTED: Rule = must(
    "converse/tool-block-started",
    "A tool's input comes after a contentBlockStart that names the tool.",
    STREAM,
);
static ONE_KIND: Rule = must(
    "converse/block-one-kind",
    "All deltas of a block are of one kind, the one that its start names.",
    STREAM,
);
static SHAPE: Rule = must(
    "converse/delta-shape",
    "A delta has one member, and what it brings of text, input or reasoning is a text.",
    MODEL,
);
static HAS_DELTA: Rule = should(
    "converse/block-has-delta",
    "A block that is no tool's has at least one delta.",
    STREAM,
);
static TOOL_ID: Rule = must(
    "converse/tool-use-named",
    "A toolUse has a name and a toolUseId of 1 to 64 letters, digits, and _.:-",
    MODEL,
);
static TOOL_ID_UNIQUE: Rule = must(
    "converse/tool-use-ids-unique",
    "The calls of an answer have different toolUseIds.",
    "a result names its call by this id alone",
);
static INPUT: Rule = must(
    "converse/tool-input-object",
    "The pieces of a tool's input add up to one JSON object, or to nothing.",
    "a replayed toolUse.input must be an object: https://github.com/vercel/ai/pull/19023 (2026-08)",
);
static SEALED: Rule = should(
    "converse/reasoning-sealed-last",
    "A reasoning block is text with its signature after it, or redacted content alone.",
    STREAM,
);
static CALLS_AND_STOP: Rule = must(
    "converse/stop-matches-calls",
    "stopReason is tool_use where, and only where, the message calls a tool.",
    MODEL,
);

pub static RULES: &[&Rule] = &[
    &INDEX,
    &CLOSED,
    &LATE,
    &STARTED_ONCE,
    &TOOL_STARTED,
    &ONE_KIND,
    &SHAPE,
    &HAS_DELTA,
    &TOOL_ID,
    &TOOL_ID_UNIQUE,
    &INPUT,
    &SEALED,
    &CALLS_AND_STOP,
];

/// Reasons to stop with which a message may or may not hold a call.
const EARLY: [&str; 6] = [
    "max_tokens",
    "guardrail_intervened",
    "content_filtered",
    "malformed_model_output",
    "malformed_tool_use",
    "model_context_window_exceeded",
];

pub(crate) fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    for event in &ledger.events {
        if event.name.starts_with("contentBlock")
            && event.payload["contentBlockIndex"].as_u64().is_none()
        {
            out.add(
                &INDEX,
                Some(event.at),
                format!("{} does not say which block it is about", event.name),
                "a number from 0",
                show(event.payload.get("contentBlockIndex")),
            );
        }
    }
    for (index, block) in &ledger.blocks {
        if ledger.whole.is_none() {
            framed(ledger, *index, block, out);
            kinds(*index, block, out);
            shapes(*index, block, out);
            sealed(*index, block, out);
        }
        if block.is_tool() {
            tool(ledger, *index, block, out);
        }
    }
    unique(ledger, out);
    calls_and_stop(ledger, out);
}

fn framed(ledger: &Ledger<'_>, index: u64, block: &Block<'_>, out: &mut Collector<'_>) {
    if block.stops.is_empty() && !ledger.is_cut() && ledger.message_stop.is_some() {
        out.add(
            &CLOSED,
            Some(block.first),
            format!("block {index} is never closed"),
            "contentBlockStop",
            "none",
        );
    }
    if let Some(second) = block.stops.get(1) {
        out.add(
            &CLOSED,
            Some(*second),
            format!("block {index} is closed more than once"),
            "1",
            block.stops.len().to_string(),
        );
    }
    // Places ascend, and there may be very many.
    let is_stop = |at: &usize| block.stops.binary_search(at).is_ok();
    let late = block.late.iter().find(|at| !is_stop(at));
    if let Some(at) = late {
        out.add(
            &LATE,
            Some(*at),
            format!("block {index} goes on after its contentBlockStop"),
            "another index",
            index.to_string(),
        );
    }
    let first_delta = block.deltas.first().map(|(at, _, _)| *at);
    let second = block.starts.get(1);
    let behind = block
        .starts
        .iter()
        .find(|start| first_delta.is_some_and(|delta| **start > delta));
    if let Some(at) = second.or(behind)
        && !block.late.contains(at)
        // A tool that is named after its input is told by the rule about tools.
        && !(block.tool.is_some() && second.is_none())
    {
        out.add(
            &STARTED_ONCE,
            Some(*at),
            format!("block {index} is started in the middle"),
            "at most one contentBlockStart, first",
            block.starts.len().to_string(),
        );
    }
    if block.deltas.is_empty() && !block.is_tool() && !block.stops.is_empty() && !block.other_start
    {
        out.add(
            &HAS_DELTA,
            Some(block.first),
            format!("block {index} is closed without ever having a delta"),
            "a delta",
            "none",
        );
    }
}

fn kinds(index: u64, block: &Block<'_>, out: &mut Collector<'_>) {
    let Some((_, first, _)) = block.deltas.first() else {
        return;
    };
    let expected = if block.tool.is_some() {
        "toolUse"
    } else {
        first
    };
    // Citations are about the text of the block they come in.
    let pair = |one: &str, other: &str| one == "text" && other == "citation";
    let strange = block
        .deltas
        .iter()
        .find(|(_, kind, _)| *kind != expected && !pair(expected, kind) && !pair(kind, expected));
    if let Some((at, kind, _)) = strange {
        out.add(
            &ONE_KIND,
            Some(*at),
            format!("block {index} has deltas of two kinds"),
            expected,
            *kind,
        );
    }
    if block.tool.is_none() && *first == "toolUse" {
        out.add(
            &TOOL_STARTED,
            Some(block.first),
            format!("block {index} is a tool's input, and nothing names the tool"),
            "contentBlockStart with toolUse",
            "none",
        );
    } else if let (Some(start), Some((delta, _, _))) = (block.starts.first(), block.deltas.first())
        && block.tool.is_some()
        && delta < start
    {
        out.add(
            &TOOL_STARTED,
            Some(*delta),
            format!("the input of block {index} begins before the tool is named"),
            "contentBlockStart first",
            "a delta first",
        );
    }
}

/// The members of a union: exactly one is set.
fn shapes(index: u64, block: &Block<'_>, out: &mut Collector<'_>) {
    let only = |value: &Value| value.as_object().is_some_and(|members| members.len() == 1);
    let sound = |kind: &str, delta: &Value| {
        let inside = &delta[kind];
        only(delta)
            && match kind {
                "text" => inside.is_string(),
                "toolUse" => inside["input"].is_string(),
                "reasoningContent" => {
                    only(inside)
                        && ["text", "signature", "redactedContent"]
                            .iter()
                            .all(|key| inside.get(*key).is_none_or(Value::is_string))
                }
                _ => true,
            }
    };
    let strange = block
        .deltas
        .iter()
        .find(|(_, kind, delta)| !sound(kind, delta));
    if let Some((at, _, delta)) = strange {
        out.add(
            &SHAPE,
            Some(*at),
            format!("a delta of block {index} is not one piece of one kind"),
            "one member, with a text in it",
            show(Some(delta)),
        );
    }
}

fn sealed(index: u64, block: &Block<'_>, out: &mut Collector<'_>) {
    let mut signed = false;
    let mut redacted = false;
    let mut said = false;
    for (at, kind, delta) in &block.deltas {
        if *kind != "reasoningContent" {
            continue;
        }
        let reasoning = &delta["reasoningContent"];
        let text = reasoning["text"]
            .as_str()
            .is_some_and(|text| !text.is_empty());
        let seal = reasoning.get("signature").is_some();
        let secret = reasoning.get("redactedContent").is_some();
        if text && signed || secret && (said || signed) || (text || seal) && redacted {
            out.add(
                &SEALED,
                Some(*at),
                format!(
                    "the reasoning of block {index} is out of order: a replay cannot be verified"
                ),
                "text, then its signature; or redacted content alone",
                show(Some(reasoning)),
            );
            return;
        }
        signed |= seal;
        redacted |= secret;
        said |= text;
    }
}

fn tool(ledger: &Ledger<'_>, index: u64, block: &Block<'_>, out: &mut Collector<'_>) {
    if let Some(tool) = block.tool {
        let name = tool["name"].as_str().unwrap_or_default();
        let id = tool["toolUseId"].as_str().unwrap_or_default();
        let letter = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
        if name.is_empty() || id.is_empty() || id.len() > 64 || !id.chars().all(letter) {
            out.add(
                &TOOL_ID,
                Some(block.first),
                format!("the call of block {index} cannot be answered by its name and id"),
                "a name, and an id of 1 to 64 letters",
                cut(&format!("{name:?}, {id:?}"), 120),
            );
        }
    }
    let (input, what) = match (ledger.whole, block.tool) {
        (Some(_), Some(tool)) => (tool.get("input").cloned(), show(tool.get("input"))),
        _ => {
            let joined = block.input();
            if joined.trim().is_empty() {
                return;
            }
            (serde_json::from_str(&joined).ok(), joined)
        }
    };
    // An answer that was cut short promises nothing of its last block.
    let cut_short = block.stops.is_empty() && ledger.whole.is_none()
        || ledger
            .stop_reason()
            .and_then(|(_, reason)| reason.as_str())
            .is_some_and(|reason| EARLY.contains(&reason));
    if !input.is_some_and(|value: Value| value.is_object()) && !cut_short {
        out.add(
            &INPUT,
            Some(block.first),
            format!("the input of block {index} is no JSON object"),
            "a JSON object",
            cut(&what, 160),
        );
    }
}

fn unique(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let mut seen: HashSet<&str> = HashSet::new();
    for block in ledger.calls() {
        let Some(id) = block.tool.and_then(|tool| tool["toolUseId"].as_str()) else {
            continue;
        };
        if !seen.insert(id) {
            out.add(
                &TOOL_ID_UNIQUE,
                Some(block.first),
                "two calls have the same toolUseId",
                "different ids",
                id,
            );
        }
    }
}

fn calls_and_stop(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let Some((at, reason)) = ledger.stop_reason() else {
        return;
    };
    let calls = ledger.calls().count();
    let reason = reason.as_str().unwrap_or_default();
    if (reason == "tool_use" && calls == 0)
        || (matches!(reason, "end_turn" | "stop_sequence") && calls > 0)
    {
        out.add(
            &CALLS_AND_STOP,
            at,
            "stopReason and the calls of the message contradict each other",
            if calls > 0 {
                "tool_use"
            } else {
                "another reason"
            },
            format!("{reason} with {calls} calls"),
        );
    }
}
