//! Transition records in Protobuf: `lifecycle.v1.Transition`, with the same content as the JSON records.

use prost::Message as _;

use super::proto::google::protobuf::value::Kind;
use super::proto::google::protobuf::{Struct, Timestamp as ProtoTimestamp, Value as ProtoValue};
use super::proto::lifecycle::v1;
use super::time::{format_seconds, format_timestamp};
use super::transition::{Publication, signal_word};
use super::transition_value::non_finite_text;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::{Cause, Change, Merge};
use crate::lifecycle::value::OwnedValue;

/// Appends `publication` to `out` as a Protobuf record.
pub fn write_protobuf(publication: &Publication<'_>, out: &mut Vec<u8>) {
    // The generated type has a method `from`, so the trait must be named.
    let message = <v1::Transition as From<_>>::from(publication);
    out.extend_from_slice(&message.encode_to_vec());
}

impl From<&Publication<'_>> for v1::Transition {
    fn from(publication: &Publication<'_>) -> Self {
        let transition = publication.transition;
        let model = publication.model();
        let name_of = |stage| model.stage(stage).name.to_string();
        let mut message = Self {
            transition_id: transition.id.hyphenated().to_string(),
            customer_id: transition.customer_id.to_string(),
            model: model.name.to_string(),
            model_version: model.version,
            kind: transition.change.kind().to_owned(),
            name: transition.name.to_string(),
            sequence: transition.sequence,
            occurred_at: Some(proto_timestamp(transition.occurred_at)),
            detected_at: Some(proto_timestamp(publication.detected_at)),
            cause: Some(cause(&transition.cause)),
            because: publication.reason().map(|reason| v1::Because {
                condition: reason.condition.to_string(),
                values: publication.has_values().then(|| Struct {
                    fields: reason.values().map(|(name, read)| (name.to_owned(), value(read))).collect(),
                }),
            }),
            late: transition.late,
            mode: publication.mode.as_str().to_owned(),
            orders: Some(v1::Orders {
                count: transition.orders.count,
                revenue: transition.orders.revenue.to_string(),
                currency: publication.currency.as_str().to_owned(),
                last: transition.orders.last.map(proto_timestamp),
            }),
            attributes: publication.attributes().map(|attributes| Struct {
                fields: attributes.iter().map(|(name, read)| (name.to_owned(), value(read))).collect(),
            }),
            merged_into: transition.merge.as_ref().and_then(Merge::merged_into).map(str::to_owned),
            merged_from: transition.merge.as_ref().and_then(Merge::merged_from).map(str::to_owned),
            ..Self::default()
        };
        match &transition.change {
            Change::Stage { from, to, skipped, direction, previous_since } => {
                message.from = from.map(name_of);
                message.to = to.map(name_of);
                message.skipped = skipped.iter().copied().map(name_of).collect();
                message.direction = Some(direction.as_str().to_owned());
                message.previous =
                    from.map(|from| v1::Previous { stage: name_of(from), since: previous_since.map(proto_timestamp) });
            }
            Change::Signal { on } => message.to = Some(signal_word(*on).to_owned()),
            Change::Milestone => {}
            Change::Counter { count } => message.count = Some(*count),
        }
        message
    }
}

pub(super) fn proto_timestamp(time: Timestamp) -> ProtoTimestamp {
    // Clamped, because Protobuf timestamps have only the range of RFC 3339: years 1 to 9999.
    let millis = time.clamp(Timestamp::MIN, Timestamp::MAX).as_millis();
    let nanos = i32::try_from(millis.rem_euclid(1_000) * 1_000_000).expect("below a second");
    ProtoTimestamp { seconds: millis.div_euclid(1_000), nanos }
}

fn cause(cause: &Cause) -> v1::Cause {
    match cause {
        Cause::Time => v1::Cause { time: Some(true), ..v1::Cause::default() },
        Cause::Touchpoint { event_id, type_name } => {
            v1::Cause { event_id: Some(event_id.to_string()), r#type: Some(type_name.to_string()), time: None }
        }
    }
}

fn value(value: Option<&OwnedValue>) -> ProtoValue {
    let kind = match value {
        None => Kind::NullValue(0),
        #[expect(clippy::cast_precision_loss, reason = "Protobuf's Value has only floating-point numbers")]
        Some(OwnedValue::Int(number)) => Kind::NumberValue(*number as f64),
        Some(OwnedValue::Double(number)) if number.is_finite() => Kind::NumberValue(*number),
        Some(OwnedValue::Double(number)) => Kind::StringValue(non_finite_text(*number).to_owned()),
        Some(OwnedValue::Bool(value)) => Kind::BoolValue(*value),
        Some(OwnedValue::String(text)) => Kind::StringValue(text.to_string()),
        Some(OwnedValue::Timestamp(instant)) => Kind::StringValue(format_timestamp(*instant)),
        Some(OwnedValue::Duration(length)) => Kind::StringValue(format_seconds(*length)),
    };
    ProtoValue { kind: Some(kind) }
}
