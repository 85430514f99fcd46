//! Questions to a worker, answered between batches from committed state.

use std::fmt;
use std::sync::mpsc::{Receiver, TryRecvError};

use crate::kafka::PartitionId;
use crate::lifecycle::time::{self, Timestamp};
use crate::partition::Snapshot;

use super::progress::RestoreProgress;

/// How many questions are answered between two batches.
pub(super) const QUERIES_MAX: usize = 256;

/// A question to a worker: what is known of a customer. The one who asks waits for the answer under a deadline of its own; an
/// answer nobody waits for is dropped.
pub struct Query {
    /// Whose.
    pub customer_id: Box<str>,
    /// Takes the answer. Runs on the worker's thread, and so must not wait.
    pub answer: Box<dyn FnOnce(CustomerAnswer) + Send>,
}

impl fmt::Debug for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Query").finish_non_exhaustive()
    }
}

/// What a worker knows of a customer.
#[derive(Clone, Debug)]
pub enum CustomerAnswer {
    /// As committed.
    Found {
        /// The partition that holds the customer.
        partition: PartitionId,
        /// The customer.
        customer: Box<Snapshot>,
    },
    /// None of the worker's partitions holds the customer.
    Unknown,
    /// None of the restored partitions does; others are still being restored.
    Restoring,
}

/// How a worker does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// Its partitions, in order.
    pub partitions: Vec<PartitionStatus>,
    /// Whether a transaction failed and is being dealt with.
    pub is_recovering: bool,
    /// How many transactions have failed since the last one that was committed.
    pub failures_in_a_row: u32,
    /// Whether customers take more memory than allowed, so that nothing is read.
    pub is_over_limit: bool,
    /// Whether a change is waiting for its transaction.
    pub has_pending_changes: bool,
}

/// How a partition does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PartitionStatus {
    /// Which one.
    pub partition: PartitionId,
    /// Whether its customers are there and touchpoints are applied.
    pub is_running: bool,
    /// How far its restore has come, while its changelog is being read.
    pub restore: Option<RestoreProgress>,
    /// The next input record, what is pending included.
    pub position: i64,
    /// The next input record, as committed; `None` before the first commit is known.
    pub committed: Option<i64>,
    /// How many customers, committed ones.
    pub customers: usize,
    /// Bytes of memory that they take.
    pub bytes: usize,
    /// How many wake-ups wait.
    pub wake_ups: usize,
    /// The event time that its touchpoints have reached.
    pub reached: Option<Timestamp>,
    /// The event time that its committed touchpoints have reached.
    pub committed_reached: Option<Timestamp>,
    /// Up to when wake-ups may fire; `None` while nothing is known of it.
    pub clock: Option<Timestamp>,
    /// What lies before this instant is past for its customers, whether or not their wake-ups may fire already: wall time where that
    /// makes time pass, less the lateness, else as far as touchpoints have come. `None` while nothing is known of it.
    pub present: Option<Timestamp>,
    /// No wake-up is due before this instant; `None` when no customer waits for time.
    pub next_wake_up: Option<Timestamp>,
    /// How many customers stand in each stage: by model, then by stage; the last number of a model counts those in none.
    pub population: Vec<Vec<u64>>,
}

impl PartitionStatus {
    /// How far the touchpoints read lie behind `wall` while `lag_records` are unread; `None` while it is not known.
    #[must_use]
    pub fn lag(&self, lag_records: Option<u64>, wall: Timestamp) -> Option<time::Duration> {
        match (lag_records?, self.reached) {
            // An idle partition is not behind, however old its latest touchpoint is.
            (0, _) => Some(time::Duration::ZERO),
            (_, reached) => Some((wall - reached?).max(time::Duration::ZERO)),
        }
    }

    /// For how long a wake-up may have been due at `wall`, the lateness taken off.
    #[must_use]
    pub fn overdue(&self, lateness: time::Duration, wall: Timestamp) -> time::Duration {
        // What is read back holds wake-ups that were put off later in the changelog. Until all of it is read, none can be told;
        // until the clock is known, none that lies before what had been reached at the last commit, though a few of them may have been
        // left over then.
        let Some(due) = self.next_wake_up.filter(|_| self.is_running) else { return time::Duration::ZERO };
        let passed = self.reached.filter(|_| self.clock.is_none()).map(|reached| reached - lateness);
        (wall - lateness - passed.map_or(due, |passed| due.max(passed))).max(time::Duration::ZERO)
    }
}

impl Status {
    /// Whether every partition given to the worker is worked on.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.is_recovering && !self.is_over_limit && self.partitions.iter().all(|partition| partition.is_running)
    }
}

/// Takes the questions at hand, a bounded number.
pub(super) fn at_hand(queries: &Receiver<Query>) -> Vec<Query> {
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
    fn a_partition_lags_while_touchpoints_lie_unread() {
        let status = PartitionStatus { reached: Some(at(60)), ..PartitionStatus::default() };
        assert_eq!(status.lag(Some(3), at(90)), Some(seconds(30)));
        assert_eq!(status.lag(Some(3), at(50)), Some(seconds(0)));
        assert_eq!(status.lag(Some(0), at(90)), Some(seconds(0)));
        assert_eq!(status.lag(None, at(90)), None);
        assert_eq!(PartitionStatus::default().lag(Some(3), at(90)), None);
    }

    #[test]
    fn a_wake_up_is_overdue_once_the_customers_are_there() {
        let (due, clock) = (Some(at(60)), Some(at(50)));
        let running = PartitionStatus { is_running: true, next_wake_up: due, clock, ..PartitionStatus::default() };
        assert_eq!(running.overdue(seconds(10), at(90)), seconds(20));
        assert_eq!(running.overdue(seconds(10), at(65)), seconds(0));
        let restoring = PartitionStatus { is_running: false, ..running.clone() };
        assert_eq!(restoring.overdue(seconds(10), at(90)), seconds(0));
        // By the last commit it was 75, and what was due then had been worked off.
        let restored = PartitionStatus { clock: None, reached: Some(at(85)), ..running };
        assert_eq!(restored.overdue(seconds(10), at(90)), seconds(5));
    }
}
