//! Rules of `sequence_number`: present, growing, without gaps.
//!
//! It must never report one lost number once per event that follows.

use crate::check::finding::Rule;
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::ledger::Ledger;
use crate::check::rules::{must, should};

const SOURCE: &str =
    "OpenAI API reference, Responses streaming events (2026-08-21); OpenResponses 2026-04-24";

static PRESENT: Rule = should(
    "responses/sequence-number-present",
    "Every event has a sequence_number.",
    SOURCE,
);
static GROWS: Rule = must(
    "responses/sequence-number-grows",
    "sequence_number is an integer that grows from event to event.",
    SOURCE,
);
pub static GAPS: Rule = should(
    "responses/sequence-number-without-gaps",
    "sequence_number grows by 1, so that a reader can notice a lost event.",
    "OpenResponses specification 2026-04-24; every unedited recording (2026-08-22)",
);
static STARTS: Rule = should(
    "responses/sequence-number-starts-at-0",
    "sequence_number starts at 0, so that a reader can notice a lost beginning.",
    "OpenResponses specification 2026-04-24; every unedited recording (2026-08-22)",
);

pub static RULES: &[&Rule] = &[&PRESENT, &GROWS, &GAPS, &STARTS];

pub fn check(ledger: &Ledger<'_>, out: &mut Collector<'_>) {
    if !ledger.subject.streamed {
        return;
    }
    let mut last: Option<i64> = None;
    let mut missing = Vec::new();
    for event in &ledger.events {
        // Vendors' own events need not take part in the count.
        let optional = event.kind.contains(':');
        let Some(value) = event.data.get("sequence_number") else {
            if !optional {
                missing.push(event.index);
            }
            continue;
        };
        let Some(number) = value.as_i64() else {
            out.add(
                &GROWS,
                Some(event.index),
                "sequence_number is not an integer",
                "an integer",
                show(Some(value)),
            );
            continue;
        };
        match last {
            Some(before) if number <= before => out.add(
                &GROWS,
                Some(event.index),
                "sequence_number does not grow",
                format!("more than {before}"),
                number.to_string(),
            ),
            // A vendor's event or an unreadable one may have taken the number in between.
            Some(before)
                if number > before.saturating_add(1) && missing.is_empty() && !ledger.lossy =>
            {
                out.add(
                    &GAPS,
                    Some(event.index),
                    "sequence_number leaves a gap: an event may be lost",
                    (before.saturating_add(1)).to_string(),
                    number.to_string(),
                )
            }
            None if number != 0 && missing.is_empty() && !ledger.lossy => out.add(
                &STARTS,
                Some(event.index),
                "sequence_number does not start at 0",
                "0",
                number.to_string(),
            ),
            _ => {}
        }
        // After a number that did not grow, count on as if it had: the next one is not a gap.
        last = Some(match last {
            Some(before) if number <= before => before.saturating_add(1),
            _ => number,
        });
    }
    if let Some(first) = missing.first() {
        let all = ledger.events.len();
        out.add(
            &PRESENT,
            Some(*first),
            "events have no sequence_number",
            "an integer in every event",
            format!("none in {} of {all} events", missing.len()),
        );
    }
}
