//! The rules of identity resolution: how a partition applies touchpoints of visitors, links and hand-overs.
//!
//! The partition of a visitor decides who owns it: the first customer that claims it. From then on the id is a stub. A
//! claim by a second customer, or a touchpoint that names the id as a customer id, ends the stub, and later touchpoints
//! belong to the id itself. The facts move once, whole, with the stub that replaces them; so each touchpoint counts
//! once, in any order of touchpoints and hand-overs.
//!
//! A customer id is never claimed, also for a while after its removal. Therefore the target of a stub is a customer. If
//! it is a stub nevertheless, because it came back as a visitor later, a hand-over ends that stub: nothing is forwarded
//! in a circle.

use std::sync::Arc;

use crate::lifecycle::identity::{Alias, Erasure, Identity, Stub, drain};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::touchpoint::Touchpoint;

use super::customers::identity_ends_at;
use super::effects::Effects;
use super::hand_over::{HandOver, Link, Message};
use super::machine::Partition;
use super::wake_ups::CustomerSlot;

/// How long an erasure is remembered: longer than a hand-over is under way.
const ERASURE_KEPT_FOR: Duration = Duration::from_days(7);

/// A customer repeats the claim of an alias at most once in this time, and accepts
/// [`ALIASES_MAX`](Identity::ALIASES_MAX) aliases in it.
const CLAIM_INTERVAL: Duration = Duration::from_days(1);

impl Partition {
    /// Applies a touchpoint: forwards it, or adds it to the facts and claims the visitor that it names.
    pub(super) fn apply_with_identity(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) {
        if self.apply_or_forward(touchpoint, effects) {
            self.clock.advance(touchpoint.occurred_at);
        }
    }

    /// Like [`apply_with_identity`](Self::apply_with_identity), but does not advance stream time. Returns `false` if
    /// the touchpoint is a duplicate.
    fn apply_or_forward(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) -> bool {
        self.end_if_expired(touchpoint.customer_id, self.due_until(touchpoint.occurred_at));
        if let Some(to) = self.forwards_to(touchpoint) {
            effects.forwarded_to = Some(to);
            effects.tally.forwarded += 1;
        } else if touchpoint.is_erasure() {
            self.apply_erasure(touchpoint, effects);
        } else if self.apply_touchpoint(touchpoint, effects) {
            self.claim_visitor(touchpoint, effects);
        } else {
            return false;
        }
        true
    }

    /// Forwards a touchpoint to the partition of its id.
    pub(super) fn forward_home(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) {
        effects.forwarded_to = Some(touchpoint.customer_id.into());
        effects.tally.forwarded += 1;
        self.clock.advance(touchpoint.occurred_at);
    }

    /// Applies a touchpoint of a visitor to the customer `to`, or one of the id `to` itself that was read by another
    /// partition.
    pub(super) fn apply_forwarded(&mut self, to: &str, touchpoint: &Touchpoint<'_>, effects: &mut Effects) {
        if to == touchpoint.customer_id {
            self.apply_or_forward(touchpoint, effects);
            return;
        }
        let touchpoint = Touchpoint { customer_id: to, is_visitor: false, ..*touchpoint };
        let at = touchpoint.occurred_at;
        self.end_if_expired(to, self.due_until(at));
        if let Some(slot) = self.customers.find(to) {
            let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
            if let Some(identity) = copy.customer.identity.as_deref_mut() {
                if identity.erasure.is_some_and(|erasure| at <= erasure.at) && !touchpoint.is_erasure() {
                    effects.tally.applied += 1;
                    return;
                }
                if identity.stub.is_some() {
                    identity.part(at);
                    copy.is_changed = true;
                }
            }
        }
        if touchpoint.is_erasure() {
            self.apply_erasure(&touchpoint, effects);
        } else {
            self.apply_touchpoint(&touchpoint, effects);
        }
    }

    /// Applies a hand-over.
    pub(super) fn apply_hand_over(&mut self, hand_over: &HandOver, effects: &mut Effects) {
        let to = &hand_over.to;
        match &hand_over.message {
            Message::Claim { by, link } => self.apply_claim(to, by, link, effects),
            Message::Facts { .. } => self.apply_facts(to, &hand_over.message, effects),
            Message::Erase { drain, at } => self.apply_alias_erasure(to, *drain, *at),
        }
    }

    /// Returns the customer that the touchpoint belongs to, if its id forwards it. A touchpoint that names a stub as a
    /// customer id ends the stub.
    fn forwards_to(&mut self, touchpoint: &Touchpoint<'_>) -> Option<Arc<str>> {
        let at = touchpoint.occurred_at;
        let is_erasure = touchpoint.is_erasure();
        let now = self.clock.at_least(at);
        let slot = self.customers.find(touchpoint.customer_id)?;
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let identity = copy.customer.identity.as_deref_mut()?;
        if let Some(stub) = &mut identity.stub {
            if touchpoint.is_visitor || is_erasure {
                copy.is_changed |= stub.use_at(now);
                return Some(Arc::clone(&stub.into));
            }
            identity.part(at);
            copy.is_changed = true;
            return None;
        }
        let former = identity.former.as_ref()?;
        (touchpoint.is_visitor && !is_erasure && at < former.until).then(|| Arc::clone(&former.into))
    }

    /// Sends a claim to the visitor that `touchpoint` names beside its customer.
    fn claim_visitor(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) {
        let link_on = self.rules.options.identity.unwrap_or_default().link_on;
        let Some(visitor) = link_on.visitor(touchpoint) else { return };
        let copy = self.customers.get_or_vacant(touchpoint.customer_id, &self.rules, &self.shape);
        let clock = copy.customer.clock;
        let is_recent = |alias: &&Alias| clock < alias.claimed_at + CLAIM_INTERVAL;
        let identity = copy.customer.identity.get_or_insert_default();
        let drain = match identity.aliases.iter().find(|alias| &*alias.id == visitor) {
            // Programs repeat a link with each session.
            Some(alias) if is_recent(&alias) => return,
            Some(alias) => alias.drain,
            None if identity.aliases.iter().filter(is_recent).count() >= Identity::ALIASES_MAX => {
                effects.tally.links_refused += 1;
                return;
            }
            None => 0,
        };
        // Before the facts arrive, so that links count which arrive in between, or which the visitor refuses. Of the
        // visitors that are only claimed, the one that it may replace refers to nothing.
        identity.add_alias(Alias { id: visitor.into(), drain, claimed_at: clock });
        let message = Message::Claim { by: Arc::clone(&copy.customer.id), link: Link::of(touchpoint) };
        effects.hand_overs.push(HandOver { to: visitor.into(), message });
    }

    /// The customer `by` claims the visitor `id`.
    fn apply_claim(&mut self, id: &Arc<str>, by: &Arc<str>, link: &Link, effects: &mut Effects) {
        let due_until = self.due_until(link.occurred_at);
        self.end_if_expired(id, due_until);
        self.forget_if_expired(id, due_until, effects);
        let now = self.clock.at_least(link.occurred_at);
        let copy = self.customers.get_or_vacant(id, &self.rules, &self.shape);
        let is_visitor = copy.customer.is_visitor;
        let identity = copy.customer.identity.get_or_insert_default();
        match &mut identity.stub {
            Some(stub) if stub.into == *by => copy.is_changed |= stub.use_at(now),
            Some(_) => {
                identity.part(link.occurred_at);
                copy.is_changed = true;
                effects.tally.links_refused += 1;
            }
            None if !is_visitor || identity.former.is_some() => effects.tally.links_refused += 1,
            None => {
                let slot = copy.slot;
                self.retire(slot, by, link, now, effects);
            }
        }
    }

    /// Makes the visitor at `slot` a stub of the customer `by`, and sends its facts there.
    fn retire(&mut self, slot: CustomerSlot, by: &Arc<str>, link: &Link, now: Timestamp, effects: &mut Effects) {
        let due_until = self.due_until(link.occurred_at);
        let has_customer = !self.customers.is_removed(slot);
        if has_customer {
            self.fire_wake_ups(slot, due_until, effects);
        }
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let id = Arc::clone(&copy.customer.id);
        if has_customer {
            let published_before = effects.transitions.len();
            let touchpoint = link.touchpoint(&id, &self.rules.models.vocabulary);
            // While the customer has its identity: the ids of transitions contain how often it was a stub before.
            copy.customer.leave(&self.rules, &touchpoint, by, &mut effects.transitions);
            self.stage_counts.record_moves(&effects.transitions[published_before..]);
            self.stage_counts.remove(&copy.customer);
            effects.removed.push(Arc::clone(&id));
            effects.tally.merged += 1;
        }
        let mut identity = copy.customer.identity.take().unwrap_or_default();
        let drain = drain(&link.event_id, identity.retired);
        identity.retired = identity.retired.saturating_add(1);
        let mut stub = Stub { into: Arc::clone(by), drain, used: now };
        stub.use_at(copy.customer.clock.max(now));
        identity.stub = Some(stub);
        let visitor = has_customer.then(|| Box::new(copy.customer.clone()));
        copy.customer.identity = Some(identity);
        (copy.is_changed, copy.is_removed) = (true, true);
        self.wake_ups.arm(slot, &id, identity_ends_at(&copy.customer, &self.rules.options));
        let message = Message::Facts { of: id, drain, link: link.clone(), visitor };
        effects.hand_overs.push(HandOver { to: Arc::clone(by), message });
    }

    /// The facts of a visitor move to the customer `id`.
    fn apply_facts(&mut self, id: &Arc<str>, facts: &Message, effects: &mut Effects) {
        let Message::Facts { of, drain, link, visitor } = facts else { return };
        let at = visitor.as_ref().map_or(link.occurred_at, |visitor| visitor.clock.max(link.occurred_at));
        let due_until = self.due_until(at);
        self.end_if_expired(id, due_until);
        self.forget_if_expired(id, due_until, effects);
        let copy = self.customers.get_or_vacant(id, &self.rules, &self.shape);
        let slot = copy.slot;
        let is_new = copy.is_removed;
        let identity = copy.customer.identity.get_or_insert_default();
        let erased_at = match identity.erasure {
            Some(erasure) if erasure.at >= link.occurred_at => Some(erasure.at),
            // Nothing is known of either.
            _ if is_new && visitor.is_none() => Some(link.occurred_at),
            _ => None,
        };
        if let Some(at) = erased_at {
            effects.hand_overs.push(HandOver { to: Arc::clone(of), message: Message::Erase { drain: *drain, at } });
            return;
        }
        identity.part(at);
        let alias = Alias { id: Arc::clone(of), drain: *drain, claimed_at: link.occurred_at };
        // An erasure of this customer would not reach the alias that it replaces, so that must not be a stub any more.
        effects.hand_overs.extend(identity.add_alias(alias).map(|evicted| erasure_of(evicted, at)));
        copy.customer.is_visitor = false;
        copy.is_changed = true;
        if is_new {
            copy.create_customer(at, &self.rules);
            self.stage_counts.add();
        }
        let until = at.max(copy.customer.clock);
        if let Some(visitor) = visitor {
            self.fire_wake_ups(slot, until, effects);
            let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
            let published_before = effects.transitions.len();
            let touchpoint = link.touchpoint(id, &self.rules.models.vocabulary);
            copy.customer.take_in(&self.rules, &touchpoint, visitor, &mut effects.transitions);
            self.stage_counts.record_moves(&effects.transitions[published_before..]);
            self.wake_ups.arm(slot, id, copy.customer.due_at(&self.rules.options));
        }
    }

    /// Erases the customer of `touchpoint` and all its aliases, and remembers it.
    fn apply_erasure(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) {
        self.erase(touchpoint, effects);
        let copy = self.customers.get_or_vacant(touchpoint.customer_id, &self.rules, &self.shape);
        copy.customer.is_visitor &= touchpoint.is_visitor;
        let identity = copy.customer.identity.get_or_insert_default();
        identity.former = None;
        let slot = copy.slot;
        self.remember_erasure(slot, touchpoint.occurred_at);
    }

    /// Sends the removal of a customer to its aliases.
    pub(super) fn erase_aliases(&mut self, slot: CustomerSlot, at: Timestamp, effects: &mut Effects) {
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let Some(identity) = copy.customer.identity.as_deref_mut() else { return };
        if identity.aliases.is_empty() {
            self.wake_ups.arm(slot, &copy.customer.id, identity_ends_at(&copy.customer, &self.rules.options));
            return;
        }
        let moved = identity.aliases.drain(..).filter(Alias::has_moved);
        effects.hand_overs.extend(moved.map(|alias| erasure_of(alias, at)));
        self.remember_erasure(slot, at);
    }

    /// The customer that the facts of the visitor `id` moved to is removed.
    fn apply_alias_erasure(&mut self, id: &str, drain: u64, at: Timestamp) {
        let Some(slot) = self.customers.find(id) else { return };
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let Some(identity) = copy.customer.identity.as_deref_mut() else { return };
        if identity.stub.as_ref().is_some_and(|stub| stub.drain == drain) {
            identity.stub = None;
            self.remember_erasure(slot, at);
        } else if identity.former.as_ref().is_some_and(|former| former.drain == drain) {
            identity.former = None;
            copy.is_changed = true;
            if copy.is_removed {
                self.wake_ups.arm(slot, &copy.customer.id, identity_ends_at(&copy.customer, &self.rules.options));
            }
        }
    }

    fn remember_erasure(&mut self, slot: CustomerSlot, at: Timestamp) {
        let now = self.clock.at_least(at);
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let identity = copy.customer.identity.get_or_insert_default();
        let at = identity.erasure.map_or(at, |erasure| erasure.at.max(at));
        identity.erasure = Some(Erasure { at, kept_until: now + ERASURE_KEPT_FOR });
        copy.is_changed = true;
        if copy.is_removed {
            self.wake_ups.arm(slot, &copy.customer.id, identity_ends_at(&copy.customer, &self.rules.options));
        }
    }

    /// Ends the identity of `id` if there is no customer and it ends by `until`, so that the output does not depend on
    /// whether `Input::TimePassed` has ended it.
    fn end_if_expired(&mut self, id: &str, until: Timestamp) {
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
        let later = identity_ends_at(&copy.customer, &self.rules.options).filter(|&end| end > until);
        if later.is_some() {
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

    /// Returns the committed identity of `id`: what it refers to, and what refers to it.
    #[must_use]
    pub fn identity(&self, id: &str) -> Option<Identity> {
        self.customers.committed_identity(self.customers.find(id)?)
    }

    /// Returns the number of committed ids without a customer: those of visitors that became customers, and erased
    /// ones.
    #[must_use]
    pub fn stubs(&self) -> usize {
        self.customers.vacant()
    }
}

/// Returns the message that ends the stub of `alias` because of something that happened at `at`.
fn erasure_of(alias: Alias, at: Timestamp) -> HandOver {
    HandOver { to: alias.id, message: Message::Erase { drain: alias.drain, at } }
}
