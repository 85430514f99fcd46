//! The end of identities: erasures reach all ids of a customer, and stubs and erasures are forgotten after a time.
//!
//! An erasure is remembered for a while, so that facts and touchpoints that are still under way meet it.

use std::sync::Arc;

use crate::lifecycle::identity::{Alias, Erasure, Identity};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::touchpoint::Touchpoint;

use super::customers::identity_ends_at;
use super::effects::Effects;
use super::hand_over::{Forwarding, HandOver, Link, Message};
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
        let identity = copy.customer.identity.as_deref_mut().filter(|identity| identity.retired == 0);
        if let Some(erasure) = identity.and_then(|identity| identity.erasure.as_mut()) {
            erasure.requested_at = erasure.requested_at.max(Some(at));
        }
    }

    /// Whether none of the ids in `path`, which forward to the customer `id`, is an alias of it. Then it was removed
    /// since they became its stubs.
    pub(super) fn has_lost(&mut self, id: &str, path: &[Arc<str>]) -> bool {
        let has_any = |identity: &Identity| path.iter().any(|alias| identity.has_alias(alias));
        self.identity_mut(id).is_none_or(|(identity, _)| !has_any(identity))
    }

    /// Erases the customer `id`, which has claimed another id before an erasure that names the other id, unless the
    /// claim was erased in between.
    pub(super) fn apply_requested_erasure(
        &mut self,
        hand_over: &HandOver,
        at: Timestamp,
        joined_at: Option<Timestamp>,
        effects: &mut Effects,
    ) {
        let id = &hand_over.to;
        self.end_or_forget_if_expired(id, at, effects);
        if self.passes_on(hand_over, effects) {
            return;
        }
        let by = hand_over.path.last();
        let is_void = |identity: &Identity| {
            identity.is_erased(at, None) || joined_at.is_none_or(|joined_at| identity.is_erased(joined_at, by))
        };
        if self.identity_mut(id).is_none_or(|(identity, _)| !is_void(identity)) {
            self.erase_with_aliases(id, at, effects);
        }
    }

    fn erase_with_aliases(&mut self, id: &str, at: Timestamp, effects: &mut Effects) -> CustomerSlot {
        // Repetitions of its touchpoints must not bring it back.
        let at = self.erase_customer(id, at, effects).unwrap_or(at);
        let copy = self.customers.get_or_vacant(id, &self.rules, &self.shape);
        copy.customer.identity.get_or_insert_default();
        let slot = copy.slot;
        // Those of an id without a customer.
        self.erase_aliases(slot, at, true, effects);
        slot
    }

    /// Drops a touchpoint that is not later than the erasure of its customer. What it claims is claimed nevertheless,
    /// so that the erasure reaches it.
    pub(super) fn drop_erased(
        &mut self,
        touchpoint: &Touchpoint<'_>,
        path: &[Arc<str>],
        life: Option<u16>,
        effects: &mut Effects,
    ) {
        effects.tally.applied += 1;
        effects.tally.older_than_erasure += 1;
        let Some(other) = self.claimed_id(touchpoint) else { return };
        let Some((identity, _)) = self.identity_mut(touchpoint.customer_id) else { return };
        let claim = claim_by(touchpoint, None, life.unwrap_or(identity.retired), identity, path);
        effects.hand_overs.push(HandOver::new(other.into(), claim));
    }

    /// Sends the removal of a customer to its aliases, and remembers it.
    pub(super) fn erase_aliases(&mut self, slot: CustomerSlot, at: Timestamp, is_erasure: bool, effects: &mut Effects) {
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let Some(identity) = copy.customer.identity.as_deref_mut() else { return };
        let own = &copy.customer.id;
        for alias in std::mem::take(&mut identity.aliases) {
            if !alias.has_moved() {
                // A later claim must find the id independent. Facts of a forgotten customer may still arrive.
                let message = Message::EraseClaimed { by: Arc::clone(own), life: identity.retired, at };
                effects.hand_overs.extend(is_erasure.then(|| HandOver::new(alias.id, message)));
                continue;
            }
            identity.add_erased_move(alias.drain);
            if alias.id != *own {
                effects.hand_overs.push(erasure_of(alias, at, is_erasure));
            } else if identity.former.as_ref().is_some_and(|former| former.drain == alias.drain) {
                // The customer of the merge was merged into this one after the split.
                identity.former = None;
            }
        }
        self.remember_erasure(slot, at, is_erasure);
    }

    /// The customer `by`, which has claimed `id`, was erased before the facts of `id` arrived.
    pub(super) fn apply_claimed_erasure(&mut self, id: &str, by: &Arc<str>, life: u16, at: Timestamp) {
        let Some((identity, _)) = self.identity_mut(id) else { return };
        let is_claimed = |into: &Arc<str>, of: u16, is_settled: bool| into == by && of == life && !is_settled;
        let stub = identity.stub.as_ref().filter(|it| is_claimed(&it.into, it.life, it.is_settled));
        let former = identity.former.as_ref().filter(|it| is_claimed(&it.into, it.life, it.is_settled));
        if let Some(drain) = stub.map(|stub| stub.drain).or(former.map(|former| former.drain)) {
            self.apply_alias_erasure(id, drain, at, true);
        }
    }

    /// The customer that the facts of the alias `id` moved to is removed.
    pub(super) fn apply_alias_erasure(&mut self, id: &str, drain: u64, at: Timestamp, is_erasure: bool) {
        self.end_if_expired(id, self.due_until(at));
        let now = self.clock.at_least(at);
        let Some(slot) = self.customers.find(id) else { return };
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let Some(identity) = copy.customer.identity.as_deref_mut() else { return };
        if identity.stub.as_ref().is_some_and(|stub| stub.drain == drain) {
            identity.stub = None;
            self.remember_erasure(slot, at, is_erasure);
        } else if let Some(former) = identity.former.as_mut().filter(|former| former.drain == drain) {
            // The id itself lives on. What was for the customer until then still goes there; if it was erased, it is
            // dropped there.
            former.until = former.until.min(at.next());
            former.ends_at = Some(now + ERASURE_KEPT_FOR);
            copy.is_changed = true;
            self.arm_identity_end(slot);
        }
    }

    /// Remembers that the customer at `slot` was removed.
    fn remember_erasure(&mut self, slot: CustomerSlot, at: Timestamp, is_erasure: bool) {
        let now = self.clock.at_least(at);
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let identity = copy.customer.identity.get_or_insert_default();
        let earlier = identity.erasure.map_or(Timestamp::MIN, |erasure| erasure.at);
        let requested_at = identity.erasure.and_then(|erasure| erasure.requested_at);
        let at = if is_erasure { at.max(earlier) } else { earlier };
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

    /// Ends the identity of `id`, or forgets its customer, if that is due before an input of the time `at`.
    pub(super) fn end_or_forget_if_expired(&mut self, id: &str, at: Timestamp, effects: &mut Effects) {
        let due_until = self.due_until(at);
        self.end_if_expired(id, due_until);
        self.forget_if_expired(id, due_until, effects);
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

/// Sends a forwarded erasure from `at` back to the id that it names, which the customer has lost.
pub(super) fn return_erasure(forwarding: &Forwarding, at: Timestamp, effects: &mut Effects) {
    effects.tally.applied += 1;
    let Some(named) = forwarding.path.first() else { return };
    let message = Message::EraseCustomer { at, joined_at: Some(at) };
    effects.hand_overs.push(HandOver::new(Arc::clone(named), message));
}

/// Returns the message that ends the stub of `alias`; see [`Message::Erase`].
pub(super) fn erasure_of(alias: Alias, at: Timestamp, is_erasure: bool) -> HandOver {
    HandOver::new(alias.id, Message::Erase { drain: alias.drain, at, is_erasure })
}

/// Returns the claim that `touchpoint` makes for `life` of its customer, which has the identity `identity`. `path` are
/// the ids that have forwarded the touchpoint; for `joined_at`, see [`Message::Claim`].
pub(super) fn claim_by(
    touchpoint: &Touchpoint<'_>,
    joined_at: Option<Timestamp>,
    life: u16,
    identity: &Identity,
    path: &[Arc<str>],
) -> Message {
    let merged = identity.aliases.iter().filter(|alias| alias.is_merged()).map(|alias| &alias.id);
    let names = if touchpoint.is_merge() { Vec::new() } else { path.iter().chain(merged).cloned().collect() };
    Message::Claim { by: touchpoint.customer_id.into(), life, link: Link::of(touchpoint), names, joined_at }
}
