//! Coverage: the stages and names of the models that appeared in the transitions of scenarios.
//!
//! Only transitions that a scenario expected count.

use std::collections::BTreeSet;

use crate::lifecycle::model::Model;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::transition::{Change, Transition};

/// The stages and names that appeared in expected transitions.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// (model, kind, name). The kind is `stage` for a stage itself and `move` for the name of a move.
    reached: BTreeSet<(Box<str>, &'static str, Box<str>)>,
}

impl Coverage {
    /// Marks the stage and the name of `transition` as covered.
    pub fn record(&mut self, models: &ModelSet, transition: &Transition) {
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
        self.reached.insert((model.name.clone(), kind, (&*transition.name).into()));
    }

    /// Returns the stages and names of `model` that are not covered: `stage loyalty`, `move churned`, `milestone
    /// made_first_purchase`.
    #[must_use]
    pub fn unreached(&self, model: &Model) -> Vec<String> {
        names_of(model)
            .into_iter()
            .filter(|(kind, name)| !self.reached.contains(&(model.name.clone(), *kind, (*name).into())))
            .map(|(kind, name)| format!("{kind} {name}"))
            .collect()
    }
}

/// Returns every stage and every name that `model` can publish, each once.
fn names_of(model: &Model) -> Vec<(&'static str, &str)> {
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
