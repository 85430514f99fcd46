//! Small parts of a mapping file: its first key, names, settings and lines.

use std::ops::Range;

use serde_json::Value;

/// Returns the value of a setting. A text is read as the kind of `default` if that is a truth value or a number;
/// otherwise it stays a text.
///
/// # Errors
/// What to write instead.
pub fn typed_setting(given: &Value, default: &Value) -> Result<Value, String> {
    let Some(text) = given.as_str().map(str::trim) else { return Ok(given.clone()) };
    match default {
        Value::Bool(_) => text.parse().map(Value::Bool).map_err(|_| "write true or false".to_owned()),
        Value::Number(_) => {
            serde_json::from_str(text).map(Value::Number).map_err(|_| "write a number, such as 5 or 0.5".to_owned())
        }
        _ => Ok(given.clone()),
    }
}

/// Whether the text is probably a mapping file: it has the key `mapping` at the start of a line.
#[must_use]
pub fn is_mapping_file(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("mapping:"))
}

/// Returns the range of the first line within `span`.
pub(super) fn first_line(text: &str, span: &Range<usize>) -> Range<usize> {
    let length = text.get(span.clone()).and_then(|text| text.lines().next()).map_or(0, str::len);
    span.start..span.start + length
}

/// Whether `name` consists of a-z, 0-9 and _, and starts with a letter.
pub(super) fn is_plain_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
