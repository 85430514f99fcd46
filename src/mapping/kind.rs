//! The kinds of values, as far as they are known before a record is read. A path can have any kind.

use serde_json::Value;

/// The kind of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Unknown until the record is read.
    Any,
    Bool,
    /// A whole number or one with a fraction.
    Number,
    Text,
    List,
    Object,
}

impl Kind {
    /// Returns the kind of a value that is the same for every record.
    pub(super) const fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Any,
            Value::Bool(_) => Self::Bool,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Object,
        }
    }

    /// Whether a value of this kind may be used where `expected` is required.
    pub(super) fn fits(self, expected: Self) -> bool {
        self == Self::Any || expected == Self::Any || self == expected
    }

    /// Returns the kind with its article: "a text".
    pub(super) const fn with_article(self) -> &'static str {
        match self {
            Self::Any => "any value",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}
