//! Counters and gauges of one worker, as it publishes them for the next scrape.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::partition::{DeadLetterReason, Tally};
use crate::telemetry::histogram::Measurements;

/// Counters of a worker since its start.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Counts {
    /// Touchpoints and wake-ups.
    pub tally: Tally,
    /// Dead letters, by reason.
    pub dead_letters: BTreeMap<DeadLetterReason, u64>,
    /// Bytes of the consumed records.
    pub touchpoint_bytes: u64,
    /// Published transitions.
    pub transitions: BTreeMap<TransitionLabels, u64>,
    /// Published stage transitions.
    pub moves: BTreeMap<StageMove, u64>,
    /// Records and bytes written, in the order of [`TOPIC_KINDS`].
    pub written: [Volume; TOPIC_KINDS.len()],
    /// Transactions committed.
    pub committed: u64,
    /// Transactions aborted.
    pub aborted: u64,
    /// Transactions with an unknown outcome.
    pub unknown_outcomes: u64,
    /// Partitions assigned.
    pub assigned: u64,
    /// Partitions revoked.
    pub revoked: u64,
    /// Partitions lost.
    pub lost: u64,
    /// Customers restored from the changelog.
    pub restored: u64,
    /// Sweeps begun.
    pub sweeps: u64,
    /// Changelogs truncated.
    pub truncated: u64,
    /// Failed truncations.
    pub truncations_failed: u64,
    /// Latencies, durations and sizes.
    pub measured: Measurements,
}

/// Values of the `topic_kind` label.
pub const TOPIC_KINDS: [&str; 4] = ["transitions", "replay", "changelog", "dead_letters"];

/// Values of the `activity` label.
pub const ACTIVITIES: [&str; 5] = ["poll", "apply", "commit", "restore", "idle"];

/// Number and size of written records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Volume {
    /// Number of records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// Labels of a transition counter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TransitionLabels {
    /// Index of the model.
    pub model: usize,
    /// Kind as published, for example `stage`.
    pub kind: &'static str,
    /// Name as published, for example `at_risk_of_churn`.
    pub name: Box<str>,
    /// `touchpoint` or `time`.
    pub cause: &'static str,
    /// Publication mode, for example `live`.
    pub mode: &'static str,
}

/// Labels of a stage move counter; `None` means no stage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StageMove {
    /// Index of the model.
    pub model: usize,
    /// Index of the previous stage.
    pub from: Option<usize>,
    /// Index of the new stage.
    pub to: Option<usize>,
}

impl Counts {
    /// Adds the counters of another worker.
    pub(super) fn add(&mut self, other: &Self) {
        self.tally += other.tally;
        add_each(&mut self.dead_letters, &other.dead_letters);
        self.touchpoint_bytes += other.touchpoint_bytes;
        add_each(&mut self.transitions, &other.transitions);
        add_each(&mut self.moves, &other.moves);
        for (volume, more) in self.written.iter_mut().zip(other.written) {
            volume.records += more.records;
            volume.bytes += more.bytes;
        }
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.unknown_outcomes += other.unknown_outcomes;
        self.assigned += other.assigned;
        self.revoked += other.revoked;
        self.lost += other.lost;
        self.restored += other.restored;
        self.sweeps += other.sweeps;
        self.truncated += other.truncated;
        self.truncations_failed += other.truncations_failed;
        self.measured.add(&other.measured);
    }
}

fn add_each<K: Ord + Clone>(counts: &mut BTreeMap<K, u64>, others: &BTreeMap<K, u64>) {
    for (key, count) in others {
        match counts.get_mut(key) {
            Some(sum) => *sum += count,
            None => _ = counts.insert(key.clone(), *count),
        }
    }
}

/// Gauges of a worker.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct WorkerGauges {
    /// Wall time of the last commit, in seconds since the epoch; `None` before the first one.
    pub last_commit_seconds: Option<f64>,
    /// Number of failed transactions since the last committed one.
    pub consecutive_failures: u32,
    /// Time spent per activity, in the order of [`ACTIVITIES`].
    pub activities: [Duration; ACTIVITIES.len()],
    /// Partition count of the touchpoint topic; `None` while unknown.
    pub topic_partitions: Option<usize>,
    /// The assigned partitions.
    pub partitions: Vec<PartitionGauges>,
}

/// Gauges of an assigned partition. Instants are in seconds since the epoch.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PartitionGauges {
    /// The partition.
    pub partition: i32,
    /// Whether the partition is still being restored.
    pub is_restoring: bool,
    /// Changelog records still to be restored.
    pub restore_remaining: u64,
    /// Estimated remaining time of the restore, in seconds; `None` while unknown.
    pub restore_eta_seconds: Option<f64>,
    /// Offset of the next record to read.
    pub position: i64,
    /// Lag in records; `None` while unknown.
    pub lag_records: Option<u64>,
    /// How far stream time is behind wall time, in seconds; `None` while unknown.
    pub lag_seconds: Option<f64>,
    /// Stream time: the highest event time read.
    pub stream_time_seconds: Option<f64>,
    /// The instant up to which wake-ups may fire.
    pub watermark_seconds: Option<f64>,
    /// How long the earliest wake-up has been overdue, in seconds.
    pub overdue_seconds: f64,
    /// Number of customers.
    pub customers: usize,
    /// Memory used by the customers, in bytes.
    pub bytes: usize,
    /// Number of pending wake-ups.
    pub wake_ups: usize,
    /// Customers per model and stage; the last element of a model counts the customers without a stage.
    pub stage_counts: Vec<Vec<u64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_workers_add_up() {
        let one = |name: &str| {
            let labels = TransitionLabels { model: 0, kind: "stage", name: name.into(), cause: "time", mode: "live" };
            let mut counts = Counts { committed: 2, ..Counts::default() };
            counts.transitions.insert(labels, 3);
            counts.written[2] = Volume { records: 1, bytes: 10 };
            counts
        };
        let mut total = one("churned");
        total.add(&one("churned"));
        total.add(&one("lost"));
        assert_eq!((total.committed, total.written[2]), (6, Volume { records: 3, bytes: 30 }));
        assert_eq!(total.transitions.values().copied().collect::<Vec<_>>(), [6, 3]);
    }
}
