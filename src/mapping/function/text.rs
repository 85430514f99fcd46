//! Functions of texts.

use std::borrow::Cow;

use serde_json::Value;

use super::super::datum::Datum;
use super::super::error::EvaluationError;
use super::super::evaluate::{LOOP_ITEMS_MAX, TEXT_BYTES_MAX, expected, too_long};
use super::take;

type Evaluated<'a> = Result<Datum<'a>, EvaluationError>;

/// Maximum depth of JSON within a text.
const JSON_DEPTH_MAX: usize = 32;

/// Takes an argument that must be a text; `None` if it is missing.
pub(super) fn text_argument<'a>(values: &mut [Datum<'a>], at: usize) -> Result<Option<Cow<'a, str>>, EvaluationError> {
    match take(values, at) {
        Datum::Text(text) => Ok(Some(text)),
        Datum::Null | Datum::Absent => Ok(None),
        other => Err(expected("a text", &other)),
    }
}

/// Returns the text of a plain value: a text as it is, a number in digits, `true` or `false`; `None` if it is missing.
pub(in crate::mapping) fn plain_text(value: Datum<'_>) -> Result<Option<Cow<'_, str>>, EvaluationError> {
    Ok(match value {
        Datum::Null | Datum::Absent => None,
        Datum::Text(text) => Some(text),
        Datum::Bool(truth) => Some(if truth { "true" } else { "false" }.into()),
        Datum::Int(number) => Some(number.to_string().into()),
        // As JSON writes it: the shortest digits that are read back as the same number.
        Datum::Double(_) => Some(value.into_value()?.to_string().into()),
        other => return Err(expected("a text, a number, true or false", &other)),
    })
}

/// Applies `change` to the text of the first argument.
fn with_text<'a>(values: &mut [Datum<'a>], change: impl FnOnce(Cow<'a, str>) -> Datum<'a>) -> Evaluated<'a> {
    Ok(text_argument(values, 0)?.map_or(Datum::Null, change))
}

/// Applies `change` to the texts of the first two arguments.
fn with_two<'a>(values: &mut [Datum<'a>], change: impl FnOnce(&str, &str) -> Datum<'a>) -> Evaluated<'a> {
    let (one, other) = (text_argument(values, 0)?, text_argument(values, 1)?);
    Ok(match (one, other) {
        (Some(one), Some(other)) => change(&one, &other),
        _ => Datum::Null,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of all functions")]
pub(super) fn not_empty<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let value = take(values, 0);
    let is_empty = match &value {
        Datum::Text(text) => text.trim().is_empty(),
        other => {
            other.as_list().is_some_and(<[Value]>::is_empty) || other.as_object().is_some_and(serde_json::Map::is_empty)
        }
    };
    Ok(if is_empty { Datum::Null } else { value })
}

/// Returns the first argument, or an error with the second one as the remedy.
pub(super) fn require<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let value = take(values, 0);
    if !value.is_null() {
        return Ok(value);
    }
    let remedy = text_argument(values, 1)?.unwrap_or_default();
    Err(EvaluationError::new(format!("missing; {remedy}")))
}

pub(super) fn string<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    Ok(plain_text(take(values, 0))?.map_or(Datum::Null, Datum::Text))
}

pub(super) fn lower<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    with_text(values, |text| Datum::text(text.to_lowercase()))
}

pub(super) fn upper<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    // Currency codes and the like are mostly upper case already.
    with_text(values, |text| {
        if text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            Datum::Text(text)
        } else {
            Datum::text(text.to_uppercase())
        }
    })
}

pub(super) fn trim<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    with_text(values, |text| match text {
        Cow::Borrowed(text) => Datum::text(text.trim()),
        Cow::Owned(text) => Datum::text(text.trim().to_owned()),
    })
}

/// Writes a name in lower case with underscores: `Article Read`, `articleRead` and `article-read` are `article_read`.
pub(super) fn snake_case<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    with_text(values, |text| {
        if text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            Datum::Text(text)
        } else {
            Datum::text(snake_case_of(&text))
        }
    })
}

pub(in crate::mapping) fn snake_case_of(text: &str) -> String {
    let mut name = String::with_capacity(text.len() + 4);
    let mut previous = ' ';
    for character in text.chars() {
        if character.is_alphanumeric() {
            let begins_word = !previous.is_alphanumeric() || character.is_uppercase() && previous.is_lowercase();
            if begins_word && !name.is_empty() {
                name.push('_');
            }
            name.extend(character.to_lowercase());
        }
        previous = character;
    }
    name
}

pub(super) fn contains<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    Ok(null_is_false(with_two(values, |text, part| Datum::Bool(text.contains(part)))?))
}

pub(super) fn starts_with<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    Ok(null_is_false(with_two(values, |text, part| Datum::Bool(text.starts_with(part)))?))
}

pub(super) fn ends_with<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    Ok(null_is_false(with_two(values, |text, part| Datum::Bool(text.ends_with(part)))?))
}

/// As a comparison, a test of a missing text is false.
fn null_is_false(value: Datum<'_>) -> Datum<'_> {
    if value.is_null() { Datum::Bool(false) } else { value }
}

/// Returns the text without the prefix, if it starts with it.
pub(super) fn remove_prefix<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    with_two(values, |text, prefix| Datum::text(text.strip_prefix(prefix).unwrap_or(text).to_owned()))
}

pub(super) fn replace<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let (text, from, to) = (text_argument(values, 0)?, text_argument(values, 1)?, text_argument(values, 2)?);
    let (Some(text), Some(from), Some(to)) = (text, from, to) else { return Ok(Datum::Null) };
    if from.is_empty() {
        return Err(EvaluationError::new("the text to replace is empty"));
    }
    let growth = to.len().saturating_sub(from.len());
    if text.len() + text.matches(&*from).count() * growth > TEXT_BYTES_MAX {
        return Err(too_long());
    }
    Ok(Datum::text(text.replace(&*from, &to)))
}

pub(super) fn split<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let (text, separator) = (text_argument(values, 0)?, text_argument(values, 1)?);
    let (Some(text), Some(separator)) = (text, separator) else { return Ok(Datum::Null) };
    if separator.is_empty() {
        return Err(EvaluationError::new("the separator is empty"));
    }
    let parts: Vec<Value> = text.split(&*separator).take(LOOP_ITEMS_MAX + 1).map(Value::from).collect();
    if parts.len() > LOOP_ITEMS_MAX {
        return Err(EvaluationError::new(format!("the text has more than {LOOP_ITEMS_MAX} parts")));
    }
    Ok(Datum::Owned(Value::Array(parts)))
}

pub(super) fn join<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let list = take(values, 0);
    let separator = text_argument(values, 1)?;
    if list.is_null() {
        return Ok(Datum::Null);
    }
    let Some(items) = list.as_list() else { return Err(expected("a list", &list)) };
    let separator = separator.unwrap_or_default();
    let mut joined = String::new();
    let mut is_first = true;
    for item in items {
        let Some(text) = plain_text(Datum::of(item))? else { continue };
        if !std::mem::take(&mut is_first) {
            joined.push_str(&separator);
        }
        joined.push_str(&text);
        if joined.len() > TEXT_BYTES_MAX {
            return Err(too_long());
        }
    }
    Ok(Datum::text(joined))
}

pub(super) fn substring<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let Some(text) = text_argument(values, 0)? else { return Ok(Datum::Null) };
    let mut position = |at: usize, otherwise: usize| match values.get_mut(at) {
        None => Ok(otherwise),
        Some(Datum::Int(number)) => {
            usize::try_from(*number).map_err(|_| EvaluationError::new("a position is negative"))
        }
        Some(other) => Err(expected("a whole number as the position", other)),
    };
    let (start, end) = (position(1, 0)?, position(2, usize::MAX)?);
    Ok(Datum::text(text.chars().skip(start).take(end.saturating_sub(start)).collect::<String>()))
}

pub(super) fn json<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let Some(text) = text_argument(values, 0)? else { return Ok(Datum::Null) };
    if depth(&text) > JSON_DEPTH_MAX {
        return Err(EvaluationError::new(format!("the JSON nests deeper than {JSON_DEPTH_MAX} levels")));
    }
    serde_json::from_str(&text).map(Datum::of_owned).map_err(|_| EvaluationError::new("the text is not valid JSON"))
}

/// Returns an upper bound of the depth of a JSON text.
fn depth(text: &str) -> usize {
    let mut depth = 0_usize;
    text.bytes().fold(0, |deepest, byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest.max(depth)
    })
}

pub(super) fn to_json<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let text = take(values, 0).into_value()?.to_string();
    if text.len() > TEXT_BYTES_MAX { Err(too_long()) } else { Ok(Datum::text(text)) }
}
