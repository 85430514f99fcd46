//! `/v1/partitions`: the progress of this instance's partitions, and the state of its workers.

#![expect(clippy::struct_field_names, reason = "fields are named as in the response")]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::lifecycle::time::{Duration, Timestamp};
use crate::runtime::WallClock;
use crate::telemetry::snapshot::PartitionStatus;

use super::Api;
use super::response::TimestampText;

/// The partitions and workers of this instance. Each worker reports about twice a second; this is its latest report.
#[derive(Serialize, JsonSchema)]
pub(super) struct Partitions {
    /// Whether all partitions of this instance are restored and processed.
    is_ready: bool,
    workers: Vec<Worker>,
    /// Ordered by partition number.
    partitions: Vec<Partition>,
}

/// The state of a worker.
#[derive(Serialize, JsonSchema)]
struct Worker {
    worker: usize,
    /// Wall time of the report; null before the worker has joined the group.
    seen_at: Option<TimestampText>,
    /// Whether the worker is recovering from a failed transaction.
    is_recovering: bool,
    /// Whether consumption is paused because the customers exceed `state.max_bytes`.
    is_over_limit: bool,
    partitions: Vec<i32>,
}

/// The state of a partition.
#[derive(Serialize, JsonSchema)]
struct Partition {
    partition: i32,
    worker: usize,
    state: PartitionState,
    /// Progress of the restore; null if the partition is not being restored.
    restore: Option<Restore>,
    /// The position: offset of the next record to read; null before the partition is restored.
    position: Option<i64>,
    /// The committed offset: that of the next record to process after a restart, up to one batch behind the position;
    /// null while it is unknown.
    committed_offset: Option<i64>,
    /// Number of records not read yet; null while the end offset is unknown.
    lag_records: Option<u64>,
    /// Wall time minus the highest event time consumed; 0 if there is no lag, null while it is unknown.
    lag_seconds: Option<f64>,
    /// The watermark: the time up to which wake-ups fire; null while it is unknown.
    clock: Option<TimestampText>,
    /// The stream time: the highest event time of the committed touchpoints.
    reached: Option<TimestampText>,
    customers: usize,
    /// Memory that the customers use, in bytes.
    bytes: usize,
    /// Number of pending wake-ups.
    wake_ups: usize,
}

/// The progress of a restore.
#[derive(Serialize, JsonSchema)]
struct Restore {
    /// Number of changelog offsets still to read.
    remaining_records: u64,
    /// Estimated size of those records in bytes; null before the first record is read.
    remaining_bytes: Option<u64>,
    customers_per_second: u64,
    /// Estimated seconds until the restore finishes, at its rate so far; null before there is an estimate.
    eta_seconds: Option<f64>,
}

/// What the worker does with a partition.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum PartitionState {
    /// It restores the customers from the changelog.
    Restoring,
    /// It processes touchpoints.
    Running,
}

pub(super) async fn partitions(State(api): State<Arc<Api>>) -> Json<Partitions> {
    let now = WallClock::start().now().wall;
    let mut partitions = Vec::new();
    let mut workers = Vec::new();
    let snapshots = api.status_registry.snapshots();
    let is_ready = api.status_registry.is_ready_in(&snapshots);
    for (worker, snapshot) in snapshots.into_iter().enumerate() {
        let status = snapshot.as_ref().map(|snapshot| &snapshot.status);
        workers.push(Worker {
            worker,
            seen_at: snapshot.as_ref().map(|snapshot| snapshot.at.into()),
            is_recovering: status.is_some_and(|status| status.is_recovering),
            is_over_limit: status.is_some_and(|status| status.is_over_limit),
            partitions: status
                .map_or_else(Vec::new, |status| status.partitions.iter().map(|status| status.partition).collect()),
        });
        if let Some(snapshot) = snapshot {
            partitions.extend(snapshot.status.partitions.iter().map(|status| Partition::of(worker, status, now)));
        }
    }
    partitions.sort_by_key(|partition| partition.partition);
    Json(Partitions { is_ready, workers, partitions })
}

impl Partition {
    fn of(worker: usize, status: &PartitionStatus, now: Timestamp) -> Self {
        Self {
            partition: status.partition,
            worker,
            state: if status.is_running { PartitionState::Running } else { PartitionState::Restoring },
            restore: status.restore.as_ref().map(|restore| Restore {
                remaining_records: restore.remaining_records,
                remaining_bytes: restore.remaining_bytes,
                customers_per_second: restore.customers_per_second,
                eta_seconds: restore.eta.map(|eta| eta.as_secs_f64()),
            }),
            position: status.is_running.then_some(status.position),
            committed_offset: status.committed_offset,
            lag_records: status.lag_records,
            lag_seconds: status.lag(now).map(Duration::as_seconds),
            clock: status.watermark.map(TimestampText::from),
            reached: status.committed_stream_time.map(TimestampText::from),
            customers: status.customers,
            bytes: status.bytes,
            wake_ups: status.wake_ups,
        }
    }
}
