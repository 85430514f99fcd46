//! Collects the problems of a model check, and checks names, duplicates and counts.

use std::collections::BTreeSet;

use crate::lifecycle::condition::{ExpressionProblem, is_reserved};
use crate::lifecycle::model_draft::{ExpressionDraft, SpannedString};
use crate::lifecycle::problem::{Problem, Severity};

/// Maximum length of a name in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        // Definitions that several models share are checked once per model.
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    /// Reports the problems of `expression` in `file`.
    pub(super) fn expression(&mut self, file: usize, expression: &ExpressionDraft, found: Vec<ExpressionProblem>) {
        for problem in found {
            let span = expression.source_span(&problem.span);
            let ExpressionProblem { code, message, label, help, .. } = problem;
            self.push(Problem { severity: Severity::Error, code, file, span, message, label, help });
        }
    }

    /// Whether any problem is an error, so that the models are rejected.
    pub(super) fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }

    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    /// Reports `name` if it cannot be used as a name in expressions.
    pub(super) fn check_identifier(&mut self, file: usize, name: &SpannedString, what: &str) {
        let text = name.value.as_str();
        let has_valid_start = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let has_valid_characters =
            has_valid_start && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        // The parser accepts `has` as a name, but readers of a model would take it for the function.
        let is_reserved_word = is_reserved(text) || text == "has";
        if !has_valid_characters || text.len() > NAME_BYTES_MAX || is_reserved_word {
            let message = format!("`{text}` cannot be the name of {what}");
            let help = if is_reserved_word {
                "the word is reserved in conditions; choose another name".to_owned()
            } else {
                format!("use at maximum {NAME_BYTES_MAX} letters, digits and `_`, starting with a letter")
            };
            self.push(Problem::error("bad-name", file, name.span.clone(), message).help(help));
        }
    }

    /// Reports `name` if it cannot be published.
    pub(super) fn check_published(&mut self, file: usize, name: &SpannedString, what: &str) {
        let text = name.value.as_str();
        let has_valid_characters = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        let has_valid_start = text.starts_with(|first: char| first.is_ascii_alphabetic());
        if !has_valid_characters || !has_valid_start || text.len() > NAME_BYTES_MAX {
            let message = format!("`{text}` cannot be the name of {what}");
            let help =
                format!("use at maximum {NAME_BYTES_MAX} letters, digits, `_`, `-` and `.`, starting with a letter");
            self.push(Problem::error("bad-name", file, name.span.clone(), message).help(help));
        }
    }

    /// Reports every repeated name.
    pub(super) fn check_unique<'a>(
        &mut self,
        file: usize,
        names: impl IntoIterator<Item = &'a SpannedString>,
        what: &str,
    ) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name.value.as_str()) {
                let message = format!("{what} `{}` is defined twice", name.value);
                self.push(
                    Problem::error("duplicate-name", file, name.span.clone(), message).help("rename one of them"),
                );
            }
        }
    }

    /// Reports the first name beyond `most`.
    pub(super) fn check_count<'a>(
        &mut self,
        file: usize,
        names: impl IntoIterator<Item = &'a SpannedString>,
        maximum: usize,
        what: &str,
    ) {
        if let Some(name) = names.into_iter().nth(maximum) {
            let message = format!("more than {maximum} {what}");
            self.push(Problem::error("too-many", file, name.span.clone(), message).label("exceeds the limit"));
        }
    }
}
