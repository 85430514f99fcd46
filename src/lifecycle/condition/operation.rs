//! The operations that a compiled expression performs. The parser and the type check produce them; the evaluator runs
//! them.

/// An arithmetic operator between two numbers, timestamps or durations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ArithmeticOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}

impl ArithmeticOperator {
    /// Returns the symbol.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

/// A built-in function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Function {
    /// Tests whether a value is present.
    Has,
    /// Multiplies an int by a unit in milliseconds and returns a duration (`days`, `hours`, ...).
    DurationOf(i64),
    /// Converts RFC 3339 text or seconds since 1970 to a timestamp.
    Timestamp,
    /// Counts the characters of a text.
    Size,
    StartsWith,
    EndsWith,
    Contains,
    Int,
    Double,
    Least,
    Greatest,
}
