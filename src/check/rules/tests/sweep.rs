//! A sweep over the good stream: whatever is taken out, emptied or changed is noticed, or stands in a
//! short list of what may change.

use serde_json::{Value, json};

use crate::check::finding::Severity;
use crate::check::rules::tests::{findings, good_stream, ids, places};

/// Where a change is legal or cannot be known: event types, pointer, the changes, why. In a pattern `*`
/// is any step, `a|b` one of two.
const FREE: [(&str, &str, &str, &str); 13] = [
    (
        "response.created|in_progress",
        "/response/tool_choice|max_output_tokens",
        "delete null change type",
        "the terminal event says it again, and that one is compared with the request",
    ),
    (
        "response.created|in_progress",
        "/response/parallel_tool_calls|store",
        "delete null change",
        "the same",
    ),
    (
        "response.created|in_progress",
        "/response/usage|error|incomplete_details|completed_at",
        "delete change",
        "says nothing before the end",
    ),
    (
        "response.output_item.added",
        "/item/encrypted_content",
        "delete null change type",
        "what is sealed may still grow, and is sealed anew each time",
    ),
    (
        "response.output_item.done",
        "/item/encrypted_content",
        "change",
        "sealed anew each time",
    ),
    (
        "response.completed",
        "/response/output/*/encrypted_content",
        "change",
        "sealed anew each time",
    ),
    (
        "response.output_text.delta|done",
        "/logprobs",
        "delete null",
        "only there where asked for, whatever the schemas say",
    ),
    (
        "response.completed",
        "/response/usage/input_tokens_details|output_tokens_details",
        "delete null empty",
        "servers of open models have no details",
    ),
    (
        "response.completed",
        "/response/usage/*/cached_tokens|reasoning_tokens",
        "delete null change",
        "nothing else tells how many tokens were cached or thought",
    ),
    (
        "response.completed",
        "/response/completed_at",
        "delete null change",
        "any time after the creation may be true, and not every server says it",
    ),
    (
        "response.completed",
        "/response/error|incomplete_details",
        "delete",
        "absent is as good as null",
    ),
    (
        "response.completed",
        "/response/tool_choice|parallel_tool_calls|store|max_output_tokens",
        "delete null",
        "a server need not echo the request",
    ),
    (
        "response.output_item.added|done",
        "/item/status",
        "delete null",
        "an item need not have a status in the schema of the API",
    ),
];

fn fits(pattern: &str, text: &str, separator: char) -> bool {
    let mut text = text.split(separator);
    pattern.split(separator).all(|step| {
        text.next()
            .is_some_and(|word| step == "*" || step.split('|').any(|one| one == word))
    }) && text.next().is_none()
}

/// What is put in a value's place, with the name of the change. `None` takes it out.
fn changes(value: &Value) -> Vec<(&'static str, Option<Value>)> {
    let mut all = vec![("delete", None)];
    if !value.is_null() {
        all.push(("null", Some(Value::Null)));
    }
    match value {
        Value::String(text) => {
            all.push(("change", Some(json!(format!("{text}X")))));
            all.push(("type", Some(json!(5))));
        }
        Value::Number(number) => {
            all.push(("change", number.as_i64().map(|number| json!(number + 1))));
            all.push(("type", Some(json!(number.to_string()))));
        }
        Value::Bool(yes) => all.push(("change", Some(json!(!yes)))),
        Value::Null => all.push(("change", Some(json!("x")))),
        Value::Array(list) if !list.is_empty() => all.push(("empty", Some(json!([])))),
        Value::Object(_) => all.push(("empty", Some(json!({})))),
        Value::Array(_) => {}
    }
    all
}

/// Takes a place out of a value.
fn remove(value: &mut Value, pointer: &str) {
    let Some((outer, key)) = pointer.rsplit_once('/') else {
        return;
    };
    match value.pointer_mut(outer) {
        Some(Value::Object(object)) => {
            object.shift_remove(key);
        }
        Some(Value::Array(list)) => {
            list.remove(key.parse().expect("lists are indexed"));
        }
        _ => {}
    }
}

#[test]
fn whatever_changes_is_noticed() {
    let good = good_stream();
    let mut silent = String::new();
    let mut listed = String::new();
    for place in 0..good.events.len() {
        let data = &good.events[place].data;
        let kind = data["type"].as_str().expect("events have a type");
        let mut pointers = Vec::new();
        places(data, "", &mut pointers);
        for pointer in pointers.iter().filter(|pointer| !pointer.is_empty()) {
            let value = data.pointer(pointer).expect("it is there");
            for (change, other) in changes(value) {
                let mut stream = good.clone();
                match other {
                    Some(other) => {
                        *stream.events[place]
                            .data
                            .pointer_mut(pointer)
                            .expect("it is there") = other;
                    }
                    None => remove(&mut stream.events[place].data, pointer),
                }
                let free = FREE.iter().any(|(events, place, which, _)| {
                    fits(events, kind, '.')
                        && fits(place, pointer, '/')
                        && which.split(' ').any(|one| one == change)
                });
                let noticed = !ids(&findings(&stream), Severity::Should).is_empty();
                let told = format!("\n  {kind} (event {place}) {pointer}: {change}");
                match (noticed, free) {
                    (false, false) => silent.push_str(&told),
                    // A list that is too long would hide what is lost later.
                    (true, true) => listed.push_str(&told),
                    _ => {}
                }
            }
        }
    }
    assert!(silent.is_empty(), "not noticed:{silent}");
    assert!(listed.is_empty(), "noticed, and yet in the list:{listed}");
}
