//! Latest snapshot and heartbeat of each worker, for readers on other threads: metrics, HTTP API, probes and watchdog.
//!
//! Snapshots are shared, so a reader holds the lock only to clone a pointer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ingest::IngestRegistry;
use super::snapshot::WorkerSnapshot;

/// The latest snapshot and heartbeat of each worker.
#[derive(Debug)]
pub struct StatusRegistry {
    started: Instant,
    workers: Vec<Worker>,
    ingest: IngestRegistry,
}

#[derive(Debug, Default)]
struct Worker {
    /// Milliseconds since `started`.
    last_heartbeat: AtomicU64,
    snapshot: Mutex<Option<Arc<WorkerSnapshot>>>,
}

impl StatusRegistry {
    /// Time after which an instance that was never assigned a partition is ready: the group may have more members than
    /// there are partitions.
    const IDLE_READY_AFTER: Duration = Duration::from_mins(1);

    /// Returns a registry for `workers` workers that start now, without snapshots.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let workers = (0..workers).map(|_| Worker::default()).collect();
        Self { started: Instant::now(), workers, ingest: IngestRegistry::default() }
    }

    /// Returns the registry of the ingest workers.
    #[must_use]
    pub fn ingest(&self) -> &IngestRegistry {
        &self.ingest
    }

    /// Records that the worker has completed a step of its loop.
    pub fn heartbeat(&self, worker: usize) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.workers[worker].last_heartbeat.store(now, Ordering::Relaxed);
    }

    /// Returns the longest time since the last heartbeat of a worker.
    #[must_use]
    pub fn since_heartbeat(&self) -> Duration {
        let oldest = self.workers.iter().map(|worker| worker.last_heartbeat.load(Ordering::Relaxed)).min();
        let of_workers =
            oldest.map_or(Duration::ZERO, |at| self.started.elapsed().saturating_sub(Duration::from_millis(at)));
        of_workers.max(self.ingest.since_heartbeat())
    }

    /// Replaces the snapshot of `worker`.
    pub fn publish(&self, worker: usize, snapshot: WorkerSnapshot) {
        *self.workers[worker].snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(snapshot));
    }

    /// Returns the latest snapshot of each worker; `None` before its first one.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Option<Arc<WorkerSnapshot>>> {
        let latest =
            |worker: &Worker| worker.snapshot.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Arc::clone);
        self.workers.iter().map(latest).collect()
    }

    /// Whether every partition of the touchpoint topic is assigned to this instance; false while their number is
    /// unknown.
    #[must_use]
    pub fn has_every_partition(&self) -> bool {
        let count = self.snapshots().iter().flatten().filter_map(|snapshot| snapshot.status.topic_partitions).max();
        count.is_some_and(|count| count > 0 && self.partitions() >= count)
    }

    /// Returns the number of assigned partitions.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.snapshots().iter().flatten().map(|snapshot| snapshot.status.partitions.len()).sum()
    }

    /// Returns whether every assigned partition of this instance is being processed, those of the sources included.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_ready_in(&self.snapshots())
    }

    /// Returns whether every assigned partition of this instance is processed in `snapshots`. A caller that also
    /// exports these snapshots gets the readiness that belongs to them, not a later one.
    #[must_use]
    pub fn is_ready_in(&self, snapshots: &[Option<Arc<WorkerSnapshot>>]) -> bool {
        let has_had_partitions = snapshots.iter().flatten().any(|snapshot| snapshot.report.assigned > 0);
        (self.workers.is_empty() || has_had_partitions || self.started.elapsed() >= Self::IDLE_READY_AFTER)
            && snapshots.iter().all(|snapshot| snapshot.as_ref().is_some_and(|snapshot| snapshot.is_ready()))
            && self.ingest.is_ready()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::time::Timestamp;
    use crate::telemetry::report::Report;
    use crate::telemetry::snapshot::{PartitionStatus, Status};

    fn snapshot(assigned: u64, partitions: &[bool]) -> WorkerSnapshot {
        let partitions = partitions.iter().map(|&is_running| PartitionStatus { is_running, ..Default::default() });
        WorkerSnapshot {
            at: Timestamp::MIN,
            status: Status { partitions: partitions.collect(), ..Status::default() },
            report: Report { assigned, ..Report::default() },
            direct: None,
        }
    }

    #[test]
    fn an_instance_is_ready_once_a_worker_has_had_partitions_and_all_workers_are_ready() {
        let registry = StatusRegistry::new(2);
        assert!(!registry.is_ready());
        registry.publish(0, snapshot(2, &[true, false]));
        assert!(!registry.is_ready(), "the second worker has not reported");
        registry.publish(1, snapshot(0, &[]));
        assert!(!registry.is_ready(), "a partition is being restored");
        registry.publish(0, snapshot(2, &[true, true]));
        assert!(registry.is_ready());
        assert_eq!(registry.partitions(), 2);
        let mut over_limit = snapshot(2, &[true, true]);
        over_limit.status.is_over_limit = true;
        registry.publish(0, over_limit);
        assert!(!registry.is_ready());
    }

    #[test]
    fn an_instance_without_partitions_is_not_ready_at_once() {
        let registry = StatusRegistry::new(1);
        registry.publish(0, snapshot(0, &[]));
        assert!(!registry.is_ready());
    }
}
