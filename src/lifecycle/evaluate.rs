//! Evaluates a model for a customer at an instant: which stage, signals and milestones hold, and until when.
//!
//! Time is the parameter `now`. From `now` until just before the horizon of the standing, no condition of the model can
//! change its value unless a fact changes.

use super::fact::FactInputs;
use super::id::StageIndex;
use super::model::Model;
use super::time::Timestamp;
use super::value::{Horizon, Value};

/// The stage, signals and milestones of a customer at an instant, and their horizon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The first stage in the order of evaluation whose condition holds.
    pub stage: Option<StageIndex>,
    /// Bit i: signal i holds.
    pub signals: u64,
    /// Bit i: milestone i holds, or was reached before.
    pub milestones: u64,
    /// The earliest instant at which time alone may change any of these.
    pub horizon: Horizon,
}

impl Standing {
    /// Returns the standing of a visitor whose facts move to a customer.
    pub(super) const fn none(milestones: u64) -> Self {
        Self { stage: None, signals: 0, milestones, horizon: Horizon::NEVER }
    }
}

/// Evaluates `model` at `now`. Milestones in `reached` stay reached and are not evaluated again.
#[must_use]
pub fn evaluate(model: &Model, facts: &FactInputs<'_>, now: Timestamp, reached: u64) -> Standing {
    let mut horizon = Horizon::NEVER;
    let stage = (0_u8..)
        .zip(&model.stages)
        .find(|(_, stage)| stage.when.program.holds(facts, now, &mut horizon))
        .map(|(index, _)| StageIndex(index));
    let mut signals = 0;
    for (index, signal) in model.signals.iter().enumerate() {
        signals |= u64::from(signal.when.program.holds(facts, now, &mut horizon)) << index;
    }
    let mut milestones = reached;
    for (index, milestone) in model.milestones.iter().enumerate() {
        if reached >> index & 1 == 0 {
            milestones |= u64::from(milestone.when.program.holds(facts, now, &mut horizon)) << index;
        }
    }
    for counter in &model.counters {
        counter.of.program.evaluate(facts, now, &mut horizon);
    }
    Standing { stage, signals, milestones, horizon }
}

/// Returns the value of a counter at `now`; `i64::MIN` if it is absent.
#[must_use]
pub fn counter_value(model: &Model, counter: usize, facts: &FactInputs<'_>, now: Timestamp) -> i64 {
    match model.counters[counter].of.program.evaluate(facts, now, &mut Horizon::NEVER.clone()) {
        Value::Int(number) => number,
        _ => i64::MIN,
    }
}
