//! Parses the expectations after `->` in a scenario line, and compares them with transitions.
//!
//! The syntax is `name (stage, forward, skips a and b) at 2026-01-31 10:00`. Everything after the name is optional, and
//! only what is written is checked.

use crate::lifecycle::id::{ModelIndex, StageIndex};
use crate::lifecycle::model::{Direction, Model};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::{Change, Transition};

use super::names::{NameKind, parse_stage, resolve};
use super::step_time::parse_instant;
use super::words::{items, words};

const DIRECTIONS: [Direction; 4] = [Direction::Forward, Direction::Backward, Direction::Exit, Direction::Reentry];

/// One expected transition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Expectation {
    /// The text in the file.
    pub(super) text: Box<str>,
    pub(super) customer: Box<str>,
    pub(super) model: ModelIndex,
    pub(super) name: Box<str>,
    pub(super) change: ExpectedChange,
    pub(super) at: Option<Timestamp>,
}

/// The expected change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ExpectedChange {
    Stage(ExpectedMove),
    Signal { on: bool },
    Milestone,
    Counter { count: i64 },
}

/// The expected properties of a move; those that are `None` are not checked.
#[expect(clippy::option_option, reason = "unchecked, no stage and a stage are three cases")]
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ExpectedMove {
    from: Option<Option<StageIndex>>,
    to: Option<Option<StageIndex>>,
    direction: Option<Direction>,
    skipped: Option<Vec<StageIndex>>,
    is_late: bool,
}

impl Expectation {
    /// Whether `transition` meets the expectation.
    pub(super) fn is_met_by(&self, transition: &Transition) -> bool {
        let is_same = *self.customer == *transition.customer_id
            && self.model == transition.model
            && *self.name == *transition.name
            && self.at.is_none_or(|at| at == transition.occurred_at);
        is_same
            && match (&self.change, &transition.change) {
                (ExpectedChange::Stage(expected), Change::Stage { from, to, skipped, direction, .. }) => {
                    expected.from.is_none_or(|expected| expected == *from)
                        && expected.to.is_none_or(|expected| expected == *to)
                        && expected.direction.is_none_or(|expected| expected == *direction)
                        && expected.skipped.as_ref().is_none_or(|expected| expected == skipped)
                        && (!expected.is_late || transition.late)
                }
                (ExpectedChange::Signal { on: expected }, Change::Signal { on }) => expected == on,
                (ExpectedChange::Milestone, Change::Milestone) => true,
                (ExpectedChange::Counter { count: expected }, Change::Counter { count }) => expected == count,
                _ => false,
            }
    }
}

/// Parses the list after `->`. `customer` is the default customer.
pub(super) fn parse_expectations(text: &str, customer: &str, models: &ModelSet) -> Result<Vec<Expectation>, String> {
    let text = text.trim();
    if text == "nothing" {
        return Ok(Vec::new());
    }
    items(text).into_iter().map(|item| parse_expectation(item, customer, models)).collect()
}

fn parse_expectation(item: &str, customer: &str, models: &ModelSet) -> Result<Expectation, String> {
    if item.is_empty() {
        return Err("an expectation is missing after `->` or next to a comma: write `nothing` to expect nothing".into());
    }
    let (customer, rest) = match item.split_once(':') {
        Some((name, rest)) if !name.contains(|character: char| character.is_whitespace() || character == '(') => {
            (name, rest.trim())
        }
        _ => (customer, item),
    };
    let (head, detail, tail) = split_brackets(rest)?;
    let at = match words(tail)[..] {
        [] => None,
        ["at", ref rest @ ..] => match parse_instant(rest)? {
            (at, count) if count == rest.len() => Some(at),
            _ => return Err(format!("write one instant after `at`, not `{}`", rest.join(" "))),
        },
        _ => {
            return Err(format!(
                "unexpected `{}`: write `at` and an instant, or a comma before the next expectation",
                tail.trim()
            ));
        }
    };
    let (model, name, change) = match words(head)[..] {
        [name] => {
            let (model, name, _) = resolve(models, NameKind::Move, name)?;
            let expected = detail.map(|detail| parse_move(detail, models.model(model))).transpose()?;
            (model, name, ExpectedChange::Stage(expected.unwrap_or_default()))
        }
        _ if detail.is_some() => return Err("only a move can have brackets: `became_loyal (loyalty)`".to_owned()),
        ["milestone", name] => {
            let (model, name, _) = resolve(models, NameKind::Milestone, name)?;
            (model, name, ExpectedChange::Milestone)
        }
        ["counter", name, count] => {
            let (model, name, _) = resolve(models, NameKind::Counter, name)?;
            let count = count.parse().map_err(|_| format!("`{count}` is not a number: write `counter {name} 2`"))?;
            (model, name, ExpectedChange::Counter { count })
        }
        ["counter", name] => return Err(format!("write the number: `counter {name} 2`")),
        ["signal", name, on @ ("started" | "stopped")] => {
            let (model, name, _) = resolve(models, NameKind::Signal, name)?;
            (model, name, ExpectedChange::Signal { on: on == "started" })
        }
        ["signal", name, ..] => return Err(format!("write `signal {name} started` or `signal {name} stopped`")),
        _ => {
            return Err(format!(
                "`{head}` is not an expectation: write the name of a move, `milestone NAME`, `counter NAME NUMBER` or `signal NAME started`"
            ));
        }
    };
    Ok(Expectation { text: item.into(), customer: customer.into(), model, name: name.into(), change, at })
}

/// Splits `text` into the parts before, within and after its brackets. Without brackets, splits before `at INSTANT`.
fn split_brackets(text: &str) -> Result<(&str, Option<&str>, &str), String> {
    if let Some((head, rest)) = text.split_once('(') {
        let (detail, tail) = rest.split_once(')').ok_or("missing `)`")?;
        return Ok((head.trim(), Some(detail), tail.trim()));
    }
    Ok(match text.find(" at ") {
        Some(at) => (text[..at].trim(), None, text[at..].trim()),
        None => (text.trim(), None, ""),
    })
}

/// Parses the text within the brackets of a move.
fn parse_move(detail: &str, model: &Model) -> Result<ExpectedMove, String> {
    let mut expected = ExpectedMove::default();
    for item in items(detail) {
        if let Some(direction) = DIRECTIONS.into_iter().find(|direction| direction.as_str() == item) {
            expected.direction = Some(direction);
        } else if item == "late" {
            expected.is_late = true;
        } else if item == "skips nothing" {
            expected.skipped = Some(Vec::new());
        } else if let Some(names) = item.strip_prefix("skips ") {
            let stages = names.split(" and ").map(|name| parse_stage(model, name.trim()));
            expected.skipped = Some(stages.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect());
        } else if expected.to.is_some() {
            return Err(format!(
                "unexpected `{item}` after the stage: write forward, backward, exit, reentry, late, or `skips a and b`"
            ));
        } else if let Some((from, to)) = item.split_once(" to ") {
            expected.from = Some(parse_stage(model, from.trim())?);
            expected.to = Some(parse_stage(model, to.trim())?);
        } else {
            expected.to = Some(parse_stage(model, item)?);
        }
    }
    Ok(expected)
}
