//! Merges: a visitor or customer leaves all stages, and another customer takes in its facts.
//!
//! A link triggers the transitions of both, like a touchpoint.

use std::sync::Arc;

use super::customer::{Customer, EVERY_MODEL, Rules};
use super::fact::interleaved;
use super::touchpoint::Touchpoint;
use super::transition::{Merge, Transition};
use super::transition_builder::Trigger;

impl Customer {
    /// Moves the customer to no stage in every model and stops its signals, because its facts move to the customer
    /// `into`. `link` is the link, without properties. The caller fires due wake-ups first.
    pub fn leave(&mut self, rules: &Rules, link: &Touchpoint<'_>, into: &Arc<str>, transitions: &mut Vec<Transition>) {
        let is_late = link.occurred_at < self.clock;
        self.advance_clock(link.occurred_at);
        let merge = Merge::Into(Arc::clone(into));
        self.publish_merge(rules, link, is_late, &merge, transitions);
    }

    /// Adds the facts of the merged `theirs`, and publishes the changes. Its milestones and counters are not published
    /// again. `link` is the link, without properties. The caller fires due wake-ups first.
    pub fn take_in(&mut self, rules: &Rules, link: &Touchpoint<'_>, theirs: &Self, transitions: &mut Vec<Transition>) {
        let at = link.occurred_at.max(theirs.clock);
        let is_late = at < self.clock;
        self.advance_clock(at);
        self.facts.unite(&theirs.facts, &rules.models.layout, &rules.options, self.clock);
        self.recent_events = interleaved(&self.recent_events, &theirs.recent_events, rules.options.duplicates_kept_max);
        let active = self.last_active_at.zip(theirs.last_active_at);
        self.last_active_at = active.map(|(ours, theirs)| ours.max(theirs));
        for (published, theirs) in self.published.iter_mut().zip(&theirs.published) {
            published.milestones |= theirs.milestones;
            for (count, theirs) in published.counters.iter_mut().zip(&theirs.counters) {
                *count = (*count).max(*theirs);
            }
        }
        let merge = Merge::From(Arc::clone(&theirs.id));
        self.publish_merge(rules, link, is_late, &merge, transitions);
    }

    fn publish_merge(
        &mut self,
        rules: &Rules,
        link: &Touchpoint<'_>,
        is_late: bool,
        merge: &Merge,
        transitions: &mut Vec<Transition>,
    ) {
        let groups = rules.models.vocabulary.groups_of(link);
        let trigger = Trigger::Touchpoint { touchpoint: link, groups, is_late, merge: Some(merge) };
        self.publish(rules, EVERY_MODEL, &trigger, transitions);
    }
}
