//! Typed terms: what an expression means once its names are resolved and its types agree.
//!
//! Invariant: a term that moves with `now` ([`Term::is_open`]) is a sum of times; it never stands below anything else.

use super::limits::NODES_MAX;
use super::linear::Linear;
use super::program::Reading;
use super::relation::Relation;
use super::scope::Constant;
use super::syntax::ArithmeticSign;
use crate::lifecycle::value::{Slot, Type};

/// A typed expression.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Term {
    pub(super) value_type: Type,
    pub(super) kind: TermKind,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum TermKind {
    Constant(Constant),
    Slot(Slot, Box<str>),
    Now,
    Not(Box<Term>),
    All(Vec<Term>),
    Any(Vec<Term>),
    /// Of numbers, of texts or of truths.
    Compare(Relation, Box<Term>, Box<Term>),
    /// A sum of times, compared with zero.
    CompareTimes(Relation, Linear),
    In(Box<Term>, Vec<Term>),
    Choose(Box<[Term; 3]>),
    Arithmetic(ArithmeticSign, Box<Term>, Box<Term>),
    Negate(Box<Term>),
    Call(Function, Vec<Term>),
}

/// A built-in function on values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Function {
    /// Whether the value is not absent.
    Has,
    /// A whole number of units of this many milliseconds, as a length of time.
    Length(i64),
    /// An instant out of text, or out of seconds since 1970.
    Timestamp,
    /// Characters of a text.
    Size,
    StartsWith,
    EndsWith,
    Contains,
    Int,
    Double,
    Least,
    Greatest,
}

impl Term {
    pub(super) fn constant(constant: Constant) -> Self {
        Self { value_type: constant.value_type(), kind: TermKind::Constant(constant) }
    }

    pub(super) fn truth(kind: TermKind) -> Self {
        Self { value_type: Type::Bool, kind }
    }

    pub(super) fn as_constant(&self) -> Option<&Constant> {
        match &self.kind {
            TermKind::Constant(constant) => Some(constant),
            _ => None,
        }
    }

    /// Whether the value moves with `now`, rather than changing at single instants.
    pub(super) fn is_open(&self) -> bool {
        match &self.kind {
            TermKind::Now => true,
            TermKind::Arithmetic(_, left, right) => left.is_open() || right.is_open(),
            TermKind::Negate(of) => of.is_open(),
            _ => false,
        }
    }

    /// Whether the value is true or false and never absent.
    pub(super) fn is_definite(&self) -> bool {
        match &self.kind {
            TermKind::Not(_)
            | TermKind::All(_)
            | TermKind::Any(_)
            | TermKind::Compare(..)
            | TermKind::CompareTimes(..)
            | TermKind::In(..) => true,
            TermKind::Constant(constant) => constant.value_type() == Type::Bool,
            TermKind::Call(function, _) => {
                use Function::{Contains, EndsWith, Has, StartsWith};
                matches!(function, Has | StartsWith | EndsWith | Contains)
            }
            _ => false,
        }
    }

    /// The terms one level below.
    pub(super) fn children(&self) -> impl Iterator<Item = &Self> {
        let mut pair: [Option<&Self>; 2] = [None, None];
        let mut list: &[Self] = &[];
        let mut times: &[(i64, Self)] = &[];
        match &self.kind {
            TermKind::Constant(_) | TermKind::Slot(..) | TermKind::Now => {}
            TermKind::Not(of) | TermKind::Negate(of) => pair = [Some(of), None],
            TermKind::All(parts) | TermKind::Any(parts) | TermKind::Call(_, parts) => list = parts,
            TermKind::Compare(_, left, right) | TermKind::Arithmetic(_, left, right) => {
                pair = [Some(left), Some(right)];
            }
            TermKind::CompareTimes(_, sum) => times = &sum.parts,
            TermKind::In(of, items) => {
                pair = [Some(of), None];
                list = items;
            }
            TermKind::Choose(parts) => list = parts.as_slice(),
        }
        pair.into_iter().flatten().chain(list).chain(times.iter().map(|(_, term)| term))
    }

    /// Whether `now` stands anywhere in it, and does not cancel out.
    pub(super) fn reads_now(&self) -> bool {
        matches!(&self.kind, TermKind::CompareTimes(_, sum) if sum.now != 0)
            || self.kind == TermKind::Now
            || self.children().any(Self::reads_now)
    }

    /// How many terms it is made of.
    pub(super) fn size(&self) -> usize {
        1 + self.children().map(Self::size).sum::<usize>()
    }

    /// How many levels it has.
    pub(super) fn height(&self) -> usize {
        1 + self.children().map(Self::height).max().unwrap_or(0)
    }

    /// Adds what the term reads to `readings`, each slot once, in order of appearance.
    pub(super) fn read_into(&self, readings: &mut Vec<Reading>) {
        if let TermKind::Slot(slot, name) = &self.kind
            && readings.iter().all(|reading| reading.slot != *slot)
        {
            debug_assert!(readings.len() < NODES_MAX, "each reading is a node");
            readings.push(Reading { name: name.clone(), slot: *slot });
        }
        for child in self.children() {
            child.read_into(readings);
        }
    }
}
