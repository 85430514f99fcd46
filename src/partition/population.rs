//! How many customers stand in each stage of each model.

use crate::lifecycle::customer::Customer;
use crate::lifecycle::id::{ModelIndex, StageIndex};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::transition::{Change, Transition};

/// Counts by model and stage, with what the current batch changes kept apart.
#[derive(Debug)]
pub(crate) struct Population {
    /// By model, then by stage; the last number counts the customers in no stage.
    committed: Vec<Vec<u64>>,
    added: u64,
    /// Customers of no stage that are not there any more.
    removed: u64,
    moves: Vec<(ModelIndex, Option<StageIndex>, Option<StageIndex>)>,
}

impl Population {
    pub(crate) fn new(models: &ModelSet) -> Self {
        let committed = models.models.iter().map(|model| vec![0; model.stages.len() + 1]).collect();
        Self { committed, added: 0, removed: 0, moves: Vec::new() }
    }

    /// A new customer, in no stage of any model yet.
    pub(crate) fn add(&mut self) {
        self.added += 1;
    }

    /// A customer is removed: first from the stages it stands in.
    pub(crate) fn remove(&mut self, customer: &Customer) {
        for (model, published) in (0..).map(ModelIndex).zip(&customer.published) {
            self.moves.push((model, published.stage, None));
        }
        self.removed += 1;
    }

    /// Notes the moves among `transitions`.
    pub(crate) fn follow(&mut self, transitions: &[Transition]) {
        for transition in transitions {
            if let Change::Stage { from, to, .. } = transition.change {
                self.moves.push((transition.model, from, to));
            }
        }
    }

    /// Counts a customer that was restored, who stands in `stages`, by model.
    pub(crate) fn count(&mut self, stages: impl Iterator<Item = Option<StageIndex>>) {
        for (counts, stage) in self.committed.iter_mut().zip(stages) {
            let place = place(counts, stage);
            counts[place] += 1;
        }
    }

    /// A customer that was counted in `stages` is not there any more.
    pub(crate) fn uncount(&mut self, stages: impl Iterator<Item = Option<StageIndex>>) {
        for (counts, stage) in self.committed.iter_mut().zip(stages) {
            let place = place(counts, stage);
            counts[place] -= 1;
        }
    }

    pub(crate) fn commit(&mut self) {
        for counts in &mut self.committed {
            let nowhere = place(counts, None);
            counts[nowhere] += self.added;
        }
        for (model, from, to) in self.moves.drain(..) {
            let counts = &mut self.committed[usize::from(model.0)];
            let (from, to) = (place(counts, from), place(counts, to));
            counts[from] -= 1;
            counts[to] += 1;
        }
        for counts in &mut self.committed {
            let nowhere = place(counts, None);
            counts[nowhere] -= self.removed;
        }
        (self.added, self.removed) = (0, 0);
    }

    pub(crate) fn abort(&mut self) {
        (self.added, self.removed) = (0, 0);
        self.moves.clear();
    }

    pub(crate) fn committed(&self) -> &[Vec<u64>] {
        &self.committed
    }
}

fn place(counts: &[u64], stage: Option<StageIndex>) -> usize {
    stage.map_or(counts.len() - 1, |stage| usize::from(stage.0))
}
