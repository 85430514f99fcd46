//! A table of facts given by name and value, to evaluate an expression without a model (`lifecycle eval` and tests).

use std::ops::Range;

use super::problem::ExpressionProblem;
use super::scope::{Binding, Scope};
use super::syntax::Argument;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::value::{Horizon, Inputs, OwnedValue, Slot, Type, Value};

/// A list of named facts; the slot of a fact is its index. Their values do not depend on time.
#[derive(Clone, Debug, Default)]
pub struct FactTable {
    facts: Vec<Fact>,
}

#[derive(Clone, Debug)]
struct Fact {
    name: String,
    value_type: Type,
    value: Option<OwnedValue>,
}

impl FactTable {
    /// Maximum number of facts in a table.
    pub const FACTS_MAX: usize = 1024;

    /// Sets a fact, replacing an earlier one of the same name. Ignored once [`FACTS_MAX`](Self::FACTS_MAX) facts are
    /// set.
    pub fn set(&mut self, name: &str, value: OwnedValue) {
        self.insert(Fact { name: name.into(), value_type: value.value_type(), value: Some(value) });
    }

    /// Declares a fact of type `value_type` whose value is absent.
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
    fn name(&mut self, path: &str, _span: Range<usize>) -> Option<Result<Binding, Vec<ExpressionProblem>>> {
        let index = self.facts.iter().position(|fact| fact.name == path)?;
        let slot = Slot(u16::try_from(index).ok()?);
        Some(Ok(Binding::Slot { slot, value_type: self.facts[index].value_type, name: path.into() }))
    }

    fn call(
        &mut self,
        _function: &str,
        _arguments: &[Argument<'_>],
        _span: Range<usize>,
    ) -> Option<Result<Binding, Vec<ExpressionProblem>>> {
        None
    }

    fn suggestions(&self) -> Vec<String> {
        self.facts.iter().map(|fact| fact.name.clone()).collect()
    }
}

impl Inputs for FactTable {
    fn read(&self, slot: Slot, _now: Timestamp, _horizon: &mut Horizon) -> Value<'_> {
        let value = self.facts.get(usize::from(slot.0)).and_then(|fact| fact.value.as_ref());
        value.map_or(Value::Absent, OwnedValue::as_value)
    }
}
