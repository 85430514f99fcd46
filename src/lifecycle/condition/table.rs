//! Facts given by name and value: what an expression can be tried on without a model.

use std::ops::Range;

use super::problem::ExpressionProblem;
use super::scope::{Argument, Constant, Named, Scope};
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::value::{Horizon, Inputs, Slot, Type, Value};

/// A list of facts; each is its own slot. Time does not change them.
#[derive(Clone, Debug, Default)]
pub struct FactTable {
    facts: Vec<Fact>,
}

#[derive(Clone, Debug)]
struct Fact {
    name: String,
    value_type: Type,
    value: Option<Constant>,
}

impl FactTable {
    /// How many facts a table holds.
    pub const FACTS_MAX: usize = 1024;

    /// Adds a fact; the last one of a name counts. Beyond [`FACTS_MAX`](Self::FACTS_MAX) it is not added.
    pub fn set(&mut self, name: &str, value: Constant) {
        self.insert(Fact { name: name.into(), value_type: value.value_type(), value: Some(value) });
    }

    /// Adds a fact that is absent.
    pub fn set_absent(&mut self, name: &str, value_type: Type) {
        self.insert(Fact { name: name.into(), value_type, value: None });
    }

    fn insert(&mut self, fact: Fact) {
        match self.facts.iter().position(|known| known.name == fact.name) {
            Some(known) => self.facts[known] = fact,
            None if self.facts.len() < Self::FACTS_MAX => self.facts.push(fact),
            None => {}
        }
    }
}

impl Scope for FactTable {
    fn name(&mut self, path: &str, _span: Range<usize>) -> Option<Result<Named, Vec<ExpressionProblem>>> {
        let index = self.facts.iter().position(|fact| fact.name == path)?;
        let slot = Slot(u16::try_from(index).ok()?);
        Some(Ok(Named::Slot { slot, value_type: self.facts[index].value_type, name: path.into() }))
    }

    fn call(
        &mut self,
        _function: &str,
        _arguments: &[Argument<'_>],
        _span: Range<usize>,
    ) -> Option<Result<Named, Vec<ExpressionProblem>>> {
        None
    }

    fn suggestions(&self) -> Vec<String> {
        self.facts.iter().map(|fact| fact.name.clone()).collect()
    }
}

impl Inputs for FactTable {
    fn read(&self, slot: Slot, _now: Timestamp, _horizon: &mut Horizon) -> Value<'_> {
        let value = self.facts.get(usize::from(slot.0)).and_then(|fact| fact.value.as_ref());
        value.map_or(Value::Absent, Constant::value)
    }
}
