//! Proves that one condition holds whenever another does, for the check of stages that can never be reached.
//!
//! Sound, not complete: `true` is a proof, `false` says nothing.

use std::cmp::Ordering;

use super::arithmetic;
use super::linear::Linear;
use super::program::Program;
use super::relation::Relation;
use super::scope::Constant;
use super::term::{Function, Term, TermKind};
use crate::lifecycle::value::{Type, Value};

/// Whether it can be proven that `above` holds whenever `below` holds, over the same inputs.
#[must_use]
pub fn covers(above: &Program, below: &Program) -> bool {
    implies(&below.term, &above.term)
}

/// Whether `above` is proven to hold wherever `below` does.
pub(super) fn implies(below: &Term, above: &Term) -> bool {
    if below == above || is_constant(above, true) || is_constant(below, false) {
        return true;
    }
    match (&below.kind, &above.kind) {
        (TermKind::Any(parts), _) if parts.iter().all(|part| implies(part, above)) => true,
        (_, TermKind::All(parts)) => parts.iter().all(|part| implies(below, part)),
        (TermKind::All(parts), _) if parts.iter().any(|part| implies(part, above)) => true,
        (_, TermKind::Any(parts)) => parts.iter().any(|part| implies(below, part)),
        (TermKind::Not(below), TermKind::Not(above)) => implies(above, below),
        (_, TermKind::Call(Function::Has, arguments)) => needs(below, &arguments[0]),
        (TermKind::CompareTimes(below, sum), TermKind::CompareTimes(above, wider)) => {
            times_imply(*below, sum, *above, wider)
                || times_imply(below.swapped(), &sum.clone().negated(), *above, wider)
        }
        (TermKind::Compare(..) | TermKind::In(..), TermKind::Compare(above, of, number)) => {
            number.as_constant().is_some_and(|number| stays_within(below, of, *above, number))
        }
        (_, TermKind::In(of, items)) => {
            values(below, of).is_some_and(|mut values| values.all(|value| items.contains(value)))
        }
        _ => false,
    }
}

/// Whether `below` against zero implies `above` against zero. The sum of the parts is a whole number, compared with the
/// constant's opposite.
fn times_imply(relation: Relation, below: &Linear, wanted: Relation, above: &Linear) -> bool {
    let gap = above.constant - below.constant;
    below.differs_by_constant(above) && within(relation, wanted, gap.cmp(&0), gap.abs() == 1)
}

fn is_constant(term: &Term, truth: bool) -> bool {
    matches!(term.as_constant(), Some(Constant::Bool(constant)) if *constant == truth)
}

/// Whether `term` holds only where `fact` is not absent.
fn needs(term: &Term, fact: &Term) -> bool {
    let is_read = |operand: &Term| operand == fact || is_strict(operand) && operand.children().any(|part| part == fact);
    match &term.kind {
        TermKind::Compare(_, left, right) => is_read(left) || is_read(right),
        TermKind::CompareTimes(_, sum) => sum.parts.iter().any(|(_, part)| is_read(part)),
        TermKind::In(of, _) => is_read(of),
        TermKind::All(parts) => parts.iter().any(|part| needs(part, fact)),
        TermKind::Any(parts) => parts.iter().all(|part| needs(part, fact)),
        TermKind::Call(Function::Has, arguments) => is_read(&arguments[0]),
        _ => false,
    }
}

/// Whether the term is absent as soon as one of its parts is.
fn is_strict(term: &Term) -> bool {
    matches!(term.kind, TermKind::Arithmetic(..) | TermKind::Negate(_) | TermKind::Call(Function::Length(_), _))
}

/// The only values that `of` can have where `term`, a comparison with constants, holds.
fn values<'a>(term: &'a Term, of: &Term) -> Option<Box<dyn Iterator<Item = &'a Term> + 'a>> {
    match &term.kind {
        TermKind::In(found, items) if **found == *of => Some(Box::new(items.iter())),
        TermKind::Compare(Relation::EQUAL, found, value) if **found == *of => {
            Some(Box::new(std::iter::once(value.as_ref())))
        }
        _ => None,
    }
}

/// Whether `of` stands in `relation` to `number` wherever `below` holds.
fn stays_within(below: &Term, of: &Term, relation: Relation, number: &Constant) -> bool {
    match &below.kind {
        TermKind::Compare(narrower, found, value) if **found == *of => {
            let Some(value) = value.as_constant() else { return false };
            let Some(ordering) = ordering(of.value_type, value, number) else { return false };
            let is_next = match (value, number) {
                (Constant::Int(value), Constant::Int(number)) => {
                    of.value_type == Type::Int && value.abs_diff(*number) == 1
                }
                _ => false,
            };
            within(*narrower, relation, ordering, is_next)
        }
        TermKind::In(found, items) if **found == *of => items.iter().all(|item| {
            let ordering = item.as_constant().and_then(|item| ordering(of.value_type, item, number));
            ordering.is_some_and(|ordering| relation.holds(ordering))
        }),
        _ => false,
    }
}

/// How two bounds on a value of type `of` compare; `None` where rounding to a double could hide a difference.
fn ordering(of: Type, left: &Constant, right: &Constant) -> Option<Ordering> {
    const ROUNDED_FROM: u64 = 1 << 53;
    let is_int = |constant: &Constant| matches!(constant, Constant::Int(_));
    let is_large =
        |constant: &Constant| matches!(constant, Constant::Int(number) if number.unsigned_abs() >= ROUNDED_FROM);
    let is_rounded = of != Type::Int || !is_int(left) || !is_int(right);
    if is_rounded && (is_large(left) || is_large(right)) {
        return None;
    }
    let holds = |relation| arithmetic::compare(relation, left.value(), right.value());
    let is_number = |value: Value<'_>| !matches!(value, Value::Double(number) if number.is_nan());
    if !is_number(left.value()) || !is_number(right.value()) {
        return None;
    }
    [(Relation::LESS, Ordering::Less), (Relation::EQUAL, Ordering::Equal), (Relation::GREATER, Ordering::Greater)]
        .into_iter()
        .find_map(|(relation, ordering)| holds(relation).then_some(ordering))
}

/// Whether every value that stands in `below` to one bound stands in `above` to another, the first bound comparing with
/// the second as `bounds`. `is_next`: the values are whole numbers, and no other lies between the bounds.
fn within(below: Relation, above: Relation, bounds: Ordering, is_next: bool) -> bool {
    let possible = |ordering: Ordering| {
        // Where a value on this side of the first bound can lie as seen from the second.
        if !below.holds(ordering) {
            return [false; 3];
        }
        match (ordering, bounds) {
            (Ordering::Equal, Ordering::Equal) => [false, true, false],
            (Ordering::Less, Ordering::Greater) => [true, true, !is_next],
            (Ordering::Greater, Ordering::Less) => [!is_next, true, true],
            (Ordering::Less, _) | (Ordering::Equal, Ordering::Less) => [true, false, false],
            (Ordering::Greater, _) | (Ordering::Equal, Ordering::Greater) => [false, false, true],
        }
    };
    let orderings = [Ordering::Less, Ordering::Equal, Ordering::Greater];
    orderings.into_iter().all(|side| {
        let places = possible(side);
        orderings.into_iter().zip(places).all(|(place, is_possible)| !is_possible || above.holds(place))
    })
}
