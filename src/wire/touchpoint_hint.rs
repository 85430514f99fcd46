//! Explains why a record is not a touchpoint: what was expected, what was found, and how to fix shapes that are common
//! in other systems.
//!
//! Runs only for dead letters, so it parses the record again. The texts name fields and kinds of values, never
//! contents, which are customer data.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::property_json::unescaped;

/// The fields of the record at its top level.
type Members<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

/// Names that other systems use for the required fields.
const OTHER_NAMES: [(&str, &[&str]); 4] = [
    ("event_id", &["eventId", "event_uuid", "messageId", "message_id", "insert_id", "uuid", "id"]),
    ("customer_id", &["customerId", "user_id", "userId", "distinct_id", "subject", "customer", "user"]),
    ("type", &["event_type", "eventType", "event_name", "eventName", "event", "name"]),
    ("occurred_at", &["occurredAt", "timestamp", "event_time", "eventTime", "created_at", "createdAt", "time", "ts"]),
];

/// Returns a message for a value of `field` that has the wrong type.
pub(super) fn wrong_type(field: &str, record: &str) -> String {
    let value = members(record).and_then(|members| members.get(field).map(|value| value.get()));
    let expected = match field {
        "occurred_at" => "a time in RFC 3339, such as \"2026-01-31T09:00:00Z\"",
        "event_id" | "customer_id" | "anonymous_id" | "merged_id" | "order_id" => "a text or a whole number",
        "properties" => "an object",
        "currency" => "three letters, such as \"EUR\"",
        _ => "a text",
    };
    let Some(value) = value else { return format!("{field}: expected {expected}") };
    let hint = match field {
        "occurred_at" => epoch_hint(value),
        "event_id" | "customer_id" | "anonymous_id" | "merged_id" | "order_id" if is_whole_number(value) => {
            Some("it is below 0 or above 18446744073709551615: write it as a text")
        }
        "event_id" | "customer_id" | "anonymous_id" | "merged_id" | "order_id" if is_number(value) => Some(
            "it looks like an id that a spreadsheet or a data frame has turned into a decimal number, with .0 at its \
             end: write it as a text or a whole number",
        ),
        _ => None,
    };
    let found = kind(value);
    match hint {
        Some(hint) => format!("{field}: expected {expected}, found {found}; {hint}"),
        None => format!("{field}: expected {expected}, found {found}"),
    }
}

/// Returns a hint for a time that is written as a number, or as a text of digits.
pub(super) fn epoch_hint(value: &str) -> Option<&'static str> {
    let digits = value.trim_matches('"').trim_start_matches('-');
    let whole = digits.split('.').next().filter(|whole| whole.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(match whole.len() {
        9 | 10 => "it looks like seconds since 1970: convert it to RFC 3339",
        12 | 13 => "it looks like milliseconds since 1970: convert it to RFC 3339",
        15 | 16 => "it looks like microseconds since 1970: convert it to RFC 3339",
        18 | 19 => "it looks like nanoseconds since 1970: convert it to RFC 3339",
        _ => return None,
    })
}

/// Whether the record has the field `name`.
pub(super) fn has_member(record: &str, name: &str) -> bool {
    members(record).is_some_and(|members| members.contains_key(name))
}

/// Returns a message for a record whose `field` is missing or empty.
pub(super) fn missing(field: &'static str, record: &str) -> Cow<'static, str> {
    let Some(members) = members(record) else { return format!("{field} is missing or empty").into() };
    let has = |name: &str| members.contains_key(name);
    let hint = if let Some((what, preset)) = vendor_shape(&members) {
        format!("this is {what}: read it as a source with the mapping `{preset}` (docs/sources.md)")
    } else if has("schema") && has("payload") {
        "this is an envelope of Kafka Connect: set value.converter.schemas.enable=false, so that the record is its \
         payload"
            .into()
    } else if has("op") && (has("after") || has("before")) {
        "this is a change event of Debezium: write the row alone, with the transformation ExtractNewRecordState".into()
    } else {
        let names = OTHER_NAMES.iter().find(|(name, _)| *name == field).map_or(&[][..], |(_, names)| names);
        match names.iter().find(|name| has(name)) {
            Some(other) => format!("the record has {other}: rename it to {field}"),
            None => return format!("{field} is missing or empty").into(),
        }
    };
    format!("{field} is missing or empty; {hint}").into()
}

/// Returns what a record is that has the shape of another system, and the preset that maps it.
fn vendor_shape(members: &Members<'_>) -> Option<(&'static str, &'static str)> {
    let has = |names: &[&str]| names.iter().all(|name| members.contains_key(*name));
    let text = |name: &str| members.get(name).and_then(|value| unescaped(value.get()));
    let is_call = matches!(text("type").as_deref(), Some("track" | "identify" | "page" | "screen" | "group" | "alias"));
    Some(if has(&["specversion"]) {
        ("a CloudEvent in structured mode", "cloudevents")
    } else if is_call && has(&["messageId", "rudderId"]) {
        ("a RudderStack call", "rudderstack")
    } else if is_call && (has(&["messageId"]) || has(&["userId"]) || has(&["anonymousId"])) {
        ("a Segment call", "segment")
    } else if has(&["collector_tstamp", "derived_tstamp"]) {
        ("an enriched event of Snowplow", "snowplow")
    } else if has(&["event_timestamp", "event_name", "event_params"]) || has(&["client_id", "events"]) {
        ("an event of Google Analytics 4", "ga4")
    } else if text("object").as_deref() == Some("event") && has(&["data", "livemode"]) {
        ("an event of Stripe", "stripe")
    } else if has(&["admin_graphql_api_id"]) {
        ("a webhook of Shopify", "shopify")
    } else if has(&["order_key", "date_created_gmt"]) {
        ("a webhook of WooCommerce", "woocommerce")
    } else {
        return None;
    })
}

/// Returns a message for a JSON value that is not an object.
pub(super) fn not_an_object(record: &str) -> &'static str {
    match record.trim_start().as_bytes().first() {
        Some(b'[') => "the record is a JSON array, not an object: write one touchpoint per record",
        Some(b'"') => "the record is a JSON text, not an object: if it contains JSON, it was encoded twice",
        _ => "the record is not a JSON object",
    }
}

/// Returns a message for a record that is not valid JSON at this position.
pub(super) fn not_json(record: &str, line: usize, column: usize) -> Cow<'static, str> {
    if let Some(format) = binary_format(record.as_bytes()) {
        return format.into();
    }
    let problem = format!("the record is not valid JSON at line {line}, column {column}");
    match syntax_hint(record) {
        Some(hint) => format!("{problem}; {hint}").into(),
        None => problem.into(),
    }
}

/// Returns a hint for text that is almost JSON, or in another language.
fn syntax_hint(record: &str) -> Option<&'static str> {
    let mut values = serde_json::Deserializer::from_str(record).into_iter::<IgnoredAny>();
    if matches!(values.next(), Some(Ok(_))) {
        return match record[values.byte_offset()..].trim_start().as_bytes().first()? {
            b',' => Some("a comma follows the object: remove it"),
            b'{' => Some("another object follows: write one touchpoint per record"),
            _ => None,
        };
    }
    match record.trim_start().as_bytes() {
        [b'{', b'\'', ..] => Some("this looks like a dictionary of Python: JSON has texts between double quotes"),
        [b'<', ..] => Some("this looks like XML"),
        _ => None,
    }
}

/// Returns what `bytes` seem to be, if they are in a binary format that is common in Kafka topics.
pub(super) fn binary_format(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        // Confluent's wire format: a zero byte, the schema id in four bytes, the data.
        [0, _, _, _, _, _, ..] => Some(
            "the record begins with the magic byte and the id of a schema registry (Avro, Protobuf or JSON Schema): \
             write plain JSON, for example with a converter without a registry",
        ),
        [0x1f, 0x8b, ..] => {
            Some("the record is compressed with gzip: use compression.type of the producer instead, which Kafka undoes")
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("the record is in UTF-16: write UTF-8"),
        [b'O', b'b', b'j', 1, ..] => Some("the record is an Avro file: write plain JSON"),
        _ => None,
    }
}

fn members(record: &str) -> Option<Members<'_>> {
    serde_json::from_str(record).ok()
}

fn is_number(value: &str) -> bool {
    matches!(value.as_bytes().first(), Some(b'-' | b'0'..=b'9'))
}

fn is_whole_number(value: &str) -> bool {
    let digits = value.trim_start_matches('-');
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the kind of a JSON value.
fn kind(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "true or false",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::wrong_type;

    #[test]
    fn only_a_decimal_number_looks_like_an_id_of_a_spreadsheet() {
        for (id, expected) in [
            ("18446744073709551616", "above 18446744073709551615: write it as a text"),
            ("-1", "below 0"),
            ("17850.0", "with .0 at its end"),
            ("1e3", "with .0 at its end"),
        ] {
            let found = wrong_type("customer_id", &format!("{{\"customer_id\": {id}}}"));
            assert!(found.contains(expected) && !found.contains(id), "{found}");
        }
    }
}
