//! What is wrong with a model file: where, what, and what to write instead.

use std::ops::Range;

/// One problem in one file. Text is lower-case without a full stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Whether the model can be used all the same.
    pub severity: Severity,
    /// A stable short name for the kind of problem: `unknown-name`, `type-mismatch`.
    pub code: &'static str,
    /// Which of the files that were checked together, by index.
    pub file: usize,
    /// Bytes of that file which the arrow points at.
    pub span: Range<usize>,
    /// What is wrong: `unknown fact \`ordrs\``.
    pub message: String,
    /// What the arrow says, if more than the message.
    pub label: String,
    /// What to write instead: `did you mean \`orders\`?`.
    pub help: Option<String>,
}

/// How bad a problem is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The model is refused.
    Error,
    /// The model works, though hardly as its author meant.
    Warning,
}
