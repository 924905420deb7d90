//! Rules of runs of text: what was sent in pieces is what the done events, the finished item and
//! the final output say.
//!
//! Where several places disagree, the odd one out is named; it must never report every place that
//! differs from a single wrong one.

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::collect::{Collector, difference};
use crate::check::rules::final_object::{OUTPUT_MATCHES, partner};
use crate::check::rules::ledger::{Axis, ItemLog, Ledger, Strand, StrandKind, text};
use crate::check::rules::parts::is_dense;
use crate::check::rules::{info, must, should};

const EVENTS: &str = "OpenAI API reference, Responses streaming events (2026-08-21)";

static TEXT: Rule = must(
    "responses/text-adds-up",
    "The deltas of a text add up to what its done event, its part and its item say.",
    EVENTS,
);
static REFUSAL: Rule = must(
    "responses/refusal-adds-up",
    "The deltas of a refusal add up to what its done event, its part and its item say.",
    EVENTS,
);
static REASONING: Rule = must(
    "responses/reasoning-text-adds-up",
    "The deltas of a reasoning text add up to what its done event and its item say.",
    EVENTS,
);
static SUMMARY: Rule = must(
    "responses/summary-adds-up",
    "The deltas of a reasoning summary add up to what its done event, its part and its item say.",
    EVENTS,
);
static ARGUMENTS: Rule = must(
    "responses/arguments-add-up",
    "The deltas of a call's arguments add up to what the done event and the finished item say.",
    EVENTS,
);
static INPUT: Rule = must(
    "responses/custom-input-adds-up",
    "The deltas of a custom tool's input add up to what the done event and the finished item say.",
    EVENTS,
);
static CODE: Rule = must(
    "responses/hosted-input-adds-up",
    "The deltas of a hosted tool's code or arguments add up to what the done event and the item say.",
    EVENTS,
);
static IN_DELTAS: Rule = should(
    "responses/text-in-deltas",
    "Text, arguments and input come in at least one delta, not in done events alone.",
    "OpenAI API reference, Responses streaming events (2026-08-21); clients that show only deltas",
);
static EMPTY: Rule = info(
    "responses/no-empty-deltas",
    "A delta carries something.",
    "the xAI recording of a search has empty ones (2026-08-22)",
);

static REPEATS: Rule = should(
    "responses/messages-do-not-repeat",
    "A message does not begin with the whole text of the message before it.",
    "NousResearch/hermes-agent issue 41321: each of 59 messages repeats the last and adds to it",
);

/// A shorter text may be the same by chance ("Done.").
const WORTH_COMPARING: usize = 16;

pub static RULES: &[&Rule] = &[
    &TEXT, &REFUSAL, &REASONING, &SUMMARY, &ARGUMENTS, &INPUT, &CODE, &IN_DELTAS, &REPEATS, &EMPTY,
];

/// One place that says what a run of text is.
struct Witness<'a> {
    place: &'static str,
    event: usize,
    text: String,
    rule: &'a Rule,
}

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    if ledger.lossy {
        return;
    }
    for log in &ledger.items {
        if !is_dense(log) {
            continue;
        }
        for strand in &log.strands {
            if let Some(kind) = strand.kind {
                adds_up(ledger, log, strand, kind, out);
                deltas(log, strand, kind, out);
            }
        }
        in_item_alone(log, out);
    }
    repeats(ledger, out);
}

fn repeats(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    let mut before: Option<&str> = None;
    for (event, item) in ledger.finished_items() {
        if text(item, "type") != Some("message") {
            continue;
        }
        let now = StrandKind::Text.in_item(item, 0);
        if let (Some(before), Some(now)) = (before, now)
            && before.chars().count() >= WORTH_COMPARING
            && now.starts_with(before)
        {
            out.add(
                &REPEATS,
                Some(event),
                "a message begins with the whole text of the message before it",
                "new text",
                now,
            );
        }
        before = now;
    }
}

/// Text that stands in a finished item and was never sent as such.
fn in_item_alone(log: &ItemLog<'_>, out: &mut Collector<'_>) {
    let Some((event, item)) = log.done.first() else {
        return;
    };
    let (axis, kinds): (Axis, &[StrandKind]) = match log.kind() {
        "message" => (Axis::Content, &[StrandKind::Text, StrandKind::Refusal]),
        "function_call" => (Axis::Whole, &[StrandKind::Arguments]),
        "custom_tool_call" => (Axis::Whole, &[StrandKind::Input]),
        _ => return,
    };
    if log.strands.iter().any(|strand| strand.axis == axis) {
        return;
    }
    for kind in kinds {
        if kind.in_item(item, 0).is_some_and(|text| !text.is_empty()) {
            out.add(
                &IN_DELTAS,
                Some(*event),
                format!(
                    "the {} of item {} come in the finished item alone",
                    kind.words(),
                    log.output_index
                ),
                "at least one delta",
                "none",
            );
        }
    }
}

fn adds_up(
    ledger: &Ledger<'_>,
    log: &ItemLog<'_>,
    strand: &Strand<'_>,
    kind: StrandKind,
    out: &mut Collector<'_>,
) {
    let rule = match kind {
        StrandKind::Text => &TEXT,
        StrandKind::Refusal => &REFUSAL,
        StrandKind::ReasoningText => &REASONING,
        StrandKind::Summary => &SUMMARY,
        StrandKind::Arguments => &ARGUMENTS,
        StrandKind::Input => &INPUT,
        StrandKind::McpArguments | StrandKind::Code => &CODE,
    };
    let mut witnesses = Vec::new();
    let closed = !strand.dones.is_empty() || !log.done.is_empty();
    if let Some((event, _)) = strand.deltas.last()
        && closed
        && !strand.unreadable
    {
        witnesses.push(Witness {
            place: "the deltas",
            event: *event,
            text: strand.deltas.iter().map(|(_, piece)| *piece).collect(),
            rule,
        });
    }
    if let Some((event, Some(whole))) = strand.dones.first() {
        witnesses.push(Witness {
            place: "the done event",
            event: *event,
            text: (*whole).to_owned(),
            rule,
        });
    }
    if let Some((event, part)) = strand.part_dones.first()
        && let Some(whole) = text(part, kind.field())
    {
        witnesses.push(Witness {
            place: "the finished part",
            event: *event,
            text: whole.to_owned(),
            rule,
        });
    }
    if let Some((event, item)) = log.done.first() {
        let in_item = kind.in_item(item, strand.index);
        // Raw reasoning text need not stand in the finished item; the rest must.
        let optional = matches!(kind, StrandKind::ReasoningText | StrandKind::Code);
        let judged = in_item.is_none() && is_judged(kind, item, strand.index);
        if in_item.is_some() || !optional && !judged {
            witnesses.push(Witness {
                place: "the finished item",
                event: *event,
                text: in_item.unwrap_or_default().to_owned(),
                rule,
            });
        }
        if let Some((event, last)) = partner(ledger, log) {
            let in_last = kind.in_item(last, strand.index);
            // A part that is not there at all is missed where parts are counted.
            let lost = kind
                .holder(last, strand.index)
                .is_some_and(|holder| !kind.is_other_part(holder));
            if in_last.is_some() || lost && !judged && (!optional || in_item.is_some()) {
                witnesses.push(Witness {
                    place: "the final output",
                    event,
                    text: in_last.unwrap_or_default().to_owned(),
                    rule: &OUTPUT_MATCHES,
                });
            }
        }
    }
    report_odd_ones(log, kind, &witnesses, out);
}

/// Whether the lack of a text in the finished item has a finding of its own.
fn is_judged(kind: StrandKind, item: &Value, index: i64) -> bool {
    match kind.holder(item, index) {
        Some(_) if kind == StrandKind::Arguments => text(item, "type") == Some("function_call"),
        Some(holder) => kind.is_other_part(holder),
        None => false,
    }
}

fn report_odd_ones(
    log: &ItemLog<'_>,
    kind: StrandKind,
    witnesses: &[Witness<'_>],
    out: &mut Collector<'_>,
) {
    let votes = |text: &str| witnesses.iter().filter(|one| one.text == text).count();
    // The first of those with the most votes: on a tie, what was sent first.
    let Some(agreed) = witnesses.iter().rev().max_by_key(|one| votes(&one.text)) else {
        return;
    };
    let mut item_differs = None;
    for one in witnesses {
        if one.text == agreed.text {
            continue;
        }
        // A final output that repeats the finished item's mistake is not a second mistake.
        if one.place == "the final output" && item_differs == Some(&one.text) {
            continue;
        }
        if one.place == "the finished item" {
            item_differs = Some(&one.text);
        }
        let (expected, got) = difference(&agreed.text, &one.text);
        out.add(
            one.rule,
            Some(one.event),
            format!(
                "{} of item {}: {} and {} differ",
                kind.words(),
                log.output_index,
                agreed.place,
                one.place
            ),
            expected,
            got,
        );
    }
}

fn deltas(log: &ItemLog<'_>, strand: &Strand<'_>, kind: StrandKind, out: &mut Collector<'_>) {
    if let Some((event, Some(whole))) = strand.dones.first()
        && strand.deltas.is_empty()
        && !whole.is_empty()
    {
        out.add(
            &IN_DELTAS,
            Some(*event),
            format!(
                "the {} of item {} come in no delta",
                kind.words(),
                log.output_index
            ),
            "at least one delta",
            "none",
        );
    }
    for (event, piece) in &strand.deltas {
        if piece.is_empty() {
            out.add(
                &EMPTY,
                Some(*event),
                format!("an empty delta in item {}", log.output_index),
                "",
                "",
            );
        }
    }
}
