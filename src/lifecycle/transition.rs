//! Transitions: the published differences between two standings of a customer.

use std::sync::Arc;

use uuid::Uuid;

use super::condition::FactReference;
use super::id::{ModelIndex, StageIndex};
use super::model::Direction;
use super::money::Amount;
use super::time::Timestamp;
use super::value::OwnedValue;

/// A published change of one customer in one model. The [`ModelSet`](super::model_set::ModelSet) resolves indices to
/// names.
#[derive(Clone, PartialEq, Debug)]
pub struct Transition {
    /// A `UUIDv5` derived from the content, so it is the same in every run.
    pub id: Uuid,
    /// The customer.
    pub customer_id: Arc<str>,
    /// The model.
    pub model: ModelIndex,
    /// The change.
    pub change: Change,
    /// The name of the move, signal, milestone or counter; shared with the model.
    pub name: Arc<str>,
    /// Sequence number of this publication for the customer and model, starting at 1.
    pub sequence: u64,
    /// The event time of the change.
    pub occurred_at: Timestamp,
    /// The cause of the change.
    pub cause: Cause,
    /// Whether a late touchpoint caused it, that is, one older than the customer's clock.
    pub late: bool,
    /// Whether an edit of the model caused it, not a touchpoint or the passing of time.
    pub reconciled: bool,
    /// The condition of the stage entered, the signal, the milestone or the counter; `None` if the customer is in no
    /// stage now.
    pub because: Option<Reason>,
    /// Aggregates over the customer's valid orders after the change.
    pub orders: OrdersSummary,
    /// The values of the attributes after the change, in the order of the [`ModelSet`](super::model_set::ModelSet);
    /// `None` without attributes.
    pub attributes: Option<Arc<[Option<OwnedValue>]>>,
    /// The other id, if a merge caused the transition.
    pub merge: Option<Merge>,
}

/// The other id of a merge of a visitor or customer into a customer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Merge {
    /// The facts of the id moved to this customer.
    Into(Arc<str>),
    /// The customer received the facts of this id.
    From(Arc<str>),
}

impl Merge {
    /// Returns the customer that the facts moved to, if this is a transition of the merged id.
    #[must_use]
    pub fn merged_into(&self) -> Option<&str> {
        if let Self::Into(id) = self { Some(id) } else { None }
    }

    /// Returns the id that the facts came from, if this is a transition of the customer.
    #[must_use]
    pub fn merged_from(&self) -> Option<&str> {
        if let Self::From(id) = self { Some(id) } else { None }
    }
}

/// The kinds of change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The customer moved to another stage, or to no stage.
    Stage {
        /// The previous stage; `None` if there was none.
        from: Option<StageIndex>,
        /// The new stage; `None` if no stage holds.
        to: Option<StageIndex>,
        /// The stages of the journey that a forward move skipped, in the order of the journey.
        skipped: Vec<StageIndex>,
        /// The direction of the move.
        direction: Direction,
        /// When the customer entered the previous stage.
        previous_since: Option<Timestamp>,
    },
    /// A signal started or stopped holding.
    Signal {
        /// Whether it holds now.
        on: bool,
    },
    /// A milestone was reached.
    Milestone,
    /// A counter exceeded its highest published value.
    Counter {
        /// The new value.
        count: i64,
    },
}

impl Change {
    /// Returns the kind, as published.
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

/// The cause of a transition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The passing of time, or an edit of the model.
    Time,
    /// A touchpoint.
    Touchpoint {
        /// The `event_id`.
        event_id: Arc<str>,
        /// The type as written in the record.
        type_name: Arc<str>,
    },
}

/// A condition, and the values that it read.
#[derive(Clone, PartialEq, Debug)]
pub struct Reason {
    /// The text of the condition; shared with the model.
    pub condition: Arc<str>,
    /// The names of the values; shared with the model.
    pub references: Arc<[FactReference]>,
    /// The values, in the order of `references`; `None` is an absent one.
    pub values: Box<[Option<OwnedValue>]>,
}

impl Reason {
    /// Returns the values with their names.
    #[must_use]
    pub fn values(&self) -> impl ExactSizeIterator<Item = (&str, Option<&OwnedValue>)> {
        self.references.iter().map(|reference| &*reference.name).zip(self.values.iter().map(Option::as_ref))
    }
}

/// Aggregates over a customer's valid orders, published with each transition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OrdersSummary {
    /// The number of orders.
    pub count: u64,
    /// The sum of amounts in the configured currency, minus partial refunds.
    pub revenue: Amount,
    /// The event time of the latest order.
    pub last: Option<Timestamp>,
}
