//! `/v1/overview`: the totals of this instance, for a view that computes rates from two responses.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::lifecycle::id::StageIndex;
use crate::lifecycle::model::Model;
use crate::lifecycle::time::Duration;
use crate::runtime::WallClock;
use crate::telemetry::snapshot::{PartitionStatus, WorkerSnapshot};

use super::Api;
use super::response::TimestampText;

/// The totals of this instance, from the latest report of each worker. Counters start at 0 with the process.
#[derive(Serialize, JsonSchema)]
pub(super) struct Overview {
    /// Whether all partitions of this instance are restored and processed.
    is_ready: bool,
    /// When the service started: when it changes, all counters have started again at 0.
    started_at: TimestampText,
    /// Touchpoints consumed and committed, with duplicates and dead letters.
    touchpoints: u64,
    /// Transitions published.
    transitions: u64,
    /// Number of records not read yet, over all partitions whose end offset is known.
    lag_records: u64,
    /// The largest lag of a partition: wall time minus its highest event time, 0 without unread records.
    lag_seconds: f64,
    /// The highest watermark of a partition; null while none is known.
    clock: Option<TimestampText>,
    /// Customers in memory.
    customers: usize,
    /// Durations of the committed transactions, in buckets with ascending bounds.
    commits: Vec<Bucket>,
    /// In the order of the configuration.
    models: Vec<ModelTotals>,
}

/// The number of transactions up to a duration.
#[derive(Serialize, JsonSchema)]
struct Bucket {
    /// The upper bound; null for the last bucket, which has none.
    seconds: Option<f64>,
    /// Transactions up to this bound, including those of the buckets before.
    count: u64,
}

/// The customers of a model, and their moves.
#[derive(Serialize, JsonSchema)]
struct ModelTotals {
    model: String,
    /// The stages as the model lists them, then the customers in no stage.
    stages: Vec<StageTotal>,
    /// The moves that have happened.
    moves: Vec<MoveTotal>,
}

/// The number of customers in a stage.
#[derive(Serialize, JsonSchema)]
struct StageTotal {
    /// Null for customers for whom no stage's condition holds.
    stage: Option<String>,
    customers: u64,
}

/// The number of published moves between two stages.
#[derive(Serialize, JsonSchema)]
struct MoveTotal {
    /// The stage that was left; null for no stage.
    from: Option<String>,
    /// The stage that was entered; null for no stage.
    to: Option<String>,
    count: u64,
}

pub(super) async fn overview(State(api): State<Arc<Api>>) -> Json<Overview> {
    let now = WallClock::start().now().wall;
    let registry = &api.status_registry;
    let snapshots = registry.snapshots();
    let is_ready = registry.is_ready_in(&snapshots);
    let snapshots: Vec<_> = snapshots.into_iter().flatten().collect();
    let reports = || snapshots.iter().map(|snapshot| &snapshot.report);
    let partitions: Vec<&PartitionStatus> = snapshots.iter().flat_map(|snapshot| &snapshot.status.partitions).collect();
    let lag = partitions.iter().filter_map(|partition| partition.lag(now)).max();
    Json(Overview {
        is_ready,
        started_at: api.started_at.into(),
        touchpoints: reports().map(|report| report.tally.consumed).sum(),
        transitions: reports().flat_map(|report| report.transitions.values().flat_map(BTreeMap::values)).sum(),
        lag_records: partitions.iter().filter_map(|partition| partition.lag_records).sum(),
        lag_seconds: lag.map_or(0.0, Duration::as_seconds),
        clock: partitions.iter().filter_map(|partition| partition.watermark).max().map(TimestampText::from),
        customers: partitions.iter().map(|partition| partition.customers).sum(),
        commits: commits(&snapshots),
        models: (0..).zip(&api.models.models).map(|(index, model)| totals(index, model, &snapshots)).collect(),
    })
}

fn commits(snapshots: &[Arc<WorkerSnapshot>]) -> Vec<Bucket> {
    let mut durations = snapshots.iter().map(|snapshot| &snapshot.report.measured.commit_duration);
    let Some(mut total) = durations.next().cloned() else { return Vec::new() };
    durations.for_each(|other| total.add(other));
    let bounded = total.buckets().map(|(bound, count)| Bucket { seconds: Some(bound), count });
    bounded.chain([Bucket { seconds: None, count: total.count() }]).collect()
}

fn totals(index: u8, model: &Model, snapshots: &[Arc<WorkerSnapshot>]) -> ModelTotals {
    let name = |stage: StageIndex| model.stage(stage).name.to_string();
    let customers = |stage: usize| {
        let partitions = snapshots.iter().flat_map(|snapshot| &snapshot.status.partitions);
        partitions.filter_map(|partition| partition.stage_counts.get(usize::from(index))?.get(stage)).sum()
    };
    let stages = model.stages.iter().map(|stage| Some(stage.name.to_string())).chain([None]);
    let mut moves: BTreeMap<(Option<StageIndex>, Option<StageIndex>), u64> = BTreeMap::new();
    for (&(of, from, to), count) in snapshots.iter().flat_map(|snapshot| &snapshot.report.moves) {
        if of == index {
            *moves.entry((from, to)).or_default() += count;
        }
    }
    let moves =
        moves.into_iter().map(|((from, to), count)| MoveTotal { from: from.map(name), to: to.map(name), count });
    ModelTotals {
        model: model.name.to_string(),
        stages: stages.enumerate().map(|(at, stage)| StageTotal { stage, customers: customers(at) }).collect(),
        moves: moves.collect(),
    }
}
