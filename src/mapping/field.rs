//! The fields of a touchpoint of a mapping, and the checks of their values. Pure.

use serde_json::{Map, Value};

use super::error::EvaluationError;
use crate::lifecycle::money::{Amount, Currency};
use crate::lifecycle::time::Timestamp;
use crate::partition::DeadLetterReason;
use crate::wire::decimal::parse_amount;
use crate::wire::time::parse_timestamp;

/// A field of a touchpoint, as an index of [`FIELDS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    Touchpoint,
    EventId,
    CustomerId,
    AnonymousId,
    MergedId,
    OccurredAt,
    OrderId,
    Amount,
    Currency,
    Properties,
}

/// The keys of a touchpoint in a mapping file.
pub(super) const FIELDS: [(Field, &str); 10] = [
    (Field::Touchpoint, "touchpoint"),
    (Field::EventId, "event_id"),
    (Field::CustomerId, "customer_id"),
    (Field::AnonymousId, "anonymous_id"),
    (Field::MergedId, "merged_id"),
    (Field::OccurredAt, "occurred_at"),
    (Field::OrderId, "order_id"),
    (Field::Amount, "amount"),
    (Field::Currency, "currency"),
    (Field::Properties, "properties"),
];

impl Field {
    /// Returns the key in a mapping file.
    pub(super) fn name(self) -> &'static str {
        FIELDS[self as usize].1
    }
}

/// Why a field of a touchpoint is invalid.
pub(super) enum FieldProblem {
    /// Its expression has no value.
    Evaluation(Field, EvaluationError),
    /// Its value is not valid.
    Value(Field, DeadLetterReason, String),
}

/// The value of a field before it is checked.
pub(super) struct Rendered {
    pub(super) field: Field,
    pub(super) value: Value,
}

impl Rendered {
    fn invalid(&self, reason: DeadLetterReason, what: impl Into<String>) -> FieldProblem {
        FieldProblem::Value(self.field, reason, what.into())
    }

    /// Reads an id or a name: a text, or a whole number as its digits.
    pub(super) fn text(mut self, bytes_max: usize) -> Result<Option<String>, FieldProblem> {
        let text = match std::mem::take(&mut self.value) {
            Value::Null => return Ok(None),
            Value::String(text) => text,
            Value::Number(number) if !number.is_f64() && self.field != Field::Touchpoint => number.to_string(),
            _ => return Err(self.invalid(DeadLetterReason::BadField, "expected a text or a whole number")),
        };
        if text.len() > bytes_max {
            return Err(self.invalid(DeadLetterReason::BadField, format!("longer than {bytes_max} bytes")));
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    pub(super) fn missing(&self) -> FieldProblem {
        let is_customer = self.field == Field::CustomerId;
        let reason = if is_customer { DeadLetterReason::NoCustomer } else { DeadLetterReason::MissingField };
        self.invalid(reason, "missing or empty")
    }

    pub(super) fn required_text(self, bytes_max: usize) -> Result<String, FieldProblem> {
        let empty = Self { field: self.field, value: Value::Null };
        self.text(bytes_max)?.ok_or_else(|| empty.missing())
    }

    pub(super) fn time(self) -> Result<Timestamp, FieldProblem> {
        match &self.value {
            Value::String(text) if !text.is_empty() => {
                parse_timestamp(text).map_err(|error| self.invalid(DeadLetterReason::BadField, error.to_string()))
            }
            Value::Null | Value::String(_) => Err(self.missing()),
            _ => Err(self.invalid(
                DeadLetterReason::BadField,
                "expected a time in RFC 3339; epoch_seconds(...) or epoch_millis(...) convert a number",
            )),
        }
    }

    pub(super) fn amount(self) -> Result<Option<Amount>, FieldProblem> {
        let parsed = match &self.value {
            Value::Null => return Ok(None),
            Value::String(text) if text.is_empty() => return Ok(None),
            Value::String(text) => parse_amount(text),
            Value::Number(number) => parse_amount(&number.to_string()),
            _ => None,
        };
        let expected = "expected a number or a text such as 39.90, from -10^12 to 10^12";
        parsed.map(Some).ok_or_else(|| self.invalid(DeadLetterReason::BadField, expected))
    }

    pub(super) fn currency(self) -> Result<Option<Currency>, FieldProblem> {
        let parsed = match &self.value {
            Value::Null => return Ok(None),
            Value::String(code) if code.is_empty() => return Ok(None),
            Value::String(code) => Currency::parse(code).or_else(|| Currency::parse(&code.to_ascii_uppercase())),
            _ => None,
        };
        let expected = "expected three letters, such as EUR";
        parsed.map(Some).ok_or_else(|| self.invalid(DeadLetterReason::BadField, expected))
    }

    pub(super) fn properties(self) -> Result<Map<String, Value>, FieldProblem> {
        match self.value {
            Value::Null => Ok(Map::new()),
            Value::Object(mut members) => {
                members.retain(|_, value| !value.is_null());
                Ok(members)
            }
            _ => Err(self.invalid(DeadLetterReason::BadField, "expected an object")),
        }
    }
}
