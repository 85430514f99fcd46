//! The rules of identity resolution: how a partition applies touchpoints of visitors, links, merges and hand-overs.
//!
//! An id whose facts moved is a stub: it passes on what arrives for it. The facts move once, whole, with the stub that
//! replaces them, and a touchpoint that a stub passes on waits until they have arrived; so each touchpoint counts
//! once, in any order of touchpoints and hand-overs.
//!
//! The partition of a visitor decides which customer owns it: the first one that claims it. A claim of a visitor by a
//! second customer, or a touchpoint that names the id as a customer id, ends the stub, and later touchpoints belong to
//! the id itself. Only the command `customer_merged` merges customers, and `customer_split` ends a merge. If two
//! partitions merge their customers into each other at once, their facts are passed on in a circle; the least id of it
//! becomes a customer again when its facts are back.

use std::sync::Arc;

use crate::lifecycle::identity::{Alias, AliasKind, Identity, Stub, drain};
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::touchpoint::Touchpoint;

use super::effects::Effects;
use super::hand_over::{Forwarding, HandOver, Link, Message, ROUNDS_MAX};
use super::identity_end::{claim_by, erasure_of, return_erasure};
use super::machine::Partition;
use super::refused_link::{RefusalReason, RefusedLink};
use super::wake_ups::CustomerSlot;

/// A customer repeats the claim of an alias at most once in this time, and accepts
/// [`ALIASES_MAX`](Identity::ALIASES_MAX) aliases in it.
const CLAIM_INTERVAL: Duration = Duration::from_days(1);

/// Where a touchpoint goes.
enum Route {
    /// To the id that it names.
    Own,
    /// To another customer, or to the same id because it must wait.
    Other(Forwarding),
    /// Nowhere: it is older than the erasure of its customer.
    Erased,
}

impl Partition {
    /// Applies a touchpoint: forwards it, or adds it to the facts and claims the id that it names.
    pub(super) fn apply_with_identity(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) {
        if self.apply_or_forward(touchpoint, 0, effects) {
            self.clock.advance(touchpoint.occurred_at);
        }
    }

    /// Like [`apply_with_identity`](Self::apply_with_identity), but does not advance stream time. The touchpoint has
    /// waited `rounds` times. Returns `false` if it is a duplicate.
    fn apply_or_forward(&mut self, touchpoint: &Touchpoint<'_>, rounds: u32, effects: &mut Effects) -> bool {
        self.end_or_forget_if_expired(touchpoint.customer_id, touchpoint.occurred_at, effects);
        let is_split = touchpoint.is_split();
        let route = if is_split {
            self.apply_split(touchpoint, rounds, effects).map_or(Route::Own, Route::Other)
        } else {
            self.route_of(touchpoint)
        };
        match route {
            Route::Other(forwarding) => {
                effects.tally.forwarded += u64::from(rounds == 0 || !forwarding.path.is_empty());
                effects.forwarding = Some(forwarding);
            }
            Route::Own if is_split => effects.tally.applied += 1,
            Route::Own => return self.apply_here(touchpoint, &[], effects),
            Route::Erased => self.drop_erased(touchpoint, &[], None, effects),
        }
        true
    }

    /// Forwards a touchpoint to the partition of its id.
    pub(super) fn forward_home(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) {
        effects.forwarding = Some(Forwarding::home(touchpoint.customer_id));
        effects.tally.forwarded += 1;
        self.clock.advance(touchpoint.occurred_at);
    }

    /// Applies a forwarded touchpoint, passes it on, or returns it as a forwarding to the same id if it must wait for
    /// facts.
    pub(super) fn apply_forwarded(
        &mut self,
        forwarding: &Forwarding,
        touchpoint: &Touchpoint<'_>,
        effects: &mut Effects,
    ) {
        let to = &forwarding.to;
        // An earlier release wrote no path.
        if forwarding.path.is_empty() && **to == *touchpoint.customer_id {
            self.apply_or_forward(touchpoint, forwarding.rounds, effects);
            return;
        }
        let touchpoint = Touchpoint { customer_id: to, is_visitor: false, ..*touchpoint };
        let at = touchpoint.occurred_at;
        self.end_or_forget_if_expired(to, at, effects);
        let now = self.clock.at_least(at);
        // An id that facts move to knows that it has claimed them. If it no longer has the sender as an alias, and no
        // former stub, its identity has ended in between, and the facts do not arrive.
        let stub_lifetime = self.rules.options.identity.unwrap_or_default().stub_lifetime;
        let has_ended = |identity: &Identity| {
            let is_known = identity.former.is_some() || forwarding.path.last().is_some_and(|by| identity.has_alias(by));
            at + stub_lifetime <= now && !is_known
        };
        let mut is_ready = true;
        if let Some((identity, is_changed)) = self.identity_mut(to) {
            *is_changed |= identity.end_former(now);
            if let Some(former) = identity.former_of(forwarding.life, at) {
                effects.forwarding = Some(forwarding.passed_on_by_former(to, former));
                return;
            }
            if identity.is_erased(at, forwarding.path.last()) && !touchpoint.is_erasure() {
                self.drop_erased(&touchpoint, &forwarding.path, forwarding.life, effects);
                return;
            }
            if forwarding.rounds >= ROUNDS_MAX && identity.stub.is_some() {
                identity.part(at);
                *is_changed = true;
            }
            if let Some(stub) = &mut identity.stub {
                *is_changed |= stub.use_at(now);
                let mut passed_on = forwarding.passed_on_by_stub(to, stub);
                // The facts of these moves were erased here, so they arrive nowhere.
                passed_on.needs.retain(|drain| !identity.erased_moves.contains(drain));
                effects.forwarding = Some(passed_on);
                return;
            }
            // Facts that moved on with those of another id may have been erased there.
            let was_erased = identity.erasure.is_some_and(|erasure| now < erasure.kept_until);
            is_ready = was_erased || identity.has_received(&forwarding.needs) || has_ended(identity);
        }
        if touchpoint.is_erasure() && self.has_lost(to, &forwarding.path) {
            return_erasure(forwarding, at, effects);
        } else if is_ready || forwarding.rounds >= ROUNDS_MAX {
            self.apply_here(&touchpoint, &forwarding.path, effects);
        } else {
            effects.forwarding = Some(Forwarding { rounds: forwarding.rounds + 1, ..forwarding.clone() });
        }
    }

    /// Applies a touchpoint to its customer. `path` are the ids that have forwarded it. Returns `false` if it is a
    /// duplicate.
    fn apply_here(&mut self, touchpoint: &Touchpoint<'_>, path: &[Arc<str>], effects: &mut Effects) -> bool {
        if touchpoint.is_erasure() {
            self.apply_erasure(touchpoint, effects);
        } else if touchpoint.is_merge() {
            effects.tally.applied += 1;
            self.declare(touchpoint.customer_id);
            self.claim(touchpoint, path, effects);
        } else if touchpoint.is_split() {
            effects.tally.applied += 1;
            path.first().inspect(|alias| self.split_alias(touchpoint.customer_id, alias));
        } else if self.apply_touchpoint(touchpoint, effects) {
            self.claim(touchpoint, path, effects);
        } else {
            return false;
        }
        true
    }

    /// Applies a hand-over.
    pub(super) fn apply_hand_over(&mut self, hand_over: &HandOver, effects: &mut Effects) {
        let to = &hand_over.to;
        if self.is_passed_on_by_former(hand_over, effects) {
            return;
        }
        match &hand_over.message {
            Message::Claim { .. } => self.apply_claim(hand_over, effects),
            Message::Facts { .. } => self.apply_facts(hand_over, effects),
            Message::EraseCustomer { at, joined_at } => {
                self.apply_requested_erasure(hand_over, *at, *joined_at, effects);
            }
            Message::EraseClaimed { by, life, at } => self.apply_claimed_erasure(to, by, *life, *at),
            Message::Erase { drain, at, is_erasure } => self.apply_alias_erasure(to, *drain, *at, *is_erasure),
            Message::Redirect { drain, into, life } => self.apply_redirect(to, *drain, into, *life),
        }
    }

    /// Returns where the touchpoint goes. One that names the stub of a visitor as a customer id ends the stub.
    fn route_of(&mut self, touchpoint: &Touchpoint<'_>) -> Route {
        let at = touchpoint.occurred_at;
        let now = self.clock.at_least(at);
        let Some(slot) = self.customers.find(touchpoint.customer_id) else { return Route::Own };
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let Some(identity) = copy.customer.identity.as_deref_mut() else { return Route::Own };
        let forwarding = Forwarding::home(touchpoint.customer_id);
        copy.is_changed |= identity.end_former(now);
        // What the former stub may have forwarded already, also if the id is a stub again.
        if let Some(former) = identity.former.as_ref().filter(|former| former.forwards(touchpoint)) {
            return Route::Other(forwarding.passed_on_by_former(&copy.customer.id, former));
        }
        if identity.is_erased(at, None) && !touchpoint.is_erasure() {
            return Route::Erased;
        }
        let Some(stub) = identity.stub.as_mut() else { return Route::Own };
        if touchpoint.is_visitor || touchpoint.is_erasure() || stub.is_merged() {
            copy.is_changed |= stub.use_at(now);
            return Route::Other(forwarding.passed_on_by_stub(&copy.customer.id, stub));
        }
        identity.part(at);
        copy.is_changed = true;
        Route::Own
    }

    /// Records that `id` is that of a customer, if something is known of it.
    fn declare(&mut self, id: &str) {
        let Some(slot) = self.customers.find(id) else { return };
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        if copy.customer.is_visitor && (!copy.is_removed || copy.customer.identity.is_some()) {
            (copy.customer.is_visitor, copy.is_changed) = (false, true);
        }
    }

    /// Sends a claim to the visitor that `touchpoint` names beside its customer, or to the id that it merges into it.
    /// `path` are the ids that have forwarded the touchpoint.
    fn claim(&mut self, touchpoint: &Touchpoint<'_>, path: &[Arc<str>], effects: &mut Effects) {
        let is_merge = touchpoint.is_merge();
        let refused = |other: &str, reason| {
            let (customer_id, other_id) = (touchpoint.customer_id.into(), other.into());
            RefusedLink { customer_id, other_id, link: Link::of(touchpoint), reason }
        };
        if let Some(blocked) = touchpoint.blocked_id {
            effects.refuse(refused(blocked, RefusalReason::BlockedId));
        }
        let Some(other) = self.claimed_id(touchpoint) else { return };
        let copy = self.customers.get_or_vacant(touchpoint.customer_id, &self.rules, &self.shape);
        let identity = copy.customer.identity.get_or_insert_default();
        let clock = identity.joined_at(copy.customer.clock.max(touchpoint.occurred_at));
        let is_recent = |alias: &Alias| clock < alias.claimed_at + CLAIM_INTERVAL;
        copy.customer.is_visitor &= !is_merge;
        let is_customer = |alias: &Alias| alias.kind != AliasKind::Visitor;
        // A link that the id has refused leaves an alias, which is not one of a merge.
        let is_known = |alias: &Alias| *alias.id == *other && (!is_merge || alias.has_moved() || is_customer(alias));
        let known = identity.aliases.iter().rposition(is_known);
        if known.is_none() {
            let is_full = |counts: &dyn Fn(&Alias) -> bool| {
                identity.aliases.iter().filter(|alias| counts(alias)).count() >= Identity::ALIASES_MAX
            };
            let reason = match () {
                () if is_full(&is_recent) => Some(RefusalReason::NewIdsMax),
                () if is_merge && is_full(&is_customer) => Some(RefusalReason::MergedIdsMax),
                () => None,
            };
            if let Some(reason) = reason {
                effects.refuse(refused(other, reason));
                return;
            }
        }
        match known.map(|index| &mut identity.aliases[index]) {
            // Programs repeat a link with each session.
            Some(alias) if !is_merge && is_recent(alias) => return,
            Some(alias) => (alias.claimed_at, copy.is_changed) = (alias.claimed_at.max(clock), true),
            // Before the facts arrive, so that links count which arrive in between, or which the visitor refuses.
            // An id that is known by a merge alone remembers the claim as well: otherwise a link could claim it as a
            // visitor while facts are under way to it.
            None if !copy.is_removed || is_merge => {
                let kind = if is_merge { AliasKind::Customer } else { AliasKind::Visitor };
                let alias = Alias { id: other.into(), drain: 0, claimed_at: clock, kind };
                let displaced = identity.add_alias(alias, touchpoint.customer_id).filter(Alias::has_moved);
                effects.hand_overs.extend(displaced.map(|displaced| erasure_of(displaced, clock, false)));
                copy.is_changed = true;
            }
            None => {}
        }
        let claim = claim_by(touchpoint, Some(clock), identity.retired, identity, path);
        effects.hand_overs.push(HandOver::new(other.into(), claim));
        let slot = copy.slot;
        self.arm_identity_end(slot);
    }

    /// Returns the visitor that `touchpoint` names beside its customer, or the id that it merges into it.
    pub(super) fn claimed_id<'t>(&self, touchpoint: &Touchpoint<'t>) -> Option<&'t str> {
        let link_on = self.rules.options.identity.unwrap_or_default().link_on;
        let other = if touchpoint.is_merge() { touchpoint.merged_id } else { link_on.visitor(touchpoint) };
        other.filter(|other| *other != touchpoint.customer_id)
    }

    /// A customer claims an id.
    fn apply_claim(&mut self, hand_over: &HandOver, effects: &mut Effects) {
        let HandOver { to: id, message: Message::Claim { by, life, link, names, joined_at }, .. } = hand_over else {
            return;
        };
        if by == id {
            return;
        }
        self.end_or_forget_if_expired(id, link.occurred_at, effects);
        // A repetition of a link from before the erasure of its customer, which has reached this id.
        let is_repeated = |identity: &Identity| joined_at.is_none() && identity.is_erased(link.occurred_at, None);
        if self.identity_mut(id).is_some_and(|(identity, _)| is_repeated(identity)) {
            return;
        }
        let now = self.clock.at_least(link.occurred_at);
        let refused = |reason| {
            let (customer_id, other_id) = (Arc::clone(by), Arc::clone(id));
            RefusedLink { customer_id, other_id, link: link.clone(), reason }
        };
        if link.is_merge() {
            let split_at = self.identity_mut(id).and_then(|(identity, _)| identity.split_at);
            // A command names an id without a life.
            if hand_over.life.is_none() && split_at.is_some_and(|split_at| link.occurred_at < split_at) {
                effects.refuse(refused(RefusalReason::SplitLater));
                return;
            }
            if self.passes_on(hand_over, effects) {
                return;
            }
        }
        let copy = self.customers.get_or_vacant(id, &self.rules, &self.shape);
        let is_visitor = copy.customer.is_visitor;
        let identity = copy.customer.identity.get_or_insert_default();
        copy.is_changed |= identity.end_former(now);
        // The claim was under way when the id was erased: the erasure is meant for its customer. A link cannot mean a
        // customer that was erased.
        let erasure = identity.erasure.as_mut().filter(|_| link.is_merge() || is_visitor);
        let requested = erasure.map(|erasure| &mut erasure.requested_at);
        if let Some(at) = requested.and_then(|at| at.take_if(|at| link.occurred_at <= *at)) {
            copy.is_changed = true;
            let message = Message::EraseCustomer { at, joined_at: *joined_at };
            effects.hand_overs.push(HandOver { life: Some(*life), ..HandOver::new(Arc::clone(by), message) });
            return;
        }
        if link.is_merge() {
            let is_merged = |alias: &Alias| alias.id == *by && alias.is_merged();
            if !identity.aliases.iter().any(is_merged) {
                let slot = copy.slot;
                self.retire(slot, (by, *life), (link, *joined_at), now, effects);
            }
            return;
        }
        match &mut identity.stub {
            Some(stub) if stub.into == *by || names.contains(&stub.into) => copy.is_changed |= stub.use_at(now),
            Some(stub) if stub.is_merged() => effects.refuse(refused(RefusalReason::MergedId)),
            Some(_) => {
                identity.part(link.occurred_at);
                copy.is_changed = true;
                effects.refuse(refused(RefusalReason::SharedId));
            }
            None if !is_visitor => effects.refuse(refused(RefusalReason::CustomerId)),
            None if identity.former.is_some() => effects.refuse(refused(RefusalReason::SharedId)),
            None => {
                let slot = copy.slot;
                self.retire(slot, (by, *life), (link, *joined_at), now, effects);
            }
        }
    }

    /// Makes the id at `slot` a stub of `life` of the customer `by`, and sends its facts there.
    fn retire(
        &mut self,
        slot: CustomerSlot,
        (by, life): (&Arc<str>, u16),
        (link, joined_at): (&Link, Option<Timestamp>),
        now: Timestamp,
        effects: &mut Effects,
    ) {
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
        let drain = drain(&id, &link.event_id, identity.retired);
        identity.retired = identity.retired.saturating_add(1);
        let merged_at = link.is_merge().then_some(link.occurred_at);
        let mut stub = Stub { into: Arc::clone(by), life, drain, used: now, merged_at, is_settled: false };
        stub.use_at(copy.customer.clock.max(now));
        identity.stub = Some(stub);
        let mut aliases = std::mem::take(&mut identity.aliases);
        aliases.retain(Alias::has_moved);
        let customer = has_customer.then(|| Box::new(copy.customer.clone()));
        copy.customer.identity = Some(identity);
        (copy.is_changed, copy.is_removed) = (true, true);
        self.arm_identity_end(slot);
        let message = Message::Facts { of: Arc::clone(&id), drain, link: link.clone(), joined_at, customer, aliases };
        let path = vec![id];
        effects.hand_overs.push(HandOver { to: Arc::clone(by), life: Some(life), path, rounds: 0, message });
    }

    /// The facts of an id move to the customer that the hand-over is for.
    fn apply_facts(&mut self, hand_over: &HandOver, effects: &mut Effects) {
        let HandOver { to: id, path, message, .. } = hand_over;
        let Message::Facts { of, drain, link, joined_at, customer, aliases } = message else { return };
        let at = hand_over.at();
        self.end_or_forget_if_expired(id, at, effects);
        let copy = self.customers.get_or_vacant(id, &self.rules, &self.shape);
        let (slot, is_new) = (copy.slot, copy.is_removed);
        let identity = copy.customer.identity.as_deref();
        let is_unknown = is_new && identity.is_none_or(|identity| identity.stub.is_none() && !identity.is_permanent());
        // What comes from the id itself joined with its claim, although a later one may have followed.
        let (joined_at, by) = match path.last() {
            Some(by) if by != of => (link.occurred_at, Some(by)),
            _ => (joined_at.unwrap_or(link.occurred_at), None),
        };
        let erasure = identity.filter(|it| it.is_erased(joined_at, by)).and_then(|it| it.erasure);
        // Nothing is known of the visitor, and the customer was removed.
        let is_useless = is_unknown && customer.is_none() && !link.is_merge() && path.len() <= 1;
        let moves = || [(of, *drain)].into_iter().chain(aliases.iter().map(|alias| (&alias.id, alias.drain)));
        if erasure.is_some() || is_useless {
            let latest = customer.as_ref().map_or(Timestamp::MIN, |customer| customer.clock);
            let (at, is_erasure) = erasure.map_or((link.occurred_at, false), |erasure| (erasure.at.max(latest), true));
            let erase =
                |(id, drain): (&Arc<str>, u64)| HandOver::new(Arc::clone(id), Message::Erase { drain, at, is_erasure });
            effects.hand_overs.extend(moves().map(erase));
            if let Some(identity) = copy.customer.identity.as_deref_mut() {
                moves().for_each(|(_, drain)| identity.add_erased_move(drain));
                copy.is_changed = true;
            }
            return;
        }
        if self.passes_on(hand_over, effects) {
            return;
        }
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let identity = copy.customer.identity.get_or_insert_default();
        let kind = if link.is_merge() { AliasKind::Customer } else { AliasKind::Visitor };
        let own = Alias { id: Arc::clone(of), drain: *drain, claimed_at: link.occurred_at, kind };
        for alias in aliases.iter().cloned().chain([own]) {
            let alias = Alias { claimed_at: identity.joined_at(alias.claimed_at), ..alias };
            // An erasure of this customer would not reach the visitor that it displaces: that must not be a stub.
            effects.hand_overs.extend(identity.add_alias(alias, id).map(|displaced| erasure_of(displaced, at, false)));
        }
        let life = identity.retired;
        (copy.customer.is_visitor, copy.is_changed) = (false, true);
        let redirect = |(id, drain): (&Arc<str>, u64)| {
            HandOver::new(Arc::clone(id), Message::Redirect { drain, into: Arc::clone(&hand_over.to), life })
        };
        effects.hand_overs.extend(moves().filter(|(alias, _)| *alias != id).map(redirect));
        let Some(theirs) = customer else { return };
        if is_new {
            copy.create_customer(at, &self.rules);
            self.stage_counts.add();
        }
        let until = at.max(copy.customer.clock);
        self.fire_wake_ups(slot, until, effects);
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let published_before = effects.transitions.len();
        let touchpoint = link.touchpoint(id, &self.rules.models.vocabulary);
        copy.customer.take_in(&self.rules, &touchpoint, theirs, &mut effects.transitions);
        self.stage_counts.record_moves(&effects.transitions[published_before..]);
        self.wake_ups.arm(slot, id, copy.customer.due_at(&self.rules.options));
    }

    /// Passes a hand-over on, if its id is a stub. In a circle of stubs, the least id becomes a customer again when its
    /// own facts come back.
    pub(super) fn passes_on(&mut self, hand_over: &HandOver, effects: &mut Effects) -> bool {
        let HandOver { to: id, path, rounds, message, .. } = hand_over;
        let Some(slot) = self.customers.find(id) else { return false };
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        let Some(identity) = copy.customer.identity.as_deref_mut() else { return false };
        let Some(stub) = &identity.stub else { return false };
        let circle = path.iter().position(|known| known == id).map_or(&[][..], |start| &path[start..]);
        if circle.iter().min() == Some(id) && message.has_facts(id, stub.drain) || *rounds >= ROUNDS_MAX {
            identity.stub = None;
            (copy.customer.is_visitor, copy.is_changed) = (false, true);
            return false;
        }
        effects.hand_overs.push(hand_over.passed_on(id, &stub.into, stub.life));
        true
    }

    /// The facts of the alias `id` have arrived at `life` of the customer `into`.
    fn apply_redirect(&mut self, id: &str, drain: u64, into: &Arc<str>, life: u16) {
        let Some((identity, is_changed)) = self.identity_mut(id).filter(|_| **into != *id) else { return };
        if let Some(stub) = identity.stub.as_mut().filter(|stub| stub.drain == drain) {
            (stub.into, stub.life, stub.is_settled, *is_changed) = (Arc::clone(into), life, true, true);
        }
        if let Some(former) = identity.former.as_mut().filter(|former| former.drain == drain) {
            (former.into, former.life, former.is_settled, *is_changed) = (Arc::clone(into), life, true, true);
        }
    }

    /// Returns the identity of `id` in the working copy, and whether that is changed; `None` if it has no identity.
    pub(super) fn identity_mut(&mut self, id: &str) -> Option<(&mut Identity, &mut bool)> {
        let slot = self.customers.find(id)?;
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        Some((copy.customer.identity.as_deref_mut()?, &mut copy.is_changed))
    }

    /// Returns the committed identity of `id`: what it refers to, and what refers to it.
    #[must_use]
    pub fn identity(&self, id: &str) -> Option<Identity> {
        self.customers.committed_identity(self.customers.find(id)?)
    }

    /// Returns the number of committed ids that have an identity and no customer.
    #[must_use]
    pub fn stubs(&self) -> usize {
        self.customers.vacant()
    }
}
