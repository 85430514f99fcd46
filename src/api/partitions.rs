//! `/v1/partitions`: the partitions of this instance, how far each has come, and how its worker does.

#![expect(clippy::struct_field_names, reason = "fields are named as in the answer")]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::lifecycle::time::{Duration, Timestamp};
use crate::runtime::{PartitionStatus, WallClock};

use super::Api;
use super::answer::Instant;

/// What this instance works on. Each worker says how it does about twice a second; what is told is what it said last.
#[derive(Serialize, JsonSchema)]
pub(super) struct Partitions {
    /// Whether all partitions of this instance are restored and worked on.
    is_ready: bool,
    workers: Vec<Worker>,
    /// In order of number.
    partitions: Vec<Partition>,
}

/// How a worker does.
#[derive(Serialize, JsonSchema)]
struct Worker {
    worker: usize,
    /// When it said so; null before it has joined the group.
    seen_at: Option<Instant>,
    /// Whether a transaction has failed and is being dealt with.
    is_recovering: bool,
    /// Whether customers take more memory than allowed, so that nothing is read.
    is_over_limit: bool,
    partitions: Vec<i32>,
}

/// How a partition does.
#[derive(Serialize, JsonSchema)]
struct Partition {
    partition: i32,
    worker: usize,
    state: PartitionState,
    /// How far the restore has come; null when none is under way.
    restore: Option<Restore>,
    /// The next touchpoint's offset, as committed; null before the first commit is known.
    position: Option<i64>,
    /// Records not yet read; null while the client has not heard of the end.
    lag_records: Option<u64>,
    /// How far the touchpoints read lie behind wall time; 0 when there is no lag.
    lag_seconds: Option<f64>,
    /// Up to which instant wake-ups of silent customers fire; null before anything says what time it is.
    clock: Option<Instant>,
    /// The event time of the latest committed touchpoint.
    reached: Option<Instant>,
    customers: usize,
    /// Memory that the customers take.
    bytes: usize,
    /// Wake-ups that wait.
    wake_ups: usize,
}

/// How far a restore has come.
#[derive(Serialize, JsonSchema)]
struct Restore {
    /// How many offsets of the changelog are still to be read.
    remaining_records: u64,
    /// How many bytes those hold, estimated; null before the first is read.
    remaining_bytes: Option<u64>,
    customers_per_second: u64,
    /// In how many seconds it is through, if it goes on as it went; null before anything can be said.
    eta_seconds: Option<f64>,
}

/// What is done with a partition.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum PartitionState {
    /// Its customers are read from the changelog.
    Restoring,
    /// Touchpoints are applied.
    Running,
}

pub(super) async fn partitions(State(api): State<Arc<Api>>) -> Json<Partitions> {
    let now = WallClock::start().now().wall;
    let mut partitions = Vec::new();
    let mut workers = Vec::new();
    for (worker, seen) in api.board.read().into_iter().enumerate() {
        let status = seen.as_ref().map(|seen| &seen.status);
        workers.push(Worker {
            worker,
            seen_at: seen.as_ref().map(|seen| seen.at.into()),
            is_recovering: status.is_some_and(|status| status.is_recovering),
            is_over_limit: status.is_some_and(|status| status.is_over_limit),
            partitions: status
                .map_or_else(Vec::new, |status| status.partitions.iter().map(|status| status.partition).collect()),
        });
        if let Some(seen) = seen {
            let lags = seen.status.partitions.iter().zip(&seen.lags);
            partitions.extend(lags.map(|(status, &lag)| Partition::of(worker, status, lag, now)));
        }
    }
    partitions.sort_by_key(|partition| partition.partition);
    Json(Partitions { is_ready: api.health.is_ready(), workers, partitions })
}

impl Partition {
    fn of(worker: usize, status: &PartitionStatus, lag: Option<u64>, now: Timestamp) -> Self {
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
            position: status.committed,
            lag_records: lag,
            lag_seconds: status.lag(lag, now).map(Duration::as_seconds),
            clock: status.clock.map(Instant::from),
            reached: status.committed_reached.map(Instant::from),
            customers: status.customers,
            bytes: status.bytes,
            wake_ups: status.wake_ups,
        }
    }
}
