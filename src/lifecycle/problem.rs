//! Problems in model files: location, message and help text.

use std::ops::Range;

use crate::lifecycle::suggest;

/// A problem in a file. Texts are in lower case, without a full stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Whether the model can still be used.
    pub severity: Severity,
    /// A stable code of the kind of problem: `unknown-name`, `type-mismatch`.
    pub code: &'static str,
    /// The index of the file among those checked together; `usize::MAX` if the problem is not in a file.
    pub file: usize,
    /// The byte range in that file that the report underlines.
    pub span: Range<usize>,
    /// The message: ``unknown fact `ordrs` ``.
    pub message: String,
    /// The text next to the underlined range; may be empty.
    pub label: String,
    /// What to write instead: ``did you mean `orders`?``.
    pub help: Option<String>,
}

/// The severity of a problem.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The model is rejected.
    Error,
    /// The model is valid, but probably not what its author intended.
    Warning,
}

impl Problem {
    /// Creates an error, without a label or help.
    pub fn error(code: &'static str, file: usize, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, file, span, message: message.into(), label: String::new(), help: None }
    }

    /// Creates a warning, without a label or help.
    pub fn warning(code: &'static str, file: usize, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, file, span, message) }
    }

    /// Sets the label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Sets the help text.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the help text to a suggestion: the name in `known` that is most similar to `word`, or else `otherwise`.
    #[must_use]
    pub fn did_you_mean<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>, otherwise: &str) -> Self {
        match suggest::did_you_mean(word, known) {
            Some(question) => self.help(question),
            None if otherwise.is_empty() => self,
            None => self.help(otherwise),
        }
    }
}
