//! Hand-overs: messages from one id to another because of a link or an erasure.
//!
//! The ids may be in different partitions, so a hand-over is an effect of one partition and an input of another. To the
//! same id, hand-overs are applied in the order of the effects. None of them advances stream time.

use std::sync::Arc;

use crate::lifecycle::customer::Customer;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::lifecycle::vocabulary::Vocabulary;

/// A message to an id.
#[derive(Clone, PartialEq, Debug)]
pub struct HandOver {
    /// The id.
    pub to: Arc<str>,
    /// The message.
    pub message: Message,
}

/// The messages of the protocol.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// To a visitor: a customer claims it.
    Claim {
        /// The customer.
        by: Arc<str>,
        /// The touchpoint that names both.
        link: Link,
    },
    /// To a customer: the facts of a visitor move to it.
    Facts {
        /// The id of the visitor.
        of: Arc<str>,
        /// Identifies the move; see [`drain`](crate::lifecycle::identity::drain).
        drain: u64,
        /// The touchpoint that names both.
        link: Link,
        /// The visitor; `None` if nothing was known of it.
        visitor: Option<Box<Customer>>,
    },
    /// To a visitor: the customer that its facts moved to is removed.
    Erase {
        /// Identifies the move. The message has no effect on a later one.
        drain: u64,
        /// The time of the removal.
        at: Timestamp,
    },
}

/// The part of a link that transitions contain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// The `event_id`.
    pub event_id: Arc<str>,
    /// The type as written in the record.
    pub type_name: Arc<str>,
    /// Event time.
    pub occurred_at: Timestamp,
}

impl Link {
    pub(super) fn of(touchpoint: &Touchpoint<'_>) -> Self {
        Self {
            event_id: touchpoint.event_id.into(),
            type_name: touchpoint.type_name.into(),
            occurred_at: touchpoint.occurred_at,
        }
    }

    /// Returns the touchpoint without properties, as a touchpoint of `customer_id`.
    pub(super) fn touchpoint<'a>(&'a self, customer_id: &'a str, vocabulary: &Vocabulary) -> Touchpoint<'a> {
        Touchpoint {
            event_id: &self.event_id,
            customer_id,
            anonymous_id: None,
            is_visitor: false,
            kind: vocabulary.type_index(&self.type_name),
            type_name: &self.type_name,
            occurred_at: self.occurred_at,
            order_id: None,
            amount: None,
            currency: None,
            properties: &[],
        }
    }
}
