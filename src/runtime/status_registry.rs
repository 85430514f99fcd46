//! Latest status of each worker, for readers on other threads.
//!
//! Workers publish a snapshot about twice a second. Snapshots are shared, so a reader holds the lock only to clone a
//! pointer.

use std::sync::{Arc, Mutex, PoisonError};

use crate::lifecycle::time::Timestamp;

use super::query::Status;

/// The latest snapshot of each worker.
#[derive(Debug)]
pub struct StatusRegistry {
    workers: Vec<Mutex<Option<Arc<WorkerSnapshot>>>>,
}

/// Status of a worker at an instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkerSnapshot {
    /// Wall time of the snapshot.
    pub at: Timestamp,
    /// Status of the worker.
    pub status: Status,
    /// Lag in records, in the order of `status.partitions`; `None` where the end offset is not known yet.
    pub lags: Vec<Option<u64>>,
}

impl StatusRegistry {
    /// Returns a registry for `workers` workers, without snapshots.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { workers: (0..workers).map(|_| Mutex::default()).collect() }
    }

    /// Replaces the snapshot of `worker`.
    pub fn publish(&self, worker: usize, snapshot: WorkerSnapshot) {
        *self.workers[worker].lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(snapshot));
    }

    /// Returns the latest snapshot of each worker; `None` before its first one.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Option<Arc<WorkerSnapshot>>> {
        self.workers.iter().map(|worker| worker.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }
}
