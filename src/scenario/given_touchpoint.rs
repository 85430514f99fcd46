//! Parses the touchpoint of a scenario line, such as `order_completed order_id=A amount=30`, into a JSON record.
//!
//! Checks names and the format of values, so that an error message can quote the word. The touchpoint decoder checks
//! the rest.

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::suggest::did_you_mean;
use crate::lifecycle::time::Timestamp;
use crate::wire::decimal::parse_amount;
use crate::wire::time::format_timestamp;

/// A touchpoint as a scenario line writes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct GivenTouchpoint {
    type_name: Box<str>,
    event_id: Option<Box<str>>,
    /// The other fields: name, and value as JSON.
    fields: Vec<(Box<str>, String)>,
}

impl GivenTouchpoint {
    /// Returns the touchpoint as a JSON record. The parser rejects every character that JSON would have to escape.
    pub(super) fn to_record(&self, customer: &str, number: usize, occurred_at: Timestamp) -> String {
        let event_id = self.event_id.as_deref().map_or_else(|| format!("touchpoint-{number}"), str::to_owned);
        let mut record = format!(
            r#"{{"event_id":"{event_id}","customer_id":"{customer}","type":"{}","occurred_at":"{}""#,
            self.type_name,
            format_timestamp(occurred_at)
        );
        for (name, value) in &self.fields {
            for part in [",\"", &**name, "\":", &**value] {
                record.push_str(part);
            }
        }
        record + "}"
    }
}

/// Parses a touchpoint: its type, then `name=value` for each field.
pub(super) fn parse_touchpoint(words: &[&str], models: &ModelSet) -> Result<GivenTouchpoint, String> {
    let [type_name, fields @ ..] = words else {
        return Err(
            "missing touchpoint: write one such as `order_completed order_id=A amount=30`, or `nothing happens`".into(),
        );
    };
    let mut given =
        GivenTouchpoint { type_name: parse_type(type_name, models)?.into(), event_id: None, fields: Vec::new() };
    for field in fields {
        let Some((name, value)) = field.split_once('=') else {
            return Err(format!(
                "unexpected `{field}`: write `name=value`, as in `amount=30`; expectations come after `->`"
            ));
        };
        if name.is_empty() || !name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_') {
            return Err(format!("`{name}` is not a field name: use letters, digits and `_`"));
        }
        if ["type", "occurred_at", "customer_id"].contains(&name) {
            return Err(format!("`{name}` is set by the line itself: remove it"));
        }
        let (text, is_quoted) = unquoted(value)?;
        let value = match name {
            "event_id" => {
                given.event_id = Some(text.into());
                continue;
            }
            "order_id" => format!("\"{text}\""),
            "currency" if Currency::parse(text).is_some() => format!("\"{text}\""),
            "currency" => return Err(format!("`{text}` is not a currency: write three capital letters, such as EUR")),
            "amount" if parse_amount(text).is_some() => format!("\"{text}\""),
            "amount" => return Err(format!("`{text}` is not an amount: write a number such as 29.90")),
            _ if !is_quoted && (is_json_number(text) || text == "true" || text == "false") => text.to_owned(),
            _ => format!("\"{text}\""),
        };
        given.fields.push((name.into(), value));
    }
    Ok(given)
}

/// Returns the touchpoint type. It must be in the catalogue unless it is quoted.
fn parse_type<'a>(word: &'a str, models: &ModelSet) -> Result<&'a str, String> {
    let (name, is_quoted) = unquoted(word)?;
    let known = &models.vocabulary.types[1..];
    if is_quoted || known.iter().any(|known| **known == *name) {
        return Ok(name);
    }
    let hint = did_you_mean(name, known.iter().map(AsRef::as_ref))
        .unwrap_or_else(|| format!("write a type of the catalogue, or \"{name}\" for a type outside the catalogue"));
    Err(format!("there is no touchpoint type `{name}`: {hint}"))
}

fn unquoted(text: &str) -> Result<(&str, bool), String> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let value = inner.unwrap_or(text);
    if value.is_empty() || value.contains(|character: char| matches!(character, '"' | '\\') || character.is_control()) {
        return Err(format!("`{text}` is not a valid value: write a word, or quoted words without `\\` and quotes"));
    }
    Ok((value, inner.is_some()))
}

/// Whether `text` is a JSON number without an exponent.
fn is_json_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(whole) && is_digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}
