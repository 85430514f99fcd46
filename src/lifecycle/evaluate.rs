//! Decides what holds for a customer in one model, and until when.
//!
//! Pure: time comes in as `now`. Between `now` and the horizon of the standing no condition of the model can change its
//! value; at that instant one may.

use super::fact::FactsAt;
use super::id::StageIndex;
use super::model::Model;
use super::time::Timestamp;
use super::value::{Horizon, Value};

/// The stage, signals and milestones of a customer at an instant, and until when they hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The first stage, from the top, whose condition holds.
    pub stage: Option<StageIndex>,
    /// Bit i: the signal i holds.
    pub signals: u64,
    /// Bit i: the milestone i holds, or was reached before.
    pub milestones: u64,
    /// Until when all of this holds, if the facts stay as they are.
    pub horizon: Horizon,
}

/// What holds at `now`. Milestones in `reached` hold for ever and are not looked at again.
#[must_use]
pub fn evaluate(model: &Model, facts: &FactsAt<'_>, now: Timestamp, reached: u64) -> Standing {
    let mut horizon = Horizon::NEVER;
    let stage = (0_u8..)
        .zip(&model.stages)
        .find(|(_, stage)| stage.when.program.evaluate(facts, now, &mut horizon).is_true())
        .map(|(index, _)| StageIndex(index));
    let mut signals = 0;
    for (index, signal) in model.signals.iter().enumerate() {
        signals |= u64::from(signal.when.program.evaluate(facts, now, &mut horizon).is_true()) << index;
    }
    let mut milestones = reached;
    for (index, milestone) in model.milestones.iter().enumerate() {
        if reached >> index & 1 == 0 {
            milestones |= u64::from(milestone.when.program.evaluate(facts, now, &mut horizon).is_true()) << index;
        }
    }
    for counter in &model.counters {
        counter.of.program.evaluate(facts, now, &mut horizon);
    }
    Standing { stage, signals, milestones, horizon }
}

/// The number of a counter at `now`; an absent one counts as the least.
#[must_use]
pub fn count(model: &Model, counter: usize, facts: &FactsAt<'_>, now: Timestamp) -> i64 {
    match model.counters[counter].of.program.evaluate(facts, now, &mut Horizon::NEVER.clone()) {
        Value::Int(number) => number,
        _ => i64::MIN,
    }
}
