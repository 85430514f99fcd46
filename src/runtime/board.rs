//! How each worker does, as far as it has said: read by whoever wants to know, without disturbing anybody.

use std::sync::{Arc, Mutex, PoisonError};

use crate::lifecycle::time::Timestamp;

use super::query::Status;

/// One place for each worker, which it writes over now and then.
#[derive(Debug)]
pub struct Board {
    workers: Vec<Mutex<Option<Arc<Seen>>>>,
}

/// How a worker did at an instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Wall time.
    pub at: Timestamp,
    /// How it did.
    pub status: Status,
    /// Records not yet read, by partition in the order of `status`; `None` where the client has not heard of the end.
    pub lags: Vec<Option<u64>>,
}

impl Board {
    /// An empty board for `workers` workers.
    #[must_use]
    pub fn of(workers: usize) -> Self {
        Self { workers: (0..workers).map(|_| Mutex::default()).collect() }
    }

    /// Says how `worker` does.
    pub fn write(&self, worker: usize, seen: Seen) {
        *self.workers[worker].lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(seen));
    }

    /// What each worker said last; `None` for one that has said nothing yet.
    #[must_use]
    pub fn read(&self) -> Vec<Option<Arc<Seen>>> {
        self.workers.iter().map(|place| place.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }
}
