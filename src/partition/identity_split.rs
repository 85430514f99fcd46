//! Splits: the command `customer_split` ends a merge for the future.
//!
//! What is for the lives of the id until then still goes to the customer of the merge, and the id begins another life.

use std::sync::Arc;

use crate::lifecycle::identity::Stub;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;

use super::effects::Effects;
use super::hand_over::{Forwarding, HandOver, Link, Message, ROUNDS_MAX};
use super::machine::Partition;
use super::refused_link::{RefusalReason, RefusedLink};

impl Partition {
    /// Ends the merge of the id that `split` names: its touchpoints from then on are its own. All that is for its lives
    /// until then still goes to the customer, in which their facts are. Returns the split as a forwarding to the
    /// customer, or to the id itself if it must wait; `None` if there is no merge to end.
    pub(super) fn apply_split(
        &mut self,
        split: &Touchpoint<'_>,
        rounds: u32,
        effects: &mut Effects,
    ) -> Option<Forwarding> {
        let at = split.occurred_at;
        let copy = self.customers.get_or_vacant(split.customer_id, &self.rules, &self.shape);
        let slot = copy.slot;
        let forwarding = Forwarding::home(split.customer_id);
        let identity = copy.customer.identity.get_or_insert_default();
        if identity.former.as_ref().is_some_and(|former| former.split.is_some_and(|known| known.at == at)) {
            return None;
        }
        let is_merged = identity.can_split(at);
        if !is_merged && identity.stub.as_ref().is_none_or(Stub::is_merged) {
            let into = identity.stub.as_ref().filter(|stub| stub.merged_at.is_some_and(|merged_at| merged_at <= at));
            let (customer_id, other_id) =
                (Arc::clone(&copy.customer.id), into.map_or(&copy.customer.id, |it| &it.into));
            let reason = if into.is_some() { RefusalReason::SplitBefore } else { RefusalReason::NotMerged };
            let (other_id, link) = (Arc::clone(other_id), Link::of(split));
            effects.refuse(RefusedLink { customer_id, other_id, link, reason });
            // While the service catches up, the merge may arrive later. The facts until then cannot be separated, so
            // the id keeps them.
            if at > identity.split_at.unwrap_or(Timestamp::MIN) {
                (identity.split_at, copy.is_changed) = (Some(at), true);
                self.arm_identity_end(slot);
            }
            return None;
        }
        // Otherwise touchpoints that wait for the facts could be in two places.
        if is_merged && identity.stub.as_ref().is_some_and(|stub| !stub.is_settled) && rounds < ROUNDS_MAX {
            return Some(Forwarding { rounds: rounds + 1, ..forwarding });
        }
        identity.part(at);
        let former = identity.former.as_ref().filter(|_| is_merged);
        let passed_on = former.map(|former| forwarding.passed_on_by_former(&copy.customer.id, former));
        (copy.customer.is_visitor, copy.is_changed) = (false, true);
        self.arm_identity_end(slot);
        passed_on
    }

    /// Records at the customer `id` that `alias` was split.
    pub(super) fn split_alias(&mut self, id: &str, alias: &str) {
        if let Some((identity, is_changed)) = self.identity_mut(id) {
            identity.split_alias(alias);
            *is_changed = true;
        }
    }

    /// Passes on facts, an erasure, and the command that merges the id into another customer, if they are for a life of
    /// the id that belongs to the customer of a merge that was split.
    pub(super) fn is_passed_on_by_former(&mut self, hand_over: &HandOver, effects: &mut Effects) -> bool {
        let at = match &hand_over.message {
            Message::Claim { link, .. } if link.is_merge() => link.occurred_at,
            Message::Facts { link, .. } => link.occurred_at,
            Message::EraseCustomer { at, .. } => *at,
            _ => return false,
        };
        self.end_if_expired(&hand_over.to, self.due_until(at));
        let now = self.clock.at_least(at);
        let Some((identity, is_changed)) = self.identity_mut(&hand_over.to) else { return false };
        *is_changed |= identity.end_former(now);
        let Some(former) = identity.former_of(hand_over.life, at) else { return false };
        effects.hand_overs.push(hand_over.passed_on_by_former(former));
        true
    }
}
