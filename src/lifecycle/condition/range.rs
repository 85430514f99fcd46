//! The range of the values of a term, as far as limits of its facts determine it, and comparisons whose result it
//! decides: a count is never negative, `count_within` counts a limited number of touchpoints, and no touchpoint is
//! later than `now`.

use std::cmp::Ordering;
use std::ops::Range;

use super::linear::Linear;
use super::operation::{ArithmeticOperator, Function};
use super::problem::{ExpressionProblem, codes};
use super::program::Program;
use super::relation::Relation;
use super::scope::Scope;
use super::term::{Term, TermKind};
use crate::lifecycle::fact::RecentTimes;
use crate::lifecycle::value::{OwnedValue, Type};

/// The maximum number of touchpoints that `count_within` counts.
const COUNTED_WITHIN_MAX: usize = RecentTimes::WINDOW_MAX;

/// The smallest and the largest value of a number; infinite if it has no limit.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Bounds {
    min: f64,
    max: f64,
    /// Whether the value is never absent. A comparison with an absent value never holds, except `!=`.
    is_definite: bool,
}

/// Returns the problem of a comparison that has the same result for every customer.
pub(super) fn beyond_limit(
    relation: Relation,
    left: &Term,
    right: &Term,
    span: &Range<usize>,
    scope: &dyn Scope,
) -> Option<ExpressionProblem> {
    if left.as_constant().is_some() && right.as_constant().is_some() {
        return None;
    }
    let (one, other) = (bounds(left, scope)?, bounds(right, scope)?);
    let holds = outcome(relation, one, other)?;
    let outcome = if holds { "always holds" } else { "never holds" };
    let limit = COUNTED_WITHIN_MAX;
    let (reason, help) = if is_about_window(left, scope) || is_about_window(right, scope) {
        let help = format!(
            "only the latest {limit} touchpoints of a window are kept: compare with at most that, use a shorter \
             window, or count(...), which has no limit"
        );
        (format!("count_within counts at most {limit} touchpoints"), help)
    } else {
        let help = if holds { "remove it, or write `true`" } else { "remove it, or compare with another number" };
        (format!("the left side is {}", one.describe()), help.to_owned())
    };
    let message = format!("this {outcome}: {reason}");
    Some(ExpressionProblem::new(codes::BEYOND_LIMIT, span.clone(), message).help(help))
}

/// Returns the problem of a comparison of `now` with a touchpoint's time that never holds: the time between the two is
/// never negative, as in `now < last_order + days(0)`.
pub(super) fn before_touchpoint(
    relation: Relation,
    sum: &Linear,
    span: &Range<usize>,
    scope: &dyn Scope,
) -> Option<ExpressionProblem> {
    let [(-1, Term { kind: TermKind::Slot(slot, name), .. })] = &sum.parts[..] else { return None };
    if sum.now_coefficient != 1 || !scope.is_touchpoint_time(*slot) {
        return None;
    }
    // The sum is at least its constant, and has no limit above.
    let can_be_zero = sum.constant <= 0 && relation.holds(Ordering::Equal);
    let can_be_less = sum.constant < 0 && relation.holds(Ordering::Less);
    if can_be_zero || can_be_less || relation.holds(Ordering::Greater) {
        return None;
    }
    let message = format!("this never holds: `{name}` is never after `now`");
    let help = "the duration must be greater than zero, as in `now < x + days(30)`";
    Some(ExpressionProblem::new(codes::BEYOND_LIMIT, span.clone(), message).help(help))
}

impl Program {
    /// Whether the value is below `number` for every customer, because the facts that `scope` knows have limits.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "compared with limits, which are small")]
    pub fn never_reaches(&self, number: i64, scope: &dyn Scope) -> bool {
        bounds(&self.term, scope).is_some_and(|bounds| bounds.max < number as f64)
    }
}

/// Returns the result of a comparison, if it is the same for all values.
fn outcome(relation: Relation, one: Bounds, other: Bounds) -> Option<bool> {
    let possible = [
        (one.min < other.max, Ordering::Less),
        (one.min <= other.max && other.min <= one.max, Ordering::Equal),
        (one.max > other.min, Ordering::Greater),
    ];
    let mut results = possible.iter().filter(|(is_possible, _)| *is_possible).map(|&(_, order)| relation.holds(order));
    let first = results.next()?;
    let is_sure = !first || one.is_definite && other.is_definite;
    (is_sure && results.all(|result| result == first)).then_some(first)
}

/// Whether a limit of `count_within` bounds the term.
fn is_about_window(term: &Term, scope: &dyn Scope) -> bool {
    matches!(&term.kind, TermKind::Slot(slot, _) if scope.range(*slot).is_some_and(|(_, max)| max.is_some()))
        || term.children().any(|child| is_about_window(child, scope))
}

impl Bounds {
    fn describe(self) -> String {
        match (self.min.is_finite(), self.max.is_finite()) {
            (true, true) => format!("from {} to {}", self.min, self.max),
            (true, false) => format!("never less than {}", self.min),
            (false, _) => format!("never greater than {}", self.max),
        }
    }

    fn map(self, one: f64, other: f64) -> Option<Self> {
        // Infinity minus infinity, or infinity times zero.
        (!one.is_nan() && !other.is_nan()).then_some(Self { min: one.min(other), max: one.max(other), ..self })
    }
}

/// Returns the bounds of `term`; `None` if nothing is known.
fn bounds(term: &Term, scope: &dyn Scope) -> Option<Bounds> {
    let is_known = |bounds: &Bounds| bounds.min.is_finite() || bounds.max.is_finite();
    match &term.kind {
        TermKind::Constant(constant) => {
            let number = number(constant)?;
            Some(Bounds { min: number, max: number, is_definite: true })
        }
        #[expect(clippy::cast_precision_loss, reason = "limits are small")]
        TermKind::Slot(slot, _) => scope.range(*slot).map(|(min, max)| Bounds {
            min: min as f64,
            max: max.map_or(f64::INFINITY, |max| max as f64),
            is_definite: true,
        }),
        TermKind::Call(Function::Double, of) => bounds(of.first()?, scope),
        TermKind::Call(Function::Int, of) => {
            let Bounds { min, max, .. } = bounds(of.first()?, scope)?;
            Some(Bounds { min: min.trunc(), max: max.trunc(), is_definite: false })
        }
        TermKind::Call(function @ (Function::Least | Function::Greatest), of) => extremum(*function, of, scope),
        TermKind::Negate(of) => bounds(of, scope).and_then(|of| of.map(-of.max, -of.min)),
        TermKind::Conditional(parts) => {
            let (one, other) = (bounds(&parts[1], scope)?, bounds(&parts[2], scope)?);
            let is_definite = one.is_definite && other.is_definite;
            Some(Bounds { min: one.min.min(other.min), max: one.max.max(other.max), is_definite })
        }
        TermKind::Arithmetic(operator, left, right) => {
            arithmetic(*operator, bounds(left, scope)?, bounds(right, scope)?, term.value_type)
        }
        _ => None,
    }
    .filter(is_known)
}

/// Returns the bounds of `min` or `max`: one known argument limits the result in one direction.
fn extremum(function: Function, of: &[Term], scope: &dyn Scope) -> Option<Bounds> {
    let unknown = Bounds { min: f64::NEG_INFINITY, max: f64::INFINITY, is_definite: false };
    let all = of.iter().map(|term| bounds(term, scope).unwrap_or(unknown));
    all.reduce(|one, other| {
        let is_definite = one.is_definite && other.is_definite;
        if function == Function::Least {
            Bounds { min: one.min.min(other.min), max: one.max.min(other.max), is_definite }
        } else {
            Bounds { min: one.min.max(other.min), max: one.max.max(other.max), is_definite }
        }
    })
}

fn arithmetic(operator: ArithmeticOperator, one: Bounds, other: Bounds, value_type: Type) -> Option<Bounds> {
    // Arithmetic that overflows is absent.
    let is_definite = one.is_definite && other.is_definite && one.max.is_finite() && other.max.is_finite();
    let both = Bounds { is_definite, ..one };
    let corners = |combine: fn(f64, f64) -> f64| {
        let values = [
            combine(one.min, other.min),
            combine(one.min, other.max),
            combine(one.max, other.min),
            combine(one.max, other.max),
        ];
        let is_known = values.iter().all(|value| !value.is_nan());
        is_known.then(|| values.into_iter().fold((values[0], values[0]), |(min, max), it| (min.min(it), max.max(it))))
    };
    match operator {
        ArithmeticOperator::Add => both.map(one.min + other.min, one.max + other.max),
        ArithmeticOperator::Subtract => both.map(one.min - other.max, one.max - other.min),
        ArithmeticOperator::Multiply => corners(|a, b| a * b).and_then(|(min, max)| both.map(min, max)),
        ArithmeticOperator::Divide if other.min > 0.0 || other.max < 0.0 => {
            let (min, max) = corners(|a, b| a / b)?;
            // Division of ints drops the fraction.
            if value_type == Type::Int { both.map(min.trunc(), max.trunc()) } else { both.map(min, max) }
        }
        ArithmeticOperator::Remainder if other.min > 0.0 && other.max.is_finite() => {
            let largest = other.max - 1.0;
            let min = if one.min >= 0.0 { 0.0 } else { -largest.min(-one.min) };
            let max = if one.max <= 0.0 { 0.0 } else { largest.min(one.max) };
            both.map(min, max)
        }
        ArithmeticOperator::Divide | ArithmeticOperator::Remainder => None,
    }
}

fn number(constant: &OwnedValue) -> Option<f64> {
    match constant {
        #[expect(clippy::cast_precision_loss, reason = "compared with limits, which are small")]
        OwnedValue::Int(number) => Some(*number as f64),
        OwnedValue::Double(number) if !number.is_nan() => Some(*number),
        _ => None,
    }
}
