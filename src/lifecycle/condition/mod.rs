//! Conditions: expressions in CEL syntax, typed when a model is checked, compiled to a program over slots.
//!
//! Time enters only as `now`. A program that is evaluated also says until when its value holds.

mod arithmetic;
mod code;
mod compile;
mod covers;
mod deadline;
mod functions;
mod lexer;
mod limits;
mod linear;
mod literal;
mod lower;
mod operators;
mod parser;
mod problem;
mod program;
mod relation;
mod scope;
mod suggest;
mod syntax;
mod table;
mod term;

pub use compile::compile;
pub use covers::covers;
pub use deadline::{Deadline, deadlines};
pub use limits::{DEPTH_MAX, EXPRESSION_BYTES_MAX, LIST_ITEMS_MAX, NODES_MAX};
pub use parser::is_reserved;
pub use problem::{ExpressionProblem, codes};
pub use program::{Condition, Program, Reading};
pub use scope::{Argument, Constant, Named, Scope};
pub use suggest::nearest;
pub use syntax::Syntax;
pub use table::FactTable;

#[cfg(test)]
mod tests;
