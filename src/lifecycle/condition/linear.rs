//! Comparisons of times, brought to one form: whole multiples of `now` and of times, summed and compared with zero.
//!
//! In this form `now - x < d`, `now < x + d` and `x + d > now` are the same, the arithmetic is exact, and the instants
//! at which the comparison changes can be read off.

use super::relation::Relation;
use super::scope::Constant;
use super::syntax::ArithmeticSign;
use super::term::{Term, TermKind};

/// How often a time may be counted in one sum; keeps all sums within 128 bits.
const WEIGHT_MAX: i64 = 1 << 31;

/// `now * multiple + weighted parts + constant`, in milliseconds.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Linear {
    /// How often `now` is counted; not negative once it is in a comparison.
    pub(super) now: i64,
    /// Times that do not move with `now`, each once. One of weight 0 is kept: where it is absent, there is no result.
    pub(super) parts: Vec<(i64, Term)>,
    pub(super) constant: i128,
}

impl Linear {
    /// The comparison of `left` with `right`, two times; `None` when it is no sum of whole multiples.
    pub(super) fn compare(relation: Relation, left: &Term, right: &Term) -> Option<TermKind> {
        let mut sum = Self::default();
        sum.add(1, left)?;
        sum.add(-1, right)?;
        let leading = if sum.now == 0 {
            sum.parts.iter().map(|&(weight, _)| weight).find(|&weight| weight != 0).unwrap_or(1)
        } else {
            sum.now
        };
        if leading > 0 {
            return Some(TermKind::CompareTimes(relation, sum));
        }
        Some(TermKind::CompareTimes(relation.swapped(), sum.negated()))
    }

    /// The same sum with the opposite sign.
    pub(super) fn negated(mut self) -> Self {
        self.now = -self.now;
        self.constant = -self.constant;
        for (weight, _) in &mut self.parts {
            *weight = -*weight;
        }
        self
    }

    fn add(&mut self, weight: i64, term: &Term) -> Option<()> {
        match &term.kind {
            TermKind::Now => self.now = weighed(self.now, weight)?,
            TermKind::Constant(Constant::Timestamp(instant)) => {
                self.constant += i128::from(weight) * i128::from(instant.as_millis());
            }
            TermKind::Constant(Constant::Duration(length)) => {
                self.constant += i128::from(weight) * i128::from(length.as_millis());
            }
            TermKind::Negate(of) => self.add(-weight, of)?,
            TermKind::Arithmetic(ArithmeticSign::Add, left, right) => {
                self.add(weight, left)?;
                self.add(weight, right)?;
            }
            TermKind::Arithmetic(ArithmeticSign::Subtract, left, right) => {
                self.add(weight, left)?;
                self.add(-weight, right)?;
            }
            TermKind::Arithmetic(ArithmeticSign::Multiply, left, right) if term.is_open() => {
                let (length, factor) = if left.is_open() { (left, right) } else { (right, left) };
                let Some(Constant::Int(factor)) = factor.as_constant() else { return None };
                self.add(weighed(0, weight.checked_mul(*factor)?)?, length)?;
            }
            _ => match self.parts.iter_mut().find(|(_, part)| part == term) {
                Some((known, _)) => *known = weighed(*known, weight)?,
                None => self.parts.push((weight, term.clone())),
            },
        }
        Some(())
    }

    /// Whether both count the same times equally often.
    pub(super) fn differs_by_constant(&self, other: &Self) -> bool {
        self.now == other.now
            && self.parts.len() == other.parts.len()
            && self.parts.iter().all(|part| other.parts.contains(part))
    }
}

fn weighed(known: i64, more: i64) -> Option<i64> {
    known.checked_add(more).filter(|weight| (-WEIGHT_MAX..=WEIGHT_MAX).contains(weight))
}
