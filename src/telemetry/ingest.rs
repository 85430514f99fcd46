//! Status and counters of the ingest workers, and the registry through which other threads read them.
//!
//! A worker publishes a snapshot about twice a second. A batch is counted only after its commit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::partition::DeadLetterReason;

/// Counters of an ingest worker since its start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IngestReport {
    /// Records read and committed.
    pub consumed: u64,
    /// Touchpoints written to the touchpoint topic.
    pub touchpoints: u64,
    /// Records without a touchpoint, by the name of the rule that drops them.
    pub dropped: BTreeMap<Arc<str>, u64>,
    /// Dead letters, by reason.
    pub dead_letters: BTreeMap<DeadLetterReason, u64>,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions aborted.
    pub aborts: u64,
    /// Transactions with an unknown outcome, each followed by a producer reset.
    pub producer_resets: u64,
}

impl IngestReport {
    /// Adds the records of `other`.
    pub fn add_records(&mut self, other: &Self) {
        self.consumed += other.consumed;
        self.touchpoints += other.touchpoints;
        for (rule, count) in &other.dropped {
            *self.dropped.entry(Arc::clone(rule)).or_default() += count;
        }
        for (&reason, count) in &other.dead_letters {
            *self.dead_letters.entry(reason).or_default() += count;
        }
    }
}

/// Status of a partition assigned to an ingest worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IngestPartition {
    /// The partition.
    pub partition: i32,
    /// Whether records are processed: false until the committed offset is known.
    pub is_running: bool,
    /// Whether the partition is paused because the schema registry does not answer.
    pub is_waiting: bool,
    /// Records that were not read yet; `None` while unknown.
    pub lag_records: Option<u64>,
}

/// Status and counters of an ingest worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IngestSnapshot {
    /// Name of the source.
    pub source: Arc<str>,
    /// The topic that the worker reads.
    pub topic: Arc<str>,
    /// The assigned partitions.
    pub partitions: Vec<IngestPartition>,
    /// Counters.
    pub report: IngestReport,
}

impl IngestSnapshot {
    /// Whether the worker processes every partition assigned to it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.partitions.iter().all(|it| it.is_running && !it.is_waiting)
    }
}

/// The latest snapshot and heartbeat of each ingest worker. Workers are added while the service runs, when a topic that
/// matches a pattern is created.
#[derive(Debug)]
pub struct IngestRegistry {
    started: Instant,
    workers: Mutex<Vec<Arc<IngestSlot>>>,
}

/// The place where one worker publishes.
#[derive(Debug, Default)]
pub struct IngestSlot {
    /// Milliseconds since the start of the registry.
    last_heartbeat: AtomicU64,
    has_ended: std::sync::atomic::AtomicBool,
    snapshot: Mutex<Option<Arc<IngestSnapshot>>>,
}

impl Default for IngestRegistry {
    fn default() -> Self {
        Self { started: Instant::now(), workers: Mutex::default() }
    }
}

impl IngestRegistry {
    /// Adds a worker.
    pub fn add(&self) -> Arc<IngestSlot> {
        let slot = Arc::<IngestSlot>::default();
        self.heartbeat(&slot);
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&slot));
        slot
    }

    /// Records that the worker of `slot` has completed a step of its loop.
    pub fn heartbeat(&self, slot: &IngestSlot) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        slot.last_heartbeat.store(now, Ordering::Relaxed);
    }

    /// Returns the longest time since the last heartbeat of a worker that has not ended.
    #[must_use]
    pub fn since_heartbeat(&self) -> Duration {
        let slots = self.slots();
        let running = slots.iter().filter(|slot| !slot.has_ended.load(Ordering::Relaxed));
        let oldest = running.map(|slot| slot.last_heartbeat.load(Ordering::Relaxed)).min();
        oldest.map_or(Duration::ZERO, |at| self.started.elapsed().saturating_sub(Duration::from_millis(at)))
    }

    /// Returns the latest snapshot of each worker; `None` before its first one.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Option<Arc<IngestSnapshot>>> {
        self.slots().iter().map(|slot| slot.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// Whether every worker processes its partitions.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.snapshots().iter().all(|snapshot| snapshot.as_ref().is_some_and(|snapshot| snapshot.is_ready()))
    }

    fn slots(&self) -> Vec<Arc<IngestSlot>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl IngestSlot {
    /// Replaces the snapshot.
    pub fn publish(&self, snapshot: IngestSnapshot) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(snapshot));
    }

    /// Records that the worker has ended.
    pub fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(is_running: bool, is_waiting: bool) -> IngestSnapshot {
        let partition = IngestPartition { partition: 0, is_running, is_waiting, lag_records: None };
        IngestSnapshot {
            source: "web".into(),
            topic: "events".into(),
            partitions: vec![partition],
            report: IngestReport::default(),
        }
    }

    #[test]
    fn the_registry_is_ready_when_every_worker_processes_its_partitions() {
        let registry = IngestRegistry::default();
        assert!(registry.is_ready(), "there are no sources");
        let slot = registry.add();
        assert!(!registry.is_ready(), "the worker has not reported");
        for (is_running, is_waiting, is_ready) in [(true, false, true), (false, false, false), (true, true, false)] {
            slot.publish(snapshot(is_running, is_waiting));
            assert_eq!(registry.is_ready(), is_ready);
        }
    }

    #[test]
    fn a_worker_that_has_ended_needs_no_heartbeat() {
        let started = Instant::now().checked_sub(Duration::from_mins(1)).expect("the machine is up for a minute");
        let registry = IngestRegistry { started, workers: Mutex::default() };
        let slot = registry.add();
        slot.last_heartbeat.store(0, Ordering::Relaxed);
        assert!(registry.since_heartbeat() >= Duration::from_mins(1));
        slot.end();
        assert_eq!(registry.since_heartbeat(), Duration::ZERO);
    }
}
