//! Changelog batches: encoded customers on their way to and from the changelog, and the layout they are encoded with.
//!
//! `wire` turns a batch and its layout into the value of a Kafka record, and back.

use std::collections::{HashMap, HashSet};

use crate::lifecycle::fact::{FactDefinition, FactKind, OrderFact};
use crate::lifecycle::id::StableId;
use crate::lifecycle::model::Model;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;

use super::record::Shape;

/// The customers of one changelog record, encoded: changed by the batch, or rewritten by a sweep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangelogBatch {
    /// The repeated field `customers` of the Protobuf message `lifecycle.v1.ChangelogBatch`, with tags and lengths.
    pub customers: Vec<u8>,
    /// The number of customers.
    pub count: usize,
}

impl ChangelogBatch {
    /// The size limit of a batch, in bytes. A single customer may exceed it.
    pub const BYTES_MAX: usize = 512 * 1024;
}

/// The meaning of the indices in customer records: which fact, model or stage each refers to. Stored with every batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoredLayout {
    /// Ids of the numeric facts (counts, times, sums), by index.
    pub numbers: Vec<StableId>,
    /// Ids of the latest values, by index.
    pub latest: Vec<StableId>,
    /// Ids of the windows, by index.
    pub windows: Vec<StableId>,
    /// Ids of the gaps of streaks, by index.
    pub gaps: Vec<StableId>,
    /// Ids of the follow-up groups (see [`Layout::follow_ups`](crate::lifecycle::fact::Layout::follow_ups)), by index.
    pub follow_ups: Vec<StableId>,
    /// The models, by index.
    pub models: Vec<StoredModel>,
    /// Whether orders are kept.
    pub orders: bool,
    /// Facts that were added when the partition already had customers, and the stream time since which each is counted.
    /// [`ORDERS`](Self::ORDERS) represents all facts about orders.
    pub added: Vec<(StableId, Timestamp)>,
}

/// Why a changelog record cannot be restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RestoreError {
    /// A customer cannot be read with the layout of its record.
    #[error("a customer record does not fit its layout")]
    CustomerUnreadable,
    /// The layout exceeds a limit. Sets of models, stages, signals and milestones are stored as 64-bit masks.
    #[error("a stored layout has more than 64 models, or a model with more than 64 stages, signals or milestones")]
    LayoutTooLarge,
}

/// A model as customer records refer to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredModel {
    /// The hash of its name, which identifies it.
    pub id: StableId,
    /// The hash of its definition.
    pub hash: StableId,
    /// Ids of its stages, by index.
    pub stages: Vec<StableId>,
    /// Ids of its signals, by index.
    pub signals: Vec<StableId>,
    /// Ids of its milestones, by index.
    pub milestones: Vec<StableId>,
    /// Ids of its counters, by index.
    pub counters: Vec<StableId>,
}

/// Counts of one restored batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RestoreCounts {
    /// Customers written.
    pub customers: usize,
    /// Customers removed.
    pub removed: usize,
}

impl StoredLayout {
    /// The id that represents the order ledger.
    pub const ORDERS: StableId = StableId(0);

    /// Whether records have the same meaning under both layouts. Ignores `added`.
    pub(super) fn has_same_shape(&self, other: &Self) -> bool {
        let Self { numbers, latest, windows, gaps, follow_ups, models, orders, added: _ } = self;
        (numbers, latest, windows) == (&other.numbers, &other.latest, &other.windows)
            && (gaps, follow_ups) == (&other.gaps, &other.follow_ups)
            && (models, orders) == (&other.models, &other.orders)
    }

    /// Sets `added`. Facts that are missing from `stored`, the layout of the restored records, are counted since `now`;
    /// the other facts keep their entry in `stored`, if they have one.
    pub(super) fn set_added_facts(&mut self, stored: &Self, now: Timestamp) {
        let since_stored: HashMap<StableId, Timestamp> = stored.added.iter().copied().collect();
        let before: HashSet<StableId> = stored.facts().collect();
        let since = |id: StableId| if before.contains(&id) { since_stored.get(&id).copied() } else { Some(now) };
        self.added = self.facts().filter_map(|id| Some((id, since(id)?))).collect();
    }

    /// Returns the ids of the facts whose start is tracked: all facts about orders share one id.
    fn facts(&self) -> impl Iterator<Item = StableId> {
        let orders = self.orders.then_some(Self::ORDERS);
        [&self.numbers, &self.latest, &self.windows, &self.follow_ups].into_iter().flatten().copied().chain(orders)
    }

    /// Returns the layout that `models` read and write.
    #[must_use]
    pub fn of(models: &ModelSet) -> Self {
        let layout = &models.layout;
        let gap = |gap: &crate::lifecycle::time::Duration| StableId::of(&format!("gap {}", gap.as_millis()));
        Self {
            numbers: layout.number_ids.clone(),
            latest: layout.latest_ids.clone(),
            windows: layout.window_ids.clone(),
            gaps: layout.gaps.iter().map(gap).collect(),
            follow_ups: layout.follow_ups.clone(),
            models: models.models.iter().map(StoredModel::of).collect(),
            orders: layout.reads_orders,
            added: Vec::new(),
        }
    }
}

/// Returns the instant since which `fact` is counted, if it is in `added`.
pub(super) fn counts_since(added: &[(StableId, Timestamp)], fact: &FactDefinition) -> Option<Timestamp> {
    let id = match fact.kind {
        FactKind::Orders(OrderFact::FirstSinceLast(_)) => fact.id,
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
    /// Returns the shape of the records that `models` read and write.
    pub(super) fn of(models: &ModelSet) -> Self {
        let layout = &models.layout;
        Self {
            number_is_time: layout.number_is_time.clone(),
            latest: layout.latest_ids.len(),
            windows: layout.window_ids.len(),
            follow_ups: layout.follow_ups.len(),
            models: models.models.iter().map(|model| (model.stages.len(), model.counters.len())).collect(),
        }
    }
}
