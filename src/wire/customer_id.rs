//! Reads the customer id of a single record, for checks; the decoder of touchpoints is `touchpoint_json`.

/// Returns the customer id; `None` if the record is not a JSON object with one.
#[must_use]
pub fn customer_id(record: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(record).ok()?;
    match value.get("customer_id")? {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
