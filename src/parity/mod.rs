//! Parity: the traces of one scenario at two targets, and where they differ.
//!
//! Core. Compares what an agent acts on (failures, stops, calls, kinds of items), never the wording of
//! a model. Reads traces only, no dialect's JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::check::finding::{Evidence, Finding, Severity};
use crate::turn::trace::{Call, CallForm, Content, TurnTrace};

/// What differs between a reference and another target, turn by turn.
pub fn compare(reference: &[TurnTrace], other: &[TurnTrace]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, (ours, theirs)) in reference.iter().zip(other).enumerate() {
        let turn = index + 1;
        let mut differ = |rule: &str, severity, what: &str, expected: String, got: String| {
            if expected != got {
                findings.push(Finding {
                    rule: format!("parity/{rule}"),
                    severity,
                    message: format!("{what} differs from the reference"),
                    evidence: Evidence {
                        turn: Some(turn),
                        expected: Some(expected),
                        got: Some(got),
                        ..Evidence::default()
                    },
                    cause: Some("The endpoint or the model behind it behaves differently.".to_owned()),
                    fix: Some(
                        "Run both with --repeat 5 to tell a difference from chance; --show-requests shows that the same was asked."
                            .to_owned(),
                    ),
                });
            }
        };
        differ(
            "failure",
            Severity::Must,
            "the failure class",
            failure(ours),
            failure(theirs),
        );
        if ours.failure.is_some() || theirs.failure.is_some() {
            continue;
        }
        differ(
            "stop",
            Severity::Must,
            "why the turn ended",
            stop(ours),
            stop(theirs),
        );
        differ(
            "calls",
            Severity::Must,
            "what was called",
            calls(ours),
            calls(theirs),
        );
        differ(
            "kinds",
            Severity::Should,
            "the kinds of output",
            kinds(ours),
            kinds(theirs),
        );
        differ(
            "usage-reported",
            Severity::Should,
            "whether tokens are reported",
            ours.usage.is_some().to_string(),
            theirs.usage.is_some().to_string(),
        );
        differ(
            "arguments",
            Severity::Info,
            "what the calls are given",
            arguments(ours),
            arguments(theirs),
        );
        differ(
            "reasoning-items",
            Severity::Info,
            "whether reasoning items came",
            reasoning(ours).to_string(),
            reasoning(theirs).to_string(),
        );
    }
    if reference.len() != other.len() {
        findings.push(Finding {
            rule: "parity/turns".to_owned(),
            severity: Severity::Must,
            message: "the conversation has another number of turns than the reference".to_owned(),
            evidence: Evidence {
                expected: Some(reference.len().to_string()),
                got: Some(other.len().to_string()),
                ..Evidence::default()
            },
            cause: None,
            fix: None,
        });
    }
    findings
}

fn failure(trace: &TurnTrace) -> String {
    trace
        .failure
        .as_ref()
        .map_or_else(|| "none".to_owned(), |failure| failure.class.clone())
}

fn stop(trace: &TurnTrace) -> String {
    trace
        .stop
        .map_or_else(|| "not said".to_owned(), |stop| stop.word().to_owned())
}

/// Names and counts, in the order of names: models order parallel calls as they like.
fn calls(trace: &TurnTrace) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for call in trace.calls() {
        *counts.entry(&call.name).or_default() += 1;
    }
    let parts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name} ×{count}"))
        .collect();
    or_none(parts.join(", "))
}

/// Which kinds of output there are, whatever their number; reasoning is compared by itself.
fn kinds(trace: &TurnTrace) -> String {
    let mut kinds: Vec<&str> = trace
        .items
        .iter()
        .filter_map(|item| match &item.content {
            Content::Text { text } if text.is_empty() => None,
            Content::Text { .. } => Some("text"),
            Content::Refusal { .. } => Some("refusal"),
            Content::Call(_) => Some("call"),
            Content::Other { kind } => Some(kind),
            Content::Reasoning { .. } => None,
        })
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    or_none(kinds.join(", "))
}

fn arguments(trace: &TurnTrace) -> String {
    let mut all: Vec<String> = trace
        .calls()
        .map(|call| format!("{} {}", call.name, meaning(call)))
        .collect();
    all.sort_unstable();
    or_none(all.join("; "))
}

/// Arguments without what JSON does not mean: white space and the order of keys.
fn meaning(call: &Call) -> String {
    if call.form == CallForm::Custom {
        return call.arguments.clone();
    }
    match serde_json::from_str::<Value>(&call.arguments) {
        Ok(value) => sorted(value).to_string(),
        Err(_) => call.arguments.clone(),
    }
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted_map: BTreeMap<String, Value> = map
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            Value::Object(sorted_map.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

fn reasoning(trace: &TurnTrace) -> bool {
    trace
        .items
        .iter()
        .any(|item| matches!(item.content, Content::Reasoning { .. }))
}

fn or_none(text: String) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::parity::compare;
    use crate::turn::trace::{
        Call, CallForm, Content, Failure, Item, Layer, Stop, TurnTrace, Usage,
    };

    fn item(content: Content) -> Item {
        Item {
            id: None,
            content,
            wire: Value::Null,
            started: None,
            ended: None,
        }
    }

    fn call(name: &str, arguments: &str) -> Item {
        item(Content::Call(Call {
            call_id: "c".to_owned(),
            name: name.to_owned(),
            namespace: None,
            arguments: arguments.to_owned(),
            form: CallForm::Function,
        }))
    }

    fn trace(items: Vec<Item>, stop: Stop) -> TurnTrace {
        TurnTrace {
            items,
            stop: Some(stop),
            usage: Some(Usage::default()),
            ..TurnTrace::default()
        }
    }

    fn rules(ours: TurnTrace, theirs: TurnTrace) -> Vec<String> {
        compare(&[ours], &[theirs])
            .into_iter()
            .map(|finding| finding.rule)
            .collect()
    }

    #[test]
    fn wording_and_the_order_of_keys_and_calls_do_not_matter() {
        let ours = trace(
            vec![
                item(Content::Text {
                    text: "Let me see.".to_owned(),
                }),
                call("a", r#"{"x":1,"y":2}"#),
                call("b", "{}"),
            ],
            Stop::ToolCalls,
        );
        let theirs = trace(
            vec![
                item(Content::Text {
                    text: "Looking.".to_owned(),
                }),
                call("b", "{ }"),
                call("a", r#"{ "y": 2, "x": 1 }"#),
            ],
            Stop::ToolCalls,
        );
        assert_eq!(rules(ours, theirs), [] as [String; 0]);
    }

    #[test]
    fn what_an_agent_acts_on_matters() {
        let good = || trace(vec![call("a", "{}")], Stop::ToolCalls);
        let text = || {
            trace(
                vec![item(Content::Text {
                    text: "no".to_owned(),
                })],
                Stop::End,
            )
        };
        assert_eq!(
            rules(good(), text()),
            [
                "parity/stop",
                "parity/calls",
                "parity/kinds",
                "parity/arguments"
            ]
        );
        assert_eq!(
            rules(
                good(),
                trace(vec![call("a", r#"{"x":1}"#)], Stop::ToolCalls)
            ),
            ["parity/arguments"]
        );
        let mut unmetered = good();
        unmetered.usage = None;
        assert_eq!(rules(good(), unmetered), ["parity/usage-reported"]);
        let mut failed = good();
        failed.failure = Some(Failure {
            class: "throttled".to_owned(),
            layer: Layer::Response,
            status: Some(429),
            code: None,
            kind: None,
            param: None,
            message: String::new(),
            retry_after: None,
        });
        assert_eq!(rules(good(), failed), ["parity/failure"]);
        assert_eq!(compare(&[good()], &[]).len(), 1);
    }
}
