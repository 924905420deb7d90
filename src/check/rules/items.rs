//! Rules of output items: announced once, numbered densely, identified, finished once.
//!
//! Items may interleave: it must never ask that one is finished before the next begins.

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::ledger::{ItemLog, Ledger, text};
use crate::check::rules::{must, should};

const EVENTS: &str = "OpenAI API reference, Responses streaming events (2026-08-21)";

static ADDED_FIRST: Rule = must(
    "responses/item-added-first",
    "response.output_item.added comes before any other event of an item.",
    "OpenResponses specification 2026-04-24, streaming",
);
static ADDED_ONCE: Rule = must(
    "responses/item-added-once",
    "response.output_item.added comes once for each item.",
    EVENTS,
);
static DENSE: Rule = must(
    "responses/output-index-dense",
    "New items take the output indexes 0, 1, 2 and so on, and none is used again.",
    "55 recorded responses (2026-08-22); sglang issue 12644 shows the fault",
);
static ID_STABLE: Rule = must(
    "responses/item-id-stable",
    "An item has an id, the same in every event that names it and in the final output.",
    EVENTS,
);
static ID_UNIQUE: Rule = must(
    "responses/item-id-unique",
    "No two items of an answer have the same id.",
    EVENTS,
);
static IDENTITY: Rule = must(
    "responses/item-identity-kept",
    "type, role, name and call_id are the same when an item is finished as when it was announced.",
    "CodexPlusPlus issue 614 shows the fault; Codex executes what the finished item says",
);
static DONE_ONCE: Rule = must(
    "responses/item-done-once",
    "Every announced item gets one response.output_item.done before response.completed.",
    "opencode issue 40171 shows the fault; Codex reads finished items only",
);
static AFTER_DONE: Rule = must(
    "responses/nothing-after-item-done",
    "No event of an item follows its response.output_item.done.",
    EVENTS,
);
static STATUS: Rule = should(
    "responses/item-status",
    "An item is in_progress when announced, and completed, incomplete or failed when finished.",
    "OpenResponses specification 2026-04-24, items; OpenAI leaves it out on reasoning items",
);

pub static RULES: &[&Rule] = &[
    &ADDED_FIRST,
    &ADDED_ONCE,
    &DENSE,
    &ID_STABLE,
    &ID_UNIQUE,
    &IDENTITY,
    &DONE_ONCE,
    &AFTER_DONE,
    &STATUS,
];

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    if !ledger.subject.streamed {
        return;
    }
    indexes(ledger, out);
    for log in &ledger.items {
        announced(ledger, log, out);
        finished(ledger, log, out);
        ids(log, out);
        identity(log, out);
        status(ledger, log, out);
    }
    unique_ids(ledger, out);
    final_ids(ledger, out);
}

fn indexes(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    if ledger.lossy {
        return;
    }
    let mut next: i64 = 0;
    for (place, log) in ledger.items.iter().enumerate() {
        let event = log.events.first().map(|event| event.index);
        let used = ledger.items[..place]
            .iter()
            .any(|earlier| earlier.output_index == log.output_index);
        if used {
            out.add(
                &DENSE,
                event,
                "a new item takes an output_index that is in use",
                next.to_string(),
                log.output_index.to_string(),
            );
            next = next.saturating_add(1);
            continue;
        }
        if log.output_index != next {
            out.add(
                &DENSE,
                event,
                "a new item does not take the next output_index",
                next.to_string(),
                log.output_index.to_string(),
            );
        }
        // Count on from what came, so that one gap is reported once.
        next = log.output_index.saturating_add(1);
    }
}

fn announced(ledger: &Ledger<'_>, log: &ItemLog<'_>, out: &mut Collector<'_>) {
    let Some(first) = log.events.first() else {
        return;
    };
    match log.added.first() {
        None if ledger.lossy => {}
        None => out.add(
            &ADDED_FIRST,
            Some(first.index),
            format!("item {} was never announced", log.output_index),
            "response.output_item.added",
            first.kind,
        ),
        Some((added, _)) if *added > first.index => out.add(
            &ADDED_FIRST,
            Some(first.index),
            format!(
                "an event of item {} comes before it is announced",
                log.output_index
            ),
            "response.output_item.added",
            first.kind,
        ),
        Some(_) => {}
    }
    for (index, _) in log.added.iter().skip(1) {
        out.add(
            &ADDED_ONCE,
            Some(*index),
            format!("item {} is announced again", log.output_index),
            "once",
            format!("{} times", log.added.len()),
        );
    }
}

fn finished(ledger: &Ledger<'_>, log: &ItemLog<'_>, out: &mut Collector<'_>) {
    let Some((done, _)) = log.done.first() else {
        if ledger.is_completed() {
            out.add(
                &DONE_ONCE,
                log.added.first().map(|(index, _)| *index),
                format!(
                    "item {} ({}) is announced and never finished",
                    log.output_index,
                    log.kind()
                ),
                "response.output_item.done",
                "none",
            );
        }
        return;
    };
    for (index, _) in log.done.iter().skip(1) {
        out.add(
            &DONE_ONCE,
            Some(*index),
            format!("item {} is finished again", log.output_index),
            "once",
            format!("{} times", log.done.len()),
        );
    }
    for event in &log.events {
        let structural = event.kind.starts_with("response.output_item.");
        if event.index > *done && !structural {
            out.add(
                &AFTER_DONE,
                Some(event.index),
                format!(
                    "an event of item {} comes after it is finished",
                    log.output_index
                ),
                "nothing",
                event.kind,
            );
        }
    }
}

fn ids(log: &ItemLog<'_>, out: &mut Collector<'_>) {
    let Some((added, item)) = log.added.first() else {
        return;
    };
    let Some(id) = text(item, "id").filter(|id| !id.is_empty()) else {
        out.add(
            &ID_STABLE,
            Some(*added),
            format!("item {} has no id", log.output_index),
            "a non-empty id",
            show(item.get("id")),
        );
        return;
    };
    for event in &log.events {
        let named = match event.data.get("item") {
            Some(item) => item.get("id"),
            None => event.data.get("item_id"),
        };
        // Some events (the commands of a shell call) name their item by its index alone.
        if let Some(named) = named
            && named.as_str() != Some(id)
        {
            out.add(
                &ID_STABLE,
                Some(event.index),
                format!("item {} is named by another id", log.output_index),
                id,
                show(Some(named)),
            );
        }
    }
}

fn unique_ids(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    for (place, log) in ledger.items.iter().enumerate() {
        let id = log.id().filter(|id| !id.is_empty());
        let earlier = ledger.items[..place]
            .iter()
            .find(|earlier| id.is_some() && earlier.id() == id);
        if let (Some(id), Some(earlier)) = (id, earlier) {
            out.add(
                &ID_UNIQUE,
                log.added.first().map(|(index, _)| *index),
                format!(
                    "items {} and {} have the same id",
                    earlier.output_index, log.output_index
                ),
                "an id of its own",
                id,
            );
        }
    }
}

fn final_ids(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let Some((event, _)) = ledger.response else {
        return;
    };
    let mut logs: Vec<&ItemLog<'_>> = ledger.items.iter().collect();
    logs.sort_by_key(|log| log.output_index);
    let output = ledger.output();
    if logs.len() != output.len() {
        return;
    }
    let known = |value: &Value| logs.iter().any(|log| log.id() == text(value, "id"));
    for (log, item) in logs.iter().zip(output) {
        // An item that stands elsewhere in the final output is a matter of order.
        if log.id().is_some() && !known(item) {
            out.add(
                &ID_STABLE,
                Some(event),
                format!(
                    "item {} has another id in the final output",
                    log.output_index
                ),
                show(log.added.first().and_then(|(_, item)| item.get("id"))),
                show(item.get("id")),
            );
        }
    }
}

fn identity(log: &ItemLog<'_>, out: &mut Collector<'_>) {
    let (Some((_, added)), Some((index, done))) = (log.added.first(), log.done.first()) else {
        return;
    };
    for key in ["type", "role", "name", "call_id", "namespace"] {
        // What was not known yet when the item was announced may be filled in later.
        let Some(before) = added.get(key).filter(|value| !value.is_null()) else {
            continue;
        };
        if done.get(key) != Some(before) {
            out.add(
                &IDENTITY,
                Some(*index),
                format!(
                    "the {key} of item {} changes between announced and finished",
                    log.output_index
                ),
                show(Some(before)),
                show(done.get(key)),
            );
        }
    }
}

fn status(ledger: &Ledger<'_>, log: &ItemLog<'_>, out: &mut Collector<'_>) {
    for (index, item) in log.added.first().into_iter().chain(log.done.first()) {
        let status = item.get("status").filter(|status| !status.is_null());
        if status.is_some_and(|status| !status.is_string()) {
            out.add(
                &STATUS,
                Some(*index),
                format!("the status of item {} is no word", log.output_index),
                "a status word",
                show(status),
            );
        }
    }
    if let Some((index, item)) = log.added.first() {
        let status = text(item, "status");
        // Results that a provider's own tools produced are complete when they appear.
        let whole = log.kind() == "program" || log.kind().ends_with("_output");
        if status.is_some_and(|status| status != "in_progress" && !whole) {
            out.add(
                &STATUS,
                Some(*index),
                format!(
                    "item {} ({}) is announced with a final status",
                    log.output_index,
                    log.kind()
                ),
                "in_progress",
                show(item.get("status")),
            );
        }
    }
    let Some((index, item)) = log.done.first() else {
        return;
    };
    let Some(status) = text(item, "status") else {
        return;
    };
    // A call that a program makes runs on while the response ends.
    if item.get("caller").is_some_and(|caller| !caller.is_null()) {
        return;
    }
    let completed = ledger
        .terminal
        .is_some_and(|event| event.kind == "response.completed");
    let message = match status {
        "completed" | "failed" => return,
        "incomplete" if !completed => {
            if ledger
                .items
                .iter()
                .any(|one| one.output_index > log.output_index)
            {
                out.add(
                    &STATUS,
                    Some(*index),
                    format!("item {} is incomplete and not the last", log.output_index),
                    "nothing after an incomplete item",
                    "another item",
                );
            }
            return;
        }
        "incomplete" => format!(
            "item {} is incomplete though the response is completed",
            log.output_index
        ),
        _ => format!(
            "item {} ({}) is finished with a status that is not final",
            log.output_index,
            log.kind()
        ),
    };
    out.add(
        &STATUS,
        Some(*index),
        message,
        if completed {
            "completed or failed"
        } else {
            "completed, incomplete or failed"
        },
        status,
    );
}
