//! Name resolution inside one model: its parameters, facts and conditions, each compiled on first use.

use std::ops::Range;

use super::problems::Problems;
use super::shared_state::SharedState;
use crate::lifecycle::condition::{
    Argument, Binding, Condition, ExpressionProblem, Program, Scope, Syntax, codes, compile,
};
use crate::lifecycle::model_draft::{ExpressionDraft, ModelDraft, NamedExpression};
use crate::lifecycle::problem::Problem;
use crate::lifecycle::value::{OwnedValue, Slot, Type};

/// A resolved name, or every problem with it. An empty list means that the problems are already reported.
pub(super) type Checked<T> = Result<T, Vec<ExpressionProblem>>;

/// The names of one model.
pub(super) struct ModelScope<'a> {
    pub(super) shared: &'a mut SharedState,
    pub(super) problems: &'a mut Problems,
    pub(super) model: usize,
    pub(super) draft: &'a ModelDraft,
    overrides: &'a [(usize, ExpressionDraft)],
    parameters: Vec<Lazy<OwnedValue>>,
    facts: Vec<Lazy<Fact>>,
    conditions: Vec<Lazy<Program>>,
    pub(super) referenced_groups: Vec<Box<str>>,
}

/// A definition that is compiled on first use.
#[derive(Clone, Debug)]
enum Lazy<T> {
    NotStarted,
    InProgress,
    /// It has problems, which are already reported.
    Failed,
    Done(T),
}

/// The definition of a named fact.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// The order ledger. It has no value; its fields are facts.
    Ledger,
    /// A value kept in a slot.
    Value { slot: Slot, value_type: Type },
}

impl<'a> ModelScope<'a> {
    /// Creates the scope of `draft`, which has the index `model`; `overrides` are parameter values by parameter index.
    pub(super) fn new(
        shared: &'a mut SharedState,
        problems: &'a mut Problems,
        model: usize,
        draft: &'a ModelDraft,
        overrides: &'a [(usize, ExpressionDraft)],
    ) -> Self {
        Self {
            shared,
            problems,
            model,
            draft,
            overrides,
            parameters: vec![Lazy::NotStarted; draft.parameters.len()],
            facts: vec![Lazy::NotStarted; draft.facts.len()],
            conditions: vec![Lazy::NotStarted; draft.conditions.len()],
            referenced_groups: Vec::new(),
        }
    }

    /// Compiles `expression` and reports its problems.
    pub(super) fn expression(&mut self, expression: &ExpressionDraft, expected: Option<Type>) -> Option<Condition> {
        match compile(&expression.text, expected, self) {
            Ok(condition) => Some(condition),
            Err(found) => {
                self.problems.expression(self.draft.file, expression, found);
                None
            }
        }
    }

    /// Returns the value of the parameter at `index`; `None` if it has problems, which are reported.
    pub(super) fn parameter(&mut self, index: usize) -> Option<OwnedValue> {
        match &self.parameters[index] {
            Lazy::Done(constant) => return Some(constant.clone()),
            Lazy::Failed => return None,
            Lazy::InProgress => {
                self.report_cycle(&self.draft.parameters[index], "parameter");
                return None;
            }
            Lazy::NotStarted => {}
        }
        self.parameters[index] = Lazy::InProgress;
        let draft = self.draft;
        let value = self.constant(&draft.parameters[index]).and_then(|value| self.apply_override(index, value));
        self.parameters[index] = value.clone().map_or(Lazy::Failed, Lazy::Done);
        value
    }

    fn constant(&mut self, named: &NamedExpression) -> Option<OwnedValue> {
        let condition = self.expression(&named.expression, None)?;
        let constant = condition.program.constant();
        if constant.is_none() {
            let message = format!("parameter `{}` is not a constant", named.name.value);
            let problem = Problem::error(codes::NOT_CONSTANT, self.draft.file, named.expression.span.clone(), message);
            self.problems.push(problem.help("move it to `conditions`"));
        }
        constant
    }

    /// Replaces `value` by the override of the configuration, if there is one.
    fn apply_override(&mut self, index: usize, value: OwnedValue) -> Option<OwnedValue> {
        let Some((_, expression)) = self.overrides.iter().find(|(parameter, _)| *parameter == index) else {
            return Some(value);
        };
        let compiled = compile(&expression.text, Some(value.value_type()), self);
        let constant = compiled.and_then(|condition| {
            let not_constant =
                ExpressionProblem::new(codes::NOT_CONSTANT, 0..expression.text.len(), "the value is not a constant");
            condition.program.constant().ok_or_else(|| vec![not_constant])
        });
        constant
            .map_err(|found| {
                let name = format!("{}.{}", self.draft.name.value, self.draft.parameters[index].name.value);
                for problem in found {
                    let message =
                        format!("the value `{}` for parameter `{name}`: {}", expression.text, problem.message);
                    let without_span = Problem::error(problem.code, usize::MAX, 0..0, message);
                    self.problems.push(Problem { help: problem.help, ..without_span });
                }
            })
            .ok()
    }

    /// Returns the definition of the fact at `index`; `None` if it has problems, which are reported.
    pub(super) fn fact(&mut self, index: usize) -> Option<Fact> {
        match &self.facts[index] {
            Lazy::Done(fact) => return Some(fact.clone()),
            Lazy::Failed => return None,
            Lazy::InProgress => {
                self.report_cycle(&self.draft.facts[index], "fact");
                return None;
            }
            Lazy::NotStarted => {}
        }
        self.facts[index] = Lazy::InProgress;
        let draft = self.draft;
        let expression = &draft.facts[index].expression;
        let fact = match self.fact_definition(&expression.text) {
            Ok(fact) => Some(fact),
            Err(found) => {
                self.problems.expression(draft.file, expression, found);
                None
            }
        };
        self.facts[index] = fact.clone().map_or(Lazy::Failed, Lazy::Done);
        fact
    }

    /// Resolves the definition of a fact: a constructor call or a field of the ledger.
    fn fact_definition(&mut self, text: &str) -> Checked<Fact> {
        let syntax = Syntax::parse(text)?;
        if let Some((function, arguments)) = syntax.call() {
            if function == "orders" && arguments.is_empty() {
                return Ok(Fact::Ledger);
            }
            if let Some(resolved) = self.fact_call(&function, &arguments, 0..text.len()) {
                return resolved.map(|resolved| Fact::Value { slot: resolved.slot, value_type: resolved.value_type });
            }
        } else if let Some(path) = syntax.path()
            && let Some(resolved) = self.ledger_field(&path, 0..text.len())
        {
            return resolved.map(|resolved| Fact::Value { slot: resolved.slot, value_type: resolved.value_type });
        }
        let problem = ExpressionProblem::new("not-a-fact", 0..text.len(), "this is not a fact definition");
        Err(vec![problem.help("write one of count, count_within, first, last, latest, sum or orders(); put other expressions under `conditions`")])
    }

    /// Returns the program of the condition at `index`; `None` if it has problems, which are reported.
    pub(super) fn condition(&mut self, index: usize) -> Option<Program> {
        match &self.conditions[index] {
            Lazy::Done(program) => return Some(program.clone()),
            Lazy::Failed => return None,
            Lazy::InProgress => {
                self.report_cycle(&self.draft.conditions[index], "condition");
                return None;
            }
            Lazy::NotStarted => {}
        }
        self.conditions[index] = Lazy::InProgress;
        let draft = self.draft;
        let program = self.expression(&draft.conditions[index].expression, None).map(|condition| condition.program);
        self.conditions[index] = program.clone().map_or(Lazy::Failed, Lazy::Done);
        program
    }

    fn report_cycle(&mut self, named: &NamedExpression, what: &str) {
        let message = format!("{what} `{}` refers to itself", named.name.value);
        let problem = Problem::error("cycle", self.draft.file, named.name.span.clone(), message);
        self.problems.push(problem.help("follow the names in its expression: one of them leads back to it"));
    }

    /// Warns about unused definitions. Checks them too, but discards the facts that only they read.
    pub(super) fn check_unused(&mut self) {
        let draft = self.draft;
        let unused = |list: &[NamedExpression], is_unused: &dyn Fn(usize) -> bool| {
            (0..list.len()).filter(|&index| is_unused(index)).collect::<Vec<usize>>()
        };
        let parameters = unused(&draft.parameters, &|index| matches!(self.parameters[index], Lazy::NotStarted));
        let facts = unused(&draft.facts, &|index| matches!(self.facts[index], Lazy::NotStarted));
        let conditions = unused(&draft.conditions, &|index| matches!(self.conditions[index], Lazy::NotStarted));
        let groups: Vec<usize> = (0..draft.groups.len())
            .filter(|&index| !self.referenced_groups.iter().any(|read| **read == *draft.groups[index].name.value))
            .collect();

        let snapshot = self.shared.clone();
        for &index in &conditions {
            self.condition(index);
        }
        for &index in &facts {
            self.fact(index);
        }
        for &index in &groups {
            self.check_group(&draft.groups[index].name.value);
        }
        for &index in &parameters {
            self.parameter(index);
        }
        *self.shared = snapshot;

        let unused = (parameters.iter().map(|&index| ("parameter", &draft.parameters[index].name)))
            .chain(facts.iter().map(|&index| ("fact", &draft.facts[index].name)))
            .chain(conditions.iter().map(|&index| ("condition", &draft.conditions[index].name)))
            .chain(groups.iter().map(|&index| ("group", &draft.groups[index].name)));
        for (what, name) in unused {
            let message = format!("the {what} `{}` is never used", name.value);
            self.problems.push(Problem::warning("unused", draft.file, name.span.clone(), message).help("remove it"));
        }
    }

    fn check_group(&mut self, name: &str) {
        // The name is known, and `group` reports the problems of its condition.
        let _ = self.group(name, &(0..0));
    }

    pub(super) fn find(list: &[NamedExpression], name: &str) -> Option<usize> {
        list.iter().position(|named| named.name.value == name)
    }

    /// Whether `name` names the order ledger.
    pub(super) fn is_ledger(&mut self, name: &str) -> bool {
        let index = Self::find(&self.draft.facts, name);
        index.is_some_and(|index| matches!(self.fact(index), Some(Fact::Ledger)))
    }

    fn binding(&mut self, path: &str, span: &Range<usize>) -> Option<Checked<Binding>> {
        let draft = self.draft;
        if let Some(index) = Self::find(&draft.parameters, path) {
            return Some(self.parameter(index).map(Binding::Constant).ok_or_else(Vec::new));
        }
        if let Some(index) = Self::find(&draft.conditions, path) {
            return Some(self.condition(index).map(Binding::Expression).ok_or_else(Vec::new));
        }
        let Some(index) = Self::find(&draft.facts, path) else {
            return self.ledger_field(path, span.clone()).map(|resolved| resolved.map(super::facts::FactSlot::binding));
        };
        Some(match self.fact(index) {
            Some(Fact::Value { slot, value_type }) => Ok(Binding::Slot { slot, value_type, name: path.into() }),
            Some(Fact::Ledger) => {
                let message = format!("`{path}` is the order ledger and has no value of its own");
                let problem = ExpressionProblem::new("ledger-value", span.clone(), message);
                Err(vec![problem.help(format!("write `{path}.count`, `{path}.last` or another of its fields"))])
            }
            None => Err(Vec::new()),
        })
    }
}

impl Scope for ModelScope<'_> {
    fn name(&mut self, path: &str, span: Range<usize>) -> Option<Checked<Binding>> {
        let binding = self.binding(path, &span);
        if binding.is_none() && self.shared.declarations.group(self.model, path).is_some() {
            let message = format!("`{path}` is a group of touchpoints and has no value");
            let problem = ExpressionProblem::new(codes::UNKNOWN_NAME, span, message);
            return Some(Err(vec![
                problem.help(format!("write `count({path})`, `last({path})` or another fact constructor")),
            ]));
        }
        binding
    }

    fn call(&mut self, function: &str, arguments: &[Argument<'_>], span: Range<usize>) -> Option<Checked<Binding>> {
        self.fact_call(function, arguments, span).map(|resolved| resolved.map(super::facts::FactSlot::binding))
    }

    fn range(&self, slot: Slot) -> Option<(i64, Option<i64>)> {
        self.shared.range(slot)
    }

    fn is_touchpoint_time(&self, slot: Slot) -> bool {
        self.shared.is_touchpoint_time(slot)
    }

    fn suggestions(&self) -> Vec<String> {
        let lists = [&self.draft.parameters, &self.draft.conditions, &self.draft.facts];
        let names = lists.into_iter().flatten().map(|named| named.name.value.clone());
        names.chain(super::facts::suggestions(self.draft)).collect()
    }
}
