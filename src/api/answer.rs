//! Words of the floors below as JSON, and the schema of each.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::{OrdersSummary, OwnedValue, Transition};
use crate::wire::time::{format_duration, format_timestamp};
use crate::wire::transition::{Mode, Publication};
use crate::wire::transition_json::{TransitionRecord, write_json};
use crate::wire::transition_text::{change, reason};

/// An instant in RFC 3339, UTC.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Instant(#[schemars(extend("format" = "date-time"))] String);

impl From<Timestamp> for Instant {
    fn from(time: Timestamp) -> Self {
        Self(format_timestamp(time))
    }
}

/// Titles by language code.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Titles(#[schemars(with = "std::collections::BTreeMap<String, String>")] Map<String, Value>);

impl Titles {
    pub(super) fn of(titles: &[(Box<str>, Box<str>)]) -> Self {
        Self(titles.iter().map(|(language, title)| (language.to_string(), title.as_ref().into())).collect())
    }
}

/// Values by name: text, numbers, truths, instants in RFC 3339, lengths of time such as `90d`; null where there is none.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Values(#[schemars(with = "std::collections::BTreeMap<String, Value>")] Map<String, Value>);

impl<'a> FromIterator<(&'a str, &'a OwnedValue)> for Values {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a OwnedValue)>>(values: I) -> Self {
        Self(values.into_iter().map(|(name, read)| (name.to_owned(), value(read))).collect())
    }
}

fn value(value: &OwnedValue) -> Value {
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

/// The valid orders of a customer.
#[derive(Serialize, JsonSchema)]
pub(super) struct Orders {
    count: u64,
    /// As text: a reader's numbers may not hold it exactly.
    revenue: String,
    /// ISO 4217.
    currency: String,
    last: Option<Instant>,
}

impl Orders {
    pub(super) fn of(orders: &OrdersSummary, currency: Currency) -> Self {
        Self {
            count: orders.count,
            revenue: orders.revenue.to_string(),
            currency: currency.as_str().to_owned(),
            last: orders.last.map(Instant::from),
        }
    }
}

/// A transition as it was published, its number, and what it says in words.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the schema of what `Told::published` writes")]
struct PublishedTransition {
    /// Its number among those of this process; ascending.
    cursor: u64,
    /// What changed, in words.
    words: String,
    /// Why, in words: a line on the cause, one on the condition, and lines with the values that it read.
    reason: Vec<String>,
    #[serde(flatten)]
    record: TransitionRecord,
}

/// A transition as it will be published if the customer stays silent; `detected_at` is the earliest instant for that.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the schema of what `Told::expected` writes")]
struct ExpectedTransition {
    /// What will change, in words.
    words: String,
    /// Why, in words: a line on the cause, one on the condition, and lines with the values that it read.
    reason: Vec<String>,
    #[serde(flatten)]
    record: TransitionRecord,
}

/// A transition that was published.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Published(#[schemars(with = "PublishedTransition")] Box<RawValue>);

/// A transition to come.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Expected(#[schemars(with = "ExpectedTransition")] Box<RawValue>);

/// How transitions are told: by which models, in which currency.
#[derive(Clone, Copy)]
pub(super) struct Teller<'a> {
    pub(super) models: &'a ModelSet,
    pub(super) currency: Currency,
}

impl Teller<'_> {
    /// The record as it was published, with its number.
    pub(super) fn published(self, committed: &crate::runtime::Committed) -> Published {
        let start = format!("\"cursor\":{},", committed.number());
        Published(self.tell(&start, committed.transition(), committed.published_at(), committed.mode()))
    }

    /// The record as it is published at `detected_at` or later.
    pub(super) fn expected(self, transition: &Transition, detected_at: Timestamp, mode: Mode) -> Expected {
        Expected(self.tell("", transition, detected_at, mode))
    }

    fn tell(self, start: &str, transition: &Transition, detected_at: Timestamp, mode: Mode) -> Box<RawValue> {
        let Self { models, currency } = self;
        let mut record = Vec::new();
        write_json(&Publication { transition, models, detected_at, mode, currency }, &mut record);
        let record = String::from_utf8(record).expect("what is published is text");
        let model = models.model(transition.model);
        let words = json!(change(model, transition));
        let reason = json!(reason(transition));
        // The record is an object that is not empty.
        let text = format!("{{{start}\"words\":{words},\"reason\":{reason},{}", &record[1..]);
        RawValue::from_string(text).expect("what is published is JSON")
    }
}
