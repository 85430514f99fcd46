//! What names mean where an expression stands: facts, properties, parameters, named conditions.

use std::ops::Range;

use super::problem::ExpressionProblem;
use super::program::Program;
use super::syntax::Syntax;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::value::{Slot, Type, Value};

/// Resolves the names of an expression while it is compiled.
pub trait Scope {
    /// The meaning of a plain or dotted name as it is written: `recommended_at`, `orders.count`.
    ///
    /// `None` is reported as an unknown name, with a suggestion out of [`suggestions`](Self::suggestions).
    fn name(&mut self, path: &str, span: Range<usize>) -> Option<Result<Named, Vec<ExpressionProblem>>>;

    /// The fact that a call makes: `function` is the callee as it is written, `last` or `orders.streak`.
    ///
    /// `None` when it makes none, so that the built-in functions are tried.
    fn call(
        &mut self,
        function: &str,
        arguments: &[Argument<'_>],
        span: Range<usize>,
    ) -> Option<Result<Named, Vec<ExpressionProblem>>>;

    /// Every name and every function that this scope knows, for "did you mean".
    fn suggestions(&self) -> Vec<String>;
}

/// What a name means.
#[derive(Clone, Debug)]
pub enum Named {
    /// A fact or property, read when the expression is evaluated.
    Slot {
        /// Where it is read.
        slot: Slot,
        /// The type of its value when it is not absent.
        value_type: Type,
        /// As explanations name it.
        name: Box<str>,
    },
    /// A parameter whose value is fixed.
    Constant(Constant),
    /// A named condition or a computed parameter; becomes part of the expression.
    Expression(Program),
}

/// A value known when an expression is compiled.
#[derive(Clone, PartialEq, Debug)]
pub enum Constant {
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    String(Box<str>),
    /// An instant.
    Timestamp(Timestamp),
    /// A length of time.
    Duration(Duration),
}

impl Constant {
    /// The type of the value.
    #[must_use]
    pub fn value_type(&self) -> Type {
        match self {
            Self::Int(_) => Type::Int,
            Self::Double(_) => Type::Double,
            Self::Bool(_) => Type::Bool,
            Self::String(_) => Type::String,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
        }
    }

    /// The value, borrowed.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Int(number) => Value::Int(*number),
            Self::Double(number) => Value::Double(*number),
            Self::Bool(truth) => Value::Bool(*truth),
            Self::String(text) => Value::String(text),
            Self::Timestamp(instant) => Value::Timestamp(*instant),
            Self::Duration(length) => Value::Duration(*length),
        }
    }

    /// The constant that holds `value`; `None` for an absent one.
    #[must_use]
    pub fn of(value: Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Absent => return None,
            Value::Int(number) => Self::Int(number),
            Value::Double(number) => Self::Double(number),
            Value::Bool(truth) => Self::Bool(truth),
            Value::String(text) => Self::String(text.into()),
            Value::Timestamp(instant) => Self::Timestamp(instant),
            Value::Duration(length) => Self::Duration(length),
        })
    }
}

/// An argument of a call, parsed but not yet given a meaning: a group's name is no name of the scope.
#[derive(Clone, Copy, Debug)]
pub struct Argument<'a> {
    pub(super) syntax: &'a Syntax,
}

impl Argument<'_> {
    /// Where it stands in the expression's text.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.syntax.span.clone()
    }

    /// The plain or dotted name that the argument is, such as the name of a group; `None` when it is something else.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        self.syntax.path()
    }

    /// The text that the argument is when it is a string literal.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.syntax.text()
    }

    /// The argument's value as a constant of type `wanted`, its names resolved by `scope`.
    ///
    /// # Errors
    /// Every problem of the argument, also when it is no constant or of another type.
    pub fn constant(&self, wanted: Type, scope: &mut dyn Scope) -> Result<Constant, Vec<ExpressionProblem>> {
        super::compile::constant(self.syntax, wanted, scope)
    }
}
