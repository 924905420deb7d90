//! The rules of InvokeModel answers that carry chat completions: those of chat, and the carrier's own.
//!
//! Core. The chat rules read the same chunks; what only server-sent events have (their marker, their
//! content type) is not asked for here.

use serde_json::Value;

use crate::check::finding::{Finding, Rule};
use crate::check::rules::collect::{Collector, show};
use crate::check::rules::{Subject, chat, must, should};

/// Where the shapes are written down.
const MODEL: &str = "service model bedrock-runtime of botocore 1.44.5 (read 2026-11-21)";
/// Seen in recorded streams of other models of the endpoint; nobody published one of these.
const METRICS: &str =
    "amazon-bedrock-invocationMetrics in streams of many clients' fixtures (read 2026-11-21)";

static CONTENT_TYPE: Rule = must(
    "invoke/content-type",
    "A stream is application/vnd.amazon.eventstream, a plain answer application/json.",
    MODEL,
);
static COUNTS: Rule = must(
    "invoke/metrics-counts",
    "The metrics count tokens and milliseconds in whole numbers, none below 0.",
    METRICS,
);
static LAST: Rule = should(
    "invoke/metrics-last",
    "The metrics come once, in the last chunk.",
    METRICS,
);
static AGREE: Rule = should(
    "invoke/metrics-agree",
    "The metrics count the same tokens as the usage, where both are told.",
    METRICS,
);

pub static RULES: &[&Rule] = &[&CONTENT_TYPE, &COUNTS, &LAST, &AGREE];

/// The counts that metrics have.
const KEYS: [&str; 6] = [
    "inputTokenCount",
    "outputTokenCount",
    "invocationLatency",
    "firstByteLatency",
    "cacheReadInputTokenCount",
    "cacheWriteInputTokenCount",
];

/// Checks an answer; says whether metrics counted its tokens, so that the usage need not.
pub(crate) fn check(subject: &Subject<'_>, out: &mut Collector<'_>) -> bool {
    // Frames have no `data: [DONE]`, and are declared as something else.
    let chunks = Subject {
        framed: false,
        head: None,
        ..*subject
    };
    chat::check(&chunks, out);
    content_type(subject, out);
    if !subject.streamed {
        return false;
    }
    metrics(subject, out)
}

/// Whether a finding falls away because metrics told the tokens: they are the usage of this answer, and a
/// chunk that has them says something.
pub(crate) fn is_told_by_metrics(finding: &Finding, subject: &Subject<'_>) -> bool {
    let has_metrics = || {
        let event = finding
            .evidence
            .event
            .and_then(|at| subject.events.get(at))?;
        metrics_of(event.json()?)
    };
    match finding.rule.as_str() {
        "chat/usage-present" => true,
        "chat/chunk-says-something" => has_metrics().is_some(),
        _ => false,
    }
}

/// The metrics of a chunk, under a key with a vendor's prefix.
fn metrics_of(chunk: &Value) -> Option<&Value> {
    let mut fields = chunk.as_object()?.iter();
    let (_, metrics) = fields.find(|(key, _)| key.ends_with("-invocationMetrics"))?;
    Some(metrics)
}

fn content_type(subject: &Subject<'_>, out: &mut Collector<'_>) {
    let Some(head) = subject.head else { return };
    let expected = if subject.streamed {
        "application/vnd.amazon.eventstream"
    } else {
        "application/json"
    };
    let got = head.header("content-type").unwrap_or("absent");
    let essence = got.split(';').next().unwrap_or(got).trim();
    if !essence.eq_ignore_ascii_case(expected) {
        out.add(
            &CONTENT_TYPE,
            None,
            "the answer is declared as something else",
            expected,
            got,
        );
    }
}

fn metrics(subject: &Subject<'_>, out: &mut Collector<'_>) -> bool {
    let told: Vec<(usize, &Value)> = subject
        .events
        .iter()
        .enumerate()
        .filter_map(|(at, event)| Some((at, metrics_of(event.json()?)?)))
        .collect();
    for (at, metrics) in &told {
        let wrong = KEYS.iter().find(|key| {
            let needed = key.ends_with("putTokenCount") && !key.starts_with("cache");
            match metrics.get(**key) {
                Some(value) => value.as_u64().is_none(),
                None => needed,
            }
        });
        if let Some(key) = wrong {
            out.add(
                &COUNTS,
                Some(*at),
                format!("{key} of the metrics is no count"),
                "a whole number, not negative",
                show(metrics.get(*key)),
            );
        }
    }
    let last = subject.events.len().saturating_sub(1);
    let misplaced = told
        .iter()
        .enumerate()
        .find(|(number, (at, _))| *number > 0 || *at != last);
    if let Some((_, (at, _))) = misplaced {
        out.add(
            &LAST,
            Some(*at),
            "metrics come twice, or before the last chunk",
            "once, in the last chunk",
            format!("{} times", told.len()),
        );
    }
    agree(subject, told.first().copied(), out);
    told.iter().any(|(_, metrics)| {
        metrics["inputTokenCount"].as_u64().is_some()
            && metrics["outputTokenCount"].as_u64().is_some()
    })
}

fn agree(subject: &Subject<'_>, told: Option<(usize, &Value)>, out: &mut Collector<'_>) {
    let mut usages = subject
        .events
        .iter()
        .filter_map(|event| event.json()?.get("usage").filter(|usage| !usage.is_null()));
    let (Some((at, metrics)), Some(usage)) = (told, usages.next_back()) else {
        return;
    };
    for (key, other) in [
        ("inputTokenCount", "prompt_tokens"),
        ("outputTokenCount", "completion_tokens"),
    ] {
        if let (Some(one), Some(two)) = (metrics[key].as_u64(), usage[other].as_u64())
            && one != two
        {
            out.add(
                &AGREE,
                Some(at),
                format!("{key} of the metrics is not {other} of the usage"),
                two.to_string(),
                one.to_string(),
            );
        }
    }
}
