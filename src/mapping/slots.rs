//! Reads the parts of a JSON object that a mapping reads into slots, one for each path, without building a tree.
//!
//! A path is then an index: neither the reader nor an expression searches for names again, and texts are borrowed from
//! the record. What this reader cannot read (a batch, invalid JSON) is left to the one that builds a tree.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::datum::Datum;
use super::projection::{NameSeed, Projection};

/// The value at a path of a record.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Slot<'r> {
    /// Null or missing.
    Missing,
    /// The value.
    Value(Datum<'r>),
    /// The text of an object of which expressions also read members.
    Object(&'r str),
    /// A value around it is not an object: the number of members on the path to that value, and its kind.
    NotInObject(usize, &'static str),
}

/// The values at the roots of an evaluation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roots<'a> {
    pub(super) values: &'a [&'a Value],
    /// The slots of the first root, which then has no value of its own.
    pub(super) slots: Option<&'a [Slot<'a>]>,
}

impl<'a> Roots<'a> {
    /// Returns roots without slots.
    pub(super) const fn of(values: &'a [&'a Value]) -> Self {
        Self { values, slots: None }
    }
}

impl Projection {
    /// Reads a JSON object. `None` if the text is not one, or contains a batch.
    pub(super) fn slots<'r>(&self, text: &'r str) -> Option<Vec<Slot<'r>>> {
        if !text.trim_ascii_start().starts_with('{') {
            return None;
        }
        let mut slots = vec![Slot::Missing; self.slots.len()];
        let mut json = serde_json::Deserializer::from_str(text);
        SlotSeed { part: self, slots: &mut slots, depth: 0 }.deserialize(&mut json).ok()?;
        json.end().ok()?;
        Some(slots)
    }
}

/// Reads the value of a part into its slots.
struct SlotSeed<'s, 'r> {
    part: &'s Projection,
    slots: &'s mut [Slot<'r>],
    /// The number of members on the path to the part.
    depth: usize,
}

impl<'r> SlotSeed<'_, 'r> {
    fn set(self, value: Datum<'r>) {
        // As everywhere, an empty text and an empty list count as an object without members.
        let is_empty =
            matches!(&value, Datum::Text(text) if text.is_empty()) || value.as_list().is_some_and(<[Value]>::is_empty);
        if !is_empty {
            let kind = value.describe();
            for slot in &mut self.slots[self.part.slots.start + 1..self.part.slots.end] {
                *slot = Slot::NotInObject(self.depth, kind);
            }
        }
        self.slots[self.part.slots.start] = Slot::Value(value);
    }

    fn members<A: MapAccess<'r>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(found) = map.next_key_seed(NameSeed(self.part))? {
            match found {
                Some((_, part)) => {
                    map.next_value_seed(SlotSeed { part, slots: &mut *self.slots, depth: self.depth + 1 })?;
                }
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }
}

impl<'r> DeserializeSeed<'r> for SlotSeed<'_, 'r> {
    type Value = ();

    fn deserialize<D: Deserializer<'r>>(self, deserializer: D) -> Result<(), D::Error> {
        let part = self.part;
        // Of two members with one name, the last counts.
        self.slots[part.slots.clone()].fill(Slot::Missing);
        if part.items.is_some() && self.depth > 0 {
            return match <&RawValue>::deserialize(deserializer)?.get() {
                "null" => Ok(()),
                _ => Err(D::Error::custom("a batch")),
            };
        }
        if !part.is_whole || part.members.is_empty() {
            return deserializer.deserialize_any(self);
        }
        let text = <&RawValue>::deserialize(deserializer)?.get();
        let mut json = serde_json::Deserializer::from_str(text);
        if text.starts_with('{') {
            self.slots[part.slots.start] = Slot::Object(text);
            json.deserialize_map(self).map_err(D::Error::custom)
        } else {
            json.deserialize_any(self).map_err(D::Error::custom)
        }
    }
}

impl<'r> Visitor<'r> for SlotSeed<'_, 'r> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, truth: bool) -> Result<(), E> {
        self.set(Datum::Bool(truth));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.set(Datum::Int(number.into()));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.set(Datum::Int(number.into()));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.set(Datum::Double(number));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.set(Datum::text(text.to_owned()));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'r str) -> Result<(), E> {
        self.set(Datum::text(text));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'r>>(self, mut array: A) -> Result<(), A::Error> {
        let mut items = Vec::new();
        while let Some(item) = array.next_element()? {
            items.push(item);
        }
        self.set(Datum::Owned(Value::Array(items)));
        Ok(())
    }

    fn visit_map<A: MapAccess<'r>>(self, map: A) -> Result<(), A::Error> {
        if self.part.is_whole && self.part.members.is_empty() {
            let value = Value::deserialize(MapAccessDeserializer::new(map))?;
            self.set(Datum::Owned(value));
            return Ok(());
        }
        self.members(map)
    }
}
