//! Turns what a worker reports into metrics and health: once per committed batch, and now and then in between.

use std::sync::Arc;
use std::time::Duration;

use crate::kafka::Member;
use crate::lifecycle::time::{self, Timestamp};
use crate::runtime::{Moment, Report, Worker};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::{Metrics, PartitionGauges, Progress, TransitionCount, WorkerGauges};

const EPOCH: Timestamp = Timestamp::from_millis(0);
/// How often gauges are brought up to date.
const GAUGE_PERIOD: Duration = Duration::from_millis(500);

/// What was last seen of a worker.
pub(super) struct Observer {
    worker: usize,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    seen: Report,
    gauges_due: Duration,
    last_commit_seconds: Option<f64>,
}

impl Observer {
    pub(super) fn new(worker: usize, health: Arc<Health>, metrics: Arc<Metrics>) -> Self {
        Self { worker, health, metrics, seen: Report::default(), gauges_due: Duration::ZERO, last_commit_seconds: None }
    }

    /// Nothing has come of the worker yet, but it is alive.
    pub(super) fn wait(&self) {
        self.health.beat(self.worker);
    }

    /// Looks at `worker` after a round of its loop.
    pub(super) fn look<M: Member>(&mut self, worker: &mut Worker<M>, now: Moment) {
        self.health.beat(self.worker);
        let report = worker.report();
        if *report != self.seen {
            if report.commits > self.seen.commits {
                self.last_commit_seconds = Some(seconds(now.wall - EPOCH));
            }
            self.metrics.count(&difference(&self.seen, report));
            self.seen = report.clone();
        }
        if now.elapsed >= self.gauges_due {
            self.gauges_due = now.elapsed + GAUGE_PERIOD;
            self.set_gauges(worker, now);
        }
    }

    fn set_gauges<M: Member>(&self, worker: &mut Worker<M>, now: Moment) {
        let status = worker.status();
        // A transaction that is being dealt with makes nobody unready: the broker may be away, and no other instance is better off.
        let is_settled = !status.is_over_limit && status.partitions.iter().all(|partition| partition.is_running);
        self.health.settle(self.worker, !status.partitions.is_empty(), is_settled);
        let lags: Vec<_> = status.partitions.iter().map(|partition| worker.lag(partition.partition)).collect();
        let partitions = status.partitions.into_iter().zip(lags).map(|(partition, lag)| PartitionGauges {
            partition: partition.partition,
            is_restoring: !partition.is_running,
            customers: partition.customers,
            bytes: partition.bytes,
            wake_ups: partition.wake_ups,
            lag_records: lag,
            lag_seconds: match (lag, partition.reached) {
                // An idle partition is not behind, however old its latest touchpoint is.
                (Some(0), _) => Some(0.0),
                (Some(_), Some(reached)) => Some(seconds(now.wall - reached).max(0.0)),
                _ => None,
            },
            population: partition.population,
        });
        let gauges = WorkerGauges {
            last_commit_seconds: self.last_commit_seconds,
            is_ready: is_settled,
            partitions: partitions.collect(),
        };
        self.metrics.set_worker(self.worker, gauges);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric of seconds needs no more than 52 bits of milliseconds")]
fn seconds(length: time::Duration) -> f64 {
    length.as_millis() as f64 / 1_000.0
}

/// What `later` has more than `earlier`.
fn difference(earlier: &Report, later: &Report) -> Progress {
    let dead_letters = later
        .dead_letters
        .iter()
        .map(|(reason, count)| (*reason, count - earlier.dead_letters.get(reason).copied().unwrap_or_default()));
    let transitions = later.transitions.iter().flat_map(|(sort, names)| {
        let before = earlier.transitions.get(sort);
        names.iter().map(move |(name, count)| TransitionCount {
            model: usize::from(sort.model),
            kind: sort.kind,
            name: name.clone(),
            cause: sort.cause,
            mode: sort.mode.as_str(),
            count: count - before.and_then(|names| names.get(name)).copied().unwrap_or_default(),
        })
    });
    Progress {
        tally: later.tally - earlier.tally,
        dead_letters: dead_letters.collect(),
        transitions: transitions.filter(|transitions| transitions.count > 0).collect(),
        committed: later.commits - earlier.commits,
        aborted: later.aborts - earlier.aborts,
        renewed: later.renewals - earlier.renewals,
        gained: later.gained - earlier.gained,
        revoked: later.revoked - earlier.revoked,
        lost: later.lost - earlier.lost,
        restored: later.restored - earlier.restored,
        sweeps: later.sweeps - earlier.sweeps,
        truncated: later.truncations - earlier.truncations,
        truncations_failed: later.truncations_failed - earlier.truncations_failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::Reason;
    use crate::runtime::Sort;
    use crate::wire::transition::Mode;

    #[test]
    fn only_what_is_new_is_counted() {
        let sort = Sort { model: 1, kind: "stage", cause: "time", mode: Mode::Replay };
        let mut earlier = Report { commits: 3, ..Report::default() };
        earlier.tally.consumed = 10;
        earlier.transitions.entry(sort).or_default().insert("churned".into(), 4);
        let mut later = earlier.clone();
        later.commits = 4;
        later.tally.consumed = 15;
        later.transitions.entry(sort).or_default().insert("lost".into(), 2);
        later.dead_letters.insert(Reason::NotJson, 1);
        let progress = difference(&earlier, &later);
        assert_eq!((progress.committed, progress.tally.consumed), (1, 5));
        let [counted] = &progress.transitions[..] else { panic!("{progress:?}") };
        assert_eq!((counted.model, &*counted.name, counted.mode, counted.count), (1, "lost", "replay", 2));
        assert_eq!(progress.dead_letters, [(Reason::NotJson, 1)]);
    }
}
