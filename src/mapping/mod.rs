//! Expressions, templates and mapping files over JSON records.
//!
//! An [`Expression`] is written in the syntax of conditions and evaluated over JSON values. A [`Template`] is a tree of
//! JSON whose texts contain expressions. Both are compiled once, and both have limits on size, depth and work. Pure: the
//! same record always has the same result.

mod compile;
mod datum;
mod error;
mod evaluate;
mod expression;
mod function;
mod kind;
mod node;
mod template;

pub use error::EvaluationError;
pub use expression::{Environment, Expression};
pub use function::FUNCTION_NAMES;
pub use template::{Template, TemplateProblem};

pub use crate::lifecycle::condition::ExpressionProblem;

#[cfg(test)]
mod tests;
