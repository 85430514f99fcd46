//! A compiled expression. Evaluation does not allocate. It returns the value, and the horizon until which time alone
//! cannot change it.

use std::sync::Arc;

use super::code::Code;
use super::lower::lower;
use super::term::{FactReference, Term};
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::value::{Horizon, Inputs, OwnedValue, Type, Value};

/// A compiled expression of a model, with its source text.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The source text with white space collapsed.
    pub text: Arc<str>,
    /// The compiled form.
    pub program: Program,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Program {
    /// The facts and properties that the program reads, each once, in order of appearance.
    pub references: Arc<[FactReference]>,
    code: Code,
    /// The term from which `code` was lowered. Other expressions inline it.
    pub(super) term: Arc<Term>,
}

impl Program {
    pub(super) fn new(term: Term) -> Self {
        let mut references = Vec::new();
        term.collect_references(&mut references);
        Self { references: references.into(), code: lower(&term), term: Arc::new(term) }
    }

    /// Evaluates the program at `now` over `inputs`, and lowers `horizon` to the earliest instant after `now` at which
    /// time alone may change the value.
    pub fn evaluate<'a>(&'a self, inputs: &'a impl Inputs, now: Timestamp, horizon: &mut Horizon) -> Value<'a> {
        self.code.evaluate(inputs, now, horizon)
    }

    /// Whether the program is true at `now`. Absent values, and those of other types, are not. Lowers `horizon` like
    /// [`evaluate`](Self::evaluate).
    pub fn holds(&self, inputs: &impl Inputs, now: Timestamp, horizon: &mut Horizon) -> bool {
        self.code.holds(inputs, now, horizon)
    }

    /// Returns the type of the value.
    #[must_use]
    pub fn value_type(&self) -> Type {
        self.term.value_type
    }

    /// Whether the program reads `now` directly. If it does not, its facts may still change with time.
    #[must_use]
    pub fn reads_now(&self) -> bool {
        self.term.reads_now()
    }

    /// Returns the value if it depends neither on facts nor on the time.
    #[must_use]
    pub fn constant(&self) -> Option<OwnedValue> {
        self.term.as_constant().cloned()
    }
}
