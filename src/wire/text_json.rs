//! Reads a text in JSON that programs also write as a number, null or an empty array.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};

/// How to treat a number where a text is expected.
#[derive(Clone, Copy)]
pub(super) enum Numbers {
    /// An integer is accepted as its decimal text, because many shops use numbers as ids.
    AsText,
    /// A number is an error.
    Rejected,
}

/// Reads a text; null and an empty array mean that there is none.
pub(super) struct TextSeed {
    pub(super) numbers: Numbers,
}

impl TextSeed {
    fn number<'de, E: serde::de::Error>(&self, number: impl fmt::Display) -> Result<Option<Cow<'de, str>>, E> {
        match self.numbers {
            Numbers::AsText => Ok(Some(Cow::Owned(number.to_string()))),
            Numbers::Rejected => Err(E::custom("a number")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextSeed {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        self.number(number)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
        self.number(number)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Self::Value, A::Error> {
        require_empty(array).map(|()| None)
    }
}

/// Accepts an empty array, which some encoders write for a missing value.
pub(super) fn require_empty<'de, A: SeqAccess<'de>>(mut array: A) -> Result<(), A::Error> {
    match array.next_element::<IgnoredAny>()? {
        None => Ok(()),
        Some(_) => Err(A::Error::custom("an array")),
    }
}
