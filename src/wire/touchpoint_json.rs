//! Decodes touchpoints from the JSON format that `docs/contracts.md` describes.
//!
//! Decodes a record in one pass and skips fields that no model reads. If an object has the same name twice, the last
//! one wins, as in most JSON parsers. Errors name the field and never show its content, which is customer data.

use std::borrow::Cow;
use std::fmt;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::decimal::parse_amount;
use super::property_json::{PropertyValue, property_value, unescaped};
use super::text_json::{Numbers, TextSeed, require_empty};
use super::time::{format_timestamp, parse_timestamp};
use super::touchpoint_hint;
use super::touchpoint_ids::{Ids, RecordKind};
use crate::lifecycle::id::{PropertyIndex, TypeIndex};
use crate::lifecycle::identity::BlockedIds;
use crate::lifecycle::money::{Amount, Currency};
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::lifecycle::value::{Type, Value};
use crate::lifecycle::vocabulary::Vocabulary;
use crate::partition::DeadLetterReason;

/// Maximum length of an event, customer or order id, in bytes.
pub const ID_BYTES_MAX: usize = 512;
/// Some programs write it in front of UTF-8 text. It has no meaning in a record.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Maximum length of a touchpoint type, in bytes.
pub const TYPE_BYTES_MAX: usize = 128;

/// Limits for a touchpoint record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TouchpointOptions {
    /// Maximum size of a record's value, in bytes.
    pub bytes_max: usize,
}

impl TouchpointOptions {
    /// Returns the maximum size of a touchpoint that the service writes to Kafka again, in bytes. The rest is for the
    /// key and the headers: the copy, which may be compressed less, must fit where records of `bytes_max` fit.
    #[must_use]
    pub fn copy_bytes_max(self) -> usize {
        self.bytes_max - self.bytes_max / 64
    }
}

/// The reason why a record is not a valid touchpoint, with details for its dead letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterCause {
    /// The reason, which is also a header value and a metric label.
    pub reason: DeadLetterReason,
    /// Which field is invalid and what was expected; never the content of the field.
    pub detail: Cow<'static, str>,
}

impl DeadLetterCause {
    pub(crate) fn new(reason: DeadLetterReason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Buffers that a decoded touchpoint borrows from, in addition to the record. Create one for each record with
/// `Scratch::default()`: it allocates only if the record has properties that a model reads, or text with
/// escape sequences.
#[derive(Debug, Default)]
pub struct Scratch<'a> {
    fields: Fields<'a>,
    values: Vec<(PropertyIndex, Value<'a>)>,
}

/// The fields found in a record so far. `None` means missing or null.
#[derive(Debug, Default)]
struct Fields<'a> {
    event_id: Option<Cow<'a, str>>,
    customer_id: Option<Cow<'a, str>>,
    anonymous_id: Option<Cow<'a, str>>,
    merged_id: Option<Cow<'a, str>>,
    type_name: Option<Cow<'a, str>>,
    occurred_at: Option<Timestamp>,
    order_id: Option<Cow<'a, str>>,
    amount: Option<Amount>,
    currency: Option<Currency>,
    /// Properties at the top level.
    top_level: Vec<(PropertyIndex, PropertyValue<'a>)>,
    /// Properties within `properties`; they take precedence.
    nested: Vec<(PropertyIndex, PropertyValue<'a>)>,
}

/// Decodes touchpoints for one set of models.
#[derive(Clone, Debug)]
pub struct TouchpointDecoder {
    types: HashMap<Box<str>, TypeIndex, RandomState>,
    properties: HashMap<Box<str>, (PropertyIndex, Type), RandomState>,
    options: TouchpointOptions,
    /// The ids that count as absent; `None` without identity resolution.
    blocked_ids: Option<BlockedIds>,
}

impl TouchpointDecoder {
    /// Creates a decoder that knows the types of `vocabulary` and keeps the properties listed there.
    #[must_use]
    pub fn new(vocabulary: &Vocabulary, options: TouchpointOptions) -> Self {
        let types = (0_u16..).zip(&vocabulary.types).skip(1).map(|(index, name)| (name.clone(), TypeIndex(index)));
        let properties = (0_u16..)
            .zip(&vocabulary.properties)
            .map(|(index, property)| (property.name.clone(), (PropertyIndex(index), property.value_type)));
        Self { types: types.collect(), properties: properties.collect(), options, blocked_ids: None }
    }

    /// Reads the fields `anonymous_id` and `merged_id`, and treats `blocked_ids` as absent, if they are given.
    #[must_use]
    pub fn with_identity(self, blocked_ids: Option<BlockedIds>) -> Self {
        Self { blocked_ids, ..self }
    }

    /// Decodes a record's value.
    ///
    /// # Errors
    /// The first problem found: of the record as a whole, then of its fields in record order, then missing fields.
    pub fn decode<'a>(&self, bytes: &'a [u8], scratch: &'a mut Scratch<'a>) -> Result<Touchpoint<'a>, DeadLetterCause> {
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        if bytes.is_empty() {
            return Err(DeadLetterCause::new(DeadLetterReason::Empty, "the record has no value"));
        }
        if bytes.len() > self.options.bytes_max {
            let detail =
                format!("the record has {} bytes, at most {} are allowed", bytes.len(), self.options.bytes_max);
            return Err(DeadLetterCause::new(DeadLetterReason::TooLarge, detail));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let problem = format!("the record is not valid UTF-8 at byte {}", error.valid_up_to());
            let detail = touchpoint_hint::binary_format(bytes).map_or(Cow::Owned(problem), Cow::Borrowed);
            DeadLetterCause::new(DeadLetterReason::NotUtf8, detail)
        })?;
        let Scratch { fields, values } = scratch;
        self.read(text, fields)?;

        // Reborrowed as shared, so that the touchpoint can borrow from the fields.
        let fields: &'a Fields<'a> = fields;
        for (property, value) in &fields.nested {
            push_present(values, *property, value);
        }
        for (property, value) in &fields.top_level {
            if !fields.nested.iter().any(|(nested, _)| nested == property) {
                push_present(values, *property, value);
            }
        }
        let ids = Ids {
            customer_id: non_empty(fields.customer_id.as_ref()),
            anonymous_id: non_empty(fields.anonymous_id.as_ref()),
            merged_id: non_empty(fields.merged_id.as_ref()),
            kind: RecordKind::of(fields.type_name.as_deref()),
        };
        let ids = match &self.blocked_ids {
            Some(blocked) => ids.resolve(blocked, text)?,
            None => ids.without_identity(text)?,
        };
        let event_id = non_empty(fields.event_id.as_ref())
            .ok_or_else(|| missing(DeadLetterReason::MissingField, "event_id", text))?;
        let type_name = non_empty(fields.type_name.as_ref())
            .ok_or_else(|| missing(DeadLetterReason::MissingField, "type", text))?;
        let occurred_at =
            fields.occurred_at.ok_or_else(|| missing(DeadLetterReason::MissingField, "occurred_at", text))?;
        let touchpoint = Touchpoint {
            event_id,
            customer_id: ids.customer_id,
            anonymous_id: ids.anonymous_id,
            merged_id: ids.merged_id,
            blocked_id: ids.blocked_id,
            is_visitor: ids.is_visitor,
            kind: self.types.get(type_name).copied().unwrap_or(TypeIndex::UNKNOWN),
            type_name,
            occurred_at,
            order_id: non_empty(fields.order_id.as_ref()),
            amount: fields.amount,
            currency: fields.currency,
            properties: values,
        };
        let copy_bytes_max = self.options.copy_bytes_max();
        if self.blocked_ids.is_some() && bytes.len() > copy_bytes_max && !touchpoint.is_erasure() {
            let detail = format!(
                "the record has {} bytes, at most {copy_bytes_max} are allowed with identity resolution, which may forward it",
                bytes.len()
            );
            return Err(DeadLetterCause::new(DeadLetterReason::TooLarge, detail));
        }
        Ok(touchpoint)
    }

    fn read<'a>(&self, text: &'a str, fields: &mut Fields<'a>) -> Result<(), DeadLetterCause> {
        let mut context = ErrorContext::default();
        let mut json = serde_json::Deserializer::from_str(text);
        let visitor = RecordVisitor { decoder: self, fields, context: &mut context };
        let outcome = json.deserialize_map(visitor).and_then(|()| json.end());
        outcome.map_err(|error| match (context.cause, context.field) {
            (Some(cause), _) => cause,
            (None, Some(field)) if error.is_data() => {
                DeadLetterCause::new(DeadLetterReason::BadField, touchpoint_hint::wrong_type(field, text))
            }
            (None, None) if error.is_data() => {
                DeadLetterCause::new(DeadLetterReason::NotJson, touchpoint_hint::not_an_object(text))
            }
            _ => {
                let detail = touchpoint_hint::not_json(text, error.line(), error.column());
                DeadLetterCause::new(DeadLetterReason::NotJson, detail)
            }
        })
    }
}

/// Returns the part of an erasure that other partitions need, as JSON. The record that was read may be so large that a
/// copy of it does not fit into the topic.
#[must_use]
pub fn erasure_copy(erasure: &Touchpoint<'_>) -> Vec<u8> {
    let mut copy = serde_json::json!({
        "event_id": erasure.event_id,
        "type": erasure.type_name,
        "occurred_at": format_timestamp(erasure.occurred_at),
    });
    if !erasure.is_visitor {
        copy["customer_id"] = erasure.customer_id.into();
    }
    if let Some(visitor) = erasure.anonymous_id.or(erasure.is_visitor.then_some(erasure.customer_id)) {
        copy["anonymous_id"] = visitor.into();
    }
    copy.to_string().into_bytes()
}

pub(super) fn missing(reason: DeadLetterReason, field: &'static str, record: &str) -> DeadLetterCause {
    DeadLetterCause::new(reason, touchpoint_hint::missing(field, record))
}

fn push_present<'a>(
    values: &mut Vec<(PropertyIndex, Value<'a>)>,
    property: PropertyIndex,
    value: &'a PropertyValue<'a>,
) {
    let value = value.as_value();
    if value != Value::Absent {
        values.push((property, value));
    }
}

fn non_empty<'a>(text: Option<&'a Cow<'a, str>>) -> Option<&'a str> {
    text.map(|text| &**text).filter(|text| !text.is_empty())
}

/// The field that is being decoded, and the cause of a failure. Error details are built from these instead of serde's
/// messages, which show field contents.
#[derive(Debug, Default)]
struct ErrorContext {
    field: Option<&'static str>,
    cause: Option<DeadLetterCause>,
}

/// What a field name refers to.
enum Name {
    EventId,
    CustomerId,
    AnonymousId,
    MergedId,
    Type,
    OccurredAt,
    OrderId,
    Amount,
    Currency,
    Properties,
    Property(PropertyIndex, Type),
    Ignored,
}

/// Resolves a field name: at the top level to a field of the format or a property, within `properties` only to a
/// property.
#[derive(Clone, Copy)]
struct NameSeed<'s> {
    decoder: &'s TouchpointDecoder,
    is_top_level: bool,
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
        if self.is_top_level {
            match name {
                "event_id" => return Ok(Name::EventId),
                "customer_id" => return Ok(Name::CustomerId),
                "anonymous_id" if self.decoder.blocked_ids.is_some() => return Ok(Name::AnonymousId),
                "merged_id" if self.decoder.blocked_ids.is_some() => return Ok(Name::MergedId),
                "type" => return Ok(Name::Type),
                "occurred_at" => return Ok(Name::OccurredAt),
                "order_id" => return Ok(Name::OrderId),
                "amount" => return Ok(Name::Amount),
                "currency" => return Ok(Name::Currency),
                "properties" => return Ok(Name::Properties),
                _ => {}
            }
        }
        Ok(self
            .decoder
            .properties
            .get(name)
            .map_or(Name::Ignored, |&(index, declared)| Name::Property(index, declared)))
    }
}

/// Reads the record's top-level object.
struct RecordVisitor<'s, 'a> {
    decoder: &'s TouchpointDecoder,
    fields: &'s mut Fields<'a>,
    context: &'s mut ErrorContext,
}

impl<'de> Visitor<'de> for RecordVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { decoder, fields, context } = self;
        while let Some(name) = map.next_key_seed(NameSeed { decoder, is_top_level: true })? {
            match name {
                Name::EventId => {
                    fields.event_id = text(&mut map, context, "event_id", Numbers::AsText, ID_BYTES_MAX)?;
                }
                Name::CustomerId => {
                    fields.customer_id = text(&mut map, context, "customer_id", Numbers::AsText, ID_BYTES_MAX)?;
                }
                Name::AnonymousId => {
                    fields.anonymous_id = text(&mut map, context, "anonymous_id", Numbers::AsText, ID_BYTES_MAX)?;
                }
                Name::MergedId => {
                    fields.merged_id = text(&mut map, context, "merged_id", Numbers::AsText, ID_BYTES_MAX)?;
                }
                Name::OrderId => {
                    fields.order_id = text(&mut map, context, "order_id", Numbers::AsText, ID_BYTES_MAX)?;
                }
                Name::Type => fields.type_name = text(&mut map, context, "type", Numbers::Rejected, TYPE_BYTES_MAX)?,
                Name::OccurredAt => {
                    let time = text(&mut map, context, "occurred_at", Numbers::Rejected, usize::MAX)?;
                    fields.occurred_at = time
                        .filter(|time| !time.is_empty())
                        .map(|time| {
                            parse_timestamp(&time).map_err(|error| match touchpoint_hint::epoch_hint(&time) {
                                Some(hint) => format!("occurred_at: {error}; {hint}"),
                                None => format!("occurred_at: {error}"),
                            })
                        })
                        .transpose()
                        .map_err(|detail| bad_field(context, detail))?;
                }
                Name::Currency => {
                    let code = text(&mut map, context, "currency", Numbers::Rejected, usize::MAX)?;
                    fields.currency = code
                        .filter(|code| !code.is_empty())
                        .map(|code| {
                            Currency::parse(&code).or_else(|| Currency::parse(&code.to_ascii_uppercase())).ok_or(())
                        })
                        .transpose()
                        .map_err(|()| bad_field(context, "currency: expected three letters, such as EUR"))?;
                }
                Name::Amount => {
                    context.field = Some("amount");
                    let raw: &RawValue = map.next_value()?;
                    fields.amount = amount(raw.get()).map_err(|()| {
                        bad_field(context, "amount: expected a number or a text such as 39.90, from -10^12 to 10^12")
                    })?;
                }
                Name::Properties => {
                    context.field = Some("properties");
                    fields.nested.clear();
                    map.next_value_seed(PropertiesSeed { decoder, nested: &mut fields.nested })?;
                }
                Name::Property(index, declared) => property(&mut map, &mut fields.top_level, index, declared)?,
                Name::Ignored => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads the object `properties`. Null, an empty text and an empty array mean that there are none: PHP encodes an empty
/// map as `[]`.
struct PropertiesSeed<'s, 'a> {
    decoder: &'s TouchpointDecoder,
    nested: &'s mut Vec<(PropertyIndex, PropertyValue<'a>)>,
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

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.is_empty() { Ok(()) } else { Err(E::custom("a text")) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<(), A::Error> {
        require_empty(array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(NameSeed { decoder: self.decoder, is_top_level: false })? {
            if let Name::Property(index, declared) = name {
                property(&mut map, self.nested, index, declared)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

fn property<'de, A: MapAccess<'de>>(
    map: &mut A,
    properties: &mut Vec<(PropertyIndex, PropertyValue<'de>)>,
    index: PropertyIndex,
    declared: Type,
) -> Result<(), A::Error> {
    let raw: &'de RawValue = map.next_value()?;
    properties.retain(|&(other, _)| other != index);
    properties.extend(property_value(raw, declared).map(|value| (index, value)));
    Ok(())
}

fn text<'de, A: MapAccess<'de>>(
    map: &mut A,
    context: &mut ErrorContext,
    field: &'static str,
    numbers: Numbers,
    bytes_max: usize,
) -> Result<Option<Cow<'de, str>>, A::Error> {
    context.field = Some(field);
    let text = map.next_value_seed(TextSeed { numbers })?;
    if text.as_ref().is_some_and(|text| text.len() > bytes_max) {
        return Err(bad_field(context, format!("{field} is longer than {bytes_max} bytes")));
    }
    Ok(text)
}

fn amount(raw: &str) -> Result<Option<Amount>, ()> {
    match raw.as_bytes().first() {
        Some(b'n') => Ok(None),
        _ if raw == "\"\"" => Ok(None),
        Some(b'[') if raw[1..].trim_start() == "]" => Ok(None),
        Some(b'"') => unescaped(raw).and_then(|text| parse_amount(&text)).map(Some).ok_or(()),
        _ => parse_amount(raw).map(Some).ok_or(()),
    }
}

fn bad_field<E: serde::de::Error>(context: &mut ErrorContext, detail: impl Into<Cow<'static, str>>) -> E {
    context.cause = Some(DeadLetterCause::new(DeadLetterReason::BadField, detail));
    E::custom("see `ErrorContext::cause`")
}
