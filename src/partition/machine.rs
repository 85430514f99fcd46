//! The machine: one input in, effects out.

use std::sync::Arc;

use crate::lifecycle::id::StageIndex;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::FactOptions;
use crate::lifecycle::transition::{OrdersSummary, OwnedValue};

use super::batch::{Batch, Restored, StoredLayout};
use super::clock::Clock;
use super::effects::Effects;
use super::input::Input;

/// The customers of one partition, and what is pending of its current batch.
#[derive(Debug)]
pub struct Partition {}

impl Partition {
    /// An empty partition.
    #[must_use]
    pub fn new(_models: Arc<ModelSet>, _options: FactOptions) -> Self {
        unimplemented!()
    }

    /// Applies one input; effects are appended. Returns whether wake-ups due by `Input::TimePassed` are left over.
    pub fn apply(&mut self, _input: Input<'_>, _effects: &mut Effects) -> bool {
        unimplemented!()
    }

    /// The event time that the touchpoints have reached, pending ones included.
    #[must_use]
    pub fn clock(&self) -> Clock {
        unimplemented!()
    }

    /// No wake-up is due before this instant; `None` when no customer waits for time.
    #[must_use]
    pub fn next_wake_up(&self) -> Option<Timestamp> {
        unimplemented!()
    }

    /// Encodes every customer changed since the last commit, each once, and, while a sweep runs, at least as many bytes
    /// (and at least `sweep_bytes_min`) of customers that the sweep has not reached. Changes nothing that `abort` does not undo.
    pub fn write_batches(&mut self, _sweep_bytes_min: usize) -> Vec<Batch> {
        unimplemented!()
    }

    /// The batch has been committed: what was pending is now the truth.
    pub fn commit(&mut self) {
        unimplemented!()
    }

    /// The batch has not been committed: customers, clock, wake-ups and sweep are as after the last commit.
    pub fn abort(&mut self) {
        unimplemented!()
    }

    /// Begins to write every customer again.
    pub fn begin_sweep(&mut self) {
        unimplemented!()
    }

    /// Whether a sweep is running that has not written every customer (committed ones count).
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        unimplemented!()
    }

    /// The meaning of the indices in the batches that `write_batches` gives.
    #[must_use]
    pub fn layout(&self) -> &StoredLayout {
        unimplemented!()
    }

    /// Takes over the customers of a changelog record, written under `layout`; newer ones win.
    ///
    /// # Errors
    /// A sentence on what cannot be read.
    pub fn restore(&mut self, _layout: &StoredLayout, _customers: &[&[u8]]) -> Result<Restored, String> {
        unimplemented!()
    }

    /// Ends restoring: the clock was `clock` at the last commit.
    pub fn end_restore(&mut self, _clock: Clock) {
        unimplemented!()
    }

    /// A customer as committed.
    #[must_use]
    pub fn customer(&self, _id: &str) -> Option<CustomerView> {
        unimplemented!()
    }

    /// Every customer as committed, in order of id.
    pub fn customers(&self) -> impl Iterator<Item = CustomerView> + '_ {
        std::iter::empty()
    }

    /// How many customers, committed ones.
    #[must_use]
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    /// Whether there is no customer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many customers stand in each stage: by model, then by stage; the last number of a model counts those in no stage.
    #[must_use]
    pub fn population(&self) -> &[Vec<u64>] {
        unimplemented!()
    }

    /// Bytes of memory that the customers take, index and wake-ups included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        unimplemented!()
    }

    /// Bytes of all customers' records: what a changelog without anything superseded would hold.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        unimplemented!()
    }

    /// How many wake-ups are waiting.
    #[must_use]
    pub fn wake_ups_pending(&self) -> usize {
        unimplemented!()
    }
}

/// A customer as committed, for people.
#[derive(Clone, PartialEq, Debug)]
pub struct CustomerView {
    /// Whose.
    pub customer_id: Box<str>,
    /// The latest instant applied.
    pub clock: Timestamp,
    /// When time alone may next change something.
    pub next_wake_up: Option<Timestamp>,
    /// By name as the models write them; facts that are absent included.
    pub facts: Vec<(Box<str>, OwnedValue)>,
    /// The valid orders.
    pub orders: OrdersSummary,
    /// By model, in the order of the configuration.
    pub models: Vec<ModelView>,
}

/// What was last published of a customer in one model.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelView {
    /// The stage; `None` when none holds.
    pub stage: Option<StageIndex>,
    /// Since when; `None` before the first move.
    pub since: Option<Timestamp>,
    /// How many publications so far.
    pub sequence: u64,
    /// The signals that are on, by index.
    pub signals: Vec<usize>,
    /// The milestones reached, by index.
    pub milestones: Vec<usize>,
    /// The highest number published of each counter.
    pub counters: Vec<i64>,
}
