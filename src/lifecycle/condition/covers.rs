//! Implication proofs between conditions, used to find stages that no customer can reach.
//!
//! The proofs are sound but incomplete: `true` means proven, `false` means unknown.

use std::cmp::Ordering;

use super::arithmetic;
use super::linear::Linear;
use super::operation::Function;
use super::program::Program;
use super::relation::Relation;
use super::term::{Term, TermKind};
use crate::lifecycle::value::{OwnedValue, Type, Value};

/// Whether `above` provably holds whenever `below` holds, over the same inputs.
#[must_use]
pub fn covers(above: &Program, below: &Program) -> bool {
    implies(&below.term, &above.term)
}

/// Whether `premise` provably implies `conclusion`.
pub(super) fn implies(premise: &Term, conclusion: &Term) -> bool {
    if premise == conclusion || is_constant(conclusion, true) || is_constant(premise, false) {
        return true;
    }
    match (&premise.kind, &conclusion.kind) {
        (TermKind::Or(parts), _) if parts.iter().all(|part| implies(part, conclusion)) => true,
        (_, TermKind::And(parts)) => parts.iter().all(|part| implies(premise, part)),
        (TermKind::And(parts), _) if parts.iter().any(|part| implies(part, conclusion)) => true,
        (_, TermKind::Or(parts)) => parts.iter().any(|part| implies(premise, part)),
        (TermKind::Not(premise), TermKind::Not(conclusion)) => implies(conclusion, premise),
        (_, TermKind::Call(Function::Has, arguments)) => requires(premise, &arguments[0]),
        (TermKind::CompareTimes(relation, sum), TermKind::CompareTimes(implied, implied_sum)) => {
            times_imply(*relation, sum, *implied, implied_sum)
                || times_imply(relation.swapped(), &sum.clone().negated(), *implied, implied_sum)
        }
        (TermKind::Compare(..) | TermKind::In(..), TermKind::Compare(conclusion, of, number)) => {
            number.as_constant().is_some_and(|number| bound_implies(premise, of, *conclusion, number))
        }
        (_, TermKind::In(of, items)) => {
            allowed_values(premise, of).is_some_and(|mut values| values.all(|value| items.contains(value)))
        }
        _ => false,
    }
}

/// Whether `sum relation 0` implies `implied_sum implied 0`.
///
/// If both sums have the same coefficients, the comparisons are bounds on the same integer, the sum of the parts. The
/// bounds are the negated constants.
fn times_imply(relation: Relation, sum: &Linear, implied: Relation, implied_sum: &Linear) -> bool {
    let gap = implied_sum.constant - sum.constant;
    sum.differs_by_constant(implied_sum) && relation_implies(relation, implied, gap.cmp(&0), gap.abs() == 1)
}

fn is_constant(term: &Term, truth: bool) -> bool {
    matches!(term.as_constant(), Some(OwnedValue::Bool(constant)) if *constant == truth)
}

/// Whether `term` can hold only if `fact` is present.
fn requires(term: &Term, fact: &Term) -> bool {
    let is_read = |operand: &Term| operand == fact || is_strict(operand) && operand.children().any(|part| part == fact);
    match &term.kind {
        TermKind::Compare(_, left, right) => is_read(left) || is_read(right),
        TermKind::CompareTimes(_, sum) => sum.parts.iter().any(|(_, part)| is_read(part)),
        TermKind::In(of, _) => is_read(of),
        TermKind::And(parts) => parts.iter().any(|part| requires(part, fact)),
        TermKind::Or(parts) => parts.iter().all(|part| requires(part, fact)),
        TermKind::Call(Function::Has, arguments) => is_read(&arguments[0]),
        _ => false,
    }
}

/// Whether the term is absent if any operand is absent.
fn is_strict(term: &Term) -> bool {
    matches!(term.kind, TermKind::Arithmetic(..) | TermKind::Negate(_) | TermKind::Call(Function::DurationOf(_), _))
}

/// Returns the only values that `of` can have if `term`, a comparison with constants, holds.
fn allowed_values<'a>(term: &'a Term, of: &Term) -> Option<Box<dyn Iterator<Item = &'a Term> + 'a>> {
    match &term.kind {
        TermKind::In(found, items) if **found == *of => Some(Box::new(items.iter())),
        TermKind::Compare(Relation::EQUAL, found, value) if **found == *of => {
            Some(Box::new(std::iter::once(value.as_ref())))
        }
        _ => None,
    }
}

/// Whether `premise` implies `of relation number`.
fn bound_implies(premise: &Term, of: &Term, relation: Relation, number: &OwnedValue) -> bool {
    match &premise.kind {
        TermKind::Compare(premise_relation, found, value) if **found == *of => {
            let Some(value) = value.as_constant() else { return false };
            let Some(ordering) = ordering(of.value_type, value, number) else { return false };
            let are_adjacent = match (value, number) {
                (OwnedValue::Int(value), OwnedValue::Int(number)) => {
                    of.value_type == Type::Int && value.abs_diff(*number) == 1
                }
                _ => false,
            };
            relation_implies(*premise_relation, relation, ordering, are_adjacent)
        }
        TermKind::In(found, items) if **found == *of => items.iter().all(|item| {
            let ordering = item.as_constant().and_then(|item| ordering(of.value_type, item, number));
            ordering.is_some_and(|ordering| relation.holds(ordering))
        }),
        _ => false,
    }
}

/// Compares two bounds on a value of type `of`; `None` if one is NaN, or if rounding to a double could hide a
/// difference.
fn ordering(of: Type, left: &OwnedValue, right: &OwnedValue) -> Option<Ordering> {
    const ROUNDED_FROM: u64 = 1 << 53;
    let is_int = |constant: &OwnedValue| matches!(constant, OwnedValue::Int(_));
    let is_large =
        |constant: &OwnedValue| matches!(constant, OwnedValue::Int(number) if number.unsigned_abs() >= ROUNDED_FROM);
    let is_rounded = of != Type::Int || !is_int(left) || !is_int(right);
    if is_rounded && (is_large(left) || is_large(right)) {
        return None;
    }
    let holds = |relation| arithmetic::compare(relation, left.as_value(), right.as_value());
    let is_number = |value: Value<'_>| !matches!(value, Value::Double(number) if number.is_nan());
    if !is_number(left.as_value()) || !is_number(right.as_value()) {
        return None;
    }
    [(Relation::LESS, Ordering::Less), (Relation::EQUAL, Ordering::Equal), (Relation::GREATER, Ordering::Greater)]
        .into_iter()
        .find_map(|(relation, ordering)| holds(relation).then_some(ordering))
}

/// Whether every value `x` with `x premise first` also has `x conclusion second`.
///
/// `bounds` is the ordering of the first bound relative to the second. `are_adjacent` means that the values are
/// integers without a value between the bounds.
fn relation_implies(premise: Relation, conclusion: Relation, bounds: Ordering, are_adjacent: bool) -> bool {
    let possible_orderings = |ordering: Ordering| {
        // Given the ordering of a value to the first bound, returns which orderings to the second bound (less, equal,
        // greater) are possible.
        if !premise.holds(ordering) {
            return [false; 3];
        }
        match (ordering, bounds) {
            (Ordering::Equal, Ordering::Equal) => [false, true, false],
            (Ordering::Less, Ordering::Greater) => [true, true, !are_adjacent],
            (Ordering::Greater, Ordering::Less) => [!are_adjacent, true, true],
            (Ordering::Less, _) | (Ordering::Equal, Ordering::Less) => [true, false, false],
            (Ordering::Greater, _) | (Ordering::Equal, Ordering::Greater) => [false, false, true],
        }
    };
    let orderings = [Ordering::Less, Ordering::Equal, Ordering::Greater];
    orderings.into_iter().all(|side| {
        let possible = possible_orderings(side);
        orderings.into_iter().zip(possible).all(|(ordering, is_possible)| !is_possible || conclusion.holds(ordering))
    })
}
