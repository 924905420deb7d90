//! A scenario's condition on one value: does it hold, and if not, in which words.
//!
//! Values only: it must never know where a value came from.

use regex::Regex;
use serde_json::{Number, Value};

use crate::check::rules::collect::{cut, show};
use crate::json_schema::Schema;
use crate::scenario::model::Matcher;

/// How many characters of a value a message shows.
const SHOWN: usize = 120;

/// Why a value does not meet a condition; `None` when it does.
pub fn mismatch(matcher: &Matcher, value: &Value) -> Option<String> {
    match matcher {
        Matcher::Equals(wanted) => (!equal(wanted, value))
            .then(|| format!("{} is not {}", show(Some(value)), show(Some(wanted)))),
        Matcher::Contains(part) => {
            let text = as_text(value);
            (!text.contains(part))
                .then(|| format!("{:?} does not contain {part:?}", cut(&text, SHOWN)))
        }
        Matcher::Matches(pattern) => {
            let text = as_text(value);
            match Regex::new(pattern) {
                Ok(regex) if regex.is_match(&text) => None,
                Ok(_) => Some(format!(
                    "{:?} does not match /{pattern}/",
                    cut(&text, SHOWN)
                )),
                Err(error) => Some(format!("/{pattern}/ is no regular expression: {error}")),
            }
        }
        Matcher::Schema(schema) => {
            let parsed = match value {
                Value::String(text) => match serde_json::from_str::<Value>(text) {
                    Ok(parsed) => parsed,
                    Err(error) => {
                        return Some(format!("{:?} is not JSON: {error}", cut(text, SHOWN)));
                    }
                },
                other => other.clone(),
            };
            breaks(schema, &parsed).map(|why| format!("{}: {why}", show(Some(&parsed))))
        }
    }
}

/// Why a value is not valid by a schema; `None` when it is.
pub fn breaks(schema: &Value, value: &Value) -> Option<String> {
    match Schema::compile(schema) {
        Ok(schema) => schema.check(value).err(),
        Err(error) => Some(format!("the schema cannot be used: {}", error.message)),
    }
}

/// A condition in words, for the expected side of a finding.
pub fn describe(matcher: &Matcher) -> String {
    match matcher {
        Matcher::Equals(value) => format!("equal to {}", show(Some(value))),
        Matcher::Contains(part) => format!("text with {part:?} in it"),
        Matcher::Matches(pattern) => format!("text that matches /{pattern}/"),
        Matcher::Schema(schema) => format!("valid by {}", show(Some(schema))),
    }
}

/// Equal as JSON, numbers by value: 11 and 11.0 are the same temperature.
pub fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| equal(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, a)| other.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => one == other,
    }
}

/// Equal in value. Two whole numbers are compared exactly: above 2^53 different ones are the same float.
pub fn same_number(one: &Number, other: &Number) -> bool {
    let is_whole = |number: &Number| number.is_i64() || number.is_u64();
    if is_whole(one) && is_whole(other) {
        return one == other;
    }
    one.as_f64().is_some() && one.as_f64() == other.as_f64()
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::matcher::*;

    fn check(matcher: Matcher, good: Value, bad: Value) {
        assert_eq!(mismatch(&matcher, &good), None, "{matcher:?}");
        assert!(mismatch(&matcher, &bad).is_some(), "{matcher:?}");
        assert!(!describe(&matcher).is_empty());
    }

    #[test]
    fn each_condition_both_ways() {
        check(
            Matcher::Equals(json!({"n": 11, "a": [1]})),
            json!({"a": [1.0], "n": 11.0}),
            json!({"n": 12, "a": [1]}),
        );
        check(
            Matcher::Equals(json!(9_007_199_254_740_993_u64)),
            json!(9_007_199_254_740_993_u64),
            json!(9_007_199_254_740_992_u64),
        );
        check(
            Matcher::Equals(json!(u64::MAX)),
            json!(u64::MAX),
            json!(u64::MAX - 1),
        );
        check(Matcher::Equals(json!("a")), json!("a"), json!("ab"));
        check(
            Matcher::Contains("11".to_owned()),
            json!("it is 11 °C"),
            json!("it is warm"),
        );
        check(Matcher::Contains("11".to_owned()), json!(2110), json!(2));
        check(
            Matcher::Matches("(?i)^dublin$".to_owned()),
            json!("Dublin"),
            json!("Dublin, Ireland"),
        );
        check(
            Matcher::Schema(json!({"type": "object", "required": ["a"]})),
            json!("{\"a\": 1}"),
            json!("{\"b\": 1}"),
        );
        check(
            Matcher::Schema(json!({"type": "string"})),
            json!("\"x\""),
            json!("x"),
        );
    }

    #[test]
    fn a_condition_that_cannot_be_used_does_not_hold() {
        assert!(mismatch(&Matcher::Matches("(".to_owned()), &json!("(")).is_some());
        assert!(mismatch(&Matcher::Schema(json!({"type": 1})), &json!(1)).is_some());
    }
}
