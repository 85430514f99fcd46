//! The snapshot that a worker publishes about twice a second: its status and its counters of the same time.
//!
//! It is the only form in which these numbers leave the worker: `/metrics`, `/v1/partitions`, `/v1/overview` and the
//! readiness probe read it.

use std::sync::Arc;
use std::time::Duration;

use crate::lifecycle::time::{self, Timestamp};

use super::ingest::IngestSnapshot;
use super::report::Report;

/// Values of the `activity` label.
pub const ACTIVITIES: [&str; 5] = ["poll", "apply", "commit", "restore", "idle"];

/// Status and counters of a worker at an instant.
#[derive(Clone, PartialEq, Debug)]
pub struct WorkerSnapshot {
    /// Wall time of the snapshot.
    pub at: Timestamp,
    /// Status of the worker.
    pub status: Status,
    /// Counters of the worker.
    pub report: Report,
    /// The source that the worker reads directly; `None` if there is none.
    pub direct: Option<Arc<IngestSnapshot>>,
}

impl WorkerSnapshot {
    /// Whether the worker processes every partition assigned to it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status.is_ready() && self.direct.as_ref().is_none_or(|direct| direct.is_ready())
    }
}

/// Status of a worker.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// The assigned partitions, in ascending order.
    pub partitions: Vec<PartitionStatus>,
    /// Whether the worker is recovering from a failed transaction.
    pub is_recovering: bool,
    /// Number of failed transactions since the last committed one.
    pub consecutive_failures: u32,
    /// Whether state exceeds `state.max_bytes`, so that consumption is paused.
    pub is_over_limit: bool,
    /// Whether uncommitted changes are waiting for their transaction.
    pub has_pending_changes: bool,
    /// Partition count of the touchpoint topic; `None` while unknown.
    pub topic_partitions: Option<usize>,
    /// Time spent per activity, in the order of [`ACTIVITIES`].
    pub activities: [Duration; ACTIVITIES.len()],
}

/// Status of an assigned partition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PartitionStatus {
    /// The partition.
    pub partition: i32,
    /// Whether the partition is restored and processes touchpoints.
    pub is_running: bool,
    /// Progress of the restore while the changelog is being read.
    pub restore: Option<RestoreProgress>,
    /// Offset of the next input record to read; the records of the open batch are before it.
    pub position: i64,
    /// Committed offset, up to one batch behind `position`; `None` until it has been fetched.
    pub committed_offset: Option<i64>,
    /// Number of input records from `position` to the end of the partition; `None` while the end offset is unknown.
    pub lag_records: Option<u64>,
    /// Last stable offset of the input partition: touchpoints behind it are hidden by an open transaction; `None` while
    /// unknown.
    pub last_stable_offset: Option<i64>,
    /// High watermark of the input partition, one past the last acknowledged record; `None` while unknown.
    pub high_watermark: Option<i64>,
    /// Number of customers, committed ones only.
    pub customers: usize,
    /// Number of ids without a customer that are remembered, committed ones only.
    pub stubs: usize,
    /// When the oldest hand-over that was read and is not committed was written; `None` if there is none.
    pub oldest_hand_over: Option<Timestamp>,
    /// Memory used by the customers, in bytes.
    pub bytes: usize,
    /// Number of pending wake-ups.
    pub wake_ups: usize,
    /// Highest event time seen.
    pub stream_time: Option<Timestamp>,
    /// Highest event time among the committed touchpoints.
    pub committed_stream_time: Option<Timestamp>,
    /// The instant up to which wake-ups may fire; `None` while unknown.
    pub watermark: Option<Timestamp>,
    /// Current time of the partition's clock source minus the lateness: wall time with `clock.source: wall`, otherwise
    /// stream time. It may be ahead of `watermark`. `None` while unknown.
    pub current_time: Option<Timestamp>,
    /// Lower bound of the due time of the earliest wake-up; `None` if no wake-up is pending.
    pub next_wake_up: Option<Timestamp>,
    /// Customers per stage, indexed by model and then by stage; the last element of a model counts the customers
    /// without a stage.
    pub stage_counts: Vec<Vec<u64>>,
}

/// Progress of a partition's restore.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestoreProgress {
    /// Number of changelog offsets still to be read, of records and transaction markers.
    pub remaining_records: u64,
    /// Estimated bytes still to be read, extrapolated from the records so far; `None` before the first record.
    pub remaining_bytes: Option<u64>,
    /// Customers restored per second so far; a customer counts once per changelog record that contains it.
    pub customers_per_second: u64,
    /// Estimated remaining time at the average speed so far; `None` before the first record.
    pub eta: Option<Duration>,
}

impl Status {
    /// Returns whether the worker processes every partition assigned to it. A failing transaction does not make it
    /// unready: if a broker is down, the other instances fail as well.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.is_over_limit && self.partitions.iter().all(|partition| partition.is_running)
    }
}

impl PartitionStatus {
    /// Returns how far stream time is behind `wall` while records are unread; `None` while unknown.
    #[must_use]
    pub fn lag(&self, wall: Timestamp) -> Option<time::Duration> {
        match (self.lag_records?, self.stream_time) {
            // A partition without unread records does not lag, even if its latest touchpoint is old.
            (0, _) => Some(time::Duration::ZERO),
            (_, stream_time) => Some((wall - stream_time?).max(time::Duration::ZERO)),
        }
    }

    /// Returns the maximum time for which a wake-up may have been overdue at `wall`, minus the lateness.
    #[must_use]
    pub fn overdue(&self, lateness: time::Duration, wall: Timestamp) -> time::Duration {
        // A changelog contains wake-ups that later records postpone, so a wake-up can be overdue only once the restore
        // has finished. Until the watermark is known, the delay counts from the last commit, because the wake-ups that
        // were due by then have fired, except for a few that the batch limit may have left.
        let Some(due) = self.next_wake_up.filter(|_| self.is_running) else { return time::Duration::ZERO };
        let committed_watermark =
            self.stream_time.filter(|_| self.watermark.is_none()).map(|stream_time| stream_time - lateness);
        (wall - lateness - committed_watermark.map_or(due, |committed| due.max(committed))).max(time::Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> time::Duration {
        time::Duration::from_millis(seconds * 1000)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    #[test]
    fn a_partition_lags_while_touchpoints_are_unread() {
        let status = |lag_records| PartitionStatus { stream_time: Some(at(60)), lag_records, ..Default::default() };
        assert_eq!(status(Some(3)).lag(at(90)), Some(seconds(30)));
        assert_eq!(status(Some(3)).lag(at(50)), Some(seconds(0)));
        assert_eq!(status(Some(0)).lag(at(90)), Some(seconds(0)));
        assert_eq!(status(None).lag(at(90)), None);
        let unread = PartitionStatus { lag_records: Some(3), ..PartitionStatus::default() };
        assert_eq!(unread.lag(at(90)), None);
    }

    #[test]
    fn a_wake_up_is_overdue_only_after_the_restore() {
        let (due, watermark) = (Some(at(60)), Some(at(50)));
        let running = PartitionStatus { is_running: true, next_wake_up: due, watermark, ..PartitionStatus::default() };
        assert_eq!(running.overdue(seconds(10), at(90)), seconds(20));
        assert_eq!(running.overdue(seconds(10), at(65)), seconds(0));
        let restoring = PartitionStatus { is_running: false, ..running.clone() };
        assert_eq!(restoring.overdue(seconds(10), at(90)), seconds(0));
        // At the last commit the watermark was 75, so every wake-up due by then has fired.
        let restored = PartitionStatus { watermark: None, stream_time: Some(at(85)), ..running };
        assert_eq!(restored.overdue(seconds(10), at(90)), seconds(5));
    }
}
