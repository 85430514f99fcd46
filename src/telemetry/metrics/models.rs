//! Label values of the models, and which of their series a scrape exports from the start.

use std::sync::Arc;

use crate::lifecycle::id::StageIndex;
use crate::lifecycle::model::Model;
use crate::lifecycle::transition_builder::UNNAMED_MOVE;

/// Maximum number of stages for which all moves of a model are exported from the start, at zero. A model with more
/// stages exports only the moves that have happened.
const INITIALIZED_STAGES_MAX: usize = 16;

/// Causes and modes of published transitions.
pub(super) const CAUSES_AND_MODES: [(&str, &str); 5] =
    [("touchpoint", "live"), ("time", "live"), ("touchpoint", "replay"), ("time", "replay"), ("time", "reconcile")];

/// Label values of a model's series.
#[derive(Debug)]
pub(super) struct ModelNames {
    pub(super) name: String,
    pub(super) version: String,
    /// Hash of the definition and its parameters, as the API returns it.
    pub(super) hash: String,
    pub(super) stages: Vec<String>,
    /// Kind and name of every transition that the model can publish.
    pub(super) published: Vec<(&'static str, Arc<str>)>,
}

impl ModelNames {
    pub(super) fn of(model: &Model) -> Self {
        let published = (model.moves.iter().map(|rule| ("stage", rule.name.clone())))
            .chain([("stage", UNNAMED_MOVE.into())])
            .chain(model.signals.iter().map(|signal| ("signal", signal.name.clone())))
            .chain(model.milestones.iter().map(|milestone| ("milestone", milestone.name.clone())))
            .chain(model.counters.iter().map(|counter| ("counter", counter.name.clone())));
        Self {
            name: model.name.to_string(),
            version: model.version.to_string(),
            hash: format!("{:016x}", model.hash.0),
            stages: model.stages.iter().map(|stage| stage.name.to_string()).collect(),
            published: published.collect(),
        }
    }

    /// Returns the name of a stage; empty for no stage.
    pub(super) fn stage(&self, stage: Option<StageIndex>) -> &str {
        stage.and_then(|stage| self.stages.get(usize::from(stage.0))).map_or("", String::as_str)
    }

    /// Returns the moves that are exported from the start, by the names of their stages.
    pub(super) fn initialized_moves(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_initialized = self.stages.len() <= INITIALIZED_STAGES_MAX;
        let stages = move || self.stages.iter().map(String::as_str).chain([""]).filter(move |_| is_initialized);
        stages().flat_map(move |from| stages().map(move |to| (from, to))).filter(|(from, to)| from != to)
    }
}
