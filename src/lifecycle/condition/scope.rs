//! Name resolution for the compiler: the [`Scope`] of an expression maps names to facts, properties, parameters and
//! named conditions. `model_check` and [`FactTable`](super::FactTable) implement it.

use std::ops::Range;

use super::problem::ExpressionProblem;
use super::program::Program;
use super::syntax::Argument;
use crate::lifecycle::value::{OwnedValue, Slot, Type};

/// Resolves the names of an expression during compilation.
pub trait Scope {
    /// Resolves a plain or dotted name as written: `recommended_at`, `orders.count`.
    ///
    /// The compiler reports `None` as an unknown name, with a suggestion from [`suggestions`](Self::suggestions).
    fn name(&mut self, path: &str, span: Range<usize>) -> Option<Result<Binding, Vec<ExpressionProblem>>>;

    /// Resolves a call that constructs a fact; `function` is the callee as written: `last`, `orders.streak`.
    ///
    /// `None` if the call does not construct a fact; the compiler then tries the built-in functions.
    fn call(
        &mut self,
        function: &str,
        arguments: &[Argument<'_>],
        span: Range<usize>,
    ) -> Option<Result<Binding, Vec<ExpressionProblem>>>;

    /// Returns the smallest value that `slot` can have, if the fact is a count, and the largest, if the number of
    /// touchpoints kept limits it.
    fn range(&self, slot: Slot) -> Option<(i64, Option<i64>)> {
        _ = slot;
        None
    }

    /// Returns whether `slot` holds the time of a touchpoint, which is never after `now`.
    fn is_touchpoint_time(&self, slot: Slot) -> bool {
        _ = slot;
        false
    }

    /// Returns every name and function of this scope, for "did you mean" suggestions.
    fn suggestions(&self) -> Vec<String>;
}

/// The definition that a name resolves to.
#[derive(Clone, Debug)]
pub enum Binding {
    /// A fact or property, read when the expression is evaluated.
    Slot {
        /// The slot that holds the value.
        slot: Slot,
        /// The type of the value, if it is not absent.
        value_type: Type,
        /// The name that explanations show.
        name: Box<str>,
    },
    /// A parameter, whose value is fixed at compile time.
    Constant(OwnedValue),
    /// A named condition, which is inlined into the expression.
    Expression(Program),
}
