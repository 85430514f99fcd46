//! A transition as a structured `CloudEvents` event, version 1.0, and as the body of a Standard Webhooks message.

use super::transition::Transition;

/// The media type of one event.
pub(super) const EVENT: &str = "application/cloudevents+json";
/// The media type of a batch of events.
pub(super) const BATCH: &str = "application/cloudevents-batch+json";

/// Typical size of an event without the record, in bytes.
const OVERHEAD_BYTES: usize = 320;
/// Why writing JSON succeeds.
const NEVER: &str = "writing to memory cannot fail";

/// Returns the event in the JSON format.
pub(super) fn event(transition: &Transition) -> Vec<u8> {
    write(
        transition,
        &[
            ("datacontenttype", "application/json"),
            ("id", &transition.id),
            ("source", &transition.source),
            ("specversion", "1.0"),
            ("subject", &transition.customer_id),
            ("time", transition.occurred_at()),
            ("type", &transition.type_name),
        ],
    )
}

/// Returns the body that Standard Webhooks recommends: type, time of the event, data.
pub(super) fn webhook_message(transition: &Transition) -> Vec<u8> {
    // The type may contain letters, digits, `_` and `.` only.
    let part = |name: &str| -> String {
        let text = transition.value[name].as_str().unwrap_or("unknown");
        text.chars().map(|it| if it.is_ascii_alphanumeric() || it == '_' { it } else { '_' }).collect()
    };
    let type_name = format!("lifecycle.{}.{}", part("kind"), part("name"));
    write(transition, &[("timestamp", transition.occurred_at()), ("type", &type_name)])
}

/// Returns an object with the record as `data`, and texts. The record is written from its tree, which is not copied.
fn write(transition: &Transition, texts: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(transition.record.value.as_ref().map_or(0, Vec::len) + OVERHEAD_BYTES);
    out.extend_from_slice(b"{\"data\":");
    serde_json::to_writer(&mut out, &transition.value).expect(NEVER);
    for (name, text) in texts {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        serde_json::to_writer(&mut out, text).expect(NEVER);
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kafka::Record;

    #[test]
    fn events_and_messages_are_json_with_the_record_as_data() {
        let data = json!({
            "transition_id": "t\"1", "customer_id": "c\u{1}\n", "name": "at risk", "kind": "stage",
            "occurred_at": "2026-03-01T10:30:00Z", "orders": {"revenue": "120.5"},
        });
        let value = Some(data.to_string().into_bytes());
        let record = Record { partition: 0, offset: 0, timestamp_ms: None, key: None, value, headers: Vec::new() };
        let transition = Transition::read(record).expect("a transition");
        let parse = |text: Vec<u8>| -> Value { serde_json::from_slice(&text).expect("JSON") };
        let event = json!({
            "specversion": "1.0", "id": "t\"1", "source": "/lifecycle", "type": "lifecycle.v1.Transition",
            "subject": "c\u{1}\n", "time": "2026-03-01T10:30:00Z", "datacontenttype": "application/json", "data": data,
        });
        assert_eq!(parse(super::event(&transition)), event);
        let message = json!({"type": "lifecycle.stage.at_risk", "timestamp": "2026-03-01T10:30:00Z", "data": data});
        assert_eq!(parse(webhook_message(&transition)), message);
    }
}
