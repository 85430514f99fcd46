//! The state machine of a partition: applies one input at a time and appends its effects.
//!
//! All inputs since the last commit form the open batch, which is committed or aborted as a whole. The runtime calls
//! Kafka, `record` encodes customers, and `lifecycle` implements the rules.

use crate::lifecycle::customer::{Customer, Outcome, Rules, due_at};
use crate::lifecycle::id::TypeIndex;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::{FactOptions, Touchpoint};

use std::sync::Arc;

use super::changelog_batch::{ChangelogBatch, RestoreCounts, RestoreError, StoredLayout};
use super::clock::Clock;
use super::customers::Customers;
use super::effects::Effects;
use super::input::Input;
use super::layout_migration::LayoutMigration;
use super::record::{self, Shape};
use super::snapshot::Snapshot;
use super::stage_counts::StageCounts;
use super::view::CustomerView;
use super::wake_ups::{CustomerSlot, NextDue, WakeUps};

/// The lookup budget per wake-up. The wake-ups of a bucket fire only after all customers of the bucket were looked up,
/// so one lookup per wake-up is not enough; lookups are cheap.
const LOOKUPS_PER_WAKE_UP: usize = 8;

/// The customers of one partition, and the pending changes of the open batch.
#[derive(Debug)]
pub struct Partition {
    pub(super) rules: Rules,
    pub(super) shape: Arc<Shape>,
    pub(super) layout: StoredLayout,
    pub(super) customers: Customers,
    pub(super) wake_ups: WakeUps,
    pub(super) clock: Clock,
    committed_clock: Clock,
    pub(super) stage_counts: StageCounts,
    sweep: SweepProgress,
    /// Converts restored records of the latest layout that differs from the current one; reused for later batches of
    /// the same layout.
    migration: Option<LayoutMigration>,
    /// The layout of the last restored batch.
    restored: Option<StoredLayout>,
}

/// The progress of a sweep: a pass over all customers that writes each to the changelog again.
#[derive(Debug, Default)]
struct SweepProgress {
    /// Number of the current sweep, modulo 256. Each record stores the sweep that last wrote it.
    number: u8,
    /// The next slot to visit; `None` while no sweep is running.
    cursor: Option<CustomerSlot>,
    /// The value of `cursor` once the open batch is committed.
    pending_cursor: CustomerSlot,
    /// The slots that the open batch writes for the sweep.
    pending: Vec<CustomerSlot>,
}

impl Partition {
    /// Creates an empty partition.
    #[must_use]
    pub fn new(models: Arc<ModelSet>, options: FactOptions) -> Self {
        let shape = Arc::new(Shape::of(&models));
        let layout = StoredLayout::of(&models);
        let stage_counts = StageCounts::new(&models);
        Self {
            rules: Rules { models, options, edited_at: Timestamp::MIN },
            shape,
            layout,
            customers: Customers::new(),
            wake_ups: WakeUps::default(),
            clock: Clock::default(),
            committed_clock: Clock::default(),
            stage_counts,
            sweep: SweepProgress::default(),
            migration: None,
            restored: None,
        }
    }

    /// Looks up the customer `id`, so that the cache of the processor contains what its touchpoint needs.
    ///
    /// The steps of a lookup wait for each other: group of the index, entry, record. Those of several customers do not,
    /// so the processor overlaps their cache misses if the caller looks up several before it applies the first.
    pub fn prefetch(&self, id: &[u8]) {
        if let Ok(id) = str::from_utf8(id) {
            std::hint::black_box(self.customers.find(id));
        }
    }

    /// Applies one input and appends its effects. Returns whether due wake-ups remain after `Input::TimePassed`.
    pub fn apply(&mut self, input: Input<'_>, effects: &mut Effects) -> bool {
        match input {
            Input::Touchpoint(touchpoint) => {
                effects.tally.consumed += 1;
                match self.rules.options.identity {
                    Some(_) => self.apply_with_identity(touchpoint, effects),
                    None => self.apply_without_identity(touchpoint, effects),
                }
                false
            }
            Input::Misplaced(touchpoint) => {
                effects.tally.consumed += 1;
                self.forward_home(touchpoint, effects);
                false
            }
            Input::Forwarded { forwarding, touchpoint } => {
                self.apply_forwarded(forwarding, touchpoint, effects);
                false
            }
            Input::HandOver(hand_over) => {
                self.apply_hand_over(hand_over, effects);
                false
            }
            Input::ForwardedErasure(touchpoint) => {
                effects.tally.consumed += 1;
                self.erase(touchpoint, effects);
                false
            }
            Input::DeadLetter(letter) => {
                effects.tally.consumed += 1;
                effects.dead_letters.push(letter);
                false
            }
            Input::AppliedBefore => {
                effects.tally.consumed += 1;
                effects.tally.duplicates += 1;
                false
            }
            Input::TimePassed { until, wake_ups_max } => self.advance_time(until, wake_ups_max, effects),
        }
    }

    fn apply_without_identity(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) {
        if touchpoint.is_erasure() {
            self.erase(touchpoint, effects);
        } else {
            self.forget_if_expired(touchpoint.customer_id, self.due_until(touchpoint.occurred_at), effects);
            if !self.apply_touchpoint(touchpoint, effects) {
                return;
            }
        }
        self.clock.advance(touchpoint.occurred_at);
    }

    /// Applies a touchpoint, not an erasure, to a customer that has not expired. Returns `false` if it is a duplicate.
    pub(super) fn apply_touchpoint(&mut self, touchpoint: &Touchpoint<'_>, effects: &mut Effects) -> bool {
        let groups = self.rules.models.vocabulary.groups_of(touchpoint);
        let (copy, is_new) =
            self.customers.get_or_create(touchpoint.customer_id, touchpoint.occurred_at, &self.rules, &self.shape);
        if is_new {
            self.stage_counts.add();
        }
        let published_before = effects.transitions.len();
        let outcome = copy.customer.apply(&self.rules, touchpoint, groups, &mut effects.transitions);
        match outcome {
            Outcome::Duplicate => effects.tally.duplicates += 1,
            Outcome::Applied { is_late, is_order_missing } => {
                copy.is_changed = true;
                copy.customer.is_visitor &= touchpoint.is_visitor;
                self.wake_ups.arm(copy.slot, &copy.customer.id, copy.customer.due_at(&self.rules.options));
                effects.tally.applied += 1;
                effects.tally.late += u64::from(is_late);
                effects.tally.orders_missing += u64::from(is_order_missing);
                let is_unknown = touchpoint.kind == TypeIndex::UNKNOWN && !touchpoint.is_reserved();
                effects.tally.unknown_types += u64::from(is_unknown);
            }
        }
        self.stage_counts.record_moves(&effects.transitions[published_before..]);
        outcome != Outcome::Duplicate
    }

    fn advance_time(&mut self, until: Timestamp, wake_ups_max: usize, effects: &mut Effects) -> bool {
        let mut budget = wake_ups_max.saturating_mul(LOOKUPS_PER_WAKE_UP);
        for _ in 0..wake_ups_max {
            match self.wake_ups.next_due(until, &mut budget, |slot| self.customers.due_at(slot, &self.rules.options)) {
                NextDue::Customer(slot) => self.wake(slot, until, effects),
                NextDue::NoneDue => return false,
                NextDue::BudgetExhausted => return true,
            }
        }
        self.wake_ups.earliest().is_some_and(|earliest| earliest <= until)
    }

    /// Wakes the customer at `slot`, or removes it if `forget_after` elapses first. If there is no customer, ends its
    /// identity.
    fn wake(&mut self, slot: CustomerSlot, until: Timestamp, effects: &mut Effects) {
        let copy = self.customers.working_copy(slot, &self.rules, &self.shape);
        if copy.is_removed {
            self.wake_identity(slot, until, effects);
            return;
        }
        let scheduled = copy.customer.wake_up;
        let published_before = effects.transitions.len();
        let was_woken = copy.customer.wake(&self.rules, until, &mut effects.transitions);
        let forgotten_at = copy.customer.forgotten_at(&self.rules.options).filter(|end| !was_woken && *end <= until);
        if let Some(end) = forgotten_at {
            self.remove(slot, end, false, effects);
            effects.tally.forgotten += 1;
        } else {
            effects.wake_ups_fired.extend(scheduled.filter(|_| was_woken));
            copy.is_changed |= was_woken;
            self.wake_ups.arm(slot, &copy.customer.id, copy.customer.due_at(&self.rules.options));
            self.stage_counts.record_moves(&effects.transitions[published_before..]);
        }
        effects.tally.wake_ups += 1;
    }

    /// Returns the models.
    #[must_use]
    pub fn models(&self) -> Arc<ModelSet> {
        Arc::clone(&self.rules.models)
    }

    /// Returns stream time, including the open batch.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Returns stream time as of the last commit.
    #[must_use]
    pub fn committed_clock(&self) -> Clock {
        self.committed_clock
    }

    /// Returns a lower bound of the next wake-up; `None` when none is scheduled.
    #[must_use]
    pub fn next_wake_up(&self) -> Option<Timestamp> {
        self.wake_ups.earliest()
    }

    /// Encodes every customer changed by the open batch, each once. While a sweep runs, also writes customers that it
    /// has not reached yet: as many bytes as the changed customers take, or `sweep_bytes_min` if that is more. `abort`
    /// undoes the progress of the sweep.
    pub fn write_batches(&mut self, sweep_bytes_min: usize) -> Vec<ChangelogBatch> {
        let mut batches = BatchWriter::default();
        self.customers.encode_changed(&self.rules, |record| batches.write(record));
        let sweep_bytes = batches.bytes.max(sweep_bytes_min);
        if let Some(cursor) = self.sweep.cursor {
            let changed = batches.bytes;
            let mut slot = cursor;
            while slot < self.customers.slot_count() && batches.bytes - changed < sweep_bytes {
                if self.customers.awaits_sweep(slot, self.sweep.number) {
                    batches.write(self.customers.record(slot));
                    self.sweep.pending.push(slot);
                }
                slot += 1;
            }
            self.sweep.pending_cursor = slot;
        }
        batches.finish()
    }

    /// Returns the customers that `write_batches` wrote for the sweep.
    pub(super) fn swept_slots(&self) -> &[CustomerSlot] {
        &self.sweep.pending
    }

    /// Makes the open batch the committed state. Call it after the transaction of the batch is committed.
    pub fn commit(&mut self) {
        self.customers.commit(self.sweep.number);
        self.customers.mark_swept(&self.sweep.pending, self.sweep.number);
        self.sweep.pending.clear();
        if let Some(cursor) = &mut self.sweep.cursor {
            *cursor = (*cursor).max(self.sweep.pending_cursor);
            if *cursor >= self.customers.slot_count() {
                self.sweep.cursor = None;
            }
        }
        self.stage_counts.commit();
        self.committed_clock = self.clock;
    }

    /// Discards the open batch: restores customers, clock, wake-ups and sweep as of the last commit.
    pub fn abort(&mut self) {
        let wake_ups = &mut self.wake_ups;
        self.customers.abort(&self.rules.options, |slot, customer| {
            // A wake-up that fired in the batch is due again. One that the batch armed is harmless: it is verified
            // before it fires.
            match customer {
                Some((id, instant)) => wake_ups.arm(slot, id, instant),
                None => wake_ups.disarm(slot),
            }
        });
        self.sweep.pending.clear();
        self.sweep.pending_cursor = self.sweep.cursor.unwrap_or(0);
        self.stage_counts.abort();
        self.clock = self.committed_clock;
    }

    /// Starts a sweep: the following batches write every customer to the changelog again.
    pub fn begin_sweep(&mut self) {
        self.sweep.number = self.sweep.number.wrapping_add(1);
        self.sweep.cursor = Some(0);
        self.sweep.pending_cursor = 0;
    }

    /// Whether a sweep is running: some customers are not yet in a committed batch of the sweep.
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        self.sweep.cursor.is_some()
    }

    /// Returns the layout of the records that `write_batches` returns.
    #[must_use]
    pub fn layout(&self) -> &StoredLayout {
        &self.layout
    }

    /// Restores the customers of one changelog batch, encoded with `layout`. Call it in changelog order: a later record
    /// of a customer replaces an earlier one. Counts the customers and arms their wake-ups at once, because a pass over
    /// all customers at the end of the restore would block the worker's other partitions.
    ///
    /// # Errors
    /// When a record does not match its layout.
    pub fn restore(&mut self, layout: &StoredLayout, customers: &[&[u8]]) -> Result<RestoreCounts, RestoreError> {
        let is_current = layout.has_same_shape(&self.layout);
        if self.restored.as_ref() != Some(layout) {
            self.restored = Some(layout.clone());
        }
        if !is_current && self.migration.as_ref().is_none_or(|known| known.stored() != layout) {
            self.migration = Some(LayoutMigration::new(layout.clone(), &self.rules.models)?);
        }
        let mut restored = RestoreCounts::default();
        let mut migrated = Vec::new();
        for &entry in customers {
            let record = match &mut self.migration {
                // A removal has the same form in every layout.
                Some(migration)
                    if !is_current
                        && !record::read_head(entry).is_some_and(|head| head.is_removed || head.is_vacant) =>
                {
                    migrated.clear();
                    migration.migrate(entry, &self.rules, &mut migrated)?;
                    &migrated
                }
                _ => entry,
            };
            let checked = record::check(record, &self.shape).ok_or(RestoreError::CustomerUnreadable)?;
            if checked.is_removed {
                if let Some((slot, record)) = self.customers.remove(checked.customer_id) {
                    self.stage_counts.remove_restored(record::stages_of(&record, &self.shape));
                    self.wake_ups.disarm(slot);
                }
                restored.removed += 1;
                continue;
            }
            let (slot, older) = self.customers.put(checked.customer_id, record, checked.is_vacant, self.sweep.number);
            if let Some(older) = older {
                self.stage_counts.remove_restored(record::stages_of(&older, &self.shape));
            }
            self.stage_counts.add_restored(checked.stages(&self.shape));
            // An older record may have armed an earlier instant. The customer is then looked up at that instant and
            // re-armed.
            let instant = due_at(checked.wake_up, checked.last_active_at, &self.rules.options);
            self.wake_ups.arm(slot, checked.customer_id, instant);
            restored.customers += 1;
        }
        Ok(restored)
    }

    /// Returns the record of a visitor or customer whose facts move to a customer of another partition, with the
    /// [`layout`](Self::layout) of this one.
    #[must_use]
    pub fn encode_customer(&self, customer: &Customer) -> Vec<u8> {
        let mut record = Vec::new();
        let options = &self.rules.options;
        record::write(customer, &self.rules.models.layout.number_is_time, options.currency, &mut record);
        record
    }

    /// Returns the visitor or customer of a record that another partition has encoded with `layout`.
    ///
    /// # Errors
    /// When the record does not match its layout.
    pub fn decode_customer(&self, layout: &StoredLayout, record: &[u8]) -> Result<Customer, RestoreError> {
        let mut migrated = Vec::new();
        let record = if layout.has_same_shape(&self.layout) {
            record
        } else {
            LayoutMigration::new(layout.clone(), &self.rules.models)?.migrate(record, &self.rules, &mut migrated)?;
            &migrated
        };
        let mut customer = Customer::new(Arc::from(""), Timestamp::MIN, &self.rules.models);
        let is_read = record::read(record, &self.shape, self.rules.options.currency, &mut customer);
        is_read.map(|_| customer).ok_or(RestoreError::CustomerUnreadable)
    }

    /// Finishes the restore. `clock` is the clock in the committed offset metadata. If the models have changed, the
    /// edit takes effect at `edited_at`: wake-ups due up to this instant are attributed to the edit.
    pub fn end_restore(&mut self, clock: Clock, edited_at: Timestamp) {
        (self.clock, self.committed_clock) = (clock, clock);
        self.rules.edited_at = edited_at;
        if let (Some(stored), Some(now)) = (self.restored.take(), clock.stream_time()) {
            self.layout.set_added_facts(&stored, now);
        }
        self.migration = None;
    }

    /// Returns the committed customer `id`.
    #[must_use]
    pub fn customer(&self, id: &str) -> Option<CustomerView> {
        self.view(self.customers.find(id)?)
    }

    /// Returns all committed customers, in order of id.
    pub fn customers(&self) -> impl Iterator<Item = CustomerView> + '_ {
        let is_committed = |&slot: &CustomerSlot| !self.customers.record(slot).is_empty();
        let mut slots: Vec<CustomerSlot> = (0..self.customers.slot_count()).filter(is_committed).collect();
        slots.sort_by_key(|&slot| record::customer_id(self.customers.record(slot)));
        slots.into_iter().filter_map(|slot| self.view(slot))
    }

    fn view(&self, slot: CustomerSlot) -> Option<CustomerView> {
        let customer = self.customers.committed(slot, &self.rules, &self.shape)?;
        Some(CustomerView::of(&customer, &self.rules, &self.layout.added))
    }

    /// Returns a copy of the committed customer `id`, for another thread.
    #[must_use]
    pub fn snapshot(&self, id: &str) -> Option<Snapshot> {
        let slot = self.customers.find(id)?;
        let record = self.customers.record(slot);
        let has_customer = !record.is_empty() && !self.customers.is_vacant(slot);
        has_customer.then(|| Snapshot::new(record, &self.rules, &self.shape, &self.layout.added))
    }

    /// Returns the number of committed customers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.customers.len()
    }

    /// Whether there is no committed customer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of committed customers in each stage: by model, then by stage. The last element of a model
    /// counts customers in no stage.
    #[must_use]
    pub fn stage_counts(&self) -> &[Vec<u64>] {
        self.stage_counts.committed()
    }

    /// Returns the memory used by customers, their index and the wake-ups, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.customers.bytes() + self.wake_ups.bytes()
    }

    /// Returns the size of all customer records in bytes: the size of a fully compacted changelog.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        self.customers.record_bytes()
    }

    /// Returns the number of customers with a scheduled wake-up.
    #[must_use]
    pub fn wake_ups_pending(&self) -> usize {
        self.wake_ups.pending()
    }
}

/// Splits records into batches of limited size.
#[derive(Default)]
struct BatchWriter {
    batches: Vec<ChangelogBatch>,
    current: Vec<u8>,
    count: usize,
    bytes: usize,
}

impl BatchWriter {
    fn write(&mut self, record: &[u8]) {
        if self.count > 0 && self.current.len() + record.len() > ChangelogBatch::BYTES_MAX {
            self.end_batch();
        }
        record::write_entry(record, &mut self.current);
        self.count += 1;
        self.bytes += record.len();
    }

    fn end_batch(&mut self) {
        let customers = std::mem::take(&mut self.current);
        self.batches.push(ChangelogBatch { customers, count: std::mem::take(&mut self.count) });
    }

    fn finish(mut self) -> Vec<ChangelogBatch> {
        if self.count > 0 {
            self.end_batch();
        }
        self.batches
    }
}
