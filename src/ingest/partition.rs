//! A partition of a source that is assigned to an ingest worker: how far it was read and committed.
//!
//! It has no state besides offsets. To drop a batch is to return to the committed offset.

use std::time::Duration;

use crate::kafka::{PartitionId, PartitionOffset};
use crate::runtime::{FetchControl, RegistryWait};

/// Delay before the committed offset is fetched again, for example while a previous owner's transaction is open.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// A partition of a source.
#[derive(Debug)]
pub(super) struct SourcePartition {
    id: PartitionId,
    /// Committed offset and position; `None` until the committed offset is known.
    offsets: Option<Offsets>,
    /// When the committed offset is fetched next.
    fetch_at: Duration,
    registry_wait: RegistryWait,
    fetch: FetchControl,
}

#[derive(Clone, Copy, Debug)]
struct Offsets {
    committed: i64,
    /// Offset of the next record to translate, uncommitted records included.
    position: i64,
}

impl SourcePartition {
    /// Returns a newly assigned partition, paused.
    pub(super) fn new(id: PartitionId, elapsed: Duration) -> Self {
        Self {
            id,
            offsets: None,
            fetch_at: elapsed,
            registry_wait: RegistryWait::default(),
            fetch: FetchControl::newly_assigned(),
        }
    }

    /// Whether the committed offset should be fetched now.
    pub(super) fn must_fetch_offset(&self, elapsed: Duration) -> bool {
        self.offsets.is_none() && elapsed >= self.fetch_at
    }

    pub(super) fn retry_fetch_later(&mut self, elapsed: Duration) {
        self.fetch_at = elapsed + RETRY_DELAY;
    }

    /// Continues at the committed offset `offset`, and drops what was read beyond it.
    pub(super) fn continue_at(&mut self, offset: i64) {
        self.offsets = Some(Offsets { committed: offset, position: offset });
        self.fetch.request_seek();
    }

    /// Drops what was read and not committed.
    pub(super) fn rewind(&mut self) {
        if let Some(offsets) = &mut self.offsets {
            offsets.position = offsets.committed;
            self.fetch.request_seek();
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.offsets.is_some()
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.registry_wait.is_waiting()
    }

    /// Whether the client should return records of the partition.
    pub(super) fn may_fetch(&self, elapsed: Duration) -> bool {
        self.is_running() && self.registry_wait.is_over(elapsed)
    }

    /// Whether the record at `offset` must be translated. Until a seek takes effect, the client still returns records
    /// beyond the position.
    pub(super) fn expects(&self, offset: i64) -> bool {
        !self.fetch.needs_seek() && self.offsets.is_some_and(|offsets| offset >= offsets.position)
    }

    /// Records that everything before `offset` was read.
    pub(super) fn advance(&mut self, offset: i64) -> bool {
        let Some(offsets) = self.offsets.as_mut().filter(|offsets| offset > offsets.position) else { return false };
        offsets.position = offset;
        self.registry_wait = RegistryWait::default();
        true
    }

    /// Pauses the partition before the record at its position.
    pub(super) fn wait(&mut self, elapsed: Duration) {
        self.registry_wait.extend(elapsed);
        self.fetch.request_seek();
    }

    pub(super) fn position(&self) -> Option<PartitionOffset> {
        self.offsets.map(|offsets| PartitionOffset { partition: self.id, offset: offsets.position })
    }

    /// Returns the position if it is not committed yet.
    pub(super) fn uncommitted(&self) -> Option<PartitionOffset> {
        self.position().filter(|it| self.offsets.is_some_and(|offsets| it.offset != offsets.committed))
    }

    pub(super) fn on_committed(&mut self, offset: i64) {
        if let Some(offsets) = &mut self.offsets {
            offsets.committed = offset;
        }
    }

    pub(super) fn fetch(&self) -> FetchControl {
        self.fetch
    }

    pub(super) fn fetch_mut(&mut self) -> &mut FetchControl {
        &mut self.fetch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_batch_is_read_again_from_the_committed_offset() {
        let mut partition = SourcePartition::new(3, Duration::ZERO);
        assert!(!partition.expects(10) && partition.must_fetch_offset(Duration::ZERO));
        partition.continue_at(10);
        assert!(!partition.expects(10), "the client must seek first");
        partition.fetch_mut().sought();
        assert!(partition.expects(10) && !partition.expects(9) && partition.uncommitted().is_none());
        partition.advance(15);
        assert_eq!(partition.uncommitted().map(|it| it.offset), Some(15));
        partition.rewind();
        assert!(!partition.expects(10) && partition.uncommitted().is_none());
        partition.fetch_mut().sought();
        partition.advance(12);
        partition.on_committed(12);
        assert!(partition.uncommitted().is_none());
    }

    #[test]
    fn a_partition_waits_until_a_record_is_translated() {
        let mut partition = SourcePartition::new(0, Duration::ZERO);
        partition.continue_at(0);
        partition.wait(Duration::ZERO);
        assert!(partition.is_waiting() && !partition.may_fetch(Duration::ZERO));
        assert!(partition.may_fetch(Duration::from_secs(15)));
        partition.fetch_mut().sought();
        partition.advance(1);
        assert!(!partition.is_waiting() && partition.may_fetch(Duration::ZERO));
    }
}
