//! JSON texts as strictly as tool arguments need them: a key given twice is a fault that most
//! parsers hide.
//!
//! It must never build values it does not need: it only looks.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The first key that an object of this text has twice; `None` when there is none, or when the text
/// is not JSON.
pub fn duplicate_key(text: &str) -> Option<String> {
    serde_json::from_str::<Look>(text).ok()?.0
}

/// What was seen of one value.
struct Look(Option<String>);

impl<'de> Deserialize<'de> for Look {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Look, D::Error> {
        input.deserialize_any(LookVisitor).map(Look)
    }
}

struct LookVisitor;

impl<'de> Visitor<'de> for LookVisitor {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut seen = BTreeSet::new();
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            let inside = map.next_value::<Look>()?.0;
            found = found.or(inside);
            if !seen.insert(key.clone()) {
                found = found.or(Some(key));
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(Look(inside)) = list.next_element()? {
            found = found.or(inside);
        }
        Ok(found)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::json_text::duplicate_key;

    #[test]
    fn keys_given_twice() {
        assert_eq!(duplicate_key(r#"{"a":1,"b":{"a":2}}"#), None);
        assert_eq!(duplicate_key(r#"{"a":1,"a":2}"#), Some("a".to_owned()));
        assert_eq!(
            duplicate_key(r#"{"a":[null,{"b":1,"b":true}]}"#),
            Some("b".to_owned())
        );
        assert_eq!(duplicate_key("{"), None);
        assert_eq!(duplicate_key("1.5"), None);
    }
}
