//! Decodes the JSON value of one touchpoint property as the type that the models declare.
//!
//! A value of another type counts as absent and is never an error, because producers are free to define properties.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::time::{parse_duration, parse_timestamp};
use crate::lifecycle::value::{Type, Value};

/// Maximum length of a text property, in bytes; a longer text counts as absent.
pub(super) const PROPERTY_BYTES_MAX: usize = 1_024;

/// A decoded property value.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum PropertyValue<'a> {
    /// A value that is copied, or borrows its text from the record.
    Plain(Value<'a>),
    /// A text that contained escape sequences, so that it had to be copied.
    Unescaped(String),
}

impl PropertyValue<'_> {
    pub(super) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Plain(value) => *value,
            Self::Unescaped(text) => Value::String(text),
        }
    }
}

/// Decodes a value as the type `declared`. Returns `None` for null, which is the same as a missing property.
pub(super) fn property_value(raw: &RawValue, declared: Type) -> Option<PropertyValue<'_>> {
    let text = raw.get();
    let value = match (text.as_bytes().first()?, declared) {
        (b'n', _) => return None,
        (b't', Type::Bool) => Value::Bool(true),
        (b'f', Type::Bool) => Value::Bool(false),
        (b'-' | b'0'..=b'9', Type::Int) => parse_integer(text).map_or(Value::Absent, Value::Int),
        (b'-' | b'0'..=b'9', Type::Double) => {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map_or(Value::Absent, Value::Double)
        }
        (b'"', Type::String) => match unescaped(text).filter(|text| text.len() <= PROPERTY_BYTES_MAX) {
            Some(Cow::Borrowed(text)) => Value::String(text),
            Some(Cow::Owned(text)) => return Some(PropertyValue::Unescaped(text)),
            None => Value::Absent,
        },
        (b'"', Type::Timestamp) => {
            unescaped(text).and_then(|text| parse_timestamp(&text).ok()).map_or(Value::Absent, Value::Timestamp)
        }
        (b'"', Type::Duration) => {
            unescaped(text).and_then(|text| parse_duration(&text).ok()).map_or(Value::Absent, Value::Duration)
        }
        _ => Value::Absent,
    };
    Some(PropertyValue::Plain(value))
}

/// Returns the content of a JSON string; `None` if an escape is not a valid character.
pub(super) fn unescaped(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(quoted).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// Parses an integer. Accepts `5.0` as 5: JSON does not distinguish them, and some JSON encoders only write
/// floating-point numbers.
fn parse_integer(text: &str) -> Option<i64> {
    // Up to this magnitude, floating-point numbers represent every integer exactly.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let number: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^53")]
    (number.fract() == 0.0 && number.abs() < EXACT_MAX).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::time::{Duration, Timestamp};

    fn value(json: &str, declared: Type) -> Option<PropertyValue<'_>> {
        property_value(serde_json::from_str(json).expect("JSON"), declared)
    }

    #[test]
    fn values_are_read_as_the_declared_type() {
        for (json, declared, expected) in [
            ("9", Type::Int, Value::Int(9)),
            ("9.0", Type::Int, Value::Int(9)),
            ("-9223372036854775808", Type::Int, Value::Int(i64::MIN)),
            ("9", Type::Double, Value::Double(9.0)),
            ("4.5e1", Type::Double, Value::Double(45.0)),
            ("true", Type::Bool, Value::Bool(true)),
            ("false", Type::Bool, Value::Bool(false)),
            (r#""nps""#, Type::String, Value::String("nps")),
            (r#""1970-01-01T00:00:01Z""#, Type::Timestamp, Value::Timestamp(Timestamp::from_millis(1_000))),
            (r#""90s""#, Type::Duration, Value::Duration(Duration::from_millis(90_000))),
        ] {
            assert_eq!(value(json, declared), Some(PropertyValue::Plain(expected)), "{json}");
        }
        assert_eq!(value(r#""a\"b\u00e9""#, Type::String), Some(PropertyValue::Unescaped("a\"b\u{e9}".to_owned())));
    }

    #[test]
    fn values_of_another_type_are_absent() {
        let long = format!("\"{}\"", "x".repeat(PROPERTY_BYTES_MAX + 1));
        for (json, declared) in [
            ("9.5", Type::Int),
            ("1e300", Type::Int),
            (r#""9""#, Type::Int),
            (r#""9""#, Type::Double),
            ("1e400", Type::Double),
            ("1", Type::Bool),
            ("9", Type::String),
            ("true", Type::String),
            (r#""\ud800""#, Type::String),
            (&long, Type::String),
            ("0", Type::Timestamp),
            (r#""yesterday""#, Type::Timestamp),
            ("90", Type::Duration),
            ("[1]", Type::Int),
            (r#"{"a":1}"#, Type::String),
        ] {
            assert_eq!(value(json, declared), Some(PropertyValue::Plain(Value::Absent)), "{json}");
        }
        let longest = long.replacen('x', "", 1);
        assert!(matches!(value(&longest, Type::String), Some(PropertyValue::Plain(Value::String(_)))));
    }

    #[test]
    fn null_counts_as_missing() {
        assert_eq!(value("null", Type::Bool), None);
    }
}
