//! The effects of a partition: its output, collected until the transaction is committed.

use std::ops::{AddAssign, Sub};
use std::sync::Arc;

use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::Transition;

use super::hand_over::{Forwarding, HandOver};
use super::input::DeadLetter;
use super::refused_link::RefusedLink;

/// The output of a batch of inputs. The runtime publishes it in the transaction of the batch, or drops it on an abort.
#[derive(Debug, Default)]
pub struct Effects {
    /// Transitions to publish, in order of publication.
    pub transitions: Vec<Transition>,
    /// Dead letters to publish, in input order.
    pub dead_letters: Vec<DeadLetter>,
    /// The customers that were removed, in order. A later touchpoint of the batch may have created one of them again.
    pub removed: Vec<Arc<str>>,
    /// Messages to other ids because of links and erasures, in order. Each is an input of the partition of its id.
    pub hand_overs: Vec<HandOver>,
    /// The links and merges that had no effect, in order.
    pub links_refused: Vec<RefusedLink>,
    /// The id to which the touchpoint must be forwarded: the customer that it belongs to, if its id is a stub; its own
    /// id, if that belongs to another partition; the same id, if it waits for facts. The caller takes it after each
    /// touchpoint. It follows the hand-overs of the same input.
    pub forwarding: Option<Forwarding>,
    /// The scheduled instants of the wake-ups that fired.
    pub wake_ups_fired: Vec<Timestamp>,
    /// Counts to add to the metrics when the batch is committed.
    pub tally: Tally,
}

impl Effects {
    /// Adds a refused link, and counts it.
    pub(super) fn refuse(&mut self, refused: RefusedLink) {
        self.tally.links_refused += 1;
        self.links_refused.push(refused);
    }
}

/// Counts of a batch. Invariant: `consumed = applied + duplicates + dead letters`, once the forwarded touchpoints are
/// applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Records consumed: touchpoints and dead letters.
    pub consumed: u64,
    /// Touchpoints applied to their customer.
    pub applied: u64,
    /// Touchpoints with an `event_id` that the customer already had.
    pub duplicates: u64,
    /// Applied touchpoints older than their customer's clock.
    pub late: u64,
    /// Applied touchpoints of a type that neither the catalogue nor a model names.
    pub unknown_types: u64,
    /// Applied cancellations and refunds of orders that are no longer kept individually, which have no effect.
    pub orders_missing: u64,
    /// Applied touchpoints without effect, because they are not later than an erasure of their customer.
    pub older_than_erasure: u64,
    /// Wake-ups fired.
    pub wake_ups: u64,
    /// Touchpoints whose record key is not their customer id. Counted by the runtime, which knows the records.
    pub wrong_keys: u64,
    /// Customers removed by an erasure touchpoint.
    pub erased: u64,
    /// Erasures of a customer that does not exist in this partition.
    pub erasures_not_found: u64,
    /// Erasures forwarded to the partition of their customer. Counted by the runtime, which writes them.
    pub erasures_forwarded: u64,
    /// Customers removed because they never ordered and were inactive for too long.
    pub forgotten: u64,
    /// Visitors and customers whose facts moved to a customer.
    pub merged: u64,
    /// Touchpoints forwarded to another id. They are counted as applied or duplicates there.
    pub forwarded: u64,
    /// Links and merges without effect; [`RefusalReason`](super::refused_link::RefusalReason) has the reasons.
    pub links_refused: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        *self = Self {
            consumed: self.consumed + other.consumed,
            applied: self.applied + other.applied,
            duplicates: self.duplicates + other.duplicates,
            late: self.late + other.late,
            unknown_types: self.unknown_types + other.unknown_types,
            orders_missing: self.orders_missing + other.orders_missing,
            older_than_erasure: self.older_than_erasure + other.older_than_erasure,
            wake_ups: self.wake_ups + other.wake_ups,
            wrong_keys: self.wrong_keys + other.wrong_keys,
            erased: self.erased + other.erased,
            erasures_not_found: self.erasures_not_found + other.erasures_not_found,
            erasures_forwarded: self.erasures_forwarded + other.erasures_forwarded,
            forgotten: self.forgotten + other.forgotten,
            merged: self.merged + other.merged,
            forwarded: self.forwarded + other.forwarded,
            links_refused: self.links_refused + other.links_refused,
        };
    }
}

/// Returns the counts added since `earlier`.
impl Sub for Tally {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self {
            consumed: self.consumed - earlier.consumed,
            applied: self.applied - earlier.applied,
            duplicates: self.duplicates - earlier.duplicates,
            late: self.late - earlier.late,
            unknown_types: self.unknown_types - earlier.unknown_types,
            orders_missing: self.orders_missing - earlier.orders_missing,
            older_than_erasure: self.older_than_erasure - earlier.older_than_erasure,
            wake_ups: self.wake_ups - earlier.wake_ups,
            wrong_keys: self.wrong_keys - earlier.wrong_keys,
            erased: self.erased - earlier.erased,
            erasures_not_found: self.erasures_not_found - earlier.erasures_not_found,
            erasures_forwarded: self.erasures_forwarded - earlier.erasures_forwarded,
            forgotten: self.forgotten - earlier.forgotten,
            merged: self.merged - earlier.merged,
            forwarded: self.forwarded - earlier.forwarded,
            links_refused: self.links_refused - earlier.links_refused,
        }
    }
}
