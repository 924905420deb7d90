//! Rules of parts: content and summary parts are announced, numbered densely, closed in order.
//!
//! What the text of a part says is the matter of `strands`.

use serde_json::Value;

use crate::check::finding::Rule;
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::final_object::partner;
use crate::check::rules::ledger::{Axis, Event, ItemLog, Ledger, Strand, StrandKind};
use crate::check::rules::must;

const EVENTS: &str = "OpenAI API reference, Responses streaming events (2026-08-21)";

static ADDED_FIRST: Rule = must(
    "responses/part-added-first",
    "A part is announced once, empty, before its text.",
    "vLLM issue 45742: openai-python fails on text without a part",
);
static DENSE: Rule = must(
    "responses/part-index-dense",
    "The parts of an item take the indexes 0, 1, 2 and so on.",
    "vLLM issue 45742: openai-python fails on an index past the end",
);
static CLOSED: Rule = must(
    "responses/part-closed-once",
    "A part is closed once: its text by one done event, then the part by another.",
    EVENTS,
);
static ORDER: Rule = must(
    "responses/part-closed-in-order",
    "The text of a part is closed after its last delta, then the part, then the item.",
    EVENTS,
);
static ANNOTATIONS: Rule = must(
    "responses/annotations-match",
    "Annotations are numbered from 0 and stand in the finished part as they were sent.",
    EVENTS,
);

static TYPE: Rule = must(
    "responses/part-type-kept",
    "A part has the type of its text wherever it stands: announced, finished, in its item and at the end.",
    "OpenAI API reference, Responses streaming events (2026-08-21); clients pick the text by the type",
);

pub static RULES: &[&Rule] = &[&ADDED_FIRST, &DENSE, &TYPE, &CLOSED, &ORDER, &ANNOTATIONS];

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    for log in &ledger.items {
        // An item that was never announced has its finding; its parts have nothing to stand on.
        if log.added.is_empty() || ledger.lossy {
            continue;
        }
        indexes(log, out);
        // Text whose part has a wrong index finds nothing where it should be.
        if !is_dense(log) {
            continue;
        }
        for strand in &log.strands {
            announced(log, strand, out);
            types(ledger, log, strand, out);
            closed(ledger, log, strand, out);
            annotations(log, strand, out);
        }
    }
}

/// Whether the announced parts of an item take the indexes 0, 1, 2 and so on.
pub fn is_dense(log: &ItemLog<'_>) -> bool {
    misplaced(log).next().is_none()
}

/// The announced parts that have a wrong index, with the right one.
fn misplaced<'l, 'a>(log: &'l ItemLog<'a>) -> impl Iterator<Item = (i64, &'l Strand<'a>)> {
    [Axis::Content, Axis::Summary].into_iter().flat_map(|axis| {
        let parts = log
            .strands
            .iter()
            .filter(move |strand| strand.axis == axis && !strand.part_added.is_empty());
        (0i64..)
            .zip(parts)
            .filter(|(expected, strand)| strand.index != *expected)
    })
}

fn indexes(log: &ItemLog<'_>, out: &mut Collector<'_>) {
    for (expected, strand) in misplaced(log) {
        out.add(
            &DENSE,
            strand.part_added.first().map(|(index, _)| *index),
            format!("a part of item {} has the wrong index", log.output_index),
            expected.to_string(),
            strand.index.to_string(),
        );
    }
}

fn announced(log: &ItemLog<'_>, strand: &Strand<'_>, out: &mut Collector<'_>) {
    // Servers of open models send raw reasoning text without parts of its own.
    let needs_part = matches!(
        strand.kind,
        Some(StrandKind::Text | StrandKind::Refusal | StrandKind::Summary)
    );
    if !needs_part {
        return;
    }
    let first = first_text(strand);
    match (strand.part_added.first(), first) {
        (None, Some(first)) => out.add(
            &ADDED_FIRST,
            Some(first),
            format!(
                "part {} of item {} has text and was never announced",
                strand.index, log.output_index
            ),
            added_event(strand.axis),
            "none",
        ),
        (Some((added, _)), Some(first)) if first < *added => out.add(
            &ADDED_FIRST,
            Some(first),
            format!(
                "text of part {} of item {} comes before the part is announced",
                strand.index, log.output_index
            ),
            added_event(strand.axis),
            "text",
        ),
        _ => {}
    }
    for (index, _) in strand.part_added.iter().skip(1) {
        out.add(
            &ADDED_FIRST,
            Some(*index),
            format!(
                "part {} of item {} is announced again",
                strand.index, log.output_index
            ),
            "once",
            format!("{} times", strand.part_added.len()),
        );
    }
    if let (Some((index, part)), Some(kind)) = (strand.part_added.first(), strand.kind)
        && part
            .get(kind.field())
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
        && !strand.deltas.is_empty()
    {
        out.add(
            &ADDED_FIRST,
            Some(*index),
            format!(
                "part {} of item {} is announced with text that also comes in deltas",
                strand.index, log.output_index
            ),
            "\"\"",
            show(part.get(kind.field())),
        );
    }
}

fn types(ledger: &Ledger<'_>, log: &ItemLog<'_>, strand: &Strand<'_>, out: &mut Collector<'_>) {
    let Some(kind) = strand.kind else { return };
    if let Some((event, stray)) = strand.strays.first() {
        out.add(
            &TYPE,
            Some(*event),
            format!(
                "a piece of the {} of item {} comes as another kind of text",
                kind.words(),
                log.output_index
            ),
            kind.words(),
            stray.words(),
        );
        return;
    }
    let Some(expected) = kind.part_type() else {
        return;
    };
    let in_item = |(event, item): (usize, &'_ Value)| {
        Some((event, kind.holder(item, strand.index)?.get("type").cloned()))
    };
    let of_part = |(event, part): &(usize, &Value)| {
        part.is_object()
            .then(|| (*event, part.get("type").cloned()))
    };
    let finished = log.done.first().copied().and_then(in_item);
    // A final output that repeats the finished item's mistake is not a second mistake.
    let last = partner(ledger, log)
        .and_then(in_item)
        .filter(|(_, last)| finished.as_ref().is_none_or(|(_, type_)| type_ != last));
    let places = [
        (
            "announced part",
            strand.part_added.first().and_then(of_part),
        ),
        ("finished part", strand.part_dones.first().and_then(of_part)),
        ("part in the finished item", finished),
        ("part in the final output", last),
    ];
    for (place, found) in places {
        let Some((event, type_)) = found else {
            continue;
        };
        if type_.as_ref().and_then(Value::as_str) != Some(expected) {
            out.add(
                &TYPE,
                Some(event),
                format!(
                    "the {place} (part {}, item {}) has another type than its text",
                    strand.index, log.output_index
                ),
                expected,
                show(type_.as_ref()),
            );
        }
    }
}

fn closed(ledger: &Ledger<'_>, log: &ItemLog<'_>, strand: &Strand<'_>, out: &mut Collector<'_>) {
    let place = match strand.axis {
        Axis::Whole => format!("item {}", log.output_index),
        _ => format!("part {} of item {}", strand.index, log.output_index),
    };
    let complete = ledger.is_completed() && !log.done.is_empty();
    let has_part = !strand.part_added.is_empty() || !strand.part_dones.is_empty();
    let has_text = !strand.deltas.is_empty() || !strand.dones.is_empty();
    let what = strand.kind.map_or("text", StrandKind::words);
    if complete && strand.dones.is_empty() && (has_text || has_part) && strand.kind.is_some() {
        out.add(
            &CLOSED,
            strand.deltas.last().map(|(index, _)| *index),
            format!("the {what} of {place} is never closed by a done event"),
            "one done event",
            "none",
        );
    }
    if complete && has_part && strand.part_dones.is_empty() {
        out.add(
            &CLOSED,
            strand.part_added.first().map(|(index, _)| *index),
            format!("{place} is announced and never closed"),
            "one done event of the part",
            "none",
        );
    }
    for (index, _) in strand.dones.iter().skip(1) {
        out.add(
            &CLOSED,
            Some(*index),
            format!("the {what} of {place} is closed again"),
            "once",
            format!("{} times", strand.dones.len()),
        );
    }
    for (index, _) in strand.part_dones.iter().skip(1) {
        out.add(
            &CLOSED,
            Some(*index),
            format!("{place} is closed again"),
            "once",
            format!("{} times", strand.part_dones.len()),
        );
    }
    order(log, strand, what, &place, out);
}

fn order(log: &ItemLog<'_>, strand: &Strand<'_>, what: &str, place: &str, out: &mut Collector<'_>) {
    let item_done = log.done.first().map_or(usize::MAX, |(index, _)| *index);
    // What comes after the item's end is reported there.
    let text_done = strand
        .dones
        .first()
        .map(|(index, _)| *index)
        .filter(|index| *index < item_done);
    let part_done = strand
        .part_dones
        .first()
        .map(|(index, _)| *index)
        .filter(|index| *index < item_done);
    let late = strand
        .deltas
        .iter()
        .map(|(index, _)| *index)
        .find(|index| *index < item_done && text_done.is_some_and(|done| *index > done));
    if let Some(index) = late {
        out.add(
            &ORDER,
            Some(index),
            format!("a delta of {place} comes after its {what} is closed"),
            "deltas before done",
            "delta after done",
        );
    }
    if let (Some(text_done), Some(part_done)) = (text_done, part_done)
        && text_done > part_done
    {
        out.add(
            &ORDER,
            Some(part_done),
            format!("{place} is closed before its {what}"),
            "text, then part, then item",
            "part before text",
        );
    }
}

fn annotations(log: &ItemLog<'_>, strand: &Strand<'_>, out: &mut Collector<'_>) {
    for (expected, event) in (0i64..).zip(&strand.annotations) {
        let index = event.data.get("annotation_index").and_then(Value::as_i64);
        if index != Some(expected) {
            out.add(
                &ANNOTATIONS,
                Some(event.index),
                format!(
                    "an annotation of item {} has the wrong index",
                    log.output_index
                ),
                expected.to_string(),
                show(event.data.get("annotation_index")),
            );
            return;
        }
    }
    let Some((_, part)) = strand.part_dones.first() else {
        return;
    };
    let Some(whole) = part.get("annotations").and_then(Value::as_array) else {
        return;
    };
    if let Some((event, item)) = log.done.first()
        && strand.kind == Some(StrandKind::Text)
        && let Some(holder) = StrandKind::Text.holder(item, strand.index)
        && holder.get("annotations") != part.get("annotations")
    {
        out.add(
            &ANNOTATIONS,
            Some(*event),
            format!(
                "the annotations of part {} of item {} differ in the finished item",
                strand.index, log.output_index
            ),
            show(part.get("annotations")),
            show(holder.get("annotations")),
        );
    }
    if strand.annotations.is_empty() {
        return;
    }
    let sent: Vec<&Event<'_>> = strand.annotations.iter().collect();
    let same = sent.len() == whole.len()
        && sent
            .iter()
            .zip(whole)
            .all(|(event, annotation)| event.data.get("annotation") == Some(annotation));
    if !same {
        out.add(
            &ANNOTATIONS,
            strand.part_dones.first().map(|(index, _)| *index),
            format!(
                "the annotations of part {} of item {} differ from those sent",
                strand.index, log.output_index
            ),
            format!("{} annotations as sent", sent.len()),
            show(part.get("annotations")),
        );
    }
}

fn first_text(strand: &Strand<'_>) -> Option<usize> {
    let delta = strand.deltas.first().map(|(index, _)| *index);
    let done = strand.dones.first().map(|(index, _)| *index);
    delta.into_iter().chain(done).min()
}

fn added_event(axis: Axis) -> &'static str {
    match axis {
        Axis::Summary => "response.reasoning_summary_part.added",
        _ => "response.content_part.added",
    }
}
