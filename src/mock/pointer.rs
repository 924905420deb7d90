//! JSON pointers that may name many places: `*` for each element, negative numbers from the end.
//!
//! A place that is not there is passed over: it must never create one on the way.

use serde_json::Value;

/// Calls `act` with each value that holds the last part of `pointer`, that part, and whether a `*`
/// stood in the pointer.
pub(crate) fn each_place(
    value: &mut Value,
    pointer: &str,
    act: &mut dyn FnMut(&mut Value, &str, bool),
) {
    let parts: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect();
    let Some((last, path)) = parts.split_last() else {
        return;
    };
    let many = parts.iter().any(|part| part == "*");
    walk(value, path, &mut |parent| {
        if last == "*" {
            for key in 0..parent.as_array().map_or(0, Vec::len) {
                act(parent, &key.to_string(), many);
            }
        } else {
            act(parent, last, many);
        }
    });
}

fn walk(value: &mut Value, path: &[String], act: &mut dyn FnMut(&mut Value)) {
    let Some((part, rest)) = path.split_first() else {
        act(value);
        return;
    };
    if part == "*" {
        for element in value.as_array_mut().into_iter().flatten() {
            walk(element, rest, act);
        }
    } else if let Some(next) = child(value, part) {
        walk(next, rest, act);
    }
}

/// The value at one part of a pointer.
pub(crate) fn child<'v>(value: &'v mut Value, key: &str) -> Option<&'v mut Value> {
    match value {
        Value::Object(object) => object.get_mut(key),
        Value::Array(list) => {
            let place = place_in(list.len(), key)?;
            list.get_mut(place)
        }
        _ => None,
    }
}

fn place_in(len: usize, key: &str) -> Option<usize> {
    let n: i64 = key.parse().ok()?;
    let n = if n < 0 { n + len as i64 } else { n };
    usize::try_from(n).ok().filter(|&n| n < len)
}

/// Sets a key or an element; `-` appends to an array.
pub(crate) fn set(parent: &mut Value, key: &str, value: &Value, only_existing: bool) {
    match parent {
        Value::Object(object) if !only_existing || object.contains_key(key) => {
            object.insert(key.to_owned(), value.clone());
        }
        Value::Array(list) if key == "-" => list.push(value.clone()),
        Value::Array(list) => {
            if let Some(place) = place_in(list.len(), key) {
                list[place] = value.clone();
            }
        }
        _ => {}
    }
}

/// Takes a key or an element away.
pub(crate) fn unset(parent: &mut Value, key: &str) {
    match parent {
        Value::Object(object) => {
            object.shift_remove(key);
        }
        Value::Array(list) => {
            if let Some(place) = place_in(list.len(), key) {
                list.remove(place);
            }
        }
        _ => {}
    }
}
