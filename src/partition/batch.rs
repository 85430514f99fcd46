//! What goes to the changelog and comes back from it.

use std::collections::{HashMap, HashSet};

use crate::lifecycle::fact::{FactDefinition, FactKind, OrdersReading};
use crate::lifecycle::id::StableId;
use crate::lifecycle::model::Model;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;

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
    /// Whether orders are kept.
    pub orders: bool,
    /// The facts that were added when there were customers already, and since when each counts. [`ORDERS`](Self::ORDERS)
    /// stands for all that is read of orders.
    pub added: Vec<(StableId, Timestamp)>,
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
    /// The id that stands for the order ledger.
    pub const ORDERS: StableId = StableId(0);

    /// Whether records mean the same under both.
    pub(super) fn has_shape_of(&self, other: &Self) -> bool {
        let Self { numbers, latest, windows, gaps, followed, models, orders, added: _ } = self;
        (numbers, latest, windows) == (&other.numbers, &other.latest, &other.windows)
            && (gaps, followed) == (&other.gaps, &other.followed)
            && (models, orders) == (&other.models, &other.orders)
    }

    /// Takes over from `stored`, of which customers were left, at `now`: facts that it lacked count since then.
    pub(super) fn take_over(&mut self, stored: &Self, now: Timestamp) {
        let known: HashMap<StableId, Timestamp> = stored.added.iter().copied().collect();
        let before: HashSet<StableId> = stored.facts().collect();
        let since = |id: StableId| if before.contains(&id) { known.get(&id).copied() } else { Some(now) };
        self.added = self.facts().filter_map(|id| Some((id, since(id)?))).collect();
    }

    /// The ids of everything that is kept by itself.
    fn facts(&self) -> impl Iterator<Item = StableId> {
        let orders = self.orders.then_some(Self::ORDERS);
        [&self.numbers, &self.latest, &self.windows, &self.followed].into_iter().flatten().copied().chain(orders)
    }

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
            orders: layout.reads_orders,
            added: Vec::new(),
        }
    }
}

/// Since when the fact counts, if it is among those `added` when there were customers already.
pub(super) fn counts_since(added: &[(StableId, Timestamp)], fact: &FactDefinition) -> Option<Timestamp> {
    let id = match fact.kind {
        FactKind::Orders(OrdersReading::FirstSinceLast(_)) => fact.id,
        FactKind::Orders(_) => StoredLayout::ORDERS,
        _ => fact.id,
    };
    added.iter().find(|&&(added, _)| added == id).map(|&(_, since)| since)
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
            models: models.models.iter().map(|model| (model.stages.len(), model.counters.len())).collect(),
        }
    }
}
