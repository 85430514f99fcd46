//! Transition records in JSON: the mapping of `lifecycle.v1.Transition` that `docs/contracts.md` describes.
//!
//! [`TransitionRecord`] is the only description of the fields, their names and their order: records are written from
//! it, tools and tests read it back, and the JSON schema is derived from it.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::json_writer;
use super::transition::{Publication, signal_word};
use super::transition_value::{Decimal, Instant, Values};
use crate::lifecycle::transition::{Cause, Change, Merge};

/// Appends `publication` to `out` as a JSON record.
pub fn write_json(publication: &Publication<'_>, out: &mut Vec<u8>) {
    let mut id = uuid::Uuid::encode_buffer();
    let id = publication.transition.id.hyphenated().encode_lower(&mut id);
    json_writer::write(&TransitionRecord::of(publication, id), out);
}

/// A transition record, as published. Its texts are borrowed when it is written, and owned after it was read.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TransitionRecord")]
#[expect(missing_docs, reason = "the fields are those of lifecycle.v1.Transition")]
pub struct TransitionRecord<'a> {
    #[schemars(extend("format" = "uuid"))]
    pub transition_id: Cow<'a, str>,
    pub customer_id: Cow<'a, str>,
    pub model: Cow<'a, str>,
    pub model_version: u32,
    pub kind: Cow<'a, str>,
    pub name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Cow<'a, str>>,
    // Present in every move, and empty if it skips no stage.
    #[schemars(with = "Vec<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Vec<Cow<'a, str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    pub sequence: u64,
    pub occurred_at: Instant,
    pub detected_at: Instant,
    pub cause: CauseRecord<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<BecauseRecord<'a>>,
    pub late: bool,
    pub mode: Cow<'a, str>,
    pub orders: OrdersRecord<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Values<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_from: Option<Cow<'a, str>>,
}

/// What caused a transition: a touchpoint, or time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CauseRecord")]
#[expect(missing_docs, reason = "the fields are those of lifecycle.v1.Cause")]
pub struct CauseRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "type")]
    pub type_name: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub time: bool,
}

/// The condition that holds now, and the values that it read.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "BecauseRecord")]
#[expect(missing_docs, reason = "the fields are those of lifecycle.v1.Because")]
pub struct BecauseRecord<'a> {
    pub condition: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Values<'a>>,
}

/// The customer's valid orders after the change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OrdersRecord")]
#[expect(missing_docs, reason = "the fields are those of lifecycle.v1.Orders")]
pub struct OrdersRecord<'a> {
    pub count: u64,
    pub revenue: Decimal,
    pub currency: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Instant>,
}

/// The previous stage, and since when the customer had been in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PreviousRecord")]
#[expect(missing_docs, reason = "the fields are those of lifecycle.v1.Previous")]
pub struct PreviousRecord<'a> {
    pub stage: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Instant>,
}

impl<'a> TransitionRecord<'a> {
    /// Returns the record of `publication`. `transition_id` is the text of its id.
    fn of(publication: &'a Publication<'_>, transition_id: &'a str) -> Self {
        let Publication { transition, detected_at, mode, .. } = *publication;
        let model = publication.model();
        let stage_name = |stage| Cow::Borrowed(&*model.stage(stage).name);
        let mut record = Self {
            transition_id: transition_id.into(),
            customer_id: (&*transition.customer_id).into(),
            model: (&*model.name).into(),
            model_version: model.version,
            kind: transition.change.kind().into(),
            name: (&*transition.name).into(),
            from: None,
            to: None,
            skipped: None,
            direction: None,
            count: None,
            sequence: transition.sequence,
            occurred_at: Instant(transition.occurred_at),
            detected_at: Instant(detected_at),
            cause: CauseRecord::of(&transition.cause),
            because: publication.reason().map(|reason| BecauseRecord {
                condition: (&*reason.condition).into(),
                values: publication.has_values().then_some(Values::Borrowed(reason)),
            }),
            late: transition.late,
            mode: mode.as_str().into(),
            orders: OrdersRecord {
                count: transition.orders.count,
                revenue: Decimal(transition.orders.revenue),
                currency: publication.currency.as_str().into(),
                last: transition.orders.last.map(Instant),
            },
            previous: None,
            attributes: publication.attributes().map(Values::Attributes),
            merged_into: transition.merge.as_ref().and_then(Merge::merged_into).map(Cow::Borrowed),
            merged_from: transition.merge.as_ref().and_then(Merge::merged_from).map(Cow::Borrowed),
        };
        match &transition.change {
            Change::Stage { from, to, skipped, direction, previous_since } => {
                record.from = from.map(stage_name);
                record.to = to.map(stage_name);
                record.skipped = Some(skipped.iter().copied().map(stage_name).collect());
                record.direction = Some(direction.as_str().into());
                record.previous =
                    from.map(|from| PreviousRecord { stage: stage_name(from), since: previous_since.map(Instant) });
            }
            Change::Signal { on } => record.to = Some(signal_word(*on).into()),
            Change::Milestone => {}
            Change::Counter { count } => record.count = Some(*count),
        }
        record
    }
}

impl<'a> CauseRecord<'a> {
    fn of(cause: &'a Cause) -> Self {
        match cause {
            Cause::Time => Self { time: true, ..Self::default() },
            Cause::Touchpoint { event_id, type_name } => {
                Self { event_id: Some((&**event_id).into()), type_name: Some((&**type_name).into()), time: false }
            }
        }
    }
}
