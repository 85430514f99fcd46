//! The JSON values that several responses share, with their schemas.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::{OrdersSummary, Transition};
use crate::lifecycle::value::OwnedValue;
use crate::wire::time::{format_duration, format_timestamp};
use crate::wire::transition::{BecauseDetail, Mode, Publication};
use crate::wire::transition_json::{TransitionRecord, write_json};
use crate::wire::transition_text::{describe_change, describe_reason};

/// A timestamp in RFC 3339, UTC.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct TimestampText(#[schemars(extend("format" = "date-time"))] String);

impl From<Timestamp> for TimestampText {
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

/// Values by name: strings, numbers, booleans, timestamps in RFC 3339, durations such as `90d`; null if absent.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Values(#[schemars(with = "std::collections::BTreeMap<String, Value>")] Map<String, Value>);

impl<'a> FromIterator<(&'a str, Option<&'a OwnedValue>)> for Values {
    fn from_iter<I: IntoIterator<Item = (&'a str, Option<&'a OwnedValue>)>>(values: I) -> Self {
        Self(values.into_iter().map(|(name, read)| (name.to_owned(), value(read))).collect())
    }
}

fn value(value: Option<&OwnedValue>) -> Value {
    match value {
        None => Value::Null,
        Some(OwnedValue::Int(number)) => (*number).into(),
        Some(OwnedValue::Double(number)) => json!(number),
        Some(OwnedValue::Bool(truth)) => (*truth).into(),
        Some(OwnedValue::String(text)) => text.as_ref().into(),
        Some(OwnedValue::Timestamp(time)) => format_timestamp(*time).into(),
        Some(OwnedValue::Duration(length)) => format_duration(*length).into(),
    }
}

/// A customer's valid orders: those that are not cancelled or fully refunded.
#[derive(Serialize, JsonSchema)]
pub(super) struct Orders {
    count: u64,
    /// Decimal text, because a JSON number may lose precision.
    revenue: String,
    /// ISO 4217 code.
    currency: String,
    last: Option<TimestampText>,
}

impl Orders {
    pub(super) fn of(orders: &OrdersSummary, currency: Currency) -> Self {
        Self {
            count: orders.count,
            revenue: orders.revenue.to_string(),
            currency: currency.as_str().to_owned(),
            last: orders.last.map(TimestampText::from),
        }
    }
}

/// A transition as published, with its cursor and a description in words.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the schema of what `TransitionRenderer::published` writes")]
struct PublishedTransition {
    /// Position in the commit order of this instance; ascending.
    cursor: u64,
    /// What changed, in words.
    words: String,
    /// The reason, in words: a line for the cause, one for the condition, and lines with the values that it read.
    reason: Vec<String>,
    #[serde(flatten)]
    record: TransitionRecord<'static>,
}

/// A transition as it will be published if no further touchpoint of the customer arrives. `detected_at` is the earliest
/// possible time.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the schema of what `TransitionRenderer::expected` writes")]
struct ExpectedTransition {
    /// What will change, in words.
    words: String,
    /// The reason, in words: a line for the cause, one for the condition, and lines with the values that it read.
    reason: Vec<String>,
    #[serde(flatten)]
    record: TransitionRecord<'static>,
}

/// A published transition, rendered as JSON.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct PublishedJson(#[schemars(with = "PublishedTransition")] Box<RawValue>);

/// A future transition, rendered as JSON.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct ExpectedJson(#[schemars(with = "ExpectedTransition")] Box<RawValue>);

/// Renders transitions as JSON, with the names of `models`.
#[derive(Clone, Copy)]
pub(super) struct TransitionRenderer<'a> {
    pub(super) models: &'a ModelSet,
    pub(super) currency: Currency,
}

impl TransitionRenderer<'_> {
    /// Renders the record as it was published, with its cursor.
    pub(super) fn published(self, committed: &crate::runtime::CommittedTransition) -> PublishedJson {
        let prefix = format!("\"cursor\":{},", committed.cursor());
        PublishedJson(self.render(&prefix, committed.transition(), committed.published_at(), committed.mode()))
    }

    /// Renders the record as it will be published at `detected_at` or later.
    pub(super) fn expected(self, transition: &Transition, detected_at: Timestamp, mode: Mode) -> ExpectedJson {
        ExpectedJson(self.render("", transition, detected_at, mode))
    }

    fn render(self, prefix: &str, transition: &Transition, detected_at: Timestamp, mode: Mode) -> Box<RawValue> {
        let Self { models, currency } = self;
        let mut record = Vec::new();
        write_json(
            &Publication { transition, models, detected_at, mode, currency, because: BecauseDetail::Full },
            &mut record,
        );
        let record = String::from_utf8(record).expect("a JSON record is UTF-8");
        let model = models.model(transition.model);
        let words = json!(describe_change(model, transition));
        let reason = json!(describe_reason(transition));
        // The record is a JSON object that is not empty; its opening brace is replaced.
        let text = format!("{{{prefix}\"words\":{words},\"reason\":{reason},{}", &record[1..]);
        RawValue::from_string(text).expect("the record is valid JSON")
    }
}
