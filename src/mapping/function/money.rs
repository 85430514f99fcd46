//! Amounts of money as exact decimals, written as text.
//!
//! Every result is the shortest decimal text of an [`Amount`]: `49.99`. Calculations never use floating-point numbers;
//! a number of the record is read by its digits.

use serde_json::Value;

use super::super::datum::Datum;
use super::super::error::EvaluationError;
use super::super::evaluate::expected;
use super::take;
use super::text::{plain_text, text_argument};
use crate::lifecycle::money::{Amount, Currency};
use crate::wire::decimal::parse_amount;

type Evaluated<'a> = Result<Datum<'a>, EvaluationError>;

/// Currencies without minor units in ISO 4217.
const WITHOUT_DECIMALS: [&str; 17] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF",
    "XPF",
];
/// Currencies with three decimals in ISO 4217.
const THREE_DECIMALS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// Reads an amount; `None` if it is missing or an empty text.
fn amount(value: Datum<'_>) -> Result<Option<Amount>, EvaluationError> {
    if matches!(value, Datum::Bool(_) | Datum::Borrowed(_) | Datum::Owned(_)) {
        return Err(expected("a decimal number", &value));
    }
    let Some(text) = plain_text(value)? else { return Ok(None) };
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    parse_amount(text)
        .map(Some)
        .ok_or_else(|| EvaluationError::new("expected a decimal number from -10^12 to 10^12, found another text"))
}

/// Writes an amount that is within the range of touchpoints.
fn written(amount: Amount) -> Evaluated<'static> {
    if amount.magnitude() > Amount::MAX {
        return Err(EvaluationError::new("the amount is outside of -10^12 to 10^12"));
    }
    Ok(Datum::text(amount.to_string()))
}

fn with_amount<'a>(values: &mut [Datum<'a>], change: impl FnOnce(Amount) -> Amount) -> Evaluated<'a> {
    amount(take(values, 0))?.map_or(Ok(Datum::Null), |amount| written(change(amount)))
}

fn with_two<'a>(values: &mut [Datum<'a>], change: impl FnOnce(Amount, Amount) -> Option<Amount>) -> Evaluated<'a> {
    let (Some(one), Some(other)) = (amount(take(values, 0))?, amount(take(values, 1))?) else {
        return Ok(Datum::Null);
    };
    written(change(one, other).ok_or_else(|| EvaluationError::new("the amount has more than six decimals"))?)
}

pub(super) fn decimal<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    with_amount(values, |amount| amount)
}

pub(super) fn negate<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    with_amount(values, |amount| Amount::default().minus(amount))
}

pub(super) fn abs<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    with_amount(values, Amount::magnitude)
}

pub(super) fn add<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    with_two(values, |one, other| Some(one.plus(other)))
}

pub(super) fn subtract<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    with_two(values, |one, other| Some(one.minus(other)))
}

pub(super) fn multiply<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    with_two(values, |one, other| {
        let product = one.as_micros().checked_mul(other.as_micros())?;
        (product % Amount::MICROS == 0).then(|| Amount::from_micros(product / Amount::MICROS))
    })
}

pub(super) fn sum<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let list = take(values, 0);
    if list.is_null() {
        return Ok(Datum::Null);
    }
    let Some(items) = list.as_list() else { return Err(expected("a list", &list)) };
    let total = items.iter().try_fold(Amount::default(), |total, item: &Value| {
        Ok(total.plus(amount(Datum::of(item))?.unwrap_or_default()))
    })?;
    written(total)
}

pub(super) fn minor_units<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let currency = text_argument(values, 1)?;
    let Some(units) = amount(take(values, 0))? else { return Ok(Datum::Null) };
    let currency = currency.ok_or_else(|| EvaluationError::new("the currency of the minor units is missing"))?;
    let code = Currency::parse(&currency.to_ascii_uppercase())
        .ok_or_else(|| EvaluationError::new("expected a currency of three letters, such as EUR"))?;
    if units.as_micros() % Amount::MICROS != 0 {
        return Err(EvaluationError::new("expected a whole number of minor units, found a fraction"));
    }
    let divisor = if WITHOUT_DECIMALS.contains(&code.as_str()) {
        1
    } else if THREE_DECIMALS.contains(&code.as_str()) {
        1_000
    } else {
        100
    };
    written(Amount::from_micros(units.as_micros() / divisor))
}
