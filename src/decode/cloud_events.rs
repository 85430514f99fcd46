//! `CloudEvents` on Kafka, in both content modes, as one object in the form of the structured mode.
//!
//! In binary mode, the attributes are headers with the prefix `ce_` and the value is the data. In structured mode, the
//! value is the whole event. Format: Kafka protocol binding of `CloudEvents` 1.0.2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{DecodeError, Header, decode_json};

const PREFIX: &str = "ce_";

/// Decodes an event.
///
/// # Errors
/// A dead letter: the record has neither form, or its data is not valid JSON.
pub(super) fn decode(value: &[u8], headers: &[Header<'_>]) -> Result<Value, DecodeError> {
    let text = |name: &str| {
        let header = headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).and_then(|(_, value)| *value);
        header.and_then(|bytes| std::str::from_utf8(bytes).ok())
    };
    let content_type = text("content-type").unwrap_or_default();
    if content_type.starts_with("application/cloudevents-batch") {
        return Err(DecodeError::bad_encoding("the record is a batch of CloudEvents: write one event per record"));
    }
    let is_structured = content_type.starts_with("application/cloudevents");
    if is_structured || text("ce_specversion").is_none() {
        let event = decode_json(value)?;
        let has_version = event.get("specversion").is_some_and(Value::is_string);
        return if has_version {
            Ok(event)
        } else {
            Err(DecodeError::bad_encoding(
                "the record is not a CloudEvent: it has neither the header ce_specversion nor the member specversion",
            ))
        };
    }
    let mut event = Map::new();
    for (name, attribute) in headers {
        let name = name.strip_prefix(PREFIX).filter(|name| !name.is_empty());
        let attribute = attribute.and_then(|bytes| std::str::from_utf8(bytes).ok());
        if let (Some(name), Some(attribute)) = (name, attribute) {
            event.insert(name.to_owned(), attribute.into());
        }
    }
    if !content_type.is_empty() {
        event.insert("datacontenttype".to_owned(), content_type.into());
    }
    if !value.is_empty() {
        let (name, data) = data(value, content_type)?;
        event.insert(name.to_owned(), data);
    }
    Ok(Value::Object(event))
}

/// Returns the member for the data of an event in binary mode, and its value.
fn data(value: &[u8], content_type: &str) -> Result<(&'static str, Value), DecodeError> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.is_empty() || media_type.ends_with("/json") || media_type.ends_with("+json") {
        return Ok(("data", decode_json(value)?));
    }
    match std::str::from_utf8(value) {
        Ok(text) if media_type.starts_with("text/") => Ok(("data", text.into())),
        _ => Ok(("data_base64", STANDARD.encode(value).into())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_modes_give_the_same_event() {
        let event = json!({
            "specversion": "1.0", "id": "a", "source": "/shop", "type": "order", "datacontenttype": "application/json",
            "data": {"total": 5},
        });
        let headers: [Header<'_>; 6] = [
            ("ce_specversion", Some(b"1.0")),
            ("ce_id", Some(b"a")),
            ("ce_source", Some(b"/shop")),
            ("ce_type", Some(b"order")),
            ("content-type", Some(b"application/json")),
            ("trace", Some(b"x")),
        ];
        assert_eq!(decode(br#"{"total":5}"#, &headers), Ok(event.clone()));
        let structured: [Header<'_>; 1] = [("content-type", Some(b"application/cloudevents+json; charset=utf-8"))];
        assert_eq!(decode(event.to_string().as_bytes(), &structured), Ok(event.clone()));
        assert_eq!(decode(event.to_string().as_bytes(), &[]), Ok(event));
    }

    #[test]
    fn data_that_is_not_json_is_text_or_base64() {
        let decode = |value: &[u8], content_type: &'static str| {
            let headers = [("ce_specversion", Some(&b"1.0"[..])), ("content-type", Some(content_type.as_bytes()))];
            decode(value, &headers)
        };
        assert_eq!(decode(b"hi", "text/plain").expect("an event")["data"], json!("hi"));
        assert_eq!(decode(&[0xff], "application/octet-stream").expect("an event")["data_base64"], json!("/w=="));
        assert!(decode(b"{", "application/json").is_err());
        assert!(decode(b"[]", "application/cloudevents-batch+json").is_err());
    }

    #[test]
    fn other_records_are_dead_letters() {
        assert!(decode(br#"{"event_id":"e"}"#, &[]).is_err());
        assert!(decode(b"not json", &[]).is_err());
    }
}
