//! What names mean inside one model: its parameters, facts and conditions, each resolved when it is first read.

use std::ops::Range;

use super::problems::Problems;
use super::shared::Shared;
use crate::lifecycle::condition::{
    Argument, Condition, Constant, ExpressionProblem, Named, Program, Scope, Syntax, codes, compile,
};
use crate::lifecycle::model_draft::{ExpressionDraft, ModelDraft, NamedExpression};
use crate::lifecycle::problem::Problem;
use crate::lifecycle::value::{Slot, Type};

/// Nothing, or everything that is wrong with it.
pub(super) type Found<T> = Result<T, Vec<ExpressionProblem>>;

/// The names of one model.
pub(super) struct ModelScope<'a> {
    pub(super) shared: &'a mut Shared,
    pub(super) problems: &'a mut Problems,
    pub(super) model: usize,
    pub(super) draft: &'a ModelDraft,
    overrides: &'a [(usize, ExpressionDraft)],
    parameters: Vec<Lazy<Constant>>,
    facts: Vec<Lazy<Fact>>,
    conditions: Vec<Lazy<Program>>,
    pub(super) groups_read: Vec<Box<str>>,
}

/// Something that is worked out when it is first asked for.
#[derive(Clone, Debug)]
enum Lazy<T> {
    Untouched,
    Underway,
    /// It is wrong, and that has been said.
    Failed,
    Done(T),
}

/// What the name of a fact stands for.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// The order ledger, whose readings are facts.
    Ledger,
    /// A value kept in a slot.
    Value { slot: Slot, value_type: Type },
}

impl<'a> ModelScope<'a> {
    /// The names of `draft`, the `model`-th; `overrides` are values for its parameters, by index.
    pub(super) fn new(
        shared: &'a mut Shared,
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
            parameters: vec![Lazy::Untouched; draft.parameters.len()],
            facts: vec![Lazy::Untouched; draft.facts.len()],
            conditions: vec![Lazy::Untouched; draft.conditions.len()],
            groups_read: Vec::new(),
        }
    }

    /// Compiles `expression`; what is wrong with it is noted.
    pub(super) fn expression(&mut self, expression: &ExpressionDraft, wanted: Option<Type>) -> Option<Condition> {
        match compile(&expression.text, wanted, self) {
            Ok(condition) => Some(condition),
            Err(found) => {
                self.problems.expression(self.draft.file, expression, found);
                None
            }
        }
    }

    /// The value of the parameter at `index`; `None` when it is wrong, which is noted.
    pub(super) fn parameter(&mut self, index: usize) -> Option<Constant> {
        match &self.parameters[index] {
            Lazy::Done(constant) => return Some(constant.clone()),
            Lazy::Failed => return None,
            Lazy::Underway => {
                self.cycle(&self.draft.parameters[index], "parameter");
                return None;
            }
            Lazy::Untouched => {}
        }
        self.parameters[index] = Lazy::Underway;
        let draft = self.draft;
        let value = self.constant(&draft.parameters[index]).and_then(|value| self.overridden(index, value));
        self.parameters[index] = value.clone().map_or(Lazy::Failed, Lazy::Done);
        value
    }

    fn constant(&mut self, named: &NamedExpression) -> Option<Constant> {
        let condition = self.expression(&named.expression, None)?;
        let constant = condition.program.constant();
        if constant.is_none() {
            let message = format!("parameter `{}` is not a constant", named.name.value);
            let problem = Problem::error(codes::NOT_CONSTANT, self.draft.file, named.expression.span.clone(), message);
            self.problems.push(problem.help("move it to `conditions`"));
        }
        constant
    }

    /// `value`, or what the configuration gives instead of it.
    fn overridden(&mut self, index: usize, value: Constant) -> Option<Constant> {
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
                    let placeless = Problem::error(problem.code, usize::MAX, 0..0, message);
                    self.problems.push(Problem { help: problem.help, ..placeless });
                }
            })
            .ok()
    }

    /// What the fact at `index` stands for; `None` when it is wrong, which is noted.
    pub(super) fn fact(&mut self, index: usize) -> Option<Fact> {
        match &self.facts[index] {
            Lazy::Done(fact) => return Some(fact.clone()),
            Lazy::Failed => return None,
            Lazy::Underway => {
                self.cycle(&self.draft.facts[index], "fact");
                return None;
            }
            Lazy::Untouched => {}
        }
        self.facts[index] = Lazy::Underway;
        let draft = self.draft;
        let expression = &draft.facts[index].expression;
        let fact = match self.construct(&expression.text) {
            Ok(fact) => Some(fact),
            Err(found) => {
                self.problems.expression(draft.file, expression, found);
                None
            }
        };
        self.facts[index] = fact.clone().map_or(Lazy::Failed, Lazy::Done);
        fact
    }

    /// The fact that `text` defines: a call, or a reading of the ledger.
    fn construct(&mut self, text: &str) -> Found<Fact> {
        let syntax = Syntax::parse(text)?;
        if let Some((function, arguments)) = syntax.call() {
            if function == "orders" && arguments.is_empty() {
                return Ok(Fact::Ledger);
            }
            if let Some(made) = self.make_fact(&function, &arguments, 0..text.len()) {
                return made.map(|made| Fact::Value { slot: made.slot, value_type: made.value_type });
            }
        } else if let Some(path) = syntax.path()
            && let Some(made) = self.ledger_reading(&path, 0..text.len())
        {
            return made.map(|made| Fact::Value { slot: made.slot, value_type: made.value_type });
        }
        let problem = ExpressionProblem::new("not-a-fact", 0..text.len(), "this defines no fact");
        Err(vec![problem.help("write one of count, count_within, first, last, latest, sum or orders(); other expressions go to `conditions`")])
    }

    /// The program of the condition at `index`; `None` when it is wrong, which is noted.
    pub(super) fn condition(&mut self, index: usize) -> Option<Program> {
        match &self.conditions[index] {
            Lazy::Done(program) => return Some(program.clone()),
            Lazy::Failed => return None,
            Lazy::Underway => {
                self.cycle(&self.draft.conditions[index], "condition");
                return None;
            }
            Lazy::Untouched => {}
        }
        self.conditions[index] = Lazy::Underway;
        let draft = self.draft;
        let program = self.expression(&draft.conditions[index].expression, None).map(|condition| condition.program);
        self.conditions[index] = program.clone().map_or(Lazy::Failed, Lazy::Done);
        program
    }

    fn cycle(&mut self, named: &NamedExpression, what: &str) {
        let message = format!("{what} `{}` reads itself", named.name.value);
        let problem = Problem::error("cycle", self.draft.file, named.name.span.clone(), message);
        self.problems.push(problem.help("follow the names in its expression: one of them leads back to it"));
    }

    /// Warns of what nothing reads; checks it all the same, without keeping the facts that only it reads.
    pub(super) fn check_unread(&mut self) {
        let draft = self.draft;
        let untouched = |list: &[NamedExpression], is_untouched: &dyn Fn(usize) -> bool| {
            (0..list.len()).filter(|&index| is_untouched(index)).collect::<Vec<usize>>()
        };
        let parameters = untouched(&draft.parameters, &|index| matches!(self.parameters[index], Lazy::Untouched));
        let facts = untouched(&draft.facts, &|index| matches!(self.facts[index], Lazy::Untouched));
        let conditions = untouched(&draft.conditions, &|index| matches!(self.conditions[index], Lazy::Untouched));
        let groups: Vec<usize> = (0..draft.groups.len())
            .filter(|&index| !self.groups_read.iter().any(|read| **read == *draft.groups[index].name.value))
            .collect();

        let kept = self.shared.clone();
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
        *self.shared = kept;

        let unread = (parameters.iter().map(|&index| ("parameter", &draft.parameters[index].name)))
            .chain(facts.iter().map(|&index| ("fact", &draft.facts[index].name)))
            .chain(conditions.iter().map(|&index| ("condition", &draft.conditions[index].name)))
            .chain(groups.iter().map(|&index| ("group", &draft.groups[index].name)));
        for (what, name) in unread {
            let message = format!("nothing reads the {what} `{}`", name.value);
            self.problems.push(Problem::warning("unused", draft.file, name.span.clone(), message).help("leave it out"));
        }
    }

    fn check_group(&mut self, name: &str) {
        // An unknown name cannot be here; what is wrong with a condition is noted on the way.
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

    fn named(&mut self, path: &str, span: &Range<usize>) -> Option<Found<Named>> {
        let draft = self.draft;
        if let Some(index) = Self::find(&draft.parameters, path) {
            return Some(self.parameter(index).map(Named::Constant).ok_or_else(Vec::new));
        }
        if let Some(index) = Self::find(&draft.conditions, path) {
            return Some(self.condition(index).map(Named::Expression).ok_or_else(Vec::new));
        }
        let Some(index) = Self::find(&draft.facts, path) else {
            return self.ledger_reading(path, span.clone()).map(|made| made.map(super::facts::Made::named));
        };
        Some(match self.fact(index) {
            Some(Fact::Value { slot, value_type }) => Ok(Named::Slot { slot, value_type, name: path.into() }),
            Some(Fact::Ledger) => {
                let message = format!("`{path}` is the order ledger and has no value of its own");
                let problem = ExpressionProblem::new("ledger-value", span.clone(), message);
                Err(vec![problem.help(format!("write `{path}.count`, `{path}.last` or another of its readings"))])
            }
            None => Err(Vec::new()),
        })
    }
}

impl Scope for ModelScope<'_> {
    fn name(&mut self, path: &str, span: Range<usize>) -> Option<Found<Named>> {
        let named = self.named(path, &span);
        if named.is_none() && self.shared.words.group(self.model, path).is_some() {
            let message = format!("`{path}` is a group of touchpoints and has no value");
            let problem = ExpressionProblem::new(codes::UNKNOWN_NAME, span, message);
            return Some(Err(vec![
                problem.help(format!("write `count({path})`, `last({path})` or another fact of it")),
            ]));
        }
        named
    }

    fn call(&mut self, function: &str, arguments: &[Argument<'_>], span: Range<usize>) -> Option<Found<Named>> {
        self.make_fact(function, arguments, span).map(|made| made.map(super::facts::Made::named))
    }

    fn suggestions(&self) -> Vec<String> {
        let lists = [&self.draft.parameters, &self.draft.conditions, &self.draft.facts];
        let names = lists.into_iter().flatten().map(|named| named.name.value.clone());
        names.chain(super::facts::suggestions(self.draft)).collect()
    }
}
