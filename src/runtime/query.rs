//! Queries for customers, which a worker answers from committed state between two polls, and the status of a worker and
//! its partitions.

use std::fmt;
use std::sync::mpsc::{Receiver, TryRecvError};

use crate::kafka::PartitionId;
use crate::lifecycle::time::{self, Timestamp};
use crate::partition::Snapshot;

use super::restore_progress::RestoreProgress;

/// Maximum number of queries answered between two polls.
pub(super) const QUERIES_MAX: usize = 256;

/// A query for one customer. The caller waits with its own timeout; an answer that arrives later is dropped.
pub struct Query {
    /// The customer to look up.
    pub customer_id: Box<str>,
    /// Receives the answer. Runs on the worker's thread, so it must not block.
    pub answer: Box<dyn FnOnce(CustomerAnswer) + Send>,
}

impl fmt::Debug for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Query").finish_non_exhaustive()
    }
}

/// Answer of a worker to a [`Query`].
#[derive(Clone, Debug)]
pub enum CustomerAnswer {
    /// The customer's committed state.
    Found {
        /// The partition that contains the customer.
        partition: PartitionId,
        /// The customer.
        customer: Box<Snapshot>,
    },
    /// None of the worker's partitions contains the customer.
    Unknown,
    /// None of the restored partitions contains the customer; others are still being restored.
    Restoring,
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
}

/// Status of an assigned partition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PartitionStatus {
    /// The partition.
    pub partition: PartitionId,
    /// Whether the partition is restored and processes touchpoints.
    pub is_running: bool,
    /// Progress of the restore while the changelog is being read.
    pub restore: Option<RestoreProgress>,
    /// Offset of the next input record, uncommitted records included.
    pub position: i64,
    /// Committed offset; `None` until it has been fetched.
    pub committed: Option<i64>,
    /// Number of customers, committed ones only.
    pub customers: usize,
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
    /// Current time of the partition's clock source minus the lateness: wall time with
    /// [`ClockSource::Wall`](super::ClockSource), otherwise stream time. It may be ahead of `watermark`. `None` while
    /// unknown.
    pub current_time: Option<Timestamp>,
    /// Lower bound of the due time of the earliest wake-up; `None` if no wake-up is pending.
    pub next_wake_up: Option<Timestamp>,
    /// Customers per stage, indexed by model and then by stage; the last element of a model counts the customers
    /// without a stage.
    pub stage_counts: Vec<Vec<u64>>,
}

impl PartitionStatus {
    /// Returns how far stream time is behind `wall` while `lag_records` are unread; `None` while unknown.
    #[must_use]
    pub fn lag(&self, lag_records: Option<u64>, wall: Timestamp) -> Option<time::Duration> {
        match (lag_records?, self.stream_time) {
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

impl Status {
    /// Whether the worker processes every partition assigned to it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.is_recovering && !self.is_over_limit && self.partitions.iter().all(|partition| partition.is_running)
    }
}

/// Takes the waiting queries, at most [`QUERIES_MAX`].
pub(super) fn take_waiting(queries: &Receiver<Query>) -> Vec<Query> {
    let mut taken = Vec::new();
    while taken.len() < QUERIES_MAX {
        match queries.try_recv() {
            Ok(query) => taken.push(query),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    taken
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
        let status = PartitionStatus { stream_time: Some(at(60)), ..PartitionStatus::default() };
        assert_eq!(status.lag(Some(3), at(90)), Some(seconds(30)));
        assert_eq!(status.lag(Some(3), at(50)), Some(seconds(0)));
        assert_eq!(status.lag(Some(0), at(90)), Some(seconds(0)));
        assert_eq!(status.lag(None, at(90)), None);
        assert_eq!(PartitionStatus::default().lag(Some(3), at(90)), None);
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
