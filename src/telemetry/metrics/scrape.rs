//! What one scrape exports: the latest snapshots of the workers, all taken when it begins.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::lifecycle::time::{Duration, Timestamp};
use crate::telemetry::ingest::IngestSnapshot;
use crate::telemetry::process::{self, ProcessStats};
use crate::telemetry::report::Report;
use crate::telemetry::snapshot::{PartitionStatus, WorkerSnapshot};

use super::Metrics;

/// Values of the `state` label.
pub(super) const STATES: [&str; 4] = ["starting", "restoring", "running", "stopping"];

/// The values that one scrape exports.
#[derive(Debug)]
pub(in crate::telemetry) struct Scrape<'a> {
    pub(in crate::telemetry) metrics: &'a Metrics,
    pub(in crate::telemetry) is_ready: bool,
    pub(super) process: Option<ProcessStats>,
    /// The number of each worker, as a label value, and its snapshot.
    pub(super) workers: Vec<(String, Arc<WorkerSnapshot>)>,
    /// The ingest workers, and the workers that read a source directly.
    pub(in crate::telemetry) ingest: Vec<Arc<IngestSnapshot>>,
}

impl<'a> Scrape<'a> {
    pub(super) fn of(metrics: &'a Metrics) -> Self {
        let registry = &metrics.status_registry;
        let snapshots = registry.snapshots();
        let is_ready = registry.is_ready_in(&snapshots);
        let direct = snapshots.iter().flatten().filter_map(|snapshot| snapshot.direct.clone());
        let ingest = registry.ingest().snapshots().into_iter().flatten().chain(direct).collect();
        let workers = snapshots
            .into_iter()
            .enumerate()
            .filter_map(|(worker, snapshot)| Some((worker.to_string(), snapshot?)))
            .collect();
        Self { metrics, is_ready, process: process::read_stats(), workers, ingest }
    }

    pub(super) fn reports(&self) -> impl Iterator<Item = &Report> {
        self.workers.iter().map(|(_, snapshot)| &snapshot.report)
    }

    /// Returns the partitions and when their status was read.
    pub(in crate::telemetry) fn partitions(&self) -> impl Iterator<Item = (&PartitionStatus, Timestamp)> {
        self.workers.iter().flat_map(|(_, snapshot)| snapshot.status.partitions.iter().map(|it| (it, snapshot.at)))
    }

    pub(in crate::telemetry) fn restoring(&self) -> impl Iterator<Item = &PartitionStatus> {
        self.partitions().map(|(partition, _)| partition).filter(|partition| !partition.is_running)
    }

    /// Returns the longest time for which a wake-up may have been overdue.
    pub(in crate::telemetry) fn overdue_seconds(&self) -> f64 {
        let Some(lateness) = self.metrics.lateness else { return 0.0 };
        self.partitions().map(|(partition, at)| partition.overdue(lateness, at)).max().map_or(0.0, Duration::as_seconds)
    }

    /// Returns the longest estimated remaining time of a restore.
    pub(in crate::telemetry) fn restore_eta_seconds(&self) -> f64 {
        self.restoring().filter_map(|it| it.restore?.eta).max().unwrap_or_default().as_secs_f64()
    }

    /// Returns the current one of [`STATES`].
    pub(super) fn state(&self) -> &'static str {
        if self.metrics.is_stopping.load(Ordering::Relaxed) {
            "stopping"
        } else if self.restoring().next().is_some() {
            "restoring"
        } else if self.is_ready || self.partitions().next().is_some() {
            "running"
        } else {
            "starting"
        }
    }
}
