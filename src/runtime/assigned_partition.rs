//! A partition assigned to this worker: its state machine, the uncommitted changes, and how far it has been read and
//! committed.
//!
//! Everything here is owned by one worker thread. Uncommitted changes leave in one of two ways: `on_committed` keeps
//! them, `abort` drops them and returns to the last committed offset.

use std::sync::Arc;
use std::time::Duration;

use crate::kafka::{CommittedOffset, PartitionId, PartitionOffset, Record};
use crate::lifecycle::id::StableId;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::{self, Timestamp};
use crate::lifecycle::touchpoint::FactOptions;
use crate::partition::{Clock, Effects, Partition, Tally};
use crate::wire::changelog::InputProgress;
use crate::wire::offset_metadata::OffsetMetadata;

use super::changelog_range::ChangelogRange;
use super::fetch_state::FetchState;
use super::options::ClockSource;
use super::pending_counts::PendingCounts;
use super::record_builder::ChangelogWrite;
use super::watermark::Watermark;

/// Where an assigned partition is between its assignment and normal processing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Assigned; the committed offset has not been fetched yet.
    FetchingOffsets {
        /// Time of the next attempt.
        fetch_at: Duration,
        /// Number of failed attempts.
        attempts: u32,
    },
    /// The changelog is being read.
    Restoring { since: Duration },
    /// Touchpoints are applied.
    Running,
}

/// A partition assigned to this worker.
#[derive(Debug)]
pub(super) struct AssignedPartition {
    pub(super) phase: Phase,
    /// State machine that holds the customers of the partition.
    pub(super) machine: Partition,
    /// Offset of the next input record to apply, uncommitted records included.
    pub(super) position: i64,
    /// Offset after the last touchpoint that the restored state contains. It exceeds the committed offset only if the
    /// group's offsets were set back; the touchpoints in between are duplicates.
    pub(super) restored_to: i64,
    /// The offset and metadata committed in the consumer group.
    pub(super) committed: CommittedOffset,
    /// Output of the uncommitted inputs.
    pub(super) effects: Effects,
    /// Wall time of publication, as written into the pending transitions.
    pub(super) published_at: Timestamp,
    /// The input records of `effects.dead_letters`, in the same order.
    pub(super) dead_letter_records: Vec<DeadLetterRecord>,
    /// Counters that are added to the report when the batch is committed.
    pub(super) pending_counts: PendingCounts,
    /// When the group assigned the partition; `None` once its rebalance duration has been measured.
    pub(super) assigned_at: Option<Duration>,
    /// Wall-clock part of the instant up to which wake-ups may fire.
    pub(super) watermark: Watermark,
    /// The highest record timestamp read so far.
    pub(super) latest_record_timestamp: Option<Timestamp>,
    /// The live offset range of the changelog.
    pub(super) changelog: ChangelogRange,
    pub(super) fetch_state: FetchState,
    /// End offset of the input partition, and when it was queried. The worker queries it because a paused client
    /// receives no end offsets.
    pub(super) queried_end: Option<(i64, Duration)>,
    /// Whether the client must seek to `position`. Until the seek takes effect, the worker ignores the records that
    /// the client returns for this partition.
    pub(super) needs_seek: bool,
}

/// A dead letter together with the input record that caused it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DeadLetterRecord {
    pub(super) record: Record,
    /// The invalid field; never its content.
    pub(super) detail: std::borrow::Cow<'static, str>,
}

/// What a transaction commits for one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PartitionCommit {
    /// The input offset.
    pub(super) position: PartitionOffset,
    /// Metadata committed with the offset. It contains the end of the changelog, so two transactions that change state
    /// at the same offset never have equal metadata.
    pub(super) metadata: String,
    /// First changelog offset that a restore reads.
    pub(super) changelog_start: i64,
    /// Offset after the last changelog record that a restore reads.
    pub(super) changelog_end: i64,
    /// Bytes written to the changelog.
    pub(super) changelog_bytes: u64,
}

/// The fields of the offset metadata that are the same for all partitions of a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct MetadataFields<'a> {
    /// Hash of the models.
    pub(super) models: StableId,
    /// Partition count of the touchpoint topic.
    pub(super) partitions: Option<i32>,
    /// Name by which the next owner fences this member if it dies; empty if the member has none.
    pub(super) member_name: &'a str,
}

impl MetadataFields<'_> {
    fn metadata(&self, changelog_start: i64, changelog_end: i64, clock: Clock) -> OffsetMetadata {
        let Self { models, partitions, member_name } = *self;
        let member = Some(member_name.to_owned()).filter(|name| !name.is_empty());
        OffsetMetadata { changelog_start, changelog_end, clock, models, partitions, member }
    }
}

impl AssignedPartition {
    /// Returns a newly assigned partition without state, paused.
    pub(super) fn new(partition: PartitionId, models: Arc<ModelSet>, facts: FactOptions, elapsed: Duration) -> Self {
        Self {
            phase: Phase::FetchingOffsets { fetch_at: elapsed, attempts: 0 },
            machine: Partition::new(models, facts),
            position: 0,
            restored_to: 0,
            committed: CommittedOffset { partition, offset: None, metadata: String::new() },
            effects: Effects::default(),
            published_at: Timestamp::MIN,
            dead_letter_records: Vec::new(),
            pending_counts: PendingCounts::default(),
            assigned_at: Some(elapsed),
            watermark: Watermark::default(),
            latest_record_timestamp: None,
            changelog: ChangelogRange::new(0, 0, 0, elapsed),
            fetch_state: FetchState::Paused,
            queried_end: None,
            needs_seek: true,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Returns how far the input is applied, uncommitted records included.
    pub(super) fn progress(&self) -> InputProgress {
        InputProgress { applied_to: self.position.max(self.restored_to), clock: self.machine.clock() }
    }

    /// Whether a commit would change anything for this partition.
    pub(super) fn has_uncommitted_changes(&self) -> bool {
        self.is_running()
            && (self.committed.offset != Some(self.position)
                // An operator has set the offset. The next owner needs the metadata.
                || self.committed.metadata.is_empty()
                || self.effects.tally != Tally::default()
                || self.changelog.is_sweeping()
                || self.changelog.has_uncommitted_start())
    }

    /// Advances `latest_record_timestamp`.
    pub(super) fn observe_record_timestamp(&mut self, timestamp_ms: Option<i64>) {
        self.latest_record_timestamp = self.latest_record_timestamp.max(timestamp_ms.map(Timestamp::from_millis));
    }

    /// Returns the watermark by event time: the highest event time seen minus the lateness. With `ClockSource::Wall`,
    /// the record timestamps limit it, because a touchpoint with an event time in the future does not mean that all
    /// earlier records have been read.
    pub(super) fn event_time_watermark(&self, source: ClockSource, lateness: time::Duration) -> Option<Timestamp> {
        let watermark = self.machine.clock().watermark(lateness);
        match source {
            ClockSource::Touchpoints => watermark,
            ClockSource::Wall => watermark.min(self.latest_record_timestamp.map(|timestamp| timestamp - lateness)),
        }
    }

    /// Records that a transaction was committed. Returns its effects, which the caller counts.
    pub(super) fn on_committed(&mut self, partition_commit: PartitionCommit) -> Effects {
        self.machine.commit();
        self.changelog.on_committed(
            partition_commit.changelog_start,
            partition_commit.changelog_end,
            partition_commit.changelog_bytes,
        );
        if self.changelog.is_sweeping() && !self.machine.is_sweeping() {
            self.changelog.end_sweep();
        }
        self.committed.offset = Some(partition_commit.position.offset);
        self.committed.metadata = partition_commit.metadata;
        self.dead_letter_records.clear();
        std::mem::take(&mut self.effects)
    }

    /// Drops the uncommitted changes and returns to the last committed offset.
    pub(super) fn abort(&mut self) {
        self.machine.abort();
        // If only the machine stopped sweeping, the next commit would treat the sweep as finished, and changelog
        // records that are still needed would be deleted.
        assert_eq!(
            self.changelog.is_sweeping(),
            self.machine.is_sweeping(),
            "an abort neither begins nor ends a sweep"
        );
        self.effects = Effects::default();
        self.dead_letter_records.clear();
        self.pending_counts.clear();
        self.position = self.committed.offset.unwrap_or(self.position);
        self.watermark.reset();
        self.latest_record_timestamp = None;
        self.needs_seek = true;
    }
}

impl PartitionCommit {
    /// Returns what the open transaction commits for `assigned`. `offsets` are the offsets of the transaction's
    /// records, and `written` identifies those of this partition's changelog.
    pub(super) fn of(
        assigned: &AssignedPartition,
        written: ChangelogWrite,
        offsets: &[i64],
        metadata_fields: &MetadataFields<'_>,
    ) -> Self {
        let position = PartitionOffset { partition: assigned.committed.partition, offset: assigned.position };
        let changelog_end =
            written.last_changelog_record.map_or(assigned.changelog.end(), |record| offsets[record] + 1);
        let metadata = metadata_fields.metadata(assigned.changelog.start(), changelog_end, assigned.machine.clock());
        Self::new(position, &metadata, written.changelog_bytes)
    }

    /// Returns the initial commit of a partition whose changelog is empty.
    pub(super) fn initial(position: PartitionOffset, changelog_end: i64, metadata_fields: &MetadataFields<'_>) -> Self {
        Self::new(position, &metadata_fields.metadata(changelog_end, changelog_end, Clock::default()), 0)
    }

    fn new(position: PartitionOffset, metadata: &OffsetMetadata, changelog_bytes: u64) -> Self {
        Self {
            position,
            metadata: metadata.encode(),
            changelog_start: metadata.changelog_start,
            changelog_end: metadata.changelog_end,
            changelog_bytes,
        }
    }
}
