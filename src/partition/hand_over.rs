//! Hand-overs: messages from one id to another because of a link, a merge or an erasure.
//!
//! The ids may be in different partitions, so a hand-over is an effect of one partition and an input of another. To the
//! same id, hand-overs are applied in the order of the effects. None of them advances stream time. A stub passes most
//! of them on to the customer that it refers to.

use std::sync::Arc;

use crate::lifecycle::customer::Customer;
use crate::lifecycle::identity::{Alias, Former, Stub};
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::lifecycle::vocabulary::Vocabulary;

/// The number of times that a hand-over or a forwarded touchpoint is passed on, or waits, until the id that it is for
/// applies it nevertheless. The protocol needs few rounds; the limit bounds the damage of lost state.
pub(super) const ROUNDS_MAX: u32 = 10_000;

/// The number of ids that have passed a touchpoint on which are remembered. With ids of the maximum size, they fit into
/// the margin that touchpoints leave in the topic.
const PATH_MAX: usize = 16;

/// A message to an id.
#[derive(Clone, PartialEq, Debug)]
pub struct HandOver {
    /// The id.
    pub to: Arc<str>,
    /// The life of the id that it is for; `None` if the sender does not know it, or if the message names a move.
    pub life: Option<u16>,
    /// The stubs that have passed it on, each once, the latest last. Facts start with the id that they are of.
    pub path: Vec<Arc<str>>,
    /// The number of times that it was passed on.
    pub rounds: u32,
    /// The message.
    pub message: Message,
}

/// The messages of the protocol.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// To a visitor: a customer claims it. To the id that a command merges: the customer to merge it into.
    Claim {
        /// The customer.
        by: Arc<str>,
        /// The life of the customer.
        life: u16,
        /// The touchpoint that names both.
        link: Link,
        /// Other ids of the customer, under which the visitor may know it.
        names: Vec<Arc<str>>,
        /// When the id joins the customer. `None` if `link` is from before an erasure of the customer, which must reach
        /// the id.
        joined_at: Option<Timestamp>,
    },
    /// To a customer: the facts of another id move to it.
    Facts {
        /// The id.
        of: Arc<str>,
        /// Identifies the move; see [`drain`](crate::lifecycle::identity::drain).
        drain: u64,
        /// The touchpoint that names both.
        link: Link,
        /// As in the claim.
        joined_at: Option<Timestamp>,
        /// The visitor or customer; `None` if nothing was known of it.
        customer: Option<Box<Customer>>,
        /// The ids whose facts had moved to it before.
        aliases: Vec<Alias>,
    },
    /// To an alias: the customer that its facts moved to is removed.
    Erase {
        /// Identifies the move. The message has no effect on a later one.
        drain: u64,
        /// The time of the removal, or of the latest change of an erased customer, if that is later.
        at: Timestamp,
        /// Whether what is not later than `at` was erased; otherwise, the customer was forgotten.
        is_erasure: bool,
    },
    /// To an id that a customer has claimed: the customer was erased before the facts of the id arrived.
    EraseClaimed {
        /// The customer.
        by: Arc<str>,
        /// The life of the customer.
        life: u16,
        /// What is not later was erased.
        at: Timestamp,
    },
    /// To a customer that has claimed an id: an erasure from after the link names the id.
    EraseCustomer {
        /// The time of the erasure.
        at: Timestamp,
        /// As in the claim.
        joined_at: Option<Timestamp>,
    },
    /// To an alias: its facts have arrived.
    Redirect {
        /// Identifies the move. The message has no effect on a later one.
        drain: u64,
        /// The customer that has the facts.
        into: Arc<str>,
        /// The life of the customer.
        life: u16,
    },
}

/// A touchpoint on its way to another id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forwarding {
    /// The customer that it belongs to; the id of the touchpoint itself, if another partition has read it.
    pub to: Arc<str>,
    /// The life of the id that it is for; `None` for the id of the touchpoint itself.
    pub life: Option<u16>,
    /// The stubs that have passed it on, each once, the latest last. Of many, the first one and the latest.
    pub path: Vec<Arc<str>>,
    /// The moves of facts that must arrive before the touchpoint is applied; see
    /// [`drain`](crate::lifecycle::identity::drain).
    pub needs: Vec<u64>,
    /// The number of times that it was passed on, or waited for `needs`.
    pub rounds: u32,
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

impl HandOver {
    /// Creates a message that no stub has passed on.
    pub(super) fn new(to: Arc<str>, message: Message) -> Self {
        Self { to, life: None, path: Vec::new(), rounds: 0, message }
    }

    /// Returns the event time up to which the receiving partition first reads its own touchpoints.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match &self.message {
            Message::Claim { link, .. } => link.occurred_at,
            Message::Facts { link, customer, .. } => {
                customer.as_ref().map_or(link.occurred_at, |customer| customer.clock.max(link.occurred_at))
            }
            Message::Erase { at, .. } | Message::EraseClaimed { at, .. } | Message::EraseCustomer { at, .. } => *at,
            // It does not concern facts.
            Message::Redirect { .. } => Timestamp::MIN,
        }
    }

    /// Returns the message, passed on by the stub `by` of `life` of `into`.
    pub(super) fn passed_on(&self, by: &Arc<str>, into: &Arc<str>, life: u16) -> Self {
        let (to, life, rounds) = (Arc::clone(into), Some(life), self.rounds.saturating_add(1));
        Self { to, life, path: extended(&self.path, by), rounds, message: self.message.clone() }
    }

    /// Returns the message, passed on by a former stub. Its id is not part of the path: that life cannot become a
    /// customer again, so a circle ends at one of the other ids.
    pub(super) fn passed_on_by_former(&self, former: &Former) -> Self {
        let (to, life, rounds) = (Arc::clone(&former.into), Some(former.life), self.rounds.saturating_add(1));
        Self { to, life, rounds, ..self.clone() }
    }
}

impl Message {
    /// Whether it contains the facts of this move of the facts of `id`.
    pub(super) fn has_facts(&self, id: &str, drain: u64) -> bool {
        let Self::Facts { of, drain: own, aliases, .. } = self else { return false };
        **of == *id && *own == drain || aliases.iter().any(|alias| *alias.id == *id && alias.drain == drain)
    }
}

impl Forwarding {
    /// Creates a forwarding of a touchpoint to its own id.
    pub(super) fn home(id: &str) -> Self {
        Self { to: id.into(), life: None, path: Vec::new(), needs: Vec::new(), rounds: 0 }
    }

    /// Returns the forwarding, passed on by the stub of `by`.
    pub(super) fn passed_on_by_stub(&self, by: &Arc<str>, stub: &Stub) -> Self {
        self.passed_on(by, (&stub.into, stub.life), stub.drain, stub.is_settled)
    }

    /// Returns the forwarding, passed on by the former stub of `by`.
    pub(super) fn passed_on_by_former(&self, by: &Arc<str>, former: &Former) -> Self {
        self.passed_on(by, (&former.into, former.life), former.drain, former.is_settled)
    }

    fn passed_on(&self, by: &Arc<str>, (into, life): (&Arc<str>, u16), drain: u64, is_settled: bool) -> Self {
        let mut needs = self.needs.clone();
        if !is_settled && !needs.contains(&drain) {
            needs.push(drain);
        }
        let (mut path, rounds) = (extended(&self.path, by), self.rounds.saturating_add(1));
        if path.len() > PATH_MAX {
            // The first id is the one that the touchpoint names.
            path.remove(1);
        }
        Self { to: Arc::clone(into), life: Some(life), path, needs, rounds }
    }
}

/// Returns `path` with `id` at its end only.
fn extended(path: &[Arc<str>], id: &Arc<str>) -> Vec<Arc<str>> {
    path.iter().filter(|known| *known != id).chain([id]).cloned().collect()
}

impl Link {
    pub(super) fn of(touchpoint: &Touchpoint<'_>) -> Self {
        Self {
            event_id: touchpoint.event_id.into(),
            type_name: touchpoint.type_name.into(),
            occurred_at: touchpoint.occurred_at,
        }
    }

    /// Whether it is the command `customer_merged`.
    pub(super) fn is_merge(&self) -> bool {
        *self.type_name == *Touchpoint::MERGED
    }

    /// Returns the touchpoint without properties, as a touchpoint of `customer_id`.
    pub(super) fn touchpoint<'a>(&'a self, customer_id: &'a str, vocabulary: &Vocabulary) -> Touchpoint<'a> {
        Touchpoint {
            event_id: &self.event_id,
            customer_id,
            anonymous_id: None,
            merged_id: None,
            blocked_id: None,
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
