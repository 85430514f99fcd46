//! What is known of a partition's batch and counted once it is committed, beside its effects.

use crate::kafka::Outgoing;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::{Cause, Transition};
use crate::partition::Effects;
use crate::telemetry::metrics::{TOPIC_KINDS, Volume};
use crate::wire::transition::Mode;

use super::report::Report;

/// What is counted of a batch once it is committed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Uncounted {
    touchpoint_bytes: u64,
    /// Kafka's timestamps of the records consumed.
    appended_ms: Vec<i64>,
    written: [Volume; TOPIC_KINDS.len()],
}

/// Into which of [`TOPIC_KINDS`] a record is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TopicKind {
    Transitions,
    Replay,
    Changelog,
    DeadLetters,
}

impl TopicKind {
    /// Where transitions of `mode` go.
    pub(super) fn of(mode: Mode) -> Self {
        match mode {
            Mode::Live => Self::Transitions,
            Mode::Replay | Mode::Reconcile => Self::Replay,
        }
    }
}

impl Uncounted {
    /// Notes a record consumed.
    pub(super) fn consume(&mut self, bytes: usize, appended_ms: Option<i64>) {
        self.touchpoint_bytes += bytes as u64;
        self.appended_ms.extend(appended_ms);
    }

    /// A transaction is being made anew: what an earlier one would have written does not count.
    pub(super) fn begin_writing(&mut self) {
        self.written = Default::default();
    }

    /// Notes a record to be written.
    pub(super) fn write(&mut self, kind: TopicKind, record: &Outgoing) {
        let volume = &mut self.written[kind as usize];
        volume.records += 1;
        volume.bytes += (record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len)) as u64;
    }

    /// The batch came to nothing. Keeps the memory.
    pub(super) fn clear(&mut self) {
        self.touchpoint_bytes = 0;
        self.appended_ms.clear();
        self.written = Default::default();
    }

    /// The batch was committed at `wall`.
    pub(super) fn count(&mut self, wall: Timestamp, report: &mut Report) {
        report.touchpoint_bytes += self.touchpoint_bytes;
        for &appended in &self.appended_ms {
            let latency = wall - Timestamp::from_millis(appended);
            report.measured.append_latency.observe(latency.as_seconds());
        }
        for (sum, volume) in report.written.iter_mut().zip(self.written) {
            sum.records += volume.records;
            sum.bytes += volume.bytes;
        }
        self.clear();
    }
}

impl Report {
    /// Counts what a batch committed at `wall` has led to. `mode` tells on which occasion a transition is published.
    pub(super) fn count(&mut self, effects: &Effects, wall: Timestamp, mode: impl Fn(&Transition) -> Mode) {
        self.tally += effects.tally;
        for letter in &effects.dead_letters {
            *self.dead_letters.entry(letter.reason).or_default() += 1;
        }
        for transition in &effects.transitions {
            let mode = mode(transition);
            self.published(transition, mode);
            if mode == Mode::Live {
                let latency = (wall - transition.occurred_at).as_seconds();
                match transition.cause {
                    Cause::Touchpoint { .. } => self.measured.touchpoint_latency.observe(latency),
                    Cause::Time => self.measured.time_latency.observe(latency),
                }
            }
        }
    }
}
