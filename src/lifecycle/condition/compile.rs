//! Gives names a meaning and types to everything. To be written.

use super::problem::{ExpressionProblem, codes};
use super::program::{Condition, Program};
use super::scope::{Constant, Scope};
use super::syntax::Syntax;
use crate::lifecycle::value::Type;

/// Compiles `text`, whose value has to be of type `wanted` if that is given.
///
/// # Errors
/// Every problem of the text, in order of appearance.
pub fn compile(text: &str, wanted: Option<Type>, scope: &mut dyn Scope) -> Result<Condition, Vec<ExpressionProblem>> {
    let _ = (wanted, scope, Syntax::parse(text)?);
    Err(vec![ExpressionProblem::new(codes::SYNTAX, 0..text.len(), "the compiler is still missing")])
}

/// Whether it can be proven that `above` holds whenever `below` holds. Sound, not complete.
#[must_use]
pub fn covers(_above: &Program, _below: &Program) -> bool {
    false
}

pub(super) fn constant(
    syntax: &Syntax,
    wanted: Type,
    scope: &mut dyn Scope,
) -> Result<Constant, Vec<ExpressionProblem>> {
    let _ = (wanted, scope);
    Err(vec![ExpressionProblem::new(codes::SYNTAX, syntax.span.clone(), "the compiler is still missing")])
}
