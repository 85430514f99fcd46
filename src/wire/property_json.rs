//! The value of one touchpoint property in JSON, as the type that the models declare.
//!
//! A value of another type is absent, never an error: properties belong to whoever sends them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::time::{parse_duration, parse_timestamp};
use crate::lifecycle::value::{Type, Value};

/// The longest text that a property may have; a longer one is absent.
pub(super) const PROPERTY_BYTES_MAX: usize = 1_024;

/// The value of a property, on its way into a touchpoint.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum PropertyValue<'a> {
    /// A value that borrows from the record alone.
    Plain(Value<'a>),
    /// A text that had escapes.
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

/// Reads a value as `declared`; `None` for null, which counts as not given at all.
pub(super) fn property_value(raw: &RawValue, declared: Type) -> Option<PropertyValue<'_>> {
    let text = raw.get();
    let value = match (text.as_bytes().first()?, declared) {
        (b'n', _) => return None,
        (b't', Type::Bool) => Value::Bool(true),
        (b'f', Type::Bool) => Value::Bool(false),
        (b'-' | b'0'..=b'9', Type::Int) => whole(text).map_or(Value::Absent, Value::Int),
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

/// The text within a JSON string; `None` when an escape stands for no character.
pub(super) fn unescaped(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(quoted).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// A whole number. JSON does not tell `5` from `5.0`, and some writers know floating-point numbers only.
fn whole(text: &str) -> Option<i64> {
    // Up to here every whole number is a floating-point number of its own.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let number: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
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
    fn null_is_not_given() {
        assert_eq!(value("null", Type::Bool), None);
    }
}
