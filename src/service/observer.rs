//! Turns what a worker reports into metrics and health, now and then.

use std::sync::Arc;
use std::time::Duration;

use crate::kafka::Member;
use crate::lifecycle::time::{self, Timestamp};
use crate::runtime::{Board, ClockSource, Moment, Options, PartitionStatus, Report, Seen, Worker};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::{Counts, Metrics, PartitionGauges, StageMove, TransitionSort, WorkerGauges};

const EPOCH: Timestamp = Timestamp::from_millis(0);
/// How often metrics are brought up to date.
const PERIOD: Duration = Duration::from_millis(500);

/// What was last seen of a worker.
pub(super) struct Observer {
    worker: usize,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    /// By how much wake-ups fire later than due; `None` where the wall has no say in when they do.
    lateness: Option<time::Duration>,
    due: Duration,
    commits_seen: u64,
    rebalanced_seen: u64,
    last_commit_seconds: Option<f64>,
}

impl Observer {
    pub(super) fn new(
        worker: usize,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
        board: Arc<Board>,
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
            board,
            lateness,
            due: Duration::ZERO,
            commits_seen: 0,
            rebalanced_seen: 0,
            last_commit_seconds: None,
        }
    }

    /// Nothing has come of the worker yet, but it is alive.
    pub(super) fn wait(&self) {
        self.health.beat(self.worker);
    }

    /// Looks at `worker` after a round of its loop.
    pub(super) fn look<M: Member>(&mut self, worker: &mut Worker<M>, now: Moment) {
        self.health.beat(self.worker);
        let report = worker.report();
        if report.commits > self.commits_seen {
            self.commits_seen = report.commits;
            self.last_commit_seconds = Some(instant(now.wall));
        }
        let rebalanced = report.gained + report.revoked + report.lost;
        // At once: another instance may report a partition that has gone as soon as it has it.
        if now.elapsed >= self.due || rebalanced > self.rebalanced_seen {
            self.rebalanced_seen = rebalanced;
            self.due = now.elapsed + PERIOD;
            self.tell(worker, now);
        }
    }

    /// Looks at `worker` for the last time.
    pub(super) fn look_last<M: Member>(&mut self, worker: &mut Worker<M>, now: Moment) {
        self.due = Duration::ZERO;
        self.look(worker, now);
    }

    fn tell<M: Member>(&self, worker: &mut Worker<M>, now: Moment) {
        let status = worker.status();
        // A transaction that is being dealt with makes nobody unready: the broker may be away, and no other instance is better off.
        let is_settled = !status.is_over_limit && status.partitions.iter().all(|partition| partition.is_running);
        self.health.settle(self.worker, !status.partitions.is_empty(), is_settled);
        let lags: Vec<_> = status.partitions.iter().map(|partition| worker.lag(partition.partition)).collect();
        self.board.write(self.worker, Seen { at: now.wall, status: status.clone(), lags: lags.clone() });
        let partitions = status.partitions.into_iter().zip(lags).map(|(of, lag)| self.partition(of, lag, now.wall));
        let gauges = WorkerGauges {
            last_commit_seconds: self.last_commit_seconds,
            aborts_in_a_row: status.failures_in_a_row,
            activities: worker.activities(),
            topic_partitions: worker.input_partitions(),
            partitions: partitions.collect(),
        };
        self.metrics.set_worker(self.worker, counts(worker.report()), gauges);
    }

    fn partition(&self, of: PartitionStatus, lag: Option<u64>, wall: Timestamp) -> PartitionGauges {
        PartitionGauges {
            partition: of.partition,
            is_restoring: !of.is_running,
            restore_remaining: of.restore.map_or(0, |restore| restore.remaining_records),
            restore_eta_seconds: of.restore.and_then(|restore| Some(restore.eta?.as_secs_f64())),
            position: of.position,
            lag_records: lag,
            lag_seconds: of.lag(lag, wall).map(time::Duration::as_seconds),
            reached_seconds: of.reached.map(instant),
            clock_seconds: of.clock.map(instant),
            overdue_seconds: self.lateness.map_or(0.0, |lateness| of.overdue(lateness, wall).as_seconds()),
            customers: of.customers,
            bytes: of.bytes,
            wake_ups: of.wake_ups,
            population: of.population,
        }
    }
}

/// Seconds since the epoch.
fn instant(instant: Timestamp) -> f64 {
    (instant - EPOCH).as_seconds()
}

fn counts(report: &Report) -> Counts {
    let transitions = report.transitions.iter().flat_map(|(of, names)| {
        names.iter().map(|(name, &count)| {
            let sort = TransitionSort {
                model: usize::from(of.model),
                kind: of.kind,
                name: name.clone(),
                cause: of.cause,
                mode: of.mode.as_str(),
            };
            (sort, count)
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
        renewed: report.renewals,
        gained: report.gained,
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
    use crate::runtime::Sort;
    use crate::wire::transition::Mode;

    #[test]
    fn what_is_reported_is_counted_under_its_labels() {
        let sort = Sort { model: 1, kind: "stage", cause: "time", mode: Mode::Replay };
        let mut report = Report { commits: 3, ..Report::default() };
        report.tally.consumed = 10;
        report.transitions.entry(sort).or_default().insert("churned".into(), 4);
        report.moves.insert((1, Some(StageIndex(2)), None), 4);
        let counts = counts(&report);
        assert_eq!((counts.committed, counts.tally.consumed), (3, 10));
        let sort = TransitionSort { model: 1, kind: "stage", name: "churned".into(), cause: "time", mode: "replay" };
        assert_eq!(counts.transitions, [(sort, 4)].into());
        assert_eq!(counts.moves, [(StageMove { model: 1, from: Some(2), to: None }, 4)].into());
    }
}
