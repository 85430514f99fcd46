//! Operators and functions on values: absent stays absent, and so does what has no result (overflow, division by zero).

use super::relation::Relation;
use super::syntax::ArithmeticSign;
use super::term::Function;
use crate::lifecycle::rfc3339::parse_timestamp;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::value::Value;

/// Whether `left` stands in `relation` to `right`; false when either is absent.
pub(super) fn compare(relation: Relation, left: Value<'_>, right: Value<'_>) -> bool {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => relation.holds(left.cmp(&right)),
        (Value::Double(left), Value::Double(right)) => relation.holds_partly(left.partial_cmp(&right)),
        // The int becomes a double, which loses digits past 2^53: CEL's conformance suite has it so.
        (Value::Int(left), Value::Double(right)) => relation.holds_partly(to_double(left).partial_cmp(&right)),
        (Value::Double(left), Value::Int(right)) => relation.holds_partly(left.partial_cmp(&to_double(right))),
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

/// The nearest double.
#[expect(clippy::cast_precision_loss, reason = "what a conversion to double means")]
pub(super) fn to_double(number: i64) -> f64 {
    number as f64
}

/// The number of a whole number, or the milliseconds of a time.
#[inline]
pub(super) fn whole(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(number),
        Value::Timestamp(instant) => Some(instant.as_millis()),
        Value::Duration(length) => Some(length.as_millis()),
        _ => None,
    }
}

fn double(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Int(number) => Some(to_double(number)),
        Value::Double(number) => Some(number),
        _ => None,
    }
}

/// `left sign right`.
pub(super) fn apply<'a>(sign: ArithmeticSign, left: Value<'a>, right: Value<'a>) -> Value<'a> {
    use ArithmeticSign::{Add, Divide, Multiply, Remainder, Subtract};
    use Value::{Absent, Double, Int};
    let length = |millis: Option<i64>| millis.map_or(Absent, |millis| Value::Duration(Duration::from_millis(millis)));
    let instant =
        |millis: Option<i64>| millis.map_or(Absent, |millis| Value::Timestamp(Timestamp::from_millis(millis)));
    match (left, right) {
        (Int(left), Int(right)) => match sign {
            Add => left.checked_add(right),
            Subtract => left.checked_sub(right),
            Multiply => left.checked_mul(right),
            Divide => left.checked_div(right),
            Remainder => left.checked_rem(right),
        }
        .map_or(Absent, Int),
        (Value::Timestamp(left), Value::Timestamp(right)) if sign == Subtract => {
            length(left.as_millis().checked_sub(right.as_millis()))
        }
        (Value::Timestamp(left), Value::Duration(right)) => match sign {
            Add => instant(left.as_millis().checked_add(right.as_millis())),
            Subtract => instant(left.as_millis().checked_sub(right.as_millis())),
            _ => Absent,
        },
        (Value::Duration(left), Value::Timestamp(right)) if sign == Add => {
            instant(left.as_millis().checked_add(right.as_millis()))
        }
        (Value::Duration(left), Value::Duration(right)) => match sign {
            Add => length(left.as_millis().checked_add(right.as_millis())),
            Subtract => length(left.as_millis().checked_sub(right.as_millis())),
            _ => Absent,
        },
        (Value::Duration(times), Int(factor)) | (Int(factor), Value::Duration(times)) if sign == Multiply => {
            length(times.as_millis().checked_mul(factor))
        }
        _ => match (double(left), double(right)) {
            (Some(left), Some(right)) => match sign {
                Add => Double(left + right),
                Subtract => Double(left - right),
                Multiply => Double(left * right),
                // An average over nothing is not infinite.
                Divide if right != 0.0 => Double(left / right),
                _ => Absent,
            },
            _ => Absent,
        },
    }
}

/// `-value`.
pub(super) fn negate(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Int(number) => number.checked_neg().map_or(Value::Absent, Value::Int),
        Value::Double(number) => Value::Double(-number),
        Value::Duration(length) => {
            let millis = length.as_millis().checked_neg();
            millis.map_or(Value::Absent, |millis| Value::Duration(Duration::from_millis(millis)))
        }
        _ => Value::Absent,
    }
}

/// A function of one value.
pub(super) fn call(function: Function, value: Value<'_>) -> Value<'_> {
    let call = |function: fn(Value<'_>) -> Option<Value<'_>>| function(value).unwrap_or(Value::Absent);
    match function {
        Function::Has => Value::Bool(value != Value::Absent),
        Function::Length(millis) => match value {
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
                // Neither bound is inside, as in CEL.
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

/// A function of two values.
pub(super) fn call_two<'a>(function: Function, first: Value<'a>, second: Value<'a>) -> Value<'a> {
    let (Value::String(text), Value::String(part)) = (first, second) else { return Value::Bool(false) };
    Value::Bool(match function {
        Function::StartsWith => text.starts_with(part),
        Function::EndsWith => text.ends_with(part),
        _ => text.contains(part),
    })
}
