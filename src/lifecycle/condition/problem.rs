//! What is wrong with an expression: where in its text, what, and what to write instead.

use std::ops::Range;

/// One problem in one expression. Text is lower-case without a full stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpressionProblem {
    /// A stable short name for the kind of problem, one of [`codes`].
    pub code: &'static str,
    /// Bytes of the expression's text which the arrow points at.
    pub span: Range<usize>,
    /// What is wrong: ``unknown name `ordrs` ``.
    pub message: String,
    /// What the arrow says, if more than the message.
    pub label: String,
    /// What to write instead: ``did you mean `orders`?``.
    pub help: Option<String>,
}

impl ExpressionProblem {
    /// A problem at `span`, without a label or help.
    pub fn new(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { code, span, message: message.into(), label: String::new(), help: None }
    }

    /// The same problem, with words beside the arrow.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same problem, with what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The kinds of problem in an expression; stable, so that tools may match on them.
pub mod codes {
    /// The text does not follow the grammar.
    pub const SYNTAX: &str = "syntax";
    /// A part of CEL that conditions do not have.
    pub const UNSUPPORTED: &str = "unsupported";
    /// The text is longer, deeper or larger than the limits.
    pub const TOO_LARGE: &str = "too-large";
    /// A literal that does not mean anything, such as `duration("3 weeks")`.
    pub const BAD_LITERAL: &str = "bad-literal";
    /// A name that nothing bears.
    pub const UNKNOWN_NAME: &str = "unknown-name";
    /// A function that does not exist.
    pub const UNKNOWN_FUNCTION: &str = "unknown-function";
    /// A function called with too many, too few or wrong arguments.
    pub const BAD_ARGUMENTS: &str = "bad-arguments";
    /// An operator or a place that wants another type.
    pub const TYPE_MISMATCH: &str = "type-mismatch";
    /// A use of `now` whose next change cannot be computed.
    pub const UNSOLVABLE_TIME: &str = "unsolvable-time";
    /// Arithmetic on constants that has no result.
    pub const NO_RESULT: &str = "no-result";
    /// A constant is wanted, and the expression reads facts or the time.
    pub const NOT_CONSTANT: &str = "not-constant";
}
