//! What goes to the changelog and comes back from it.

use crate::lifecycle::id::StableId;
use crate::lifecycle::model::Model;
use crate::lifecycle::model_set::ModelSet;

use super::record::Shape;

/// The customers that a commit writes to the changelog: one record of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Entries `customers` of the Protobuf message `lifecycle.v1.ChangelogBatch`, one after the other, tags and lengths included.
    pub customers: Vec<u8>,
    /// How many customers they are.
    pub count: usize,
}

impl Batch {
    /// Past how many bytes a batch is cut into a further one.
    pub const BYTES_MAX: usize = 512 * 1024;
}

/// The meaning of the indices in customer records: which fact, model, stage each stands for. Travels with every batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoredLayout {
    /// Ids of the numbers (counts, times, sums), by index.
    pub numbers: Vec<StableId>,
    /// Ids of the latest values, by index.
    pub latest: Vec<StableId>,
    /// Ids of the windows, by index.
    pub windows: Vec<StableId>,
    /// Ids of the gaps of streaks, by index.
    pub gaps: Vec<StableId>,
    /// Ids of the followed groups, by index.
    pub followed: Vec<StableId>,
    /// The models, by index.
    pub models: Vec<StoredModel>,
}

/// A model as customer records refer to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredModel {
    /// Identity: the hash of its name.
    pub id: StableId,
    /// The hash of its definition.
    pub hash: StableId,
    /// Ids of its stages, signals, milestones and counters, by index.
    pub stages: Vec<StableId>,
    /// See `stages`.
    pub signals: Vec<StableId>,
    /// See `stages`.
    pub milestones: Vec<StableId>,
    /// See `stages`.
    pub counters: Vec<StableId>,
}

/// What restoring one batch brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Restored {
    /// Customers written.
    pub customers: usize,
    /// Customers removed.
    pub removed: usize,
}

impl StoredLayout {
    /// The layout that `models` read and write.
    #[must_use]
    pub fn of(models: &ModelSet) -> Self {
        let layout = &models.layout;
        let gap = |gap: &crate::lifecycle::time::Duration| StableId::of(&format!("gap {}", gap.as_millis()));
        Self {
            numbers: layout.number_ids.clone(),
            latest: layout.latest_ids.clone(),
            windows: layout.window_ids.clone(),
            gaps: layout.gaps.iter().map(gap).collect(),
            followed: layout.followed.clone(),
            models: models.models.iter().map(StoredModel::of).collect(),
        }
    }
}

impl StoredModel {
    fn of(model: &Model) -> Self {
        Self {
            id: StableId::of(&model.name),
            hash: model.hash,
            stages: model.stages.iter().map(|stage| stage.id).collect(),
            signals: model.signals.iter().map(|signal| signal.id).collect(),
            milestones: model.milestones.iter().map(|milestone| milestone.id).collect(),
            counters: model.counters.iter().map(|counter| counter.id).collect(),
        }
    }
}

impl Shape {
    /// The shape of the records that `models` read and write.
    pub(super) fn of(models: &ModelSet) -> Self {
        let layout = &models.layout;
        Self {
            number_is_time: layout.number_is_time.clone(),
            latest: layout.latest_ids.len(),
            windows: layout.window_ids.len(),
            followed: layout.followed.len(),
            counters: models.models.iter().map(|model| model.counters.len()).collect(),
        }
    }
}
