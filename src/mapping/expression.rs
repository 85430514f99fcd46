//! An expression over JSON values, compiled once.

use std::collections::BTreeMap;

use serde_json::Value;

use super::compile;
use super::datum::Datum;
use super::error::EvaluationError;
use super::evaluate::Evaluation;
use super::kind::Kind;
use super::node::{Node, Path, Start, paths_of_root};
use super::slots::Roots;
use crate::lifecycle::condition::ExpressionProblem;

/// The names that an expression may use.
#[derive(Clone, Debug, Default)]
pub struct Environment<'e> {
    /// The names that may start a path, in the order in which their values are passed to an evaluation.
    pub roots: &'e [&'e str],
    /// Names with a fixed value, such as tables for look-ups.
    pub constants: BTreeMap<&'e str, Value>,
}

/// An expression in CEL syntax over JSON values.
///
/// A path that does not exist is null. A comparison with null is false, except `==` and `!=`; null counts as false
/// where true or false is needed. `docs/mapping.md` describes the language.
#[derive(Clone, Debug)]
pub struct Expression {
    node: Node,
    kind: Kind,
    roots: usize,
}

impl Expression {
    /// Compiles `text`. `roots` are the names that may start a path.
    ///
    /// # Errors
    /// Every problem of the text: grammar, unknown names and functions, values of the wrong kind, limits.
    pub fn compile(text: &str, roots: &[&str]) -> Result<Self, Vec<ExpressionProblem>> {
        Self::compile_in(text, &Environment { roots, constants: BTreeMap::new() })
    }

    /// Compiles `text` with the names of `environment`.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn compile_in(text: &str, environment: &Environment<'_>) -> Result<Self, Vec<ExpressionProblem>> {
        let (node, kind) = compile::compile(text, environment)?;
        Ok(Self { node, kind, roots: environment.roots.len() })
    }

    /// Evaluates the expression. `roots` are the values of the roots, in their order.
    ///
    /// # Errors
    /// If a value has the wrong kind or exceeds a limit.
    ///
    /// # Panics
    /// If there are fewer roots than at compilation, which is a bug of the caller.
    pub fn evaluate(&self, roots: &[&Value]) -> Result<Value, EvaluationError> {
        self.value_of(Roots::of(roots))
    }

    /// As [`evaluate`](Self::evaluate).
    pub(super) fn value_of(&self, roots: Roots<'_>) -> Result<Value, EvaluationError> {
        self.datum(roots)?.into_value()
    }

    /// Whether the expression, a filter, holds. Null counts as false.
    ///
    /// # Errors
    /// If a value has the wrong kind or exceeds a limit, or if the result is neither true, false nor null.
    pub fn is_true(&self, roots: &[&Value]) -> Result<bool, EvaluationError> {
        self.holds(Roots::of(roots))
    }

    /// As [`is_true`](Self::is_true).
    pub(super) fn holds(&self, roots: Roots<'_>) -> Result<bool, EvaluationError> {
        self.datum(roots)?.truth().map_err(|error| error.at(self.source(roots)))
    }

    /// Returns the path that the value comes from; empty if it is computed from none.
    pub(super) fn source<'a>(&'a self, roots: Roots<'a>) -> &'a str {
        Evaluation::new(roots).source(&self.node)
    }

    /// Returns the kind of the value, as far as it is known without a record.
    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the members of each path that is read from the root with this index.
    #[must_use]
    pub fn paths(&self, root: usize) -> Vec<&[Box<str>]> {
        paths_of_root(root, |visit| self.visit_paths(visit))
    }

    /// Returns the members of the path, if the expression is a path of the root with this index.
    pub(super) fn path_of_root(&self, root: usize) -> Option<&[Box<str>]> {
        match &self.node {
            Node::Path(Path { start: Start::Root(start), members, .. }) if *start == root => Some(members),
            _ => None,
        }
    }

    /// Calls `visit` with each path that is read from a root, and the index of the root.
    pub(super) fn visit_paths<'n>(&'n self, visit: &mut dyn FnMut(usize, &'n Path)) {
        self.node.visit_paths(visit);
    }

    /// Evaluates without a copy of what the roots contain.
    pub(super) fn datum<'a>(&'a self, roots: Roots<'a>) -> Result<Datum<'a>, EvaluationError> {
        assert!(roots.values.len() >= self.roots, "one value for each root");
        Evaluation::new(roots).evaluate(&self.node)
    }
}
