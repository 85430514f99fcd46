//! Touchpoints in the native JSON format, described in `docs/contracts.md`.
//!
//! One pass over the record; what no model reads is stepped over, not built. Of a name that stands twice in an object
//! the last one counts, as with most readers of JSON. Faults name the field and never show what it holds: that belongs
//! to a customer.

use std::borrow::Cow;
use std::fmt;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::decimal::parse_amount;
use super::property_json::{PropertyValue, property_value, unescaped};
use super::time::parse_timestamp;
use crate::lifecycle::id::{PropertyIndex, TypeIndex};
use crate::lifecycle::money::{Amount, Currency};
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::lifecycle::value::{Type, Value};
use crate::lifecycle::vocabulary::Vocabulary;
use crate::partition::Reason;

/// The longest event, customer or order id, in bytes.
pub const ID_BYTES_MAX: usize = 512;
/// The longest touchpoint type, in bytes.
pub const TYPE_BYTES_MAX: usize = 128;

/// Limits of a touchpoint record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TouchpointOptions {
    /// The largest record that is read, in bytes.
    pub bytes_max: usize,
}

/// Why a record is no touchpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// The kind of fault, as headers and metrics name it.
    pub reason: Reason,
    /// Which field, and what was expected; never its content.
    pub detail: Cow<'static, str>,
}

impl Malformed {
    fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// What a decoded touchpoint borrows from, beside the record. Made anew for each record, with `Scratch::default()`: it
/// allocates nothing until a record has properties that are read, or escapes in its texts.
#[derive(Debug, Default)]
pub struct Scratch<'a> {
    fields: Fields<'a>,
    values: Vec<(PropertyIndex, Value<'a>)>,
}

/// What was found in a record so far. `None` is not given, or null.
#[derive(Debug, Default)]
struct Fields<'a> {
    event_id: Option<Cow<'a, str>>,
    customer_id: Option<Cow<'a, str>>,
    type_name: Option<Cow<'a, str>>,
    occurred_at: Option<Timestamp>,
    order_id: Option<Cow<'a, str>>,
    amount: Option<Amount>,
    currency: Option<Currency>,
    /// Properties at the top level.
    outer: Vec<(PropertyIndex, PropertyValue<'a>)>,
    /// Properties within `properties`; they win.
    inner: Vec<(PropertyIndex, PropertyValue<'a>)>,
}

/// Decodes touchpoints.
#[derive(Debug)]
pub struct TouchpointDecoder {
    types: HashMap<Box<str>, TypeIndex, RandomState>,
    properties: HashMap<Box<str>, (PropertyIndex, Type), RandomState>,
    options: TouchpointOptions,
}

impl TouchpointDecoder {
    /// A decoder that knows the types of `vocabulary`, and keeps the properties that it reads.
    #[must_use]
    pub fn new(vocabulary: &Vocabulary, options: TouchpointOptions) -> Self {
        let types = (0_u16..).zip(&vocabulary.types).skip(1).map(|(index, name)| (name.clone(), TypeIndex(index)));
        let properties = (0_u16..)
            .zip(&vocabulary.properties)
            .map(|(index, property)| (property.name.clone(), (PropertyIndex(index), property.value_type)));
        Self { types: types.collect(), properties: properties.collect(), options }
    }

    /// Decodes a record's value.
    ///
    /// # Errors
    /// The first fault found: of the record as a whole, then of its fields as they stand in it, then of what is missing.
    pub fn decode<'a>(&self, bytes: &'a [u8], scratch: &'a mut Scratch<'a>) -> Result<Touchpoint<'a>, Malformed> {
        if bytes.is_empty() {
            return Err(Malformed::new(Reason::Empty, "the record has no value"));
        }
        if bytes.len() > self.options.bytes_max {
            let detail = format!("the record has {} bytes, {} are allowed", bytes.len(), self.options.bytes_max);
            return Err(Malformed::new(Reason::TooLarge, detail));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            Malformed::new(Reason::NotUtf8, format!("the record is not UTF-8 from byte {}", error.valid_up_to()))
        })?;
        let Scratch { fields, values } = scratch;
        self.read(text, fields)?;

        // From here on the fields are only read, which lets the touchpoint borrow from them.
        let fields: &'a Fields<'a> = fields;
        for (property, value) in &fields.inner {
            push_given(values, *property, value);
        }
        for (property, value) in &fields.outer {
            if !fields.inner.iter().any(|(inner, _)| inner == property) {
                push_given(values, *property, value);
            }
        }
        let customer_id = filled(fields.customer_id.as_ref())
            .ok_or_else(|| Malformed::new(Reason::NoCustomer, "customer_id is missing or empty"))?;
        let event_id = filled(fields.event_id.as_ref())
            .ok_or_else(|| Malformed::new(Reason::MissingField, "event_id is missing or empty"))?;
        let type_name = filled(fields.type_name.as_ref())
            .ok_or_else(|| Malformed::new(Reason::MissingField, "type is missing or empty"))?;
        let occurred_at =
            fields.occurred_at.ok_or_else(|| Malformed::new(Reason::MissingField, "occurred_at is missing"))?;
        Ok(Touchpoint {
            event_id,
            customer_id,
            kind: self.types.get(type_name).copied().unwrap_or(TypeIndex::UNKNOWN),
            type_name,
            occurred_at,
            order_id: filled(fields.order_id.as_ref()),
            amount: fields.amount,
            currency: fields.currency,
            properties: values,
        })
    }

    fn read<'a>(&self, text: &'a str, fields: &mut Fields<'a>) -> Result<(), Malformed> {
        let mut progress = Progress::default();
        let mut json = serde_json::Deserializer::from_str(text);
        let visitor = RecordVisitor { decoder: self, fields, progress: &mut progress };
        let outcome = json.deserialize_map(visitor).and_then(|()| json.end());
        outcome.map_err(|error| match (progress.fault, progress.field) {
            (Some(fault), _) => fault,
            (None, Some(field)) if error.is_data() => {
                Malformed::new(Reason::BadField, format!("{field} has a value of the wrong type"))
            }
            (None, None) if error.is_data() => Malformed::new(Reason::NotJson, "the record is no JSON object"),
            _ => Malformed::new(
                Reason::NotJson,
                format!("the record is no valid JSON at line {}, column {}", error.line(), error.column()),
            ),
        })
    }
}

fn push_given<'a>(values: &mut Vec<(PropertyIndex, Value<'a>)>, property: PropertyIndex, value: &'a PropertyValue<'a>) {
    let value = value.as_value();
    if value != Value::Absent {
        values.push((property, value));
    }
}

fn filled<'a>(text: Option<&'a Cow<'a, str>>) -> Option<&'a str> {
    text.map(|text| &**text).filter(|text| !text.is_empty())
}

/// Where reading is, for the sake of faults: errors of serde show contents, so that none of their text is used.
#[derive(Debug, Default)]
struct Progress {
    field: Option<&'static str>,
    fault: Option<Malformed>,
}

/// A name in the record.
enum Name {
    EventId,
    CustomerId,
    Type,
    OccurredAt,
    OrderId,
    Amount,
    Currency,
    Properties,
    Property(PropertyIndex, Type),
    Unread,
}

/// Resolves a name: at the top level the native fields, then, and within `properties` only, the properties.
#[derive(Clone, Copy)]
struct NameSeed<'s> {
    decoder: &'s TouchpointDecoder,
    with_native: bool,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = Name;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        if self.with_native {
            match name {
                "event_id" => return Ok(Name::EventId),
                "customer_id" => return Ok(Name::CustomerId),
                "type" => return Ok(Name::Type),
                "occurred_at" => return Ok(Name::OccurredAt),
                "order_id" => return Ok(Name::OrderId),
                "amount" => return Ok(Name::Amount),
                "currency" => return Ok(Name::Currency),
                "properties" => return Ok(Name::Properties),
                _ => {}
            }
        }
        Ok(self.decoder.properties.get(name).map_or(Name::Unread, |&(index, declared)| Name::Property(index, declared)))
    }
}

/// Reads the record's object.
struct RecordVisitor<'s, 'a> {
    decoder: &'s TouchpointDecoder,
    fields: &'s mut Fields<'a>,
    progress: &'s mut Progress,
}

impl<'de> Visitor<'de> for RecordVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { decoder, fields, progress } = self;
        while let Some(name) = map.next_key_seed(NameSeed { decoder, with_native: true })? {
            match name {
                Name::EventId => {
                    fields.event_id = text(&mut map, progress, "event_id", Numbers::AsText, ID_BYTES_MAX)?;
                }
                Name::CustomerId => {
                    fields.customer_id = text(&mut map, progress, "customer_id", Numbers::AsText, ID_BYTES_MAX)?;
                }
                Name::OrderId => {
                    fields.order_id = text(&mut map, progress, "order_id", Numbers::AsText, ID_BYTES_MAX)?;
                }
                Name::Type => fields.type_name = text(&mut map, progress, "type", Numbers::Refused, TYPE_BYTES_MAX)?,
                Name::OccurredAt => {
                    let time = text(&mut map, progress, "occurred_at", Numbers::Refused, usize::MAX)?;
                    fields.occurred_at = time
                        .map(|time| parse_timestamp(&time))
                        .transpose()
                        .map_err(|error| bad_field(progress, format!("occurred_at: {error}")))?;
                }
                Name::Currency => {
                    let code = text(&mut map, progress, "currency", Numbers::Refused, usize::MAX)?;
                    fields.currency = code
                        .map(|code| {
                            Currency::parse(&code).or_else(|| Currency::parse(&code.to_ascii_uppercase())).ok_or(())
                        })
                        .transpose()
                        .map_err(|()| bad_field(progress, "currency: expected three letters, such as EUR"))?;
                }
                Name::Amount => {
                    progress.field = Some("amount");
                    let raw: &RawValue = map.next_value()?;
                    fields.amount = amount(raw.get()).map_err(|()| {
                        bad_field(progress, "amount: expected a number or a decimal text, at most 10^12 either way")
                    })?;
                }
                Name::Properties => {
                    progress.field = Some("properties");
                    fields.inner.clear();
                    map.next_value_seed(PropertiesSeed { decoder, inner: &mut fields.inner })?;
                }
                Name::Property(index, declared) => property(&mut map, &mut fields.outer, index, declared)?,
                Name::Unread => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads the object `properties`, or null.
struct PropertiesSeed<'s, 'a> {
    decoder: &'s TouchpointDecoder,
    inner: &'s mut Vec<(PropertyIndex, PropertyValue<'a>)>,
}

impl<'de> DeserializeSeed<'de> for PropertiesSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PropertiesSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(NameSeed { decoder: self.decoder, with_native: false })? {
            if let Name::Property(index, declared) = name {
                property(&mut map, self.inner, index, declared)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

fn property<'de, A: MapAccess<'de>>(
    map: &mut A,
    given: &mut Vec<(PropertyIndex, PropertyValue<'de>)>,
    index: PropertyIndex,
    declared: Type,
) -> Result<(), A::Error> {
    let raw: &'de RawValue = map.next_value()?;
    given.retain(|&(other, _)| other != index);
    given.extend(property_value(raw, declared).map(|value| (index, value)));
    Ok(())
}

fn text<'de, A: MapAccess<'de>>(
    map: &mut A,
    progress: &mut Progress,
    field: &'static str,
    numbers: Numbers,
    bytes_max: usize,
) -> Result<Option<Cow<'de, str>>, A::Error> {
    progress.field = Some(field);
    let text = map.next_value_seed(TextSeed { numbers })?;
    if text.as_ref().is_some_and(|text| text.len() > bytes_max) {
        return Err(bad_field(progress, format!("{field} is longer than {bytes_max} bytes")));
    }
    Ok(text)
}

fn amount(raw: &str) -> Result<Option<Amount>, ()> {
    match raw.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => unescaped(raw).and_then(|text| parse_amount(&text)).map(Some).ok_or(()),
        _ => parse_amount(raw).map(Some).ok_or(()),
    }
}

fn bad_field<E: serde::de::Error>(progress: &mut Progress, detail: impl Into<Cow<'static, str>>) -> E {
    progress.fault = Some(Malformed::new(Reason::BadField, detail));
    E::custom("see the fault")
}

/// What becomes of a number where a text is expected.
#[derive(Clone, Copy)]
enum Numbers {
    /// A whole number is its decimal text: many shops number their customers.
    AsText,
    /// It is of the wrong type.
    Refused,
}

/// Reads a text, or null.
struct TextSeed {
    numbers: Numbers,
}

impl TextSeed {
    fn number<'de, E: serde::de::Error>(&self, number: impl fmt::Display) -> Result<Option<Cow<'de, str>>, E> {
        match self.numbers {
            Numbers::AsText => Ok(Some(Cow::Owned(number.to_string()))),
            Numbers::Refused => Err(E::custom("a number")),
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
}
