//! Name resolution for the compiler: the [`Scope`] of an expression maps names to facts, properties, parameters and
//! named conditions. `model_check` and [`FactTable`](super::FactTable) implement it.

use std::ops::Range;

use super::constant::Constant;
use super::problem::ExpressionProblem;
use super::program::Program;
use super::syntax::Syntax;
use crate::lifecycle::value::{Slot, Type};

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
    Constant(Constant),
    /// A named condition, which is inlined into the expression.
    Expression(Program),
}

/// An argument of a call, parsed but not resolved. Some arguments are not names of the scope, such as groups.
#[derive(Clone, Copy, Debug)]
pub struct Argument<'a> {
    pub(super) syntax: &'a Syntax,
}

impl Argument<'_> {
    /// Returns the byte range in the expression's text.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.syntax.span.clone()
    }

    /// Returns the argument as a plain or dotted name, such as the name of a group; `None` if it is anything else.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        self.syntax.path()
    }

    /// Returns the text of a string literal; `None` if the argument is anything else.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.syntax.text()
    }

    /// Evaluates the argument to a constant of type `wanted`, resolving names with `scope`.
    ///
    /// # Errors
    /// Returns every problem of the argument, including that it is not a constant or has another type.
    pub fn constant(&self, expected: Type, scope: &mut dyn Scope) -> Result<Constant, Vec<ExpressionProblem>> {
        super::compile::constant(self.syntax, expected, scope)
    }
}
