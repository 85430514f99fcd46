//! What time alone does between two stages, read off their conditions.

use super::words::{Language, Start};
use crate::lifecycle::condition::{Deadline, deadlines};
use crate::lifecycle::fact::{FactKind, OrdersReading};
use crate::lifecycle::id::{GroupIndex, StageIndex};
use crate::lifecycle::model::{Model, Stage};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Duration;

/// The instants at which time alone may lead from one stage to another, as phrases: "90 days after the last order".
pub(super) fn between(
    set: &ModelSet,
    model: &Model,
    from: Option<StageIndex>,
    to: Option<StageIndex>,
    language: Language,
) -> Vec<String> {
    let mut found: Vec<(Start, Duration)> = Vec::new();
    for deadline in possible(set, model, from, to) {
        let Some(time) = counted_from(set, &deadline) else { continue };
        if !found.contains(&time) {
            found.push(time);
        }
    }
    // By what is counted from, in order of appearance.
    let mut phrases = Vec::new();
    while let Some((start, _)) = found.first().cloned() {
        let mut lengths: Vec<Duration> =
            found.iter().filter(|(other, _)| *other == start).map(|&(_, length)| length).collect();
        lengths.sort_unstable();
        found.retain(|(other, _)| *other != start);
        phrases.push(language.after(&lengths, &start));
    }
    phrases
}

/// A stage is entered by time when its condition begins to hold, or when that of the stage above it ceases to.
fn possible(set: &ModelSet, model: &Model, from: Option<StageIndex>, to: Option<StageIndex>) -> Vec<Deadline> {
    let is_entered = from.is_none_or(|from| to.is_some_and(|to| to.0 < from.0));
    let (changing, begins) = match (from, to) {
        (_, Some(to)) if is_entered => (to, true),
        (Some(from), _) => (from, false),
        (..) => return Vec::new(),
    };
    // The stages that would come first, if they held.
    let end = to.map_or(model.stages.len(), |to| usize::from(to.0));
    let above = || (0..).zip(&model.stages[..end]).filter(|&(index, _)| StageIndex(index) != changing);
    let found = deadlines(&model.stage(changing).when.program);
    let is_possible = |deadline: &Deadline| {
        deadline.begins == begins
            && !above().any(|(_, stage)| deadline.implies(&stage.when.program) || comes_no_later(set, stage, deadline))
    };
    found.into_iter().filter(is_possible).collect()
}

/// Whether a streak ends when or after `stage` begins by the age of the last order alone.
fn comes_no_later(set: &ModelSet, stage: &Stage, deadline: &Deadline) -> bool {
    let kind = |slot| definition(set, slot).0;
    let FactKind::Orders(OrdersReading::Streak(gap)) = kind(deadline.slot) else { return false };
    deadlines(&stage.when.program).iter().any(|other| {
        let is_of_last_order =
            |slot| matches!(kind(slot), FactKind::Orders(OrdersReading::Last | OrdersReading::Count));
        other.begins
            && kind(other.slot) == FactKind::Orders(OrdersReading::Last)
            && other.after.is_some_and(|after| after <= gap)
            && other.holds_by(is_of_last_order)
    })
}

/// The time from which the deadline is counted, and how long after it.
fn counted_from(set: &ModelSet, deadline: &Deadline) -> Option<(Start, Duration)> {
    let (kind, text) = definition(set, deadline.slot);
    let group = |index: GroupIndex| set.vocabulary.groups[usize::from(index.0)].name.clone();
    let Some(after) = deadline.after else {
        return match kind {
            FactKind::Orders(OrdersReading::Streak(gap)) => Some((Start::LastOrder, gap)),
            FactKind::CountWithin(of, length) => Some((Start::Last(group(of)), length)),
            _ => None,
        };
    };
    let start = match kind {
        FactKind::Orders(OrdersReading::First) => Start::FirstOrder,
        FactKind::Orders(OrdersReading::Last) => Start::LastOrder,
        FactKind::First(of) => Start::First(group(of)),
        FactKind::Last(of) => Start::Last(group(of)),
        _ => Start::Fact(text.into()),
    };
    Some((start, after))
}

fn definition(set: &ModelSet, slot: crate::lifecycle::value::Slot) -> (FactKind, &str) {
    let definition = &set.layout.definitions[usize::from(slot.0)];
    (definition.kind, &definition.text)
}
