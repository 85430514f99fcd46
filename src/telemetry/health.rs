//! Health of the workers, for the HTTP probes and the watchdog.
//!
//! An unreachable broker does not make an instance unready: the workers keep their readiness, because other instances
//! could not reach the broker either.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Health of all workers.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    workers: Vec<WorkerHealth>,
}

#[derive(Debug, Default)]
struct WorkerHealth {
    /// Milliseconds since `started`.
    last_heartbeat: AtomicU64,
    has_had_partitions: AtomicBool,
    is_ready: AtomicBool,
}

impl Health {
    /// Time after which an instance that was never assigned a partition is ready: the group may have more members than
    /// there are partitions.
    const IDLE_READY_AFTER: Duration = Duration::from_mins(1);

    /// Creates the health of `workers` workers that start now.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { started: Instant::now(), workers: (0..workers).map(|_| WorkerHealth::default()).collect() }
    }

    /// Records that the worker has completed a step of its loop.
    pub fn heartbeat(&self, worker: usize) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.workers[worker].last_heartbeat.store(now, Ordering::Relaxed);
    }

    /// Sets whether the worker has partitions and whether it processes all of them.
    pub fn set_ready(&self, worker: usize, has_partitions: bool, is_ready: bool) {
        let health = &self.workers[worker];
        if has_partitions {
            health.has_had_partitions.store(true, Ordering::Relaxed);
        }
        health.is_ready.store(is_ready, Ordering::Relaxed);
    }

    /// Returns the longest time since the last heartbeat of a worker.
    #[must_use]
    pub fn since_heartbeat(&self) -> Duration {
        let oldest =
            self.workers.iter().map(|worker| worker.last_heartbeat.load(Ordering::Relaxed)).min().unwrap_or_default();
        self.started.elapsed().saturating_sub(Duration::from_millis(oldest))
    }

    /// Whether every assigned partition of this instance is being processed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let has_had_partitions = self.workers.iter().any(|worker| worker.has_had_partitions.load(Ordering::Relaxed));
        (has_had_partitions || self.started.elapsed() >= Self::IDLE_READY_AFTER)
            && self.workers.iter().all(|worker| worker.is_ready.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_ready_once_a_worker_has_partitions_and_all_workers_are_ready() {
        let health = Health::new(2);
        assert!(!health.is_ready());
        health.set_ready(0, true, false);
        health.set_ready(1, false, true);
        assert!(!health.is_ready());
        health.set_ready(0, true, true);
        assert!(health.is_ready());
    }

    #[test]
    fn an_instance_without_partitions_is_not_ready_at_once() {
        let health = Health::new(1);
        health.set_ready(0, false, true);
        assert!(!health.is_ready());
    }
}
