//! A customer as committed, for people: facts by name, what was published last, and why it holds.

use crate::lifecycle::author::values;
use crate::lifecycle::condition::Condition;
use crate::lifecycle::customer::{Customer, Rules};
use crate::lifecycle::evaluate::evaluate;
use crate::lifecycle::fact::FactsAt;
use crate::lifecycle::id::{StableId, StageIndex};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::transition::{OrdersSummary, OwnedValue};
use crate::lifecycle::value::{Horizon, Inputs, Slot};

use super::batch::counts_since;

/// A customer as committed.
#[derive(Clone, PartialEq, Debug)]
pub struct CustomerView {
    /// Whose facts these are.
    pub customer_id: Box<str>,
    /// The latest instant applied.
    pub clock: Timestamp,
    /// When time alone may next change something.
    pub next_wake_up: Option<Timestamp>,
    /// When the customer is forgotten, if nothing more is heard of them.
    pub forgotten_at: Option<Timestamp>,
    /// At the customer's clock; absent ones included.
    pub facts: Vec<FactView>,
    /// The valid orders.
    pub orders: OrdersSummary,
    /// By model, in the order of the configuration.
    pub models: Vec<ModelView>,
}

/// A fact of a customer.
#[derive(Clone, PartialEq, Debug)]
pub struct FactView {
    /// As the models write it.
    pub name: Box<str>,
    /// What it is.
    pub value: OwnedValue,
    /// Since when it counts, where a model was edited when there were customers already; otherwise from the beginning.
    pub counts_since: Option<Timestamp>,
}

/// What was last published of a customer in one model.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelView {
    /// The stage; `None` when none holds.
    pub stage: Option<StageIndex>,
    /// The instant of the latest move; `None` before the first.
    pub since: Option<Timestamp>,
    /// How many publications so far.
    pub sequence: u64,
    /// The signals that are on, by index.
    pub signals: Vec<usize>,
    /// The milestones reached, by index.
    pub milestones: Vec<usize>,
    /// The highest number published of each counter.
    pub counters: Vec<i64>,
}

impl CustomerView {
    /// What `customer` is known by; `added` are the facts that count since a certain instant only.
    pub(crate) fn of(customer: &Customer, rules: &Rules, added: &[(StableId, Timestamp)]) -> Self {
        let models = &*rules.models;
        let forgotten_at = customer.forgotten_at(&rules.options);
        let facts_at = FactsAt { layout: &models.layout, facts: &customer.facts };
        let facts = (0..).zip(&models.layout.definitions).map(|(slot, definition)| {
            let value = facts_at.read(Slot(slot), customer.clock, &mut Horizon::NEVER.clone());
            FactView {
                name: definition.text.clone(),
                value: OwnedValue::from(value),
                counts_since: counts_since(added, definition),
            }
        });
        let standings = customer.published.iter().map(|published| ModelView {
            stage: published.stage,
            since: published.since,
            sequence: published.sequence,
            signals: indices(published.signals),
            milestones: indices(published.milestones),
            counters: published.counters.clone(),
        });
        Self {
            customer_id: (&*customer.id).into(),
            clock: customer.clock,
            next_wake_up: next_wake_up(customer, models).filter(|&due| forgotten_at.is_none_or(|end| due < end)),
            forgotten_at,
            facts: facts.collect(),
            orders: customer.facts.orders_summary(),
            models: standings.collect(),
        }
    }
}

/// Why a customer stands where it does in one model, as of its clock.
#[derive(Clone, PartialEq, Debug)]
pub struct WhyView {
    /// The condition of the stage; `None` when no stage's condition holds.
    pub stage: Option<Because>,
    /// The conditions of the signals that are on, in the order of [`ModelView::signals`].
    pub signals: Vec<Because>,
}

/// A condition that holds, and what it reads.
#[derive(Clone, PartialEq, Debug)]
pub struct Because {
    /// As its author wrote it.
    pub condition: Box<str>,
    /// By name.
    pub values: Vec<(Box<str>, OwnedValue)>,
}

impl WhyView {
    /// By model, in the order of the configuration.
    pub(crate) fn of(customer: &Customer, models: &ModelSet) -> Vec<Self> {
        let facts = FactsAt { layout: &models.layout, facts: &customer.facts };
        let because = |condition: &Condition| Because {
            condition: condition.text.clone(),
            values: values(condition, &facts, customer.clock),
        };
        let standings = models.models.iter().zip(&customer.published);
        standings
            .map(|(model, published)| {
                let signals = model.signals.iter().enumerate();
                let are_on = signals.filter(|(index, _)| published.signals >> index & 1 == 1);
                Self {
                    stage: published.stage.map(|stage| because(&model.stage(stage).when)),
                    signals: are_on.map(|(_, signal)| because(&signal.when)).collect(),
                }
            })
            .collect()
    }
}

/// When time alone may next change something. A customer's own wake-up may come earlier, in vain: it is not computed anew
/// where a touchpoint concerned some of the models only.
fn next_wake_up(customer: &Customer, models: &ModelSet) -> Option<Timestamp> {
    let wake_up = customer.wake_up?;
    if customer.outdated_models != 0 {
        return Some(wake_up);
    }
    // Nothing changes before the wake-up, so what holds just before it holds now.
    let now = customer.clock.max(wake_up - Duration::from_millis(1));
    let facts = FactsAt { layout: &models.layout, facts: &customer.facts };
    let standings = models.models.iter().zip(&customer.published);
    let horizons = standings.map(|(model, published)| evaluate(model, &facts, now, published.milestones).horizon);
    horizons.fold(Horizon::NEVER, Horizon::earlier).instant()
}

fn indices(set: u64) -> Vec<usize> {
    (0..64).filter(|index| set >> index & 1 == 1).collect()
}
