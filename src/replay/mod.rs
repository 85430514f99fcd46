//! Replays touchpoints from files with the same partition state machine as the service, without Kafka.
//!
//! The same lines produce the same transitions, with the same ids. Wall time is not used: wake-ups fire up to stream
//! time less the lateness, as with `clock.source: touchpoints`.

mod event_times;
mod file_format;
mod lines;

use std::sync::Arc;

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::{FactOptions, Touchpoint};
use crate::lifecycle::transition::Transition;
use crate::partition::{Effects, Input, Partition, RefusedLink, Tally};

pub use event_times::EventTimes;
pub use lines::{Line, Lines};

/// The number of inputs after which a batch is committed. It bounds the memory for working copies.
const BATCH_INPUTS_MAX: usize = 10_000;
/// The number of wake-ups per input. It bounds the transitions that are buffered before they are emitted.
const WAKE_UPS_MAX: usize = 10_000;

/// The options of a replay.
#[derive(Clone, Debug, Default)]
pub struct ReplayOptions {
    /// How facts are kept.
    pub facts: FactOptions,
    /// The end of the replay: later touchpoints are skipped, and wake-ups fire up to this instant. `None` means the
    /// time of the latest touchpoint.
    pub until: Option<Timestamp>,
}

/// Counts of a replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Counts of the partition.
    pub tally: Tally,
    /// Touchpoints skipped because they are later than `until`.
    pub skipped: u64,
    /// Transitions emitted.
    pub transitions: u64,
}

/// A partition whose inputs come from the caller instead of Kafka.
#[derive(Debug)]
pub struct Replay {
    partition: Partition,
    effects: Effects,
    options: ReplayOptions,
    /// The latest event time seen, including duplicates and `advance_to`.
    stream_time: Option<Timestamp>,
    inputs_pending: usize,
    summary: Summary,
}

impl Replay {
    /// Creates a replay without customers.
    #[must_use]
    pub fn new(models: Arc<ModelSet>, options: ReplayOptions) -> Self {
        Self {
            partition: Partition::new(models, options.facts.clone()),
            effects: Effects::default(),
            options,
            stream_time: None,
            inputs_pending: 0,
            summary: Summary::default(),
        }
    }

    /// Applies one touchpoint, then fires the wake-ups that have become due. Passes each transition to `publish`, in
    /// order, with the stream time at which it was detected.
    ///
    /// # Errors
    /// Returns the error of `publish`.
    pub fn apply<E>(
        &mut self,
        touchpoint: &Touchpoint<'_>,
        publish: &mut impl FnMut(&Transition, Timestamp) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.options.until.is_some_and(|until| touchpoint.occurred_at > until) {
            self.summary.skipped += 1;
            return Ok(());
        }
        self.effects.links_refused.clear();
        self.effects.removed.clear();
        self.partition.apply(Input::Touchpoint(touchpoint), &mut self.effects);
        while let Some(forwarding) = self.effects.forwarding.take() {
            // It may wait for a hand-over.
            self.apply_hand_overs();
            self.partition.apply(Input::Forwarded { forwarding: &forwarding, touchpoint }, &mut self.effects);
        }
        self.observe_input(publish)
    }

    /// Applies an erasure that another partition has forwarded.
    ///
    /// # Errors
    /// Returns the error of `publish`.
    pub fn apply_forwarded_erasure<E>(
        &mut self,
        touchpoint: &Touchpoint<'_>,
        publish: &mut impl FnMut(&Transition, Timestamp) -> Result<(), E>,
    ) -> Result<(), E> {
        self.partition.apply(Input::ForwardedErasure(touchpoint), &mut self.effects);
        self.observe_input(publish)
    }

    /// Emits what the latest input caused, and fires the wake-ups that have become due.
    fn observe_input<E>(&mut self, publish: &mut impl FnMut(&Transition, Timestamp) -> Result<(), E>) -> Result<(), E> {
        self.inputs_pending += 1;
        self.apply_hand_overs();
        // Neither a duplicate nor a forwarded erasure advances the partition's clock.
        let Some(stream_time) = self.partition.clock().stream_time() else { return Ok(()) };
        let stream_time = self.observe(stream_time);
        self.emit(stream_time, publish)?;
        self.advance_time(stream_time - self.options.facts.lateness, stream_time, publish)
    }

    /// Advances stream time to `instant`, as a touchpoint with that time would. Used for touchpoints of customers that
    /// the caller filters out.
    ///
    /// # Errors
    /// Returns the error of `publish`.
    pub fn advance_to<E>(
        &mut self,
        instant: Timestamp,
        publish: &mut impl FnMut(&Transition, Timestamp) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.options.until.is_some_and(|until| instant > until) {
            self.summary.skipped += 1;
            return Ok(());
        }
        let stream_time = self.observe(instant);
        self.advance_time(stream_time - self.options.facts.lateness, stream_time, publish)
    }

    /// Fires the wake-ups due by `until`, even beyond stream time, and commits the batch.
    ///
    /// # Errors
    /// Returns the error of `publish`.
    pub fn run_until<E>(
        &mut self,
        until: Timestamp,
        publish: &mut impl FnMut(&Transition, Timestamp) -> Result<(), E>,
    ) -> Result<(), E> {
        self.advance_time(until, until, publish)?;
        self.commit();
        Ok(())
    }

    /// Fires the wake-ups due by [`end`](Self::end), and commits the last batch.
    ///
    /// # Errors
    /// Returns the error of `publish`.
    pub fn finish<E>(&mut self, publish: &mut impl FnMut(&Transition, Timestamp) -> Result<(), E>) -> Result<(), E> {
        if let Some(until) = self.end() {
            self.advance_time(until, until, publish)?;
        }
        self.commit();
        Ok(())
    }

    /// Returns the links that the latest touchpoint refused: itself, or one that it has caused.
    #[must_use]
    pub fn refused_links(&self) -> &[RefusedLink] {
        &self.effects.links_refused
    }

    /// Returns the customers that the latest touchpoint removed, or that time removed after it: they were erased,
    /// forgotten or merged.
    #[must_use]
    pub fn removed_customers(&self) -> &[Arc<str>] {
        &self.effects.removed
    }

    /// Returns the partition, as of the last committed batch. Call [`finish`](Self::finish) first to include all
    /// touchpoints.
    #[must_use]
    pub const fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Returns the partition, for further inputs without the replay.
    #[must_use]
    pub fn into_partition(self) -> Partition {
        self.partition
    }

    /// Returns the instant at which [`finish`](Self::finish) ends; `None` if there was no touchpoint and `until` is not
    /// set.
    #[must_use]
    pub fn end(&self) -> Option<Timestamp> {
        self.options.until.or(self.stream_time)
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = self.summary;
        summary.tally += self.effects.tally;
        summary
    }

    fn observe(&mut self, instant: Timestamp) -> Timestamp {
        let stream_time = self.stream_time.map_or(instant, |stream_time| stream_time.max(instant));
        self.stream_time = Some(stream_time);
        stream_time
    }

    fn advance_time<E>(
        &mut self,
        until: Timestamp,
        detected_at: Timestamp,
        publish: &mut impl FnMut(&Transition, Timestamp) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.partition.next_wake_up().is_some_and(|due| due <= until) {
            let has_more =
                self.partition.apply(Input::TimePassed { until, wake_ups_max: WAKE_UPS_MAX }, &mut self.effects);
            self.inputs_pending += 1;
            self.apply_hand_overs();
            self.emit(detected_at, publish)?;
            if !has_more {
                break;
            }
            self.commit();
        }
        if self.inputs_pending >= BATCH_INPUTS_MAX {
            self.commit();
        }
        Ok(())
    }

    /// Applies all hand-overs, also those that they cause. All ids are in this partition.
    fn apply_hand_overs(&mut self) {
        while !self.effects.hand_overs.is_empty() {
            for hand_over in std::mem::take(&mut self.effects.hand_overs) {
                self.partition.apply(Input::HandOver(&hand_over), &mut self.effects);
            }
        }
    }

    fn emit<E>(
        &mut self,
        detected_at: Timestamp,
        publish: &mut impl FnMut(&Transition, Timestamp) -> Result<(), E>,
    ) -> Result<(), E> {
        for transition in self.effects.transitions.drain(..) {
            self.summary.transitions += 1;
            publish(&transition, detected_at)?;
        }
        Ok(())
    }

    fn commit(&mut self) {
        // `Partition::commit` requires the encoded records. They are dropped, since a replay has no changelog.
        drop(self.partition.write_batches(0));
        self.partition.commit();
        self.inputs_pending = 0;
        self.summary.tally += std::mem::take(&mut self.effects.tally);
    }
}
