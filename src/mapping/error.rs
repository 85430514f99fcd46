//! Why an expression has no value for a record.

use std::fmt;

/// The reason why an expression could not be evaluated over a record. Names paths and kinds of values, never contents,
/// which are customer data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EvaluationError {
    /// The path of the value that caused it, as written in the expression: `record.properties.total`. Empty if the
    /// value was computed.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
}

impl EvaluationError {
    /// Creates an error of a computed value.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }

    /// Sets the path, unless a value further inside has set it.
    pub(super) fn at(mut self, path: &str) -> Self {
        if self.path.is_empty() {
            path.clone_into(&mut self.path);
        }
        self
    }
}

impl fmt::Display for EvaluationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for EvaluationError {}
