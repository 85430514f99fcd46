//! Operators and functions on values. An operation on an absent value, or one without a result (overflow, division by
//! zero), returns the absent value; nothing here panics.

use super::operation::{ArithmeticOperator, Function};
use super::relation::Relation;
use crate::lifecycle::rfc3339::parse_timestamp;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::value::Value;

/// Evaluates `left relation right`; false if either value is absent.
pub(super) fn compare(relation: Relation, left: Value<'_>, right: Value<'_>) -> bool {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => relation.holds(left.cmp(&right)),
        (Value::Double(left), Value::Double(right)) => relation.holds_partial(left.partial_cmp(&right)),
        // Converting the int to a double loses precision above 2^53. CEL's conformance suite requires this.
        (Value::Int(left), Value::Double(right)) => relation.holds_partial(to_double(left).partial_cmp(&right)),
        (Value::Double(left), Value::Int(right)) => relation.holds_partial(left.partial_cmp(&to_double(right))),
        (Value::String(left), Value::String(right)) => relation.holds(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => relation.holds(left.cmp(&right)),
        (Value::Timestamp(left), Value::Timestamp(right)) => relation.holds(left.cmp(&right)),
        (Value::Duration(left), Value::Duration(right)) => relation.holds(left.cmp(&right)),
        _ => false,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the caller has checked the range")]
fn to_int(whole: f64) -> i64 {
    whole as i64
}

/// Returns the nearest double.
#[expect(clippy::cast_precision_loss, reason = "the conversion rounds to the nearest double by definition")]
pub(super) fn to_double(number: i64) -> f64 {
    number as f64
}

fn double(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Int(number) => Some(to_double(number)),
        Value::Double(number) => Some(number),
        _ => None,
    }
}

/// Evaluates `left operator right`.
pub(super) fn apply<'a>(operator: ArithmeticOperator, left: Value<'a>, right: Value<'a>) -> Value<'a> {
    use ArithmeticOperator::{Add, Divide, Multiply, Remainder, Subtract};
    use Value::{Absent, Double, Int};
    let duration = |millis: Option<i64>| millis.map_or(Absent, |millis| Value::Duration(Duration::from_millis(millis)));
    let instant =
        |millis: Option<i64>| millis.map_or(Absent, |millis| Value::Timestamp(Timestamp::from_millis(millis)));
    match (left, right) {
        (Int(left), Int(right)) => match operator {
            Add => left.checked_add(right),
            Subtract => left.checked_sub(right),
            Multiply => left.checked_mul(right),
            Divide => left.checked_div(right),
            Remainder => left.checked_rem(right),
        }
        .map_or(Absent, Int),
        (Value::Timestamp(left), Value::Timestamp(right)) if operator == Subtract => {
            duration(left.as_millis().checked_sub(right.as_millis()))
        }
        (Value::Timestamp(left), Value::Duration(right)) => match operator {
            Add => instant(left.as_millis().checked_add(right.as_millis())),
            Subtract => instant(left.as_millis().checked_sub(right.as_millis())),
            _ => Absent,
        },
        (Value::Duration(left), Value::Timestamp(right)) if operator == Add => {
            instant(left.as_millis().checked_add(right.as_millis()))
        }
        (Value::Duration(left), Value::Duration(right)) => match operator {
            Add => duration(left.as_millis().checked_add(right.as_millis())),
            Subtract => duration(left.as_millis().checked_sub(right.as_millis())),
            _ => Absent,
        },
        (Value::Duration(times), Int(factor)) | (Int(factor), Value::Duration(times)) if operator == Multiply => {
            duration(times.as_millis().checked_mul(factor))
        }
        _ => match (double(left), double(right)) {
            (Some(left), Some(right)) => match operator {
                Add => Double(left + right),
                Subtract => Double(left - right),
                Multiply => Double(left * right),
                // Unlike CEL: an average over zero orders is absent, not infinite.
                Divide if right != 0.0 => Double(left / right),
                _ => Absent,
            },
            _ => Absent,
        },
    }
}

/// Evaluates `-value`.
pub(super) fn negate(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Int(number) => number.checked_neg().map_or(Value::Absent, Value::Int),
        Value::Double(number) => Value::Double(-number),
        Value::Duration(duration) => {
            let millis = duration.as_millis().checked_neg();
            millis.map_or(Value::Absent, |millis| Value::Duration(Duration::from_millis(millis)))
        }
        _ => Value::Absent,
    }
}

/// Evaluates a function of one argument.
pub(super) fn call(function: Function, value: Value<'_>) -> Value<'_> {
    let call = |function: fn(Value<'_>) -> Option<Value<'_>>| function(value).unwrap_or(Value::Absent);
    match function {
        Function::Has => Value::Bool(value != Value::Absent),
        Function::DurationOf(millis) => match value {
            Value::Int(count) => {
                count.checked_mul(millis).map_or(Value::Absent, |millis| Value::Duration(Duration::from_millis(millis)))
            }
            _ => Value::Absent,
        },
        Function::Timestamp => call(|value| match value {
            Value::Timestamp(_) => Some(value),
            Value::String(text) => parse_timestamp(text).ok().map(Value::Timestamp),
            Value::Int(seconds) => {
                let instant = Timestamp::from_millis(seconds.checked_mul(1000)?);
                (Timestamp::MIN <= instant && instant <= Timestamp::MAX).then_some(Value::Timestamp(instant))
            }
            _ => None,
        }),
        Function::Size => call(|value| match value {
            Value::String(text) => i64::try_from(text.chars().count()).ok().map(Value::Int),
            _ => None,
        }),
        Function::Int => call(|value| match value {
            Value::Int(_) => Some(value),
            Value::Double(number) => {
                // Both bounds are excluded, as in CEL.
                let is_inside = number.abs() < 9_223_372_036_854_775_808.0;
                is_inside.then(|| Value::Int(to_int(number)))
            }
            Value::String(text) => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                let is_plain = digits.starts_with(|digit: char| digit.is_ascii_digit());
                is_plain.then(|| text.parse().ok()).flatten().map(Value::Int)
            }
            Value::Timestamp(instant) => Some(Value::Int(instant.as_millis().div_euclid(1000))),
            _ => None,
        }),
        Function::Double => call(|value| match value {
            Value::String(text) => text.parse().ok().map(Value::Double),
            _ => double(value).map(Value::Double),
        }),
        Function::StartsWith | Function::EndsWith | Function::Contains | Function::Least | Function::Greatest => {
            Value::Absent
        }
    }
}

/// Evaluates a function of two strings; false if either is absent.
pub(super) fn call_two<'a>(function: Function, first: Value<'a>, second: Value<'a>) -> Value<'a> {
    let (Value::String(text), Value::String(part)) = (first, second) else { return Value::Bool(false) };
    Value::Bool(match function {
        Function::StartsWith => text.starts_with(part),
        Function::EndsWith => text.ends_with(part),
        _ => text.contains(part),
    })
}
