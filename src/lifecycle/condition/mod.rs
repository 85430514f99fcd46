//! Conditions: expressions in CEL syntax, type-checked with their model and compiled to a program over fact slots.
//!
//! The stages are the usual ones: lexer, parser ([`Syntax`]), type check and constant folding (`compile`), lowering to
//! a flat program ([`Program`]). Time enters only as `now`. An evaluation returns the value and its horizon, the
//! earliest instant at which time alone may change that value.

mod arithmetic;
mod binary_operator;
mod code;
mod compile;
mod covers;
mod deadline;
mod fact_table;
mod functions;
mod lexer;
mod limits;
mod linear;
mod literal;
mod lower;
mod operation;
mod operators;
mod parser;
mod problem;
mod program;
mod range;
mod relation;
mod reserved;
mod scope;
mod syntax;
mod term;

pub use compile::compile;
pub use covers::covers;
pub use deadline::{Deadline, deadlines};
pub use fact_table::FactTable;
pub use limits::{DEPTH_MAX, EXPRESSION_BYTES_MAX, LIST_ITEMS_MAX, NODES_MAX};
pub use operation::ArithmeticOperator;
pub use problem::{ExpressionProblem, codes};
pub use program::{Condition, Program};
pub use relation::Relation;
pub use reserved::is_reserved;
pub use scope::{Binding, Scope};
pub use syntax::{Argument, Dialect, Syntax, SyntaxKind};
pub use term::FactReference;

#[cfg(test)]
mod tests;
