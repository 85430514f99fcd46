//! The values of a transition record in JSON: instants, decimals, and the values that a condition read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::decimal::parse_amount;
use super::time::{format_seconds, parse_timestamp, timestamp_text};
use crate::lifecycle::model_set::Attribute;
use crate::lifecycle::money::Amount;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::Reason;
use crate::lifecycle::value::OwnedValue;

/// An instant; RFC 3339 text in a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instant(pub Timestamp);

/// An amount; decimal text in a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decimal(pub Amount);

/// The values that a condition read, or the attributes of a transition, by name.
#[derive(Clone, PartialEq, Debug)]
pub enum Values<'a> {
    /// Of a transition that is written, in the order in which the condition reads them.
    Borrowed(&'a Reason),
    /// The attributes of a transition that is written.
    Attributes(Attributes<'a>),
    /// Of a record that was read.
    Owned(BTreeMap<String, serde_json::Value>),
}

/// The attributes of a transition that is written, with their values in the same order.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    pub(super) attributes: &'a [Attribute],
    pub(super) values: &'a [Option<OwnedValue>],
}

impl PartialEq for Attributes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a> Attributes<'a> {
    /// Returns the values with their names.
    pub(super) fn iter(self) -> impl ExactSizeIterator<Item = (&'a str, Option<&'a OwnedValue>)> {
        self.attributes.iter().map(|attribute| &*attribute.name).zip(self.values.iter().map(Option::as_ref))
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&timestamp_text(self.0))
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_timestamp(&Cow::<str>::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

impl JsonSchema for Instant {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        parse_amount(&text).map(Self).ok_or_else(|| D::Error::custom("expected an amount as decimal text"))
    }
}

impl JsonSchema for Decimal {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Borrowed(reason) => {
                let mut map = serializer.serialize_map(Some(reason.values.len()))?;
                for (name, value) in reason.values() {
                    map.serialize_entry(name, &FactValue(value))?;
                }
                map.end()
            }
            Self::Attributes(attributes) => {
                let mut map = serializer.serialize_map(Some(attributes.values.len()))?;
                for (name, value) in attributes.iter() {
                    map.serialize_entry(name, &FactValue(value))?;
                }
                map.end()
            }
            Self::Owned(values) => values.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Values<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::Owned)
    }
}

impl JsonSchema for Values<'_> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Values".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, serde_json::Value>::json_schema(generator)
    }
}

/// A value of a fact, written as in Protobuf's JSON mapping.
struct FactValue<'a>(Option<&'a OwnedValue>);

impl Serialize for FactValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_unit(),
            Some(OwnedValue::Int(number)) => serializer.serialize_i64(*number),
            Some(OwnedValue::Double(number)) if number.is_finite() => serializer.serialize_f64(*number),
            Some(OwnedValue::Double(number)) => serializer.serialize_str(non_finite_text(*number)),
            Some(OwnedValue::Bool(truth)) => serializer.serialize_bool(*truth),
            Some(OwnedValue::String(text)) => serializer.serialize_str(text),
            Some(OwnedValue::Timestamp(instant)) => Instant(*instant).serialize(serializer),
            Some(OwnedValue::Duration(length)) => serializer.serialize_str(&format_seconds(*length)),
        }
    }
}

/// Returns the text that Protobuf's JSON mapping uses for a number that JSON cannot represent.
pub(super) fn non_finite_text(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}
