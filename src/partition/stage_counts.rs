//! Counts the customers in each stage of each model.
//!
//! Changes of the open batch are kept separately until it is committed.

use crate::lifecycle::customer::Customer;
use crate::lifecycle::id::{ModelIndex, StageIndex};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::transition::{Change, Transition};

/// Customers per model and stage, as committed, plus the pending changes of the open batch.
#[derive(Debug)]
pub(crate) struct StageCounts {
    /// By model, then by stage; the last element counts the customers in no stage.
    committed: Vec<Vec<u64>>,
    added: u64,
    /// Customers removed by the open batch. `remove` has already recorded a move to no stage for each of them.
    removed: u64,
    moves: Vec<(ModelIndex, Option<StageIndex>, Option<StageIndex>)>,
}

impl StageCounts {
    pub(crate) fn new(models: &ModelSet) -> Self {
        let committed = models.models.iter().map(|model| vec![0; model.stages.len() + 1]).collect();
        Self { committed, added: 0, removed: 0, moves: Vec::new() }
    }

    /// Counts a new customer, which starts in no stage of any model.
    pub(crate) fn add(&mut self) {
        self.added += 1;
    }

    /// Removes a customer, after moving it to no stage in each model.
    pub(crate) fn remove(&mut self, customer: &Customer) {
        for (model, published) in (0..).map(ModelIndex).zip(&customer.published) {
            self.moves.push((model, published.stage, None));
        }
        self.removed += 1;
    }

    /// Records the stage changes among `transitions`.
    pub(crate) fn record_moves(&mut self, transitions: &[Transition]) {
        for transition in transitions {
            if let Change::Stage { from, to, .. } = transition.change {
                self.moves.push((transition.model, from, to));
            }
        }
    }

    /// Counts a restored customer. `stages` has its stage in each model.
    pub(crate) fn add_restored(&mut self, stages: impl Iterator<Item = Option<StageIndex>>) {
        for (counts, stage) in self.committed.iter_mut().zip(stages) {
            let index = index_of(counts, stage);
            counts[index] += 1;
        }
    }

    /// Removes a restored customer that was counted in `stages`.
    pub(crate) fn remove_restored(&mut self, stages: impl Iterator<Item = Option<StageIndex>>) {
        for (counts, stage) in self.committed.iter_mut().zip(stages) {
            let index = index_of(counts, stage);
            counts[index] -= 1;
        }
    }

    pub(crate) fn commit(&mut self) {
        for counts in &mut self.committed {
            let no_stage = index_of(counts, None);
            counts[no_stage] += self.added;
        }
        for (model, from, to) in self.moves.drain(..) {
            let counts = &mut self.committed[usize::from(model.0)];
            let (from, to) = (index_of(counts, from), index_of(counts, to));
            counts[from] -= 1;
            counts[to] += 1;
        }
        for counts in &mut self.committed {
            let no_stage = index_of(counts, None);
            counts[no_stage] -= self.removed;
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

fn index_of(counts: &[u64], stage: Option<StageIndex>) -> usize {
    stage.map_or(counts.len() - 1, |stage| usize::from(stage.0))
}
