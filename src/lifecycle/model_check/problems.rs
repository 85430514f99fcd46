//! Collects the problems of a check.

use std::collections::BTreeSet;

use crate::lifecycle::condition::{ExpressionProblem, is_reserved};
use crate::lifecycle::model_draft::{ExpressionDraft, Word};
use crate::lifecycle::problem::{Problem, Severity};

/// How long a name may be.
pub const NAME_BYTES_MAX: usize = 64;

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        // What several models share is looked at several times and found wrong as often.
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    /// Notes the problems of `expression`, which stands in `file`.
    pub(super) fn expression(&mut self, file: usize, expression: &ExpressionDraft, found: Vec<ExpressionProblem>) {
        for problem in found {
            let span = expression.place(&problem.span);
            let ExpressionProblem { code, message, label, help, .. } = problem;
            self.push(Problem { severity: Severity::Error, code, file, span, message, label, help });
        }
    }

    /// Whether any refuses the models.
    pub(super) fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }

    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    /// Notes it when `name` cannot stand in an expression.
    pub(super) fn check_identifier(&mut self, file: usize, name: &Word, what: &str) {
        let text = name.value.as_str();
        let starts_well = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let is_plain = starts_well && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        // `has` is a name to the parser, and a function to everybody who reads a model.
        let is_taken = is_reserved(text) || text == "has";
        if !is_plain || text.len() > NAME_BYTES_MAX || is_taken {
            let message = format!("`{text}` cannot be the name of {what}");
            let help = if is_taken {
                "the word means something else in conditions; take another one".to_owned()
            } else {
                format!("use at most {NAME_BYTES_MAX} letters, digits and `_`, beginning with a letter")
            };
            self.push(Problem::error("bad-name", file, name.span.clone(), message).help(help));
        }
    }

    /// Notes it when `name` cannot be published.
    pub(super) fn check_published(&mut self, file: usize, name: &Word, what: &str) {
        let text = name.value.as_str();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        let starts_well = text.starts_with(|first: char| first.is_ascii_alphabetic());
        if !is_plain || !starts_well || text.len() > NAME_BYTES_MAX {
            let message = format!("`{text}` cannot be the name of {what}");
            let help =
                format!("use at most {NAME_BYTES_MAX} letters, digits, `_`, `-` and `.`, beginning with a letter");
            self.push(Problem::error("bad-name", file, name.span.clone(), message).help(help));
        }
    }

    /// Notes every name of `names` that stands there a second time.
    pub(super) fn check_unique<'a>(&mut self, file: usize, names: impl IntoIterator<Item = &'a Word>, what: &str) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name.value.as_str()) {
                let message = format!("{what} `{}` stands twice", name.value);
                self.push(
                    Problem::error("duplicate-name", file, name.span.clone(), message)
                        .help("give one of them another name"),
                );
            }
        }
    }

    /// Notes it when there are more of `names` than `most`.
    pub(super) fn check_count<'a>(
        &mut self,
        file: usize,
        names: impl IntoIterator<Item = &'a Word>,
        most: usize,
        what: &str,
    ) {
        if let Some(name) = names.into_iter().nth(most) {
            let message = format!("more than {most} {what}");
            self.push(Problem::error("too-many", file, name.span.clone(), message).label("one too many"));
        }
    }
}
