//! Removes customers: by an erasure, and after their inactivity.

use std::sync::Arc;

use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;

use super::effects::Effects;
use super::machine::Partition;
use super::wake_ups::CustomerSlot;

impl Partition {
    /// Returns the instant up to which wake-ups of a customer fire before an input of time `at` is applied: the
    /// watermark (they may already have fired up to it) or `at`, whichever is later.
    pub(super) fn due_until(&self, at: Timestamp) -> Timestamp {
        self.clock.watermark(self.rules.options.lateness).map_or(at, |watermark| watermark.max(at))
    }

    /// Removes the customer that `touchpoint` erases.
    pub(super) fn erase(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) {
        effects.tally.applied += 1;
        self.erase_customer(touchpoint.customer_id, touchpoint.occurred_at, effects);
    }

    /// Removes the customer `id` because of an erasure from `at`. Fires due wake-ups first, so that the output does not
    /// depend on when `Input::TimePassed` fires them. Returns its latest change, or `at` if that is later; `None` if
    /// there is no customer.
    pub(super) fn erase_customer(&mut self, id: &str, at: Timestamp, effects: &mut Effects) -> Option<Timestamp> {
        let due_until = self.due_until(at);
        let found = self.customers.find(id);
        let Some(slot) = found.filter(|&slot| !self.customers.is_removed(slot)) else {
            effects.tally.erasures_not_found += 1;
            return None;
        };
        self.fire_wake_ups(slot, due_until, effects);
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let at = copy.customer.clock.max(at);
        self.remove(slot, at, true, effects);
        effects.tally.erased += 1;
        Some(at)
    }

    /// Removes the customer `id` if its inactivity period has ended by `due_until`, so that the output does not depend
    /// on whether `Input::TimePassed` has already removed it.
    pub(super) fn forget_if_expired(&mut self, id: &str, due_until: Timestamp, effects: &mut Effects) {
        if self.rules.options.forget_after.is_none() {
            return;
        }
        let found = self.customers.find(id);
        let Some(slot) = found.filter(|&slot| !self.customers.is_removed(slot)) else { return };
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        if let Some(end) = copy.customer.forgotten_at(&self.rules.options).filter(|&end| end <= due_until) {
            self.fire_wake_ups(slot, due_until, effects);
            self.remove(slot, end, false, effects);
            effects.tally.forgotten += 1;
        }
    }

    /// Fires all wake-ups of the customer at `slot` that are due by `until`.
    pub(super) fn fire_wake_ups(&mut self, slot: CustomerSlot, until: Timestamp, effects: &mut Effects) {
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let published_before = effects.transitions.len();
        while copy.customer.wake(&self.rules, until, &mut effects.transitions) {}
        self.stage_counts.record_moves(&effects.transitions[published_before..]);
    }

    /// Removes the customer at `slot`, because it was forgotten at `at`, or because of an erasure of what is not later
    /// than `at`.
    pub(super) fn remove(&mut self, slot: CustomerSlot, at: Timestamp, is_erasure: bool, effects: &mut Effects) {
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        (copy.is_changed, copy.is_removed) = (true, true);
        effects.removed.push(Arc::clone(&copy.customer.id));
        self.stage_counts.remove(&copy.customer);
        self.wake_ups.disarm(slot);
        if let Some(identity) = copy.customer.identity.as_deref_mut().filter(|identity| !identity.is_empty()) {
            identity.removals = identity.removals.saturating_add(1);
            self.erase_aliases(slot, at, is_erasure, effects);
        }
    }
}
