//! Views of a committed customer for the API and the CLI: facts by name, what was last published, and the reasons.

use crate::lifecycle::condition::Condition;
use crate::lifecycle::customer::{Customer, Published, Rules};
use crate::lifecycle::evaluate::evaluate;
use crate::lifecycle::fact::FactInputs;
use crate::lifecycle::id::{StableId, StageIndex};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::transition::OrdersSummary;
use crate::lifecycle::transition_builder::values;
use crate::lifecycle::value::{Horizon, Inputs, OwnedValue, Slot};

use super::changelog_batch::counts_since;

/// A committed customer.
#[derive(Clone, PartialEq, Debug)]
pub struct CustomerView {
    /// The id of the customer.
    pub customer_id: Box<str>,
    /// The customer's clock; see [`Customer::clock`].
    pub clock: Timestamp,
    /// The next instant at which time alone may change the standing.
    pub next_wake_up: Option<Timestamp>,
    /// When the customer is removed if no touchpoint arrives until then; `None` if never.
    pub forgotten_at: Option<Timestamp>,
    /// All facts, evaluated at the customer's clock, including absent ones.
    pub facts: Vec<FactView>,
    /// Aggregates over the valid orders.
    pub orders: OrdersSummary,
    /// One per model, in the order of the configuration.
    pub models: Vec<ModelView>,
}

/// A fact of a customer.
#[derive(Clone, PartialEq, Debug)]
pub struct FactView {
    /// The expression of the fact, as models write it.
    pub name: Box<str>,
    /// Its value; `None` if it is absent.
    pub value: Option<OwnedValue>,
    /// The stream time since which the fact is counted, if it was added when the partition already had customers;
    /// `None` means always.
    pub counts_since: Option<Timestamp>,
}

/// What was last published of a customer in one model.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelView {
    /// The stage; `None` if the customer is in no stage.
    pub stage: Option<StageIndex>,
    /// The instant of the latest move; `None` before the first.
    pub since: Option<Timestamp>,
    /// The sequence number of the latest transition; 0 if there was none.
    pub sequence: u64,
    /// The signals that are on, by index.
    pub signals: Vec<usize>,
    /// The milestones reached, by index.
    pub milestones: Vec<usize>,
    /// The highest published value of each counter.
    pub counters: Vec<i64>,
}

impl ModelView {
    pub(super) fn of(published: &Published) -> Self {
        Self {
            stage: published.stage,
            since: published.since.filter(|_| !published.has_removed_stage()),
            sequence: published.sequence,
            signals: indices(published.signals),
            milestones: indices(published.milestones),
            counters: published.counters.clone(),
        }
    }
}

impl CustomerView {
    /// Builds the view of `customer`. `added` has the facts that are counted only since a certain instant.
    pub(crate) fn of(customer: &Customer, rules: &Rules, added: &[(StableId, Timestamp)]) -> Self {
        let models = &*rules.models;
        let forgotten_at = customer.forgotten_at(&rules.options);
        let inputs = FactInputs { layout: &models.layout, facts: &customer.facts };
        let facts = (0..).zip(&models.layout.definitions).map(|(slot, definition)| {
            let value = inputs.read(Slot(slot), customer.clock, &mut Horizon::NEVER.clone());
            FactView {
                name: definition.text.clone(),
                value: OwnedValue::of(value),
                counts_since: counts_since(added, definition),
            }
        });
        let standings = customer.published.iter().map(ModelView::of);
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

/// Why a customer has its stage and signals in one model, as of its clock.
#[derive(Clone, PartialEq, Debug)]
pub struct ExplanationView {
    /// The condition of the stage; `None` if the customer is in no stage.
    pub stage: Option<ConditionView>,
    /// The conditions of the signals that are on, in the order of [`ModelView::signals`].
    pub signals: Vec<ConditionView>,
}

/// A condition that holds, and the values it reads.
#[derive(Clone, PartialEq, Debug)]
pub struct ConditionView {
    /// The text of the condition in the model file.
    pub condition: Box<str>,
    /// The values read, each with the name of its fact.
    pub values: Vec<(Box<str>, Option<OwnedValue>)>,
}

impl ExplanationView {
    /// Explains each model, in the order of the configuration.
    pub(crate) fn of(customer: &Customer, models: &ModelSet) -> Vec<Self> {
        let facts = FactInputs { layout: &models.layout, facts: &customer.facts };
        let explain = |condition: &Condition| ConditionView {
            condition: (&*condition.text).into(),
            values: values(condition, &facts, customer.clock),
        };
        let standings = models.models.iter().zip(&customer.published);
        standings
            .map(|(model, published)| {
                let signals = model.signals.iter().enumerate();
                let active = signals.filter(|(index, _)| published.signals >> index & 1 == 1);
                Self {
                    stage: published.stage.map(|stage| explain(&model.stage(stage).when)),
                    signals: active.map(|(_, signal)| explain(&signal.when)).collect(),
                }
            })
            .collect()
    }
}

/// Returns the next instant at which time alone may change the standing. The stored wake-up may be earlier than that: a
/// touchpoint that affects only some models keeps the old wake-up as a lower bound.
fn next_wake_up(customer: &Customer, models: &ModelSet) -> Option<Timestamp> {
    let wake_up = customer.wake_up?;
    if customer.outdated_models != 0 {
        return Some(wake_up);
    }
    // Nothing changes before the wake-up, so it is enough to evaluate just before it.
    let now = customer.clock.max(wake_up - Duration::from_millis(1));
    let facts = FactInputs { layout: &models.layout, facts: &customer.facts };
    let standings = models.models.iter().zip(&customer.published);
    let horizons = standings.map(|(model, published)| evaluate(model, &facts, now, published.milestones).horizon);
    horizons.fold(Horizon::NEVER, Horizon::earlier).instant()
}

fn indices(set: u64) -> Vec<usize> {
    (0..64).filter(|index| set >> index & 1 == 1).collect()
}
