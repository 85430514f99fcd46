//! Migrates customer records that were written with the layout of other models.
//!
//! Facts, models, stages and so on are matched by their stable ids. Items of both layouts keep their values, new items
//! start empty, and removed items are dropped. If a model was added or edited, the customer is scheduled to wake up at
//! once, which evaluates it again.

use std::collections::HashMap;
use std::sync::Arc;

use crate::lifecycle::customer::{Customer, Published, Rules};
use crate::lifecycle::fact::{ABSENT, Facts};
use crate::lifecycle::id::{StableId, StageIndex};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;

use super::changelog_batch::{RestoreError, StoredLayout, StoredModel};
use super::record::{self, Shape};

/// Converts records of one stored layout to the layout of the running models.
#[derive(Debug)]
pub(crate) struct LayoutMigration {
    stored: StoredLayout,
    stored_shape: Shape,
    scratch: Customer,
    /// By index in the current layout: the index of the same item in the stored layout. The same for the next five
    /// fields.
    numbers: Vec<Option<usize>>,
    latest: Vec<Option<usize>>,
    windows: Vec<Option<usize>>,
    follow_ups: Vec<Option<usize>>,
    gaps: Vec<Option<usize>>,
    models: Vec<Option<ModelMigration>>,
    outdated_models: u64,
}

/// Converts the [`Published`] of one model. `stages` maps stored indices to current ones; the other fields map current
/// indices to stored ones.
#[derive(Debug)]
struct ModelMigration {
    stored: usize,
    stages: Vec<Option<StageIndex>>,
    signals: Vec<Option<usize>>,
    milestones: Vec<Option<usize>>,
    counters: Vec<Option<usize>>,
}

impl LayoutMigration {
    pub(crate) fn new(stored: StoredLayout, models: &ModelSet) -> Result<Self, RestoreError> {
        if stored.models.len() > 64
            || stored
                .models
                .iter()
                .any(|model| model.stages.len() > 64 || model.signals.len() > 64 || model.milestones.len() > 64)
        {
            return Err(RestoreError::LayoutTooLarge);
        }
        let current = StoredLayout::of(models);
        let index_by_id = |list: &[StableId]| -> HashMap<StableId, usize> { list.iter().copied().zip(0..).collect() };
        let lookup = |current: &[StableId], old: &[StableId]| -> Vec<Option<usize>> {
            let old = index_by_id(old);
            current.iter().map(|id| old.get(id).copied()).collect()
        };
        let mut outdated_models = 0;
        let migrations = current.models.iter().enumerate().map(|(index, model)| {
            let found = stored.models.iter().position(|other| other.id == model.id);
            if found.is_none_or(|index| stored.models[index].hash != model.hash) {
                outdated_models |= 1 << index;
            }
            found.map(|index| ModelMigration::new(index, &stored.models[index], model, &lookup))
        });
        let migrations = migrations.collect();
        let numbers = lookup(&current.numbers, &stored.numbers);
        // Whether a stored number is a time is only known if the current layout has the same fact. The other numbers
        // are dropped, so their flag does not matter.
        let mut number_is_time = vec![false; stored.numbers.len()];
        for (index, &is_time) in numbers.iter().zip(&models.layout.number_is_time) {
            if let Some(index) = *index {
                number_is_time[index] = is_time;
            }
        }
        let stored_shape = Shape {
            number_is_time,
            latest: stored.latest.len(),
            windows: stored.windows.len(),
            follow_ups: stored.follow_ups.len(),
            models: stored.models.iter().map(|model| (model.stages.len(), model.counters.len())).collect(),
        };
        Ok(Self {
            numbers,
            latest: lookup(&current.latest, &stored.latest),
            windows: lookup(&current.windows, &stored.windows),
            follow_ups: lookup(&current.follow_ups, &stored.follow_ups),
            gaps: lookup(&current.gaps, &stored.gaps),
            models: migrations,
            outdated_models,
            scratch: Customer::new(Arc::from(""), Timestamp::MIN, models),
            stored_shape,
            stored,
        })
    }

    /// Returns the layout of the stored records.
    pub(crate) fn stored(&self) -> &StoredLayout {
        &self.stored
    }

    /// Converts the stored `record` and appends the result to `out`.
    pub(crate) fn migrate(&mut self, record: &[u8], rules: &Rules, out: &mut Vec<u8>) -> Result<(), RestoreError> {
        let default_currency = rules.options.currency;
        record::read(record, &self.stored_shape, default_currency, &mut self.scratch)
            .ok_or(RestoreError::CustomerUnreadable)?;
        let still_outdated = self.still_outdated(self.scratch.outdated_models);
        let old = &mut self.scratch;
        let mut current = Customer::new(Arc::clone(&old.id), old.clock, &rules.models);
        current.wake_up = old.wake_up;
        current.last_active_at = old.last_active_at;
        current.recent_events = std::mem::take(&mut old.recent_events);
        current.outdated_models = self.outdated_models | still_outdated;
        (current.is_visitor, current.identity) = (old.is_visitor, old.identity.take());
        self.migrate_facts(&mut current.facts, rules);
        for (index, migration) in self.models.iter().enumerate() {
            if let Some(migration) = migration {
                let old = &self.scratch.published[migration.stored];
                current.published[index] = migration.migrate(old, &current.published[index]);
            }
        }
        if current.outdated_models != 0 {
            // The wake-up is at the customer's own clock, so that the result does not depend on when the restore runs.
            current.wake_up = Some(current.clock);
        }
        record::write(&current, &rules.models.layout.number_is_time, default_currency, out);
        Ok(())
    }

    /// Converts the set of models that were already outdated when the record was written.
    fn still_outdated(&self, old: u64) -> u64 {
        let outdated = |(index, migration): (usize, &Option<ModelMigration>)| {
            migration.as_ref().map_or(0, |migration| (old >> migration.stored & 1) << index)
        };
        self.models.iter().enumerate().map(outdated).fold(0, |set, bit| set | bit)
    }

    fn migrate_facts(&mut self, current: &mut Facts, rules: &Rules) {
        let old = &mut self.scratch.facts;
        migrate_items(&mut current.numbers, &mut old.numbers, &self.numbers);
        migrate_items(&mut current.latest, &mut old.latest, &self.latest);
        migrate_items(&mut current.windows, &mut old.windows, &self.windows);
        migrate_items(&mut current.orders.recent, &mut old.orders.recent, &self.follow_ups);
        let follow_ups = |old: &[i64]| -> Vec<i64> {
            self.follow_ups
                .iter()
                .map(|index| index.and_then(|index| old.get(index).copied()).unwrap_or(ABSENT))
                .collect()
        };
        current.orders.folded = std::mem::take(&mut old.orders.folded);
        current.orders.folded.follow_ups = follow_ups(&current.orders.folded.follow_ups);
        let streaks = std::mem::take(&mut current.orders.folded.streaks);
        let streak = |index: &Option<usize>| index.and_then(|index| streaks.get(index).copied()).unwrap_or((0, ABSENT));
        current.orders.folded.streaks = self.gaps.iter().map(streak).collect();
        current.orders.entries = std::mem::take(&mut old.orders.entries);
        for order in &mut current.orders.entries {
            order.follow_ups = follow_ups(&order.follow_ups);
        }
        current.derive_order_aggregates(&rules.models.layout, &rules.options);
    }
}

impl ModelMigration {
    fn new(
        index: usize,
        old: &StoredModel,
        current: &StoredModel,
        lookup: &impl Fn(&[StableId], &[StableId]) -> Vec<Option<usize>>,
    ) -> Self {
        let stage = |index: Option<usize>| index.and_then(|index| u8::try_from(index).ok()).map(StageIndex);
        Self {
            stored: index,
            stages: lookup(&old.stages, &current.stages).into_iter().map(stage).collect(),
            signals: lookup(&current.signals, &old.signals),
            milestones: lookup(&current.milestones, &old.milestones),
            counters: lookup(&current.counters, &old.counters),
        }
    }

    fn migrate(&self, old: &Published, fresh: &Published) -> Published {
        let bits = |indices: &[Option<usize>], set: u64| {
            let bit =
                |(index, stored): (usize, &Option<usize>)| stored.map_or(0, |stored| (set >> stored & 1) << index);
            indices.iter().enumerate().map(bit).fold(0, |set, bit| set | bit)
        };
        let counter = |(index, stored): (usize, &Option<usize>)| {
            stored.and_then(|stored| old.counters.get(stored).copied()).unwrap_or(fresh.counters[index])
        };
        let stage = old.stage.and_then(|stage| self.stages.get(usize::from(stage.0)).copied().flatten());
        let is_removed = old.stage.is_some() && stage.is_none();
        Published {
            stage,
            since: if is_removed { Some(Published::STAGE_REMOVED) } else { old.since },
            sequence: old.sequence,
            ordinal: old.ordinal,
            signals: bits(&self.signals, old.signals),
            milestones: bits(&self.milestones, old.milestones),
            counters: self.counters.iter().enumerate().map(counter).collect(),
        }
    }
}

/// Moves the items of both layouts from `old` to `current`.
fn migrate_items<T>(current: &mut [T], old: &mut [T], indices: &[Option<usize>]) {
    for (value, index) in current.iter_mut().zip(indices) {
        if let Some(old) = index.and_then(|index| old.get_mut(index)) {
            std::mem::swap(value, old);
        }
    }
}
