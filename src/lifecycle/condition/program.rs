//! A compiled expression: evaluates without allocating, and says until when the value holds.

use std::sync::Arc;

use super::code::Code;
use super::lower::lower;
use super::scope::Constant;
use super::term::Term;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::value::{Horizon, Inputs, Slot, Type, Value};

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
    code: Code,
    /// What the code was made of, for expressions that this one becomes part of.
    pub(super) term: Arc<Term>,
}

impl Program {
    pub(super) fn new(term: Term) -> Self {
        let mut readings = Vec::new();
        term.read_into(&mut readings);
        Self { readings: readings.into(), code: lower(&term), term: Arc::new(term) }
    }

    /// The value at `now` over `inputs`; notes in `horizon` the earliest instant after `now` at which time alone may change it.
    pub fn evaluate<'a>(&'a self, inputs: &'a impl Inputs, now: Timestamp, horizon: &mut Horizon) -> Value<'a> {
        self.code.evaluate(inputs, now, horizon)
    }

    /// The type of the value.
    #[must_use]
    pub fn value_type(&self) -> Type {
        self.term.value_type
    }

    /// Whether the value may change with `now` itself, facts aside.
    #[must_use]
    pub fn reads_now(&self) -> bool {
        self.term.reads_now()
    }

    /// The value, when it depends neither on facts nor on the time.
    #[must_use]
    pub fn constant(&self) -> Option<Constant> {
        self.term.as_constant().cloned()
    }
}
