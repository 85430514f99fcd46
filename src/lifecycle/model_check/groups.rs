//! Resolves the groups that a model reads, and compiles their conditions over the properties of a touchpoint.

use std::fmt::Write as _;
use std::ops::Range;

use super::declarations::ResolvedGroup;
use super::scope::{Checked, ModelScope};
use crate::lifecycle::condition::{Argument, Binding, Condition, ExpressionProblem, Scope, codes, compile};
use crate::lifecycle::id::GroupIndex;
use crate::lifecycle::model_draft::ExpressionDraft;
use crate::lifecycle::problem::Problem;
use crate::lifecycle::suggest::did_you_mean;
use crate::lifecycle::value::{Slot, Type};

impl ModelScope<'_> {
    /// Returns the index of the group `name`, referenced at `span`.
    pub(super) fn group(&mut self, name: &str, span: &Range<usize>) -> Checked<GroupIndex> {
        let Some(group) = self.shared.declarations.group(self.model, name) else {
            let message = format!("unknown touchpoint type or group `{name}`");
            let problem = ExpressionProblem::new(codes::UNKNOWN_NAME, span.clone(), message);
            let help = did_you_mean(name, self.shared.declarations.names(self.model))
                .unwrap_or_else(|| "declare a new type under `types`, a group under `touchpoints`".to_owned());
            return Err(vec![problem.help(help)]);
        };
        if group.model.is_some() && !self.referenced_groups.contains(&group.name) {
            self.referenced_groups.push(group.name.clone());
        }
        let mut canonical = self.shared.declarations.canonical_members(&group.members);
        let condition = match &group.condition {
            None => None,
            Some(expression) => {
                let (condition, constants) = self.group_condition(&group, expression).ok_or_else(Vec::new)?;
                canonical = format!("{canonical} where {}{constants}", normalize_spaces(&condition.text));
                Some(condition)
            }
        };
        self.shared.group(canonical, &group.name, &group.members, condition).ok_or_else(|| {
            vec![ExpressionProblem::new(codes::TOO_LARGE, span.clone(), "the models read more than 128 groups")]
        })
    }

    /// Compiles the condition of a group. Returns it with the values of the parameters that it reads, as text. Problems
    /// are reported.
    pub(super) fn group_condition(
        &mut self,
        group: &ResolvedGroup,
        expression: &ExpressionDraft,
    ) -> Option<(Condition, String)> {
        let mut scope = PropertyScope { outer: self, group, constants: String::new() };
        let compiled = compile(&expression.text, Some(Type::Bool), &mut scope);
        let constants = scope.constants;
        match compiled {
            Ok(_) if reads_now(&expression.text) => {
                let message = format!("the condition of group `{}` uses `now`", group.name);
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

/// The scope of a group condition: properties of the touchpoint and parameters of the model.
struct PropertyScope<'s, 'a> {
    outer: &'s mut ModelScope<'a>,
    group: &'s ResolvedGroup,
    /// The parameters read so far with their values, as text.
    constants: String,
}

impl Scope for PropertyScope<'_, '_> {
    fn name(&mut self, path: &str, span: Range<usize>) -> Option<Checked<Binding>> {
        if self.group.properties.contains(path) {
            let property = self.outer.shared.property(path);
            let too_many =
                || vec![ExpressionProblem::new(codes::TOO_LARGE, span, "the models read too many properties")];
            let named = property.map(|(index, value_type)| Binding::Slot {
                slot: Slot(index.0),
                value_type,
                name: path.into(),
            });
            return Some(named.ok_or_else(too_many));
        }
        // Groups of the catalogue are shared by all models and cannot read the parameters of one.
        self.group.model?;
        let index = ModelScope::find(&self.outer.draft.parameters, path)?;
        let constant = self.outer.parameter(index);
        if let Some(constant) = &constant {
            let _ = write!(self.constants, " {path}={}", super::facts::constant_text(constant));
        }
        Some(constant.map(Binding::Constant).ok_or_else(Vec::new))
    }

    fn call(&mut self, _function: &str, _arguments: &[Argument<'_>], _span: Range<usize>) -> Option<Checked<Binding>> {
        None
    }

    fn suggestions(&self) -> Vec<String> {
        self.group.properties.iter().map(ToString::to_string).collect()
    }
}

/// Removes insignificant spaces, so that the same condition always has the same text.
fn normalize_spaces(text: &str) -> String {
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

/// Whether `text` contains the word `now` outside quotes.
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
    use super::{normalize_spaces, reads_now};

    #[test]
    fn spaces_do_not_change_the_identity_of_a_condition() {
        assert_eq!(normalize_spaces("a  &&   b == \"x  y\""), normalize_spaces("a&&b==\"x  y\""));
        assert_ne!(normalize_spaces("a == \"x y\""), normalize_spaces("a == \"xy\""));
        assert_eq!(normalize_spaces("a  in [b ]"), "a in[b]");
    }

    #[test]
    fn only_the_unquoted_word_now_reads_the_time() {
        assert!(reads_now("score > 1 && now < x"));
        assert!(!reads_now("knows == 'now'"));
    }
}
