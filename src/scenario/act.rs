//! What happens in a line of a scenario: a touchpoint, nothing, or a look at where a customer stands.

use crate::lifecycle::condition::nearest;
use crate::lifecycle::id::{ModelIndex, StageIndex};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::{Amount, Currency};
use crate::lifecycle::time::Timestamp;
use crate::wire::decimal::parse_amount;
use crate::wire::time::format_timestamp;

use super::moment::instant;
use super::names::{Kind, find, stage};
use super::words::{items, words};

/// A touchpoint in a few words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Given {
    type_name: Box<str>,
    event_id: Option<Box<str>>,
    /// Fields beside type, time and ids, as JSON: name and value.
    fields: Vec<(Box<str>, String)>,
}

impl Given {
    /// The touchpoint as a record. No text in it holds what JSON would have to escape.
    pub(super) fn record(&self, customer: &str, number: usize, occurred_at: Timestamp) -> String {
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

/// Reads a touchpoint: its type and `name=value`.
pub(super) fn given(words: &[&str], models: &ModelSet) -> Result<Given, String> {
    let [type_name, fields @ ..] = words else {
        return Err(
            "say what happens: a touchpoint such as `order_completed order_id=A amount=30`, or `nothing happens`"
                .into(),
        );
    };
    let mut given = Given { type_name: type_of(type_name, models)?.into(), event_id: None, fields: Vec::new() };
    for field in fields {
        let Some((name, value)) = field.split_once('=') else {
            return Err(format!(
                "`{field}` cannot stand here: write `name=value`, as in `amount=30`; what is expected stands behind `->`"
            ));
        };
        if name.is_empty() || !name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_') {
            return Err(format!("`{name}` is no name of a field: write letters, digits and `_`"));
        }
        if ["type", "occurred_at", "customer_id"].contains(&name) {
            return Err(format!("`{name}` is told by the line itself: leave it out"));
        }
        let (text, is_quoted) = unquoted(value)?;
        let value = match name {
            "event_id" => {
                given.event_id = Some(text.into());
                continue;
            }
            "order_id" => format!("\"{text}\""),
            "currency" if Currency::parse(text).is_some() => format!("\"{text}\""),
            "currency" => return Err(format!("`{text}` is no currency: write three capital letters, such as EUR")),
            "amount" if parse_amount(text).is_some() => format!("\"{text}\""),
            "amount" => return Err(format!("`{text}` is no amount: write a number such as 29.90")),
            _ if !is_quoted && (is_json_number(text) || text == "true" || text == "false") => text.to_owned(),
            _ => format!("\"{text}\""),
        };
        given.fields.push((name.into(), value));
    }
    Ok(given)
}

/// A type that the models know; one in quotes is taken as it is.
fn type_of<'a>(word: &'a str, models: &ModelSet) -> Result<&'a str, String> {
    let (name, is_quoted) = unquoted(word)?;
    let known = &models.vocabulary.types[1..];
    if is_quoted || known.iter().any(|known| **known == *name) {
        return Ok(name);
    }
    let hint = nearest(name, known.iter().map(AsRef::as_ref)).map_or_else(
        || format!("write one of the catalogue, or \"{name}\" for a type that nobody knows"),
        |like| format!("did you mean `{like}`?"),
    );
    Err(format!("there is no touchpoint type `{name}`: {hint}"))
}

fn unquoted(text: &str) -> Result<(&str, bool), String> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let value = inner.unwrap_or(text);
    if value.is_empty() || value.contains(|character: char| matches!(character, '"' | '\\') || character.is_control()) {
        return Err(format!(
            "`{text}` cannot be a value: write a word, or words in quotes without `\\` and quotes in them"
        ));
    }
    Ok((value, inner.is_some()))
}

/// Whether JSON takes `text` as a number.
fn is_json_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(whole) && is_digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

/// Something that must be so, whoever caused it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Look {
    Stage { model: ModelIndex, stage: Option<StageIndex> },
    Milestone { model: ModelIndex, index: usize, is_reached: bool },
    Signal { model: ModelIndex, index: usize, is_on: bool },
    Orders(u64),
    Revenue(Amount),
    WakeUp(Option<Timestamp>),
}

const LOOKS: &str = "write `stage NAME`, `no stage`, `2 orders`, `revenue 50`, `milestone NAME`, `no milestone NAME`, \
`signal NAME`, `no signal NAME`, `next wake-up 2026-01-31 10:00` or `no wake-up`";

/// Reads what must be so: items of a list.
pub(super) fn looks(text: &str, models: &ModelSet) -> Result<Vec<(Box<str>, Look)>, String> {
    items(text).into_iter().map(|item| Ok((item.into(), look(item, models)?))).collect()
}

fn look(item: &str, models: &ModelSet) -> Result<Look, String> {
    let words = words(item);
    let stage_of = |text: &str| -> Result<Look, String> {
        let (model, _, place) = find(models, Kind::Stage, text)?;
        Ok(Look::Stage { model, stage: u8::try_from(place).ok().map(StageIndex) })
    };
    Ok(match words[..] {
        ["no", "stage"] if models.models.len() == 1 => {
            Look::Stage { model: ModelIndex(0), stage: stage(&models.models[0], "no stage")? }
        }
        ["no", "stage", "in", name] => {
            let place = models.models.iter().position(|model| *model.name == *name);
            let model = place.and_then(|place| u8::try_from(place).ok()).map(ModelIndex);
            Look::Stage { model: model.ok_or_else(|| format!("no model here is called `{name}`"))?, stage: None }
        }
        ["no", "stage"] => return Err("say in which model: `no stage in NAME`".to_owned()),
        ["stage", name] => stage_of(name)?,
        ["milestone", name] | ["no", "milestone", name] => {
            let (model, _, index) = find(models, Kind::Milestone, name)?;
            Look::Milestone { model, index, is_reached: words.len() == 2 }
        }
        ["signal", name] | ["no", "signal", name] => {
            let (model, _, index) = find(models, Kind::Signal, name)?;
            Look::Signal { model, index, is_on: words.len() == 2 }
        }
        ["no", "orders"] => Look::Orders(0),
        [count, "order" | "orders"] => Look::Orders(count.parse().map_err(|_| LOOKS.to_owned())?),
        ["revenue", amount] => Look::Revenue(parse_amount(amount).ok_or_else(|| LOOKS.to_owned())?),
        ["no", "wake-up"] => Look::WakeUp(None),
        ["next", "wake-up", ref rest @ ..] if !rest.is_empty() => Look::WakeUp(Some(instant(rest)?.0)),
        _ => return Err(format!("`{item}` is nothing that can be looked at: {LOOKS}")),
    })
}
