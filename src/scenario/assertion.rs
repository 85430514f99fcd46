//! Parses the assertions of a scenario line that starts with `now` or `in the end`: `stage loyal`, `2 orders`, `no
//! wake-up`. `run` compares them with the customer.

use crate::lifecycle::id::{ModelIndex, StageIndex};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Amount;
use crate::lifecycle::time::Timestamp;
use crate::wire::decimal::parse_amount;

use super::names::{NameKind, parse_stage, resolve};
use super::step_time::parse_instant;
use super::words::{items, words};

/// A property that a customer must have at this point of the scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Assertion {
    Stage { model: ModelIndex, stage: Option<StageIndex> },
    Milestone { model: ModelIndex, index: usize, is_reached: bool },
    Signal { model: ModelIndex, index: usize, is_on: bool },
    Orders(u64),
    Revenue(Amount),
    WakeUp(Option<Timestamp>),
}

const ASSERTION_HELP: &str = "write `stage NAME`, `no stage`, `2 orders`, `revenue 50`, `milestone NAME`, `no milestone NAME`, \
`signal NAME`, `no signal NAME`, `next wake-up 2026-01-31 10:00` or `no wake-up`";

/// Parses a comma-separated list of assertions, each with its text.
pub(super) fn parse_assertions(text: &str, models: &ModelSet) -> Result<Vec<(Box<str>, Assertion)>, String> {
    items(text).into_iter().map(|item| Ok((item.into(), parse_assertion(item, models)?))).collect()
}

fn parse_assertion(item: &str, models: &ModelSet) -> Result<Assertion, String> {
    let words = words(item);
    let stage_of = |text: &str| -> Result<Assertion, String> {
        let (model, _, index) = resolve(models, NameKind::Stage, text)?;
        Ok(Assertion::Stage { model, stage: u8::try_from(index).ok().map(StageIndex) })
    };
    Ok(match words[..] {
        ["no", "stage"] if models.models.len() == 1 => {
            Assertion::Stage { model: ModelIndex(0), stage: parse_stage(&models.models[0], "no stage")? }
        }
        ["no", "stage", "in", name] => {
            let index = models.models.iter().position(|model| *model.name == *name);
            let model = index.and_then(|index| u8::try_from(index).ok()).map(ModelIndex);
            Assertion::Stage { model: model.ok_or_else(|| format!("this file has no model `{name}`"))?, stage: None }
        }
        ["no", "stage"] => return Err("several models are used: write `no stage in NAME`".to_owned()),
        ["stage", name] => stage_of(name)?,
        ["milestone", name] | ["no", "milestone", name] => {
            let (model, _, index) = resolve(models, NameKind::Milestone, name)?;
            Assertion::Milestone { model, index, is_reached: words.len() == 2 }
        }
        ["signal", name] | ["no", "signal", name] => {
            let (model, _, index) = resolve(models, NameKind::Signal, name)?;
            Assertion::Signal { model, index, is_on: words.len() == 2 }
        }
        ["no", "orders"] => Assertion::Orders(0),
        [count, "order" | "orders"] => Assertion::Orders(count.parse().map_err(|_| ASSERTION_HELP.to_owned())?),
        ["revenue", amount] => Assertion::Revenue(parse_amount(amount).ok_or_else(|| ASSERTION_HELP.to_owned())?),
        ["no", "wake-up"] => Assertion::WakeUp(None),
        ["next", "wake-up", ref rest @ ..] if !rest.is_empty() => Assertion::WakeUp(Some(parse_instant(rest)?.0)),
        _ => return Err(format!("`{item}` is not an assertion: {ASSERTION_HELP}")),
    })
}
