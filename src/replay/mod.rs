//! Runs touchpoints of a file through the same machine that the service runs, with no Kafka.
//!
//! The same lines give the same transitions, ids included. Wall time plays no part: silent customers' wake-ups
//! are worked off by the event time reached less the lateness, as with `clock.source: touchpoints`.

mod lines;

use std::sync::Arc;

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::{FactOptions, Touchpoint};
use crate::lifecycle::transition::Transition;
use crate::partition::{Effects, Input, Partition, Tally};

pub use lines::{Line, Lines};

/// After how many inputs the batch is committed, so that what could be undone stays small.
const BATCH_INPUTS_MAX: usize = 10_000;
/// After how many wake-ups their transitions are handed on.
const WAKE_UPS_MAX: usize = 10_000;

/// What a replay starts from.
#[derive(Clone, Debug, Default)]
pub struct ReplayOptions {
    /// How the facts are kept.
    pub facts: FactOptions,
    /// The instant up to which it runs: later touchpoints are left out, wake-ups due by it are worked off at the end.
    /// `None` is the latest touchpoint.
    pub until: Option<Timestamp>,
}

/// What a replay has met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Counts of the touchpoints applied.
    pub tally: Tally,
    /// Touchpoints later than `until`.
    pub left_out: u64,
    /// Transitions handed on.
    pub transitions: u64,
}

/// One partition fed by hand.
#[derive(Debug)]
pub struct Replay {
    partition: Partition,
    effects: Effects,
    options: ReplayOptions,
    /// The time of the latest touchpoint met.
    reached: Option<Timestamp>,
    inputs_pending: usize,
    summary: Summary,
}

impl Replay {
    /// A replay that has met nothing yet.
    #[must_use]
    pub fn new(models: Arc<ModelSet>, options: ReplayOptions) -> Self {
        Self {
            partition: Partition::new(models, options.facts.clone()),
            effects: Effects::default(),
            options,
            reached: None,
            inputs_pending: 0,
            summary: Summary::default(),
        }
    }

    /// Applies one touchpoint and works off what it makes due; transitions go to `publish`, in order, with the event
    /// time at which they were found.
    ///
    /// # Errors
    /// Those of `publish`.
    pub fn apply<E>(
        &mut self,
        touchpoint: &Touchpoint<'_>,
        publish: &mut impl FnMut(&Transition, Timestamp) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.options.until.is_some_and(|until| touchpoint.occurred_at > until) {
            self.summary.left_out += 1;
            return Ok(());
        }
        self.partition.apply(Input::Touchpoint(touchpoint), &mut self.effects);
        self.inputs_pending += 1;
        // A duplicate moves no clock.
        let reached = self.partition.clock().reached().unwrap_or(touchpoint.occurred_at);
        let reached = self.reach(reached);
        self.hand_on(reached, publish)?;
        self.pass_time(reached - self.options.facts.lateness, reached, publish)
    }

    /// Lets time pass as a touchpoint of `instant` would, without one: for those of customers that nobody asks for.
    ///
    /// # Errors
    /// Those of `publish`.
    pub fn meet<E>(
        &mut self,
        instant: Timestamp,
        publish: &mut impl FnMut(&Transition, Timestamp) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.options.until.is_some_and(|until| instant > until) {
            self.summary.left_out += 1;
            return Ok(());
        }
        let reached = self.reach(instant);
        self.pass_time(reached - self.options.facts.lateness, reached, publish)
    }

    /// Works off the wake-ups due by `until`, whatever has been met, and closes the batch.
    ///
    /// # Errors
    /// Those of `publish`.
    pub fn run_until<E>(
        &mut self,
        until: Timestamp,
        publish: &mut impl FnMut(&Transition, Timestamp) -> Result<(), E>,
    ) -> Result<(), E> {
        self.pass_time(until, until, publish)?;
        self.commit();
        Ok(())
    }

    /// Works off the wake-ups that are due at the end, and closes the last batch.
    ///
    /// # Errors
    /// Those of `publish`.
    pub fn finish<E>(&mut self, publish: &mut impl FnMut(&Transition, Timestamp) -> Result<(), E>) -> Result<(), E> {
        if let Some(until) = self.end() {
            self.pass_time(until, until, publish)?;
        }
        self.commit();
        Ok(())
    }

    /// The customers, as of the last batch; after [`finish`](Self::finish), of all of it.
    #[must_use]
    pub const fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The machine, to be fed by somebody else from here on.
    #[must_use]
    pub fn into_partition(self) -> Partition {
        self.partition
    }

    /// The instant at which [`finish`](Self::finish) ends; `None` when nothing has been met and no end is set.
    #[must_use]
    pub fn end(&self) -> Option<Timestamp> {
        self.options.until.or(self.reached)
    }

    /// What has been met so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = self.summary;
        summary.tally += self.effects.tally;
        summary
    }

    fn reach(&mut self, instant: Timestamp) -> Timestamp {
        let reached = self.reached.map_or(instant, |reached| reached.max(instant));
        self.reached = Some(reached);
        reached
    }

    fn pass_time<E>(
        &mut self,
        until: Timestamp,
        detected_at: Timestamp,
        publish: &mut impl FnMut(&Transition, Timestamp) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.partition.next_wake_up().is_some_and(|due| due <= until) {
            let is_left_over =
                self.partition.apply(Input::TimePassed { until, wake_ups_max: WAKE_UPS_MAX }, &mut self.effects);
            self.inputs_pending += 1;
            self.hand_on(detected_at, publish)?;
            if !is_left_over {
                break;
            }
            self.commit();
        }
        if self.inputs_pending >= BATCH_INPUTS_MAX {
            self.commit();
        }
        Ok(())
    }

    fn hand_on<E>(
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
        // Writing makes the records that `commit` takes over; here is no changelog to send them to.
        drop(self.partition.write_batches(0));
        self.partition.commit();
        self.inputs_pending = 0;
        self.summary.tally += std::mem::take(&mut self.effects.tally);
    }
}
