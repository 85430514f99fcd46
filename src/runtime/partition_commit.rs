//! What a transaction commits for one partition: the input offset and its metadata.

use crate::kafka::PartitionOffset;
use crate::lifecycle::id::StableId;
use crate::partition::Clock;
use crate::wire::offset_metadata::{OffsetMetadata, RecordDigest};

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
    /// The offset of the next hand-over; `None` without identity resolution.
    pub(super) hand_overs: Option<i64>,
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

/// What a partition writes to the changelog in a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct ChangelogWrite {
    /// Index of the first changelog record among the records of the transaction.
    pub(super) first_record: Option<usize>,
    /// Index of the last changelog record among the records of the transaction.
    pub(super) last_record: Option<usize>,
    pub(super) bytes: u64,
}

impl PartitionCommit {
    /// Returns the commit of `position` with a changelog from `changelog_start` to `changelog_end`, of which the
    /// transaction writes `changelog_bytes`, and the position in the hand-overs with the one applied last.
    pub(super) fn new(
        position: PartitionOffset,
        (changelog_start, changelog_end): (i64, i64),
        changelog_bytes: u64,
        clock: Clock,
        (hand_overs, last_hand_over): (Option<i64>, Option<RecordDigest>),
        fields: &MetadataFields<'_>,
    ) -> Self {
        let MetadataFields { models, partitions, member_name } = *fields;
        let member = Some(member_name.to_owned()).filter(|name| !name.is_empty());
        let metadata = OffsetMetadata {
            changelog_start,
            changelog_end,
            clock,
            models,
            partitions,
            hand_overs,
            last_hand_over,
            member,
        };
        Self { position, metadata: metadata.encode(), changelog_start, changelog_end, changelog_bytes, hand_overs }
    }

    /// Returns the initial commit of a partition whose changelog is empty and ends at `changelog_end`.
    pub(super) fn initial(position: PartitionOffset, changelog_end: i64, fields: &MetadataFields<'_>) -> Self {
        Self::new(position, (changelog_end, changelog_end), 0, Clock::default(), (None, None), fields)
    }

    /// Returns the offset and metadata to send within the transaction.
    pub(super) fn offset(&self) -> (PartitionOffset, String) {
        (self.position, self.metadata.clone())
    }
}
