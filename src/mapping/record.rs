//! Records of a source as JSON: of a topic, or a line of a file.

use serde_json::{Map, Value};

use super::mapping::SourceRecord;
use super::projection::Projection;
use crate::partition::DeadLetterReason;
use crate::wire::touchpoint_json::DeadLetterCause;

/// The values of a record, owned.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordValues {
    /// The key as text; null if there is none, or if it is not UTF-8.
    pub key: Value,
    /// The headers: an object of texts. Of headers with one name, the last counts; those that are not UTF-8 are left
    /// out.
    pub headers: Value,
    /// The value.
    pub value: Value,
}

impl RecordValues {
    /// Reads a record of a topic whose value is JSON.
    ///
    /// # Errors
    /// If the value is empty, not UTF-8, or neither a JSON object nor a list.
    pub fn of_topic<'h>(
        key: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        value: &[u8],
    ) -> Result<Self, DeadLetterCause> {
        Self::projected(key, headers, value, None)
    }

    /// As [`of_topic`](Self::of_topic), with only those parts of the value that `projection` contains.
    pub(super) fn projected<'h>(
        key: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        value: &[u8],
        projection: Option<&Projection>,
    ) -> Result<Self, DeadLetterCause> {
        Ok(Self { value: projected_object(value, projection)?, ..Self::without_value(key, headers) })
    }

    /// Reads key and headers only; the value is null.
    pub(super) fn without_value<'h>(
        key: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Self {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(Value::from);
        let headers: Map<String, Value> =
            headers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), text(value)?))).collect();
        Self { key: key.and_then(text).unwrap_or(Value::Null), headers: Value::Object(headers), value: Value::Null }
    }

    /// Reads a line of a file: the value of a record, or an object `{"headers": {...}, "key": "...", "value": {...}}`.
    /// In the latter, a text as the value, or `value_base64`, is the bytes of the value.
    ///
    /// # Errors
    /// If the value is empty, not UTF-8, or neither a JSON object nor a list.
    pub fn of_line(line: &[u8]) -> Result<Self, DeadLetterCause> {
        let mut value = object(line)?;
        let is_record = value.as_object().is_some_and(|members| {
            members.get("headers").is_some_and(Value::is_object)
                && members.keys().all(|name| matches!(name.as_str(), "headers" | "key" | "value" | "value_base64"))
                && (members.contains_key("value") != members.contains_key("value_base64"))
        });
        if !is_record {
            return Ok(Self { key: Value::Null, headers: Value::Object(Map::new()), value });
        }
        let inner = match (value["value"].take(), value.get("value_base64").and_then(Value::as_str)) {
            (Value::String(text), _) => object(text.as_bytes())?,
            (_, Some(encoded)) => object(&decoded(encoded)?)?,
            (inner @ (Value::Object(_) | Value::Array(_)), _) => inner,
            _ => return Err(not_an_object()),
        };
        Ok(Self { key: value["key"].take(), headers: value["headers"].take(), value: inner })
    }

    /// Borrows the values.
    #[must_use]
    pub const fn as_record(&self) -> SourceRecord<'_> {
        SourceRecord { key: &self.key, headers: &self.headers, value: &self.value }
    }
}

fn decoded(encoded: &str) -> Result<Vec<u8>, DeadLetterCause> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    STANDARD
        .decode(encoded)
        .map_err(|_| DeadLetterCause::new(DeadLetterReason::NotJson, "value_base64 is not valid base64"))
}

fn object(bytes: &[u8]) -> Result<Value, DeadLetterCause> {
    projected_object(bytes, None)
}

fn projected_object(bytes: &[u8], projection: Option<&Projection>) -> Result<Value, DeadLetterCause> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(DeadLetterCause::new(DeadLetterReason::Empty, "the record has no value"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let detail = format!("the record is not valid UTF-8 at byte {}", error.valid_up_to());
        DeadLetterCause::new(DeadLetterReason::NotUtf8, detail)
    })?;
    let value = projection.map_or_else(|| serde_json::from_str(text), |projection| projection.read(text));
    let value: Value = value.map_err(|error| {
        let detail = format!("the record is not valid JSON at line {}, column {}", error.line(), error.column());
        DeadLetterCause::new(DeadLetterReason::NotJson, detail)
    })?;
    if value.is_object() || value.is_array() { Ok(value) } else { Err(not_an_object()) }
}

/// Returns the cause of a record that no mapping can read.
pub(super) fn not_an_object() -> DeadLetterCause {
    DeadLetterCause::new(
        DeadLetterReason::NotJson,
        "the record is not a JSON object: only a mapping with `batch` reads lists of records",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_a_value_or_a_record_with_headers() {
        let plain = RecordValues::of_line(br#"{"headers": 5, "value": 1}"#).expect("a value");
        assert_eq!(
            (plain.key, plain.headers, plain.value),
            (json!(null), json!({}), json!({"headers": 5, "value": 1}))
        );
        for line in [
            r#"{"headers": {"a": "b"}, "key": "k", "value": {"x": 1}}"#,
            r#"{"headers": {"a": "b"}, "key": "k", "value": "{\"x\": 1}"}"#,
            r#"{"headers": {"a": "b"}, "key": "k", "value_base64": "eyJ4IjogMX0="}"#,
        ] {
            let record = RecordValues::of_line(line.as_bytes()).expect(line);
            assert_eq!((record.key, record.headers, record.value), (json!("k"), json!({"a": "b"}), json!({"x": 1})));
        }
    }

    #[test]
    fn what_is_neither_an_object_nor_a_list_is_a_dead_letter() {
        for (line, reason) in [
            (&b""[..], DeadLetterReason::Empty),
            (b"\xff", DeadLetterReason::NotUtf8),
            (b"{", DeadLetterReason::NotJson),
            (b"1", DeadLetterReason::NotJson),
            (br#"{"headers": {}, "value": 5}"#, DeadLetterReason::NotJson),
            (br#"{"headers": {}, "value_base64": "%"}"#, DeadLetterReason::NotJson),
        ] {
            assert_eq!(RecordValues::of_line(line).expect_err("no object").reason, reason);
        }
    }

    #[test]
    fn a_record_of_a_topic_keeps_key_and_headers_that_are_text() {
        let headers = [("a", &b"1"[..]), ("b", b"\xff"), ("a", b"2")];
        let record = RecordValues::of_topic(Some(b"k"), headers, br#"{"x": 1}"#).expect("a record");
        assert_eq!((record.key, record.headers, record.value), (json!("k"), json!({"a": "2"}), json!({"x": 1})));
    }
}
