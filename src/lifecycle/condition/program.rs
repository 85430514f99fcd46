//! A compiled expression: evaluates without allocating, and says until when the value holds.

use crate::lifecycle::time::Timestamp;
use crate::lifecycle::value::{Horizon, Inputs, Slot, Value};

/// An expression as it stands in a model, compiled.
#[derive(Clone, Debug)]
pub struct Condition {
    /// As the author wrote it, white space folded.
    pub text: Box<str>,
    /// What is evaluated.
    pub program: Program,
}

/// Something that a program reads, named conditions followed down to facts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// As explanations name it: `orders.count`, `recommended_at`, `last(leaving)`.
    pub name: Box<str>,
    /// Where it is read.
    pub slot: Slot,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Program {
    /// Everything that it reads, each once, in order of appearance.
    pub readings: Box<[Reading]>,
}

impl Program {
    /// The value at `now` over `inputs`; notes in `horizon` the earliest instant after `now` at which time alone may change it.
    pub fn evaluate<'a>(&'a self, _inputs: &'a impl Inputs, _now: Timestamp, _horizon: &mut Horizon) -> Value<'a> {
        unimplemented!()
    }
}

impl Program {
    /// The type of the value.
    #[must_use]
    pub fn value_type(&self) -> crate::lifecycle::value::Type {
        unimplemented!()
    }

    /// The value, when it depends neither on facts nor on the time.
    #[must_use]
    pub fn constant(&self) -> Option<super::scope::Constant> {
        None
    }
}
