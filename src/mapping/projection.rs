//! Reads only those parts of a JSON record that a mapping reads; skips the others without allocating.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The parts of a value that are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Projection {
    /// Whether the whole value is read.
    pub(super) is_whole: bool,
    pub(super) members: Vec<(Box<str>, Projection)>,
    /// The parts of the items of a list; otherwise a list is read as a whole.
    pub(super) items: Option<Box<Projection>>,
    /// The slots of this part and its members; the first is its own.
    pub(super) slots: Range<usize>,
}

impl Projection {
    /// Adds the value at `path`, with everything in it.
    pub(super) fn add(&mut self, path: &[Box<str>]) {
        let Some((name, rest)) = path.split_first() else {
            self.is_whole = true;
            return;
        };
        if let Some((_, member)) = self.members.iter_mut().find(|(known, _)| known == name) {
            return member.add(rest);
        }
        let mut member = Self::default();
        member.add(rest);
        self.members.push((name.clone(), member));
    }

    /// Adds a batch: items with these parts in the list at `path`, or in the value itself.
    pub(super) fn with_items(self, path: &[Box<str>]) -> Self {
        let items = Some(Box::new(self.clone()));
        let mut whole = Self { items: items.clone(), ..self };
        let mut list = &mut whole;
        for name in path {
            let at = list.members.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                list.members.push((name.clone(), Self::default()));
                list.members.len() - 1
            });
            list = &mut list.members[at].1;
        }
        list.items = items;
        whole
    }

    /// Numbers the slots of this part and its members, from `first`. Returns the number of the next slot.
    pub(super) fn number_slots(&mut self, first: usize) -> usize {
        let next = self.members.iter_mut().fold(first + 1, |next, (_, member)| member.number_slots(next));
        self.slots = first..next;
        next
    }

    /// Returns the number of the slot of a path that was added.
    pub(super) fn slot(&self, path: &[Box<str>]) -> Option<usize> {
        let part = path.iter().try_fold(self, |part, name| {
            part.members.iter().find(|(known, _)| known == name).map(|(_, member)| member)
        })?;
        Some(part.slots.start)
    }

    /// Reads a JSON text.
    ///
    /// # Errors
    /// If the text is not valid JSON.
    pub(super) fn read(&self, text: &str) -> serde_json::Result<Value> {
        let mut json = serde_json::Deserializer::from_str(text);
        let value = ValueSeed(self).deserialize(&mut json)?;
        json.end()?;
        Ok(value)
    }
}

struct ValueSeed<'p>(&'p Projection);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0.is_whole { serde::Deserialize::deserialize(deserializer) } else { deserializer.deserialize_any(self) }
    }
}

/// A value that is not an object is read as a whole, so that an error about its kind is the same.
impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let projection = self.0.items.as_deref();
        while let Some(item) = match projection {
            Some(projection) => array.next_element_seed(ValueSeed(projection))?,
            None => array.next_element()?,
        } {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(found) = map.next_key_seed(NameSeed(self.0))? {
            match found {
                Some((name, projection)) => {
                    let value = map.next_value_seed(ValueSeed(projection))?;
                    members.insert(name.to_owned(), value);
                }
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(Value::Object(members))
    }
}

/// Finds a name among the members that are read.
pub(super) struct NameSeed<'p>(pub(super) &'p Projection);

impl<'de, 'p> DeserializeSeed<'de> for NameSeed<'p> {
    type Value = Option<(&'p str, &'p Projection)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for NameSeed<'p> {
    type Value = Option<(&'p str, &'p Projection)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let found = self.0.members.iter().find(|(known, _)| **known == *name);
        Ok(found.map(|(name, projection)| (&**name, projection)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn projection(paths: &[&str]) -> Projection {
        let mut projection = Projection::default();
        for path in paths {
            let names: Vec<Box<str>> = path.split('.').filter(|name| !name.is_empty()).map(Into::into).collect();
            projection.add(&names);
        }
        projection
    }

    #[test]
    fn only_what_is_read_remains() {
        let text = r#"{"a": {"b": {"c": [1, {"d": 2}]}, "x": 1}, "e": [1], "f": "text", "g": -1.5, "h": null, "skipped": {"a": 1}, "f": "last"}"#;
        let found = projection(&["a.b", "e.z", "f.z", "g", "h", "missing"]).read(text).expect("JSON");
        assert_eq!(found, json!({"a": {"b": {"c": [1, {"d": 2}]}}, "e": [1], "f": "last", "g": -1.5, "h": null}));
        let whole: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(projection(&["a.b", ""]).read(text).expect("JSON"), whole);
    }

    #[test]
    fn a_value_of_another_kind_is_read_as_it_is() {
        for text in ["5", "-5", "1.5", "true", "null", "\"a\"", "[1, {\"a\": 2}]"] {
            let whole: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(projection(&["a.b"]).read(text).expect("JSON"), whole);
        }
    }

    #[test]
    fn what_is_not_read_must_still_be_json() {
        for text in ["{\"a\": 1, \"b\": }", "{\"a\": 1} x", "{\"b\": \"\\ud800\"", ""] {
            assert!(projection(&["a"]).read(text).is_err(), "{text}");
        }
    }
}
