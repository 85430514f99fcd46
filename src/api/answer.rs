//! Words of the floors below as JSON.

use serde_json::{Map, Value, json};

use crate::lifecycle::money::Amount;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::OwnedValue;
use crate::wire::time::{format_duration, format_timestamp};

pub(super) fn instant(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| format_timestamp(time).into())
}

/// The amount as text, as in transitions: a reader's numbers may not hold it exactly.
pub(super) fn amount(amount: Amount) -> Value {
    amount.to_string().into()
}

pub(super) fn value(value: &OwnedValue) -> Value {
    match value {
        OwnedValue::Absent => Value::Null,
        OwnedValue::Int(number) => (*number).into(),
        OwnedValue::Double(number) => json!(number),
        OwnedValue::Bool(truth) => (*truth).into(),
        OwnedValue::String(text) => text.as_ref().into(),
        OwnedValue::Timestamp(time) => format_timestamp(*time).into(),
        OwnedValue::Duration(length) => format_duration(*length).into(),
    }
}

/// Titles by language.
pub(super) fn titles(titles: &[(Box<str>, Box<str>)]) -> Value {
    Value::Object(
        titles.iter().map(|(language, title)| (language.to_string(), title.as_ref().into())).collect::<Map<_, _>>(),
    )
}
