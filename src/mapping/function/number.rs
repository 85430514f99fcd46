//! Conversions to numbers and truth values.

use super::super::datum::Datum;
use super::super::error::EvaluationError;
use super::super::evaluate::expected;
use super::take;

type Evaluated<'a> = Result<Datum<'a>, EvaluationError>;

pub(super) fn number<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    match take(values, 0) {
        value @ (Datum::Null | Datum::Int(_) | Datum::Double(_)) => Ok(value),
        Datum::Absent => Ok(Datum::Null),
        Datum::Text(text) => match text.trim() {
            "" => Ok(Datum::Null),
            trimmed => parse(trimmed).ok_or_else(|| EvaluationError::new("expected a number, found another text")),
        },
        other => Err(expected("a number", &other)),
    }
}

fn parse(text: &str) -> Option<Datum<'static>> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Datum::Int(whole.into()));
    }
    // Rust also reads `inf` and `nan`, which are not numbers of JSON.
    let is_decimal = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
    text.parse::<f64>().ok().filter(|number| is_decimal && number.is_finite()).map(Datum::Double)
}

pub(super) fn int<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    match number(values)? {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number below 2^63, which a double represents exactly"
        )]
        Datum::Double(number) if number.fract() == 0.0 && number.abs() < 9.2e18 => Ok(Datum::Int(number as i128)),
        Datum::Double(_) => Err(EvaluationError::new("expected a whole number, found a number with a fraction")),
        whole => Ok(whole),
    }
}

pub(super) fn truth<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    match take(values, 0) {
        value @ (Datum::Null | Datum::Bool(_)) => Ok(value),
        Datum::Absent => Ok(Datum::Null),
        Datum::Int(0) => Ok(Datum::Bool(false)),
        Datum::Int(1) => Ok(Datum::Bool(true)),
        Datum::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "" => Ok(Datum::Null),
            "true" | "1" | "yes" => Ok(Datum::Bool(true)),
            "false" | "0" | "no" => Ok(Datum::Bool(false)),
            _ => Err(EvaluationError::new("expected true or false, found another text")),
        },
        other => Err(expected("true or false", &other)),
    }
}
