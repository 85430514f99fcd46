//! A customer: facts, clock, and what was published last. Applies touchpoints and the passing of time.
//!
//! What is published depends only on the touchpoints in their order of arrival and on the instants: before a touchpoint is
//! applied the customer catches up with its time, each change at its own instant.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::author::{Author, Draft, Trigger};
use super::evaluate::{Standing, count, evaluate};
use super::fact::{Facts, FactsAt, is_about_order};
use super::id::{ModelIndex, StageIndex};
use super::model::Model;
use super::model_set::ModelSet;
use super::time::Timestamp;
use super::touchpoint::{FactOptions, Touchpoint};
use super::transition::Transition;
use super::value::Horizon;
use super::vocabulary::GroupSet;

/// The rules that customers live under: the checked models and how facts are counted.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The models.
    pub models: Arc<ModelSet>,
    /// How facts are counted.
    pub options: FactOptions,
}

/// The set of all models.
const EVERY_MODEL: u64 = u64::MAX;

/// One customer.
#[derive(Clone, PartialEq, Debug)]
pub struct Customer {
    /// Whose facts these are.
    pub id: Arc<str>,
    /// The latest instant applied: that of a touchpoint, or one at which time changed what is published.
    pub clock: Timestamp,
    /// When time alone may next change something.
    pub wake_up: Option<Timestamp>,
    /// When the customer was last heard of; `None` once they have ordered: only those who never did are forgotten.
    pub heard_at: Option<Timestamp>,
    /// What is known.
    pub facts: Facts,
    /// Hashes of the ids of the latest touchpoints, the latest last.
    pub recent_events: Vec<u64>,
    /// What was published last, by model.
    pub published: Vec<Published>,
    /// Bit i: model i was added or edited since the customer was evaluated last.
    pub outdated_models: u64,
}

/// What was published last of a customer in one model.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Published {
    /// The stage; `None` when none holds.
    pub stage: Option<StageIndex>,
    /// The instant of the latest move.
    pub since: Option<Timestamp>,
    /// How many publications.
    pub sequence: u64,
    /// How many of them at the customer's present clock.
    pub ordinal: u32,
    /// Bit i: the signal i is on.
    pub signals: u64,
    /// Bit i: the milestone i was reached.
    pub milestones: u64,
    /// The highest number published of each counter; below the counter's first where none was.
    pub counters: Vec<i64>,
}

/// What became of a touchpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is among the customer's facts now.
    Applied {
        /// It is older than the customer's clock.
        is_late: bool,
    },
    /// The customer had it already.
    Duplicate,
}

impl Customer {
    /// A customer nothing is known of, whose time begins at `clock`.
    #[must_use]
    pub fn new(id: Arc<str>, clock: Timestamp, models: &ModelSet) -> Self {
        let mut customer = Self {
            id,
            clock,
            wake_up: None,
            heard_at: Some(clock),
            facts: Facts::default(),
            recent_events: Vec::new(),
            published: Vec::new(),
            outdated_models: 0,
        };
        let id = Arc::clone(&customer.id);
        customer.reset(id, clock, models);
        customer
    }

    /// Makes this the customer that [`new`](Self::new) gives; keeps the memory.
    pub fn reset(&mut self, id: Arc<str>, clock: Timestamp, models: &ModelSet) {
        self.id = id;
        self.clock = clock;
        self.wake_up = None;
        self.heard_at = Some(clock);
        self.facts.reset(&models.layout);
        self.recent_events.clear();
        self.published.resize(models.models.len(), Published::default());
        for (published, model) in self.published.iter_mut().zip(&models.models) {
            published.reset(model);
        }
        self.outdated_models = 0;
    }

    /// When the customer is forgotten, if nothing more is heard of them. Whoever finds them at that instant or later must take
    /// them for somebody new.
    #[must_use]
    pub fn forgotten_at(&self, options: &FactOptions) -> Option<Timestamp> {
        forgotten_at(self.heard_at, options)
    }

    /// When the customer is to be looked at next: to be woken, or to be forgotten.
    #[must_use]
    pub fn due(&self, options: &FactOptions) -> Option<Timestamp> {
        due(self.wake_up, self.heard_at, options)
    }

    /// Works off one wake-up, if one is due by `until`. Returns whether one was. None is once the customer is forgotten.
    pub fn wake(&mut self, rules: &Rules, until: Timestamp, transitions: &mut Vec<Transition>) -> bool {
        let forgotten_at = self.forgotten_at(&rules.options);
        let is_due = |instant: &Timestamp| *instant <= until && forgotten_at.is_none_or(|end| *instant < end);
        let Some(instant) = self.wake_up.filter(is_due) else { return false };
        let clock = self.clock;
        let ordinals: Vec<u32> = self.published.iter().map(|published| published.ordinal).collect();
        let published_before = transitions.len();
        self.move_clock(instant);
        self.publish(rules, EVERY_MODEL, &Trigger::Time, transitions);
        if transitions.len() == published_before {
            // An instant at which something might have changed and nothing did has not happened to the customer: what late
            // touchpoints lead to must not depend on how tightly instants are computed.
            self.clock = clock;
            for (published, ordinal) in self.published.iter_mut().zip(ordinals) {
                published.ordinal = ordinal;
            }
        }
        true
    }

    /// Catches up with the customer's time, then applies `touchpoint`, which stands in `groups`.
    pub fn apply(
        &mut self,
        rules: &Rules,
        touchpoint: &Touchpoint<'_>,
        groups: GroupSet,
        published: &mut Vec<Transition>,
    ) -> Outcome {
        let event = xxh3_64(touchpoint.event_id.as_bytes()) >> 16;
        if self.recent_events.contains(&event) {
            return Outcome::Duplicate;
        }
        // Up to its own clock also for a late touchpoint: an edited model is reconciled first, or what the touchpoint changes
        // would pass for the work of the edit.
        while self.wake(rules, touchpoint.occurred_at.max(self.clock), published) {}
        if self.recent_events.len() >= rules.options.duplicates_kept_max {
            self.recent_events.remove(0);
        }
        self.recent_events.push(event);
        // Nothing was ever evaluated of a new customer: what holds without facts is found out now.
        let is_new = self.recent_events.len() == 1;
        let is_late = touchpoint.occurred_at < self.clock;
        self.move_clock(touchpoint.occurred_at);
        self.heard_at = match self.heard_at {
            Some(heard_at) if !is_about_order(touchpoint) => Some(heard_at.max(touchpoint.occurred_at)),
            Some(_) | None => None,
        };
        let layout = &rules.models.layout;
        let outdated = self.facts.fold(layout, &rules.options, touchpoint, groups, self.clock);
        let outdated = if is_new { EVERY_MODEL } else { outdated };
        if outdated != 0 {
            self.publish(rules, outdated, &Trigger::Touchpoint { touchpoint, groups, is_late }, published);
        }
        Outcome::Applied { is_late }
    }

    /// Moves the clock on to `instant`; it never runs backwards.
    fn move_clock(&mut self, instant: Timestamp) {
        if instant > self.clock {
            self.clock = instant;
            for published in &mut self.published {
                published.ordinal = 0;
            }
        }
    }

    /// Publishes the difference between what was published and what holds at the clock, in the models of the set `outdated`.
    fn publish(&mut self, rules: &Rules, outdated: u64, trigger: &Trigger<'_>, transitions: &mut Vec<Transition>) {
        let mut horizon = Horizon::NEVER;
        if let Some(wake_up) = self.wake_up.filter(|_| outdated != EVERY_MODEL) {
            // The other models' instants are not known apart. One that has become void wakes the customer in vain, once.
            horizon.note(wake_up);
        }
        let facts = FactsAt { layout: &rules.models.layout, facts: &self.facts };
        for (index, (model, published)) in (0_u8..).zip(rules.models.models.iter().zip(&mut self.published)) {
            if outdated >> index & 1 == 0 {
                continue;
            }
            let standing = evaluate(model, &facts, self.clock, published.milestones);
            horizon = horizon.earlier(standing.horizon);
            let is_reconciled = self.outdated_models >> index & 1 == 1;
            let author = Author {
                customer_id: &self.id,
                model_index: ModelIndex(index),
                model,
                facts,
                now: self.clock,
                trigger,
                is_reconciled,
                is_muted: is_reconciled && !rules.options.publish_reconciled,
            };
            published.follow(&author, standing, transitions);
        }
        self.outdated_models = 0;
        self.wake_up = horizon.instant();
    }
}

/// When a customer who was last heard of at `heard_at`, and never ordered, is forgotten.
pub(crate) fn forgotten_at(heard_at: Option<Timestamp>, options: &FactOptions) -> Option<Timestamp> {
    heard_at.zip(options.forget_after).map(|(heard_at, silence)| heard_at + silence)
}

/// When a customer who wants to be woken at `wake_up` is to be looked at next.
pub(crate) fn due(wake_up: Option<Timestamp>, heard_at: Option<Timestamp>, options: &FactOptions) -> Option<Timestamp> {
    wake_up.into_iter().chain(forgotten_at(heard_at, options)).min()
}

impl Published {
    fn reset(&mut self, model: &Model) {
        let mut counters = std::mem::take(&mut self.counters);
        counters.clear();
        counters.extend(model.counters.iter().map(|counter| counter.from.saturating_sub(1)));
        *self = Self { counters, ..Self::default() };
    }

    /// What a customer starts with in `model`.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        let mut published = Self::default();
        published.reset(model);
        published
    }

    /// Publishes what `standing` changes: the stage, then signals, milestones and counters as the model lists them.
    fn follow(&mut self, author: &Author<'_>, standing: Standing, transitions: &mut Vec<Transition>) {
        if standing.stage != self.stage {
            let draft = author.move_between(self.stage, standing.stage, self.since);
            self.write(author, draft, transitions);
            self.stage = standing.stage;
            self.since = Some(author.now);
        }
        for index in bits(standing.signals ^ self.signals) {
            let on = standing.signals >> index & 1 == 1;
            self.write(author, author.signal(index, on), transitions);
        }
        self.signals = standing.signals;
        for index in bits(standing.milestones & !self.milestones) {
            self.write(author, author.milestone(index), transitions);
        }
        self.milestones = standing.milestones;
        for index in 0..self.counters.len() {
            let number = count(author.model, index, &author.facts, author.now);
            if number > self.counters[index] {
                self.counters[index] = number;
                self.write(author, author.counter(index, number), transitions);
            }
        }
    }

    fn write(&mut self, author: &Author<'_>, draft: Draft<'_>, transitions: &mut Vec<Transition>) {
        let ordinal = self.ordinal;
        // What is not published takes no number: a gap would look like a loss.
        if !author.is_muted {
            self.sequence += 1;
            self.ordinal += 1;
        }
        transitions.push(author.write(draft, self.sequence, ordinal));
    }
}

fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let index = set.trailing_zeros() as usize;
        (index < 64).then(|| {
            set &= set - 1;
            index
        })
    })
}
