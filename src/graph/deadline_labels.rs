//! Labels for moves that time alone causes, such as `90 days after the last order`.
//!
//! Derives them from the conditions of the stages; a deadline that can never cause the move is left out.

use super::language::{CountedFrom, Language};
use crate::lifecycle::condition::{Deadline, deadlines};
use crate::lifecycle::fact::{FactKind, OrderFact};
use crate::lifecycle::id::{GroupIndex, StageIndex};
use crate::lifecycle::model::{Model, Stage};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Duration;

/// Returns the deadlines at which time alone may move a customer from one stage to another, as phrases.
pub(super) fn deadline_labels(
    set: &ModelSet,
    model: &Model,
    from: Option<StageIndex>,
    to: Option<StageIndex>,
    language: Language,
) -> Vec<String> {
    let mut found: Vec<(CountedFrom, Duration)> = Vec::new();
    for deadline in possible_deadlines(set, model, from, to) {
        let Some(time) = counted_from(set, &deadline) else { continue };
        if !found.contains(&time) {
            found.push(time);
        }
    }
    // Groups deadlines that are counted from the same fact, in order of appearance.
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

/// Returns the deadlines that can cause the move: the condition of the target stage starts to hold, or the condition of
/// the source stage stops holding.
fn possible_deadlines(
    set: &ModelSet,
    model: &Model,
    from: Option<StageIndex>,
    to: Option<StageIndex>,
) -> Vec<Deadline> {
    let is_entered = from.is_none_or(|from| to.is_some_and(|to| to.0 < from.0));
    let (changing, begins) = match (from, to) {
        (_, Some(to)) if is_entered => (to, true),
        (Some(from), _) => (from, false),
        (..) => return Vec::new(),
    };
    // Stages with a higher priority than the target: if one of their conditions holds, the move goes there instead.
    let end = to.map_or(model.stages.len(), |to| usize::from(to.0));
    let above = || (0..).zip(&model.stages[..end]).filter(|&(index, _)| StageIndex(index) != changing);
    let found = deadlines(&model.stage(changing).when.program);
    let is_possible = |deadline: &Deadline| {
        deadline.turns_true == begins
            && !above()
                .any(|(_, stage)| deadline.implies(&stage.when.program) || is_entered_first(set, stage, deadline))
    };
    found.into_iter().filter(is_possible).collect()
}

/// Returns whether the deadline ends a streak of orders, and the age of the last order moves the customer into `stage`
/// no later than that.
fn is_entered_first(set: &ModelSet, stage: &Stage, deadline: &Deadline) -> bool {
    let kind = |slot| definition(set, slot).0;
    let FactKind::Orders(OrderFact::Streak(gap)) = kind(deadline.slot) else { return false };
    deadlines(&stage.when.program).iter().any(|other| {
        let is_of_last_order = |slot| matches!(kind(slot), FactKind::Orders(OrderFact::Last | OrderFact::Count));
        other.turns_true
            && kind(other.slot) == FactKind::Orders(OrderFact::Last)
            && other.after.is_some_and(|after| after <= gap)
            && other.guards_read_only(is_of_last_order)
    })
}

/// Returns the start of the deadline and the duration after it.
fn counted_from(set: &ModelSet, deadline: &Deadline) -> Option<(CountedFrom, Duration)> {
    let (kind, text) = definition(set, deadline.slot);
    let group = |index: GroupIndex| set.vocabulary.groups[usize::from(index.0)].name.clone();
    let Some(after) = deadline.after else {
        return match kind {
            FactKind::Orders(OrderFact::Streak(gap)) => Some((CountedFrom::LastOrder, gap)),
            FactKind::CountWithin(of, length) => Some((CountedFrom::Last(group(of)), length)),
            _ => None,
        };
    };
    let start = match kind {
        FactKind::Orders(OrderFact::First) => CountedFrom::FirstOrder,
        FactKind::Orders(OrderFact::Last) => CountedFrom::LastOrder,
        FactKind::First(of) => CountedFrom::First(group(of)),
        FactKind::Last(of) => CountedFrom::Last(group(of)),
        _ => CountedFrom::Fact(text.into()),
    };
    Some((start, after))
}

fn definition(set: &ModelSet, slot: crate::lifecycle::value::Slot) -> (FactKind, &str) {
    let definition = &set.layout.definitions[usize::from(slot.0)];
    (definition.kind, &definition.text)
}
