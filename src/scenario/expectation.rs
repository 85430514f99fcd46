//! What a line expects to be published, and whether something published is that.
//!
//! `name (stage, forward, skips a and b) at 2026-01-31 10:00`; all behind the name may be left out, and is then not asked.

use crate::lifecycle::id::{ModelIndex, StageIndex};
use crate::lifecycle::model::{Direction, Model};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::{Change, Transition};

use super::moment::instant;
use super::names::{Kind, find, stage};
use super::words::{items, words};

const DIRECTIONS: [Direction; 4] = [Direction::Forward, Direction::Backward, Direction::Exit, Direction::Reentry];

/// One publication that is expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Expectation {
    /// As it stands in the file.
    pub(super) text: Box<str>,
    pub(super) customer: Box<str>,
    pub(super) model: ModelIndex,
    pub(super) name: Box<str>,
    pub(super) change: ExpectedChange,
    pub(super) at: Option<Timestamp>,
}

/// What is expected to change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ExpectedChange {
    Stage(Move),
    Signal { on: bool },
    Milestone,
    Counter { count: i64 },
}

/// What is asked of a move; `None` is not asked.
#[expect(clippy::option_option, reason = "not asked, asked for no stage and asked for a stage are three things")]
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Move {
    from: Option<Option<StageIndex>>,
    to: Option<Option<StageIndex>>,
    direction: Option<Direction>,
    skipped: Option<Vec<StageIndex>>,
    is_late: bool,
}

impl Expectation {
    /// Whether `transition` is what is expected.
    pub(super) fn fits(&self, transition: &Transition) -> bool {
        let is_same = *self.customer == *transition.customer_id
            && self.model == transition.model
            && self.name == transition.name
            && self.at.is_none_or(|at| at == transition.occurred_at);
        is_same
            && match (&self.change, &transition.change) {
                (ExpectedChange::Stage(asked), Change::Stage { from, to, skipped, direction, .. }) => {
                    asked.from.is_none_or(|asked| asked == *from)
                        && asked.to.is_none_or(|asked| asked == *to)
                        && asked.direction.is_none_or(|asked| asked == *direction)
                        && asked.skipped.as_ref().is_none_or(|asked| asked == skipped)
                        && (!asked.is_late || transition.late)
                }
                (ExpectedChange::Signal { on: asked }, Change::Signal { on }) => asked == on,
                (ExpectedChange::Milestone, Change::Milestone) => true,
                (ExpectedChange::Counter { count: asked }, Change::Counter { count }) => asked == count,
                _ => false,
            }
    }
}

/// Reads what stands behind `->`; `customer` is meant where no other is named.
pub(super) fn expectations(text: &str, customer: &str, models: &ModelSet) -> Result<Vec<Expectation>, String> {
    let text = text.trim();
    if text == "nothing" {
        return Ok(Vec::new());
    }
    items(text).into_iter().map(|item| expectation(item, customer, models)).collect()
}

fn expectation(item: &str, customer: &str, models: &ModelSet) -> Result<Expectation, String> {
    if item.is_empty() {
        return Err("something is missing at a comma or behind `->`: write `nothing` where nothing is expected".into());
    }
    let (customer, rest) = match item.split_once(':') {
        Some((name, rest)) if !name.contains(|character: char| character.is_whitespace() || character == '(') => {
            (name, rest.trim())
        }
        _ => (customer, item),
    };
    let (head, detail, tail) = brackets(rest)?;
    let at = match words(tail)[..] {
        [] => None,
        ["at", ref rest @ ..] => match instant(rest)? {
            (at, count) if count == rest.len() => Some(at),
            _ => return Err(format!("write one instant behind `at`, not `{}`", rest.join(" "))),
        },
        _ => {
            return Err(format!(
                "`{}` cannot stand here: write `at` and an instant, or a comma before more",
                tail.trim()
            ));
        }
    };
    let (model, name, change) = match words(head)[..] {
        [name] => {
            let (model, name, _) = find(models, Kind::Move, name)?;
            let asked = detail.map(|detail| asked(detail, models.model(model))).transpose()?;
            (model, name, ExpectedChange::Stage(asked.unwrap_or_default()))
        }
        _ if detail.is_some() => return Err("only a move has brackets: `became_loyal (loyalty)`".to_owned()),
        ["milestone", name] => {
            let (model, name, _) = find(models, Kind::Milestone, name)?;
            (model, name, ExpectedChange::Milestone)
        }
        ["counter", name, count] => {
            let (model, name, _) = find(models, Kind::Counter, name)?;
            let count = count.parse().map_err(|_| format!("`{count}` is no number: write `counter {name} 2`"))?;
            (model, name, ExpectedChange::Counter { count })
        }
        ["counter", name] => return Err(format!("write the number: `counter {name} 2`")),
        ["signal", name, on @ ("started" | "stopped")] => {
            let (model, name, _) = find(models, Kind::Signal, name)?;
            (model, name, ExpectedChange::Signal { on: on == "started" })
        }
        ["signal", name, ..] => return Err(format!("write `signal {name} started` or `signal {name} stopped`")),
        _ => {
            return Err(format!(
                "`{head}` is nothing that can be published: write the name of a move, `milestone NAME`, `counter NAME NUMBER` or `signal NAME started`"
            ));
        }
    };
    Ok(Expectation { text: item.into(), customer: customer.into(), model, name: name.into(), change, at })
}

/// What stands before, within and behind brackets; `at INSTANT` may also stand where there are none.
fn brackets(text: &str) -> Result<(&str, Option<&str>, &str), String> {
    if let Some((head, rest)) = text.split_once('(') {
        let (detail, tail) = rest.split_once(')').ok_or("a bracket is not closed: write `)`")?;
        return Ok((head.trim(), Some(detail), tail.trim()));
    }
    Ok(match text.find(" at ") {
        Some(at) => (text[..at].trim(), None, text[at..].trim()),
        None => (text.trim(), None, ""),
    })
}

/// What stands within the brackets of a move.
fn asked(detail: &str, model: &Model) -> Result<Move, String> {
    let mut asked = Move::default();
    for item in items(detail) {
        if let Some(direction) = DIRECTIONS.into_iter().find(|direction| direction.as_str() == item) {
            asked.direction = Some(direction);
        } else if item == "late" {
            asked.is_late = true;
        } else if item == "skips nothing" {
            asked.skipped = Some(Vec::new());
        } else if let Some(names) = item.strip_prefix("skips ") {
            let stages = names.split(" and ").map(|name| stage(model, name.trim()));
            asked.skipped = Some(stages.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect());
        } else if asked.to.is_some() {
            return Err(format!(
                "`{item}` cannot stand behind the stage: write forward, backward, exit, reentry, late, or `skips a and b`"
            ));
        } else if let Some((from, to)) = item.split_once(" to ") {
            asked.from = Some(stage(model, from.trim())?);
            asked.to = Some(stage(model, to.trim())?);
        } else {
            asked.to = Some(stage(model, item)?);
        }
    }
    Ok(asked)
}
