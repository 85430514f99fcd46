//! Transition records in JSON: the mapping of `lifecycle.v1.Transition` that `docs/contracts.md` describes.
//!
//! Records are written directly to a byte buffer, in the order of the schema's fields. Only tools and tests read them
//! back.

use std::collections::BTreeMap;
use std::io::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;

use super::time::write_timestamp;
use super::transition::{Publication, signal_word};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::transition::{Cause, Change, OwnedValue};

/// Appends `publication` to `out` as a JSON record.
pub fn write_json(publication: &Publication<'_>, out: &mut Vec<u8>) {
    let Publication { transition, detected_at, mode, currency, .. } = *publication;
    let model = publication.model();
    let mut object = Object::open(out);
    object.raw("transition_id", format_args!("\"{}\"", transition.id.hyphenated()));
    object.text("customer_id", &transition.customer_id);
    object.text("model", &model.name);
    object.raw("model_version", format_args!("{}", model.version));
    object.text("kind", transition.change.kind());
    object.text("name", &transition.name);
    match &transition.change {
        Change::Stage { from, to, skipped, direction, .. } => {
            if let Some(from) = from {
                object.text("from", &model.stage(*from).name);
            }
            if let Some(to) = to {
                object.text("to", &model.stage(*to).name);
            }
            let out = object.name("skipped");
            out.push(b'[');
            for (index, stage) in skipped.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(&model.stage(*stage).name, out);
            }
            out.push(b']');
            object.text("direction", direction.as_str());
        }
        Change::Signal { on } => object.text("to", signal_word(*on)),
        Change::Milestone => {}
        Change::Counter { count } => object.raw("count", format_args!("{count}")),
    }
    object.raw("sequence", format_args!("{}", transition.sequence));
    object.instant("occurred_at", transition.occurred_at);
    object.instant("detected_at", detected_at);

    let mut cause = Object::open(object.name("cause"));
    match &transition.cause {
        Cause::Time => cause.raw("time", format_args!("true")),
        Cause::Touchpoint { event_id, type_name } => {
            cause.text("event_id", event_id);
            cause.text("type", type_name);
        }
    }
    cause.close();

    if publication.has_reason() {
        let mut because = Object::open(object.name("because"));
        because.text("condition", &transition.because);
        let mut values = Object::open(because.name("values"));
        for (name, value) in &transition.values {
            let out = values.name(name);
            write_value(value, out);
        }
        values.close();
        because.close();
    }
    object.raw("late", format_args!("{}", transition.late));
    object.text("mode", mode.as_str());

    let mut orders = Object::open(object.name("orders"));
    orders.raw("count", format_args!("{}", transition.orders.count));
    orders.raw("revenue", format_args!("\"{}\"", transition.orders.revenue));
    orders.text("currency", currency.as_str());
    if let Some(last) = transition.orders.last {
        orders.instant("last", last);
    }
    orders.close();

    if let Change::Stage { from: Some(from), previous_since, .. } = &transition.change {
        let mut previous = Object::open(object.name("previous"));
        previous.text("stage", &model.stage(*from).name);
        if let Some(since) = previous_since {
            previous.instant("since", *since);
        }
        previous.close();
    }
    object.close();
}

/// A JSON object that is being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    fn close(self) {
        self.out.push(b'}');
    }

    /// Writes the name of a field; the caller must write the value next.
    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        write_text(name, self.out);
        self.out.push(b':');
        self.out
    }

    fn text(&mut self, name: &str, value: &str) {
        write_text(value, self.name(name));
    }

    fn instant(&mut self, name: &str, instant: Timestamp) {
        write_instant(instant, self.name(name));
    }

    /// Writes a field with a value that is already formatted as JSON.
    fn raw(&mut self, name: &str, value: std::fmt::Arguments<'_>) {
        self.name(name).write_fmt(value).expect("writing to memory cannot fail");
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing to memory cannot fail");
}

fn write_instant(instant: Timestamp, out: &mut Vec<u8>) {
    out.push(b'"');
    write_timestamp(instant, out);
    out.push(b'"');
}

fn write_value(value: &OwnedValue, out: &mut Vec<u8>) {
    match value {
        OwnedValue::Absent => out.extend_from_slice(b"null"),
        OwnedValue::Int(number) => write!(out, "{number}").expect("writing to memory cannot fail"),
        OwnedValue::Double(number) if number.is_finite() => {
            serde_json::to_writer(out, number).expect("writing to memory cannot fail");
        }
        OwnedValue::Double(number) => write_text(non_finite_text(*number), out),
        OwnedValue::Bool(value) => write!(out, "{value}").expect("writing to memory cannot fail"),
        OwnedValue::String(text) => write_text(text, out),
        OwnedValue::Timestamp(instant) => write_instant(*instant, out),
        OwnedValue::Duration(length) => write_text(&format_seconds(*length), out),
    }
}

/// Returns the text that Protobuf's JSON mapping uses for a number that JSON cannot represent.
pub(super) fn non_finite_text(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// Formats a duration like Protobuf's JSON mapping: `7776000s`, `-0.500s`.
pub(super) fn format_seconds(length: Duration) -> String {
    let sign = if length.as_millis() < 0 { "-" } else { "" };
    let millis = length.as_millis().unsigned_abs();
    match millis % 1_000 {
        0 => format!("{sign}{}s", millis / 1_000),
        fraction => format!("{sign}{}.{fraction:03}s", millis / 1_000),
    }
}

/// A transition record, as published.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the fields are those of lifecycle.v1.Transition")]
pub struct TransitionRecord {
    #[schemars(extend("format" = "uuid"))]
    pub transition_id: String,
    pub customer_id: String,
    pub model: String,
    pub model_version: u32,
    pub kind: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    pub sequence: u64,
    #[schemars(extend("format" = "date-time"))]
    pub occurred_at: String,
    #[schemars(extend("format" = "date-time"))]
    pub detected_at: String,
    pub cause: CauseRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<BecauseRecord>,
    pub late: bool,
    pub mode: String,
    pub orders: OrdersRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousRecord>,
}

/// What caused a transition: a touchpoint, or time.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the fields are those of lifecycle.v1.Cause")]
pub struct CauseRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub time: bool,
}

/// The condition that holds now, and the values that it read.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the fields are those of lifecycle.v1.Because")]
pub struct BecauseRecord {
    pub condition: String,
    pub values: BTreeMap<String, serde_json::Value>,
}

/// The customer's valid orders after the change.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the fields are those of lifecycle.v1.Orders")]
pub struct OrdersRecord {
    pub count: u64,
    pub revenue: String,
    pub currency: String,
    #[schemars(extend("format" = "date-time"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

/// The previous stage, and since when the customer had been in it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the fields are those of lifecycle.v1.Previous")]
pub struct PreviousRecord {
    pub stage: String,
    #[schemars(extend("format" = "date-time"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}
