//! Constants: literals, parameters and folded parts of an expression.

use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::value::{Type, Value};

/// A value known at compile time.
#[derive(Clone, PartialEq, Debug)]
pub enum Constant {
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    String(Box<str>),
    /// An instant with millisecond precision.
    Timestamp(Timestamp),
    /// A duration with millisecond precision.
    Duration(Duration),
}

impl Constant {
    /// Returns the type of the value.
    #[must_use]
    pub fn value_type(&self) -> Type {
        match self {
            Self::Int(_) => Type::Int,
            Self::Double(_) => Type::Double,
            Self::Bool(_) => Type::Bool,
            Self::String(_) => Type::String,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
        }
    }

    /// Borrows the value.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Int(number) => Value::Int(*number),
            Self::Double(number) => Value::Double(*number),
            Self::Bool(truth) => Value::Bool(*truth),
            Self::String(text) => Value::String(text),
            Self::Timestamp(instant) => Value::Timestamp(*instant),
            Self::Duration(duration) => Value::Duration(*duration),
        }
    }

    /// Converts a value into a constant; `None` if the value is absent.
    #[must_use]
    pub fn of(value: Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Absent => return None,
            Value::Int(number) => Self::Int(number),
            Value::Double(number) => Self::Double(number),
            Value::Bool(truth) => Self::Bool(truth),
            Value::String(text) => Self::String(text.into()),
            Value::Timestamp(instant) => Self::Timestamp(instant),
            Value::Duration(duration) => Self::Duration(duration),
        })
    }
}
