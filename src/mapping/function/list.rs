//! Functions of lists.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::Value;

use super::super::datum::Datum;
use super::super::error::EvaluationError;
use super::super::evaluate::{expected, item};
use super::take;
use super::text::text_argument;

type Evaluated<'a> = Result<Datum<'a>, EvaluationError>;

pub(super) fn size<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let value = take(values, 0);
    let size = match &value {
        Datum::Null | Datum::Absent => 0,
        Datum::Text(text) => text.chars().count(),
        other => match (other.as_list(), other.as_object()) {
            (Some(items), _) => items.len(),
            (_, Some(members)) => members.len(),
            _ => return Err(expected("a text, a list or an object", other)),
        },
    };
    Ok(Datum::Int(i128::try_from(size).expect("a size in memory")))
}

pub(super) fn index<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let (list, position) = (take(values, 0), take(values, 1));
    item(list, &position)
}

pub(super) fn first<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    item(take(values, 0), &Datum::Int(0))
}

pub(super) fn last<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    item(take(values, 0), &Datum::Int(-1))
}

/// Returns the member of an object with this name in any case, as HTTP compares names of headers.
pub(super) fn header<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let headers = take(values, 0);
    let Some(name) = text_argument(values, 1)? else { return Ok(Datum::Null) };
    let Some(members) = headers.as_object() else {
        return if headers.is_null() { Ok(Datum::Null) } else { Err(expected("an object", &headers)) };
    };
    let found = members.iter().find(|(member, _)| member.eq_ignore_ascii_case(&name));
    Ok(found.map_or(Datum::Null, |(_, value)| Datum::of_owned(value.clone())))
}

/// Returns how often each text is in a list: `["2 x a", "1 x b"]`, the most frequent first, equally frequent ones in
/// the order of their texts.
pub(super) fn tally<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let list = take(values, 0);
    let Some(items) = list.as_list() else {
        return if list.is_null() { Ok(Datum::Null) } else { Err(expected("a list", &list)) };
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for item in items {
        let text = item.as_str().ok_or_else(|| expected("a list of texts", &Datum::of(item)))?;
        *counts.entry(text).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| Reverse(count));
    let lines = counts.iter().map(|(text, count)| Value::String(format!("{count} x {text}")));
    Ok(Datum::Owned(Value::Array(lines.collect())))
}

/// The members of a parameter of the GA4 export in which its value may be, one of them set.
const PARAM_VALUES: [&str; 4] = ["string_value", "int_value", "double_value", "float_value"];

/// Returns the value of the item with the member `key` equal to the second argument: its member `value`, or what is
/// set within that, as in the GA4 export. The name of the member may also be `name`, as in lists of Shopify.
pub(super) fn param<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let list = take(values, 0);
    let Some(key) = text_argument(values, 1)? else { return Ok(Datum::Null) };
    let found = match &list {
        Datum::Null | Datum::Absent => return Ok(Datum::Null),
        Datum::Borrowed(Value::Array(items)) => find(items, &key).map(Datum::of),
        Datum::Owned(Value::Array(items)) => find(items, &key).cloned().map(Datum::of_owned),
        other => return Err(expected("a list", other)),
    };
    Ok(found.unwrap_or(Datum::Null))
}

fn find<'v>(items: &'v [Value], key: &str) -> Option<&'v Value> {
    let named = |item: &&Value| {
        let name = item.get("key").or_else(|| item.get("name"));
        name.and_then(Value::as_str) == Some(key)
    };
    let value = items.iter().find(named)?.get("value")?;
    match value {
        Value::Object(members) => {
            PARAM_VALUES.iter().find_map(|name| members.get(*name).filter(|value| !value.is_null()))
        }
        value => Some(value),
    }
}
