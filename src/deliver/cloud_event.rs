//! A transition as a structured `CloudEvents` event, version 1.0, and as the body of a Standard Webhooks message.

use serde_json::{Value, json};

use super::transition::Transition;

/// The media type of one event.
pub(super) const EVENT: &str = "application/cloudevents+json";
/// The media type of a batch of events.
pub(super) const BATCH: &str = "application/cloudevents-batch+json";

/// Returns the event in the JSON format.
pub(super) fn event(transition: &Transition) -> Value {
    json!({
        "specversion": "1.0",
        "id": transition.id,
        "source": transition.source,
        "type": transition.type_name,
        "subject": transition.customer_id,
        "time": transition.occurred_at(),
        "datacontenttype": "application/json",
        "data": transition.value,
    })
}

/// Returns the body that Standard Webhooks recommends: type, time of the event, data.
pub(super) fn webhook_message(transition: &Transition) -> Value {
    // The type may contain letters, digits, `_` and `.` only.
    let part = |name: &str| -> String {
        let text = transition.value[name].as_str().unwrap_or("unknown");
        text.chars().map(|it| if it.is_ascii_alphanumeric() || it == '_' { it } else { '_' }).collect()
    };
    json!({
        "type": format!("lifecycle.{}.{}", part("kind"), part("name")),
        "timestamp": transition.occurred_at(),
        "data": transition.value,
    })
}
