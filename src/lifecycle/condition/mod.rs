//! Conditions: expressions in CEL syntax, typed when a model is checked, compiled to a program over slots.
//!
//! Time enters only as `now`. A program that is evaluated also says until when its value holds.

mod program;

pub use program::{Condition, Program, Reading};
