//! Publishes the snapshots and heartbeats of one worker.
//!
//! Runs on the worker thread between two iterations of its loop. Heartbeats are recorded every time, snapshots are
//! published only twice a second, because taking one visits every partition.

use std::sync::Arc;
use std::time::Duration;

use crate::kafka::Member;
use crate::runtime::{Moment, Worker};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::status_registry::StatusRegistry;

/// How often a snapshot is published.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(500);

/// Publishes what one worker reports.
pub(super) struct Observer {
    worker: usize,
    status_registry: Arc<StatusRegistry>,
    metrics: Arc<Metrics>,
    next_snapshot: Duration,
    rebalanced_seen: u64,
}

impl Observer {
    pub(super) fn new(worker: usize, status_registry: Arc<StatusRegistry>, metrics: Arc<Metrics>) -> Self {
        Self { worker, status_registry, metrics, next_snapshot: Duration::ZERO, rebalanced_seen: 0 }
    }

    /// Records a heartbeat before the worker exists, while it still connects to Kafka.
    pub(super) fn heartbeat(&self) {
        self.status_registry.heartbeat(self.worker);
    }

    /// Records a heartbeat after an iteration of the worker's loop, and publishes a snapshot if that is due.
    pub(super) fn observe<M: Member>(&mut self, worker: &mut Worker<M>, now: Moment) {
        self.heartbeat();
        let report = worker.report();
        let rebalanced = report.assigned + report.revoked + report.lost;
        // A rebalance is published at once: the new owner of a revoked partition may already report it.
        if now.elapsed >= self.next_snapshot || rebalanced > self.rebalanced_seen {
            self.rebalanced_seen = rebalanced;
            self.next_snapshot = now.elapsed + SNAPSHOT_INTERVAL;
            self.metrics.publish(self.worker, worker.snapshot(now));
        }
    }

    /// Publishes a last snapshot before the worker leaves the group.
    pub(super) fn observe_last<M: Member>(&mut self, worker: &mut Worker<M>, now: Moment) {
        self.next_snapshot = Duration::ZERO;
        self.observe(worker, now);
    }
}
