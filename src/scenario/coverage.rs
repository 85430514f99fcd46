//! Which stages and names of the models the scenarios have reached.

use std::collections::BTreeSet;

use crate::lifecycle::model::Model;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::transition::{Change, Transition};

/// What was published as expected, by model.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Model, kind (`stage` for a stage itself, `move` for the name of a move), name.
    reached: BTreeSet<(Box<str>, &'static str, Box<str>)>,
}

impl Coverage {
    /// Notes what `transition` reaches.
    pub fn note(&mut self, models: &ModelSet, transition: &Transition) {
        let model = models.model(transition.model);
        let kind = match &transition.change {
            Change::Stage { to, .. } => {
                if let Some(to) = to {
                    self.reached.insert((model.name.clone(), "stage", model.stage(*to).name.clone()));
                }
                "move"
            }
            other => other.kind(),
        };
        self.reached.insert((model.name.clone(), kind, transition.name.clone()));
    }

    /// What of `model` no scenario reaches: `stage loyalty`, `move churned`, `milestone made_first_purchase`.
    #[must_use]
    pub fn unreached(&self, model: &Model) -> Vec<String> {
        all_of(model)
            .into_iter()
            .filter(|(kind, name)| !self.reached.contains(&(model.name.clone(), *kind, (*name).into())))
            .map(|(kind, name)| format!("{kind} {name}"))
            .collect()
    }
}

/// Every stage and every name that a model may publish, each once.
fn all_of(model: &Model) -> Vec<(&'static str, &str)> {
    let mut all: Vec<(&'static str, &str)> = Vec::new();
    all.extend(model.stages.iter().map(|stage| ("stage", &*stage.name)));
    for rule in &model.moves {
        if !all.contains(&("move", &rule.name)) {
            all.push(("move", &rule.name));
        }
    }
    all.extend(model.signals.iter().map(|signal| ("signal", &*signal.name)));
    all.extend(model.milestones.iter().map(|milestone| ("milestone", &*milestone.name)));
    all.extend(model.counters.iter().map(|counter| ("counter", &*counter.name)));
    all
}
