//! Problems of an expression: where in its text, what is wrong, and what to write instead.

use std::ops::Range;

/// One problem in one expression. Its texts are lower-case and have no full stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpressionProblem {
    /// Stable identifier of the kind of problem, one of [`codes`].
    pub code: &'static str,
    /// Byte range of the expression's text that the report underlines.
    pub span: Range<usize>,
    /// What is wrong: ``unknown name `ordrs` ``.
    pub message: String,
    /// Text beside the underline, if it adds to the message; otherwise empty.
    pub label: String,
    /// What to write instead: ``did you mean `orders`?``.
    pub help: Option<String>,
}

impl ExpressionProblem {
    /// Returns a problem at `span` without a label or help.
    pub fn new(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { code, span, message: message.into(), label: String::new(), help: None }
    }

    /// Adds text beside the underline.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Identifiers of the kinds of problem in an expression. They are stable, so that tools can match on them.
pub mod codes {
    /// The text violates the grammar.
    pub const SYNTAX: &str = "syntax";
    /// A feature of CEL that conditions do not support.
    pub const UNSUPPORTED: &str = "unsupported";
    /// The expression exceeds a limit on length, nesting depth or size.
    pub const TOO_LARGE: &str = "too-large";
    /// An invalid literal, such as `duration("3 weeks")`.
    pub const BAD_LITERAL: &str = "bad-literal";
    /// A name that is not defined.
    pub const UNKNOWN_NAME: &str = "unknown-name";
    /// A function that does not exist.
    pub const UNKNOWN_FUNCTION: &str = "unknown-function";
    /// A call with the wrong number or kind of arguments.
    pub const BAD_ARGUMENTS: &str = "bad-arguments";
    /// An operand whose type does not fit the operator or the context.
    pub const TYPE_MISMATCH: &str = "type-mismatch";
    /// A use of `now` whose next change cannot be computed.
    pub const UNSOLVABLE_TIME: &str = "unsolvable-time";
    /// Constant arithmetic that overflows or divides by zero.
    pub const NO_RESULT: &str = "no-result";
    /// A comparison that always has the same result, because a fact has a limit.
    pub const BEYOND_LIMIT: &str = "beyond-limit";
    /// An expression that reads facts or the time where a constant is required.
    pub const NOT_CONSTANT: &str = "not-constant";
}
