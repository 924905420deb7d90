//! JSON read only as far as a text delta needs it, without allocating.
//!
//! It must refuse exactly the texts that a whole reading refuses, so what is skipped is still read to
//! its end. It knows no dialect: each has a view of its own over this.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value of which only what stands in it directly is known.
#[derive(Debug, Default)]
pub(crate) enum Shallow<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Null,
    /// Anything else: it reads as absent, as a whole reading takes what has the wrong type.
    #[default]
    Other,
}

impl Shallow<'_> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Shallow::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_u64(&self) -> Option<u64> {
        match self {
            Shallow::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> serde::Deserialize<'de> for Shallow<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Shallow<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Shallow<'de>, E> {
        Ok(Shallow::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shallow<'de>, E> {
        Ok(Shallow::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shallow<'de>, E> {
        Ok(Shallow::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Shallow<'de>, E> {
        Ok(Shallow::Number(number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shallow<'de>, E> {
        Ok(Shallow::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Shallow<'de>, E> {
        Ok(Shallow::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Shallow<'de>, E> {
        Ok(Shallow::Text(Cow::Borrowed(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shallow<'de>, A::Error> {
        while list.next_element::<Skipped>()?.is_some() {}
        Ok(Shallow::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Shallow<'de>, A::Error> {
        while fields.next_entry::<Skipped, Skipped>()?.is_some() {}
        Ok(Shallow::Other)
    }
}

/// A value that nobody wants. Unlike serde's `IgnoredAny` it refuses half a surrogate pair and numbers
/// out of range, because a whole reading does.
pub(crate) struct Skipped;

impl<'de> serde::Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Skipping)
    }
}

struct Skipping;

impl<'de> Visitor<'de> for Skipping {
    type Value = Skipped;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_str<E>(self, _: &str) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Skipped, A::Error> {
        while list.next_element::<Skipped>()?.is_some() {}
        Ok(Skipped)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Skipped, A::Error> {
        while fields.next_entry::<Skipped, Skipped>()?.is_some() {}
        Ok(Skipped)
    }
}

/// Takes the fields of an object one by one. A field that the view cannot do with, or that comes twice,
/// is refused with [`whole`].
pub(crate) trait View<'a>: Default {
    /// Takes the value of this key from `value`.
    fn field<V: FieldValue<'a>>(&mut self, key: &str, value: V) -> Result<(), V::Error>;
}

/// The value of a field, to be taken once, as what the view wants.
pub(crate) trait FieldValue<'a> {
    type Error: serde::de::Error;
    fn shallow(self) -> Result<Shallow<'a>, Self::Error>;
    fn skip(self) -> Result<(), Self::Error>;
    fn view<T: View<'a>>(self) -> Result<T, Self::Error>;
    /// The view of the only element of a list.
    fn only<T: View<'a>>(self) -> Result<T, Self::Error>;
}

/// Refuses to go on: the event is read whole instead.
pub(crate) fn whole<E: serde::de::Error>() -> E {
    E::custom("to be read whole")
}

/// The view of a text, or `None` where it is to be read whole.
pub(crate) fn view<'a, T: View<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str::<Viewed<T>>(text)
        .ok()
        .map(|viewed| viewed.0)
}

struct Viewed<T>(T);

impl<'de, T: View<'de>> serde::Deserialize<'de> for Viewed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(T);

        impl<'de, T: View<'de>> Visitor<'de> for Fields<T> {
            type Value = Viewed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
                while let Some(key) = map.next_key::<Shallow<'de>>()? {
                    let key = key.as_str().unwrap_or_default();
                    self.0.field(key, Next { map: &mut map })?;
                }
                Ok(Viewed(self.0))
            }
        }

        deserializer.deserialize_map(Fields(T::default()))
    }
}

struct Next<'m, A> {
    map: &'m mut A,
}

impl<'de, A: MapAccess<'de>> FieldValue<'de> for Next<'_, A> {
    type Error = A::Error;

    fn shallow(self) -> Result<Shallow<'de>, A::Error> {
        self.map.next_value()
    }

    fn skip(self) -> Result<(), A::Error> {
        self.map.next_value::<Skipped>().map(|_| ())
    }

    fn view<T: View<'de>>(self) -> Result<T, A::Error> {
        self.map.next_value::<Viewed<T>>().map(|viewed| viewed.0)
    }

    fn only<T: View<'de>>(self) -> Result<T, A::Error> {
        self.map.next_value_seed(Only(std::marker::PhantomData))
    }
}

struct Only<T>(std::marker::PhantomData<T>);

impl<'de, T: View<'de>> DeserializeSeed<'de> for Only<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: View<'de>> Visitor<'de> for Only<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let only = list.next_element::<Viewed<T>>()?.ok_or_else(whole)?;
        match list.next_element::<Skipped>()? {
            None => Ok(only.0),
            Some(_) => Err(whole()),
        }
    }
}
