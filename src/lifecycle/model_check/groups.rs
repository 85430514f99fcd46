//! Groups as a model reads them: found by name, their conditions compiled over properties of the touchpoint.

use std::fmt::Write as _;
use std::ops::Range;

use super::scope::{Found, ModelScope};
use super::words::GroupWord;
use crate::lifecycle::condition::{Argument, Condition, ExpressionProblem, Named, Scope, codes, compile};
use crate::lifecycle::id::GroupIndex;
use crate::lifecycle::model_draft::ExpressionDraft;
use crate::lifecycle::problem::{Problem, closest};
use crate::lifecycle::value::{Slot, Type};

impl ModelScope<'_> {
    /// The group called `name`, where `span` names it.
    pub(super) fn group(&mut self, name: &str, span: &Range<usize>) -> Found<GroupIndex> {
        let Some(word) = self.shared.words.group(self.model, name) else {
            let message = format!("unknown touchpoint type or group `{name}`");
            let problem = ExpressionProblem::new(codes::UNKNOWN_NAME, span.clone(), message);
            let meant = closest(name, self.shared.words.names(self.model));
            let help = meant.map_or_else(
                || "declare a new type under `types`, a group under `touchpoints`".to_owned(),
                |meant| format!("did you mean `{meant}`?"),
            );
            return Err(vec![problem.help(help)]);
        };
        if word.model.is_some() && !self.groups_read.contains(&word.name) {
            self.groups_read.push(word.name.clone());
        }
        let mut canonical = self.shared.words.spell(&word.members);
        let condition = match &word.condition {
            None => None,
            Some(expression) => {
                let (condition, constants) = self.group_condition(&word, expression).ok_or_else(Vec::new)?;
                canonical = format!("{canonical} where {}{constants}", normal(&condition.text));
                Some(condition)
            }
        };
        self.shared.group(canonical, &word.name, &word.members, condition).ok_or_else(|| {
            vec![ExpressionProblem::new(codes::TOO_LARGE, span.clone(), "the models read more than 128 groups")]
        })
    }

    /// The condition of a group, and the parameters that it reads with their values. What is wrong is noted.
    pub(super) fn group_condition(
        &mut self,
        group: &GroupWord,
        expression: &ExpressionDraft,
    ) -> Option<(Condition, String)> {
        let mut scope = PropertyScope { outer: self, group, constants: String::new() };
        let compiled = compile(&expression.text, Some(Type::Bool), &mut scope);
        let constants = scope.constants;
        match compiled {
            Ok(_) if reads_now(&expression.text) => {
                let message = format!("the condition of group `{}` reads the time", group.name);
                let problem = Problem::error("time-in-group", group.file, expression.span.clone(), message);
                self.problems
                    .push(problem.help("compare `last(...)` of the group with `now` in a condition of the model"));
                None
            }
            Ok(condition) => Some((condition, constants)),
            Err(found) => {
                self.problems.expression(group.file, expression, found);
                None
            }
        }
    }
}

/// What names mean in the condition of a group: properties of the touchpoint, and parameters of the model.
struct PropertyScope<'s, 'a> {
    outer: &'s mut ModelScope<'a>,
    group: &'s GroupWord,
    /// The parameters that were read, with their values.
    constants: String,
}

impl Scope for PropertyScope<'_, '_> {
    fn name(&mut self, path: &str, span: Range<usize>) -> Option<Found<Named>> {
        if self.group.properties.contains(path) {
            let property = self.outer.shared.property(path);
            let too_many =
                || vec![ExpressionProblem::new(codes::TOO_LARGE, span, "the models read too many properties")];
            let named =
                property.map(|(index, value_type)| Named::Slot { slot: Slot(index.0), value_type, name: path.into() });
            return Some(named.ok_or_else(too_many));
        }
        // A group of the catalogue belongs to no model.
        self.group.model?;
        let index = ModelScope::find(&self.outer.draft.parameters, path)?;
        let constant = self.outer.parameter(index);
        if let Some(constant) = &constant {
            let _ = write!(self.constants, " {path}={}", super::facts::spell(constant));
        }
        Some(constant.map(Named::Constant).ok_or_else(Vec::new))
    }

    fn call(&mut self, _function: &str, _arguments: &[Argument<'_>], _span: Range<usize>) -> Option<Found<Named>> {
        None
    }

    fn suggestions(&self) -> Vec<String> {
        self.group.properties.iter().map(ToString::to_string).collect()
    }
}

/// `text` without the spaces that mean nothing, so that the same condition is the same text.
fn normal(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    let mut quote = None;
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut rest = text.trim().chars().peekable();
    while let Some(character) = rest.next() {
        match quote {
            None if character.is_whitespace() => {
                let joins_words = normal.ends_with(is_word) && rest.peek().copied().is_some_and(is_word);
                if joins_words {
                    normal.push(' ');
                }
                continue;
            }
            None if matches!(character, '"' | '\'') => quote = Some(character),
            Some(open) if character == open => quote = None,
            _ => {}
        }
        normal.push(character);
    }
    normal
}

/// Whether `text` reads the time: the word `now` outside of quotes.
fn reads_now(text: &str) -> bool {
    let mut quote = None;
    let outside: String = text
        .chars()
        .map(|character| {
            match quote {
                None if matches!(character, '"' | '\'') => quote = Some(character),
                Some(open) if character == open => quote = None,
                None => return character,
                Some(_) => {}
            }
            ' '
        })
        .collect();
    outside.split(|character: char| !(character.is_alphanumeric() || character == '_')).any(|word| word == "now")
}

#[cfg(test)]
mod tests {
    use super::{normal, reads_now};

    #[test]
    fn spaces_do_not_make_another_condition() {
        assert_eq!(normal("a  &&   b == \"x  y\""), normal("a&&b==\"x  y\""));
        assert_ne!(normal("a == \"x y\""), normal("a == \"xy\""));
        assert_eq!(normal("a  in [b ]"), "a in[b]");
    }

    #[test]
    fn only_the_word_itself_reads_the_time() {
        assert!(reads_now("score > 1 && now < x"));
        assert!(!reads_now("knows == 'now'"));
    }
}
