//! Resolves the names that a scenario uses: stages, moves, milestones, counters and signals of its models.
//!
//! A name may be qualified by its model (`retention.churned`), and must be qualified if several models have it.

use crate::lifecycle::id::{ModelIndex, StageIndex};
use crate::lifecycle::model::Model;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::suggest::did_you_mean;
use crate::lifecycle::transition_builder::UNNAMED_MOVE;
use crate::wire::transition_text::NO_STAGE;

use super::words::one_of;

/// A kind of name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NameKind {
    Stage,
    Move,
    Signal,
    Milestone,
    Counter,
}

impl NameKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Move => "move",
            Self::Signal => "signal",
            Self::Milestone => "milestone",
            Self::Counter => "counter",
        }
    }

    fn names_of(self, model: &Model) -> Vec<&str> {
        match self {
            Self::Stage => model.stages.iter().map(|stage| &*stage.name).collect(),
            Self::Move => model.moves.iter().map(|rule| &*rule.name).chain([UNNAMED_MOVE]).collect(),
            Self::Signal => model.signals.iter().map(|signal| &*signal.name).collect(),
            Self::Milestone => model.milestones.iter().map(|milestone| &*milestone.name).collect(),
            Self::Counter => model.counters.iter().map(|counter| &*counter.name).collect(),
        }
    }
}

/// Resolves `text` (`name` or `model.name`). Returns the model, the name without it, and the index among the names of
/// that kind.
pub(super) fn resolve<'a>(
    models: &ModelSet,
    kind: NameKind,
    text: &'a str,
) -> Result<(ModelIndex, &'a str, usize), String> {
    let indexed = (0_u8..).map(ModelIndex).zip(&models.models);
    let (model_name, name) = match text.split_once('.') {
        Some((model, name)) => (Some(model), name),
        None => (None, text),
    };
    let candidates: Vec<(ModelIndex, &Model)> =
        indexed.filter(|(_, model)| model_name.is_none_or(|wanted| *model.name == *wanted)).collect();
    if candidates.is_empty() {
        let names: Vec<&str> = models.models.iter().map(|model| &*model.name).collect();
        return Err(format!("this file has no model `{}`: write {}", model_name.unwrap_or_default(), one_of(&names)));
    }
    let found: Vec<(ModelIndex, &Model, usize)> = candidates
        .iter()
        .filter_map(|&(index, model)| {
            let position = kind.names_of(model).iter().position(|known| *known == name)?;
            Some((index, model, position))
        })
        .collect();
    match found[..] {
        [(index, _, position)] => Ok((index, name, position)),
        [] => Err(unknown_name(kind, name, &candidates)),
        _ => {
            let choices: Vec<String> = found.iter().map(|(_, model, _)| format!("{}.{name}", model.name)).collect();
            let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
            Err(format!("several models have `{name}`: write {}", one_of(&choices)))
        }
    }
}

/// Returns the stage of `model` with the name `text`; `None` for `no stage`.
pub(super) fn parse_stage(model: &Model, text: &str) -> Result<Option<StageIndex>, String> {
    if text == NO_STAGE {
        return Ok(None);
    }
    let position = model.stages.iter().position(|stage| *stage.name == *text);
    match position.and_then(|position| u8::try_from(position).ok()) {
        Some(position) => Ok(Some(StageIndex(position))),
        None => Err(unknown_name(NameKind::Stage, text, &[(ModelIndex(0), model)])),
    }
}

fn unknown_name(kind: NameKind, name: &str, models: &[(ModelIndex, &Model)]) -> String {
    let known: Vec<&str> = models.iter().flat_map(|(_, model)| kind.names_of(model)).collect();
    let word = kind.word();
    if known.is_empty() {
        return format!("there is no {word} `{name}`: the model has none");
    }
    // A name without a keyword is parsed as a move. If it is a milestone, counter or signal, suggest the keyword.
    for other in [NameKind::Milestone, NameKind::Counter, NameKind::Signal] {
        if kind == NameKind::Move && models.iter().any(|(_, model)| other.names_of(model).contains(&name)) {
            return format!("there is no move `{name}`: write `{} {name}`", other.word());
        }
    }
    if let Some(question) = did_you_mean(name, known.iter().copied()) {
        return format!("there is no {word} `{name}`: {question}");
    }
    let mut known: Vec<&str> = known;
    known.sort_unstable();
    known.dedup();
    format!("there is no {word} `{name}`: write {}", one_of(&known))
}
