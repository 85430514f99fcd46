//! Copies the status of one worker to the metrics, the health probes and the status registry.
//!
//! Runs on the worker thread between two iterations of its loop. Heartbeats are recorded every time, everything else
//! only twice a second, because reading the status visits every partition.

use std::sync::Arc;
use std::time::Duration;

use crate::kafka::Member;
use crate::lifecycle::time::{self, Timestamp};
use crate::runtime::{ClockSource, Moment, Options, PartitionStatus, Report, StatusRegistry, Worker, WorkerSnapshot};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::{Counts, Metrics, PartitionGauges, StageMove, TransitionLabels, WorkerGauges};

const EPOCH: Timestamp = Timestamp::from_millis(0);
/// How often the metrics are updated.
const UPDATE_INTERVAL: Duration = Duration::from_millis(500);

/// Publishes the status of one worker and remembers what it published last.
pub(super) struct Observer {
    worker: usize,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    status_registry: Arc<StatusRegistry>,
    /// Allowed lateness: how long after its due time a wake-up fires. `None` if wall time does not drive the clock.
    lateness: Option<time::Duration>,
    next_update: Duration,
    commits_seen: u64,
    rebalanced_seen: u64,
    last_commit_seconds: Option<f64>,
}

impl Observer {
    pub(super) fn new(
        worker: usize,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
        status_registry: Arc<StatusRegistry>,
        options: &Options,
    ) -> Self {
        let lateness = match options.clock_source {
            ClockSource::Wall => Some(options.facts.lateness),
            ClockSource::Touchpoints => None,
        };
        Self {
            worker,
            health,
            metrics,
            status_registry,
            lateness,
            next_update: Duration::ZERO,
            commits_seen: 0,
            rebalanced_seen: 0,
            last_commit_seconds: None,
        }
    }

    /// Records a heartbeat before the worker exists, while it still connects to Kafka.
    pub(super) fn heartbeat(&self) {
        self.health.heartbeat(self.worker);
    }

    /// Records a heartbeat after an iteration of the worker's loop, and updates everything else if that is due.
    pub(super) fn observe<M: Member>(&mut self, worker: &mut Worker<M>, now: Moment) {
        self.health.heartbeat(self.worker);
        let report = worker.report();
        if report.commits > self.commits_seen {
            self.commits_seen = report.commits;
            self.last_commit_seconds = Some(epoch_seconds(now.wall));
        }
        let rebalanced = report.assigned + report.revoked + report.lost;
        // A rebalance is published at once: the new owner of a revoked partition may already report it.
        if now.elapsed >= self.next_update || rebalanced > self.rebalanced_seen {
            self.rebalanced_seen = rebalanced;
            self.next_update = now.elapsed + UPDATE_INTERVAL;
            self.update(worker, now);
        }
    }

    /// Updates everything one last time, before the worker leaves the group.
    pub(super) fn observe_last<M: Member>(&mut self, worker: &mut Worker<M>, now: Moment) {
        self.next_update = Duration::ZERO;
        self.observe(worker, now);
    }

    fn update<M: Member>(&self, worker: &mut Worker<M>, now: Moment) {
        let status = worker.status();
        // A failing transaction does not make the worker unready: if a broker is down, the other instances fail as
        // well.
        let is_ready = !status.is_over_limit && status.partitions.iter().all(|partition| partition.is_running);
        self.health.set_ready(self.worker, !status.partitions.is_empty(), is_ready);
        let lags: Vec<_> = status.partitions.iter().map(|partition| worker.lag(partition.partition)).collect();
        self.status_registry
            .publish(self.worker, WorkerSnapshot { at: now.wall, status: status.clone(), lags: lags.clone() });
        let partitions =
            status.partitions.into_iter().zip(lags).map(|(status, lag)| self.partition(status, lag, now.wall));
        let gauges = WorkerGauges {
            last_commit_seconds: self.last_commit_seconds,
            consecutive_failures: status.consecutive_failures,
            activities: worker.activities(),
            topic_partitions: worker.input_partitions(),
            partitions: partitions.collect(),
        };
        self.metrics.set_worker(self.worker, counts(worker.report()), gauges);
    }

    fn partition(&self, status: PartitionStatus, lag: Option<u64>, wall: Timestamp) -> PartitionGauges {
        PartitionGauges {
            partition: status.partition,
            is_restoring: !status.is_running,
            restore_remaining: status.restore.map_or(0, |restore| restore.remaining_records),
            restore_eta_seconds: status.restore.and_then(|restore| Some(restore.eta?.as_secs_f64())),
            position: status.position,
            lag_records: lag,
            lag_seconds: status.lag(lag, wall).map(time::Duration::as_seconds),
            stream_time_seconds: status.stream_time.map(epoch_seconds),
            watermark_seconds: status.watermark.map(epoch_seconds),
            overdue_seconds: self.lateness.map_or(0.0, |lateness| status.overdue(lateness, wall).as_seconds()),
            customers: status.customers,
            bytes: status.bytes,
            wake_ups: status.wake_ups,
            stage_counts: status.stage_counts,
        }
    }
}

/// Converts to seconds since the Unix epoch, the unit of Prometheus timestamps.
fn epoch_seconds(time: Timestamp) -> f64 {
    (time - EPOCH).as_seconds()
}

fn counts(report: &Report) -> Counts {
    let transitions = report.transitions.iter().flat_map(|(of, names)| {
        names.iter().map(|(name, &count)| {
            let labels = TransitionLabels {
                model: usize::from(of.model),
                kind: of.kind,
                name: name.clone(),
                cause: of.cause,
                mode: of.mode.as_str(),
            };
            (labels, count)
        })
    });
    let moves = report.moves.iter().map(|(&(model, from, to), &count)| {
        let stage = |stage: Option<crate::lifecycle::id::StageIndex>| stage.map(|stage| usize::from(stage.0));
        (StageMove { model: usize::from(model), from: stage(from), to: stage(to) }, count)
    });
    Counts {
        tally: report.tally,
        dead_letters: report.dead_letters.clone(),
        touchpoint_bytes: report.touchpoint_bytes,
        transitions: transitions.collect(),
        moves: moves.collect(),
        written: report.written,
        committed: report.commits,
        aborted: report.aborts,
        unknown_outcomes: report.producer_resets,
        assigned: report.assigned,
        revoked: report.revoked,
        lost: report.lost,
        restored: report.restored,
        sweeps: report.sweeps,
        truncated: report.truncations,
        truncations_failed: report.truncations_failed,
        measured: report.measured.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::id::StageIndex;
    use crate::runtime::TransitionGroup;
    use crate::wire::transition::Mode;

    #[test]
    fn a_report_becomes_counts_with_labels() {
        let group = TransitionGroup { model: 1, kind: "stage", cause: "time", mode: Mode::Replay };
        let mut report = Report { commits: 3, ..Report::default() };
        report.tally.consumed = 10;
        report.transitions.entry(group).or_default().insert("churned".into(), 4);
        report.moves.insert((1, Some(StageIndex(2)), None), 4);
        let counts = counts(&report);
        assert_eq!((counts.committed, counts.tally.consumed), (3, 10));
        let labels =
            TransitionLabels { model: 1, kind: "stage", name: "churned".into(), cause: "time", mode: "replay" };
        assert_eq!(counts.transitions, [(labels, 4)].into());
        assert_eq!(counts.moves, [(StageMove { model: 1, from: Some(2), to: None }, 4)].into());
    }
}
