//! Reads transition records in either format to JSON, the form in which expressions and templates use them.

use prost::Message as _;
use serde_json::{Map, Value, json};

use super::proto::google::protobuf::value::Kind;
use super::proto::google::protobuf::{Struct, Timestamp as ProtoTimestamp, Value as ProtoValue};
use super::proto::lifecycle::v1;
use super::time::format_timestamp;
use crate::lifecycle::time::Timestamp;

/// Maximum nesting depth of `because.values` and `attributes`, whose values are scalars.
const DEPTH_MAX: usize = 8;

/// Reads a record with the media type `content_type`. Without one (`publish.cloudevents: none`), the first byte of the
/// content decides: a JSON object begins with a brace, and a Protobuf message of a transition never does.
///
/// # Errors
/// What is wrong with the record; never its content.
pub fn read_transition(content_type: &str, bytes: &[u8]) -> Result<Value, String> {
    let is_json =
        |bytes: &[u8]| bytes.first() == Some(&b'{') || bytes.first() == Some(&0) && bytes.get(5) == Some(&b'{');
    if content_type.starts_with("application/protobuf") || content_type.is_empty() && !is_json(bytes) {
        // In Confluent's wire format, six bytes precede the message, which itself never begins with a zero byte.
        let message = if bytes.first() == Some(&0) { bytes.get(6..).unwrap_or_default() } else { bytes };
        return match v1::Transition::decode(message) {
            Ok(message) => Ok(to_json(message)),
            Err(_) => Err("not a Protobuf record of a transition".to_owned()),
        };
    }
    // In Confluent's wire format, five bytes precede the text.
    let text = if bytes.first() == Some(&0) { bytes.get(5..).unwrap_or_default() } else { bytes };
    serde_json::from_slice(text)
        .map_err(|error| format!("not a JSON record: line {}, column {}", error.line(), error.column()))
}

/// Returns the fields of the JSON record.
fn to_json(message: v1::Transition) -> Value {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    let is_stage = message.kind == "stage";
    set("transition_id", json!(message.transition_id));
    set("customer_id", json!(message.customer_id));
    set("model", json!(message.model));
    set("model_version", json!(message.model_version));
    set("kind", json!(message.kind));
    set("name", json!(message.name));
    for (name, text) in [("from", message.from), ("to", message.to), ("direction", message.direction)] {
        if let Some(text) = text {
            set(name, json!(text));
        }
    }
    if is_stage {
        set("skipped", json!(message.skipped));
    }
    if let Some(count) = message.count {
        set("count", json!(count));
    }
    set("sequence", json!(message.sequence));
    for (name, time) in [("occurred_at", message.occurred_at), ("detected_at", message.detected_at)] {
        if let Some(time) = time {
            set(name, json!(instant(time)));
        }
    }
    if let Some(cause) = message.cause {
        set(
            "cause",
            match (cause.event_id, cause.r#type) {
                (Some(event_id), type_name) => json!({"event_id": event_id, "type": type_name.unwrap_or_default()}),
                (None, _) => json!({"time": true}),
            },
        );
    }
    if let Some(because) = message.because {
        set("because", json!({"condition": because.condition, "values": values(because.values.unwrap_or_default())}));
    }
    set("late", json!(message.late));
    set("mode", json!(message.mode));
    if let Some(orders) = message.orders {
        let mut totals = json!({"count": orders.count, "revenue": orders.revenue, "currency": orders.currency});
        if let Some(last) = orders.last {
            totals["last"] = json!(instant(last));
        }
        set("orders", totals);
    }
    if let Some(previous) = message.previous {
        let mut stage = json!({"stage": previous.stage});
        if let Some(since) = previous.since {
            stage["since"] = json!(instant(since));
        }
        set("previous", stage);
    }
    if let Some(attributes) = message.attributes {
        set("attributes", values(attributes));
    }
    for (name, id) in [("merged_into", message.merged_into), ("merged_from", message.merged_from)] {
        if let Some(id) = id {
            set(name, json!(id));
        }
    }
    Value::Object(fields)
}

fn values(message: Struct) -> Value {
    Value::Object(message.fields.into_iter().map(|(name, read)| (name, value(read, DEPTH_MAX))).collect())
}

fn instant(time: ProtoTimestamp) -> String {
    let millis = time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos / 1_000_000));
    format_timestamp(Timestamp::from_millis(millis).clamp(Timestamp::MIN, Timestamp::MAX))
}

fn value(message: ProtoValue, depth: usize) -> Value {
    match message.kind {
        Some(Kind::NumberValue(number)) => {
            #[expect(clippy::cast_possible_truncation, reason = "only whole numbers within the exact range are cast")]
            let whole = number as i64;
            let is_whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
            if is_whole { json!(whole) } else { json!(number) }
        }
        Some(Kind::StringValue(text)) => json!(text),
        Some(Kind::BoolValue(value)) => json!(value),
        Some(Kind::StructValue(tree)) if depth > 0 => {
            let fields = tree.fields.into_iter();
            Value::Object(fields.map(|(name, inner)| (name, value(inner, depth - 1))).collect())
        }
        Some(Kind::ListValue(list)) if depth > 0 => list.values.into_iter().map(|it| value(it, depth - 1)).collect(),
        Some(Kind::NullValue(_) | Kind::StructValue(_) | Kind::ListValue(_)) | None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_records_are_refused_without_their_content() {
        for (content_type, bytes) in
            [("application/json", &b"{\"customer_id\":"[..]), ("application/protobuf", &b"c-1042"[..])]
        {
            let problem = read_transition(content_type, bytes).unwrap_err();
            assert!(!problem.contains("customer_id") && !problem.contains("c-1042"), "{problem}");
        }
    }
}
