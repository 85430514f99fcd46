//! A transition: the published difference of two standings, its name and its id.

use std::sync::Arc;

use uuid::Uuid;

use super::id::{ModelIndex, StageIndex};
use super::model::Direction;
use super::money::Amount;
use super::time::{Duration, Timestamp};
use super::value::Value;

/// One published change of one customer in one model. Names are resolved through the [`ModelSet`](super::model_set::ModelSet).
#[derive(Clone, PartialEq, Debug)]
pub struct Transition {
    /// A `UUIDv5` of what is published, the same in every run.
    pub id: Uuid,
    /// Whose.
    pub customer_id: Arc<str>,
    /// Which model's.
    pub model: ModelIndex,
    /// What changed.
    pub change: Change,
    /// The name of the move, signal, milestone or counter.
    pub name: Box<str>,
    /// The how-manieth publication of this customer and model, from 1.
    pub sequence: u64,
    /// The instant of the change.
    pub occurred_at: Timestamp,
    /// What caused it.
    pub cause: Cause,
    /// Whether the touchpoint that caused it came late: older than the customer's clock.
    pub late: bool,
    /// Whether an edit of the model caused it.
    pub reconciled: bool,
    /// Not to be published: an edit of the model caused it, and such changes are muted.
    pub is_muted: bool,
    /// The text of the condition that holds now (of the stage entered, the signal, ...); empty when no stage holds any more.
    pub because: Box<str>,
    /// What that condition read, by name.
    pub values: Vec<(Box<str>, OwnedValue)>,
    /// The customer's valid orders after the change.
    pub orders: OrdersSummary,
}

/// What changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Another stage, or none.
    Stage {
        /// The stage before; `None` before the first.
        from: Option<StageIndex>,
        /// The stage now.
        to: Option<StageIndex>,
        /// The stages of the journey that a forward move passed over, in the journey's order.
        skipped: Vec<StageIndex>,
        /// Which way the move leads.
        direction: Direction,
        /// Since when the customer had been in the stage before.
        previous_since: Option<Timestamp>,
    },
    /// A signal started or stopped to hold.
    Signal {
        /// Whether it holds now.
        on: bool,
    },
    /// A milestone was reached.
    Milestone,
    /// A counter reached a new highest number.
    Counter {
        /// That number.
        count: i64,
    },
}

impl Change {
    /// The kind, as it is published.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Stage { .. } => "stage",
            Self::Signal { .. } => "signal",
            Self::Milestone => "milestone",
            Self::Counter { .. } => "counter",
        }
    }
}

/// What caused a transition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The passing of time, or an edit of the model.
    Time,
    /// A touchpoint.
    Touchpoint {
        /// Its id.
        event_id: Box<str>,
        /// Its type as it was written.
        type_name: Box<str>,
    },
}

/// The value of an expression, kept.
#[derive(Clone, PartialEq, Debug)]
pub enum OwnedValue {
    /// Not set.
    Absent,
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    String(Box<str>),
    /// An instant.
    Timestamp(Timestamp),
    /// A length of time.
    Duration(Duration),
}

impl OwnedValue {
    /// The value, borrowed.
    #[must_use]
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Absent => Value::Absent,
            Self::Int(number) => Value::Int(*number),
            Self::Double(number) => Value::Double(*number),
            Self::Bool(truth) => Value::Bool(*truth),
            Self::String(text) => Value::String(text),
            Self::Timestamp(instant) => Value::Timestamp(*instant),
            Self::Duration(length) => Value::Duration(*length),
        }
    }
}

impl From<Value<'_>> for OwnedValue {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Absent => Self::Absent,
            Value::Int(number) => Self::Int(number),
            Value::Double(number) => Self::Double(number),
            Value::Bool(truth) => Self::Bool(truth),
            Value::String(text) => Self::String(text.into()),
            Value::Timestamp(instant) => Self::Timestamp(instant),
            Value::Duration(length) => Self::Duration(length),
        }
    }
}

/// What campaigns want to know of a customer's valid orders.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OrdersSummary {
    /// How many.
    pub count: u64,
    /// Amounts in the configured currency, less partial refunds.
    pub revenue: Amount,
    /// The time of the latest.
    pub last: Option<Timestamp>,
}
