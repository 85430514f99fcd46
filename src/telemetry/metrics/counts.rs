//! What a worker tells about itself: what it has done since it started, and what it has now.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::partition::{Reason, Tally};
use crate::telemetry::distribution::Measured;

/// What a worker has done since it started.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Counts {
    /// Touchpoints and wake-ups.
    pub tally: Tally,
    /// Dead letters, by reason.
    pub dead_letters: BTreeMap<Reason, u64>,
    /// Bytes of the records consumed.
    pub touchpoint_bytes: u64,
    /// Transitions published.
    pub transitions: BTreeMap<TransitionSort, u64>,
    /// Those of kind stage.
    pub moves: BTreeMap<StageMove, u64>,
    /// Records and bytes written, in the order of [`TOPIC_KINDS`].
    pub written: [Volume; TOPIC_KINDS.len()],
    /// Transactions committed.
    pub committed: u64,
    /// Transactions that came to nothing.
    pub aborted: u64,
    /// Transactions whose outcome had to be looked up.
    pub renewed: u64,
    /// Partitions gained.
    pub gained: u64,
    /// Partitions revoked.
    pub revoked: u64,
    /// Partitions lost.
    pub lost: u64,
    /// Customers read back from the changelog.
    pub restored: u64,
    /// Sweeps begun.
    pub sweeps: u64,
    /// Heads of the changelog deleted.
    pub truncated: u64,
    /// Heads of the changelog that could not be deleted.
    pub truncations_failed: u64,
    /// Latencies, durations, sizes.
    pub measured: Measured,
}

/// The kinds of topics that are written, as the label has them.
pub const TOPIC_KINDS: [&str; 4] = ["transitions", "replay", "changelog", "dead_letters"];

/// Where a worker's time may go, as the label has it.
pub const ACTIVITIES: [&str; 5] = ["poll", "apply", "commit", "restore", "idle"];

/// How much was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Volume {
    /// Records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// What transitions that are counted together have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TransitionSort {
    /// Which model's, by index.
    pub model: usize,
    /// As published: `stage`.
    pub kind: &'static str,
    /// As published: `at_risk_of_churn`.
    pub name: Box<str>,
    /// What caused them: `touchpoint` or `time`.
    pub cause: &'static str,
    /// On which occasion: `live`.
    pub mode: &'static str,
}

/// A move from one stage of a model to another; `None` is no stage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StageMove {
    /// Which model's, by index.
    pub model: usize,
    /// The stage left, by index.
    pub from: Option<usize>,
    /// The stage entered, by index.
    pub to: Option<usize>,
}

impl Counts {
    /// Adds what another worker has done.
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
        self.renewed += other.renewed;
        self.gained += other.gained;
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

/// What a worker has now.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct WorkerGauges {
    /// Wall time of the last commit, in seconds since the epoch; `None` before the first.
    pub last_commit_seconds: Option<f64>,
    /// Transactions that failed since the last one that was committed.
    pub aborts_in_a_row: u32,
    /// How long it has done what, in the order of [`ACTIVITIES`].
    pub activities: [Duration; ACTIVITIES.len()],
    /// How many partitions the topic of touchpoints has, if it has heard.
    pub topic_partitions: Option<usize>,
    /// Its partitions.
    pub partitions: Vec<PartitionGauges>,
}

/// What is known of an assigned partition. Instants in seconds since the epoch.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PartitionGauges {
    /// Which one.
    pub partition: i32,
    /// Whether its customers are still being read back.
    pub is_restoring: bool,
    /// Changelog records still to be read back.
    pub restore_remaining: u64,
    /// In how many seconds that is done, if it can be said.
    pub restore_eta_seconds: Option<f64>,
    /// The next record to read.
    pub position: i64,
    /// Records not yet read, if known.
    pub lag_records: Option<u64>,
    /// How far the latest touchpoint read lies behind wall time, if known.
    pub lag_seconds: Option<f64>,
    /// The event time of the latest touchpoint read.
    pub reached_seconds: Option<f64>,
    /// Up to when wake-ups may fire.
    pub clock_seconds: Option<f64>,
    /// For how long a wake-up has been due.
    pub overdue_seconds: f64,
    /// Customers kept.
    pub customers: usize,
    /// Memory that they take.
    pub bytes: usize,
    /// Customers that wait for time.
    pub wake_ups: usize,
    /// Customers by model and stage; the last number of a model counts those in no stage.
    pub population: Vec<Vec<u64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_have_done_adds_up() {
        let one = |name: &str| {
            let sort = TransitionSort { model: 0, kind: "stage", name: name.into(), cause: "time", mode: "live" };
            let mut counts = Counts { committed: 2, ..Counts::default() };
            counts.transitions.insert(sort, 3);
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
