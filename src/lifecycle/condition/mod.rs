//! Conditions: expressions in CEL syntax, typed when a model is checked, compiled to a program over slots.
//!
//! Time enters only as `now`. A program that is evaluated also says until when its value holds.

mod compile;
mod parser;
mod problem;
mod program;
mod relation;
mod scope;
mod syntax;

pub use compile::{compile, covers};
pub use problem::{ExpressionProblem, codes};
pub use program::{Condition, Program, Reading};
pub use scope::{Argument, Constant, Named, Scope};
pub use syntax::Syntax;
