//! A value during an evaluation: borrowed from the record as far as possible.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::error::EvaluationError;

/// A value during an evaluation.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Datum<'a> {
    /// The result of `omit_null`: the member of a template is left out. Behaves like null otherwise.
    Absent,
    Null,
    Bool(bool),
    /// Every whole number of JSON; wider than both i64 and u64.
    Int(i128),
    Double(f64),
    Text(Cow<'a, str>),
    /// An array or an object of a root or of a constant.
    Borrowed(&'a Value),
    /// A computed array or object.
    Owned(Value),
}

impl<'a> Datum<'a> {
    /// Borrows `value`.
    #[inline]
    pub(super) fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Number(number) => Self::of_number(number),
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(_) | Value::Object(_) => Self::Borrowed(value),
        }
    }

    /// Borrows the value again.
    #[inline]
    pub(super) fn borrowed(&'a self) -> Self {
        match self {
            Self::Text(text) => Self::Text(Cow::Borrowed(text)),
            Self::Owned(value) => Self::Borrowed(value),
            other => other.clone(),
        }
    }

    /// Takes a computed value.
    pub(super) fn of_owned(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Bool(truth),
            Value::Number(number) => Self::of_number(&number),
            Value::String(text) => Self::Text(Cow::Owned(text)),
            Value::Array(_) | Value::Object(_) => Self::Owned(value),
        }
    }

    fn of_number(number: &Number) -> Self {
        match number.as_i128() {
            Some(whole) => Self::Int(whole),
            None => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
        }
    }

    /// Creates a text.
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// Converts to JSON.
    ///
    /// # Errors
    /// If a number is outside of JSON's range here: 64 bits, finite.
    pub(super) fn into_value(self) -> Result<Value, EvaluationError> {
        Ok(match self {
            Self::Absent | Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(truth),
            Self::Int(number) => Value::Number(
                Number::from_i128(number).ok_or_else(|| EvaluationError::new("the number exceeds 64 bits"))?,
            ),
            Self::Double(number) => {
                Value::Number(Number::from_f64(number).ok_or_else(|| EvaluationError::new("the number is not finite"))?)
            }
            Self::Text(text) => Value::String(text.into_owned()),
            Self::Borrowed(value) => value.clone(),
            Self::Owned(value) => value,
        })
    }

    /// Whether the value is missing.
    pub(super) const fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::Absent)
    }

    /// Returns the JSON of an array or object.
    fn tree(&self) -> Option<&Value> {
        match self {
            Self::Borrowed(value) => Some(value),
            Self::Owned(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the items, if the value is a list.
    pub(super) fn as_list(&self) -> Option<&[Value]> {
        self.tree().and_then(Value::as_array).map(Vec::as_slice)
    }

    /// Returns the members, if the value is an object.
    pub(super) fn as_object(&self) -> Option<&Map<String, Value>> {
        self.tree().and_then(Value::as_object)
    }

    /// Returns the kind of value with its article, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Absent | Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Double(_) => "a number with a fraction",
            Self::Text(_) => "a text",
            Self::Borrowed(value) => describe_tree(value),
            Self::Owned(value) => describe_tree(value),
        }
    }

    /// Returns the truth of a value in a condition; null counts as false.
    ///
    /// # Errors
    /// If the value is neither true, false nor null.
    pub(super) fn truth(&self) -> Result<bool, EvaluationError> {
        match self {
            Self::Bool(truth) => Ok(*truth),
            Self::Null | Self::Absent => Ok(false),
            other => Err(EvaluationError::new(format!("expected true or false, found {}", other.describe()))),
        }
    }

    /// Whether the values are equal. Numbers are compared by value; values of different kinds differ.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (one, other) if one.is_null() || other.is_null() => one.is_null() && other.is_null(),
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::Int(_) | Self::Double(_), Self::Int(_) | Self::Double(_)) => {
                self.as_double().partial_cmp(&other.as_double()) == Some(Ordering::Equal)
            }
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            _ => match (self.tree(), other.tree()) {
                (Some(one), Some(other)) => one == other,
                _ => false,
            },
        }
    }

    /// Returns a number as a double.
    pub(super) fn as_double(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "the caller asks for a double")]
            Self::Int(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }
}

fn describe_tree(value: &Value) -> &'static str {
    if value.is_array() { "a list" } else { "an object" }
}
