//! Typed terms: an expression with resolved names and checked types, the input of lowering and of the proofs in
//! `covers`.
//!
//! Invariant: a term that varies continuously with `now` ([`Term::varies_with_now`]) is a sum of times. It occurs only
//! as an operand of such a sum or of a comparison.

use super::limits::NODES_MAX;
use super::linear::Linear;
use super::operation::ArithmeticOperator;
use super::operation::Function;
use super::relation::Relation;
use crate::lifecycle::value::{OwnedValue, Slot, Type};

/// A fact or property that an expression reads, directly or through a named condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FactReference {
    /// The name that explanations show: `orders.count`, `recommended_at`, `last(leaving)`.
    pub name: Box<str>,
    /// The slot that holds the value.
    pub slot: Slot,
}

/// A typed expression.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Term {
    pub(super) value_type: Type,
    pub(super) kind: TermKind,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum TermKind {
    Constant(OwnedValue),
    Slot(Slot, Box<str>),
    Now,
    Not(Box<Term>),
    And(Vec<Term>),
    Or(Vec<Term>),
    /// A comparison of two numbers, two texts or two bools.
    Compare(Relation, Box<Term>, Box<Term>),
    /// A comparison of a sum of times with zero.
    CompareTimes(Relation, Linear),
    In(Box<Term>, Vec<Term>),
    Conditional(Box<[Term; 3]>),
    Arithmetic(ArithmeticOperator, Box<Term>, Box<Term>),
    Negate(Box<Term>),
    Call(Function, Vec<Term>),
}

impl Term {
    pub(super) fn constant(constant: OwnedValue) -> Self {
        Self { value_type: constant.value_type(), kind: TermKind::Constant(constant) }
    }

    pub(super) fn boolean(kind: TermKind) -> Self {
        Self { value_type: Type::Bool, kind }
    }

    pub(super) fn as_constant(&self) -> Option<&OwnedValue> {
        match &self.kind {
            TermKind::Constant(constant) => Some(constant),
            _ => None,
        }
    }

    /// Whether the value varies continuously with `now`, rather than changing at single instants.
    pub(super) fn varies_with_now(&self) -> bool {
        match &self.kind {
            TermKind::Now => true,
            TermKind::Arithmetic(_, left, right) => left.varies_with_now() || right.varies_with_now(),
            TermKind::Negate(of) => of.varies_with_now(),
            _ => false,
        }
    }

    /// Whether the value is a bool that is never absent.
    pub(super) fn is_definite(&self) -> bool {
        match &self.kind {
            TermKind::Not(_)
            | TermKind::And(_)
            | TermKind::Or(_)
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

    /// Returns the direct children.
    pub(super) fn children(&self) -> impl Iterator<Item = &Self> {
        let mut pair: [Option<&Self>; 2] = [None, None];
        let mut list: &[Self] = &[];
        let mut times: &[(i64, Self)] = &[];
        match &self.kind {
            TermKind::Constant(_) | TermKind::Slot(..) | TermKind::Now => {}
            TermKind::Not(of) | TermKind::Negate(of) => pair = [Some(of), None],
            TermKind::And(parts) | TermKind::Or(parts) | TermKind::Call(_, parts) => list = parts,
            TermKind::Compare(_, left, right) | TermKind::Arithmetic(_, left, right) => {
                pair = [Some(left), Some(right)];
            }
            TermKind::CompareTimes(_, sum) => times = &sum.parts,
            TermKind::In(of, items) => {
                pair = [Some(of), None];
                list = items;
            }
            TermKind::Conditional(parts) => list = parts.as_slice(),
        }
        pair.into_iter().flatten().chain(list).chain(times.iter().map(|(_, term)| term))
    }

    /// Whether the term depends on `now`. In a comparison such as `now - a < now - b`, the two cancel out.
    pub(super) fn reads_now(&self) -> bool {
        matches!(&self.kind, TermKind::CompareTimes(_, sum) if sum.now_coefficient != 0)
            || self.kind == TermKind::Now
            || self.children().any(Self::reads_now)
    }

    /// Returns the number of nodes.
    pub(super) fn size(&self) -> usize {
        1 + self.children().map(Self::size).sum::<usize>()
    }

    /// Returns the number of levels.
    pub(super) fn height(&self) -> usize {
        1 + self.children().map(Self::height).max().unwrap_or(0)
    }

    /// Adds the slots that the term reads to `references`, each once, in order of appearance.
    pub(super) fn collect_references(&self, references: &mut Vec<FactReference>) {
        if let TermKind::Slot(slot, name) = &self.kind
            && references.iter().all(|reference| reference.slot != *slot)
        {
            debug_assert!(references.len() < NODES_MAX, "each reference is a node");
            references.push(FactReference { name: name.clone(), slot: *slot });
        }
        for child in self.children() {
            child.collect_references(references);
        }
    }
}
