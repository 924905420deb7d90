//! A tree to types, with a place and a sentence of ours for every mismatch.
//!
//! A serde deserializer that owns its messages: what was expected, what was found, which word was
//! probably meant. It never coerces: a number is not text and `1` is not `true`.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::diagnostic::Place;
use crate::document::Problem;
use crate::document::nearest::{list, nearest};
use crate::document::tree::{Key, Kind, Node};

/// The root as a type; `what` names it in messages.
pub(crate) fn typed<T: DeserializeOwned>(root: &Node, what: &str) -> Result<T, Problem> {
    T::deserialize(Value {
        node: root,
        owner: Owner::Named(what),
    })
}

/// How messages name the mapping that a key is in.
#[derive(Debug, Clone, Copy)]
enum Owner<'de> {
    /// The whole document.
    Named(&'de str),
    /// The value of this key.
    Key(&'de str),
    /// An item of a list.
    Item,
}

impl Owner<'_> {
    /// `type_name` is the name of the Rust type, whose words are those of the file format.
    fn describe(&self, type_name: &str) -> String {
        match self {
            Owner::Named(what) => (*what).to_string(),
            Owner::Key(key) => format!("`{}`", crate::diagnostic::cut_to(key, 60)),
            Owner::Item => {
                let mut words = String::new();
                for c in type_name.chars() {
                    if c.is_uppercase() && !words.is_empty() {
                        words.push(' ');
                    }
                    words.extend(c.to_lowercase());
                }
                format!("a {words}")
            }
        }
    }
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Problem {
        Problem::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Problem {
        Problem::new(format!("expected {expected}, found {found}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Problem {
        Problem::invalid_type(found, expected)
    }

    fn unknown_variant(word: &str, words: &'static [&'static str]) -> Problem {
        unknown_word(word, words)
    }

    fn unknown_field(key: &str, keys: &'static [&'static str]) -> Problem {
        let shown = crate::diagnostic::cut_to(key, 60);
        let mut problem = Problem::new(format!("unknown key `{shown}`"));
        problem.wants_owner = true;
        problem.help(match nearest(key, keys.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known keys: {}", list(keys.iter().copied())),
        })
    }

    fn missing_field(key: &'static str) -> Problem {
        let mut problem = Problem::new(format!("missing key `{key}`"));
        problem.wants_owner = true;
        problem.help(format!("add `{key}: …`"))
    }
}

fn unknown_word(word: &str, words: &'static [&'static str]) -> Problem {
    let shown = crate::diagnostic::cut_to(word, 60);
    let known = list(words.iter().copied());
    Problem::new(format!("unknown word `{shown}`")).help(
        match nearest(word, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? Known words: {known}"),
            None => format!("known words: {known}"),
        },
    )
}

#[derive(Debug, Clone, Copy)]
struct Value<'de> {
    node: &'de Node,
    owner: Owner<'de>,
}

impl<'de> Value<'de> {
    fn mismatch(&self, expected: &str) -> Problem {
        let problem = Problem::new(format!(
            "expected {expected}, found {}",
            self.node.kind.describe()
        ))
        .at(self.node.place);
        match (&self.node.kind, expected) {
            (Kind::Integer { raw, .. } | Kind::Float { raw, .. }, "text") => {
                problem.help(format!("put it in quotes: \"{raw}\""))
            }
            (Kind::Bool(value), "text") => problem.help(format!("put it in quotes: \"{value}\"")),
            (Kind::Text(text), "true or false") => match text.to_lowercase().as_str() {
                "yes" | "on" | "y" => problem.help("write `true`"),
                "no" | "off" | "n" => problem.help("write `false`"),
                _ => problem,
            },
            (Kind::Text(_), "a list") => problem.help("write `[ … ]`, or one `- ` item per line"),
            (Kind::Map(_), "a list") => problem.help("begin each item with `- `"),
            (Kind::Null, "a list") => problem.help("add items, or write `[]` for none"),
            (Kind::Null, "text") => problem.help("write `\"\"` if it is meant to be empty"),
            _ => problem,
        }
    }

    fn map<V: Visitor<'de>>(
        self,
        entries: &'de [(Key, Node)],
        type_name: &str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor
            .visit_map(Entries {
                rest: entries.iter(),
                value: None,
            })
            .map_err(|mut problem| {
                if std::mem::take(&mut problem.wants_owner) {
                    let owner = self.owner.describe(type_name);
                    problem.message = format!("{} in {owner}", problem.message);
                }
                problem.at(self.node.place)
            })
    }

    fn number<V: Visitor<'de>>(self, expected: &str, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.kind {
            Kind::Integer { .. } => self.deserialize_any(visitor).map_err(|problem| {
                // The only way to refuse an integer here is its range.
                if problem.message.starts_with("expected") {
                    self.mismatch(expected)
                } else {
                    problem
                }
            }),
            _ => Err(self.mismatch(expected)),
        }
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Integer { value, .. } => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => visitor.visit_u64(value),
                (_, Ok(value)) => visitor.visit_i64(value),
                _ => Err(self.mismatch("a number of at most 64 bits")),
            },
            Kind::Float { value, .. } => visitor.visit_f64(*value),
            Kind::Text(text) => visitor.visit_str(text),
            Kind::List(items) => visitor.visit_seq(Items(items.iter())),
            Kind::Map(entries) => self.map(entries, "mapping", visitor),
        }
        .map_err(|problem: Problem| problem.at(self.node.place))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.kind {
            Kind::Bool(value) => visitor.visit_bool(value),
            _ => Err(self.mismatch("true or false")),
        }
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.number(&up_to(u8::MAX), visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.number(&up_to(u16::MAX), visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.number(&up_to(u32::MAX), visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.number("a whole number, 0 or more", visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.kind {
            Kind::Float { value, .. } => visitor.visit_f64(value),
            Kind::Integer { value, .. } => visitor.visit_f64(value as f64),
            _ => Err(self.mismatch("a number")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.kind {
            Kind::Text(text) => visitor
                .visit_str(text)
                .map_err(|problem: Problem| problem.at(self.node.place)),
            _ => Err(self.mismatch("text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
        .map_err(|problem: Problem| problem.at(self.node.place))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.kind {
            Kind::List(items) => visitor.visit_seq(Items(items.iter())),
            _ => Err(self.mismatch("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.kind {
            Kind::Map(entries) => self.map(entries, "mapping", visitor),
            _ => Err(self.mismatch("a mapping of keys to values")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match &self.node.kind {
            Kind::Map(entries) => self.map(entries, name, visitor),
            _ => {
                let problem =
                    self.mismatch(&format!("a mapping for {}", self.owner.describe(name)));
                Err(problem.help(format!("known keys: {}", list(fields.iter().copied()))))
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let choice = match &self.node.kind {
            Kind::Text(word) => Choice {
                word,
                place: self.node.place,
                value: None,
                name,
                words,
                owner: self.owner,
            },
            Kind::Map(entries) if entries.len() == 1 => Choice {
                word: &entries[0].0.name,
                place: entries[0].0.place,
                value: Some(&entries[0].1),
                name,
                words,
                owner: self.owner,
            },
            other => {
                let known = list(words.iter().copied());
                let found = match other {
                    Kind::Map(entries) => format!("a mapping of {} keys", entries.len()),
                    other => other.describe(),
                };
                let problem = Problem::new(format!("expected one of {known}, found {found}"));
                return Err(problem.at(self.node.place));
            }
        };
        visitor
            .visit_enum(choice)
            .map_err(|problem| problem.at(self.node.place))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 char bytes byte_buf unit unit_struct newtype_struct
        tuple tuple_struct identifier
    }
}

fn up_to(most: impl fmt::Display) -> String {
    format!("a whole number from 0 to {most}")
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Problem> {
        let Some(node) = self.0.next() else {
            return Ok(None);
        };
        let value = Value {
            node,
            owner: Owner::Item,
        };
        seed.deserialize(value)
            .map(Some)
            .map_err(|problem| problem.at(node.place))
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de (Key, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Problem> {
        let Some(entry) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(entry);
        let name: StrDeserializer<'_, Problem> = entry.0.name.as_str().into_deserializer();
        seed.deserialize(name)
            .map(Some)
            .map_err(|problem| problem.at(entry.0.place))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Problem> {
        let Some((key, node)) = self.value.take() else {
            return Err(Problem::new("a value was asked for before its key"));
        };
        let value = Value {
            node,
            owner: Owner::Key(&key.name),
        };
        seed.deserialize(value)
            .map_err(|problem| problem.at(node.place))
    }
}

/// One word of an enum, alone or with a value.
struct Choice<'de> {
    word: &'de str,
    place: Place,
    value: Option<&'de Node>,
    /// The name of the Rust type.
    name: &'static str,
    words: &'static [&'static str],
    owner: Owner<'de>,
}

/// Enums each word of which takes a value: a bare word is a forgotten `{ word: … }`.
const VALUED: [&str; 2] = ["Matcher", "Format"];

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Problem;
    type Variant = Choice<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Choice<'de>), Problem> {
        if !self.words.contains(&self.word) {
            return Err(self.unknown());
        }
        let word: StrDeserializer<'_, Problem> = self.word.into_deserializer();
        let variant = seed
            .deserialize(word)
            .map_err(|problem| problem.at(self.place))?;
        Ok((variant, self))
    }
}

impl Choice<'_> {
    fn unknown(&self) -> Problem {
        let known = list(self.words.iter().copied());
        if self.value.is_none() && VALUED.contains(&self.name) {
            let example = self.words.last().copied().unwrap_or_default();
            let text = crate::diagnostic::cut_to(self.word, 40);
            return Problem::new(format!(
                "expected one of {known} with a value, found the text `{text}`"
            ))
            .help(match self.name {
                "Matcher" => format!("write `{{ contains: \"{text}\" }}`"),
                _ => format!("write `{{ {example}: … }}`"),
            })
            .at(self.place);
        }
        let mut problem = unknown_word(self.word, self.words);
        if let Owner::Key(key) = self.owner {
            problem.message = format!("{} for `{key}`", problem.message);
        }
        problem.at(self.place)
    }

    fn needs_value(&self) -> Problem {
        Problem::new(format!("`{}` needs a value", self.word))
            .help(format!("write `{{ {}: … }}`", self.word))
            .at(self.place)
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        match self.value {
            None => Ok(()),
            Some(_) => Err(Problem::new(format!("`{}` takes no value", self.word))
                .help(format!("write `{}` alone", self.word))
                .at(self.place)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Problem> {
        match self.value {
            Some(node) => seed
                .deserialize(Value {
                    node,
                    owner: Owner::Key(self.word),
                })
                .map_err(|problem| problem.at(node.place)),
            None => Err(self.needs_value()),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Problem> {
        match self.value {
            Some(node) => Value {
                node,
                owner: Owner::Key(self.word),
            }
            .deserialize_seq(visitor),
            None => Err(self.needs_value()),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.value {
            Some(node) => Value {
                node,
                owner: Owner::Key(self.word),
            }
            .deserialize_struct("value", fields, visitor),
            None => Err(self.needs_value()),
        }
    }
}
