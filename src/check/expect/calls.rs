//! Expected calls against those that came: every one has its partner, in any order.
//!
//! It looks for the pairing that explains most; it must never blame an order.

use serde_json::Value;

use crate::check::matcher::{breaks, describe, equal, mismatch};
use crate::check::rules::collect::{cut, show};
use crate::scenario::model::CallExpectation;
use crate::turn::trace::Call;

/// What is wrong with the calls of an answer.
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) expected: String,
    pub(crate) got: String,
}

/// What is wrong; nothing when each expected call has a call of its own and none is left over.
pub(crate) fn problems(wanted: &[CallExpectation], got: &[&Call]) -> Vec<Problem> {
    let fits: Vec<Vec<bool>> = wanted
        .iter()
        .map(|one| {
            got.iter()
                .map(|call| differences(one, call).is_empty())
                .collect()
        })
        .collect();
    let partners = pair(&fits, got.len());
    let mut missing: Vec<&CallExpectation> = wanted
        .iter()
        .enumerate()
        .filter(|(place, _)| !partners.contains(&Some(*place)))
        .map(|(_, one)| one)
        .collect();
    let mut surplus: Vec<&Call> = got
        .iter()
        .zip(&partners)
        .filter(|(_, partner)| partner.is_none())
        .map(|(call, _)| *call)
        .collect();
    let mut out = Vec::new();
    // A call of the right tool with other arguments is one problem, not a missing and a surplus call.
    missing.retain(|one| {
        let nearest = surplus
            .iter()
            .enumerate()
            .filter(|(_, call)| call.name == one.name)
            .min_by_key(|(_, call)| differences(one, call).len())
            .map(|(place, _)| place);
        let Some(place) = nearest else {
            return true;
        };
        let call = surplus.remove(place);
        out.push(Problem {
            message: format!(
                "{} was called otherwise than expected: {}",
                one.name,
                differences(one, call).join("; ")
            ),
            expected: words(one),
            got: call_words(call),
        });
        false
    });
    for one in missing {
        out.push(Problem {
            message: format!("{} was not called", one.name),
            expected: words(one),
            got: all(got),
        });
    }
    for call in surplus {
        out.push(Problem {
            message: format!("{} was called and should not have been", call.name),
            expected: if wanted.is_empty() {
                "no call".to_owned()
            } else {
                wanted.iter().map(words).collect::<Vec<_>>().join(", ")
            },
            got: call_words(call),
        });
    }
    out
}

/// For each call the expectation it fulfils, such that as many as possible are fulfilled: a call
/// that fits several expectations must not take the only one of another.
fn pair(fits: &[Vec<bool>], calls: usize) -> Vec<Option<usize>> {
    let mut partners = vec![None; calls];
    for wanted in 0..fits.len() {
        let mut tried = vec![false; calls];
        place(wanted, fits, &mut partners, &mut tried);
    }
    partners
}

fn place(
    wanted: usize,
    fits: &[Vec<bool>],
    partners: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for call in 0..partners.len() {
        if !fits[wanted][call] || tried[call] {
            continue;
        }
        tried[call] = true;
        let free = match partners[call] {
            None => true,
            Some(other) => place(other, fits, partners, tried),
        };
        if free {
            partners[call] = Some(wanted);
            return true;
        }
    }
    false
}

fn differences(wanted: &CallExpectation, call: &Call) -> Vec<String> {
    if wanted.name != call.name {
        return vec![format!("it is {}", call.name)];
    }
    let mut out = Vec::new();
    let needs_json = !wanted.arguments.is_empty()
        || wanted.arguments_equal.is_some()
        || wanted.arguments_schema.is_some();
    if needs_json {
        match serde_json::from_str::<Value>(&call.arguments) {
            Err(error) => out.push(format!("its arguments are not JSON: {error}")),
            Ok(arguments) => arguments_differ(wanted, &arguments, &mut out),
        }
    }
    if let Some(matcher) = &wanted.input
        && let Some(why) = mismatch(matcher, &Value::from(call.arguments.as_str()))
    {
        out.push(format!("its input is not as expected: {why}"));
    }
    out
}

fn arguments_differ(wanted: &CallExpectation, arguments: &Value, out: &mut Vec<String>) {
    for (name, matcher) in &wanted.arguments {
        match arguments.get(name) {
            None => out.push(format!("argument {name} is absent")),
            Some(value) => {
                if let Some(why) = mismatch(matcher, value) {
                    out.push(format!("argument {name}: {why}"));
                }
            }
        }
    }
    if let Some(whole) = &wanted.arguments_equal
        && !equal(whole, arguments)
    {
        out.push(format!("its arguments are not {}", show(Some(whole))));
    }
    if let Some(schema) = &wanted.arguments_schema
        && let Some(why) = breaks(schema, arguments)
    {
        out.push(format!("its arguments break the schema: {why}"));
    }
}

fn words(wanted: &CallExpectation) -> String {
    let mut parts: Vec<String> = wanted
        .arguments
        .iter()
        .map(|(name, matcher)| format!("{name} {}", describe(matcher)))
        .collect();
    parts.extend(wanted.arguments_equal.iter().map(|value| show(Some(value))));
    parts.extend(
        wanted
            .arguments_schema
            .iter()
            .map(|schema| format!("valid by {}", show(Some(schema)))),
    );
    parts.extend(wanted.input.iter().map(describe));
    format!("{}({})", wanted.name, parts.join(", "))
}

fn call_words(call: &Call) -> String {
    format!("{}({})", call.name, cut(&call.arguments, 160))
}

fn all(calls: &[&Call]) -> String {
    if calls.is_empty() {
        return "no call".to_owned();
    }
    calls
        .iter()
        .map(|call| call_words(call))
        .collect::<Vec<_>>()
        .join(", ")
}
