//! Comparisons of times in a normal form: a sum of integer multiples of `now` and of times, compared with zero.
//!
//! In this form `now - x < d`, `now < x + d` and `x + d > now` are identical, the arithmetic is exact, and the instants
//! at which the comparison changes follow directly.

use super::operation::ArithmeticOperator;
use super::relation::Relation;
use super::term::{Term, TermKind};
use crate::lifecycle::value::OwnedValue;

/// Maximum absolute coefficient of a time; keeps all sums within 128 bits.
const COEFFICIENT_MAX: i64 = 1 << 31;

/// `now * coefficient + sum of (coefficient * part) + constant`, in milliseconds.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Linear {
    /// Coefficient of `now`; never negative in a finished comparison.
    pub(super) now_coefficient: i64,
    /// Times that do not vary with `now`, each once, with their coefficients. A part with coefficient 0 is kept,
    /// because the sum has no value while that part is absent.
    pub(super) parts: Vec<(i64, Term)>,
    pub(super) constant: i128,
}

impl Linear {
    /// Builds the comparison of two times; `None` if a side is not a sum of integer multiples.
    pub(super) fn compare(relation: Relation, left: &Term, right: &Term) -> Option<TermKind> {
        let mut sum = Self::default();
        sum.add(1, left)?;
        sum.add(-1, right)?;
        let leading = if sum.now_coefficient == 0 {
            sum.parts.iter().map(|&(coefficient, _)| coefficient).find(|&coefficient| coefficient != 0).unwrap_or(1)
        } else {
            sum.now_coefficient
        };
        if leading > 0 {
            return Some(TermKind::CompareTimes(relation, sum));
        }
        Some(TermKind::CompareTimes(relation.swapped(), sum.negated()))
    }

    /// Negates the sum.
    pub(super) fn negated(mut self) -> Self {
        self.now_coefficient = -self.now_coefficient;
        self.constant = -self.constant;
        for (coefficient, _) in &mut self.parts {
            *coefficient = -*coefficient;
        }
        self
    }

    fn add(&mut self, coefficient: i64, term: &Term) -> Option<()> {
        match &term.kind {
            TermKind::Now => self.now_coefficient = add_coefficients(self.now_coefficient, coefficient)?,
            TermKind::Constant(OwnedValue::Timestamp(instant)) => {
                self.constant += i128::from(coefficient) * i128::from(instant.as_millis());
            }
            TermKind::Constant(OwnedValue::Duration(duration)) => {
                self.constant += i128::from(coefficient) * i128::from(duration.as_millis());
            }
            TermKind::Negate(of) => self.add(-coefficient, of)?,
            TermKind::Arithmetic(ArithmeticOperator::Add, left, right) => {
                self.add(coefficient, left)?;
                self.add(coefficient, right)?;
            }
            TermKind::Arithmetic(ArithmeticOperator::Subtract, left, right) => {
                self.add(coefficient, left)?;
                self.add(-coefficient, right)?;
            }
            TermKind::Arithmetic(ArithmeticOperator::Multiply, left, right) if term.varies_with_now() => {
                let (duration, factor) = if left.varies_with_now() { (left, right) } else { (right, left) };
                let Some(OwnedValue::Int(factor)) = factor.as_constant() else { return None };
                self.add(add_coefficients(0, coefficient.checked_mul(*factor)?)?, duration)?;
            }
            _ => match self.parts.iter_mut().find(|(_, part)| part == term) {
                Some((known, _)) => *known = add_coefficients(*known, coefficient)?,
                None => self.parts.push((coefficient, term.clone())),
            },
        }
        Some(())
    }

    /// Whether both sums have the same coefficients and so differ only in the constant.
    pub(super) fn differs_by_constant(&self, other: &Self) -> bool {
        self.now_coefficient == other.now_coefficient
            && self.parts.len() == other.parts.len()
            && self.parts.iter().all(|part| other.parts.contains(part))
    }
}

fn add_coefficients(known: i64, more: i64) -> Option<i64> {
    known.checked_add(more).filter(|coefficient| (-COEFFICIENT_MAX..=COEFFICIENT_MAX).contains(coefficient))
}
