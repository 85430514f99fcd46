//! A customer: facts, clock, and what was last published. Applies touchpoints and wake-ups.
//!
//! The transitions depend only on the touchpoints and their order of arrival, not on when the caller fires wake-ups:
//! before a touchpoint is applied, all wake-ups due by its time fire, each at its own instant.

use std::cell::OnceCell;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::evaluate::{Standing, counter_value, evaluate};
use super::fact::{FactInputs, Facts, is_about_order};
use super::id::{ModelIndex, StageIndex};
use super::identity::Identity;
use super::model::Model;
use super::model_set::ModelSet;
use super::time::Timestamp;
use super::touchpoint::{FactOptions, Touchpoint};
use super::transition::Transition;
use super::transition_builder::{PendingTransition, TransitionBuilder, Trigger};
use super::value::Horizon;
use super::vocabulary::GroupSet;

/// The configuration for evaluating customers: the checked models, and how facts are kept.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The checked models.
    pub models: Arc<ModelSet>,
    /// How facts are kept.
    pub options: FactOptions,
    /// The instant from which these models apply to restored customers. Wake-ups of an added or edited model that are
    /// due up to this instant are attributed to the edit, later ones to time.
    pub edited_at: Timestamp,
}

/// The set of all models, one bit per model.
pub(super) const EVERY_MODEL: u64 = u64::MAX;

/// The state of one customer.
#[derive(Clone, PartialEq, Debug)]
pub struct Customer {
    /// The customer id.
    pub id: Arc<str>,
    /// The latest instant applied: the time of a touchpoint, or of a wake-up that published something.
    pub clock: Timestamp,
    /// The next instant at which time alone may change the standing.
    pub wake_up: Option<Timestamp>,
    /// The latest activity of a customer who never ordered; `None` after the first touchpoint about an order, since
    /// customers with orders are never forgotten.
    pub last_active_at: Option<Timestamp>,
    /// The facts.
    pub facts: Facts,
    /// Hashes of the latest `event_id`s, the newest last, for deduplication.
    pub recent_events: Vec<u64>,
    /// What was last published, by model.
    pub published: Vec<Published>,
    /// Bit i: model i was added or edited, and has not been evaluated up to the instant of the edit.
    pub outdated_models: u64,
    /// Whether the id is that of a visitor: no touchpoint names it as a customer id.
    pub is_visitor: bool,
    /// What the id refers to; `None` without links.
    pub identity: Option<Box<Identity>>,
}

/// The state of a customer in one model as last published.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Published {
    /// The stage; `None` if the customer is in no stage.
    pub stage: Option<StageIndex>,
    /// The instant of the latest move between stages.
    pub since: Option<Timestamp>,
    /// The number of published transitions, which is the sequence number of the latest one.
    pub sequence: u64,
    /// The number of transitions published at the current value of the customer's clock.
    pub ordinal: u32,
    /// Bit i: the signal i is on.
    pub signals: u64,
    /// Bit i: the milestone i was reached.
    pub milestones: u64,
    /// The highest published value of each counter; initially [`Counter::from`](super::model::Counter::from) minus 1.
    pub counters: Vec<i64>,
}

/// The result of applying a touchpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The touchpoint was added to the facts.
    Applied {
        /// Whether it was older than the customer's clock.
        is_late: bool,
        /// Whether it cancels or refunds an order that is no longer kept, so that it has no effect.
        is_order_missing: bool,
    },
    /// The customer already had a touchpoint with this `event_id`.
    Duplicate,
}

impl Customer {
    /// Creates a customer without touchpoints, whose clock starts at `clock`.
    #[must_use]
    pub fn new(id: Arc<str>, clock: Timestamp, models: &ModelSet) -> Self {
        let mut customer = Self {
            id,
            clock,
            wake_up: None,
            last_active_at: Some(clock),
            facts: Facts::default(),
            recent_events: Vec::new(),
            published: Vec::new(),
            outdated_models: 0,
            is_visitor: false,
            identity: None,
        };
        let id = Arc::clone(&customer.id);
        customer.reset(id, clock, models);
        customer
    }

    /// Resets the customer to the state of [`new`](Self::new), and reuses its allocations.
    pub fn reset(&mut self, id: Arc<str>, clock: Timestamp, models: &ModelSet) {
        self.id = id;
        self.clock = clock;
        self.wake_up = None;
        self.last_active_at = Some(clock);
        self.facts.reset(&models.layout);
        self.recent_events.clear();
        self.published.resize(models.models.len(), Published::default());
        for (published, model) in self.published.iter_mut().zip(&models.models) {
            published.reset(model);
        }
        self.outdated_models = 0;
        self.is_visitor = false;
        self.identity = None;
    }

    /// Returns when the customer is forgotten if no touchpoint arrives until then. From that instant on, the caller
    /// must remove this customer and start with a new one.
    #[must_use]
    pub fn forgotten_at(&self, options: &FactOptions) -> Option<Timestamp> {
        forgotten_at(self.last_active_at, options)
    }

    /// Returns the instant at which the customer next wakes up or is forgotten.
    #[must_use]
    pub fn due_at(&self, options: &FactOptions) -> Option<Timestamp> {
        due_at(self.wake_up, self.last_active_at, options)
    }

    /// Fires one wake-up if it is due by `until` and before the customer is forgotten. Returns whether it fired.
    pub fn wake(&mut self, rules: &Rules, until: Timestamp, transitions: &mut Vec<Transition>) -> bool {
        let forgotten_at = self.forgotten_at(&rules.options);
        let is_due = |instant: &Timestamp| *instant <= until && forgotten_at.is_none_or(|end| *instant < end);
        let Some(instant) = self.wake_up.filter(is_due) else { return false };
        let clock = self.clock;
        let ordinals: Vec<u32> = self.published.iter().map(|published| published.ordinal).collect();
        let published_before = transitions.len();
        self.advance_clock(instant);
        self.publish(rules, EVERY_MODEL, &Trigger::Time, transitions);
        if transitions.len() == published_before {
            // A wake-up that publishes nothing does not advance the clock: wake-ups may be scheduled earlier than
            // necessary, and the output must not depend on that.
            self.clock = clock;
            for (published, ordinal) in self.published.iter_mut().zip(ordinals) {
                published.ordinal = ordinal;
            }
        }
        true
    }

    /// Fires the wake-ups due by the time of `touchpoint`, then applies it. `groups` are the groups that it belongs to.
    pub fn apply(
        &mut self,
        rules: &Rules,
        touchpoint: &Touchpoint<'_>,
        groups: GroupSet,
        transitions: &mut Vec<Transition>,
    ) -> Outcome {
        let event = xxh3_64(touchpoint.event_id.as_bytes()) >> 16;
        if self.recent_events.contains(&event) {
            return Outcome::Duplicate;
        }
        // For a late touchpoint, wake-ups up to the customer's own clock fire as well. They include the evaluation of
        // an edited model; without it, the changes caused by the edit would be attributed to the touchpoint.
        while self.wake(rules, touchpoint.occurred_at.max(self.clock), transitions) {}
        if self.recent_events.len() >= rules.options.duplicates_kept_max {
            self.recent_events.remove(0);
        }
        self.recent_events.push(event);
        // A new customer has no standing yet, so every model is evaluated, not only those that read a changed fact.
        let is_new = self.recent_events.len() == 1;
        let is_late = touchpoint.occurred_at < self.clock;
        self.advance_clock(touchpoint.occurred_at);
        self.last_active_at = match self.last_active_at {
            Some(last_active_at) if !is_about_order(touchpoint) => Some(last_active_at.max(touchpoint.occurred_at)),
            Some(_) | None => None,
        };
        let layout = &rules.models.layout;
        let is_order_missing = layout.reads_orders && self.facts.orders.is_order_missing(touchpoint);
        let affected = self.facts.apply(layout, &rules.options, touchpoint, groups, self.clock);
        let affected = if is_new { EVERY_MODEL } else { affected };
        if affected != 0 {
            self.publish(
                rules,
                affected,
                &Trigger::Touchpoint { touchpoint, groups, is_late, merge: None },
                transitions,
            );
        }
        Outcome::Applied { is_late, is_order_missing }
    }

    /// Advances the clock to `instant`; it never moves backwards.
    pub(super) fn advance_clock(&mut self, instant: Timestamp) {
        if instant > self.clock {
            self.clock = instant;
            let ordinal = self.first_ordinal();
            for published in &mut self.published {
                published.ordinal = ordinal;
            }
        }
    }

    /// Returns the ordinal of the first publication at an instant. The ids of transitions contain it, so those of an id
    /// that was a stub, or whose customer was removed, differ from those of the customer before: facts and touchpoints
    /// of before may arrive later.
    pub(crate) fn first_ordinal(&self) -> u32 {
        let earlier = |identity: &Identity| u32::from(identity.retired.saturating_add(identity.removals));
        self.identity.as_deref().map_or(0, earlier) << 16
    }

    /// Evaluates the models in the set `affected` at the customer's clock, and appends the differences from what was
    /// last published to `transitions`.
    pub(super) fn publish(
        &mut self,
        rules: &Rules,
        affected: u64,
        trigger: &Trigger<'_>,
        transitions: &mut Vec<Transition>,
    ) {
        let mut horizon = Horizon::NEVER;
        if let Some(wake_up) = self.wake_up.filter(|_| affected != EVERY_MODEL) {
            // The horizons of the other models are not stored separately, so the old wake-up remains as a lower bound.
            // At worst the customer wakes once without a change.
            horizon.lower_to(wake_up);
        }
        let facts = FactInputs { layout: &rules.models.layout, facts: &self.facts };
        let (cause, attribute_values) = (OnceCell::new(), OnceCell::new());
        // A merge is published also if the id is in no stage, so that subscribers learn that it forwards.
        let is_silent = trigger.is_leave() && self.published.iter().all(|published| published.stage.is_none());
        for (index, (model, published)) in (0_u8..).zip(rules.models.models.iter().zip(&mut self.published)) {
            if affected >> index & 1 == 0 {
                continue;
            }
            let standing = if trigger.is_leave() {
                Standing::none(published.milestones)
            } else {
                evaluate(model, &facts, self.clock, published.milestones)
            };
            horizon = horizon.earlier(standing.horizon);
            let is_outdated = self.outdated_models >> index & 1 == 1;
            let builder = TransitionBuilder {
                customer_id: &self.id,
                model_index: ModelIndex(index),
                model,
                facts,
                now: self.clock,
                trigger,
                cause: &cause,
                attributes: &rules.models.attributes,
                attribute_values: &attribute_values,
                is_reconciled: is_outdated && matches!(trigger, Trigger::Time),
            };
            published.publish_changes(&builder, standing, is_silent && index == 0, transitions);
        }
        self.wake_up = horizon.instant();
        // The models stay outdated until every wake-up due up to the edit has fired: those wake-ups are caused by the
        // edit, later ones by time.
        if self.wake_up.is_none_or(|due| due > rules.edited_at) {
            self.outdated_models = 0;
        }
    }
}

/// Returns when a customer who never ordered and was last active at `last_active_at` is forgotten.
pub(crate) fn forgotten_at(last_active_at: Option<Timestamp>, options: &FactOptions) -> Option<Timestamp> {
    last_active_at.zip(options.forget_after).map(|(last_active_at, inactivity)| last_active_at + inactivity)
}

/// Returns the earlier of the wake-up and the instant at which the customer is forgotten.
pub(crate) fn due_at(
    wake_up: Option<Timestamp>,
    last_active_at: Option<Timestamp>,
    options: &FactOptions,
) -> Option<Timestamp> {
    wake_up.into_iter().chain(forgotten_at(last_active_at, options)).min()
}

impl Published {
    /// The value of `since` for a customer whose stage an edit removed, until the edited model is evaluated. The move
    /// is then published even if the customer is in no stage.
    pub const STAGE_REMOVED: Timestamp = Timestamp::MIN;

    /// Whether an edit removed the stage and the edited model is yet to be evaluated. A stage that began at the first
    /// instant of time is not one of these.
    #[must_use]
    pub fn has_removed_stage(&self) -> bool {
        self.stage.is_none() && self.since == Some(Self::STAGE_REMOVED)
    }

    fn reset(&mut self, model: &Model) {
        let mut counters = std::mem::take(&mut self.counters);
        counters.clear();
        counters.extend(model.counters.iter().map(|counter| counter.from.saturating_sub(1)));
        *self = Self { counters, ..Self::default() };
    }

    /// Returns the state of a new customer in `model`.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        let mut published = Self::default();
        published.reset(model);
        published
    }

    /// Appends the differences between `self` and `standing`: the stage, then signals, milestones and counters in the
    /// order of the model. With `must_move`, appends a move also if the stage is the same.
    fn publish_changes(
        &mut self,
        builder: &TransitionBuilder<'_>,
        standing: Standing,
        must_move: bool,
        transitions: &mut Vec<Transition>,
    ) {
        if standing.stage != self.stage || self.has_removed_stage() || must_move {
            let pending = builder.move_between(self.stage, standing.stage, self.since);
            self.push(builder, pending, transitions);
            self.stage = standing.stage;
            self.since = Some(builder.now);
        }
        for index in set_bits(standing.signals ^ self.signals) {
            let on = standing.signals >> index & 1 == 1;
            self.push(builder, builder.signal(index, on), transitions);
        }
        self.signals = standing.signals;
        for index in set_bits(standing.milestones & !self.milestones) {
            self.push(builder, builder.milestone(index), transitions);
        }
        self.milestones = standing.milestones;
        for index in 0..self.counters.len() {
            let count = counter_value(builder.model, index, &builder.facts, builder.now);
            if count > self.counters[index] {
                self.counters[index] = count;
                self.push(builder, builder.counter(index, count), transitions);
            }
        }
    }

    fn push(
        &mut self,
        builder: &TransitionBuilder<'_>,
        pending: PendingTransition<'_>,
        transitions: &mut Vec<Transition>,
    ) {
        self.sequence += 1;
        transitions.push(builder.build(pending, self.sequence, self.ordinal));
        self.ordinal += 1;
    }
}

fn set_bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let index = set.trailing_zeros() as usize;
        (index < 64).then(|| {
            set &= set - 1;
            index
        })
    })
}
