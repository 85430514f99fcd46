//! Counters of a partition's uncommitted batch, in addition to those in its effects. They are added to the report only
//! when the batch is committed, so that an aborted batch is not counted.

use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::{Cause, Transition};
use crate::partition::Effects;
use crate::telemetry::ingest::IngestReport;
use crate::telemetry::report::{HAND_OVER_KINDS, Report, TOPIC_KINDS, Volume};
use crate::wire::hand_over::Content;
use crate::wire::transition::Mode;

/// Counters of an uncommitted batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct PendingCounts {
    touchpoint_bytes: u64,
    /// Kafka timestamps of the consumed records.
    record_timestamps_ms: Vec<i64>,
    written: [Volume; TOPIC_KINDS.len()],
    hand_overs: [u64; HAND_OVER_KINDS.len()],
    /// Records of the source that is read directly.
    pub(super) direct: IngestReport,
}

/// The kind of topic a record is written to; indexes [`TOPIC_KINDS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TopicKind {
    Transitions,
    Replay,
    Changelog,
    DeadLetters,
    /// Forwarded erasures.
    Touchpoints,
    CurrentStages,
    HandOvers,
}

impl TopicKind {
    /// Returns the kind of topic for transitions of `mode`.
    pub(super) fn of(mode: Mode) -> Self {
        match mode {
            Mode::Live => Self::Transitions,
            Mode::Replay | Mode::Reconcile => Self::Replay,
        }
    }
}

impl PendingCounts {
    /// Counts a consumed record.
    pub(super) fn count_consumed(&mut self, bytes: usize, record_timestamp_ms: Option<i64>) {
        self.touchpoint_bytes += bytes as u64;
        self.record_timestamps_ms.extend(record_timestamp_ms);
    }

    /// Resets the counters of written records, because the records of a failed transaction are built again.
    pub(super) fn begin_writing(&mut self) {
        self.written = Default::default();
        self.hand_overs = Default::default();
    }

    /// Counts a hand-over that the transaction writes, with the size of its key and value.
    pub(super) fn count_hand_over(&mut self, content: &Content, bytes: usize) {
        self.count_written(TopicKind::HandOvers, bytes);
        let kind = match content {
            Content::Claim { .. } => 0,
            Content::Facts { .. } => 1,
            Content::Erase { .. } | Content::EraseClaimed { .. } | Content::EraseCustomer { .. } => 2,
            Content::Touchpoint { .. } => 3,
            Content::Redirect { .. } => 4,
        };
        self.hand_overs[kind] += 1;
    }

    /// Counts a record that the transaction writes, with the size of its key and value.
    pub(super) fn count_written(&mut self, kind: TopicKind, bytes: usize) {
        let volume = &mut self.written[kind as usize];
        volume.records += 1;
        volume.bytes += bytes as u64;
    }

    /// Resets the counters of a dropped batch; keeps the allocation.
    pub(super) fn clear(&mut self) {
        self.touchpoint_bytes = 0;
        self.record_timestamps_ms.clear();
        self.direct = IngestReport::default();
        self.begin_writing();
    }

    /// Adds the counters of a batch committed at `wall` to `report` and resets them.
    pub(super) fn add_to(&mut self, wall: Timestamp, report: &mut Report) {
        report.touchpoint_bytes += self.touchpoint_bytes;
        for &timestamp_ms in &self.record_timestamps_ms {
            let latency = wall - Timestamp::from_millis(timestamp_ms);
            report.measured.append_latency.observe(latency.as_seconds());
        }
        for (sum, volume) in report.written.iter_mut().zip(self.written) {
            sum.records += volume.records;
            sum.bytes += volume.bytes;
        }
        for (sum, count) in report.hand_overs.iter_mut().zip(self.hand_overs) {
            *sum += count;
        }
        report.direct.add_records(&self.direct);
        self.clear();
    }
}

impl Report {
    /// Counts the effects of a batch committed at `wall`. `mode` returns the publication mode of a transition.
    pub(super) fn count(&mut self, effects: &Effects, wall: Timestamp, mode: impl Fn(&Transition) -> Mode) {
        self.tally += effects.tally;
        for dead_letter in &effects.dead_letters {
            *self.dead_letters.entry(dead_letter.reason).or_default() += 1;
        }
        for refused in &effects.links_refused {
            self.links_refused[refused.reason as usize] += 1;
        }
        for transition in &effects.transitions {
            let mode = mode(transition);
            self.count_transition(transition, mode.as_str());
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
