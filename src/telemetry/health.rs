//! How the workers do, as far as they have said: for probes and for the watchdog.
//!
//! A worker that waits for Kafka says nothing new, so that what is known stays as it was: a broker that is away makes
//! no instance unready.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The health of all workers.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    workers: Vec<WorkerHealth>,
}

#[derive(Debug, Default)]
struct WorkerHealth {
    /// Milliseconds since `started`.
    beat: AtomicU64,
    has_worked: AtomicBool,
    is_settled: AtomicBool,
}

impl Health {
    /// After how long without a partition an instance counts as ready: the group has more members than partitions.
    const IDLE_READY_AFTER: Duration = Duration::from_mins(1);

    /// The health of `workers` workers that start now.
    #[must_use]
    pub fn of(workers: usize) -> Self {
        Self { started: Instant::now(), workers: (0..workers).map(|_| WorkerHealth::default()).collect() }
    }

    /// The worker's loop has come round.
    pub fn beat(&self, worker: usize) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.workers[worker].beat.store(now, Ordering::Relaxed);
    }

    /// The worker says whether it has partitions, and whether it works on all of them.
    pub fn settle(&self, worker: usize, has_partitions: bool, is_settled: bool) {
        let health = &self.workers[worker];
        if has_partitions {
            health.has_worked.store(true, Ordering::Relaxed);
        }
        health.is_settled.store(is_settled, Ordering::Relaxed);
    }

    /// For how long the slowest worker's loop has not come round.
    #[must_use]
    pub fn silence(&self) -> Duration {
        let oldest = self.workers.iter().map(|worker| worker.beat.load(Ordering::Relaxed)).min().unwrap_or_default();
        self.started.elapsed().saturating_sub(Duration::from_millis(oldest))
    }

    /// Whether every partition of this instance is worked on.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let has_worked = self.workers.iter().any(|worker| worker.has_worked.load(Ordering::Relaxed));
        (has_worked || self.started.elapsed() >= Self::IDLE_READY_AFTER)
            && self.workers.iter().all(|worker| worker.is_settled.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_ready_once_some_worker_has_partitions_and_all_are_settled() {
        let health = Health::of(2);
        assert!(!health.is_ready());
        health.settle(0, true, false);
        health.settle(1, false, true);
        assert!(!health.is_ready());
        health.settle(0, true, true);
        assert!(health.is_ready());
    }

    #[test]
    fn an_instance_without_partitions_is_not_ready_at_once() {
        let health = Health::of(1);
        health.settle(0, false, true);
        assert!(!health.is_ready());
    }
}
