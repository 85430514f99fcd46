//! The names that a scenario may speak of: stages, moves, milestones, counters and signals of its models.

use crate::lifecycle::author::UNNAMED_MOVE;
use crate::lifecycle::condition::nearest;
use crate::lifecycle::id::{ModelIndex, StageIndex};
use crate::lifecycle::model::Model;
use crate::lifecycle::model_set::ModelSet;
use crate::wire::transition_text::NO_STAGE;

use super::words::either;

/// A kind of name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Stage,
    Move,
    Signal,
    Milestone,
    Counter,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Move => "move",
            Self::Signal => "signal",
            Self::Milestone => "milestone",
            Self::Counter => "counter",
        }
    }

    fn all_of(self, model: &Model) -> Vec<&str> {
        match self {
            Self::Stage => model.stages.iter().map(|stage| &*stage.name).collect(),
            Self::Move => model.moves.iter().map(|rule| &*rule.name).chain([UNNAMED_MOVE]).collect(),
            Self::Signal => model.signals.iter().map(|signal| &*signal.name).collect(),
            Self::Milestone => model.milestones.iter().map(|milestone| &*milestone.name).collect(),
            Self::Counter => model.counters.iter().map(|counter| &*counter.name).collect(),
        }
    }
}

/// Finds the model that `text` (`name` or `model.name`) speaks of; also gives the place of the name in its list.
pub(super) fn find<'a>(models: &ModelSet, kind: Kind, text: &'a str) -> Result<(ModelIndex, &'a str, usize), String> {
    let indexed = (0_u8..).map(ModelIndex).zip(&models.models);
    let (wanted, name) = match text.split_once('.') {
        Some((model, name)) => (Some(model), name),
        None => (None, text),
    };
    let asked: Vec<(ModelIndex, &Model)> =
        indexed.filter(|(_, model)| wanted.is_none_or(|wanted| *model.name == *wanted)).collect();
    if asked.is_empty() {
        let names: Vec<&str> = models.models.iter().map(|model| &*model.name).collect();
        return Err(format!("no model here is called `{}`: write {}", wanted.unwrap_or_default(), either(&names)));
    }
    let found: Vec<(ModelIndex, &Model, usize)> = asked
        .iter()
        .filter_map(|&(index, model)| {
            let place = kind.all_of(model).iter().position(|known| *known == name)?;
            Some((index, model, place))
        })
        .collect();
    match found[..] {
        [(index, _, place)] => Ok((index, name, place)),
        [] => Err(unknown(kind, name, &asked)),
        _ => {
            let choices: Vec<String> = found.iter().map(|(_, model, _)| format!("{}.{name}", model.name)).collect();
            let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
            Err(format!("several models have `{name}`: write {}", either(&choices)))
        }
    }
}

/// The stage of `model` called `text`, or none.
pub(super) fn stage(model: &Model, text: &str) -> Result<Option<StageIndex>, String> {
    if text == NO_STAGE {
        return Ok(None);
    }
    let place = model.stages.iter().position(|stage| *stage.name == *text);
    match place.and_then(|place| u8::try_from(place).ok()) {
        Some(place) => Ok(Some(StageIndex(place))),
        None => Err(unknown(Kind::Stage, text, &[(ModelIndex(0), model)])),
    }
}

fn unknown(kind: Kind, name: &str, models: &[(ModelIndex, &Model)]) -> String {
    let known: Vec<&str> = models.iter().flat_map(|(_, model)| kind.all_of(model)).collect();
    let word = kind.word();
    if known.is_empty() {
        return format!("there is no {word} `{name}`: the model has none");
    }
    // Whoever leaves out the word in front means a milestone, a counter or a signal.
    for other in [Kind::Milestone, Kind::Counter, Kind::Signal] {
        if kind == Kind::Move && models.iter().any(|(_, model)| other.all_of(model).contains(&name)) {
            return format!("there is no move `{name}`: write `{} {name}`", other.word());
        }
    }
    if let Some(like) = nearest(name, known.iter().copied()) {
        return format!("there is no {word} `{name}`: did you mean `{like}`?");
    }
    let mut known: Vec<&str> = known;
    known.sort_unstable();
    known.dedup();
    format!("there is no {word} `{name}`: write {}", either(&known))
}
