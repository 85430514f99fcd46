//! The end of identities: erasures reach all ids of a customer, and stubs and erasures are forgotten after a time.
//!
//! An erasure is remembered for a while, so that facts and touchpoints that are still under way meet it.

use crate::lifecycle::identity::{Alias, Erasure};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::touchpoint::Touchpoint;

use super::customers::identity_ends_at;
use super::effects::Effects;
use super::hand_over::{HandOver, Message};
use super::machine::Partition;
use super::wake_ups::CustomerSlot;

/// How long an erasure is remembered: longer than a hand-over is under way. While a service catches up, that may be
/// weeks of event time.
const ERASURE_KEPT_FOR: Duration = Duration::from_days(90);

impl Partition {
    /// Erases the customer of `touchpoint` and all its aliases, and remembers it.
    pub(super) fn apply_erasure(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) {
        effects.tally.applied += 1;
        let (id, at) = (touchpoint.customer_id, touchpoint.occurred_at);
        let slot = self.erase_with_aliases(id, at, effects);
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        copy.customer.is_visitor &= touchpoint.is_visitor;
        let identity = copy.customer.identity.as_deref_mut().filter(|identity| identity.retired == 0);
        if let Some(erasure) = identity.and_then(|identity| identity.erasure.as_mut()) {
            erasure.requested_at = erasure.requested_at.max(Some(at));
        }
    }

    /// Erases the customer `id`, which has claimed another id before an erasure that names the other id.
    pub(super) fn apply_requested_erasure(&mut self, hand_over: &HandOver, at: Timestamp, effects: &mut Effects) {
        let id = &hand_over.to;
        self.end_if_expired(id, self.due_until(at));
        if self.passes_on(hand_over, effects) {
            return;
        }
        let erasure = self.identity_mut(id).and_then(|(identity, _)| identity.erasure);
        if erasure.is_none_or(|erasure| erasure.at < at) {
            self.erase_with_aliases(id, at, effects);
        }
    }

    fn erase_with_aliases(&mut self, id: &str, at: Timestamp, effects: &mut Effects) -> CustomerSlot {
        self.erase_customer(id, at, effects);
        let copy = self.customers.get_or_vacant(id, &self.rules, &self.shape);
        let identity = copy.customer.identity.get_or_insert_default();
        (identity.former, identity.split_at) = (None, None);
        let slot = copy.slot;
        // Those of an id without a customer.
        self.erase_aliases(slot, at, effects);
        self.remember_erasure(slot, at);
        slot
    }

    /// Sends the removal of a customer to its aliases.
    pub(super) fn erase_aliases(&mut self, slot: CustomerSlot, at: Timestamp, effects: &mut Effects) {
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let Some(identity) = copy.customer.identity.as_deref_mut() else { return };
        if identity.aliases.is_empty() {
            self.arm_identity_end(slot);
            return;
        }
        let own = &copy.customer.id;
        for alias in std::mem::take(&mut identity.aliases).into_iter().filter(Alias::has_moved) {
            identity.add_erased_move(alias.drain);
            if alias.id != *own {
                effects.hand_overs.push(erasure_of(alias, at));
            } else if identity.former.as_ref().is_some_and(|former| former.drain == alias.drain) {
                // The customer of the merge was merged into this one after the split.
                identity.former = None;
            }
        }
        self.remember_erasure(slot, at);
    }

    /// The customer that the facts of the alias `id` moved to is removed.
    pub(super) fn apply_alias_erasure(&mut self, id: &str, drain: u64, at: Timestamp) {
        let Some(slot) = self.customers.find(id) else { return };
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let Some(identity) = copy.customer.identity.as_deref_mut() else { return };
        if identity.stub.as_ref().is_some_and(|stub| stub.drain == drain) {
            (identity.stub, identity.split_at) = (None, None);
            self.remember_erasure(slot, at);
        } else if identity.former.as_ref().is_some_and(|former| former.drain == drain) {
            identity.former = None;
            copy.is_changed = true;
            self.arm_identity_end(slot);
        }
    }

    fn remember_erasure(&mut self, slot: CustomerSlot, at: Timestamp) {
        let now = self.clock.at_least(at);
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let identity = copy.customer.identity.get_or_insert_default();
        let at = identity.erasure.map_or(at, |erasure| erasure.at.max(at));
        let requested_at = identity.erasure.and_then(|erasure| erasure.requested_at);
        identity.erasure = Some(Erasure { at, kept_until: now + ERASURE_KEPT_FOR, requested_at });
        copy.is_changed = true;
        self.arm_identity_end(slot);
    }

    /// Schedules the end of the identity at `slot`, if there is no customer.
    pub(super) fn arm_identity_end(&mut self, slot: CustomerSlot) {
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        if copy.is_removed {
            self.wake_ups.arm(slot, &copy.customer.id, identity_ends_at(&copy.customer, &self.rules.options));
        }
    }

    /// Ends the identity of `id` if there is no customer and it ends by `until`, so that the output does not depend on
    /// whether `Input::TimePassed` has ended it.
    pub(super) fn end_if_expired(&mut self, id: &str, until: Timestamp) {
        let Some(slot) = self.customers.find(id).filter(|&slot| self.customers.is_removed(slot)) else { return };
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        if identity_ends_at(&copy.customer, &self.rules.options).is_some_and(|end| end <= until) {
            self.end_identity(slot);
        }
    }

    /// Ends the identity of an id without a customer, which was due by `until` according to its record. After
    /// `identity.stub_lifetime` was raised, it ends later.
    pub(super) fn wake_identity(&mut self, slot: CustomerSlot, until: Timestamp, effects: &mut Effects) {
        effects.tally.wake_ups += 1;
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let is_permanent = copy.customer.identity.as_ref().is_some_and(|identity| identity.is_permanent());
        let later = identity_ends_at(&copy.customer, &self.rules.options).filter(|&end| end > until);
        if later.is_some() || is_permanent {
            copy.is_changed = true;
            self.wake_ups.arm(slot, &copy.customer.id, later);
        } else {
            self.end_identity(slot);
        }
    }

    /// Ends the identity of an id without a customer.
    fn end_identity(&mut self, slot: CustomerSlot) {
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        (copy.customer.identity, copy.customer.is_visitor, copy.is_changed) = (None, true, true);
        self.wake_ups.disarm(slot);
    }
}

/// Returns the message that ends the stub of `alias` because of something that happened at `at`.
pub(super) fn erasure_of(alias: Alias, at: Timestamp) -> HandOver {
    HandOver::new(alias.id, Message::Erase { drain: alias.drain, at })
}
