//! Why a worker stops for good, and what a person can do about it.

use crate::kafka;
use crate::kafka::PartitionId;

/// Why a worker stops for good.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The client says so.
    #[error("kafka client failed: {0}")]
    Client(#[source] kafka::Error),

    /// Too many transactions in a row came to nothing.
    #[error(
        "{failures} transactions in a row failed, the last one with {last}; \
         check that every topic exists, that the principal may write to it, and that enough replicas are in sync"
    )]
    TransactionsFail {
        /// How many in a row.
        failures: u32,
        /// The last one's error.
        last: kafka::Error,
    },

    /// The changelog knows customers, the group knows no position.
    #[error(
        "partition {partition}: the changelog holds records {start} to {end}, but the group has no committed offset; \
         the offsets have expired or were deleted: restore them, or delete the changelog topic to begin anew"
    )]
    OffsetsMissing {
        /// Which partition.
        partition: PartitionId,
        /// The first offset in the changelog.
        start: i64,
        /// Its end.
        end: i64,
    },

    /// The topic of touchpoints has another number of partitions than when the partition was last committed.
    #[error(
        "partition {partition}: the topic of touchpoints has another number of partitions than before ({before}, now {now} or more); \
         customers would go on in other partitions than those that know them: give the service new topics and a new \
         kafka.group_id, and let it read all touchpoints again"
    )]
    PartitionsChanged {
        /// Which partition.
        partition: PartitionId,
        /// How many there were.
        before: i32,
        /// How many there are.
        now: i32,
    },

    /// Touchpoints were deleted before they were read.
    #[error(
        "partition {partition}: the committed offset {committed} is below the first offset {start} of the input topic; \
         touchpoints were deleted unread: set the group's offset to {start} to accept the loss, and lengthen the topic's retention"
    )]
    InputTruncated {
        /// Which partition.
        partition: PartitionId,
        /// The committed offset.
        committed: i64,
        /// The first offset still there.
        start: i64,
    },

    /// The input topic is shorter than what was read of it.
    #[error(
        "partition {partition}: the committed offset {committed} is past the end {end} of the input topic; \
         the topic was created anew or has lost records: choose another group and changelog, or restore the topic"
    )]
    InputShrunk {
        /// Which partition.
        partition: PartitionId,
        /// The committed offset.
        committed: i64,
        /// The end of the topic.
        end: i64,
    },

    /// Part of the truth about customers was deleted by somebody else.
    #[error(
        "partition {partition}: the changelog starts at offset {start}, but records from {expected} on are needed; \
         somebody deleted them: check that the topic has neither retention nor compaction, and restore it from a copy"
    )]
    ChangelogTruncated {
        /// Which partition.
        partition: PartitionId,
        /// The first offset that a restore needs.
        expected: i64,
        /// The first offset still there.
        start: i64,
    },

    /// The end of the truth about customers is gone.
    #[error(
        "partition {partition}: the changelog ends at offset {end}, but was committed up to {expected}; \
         records were lost: restore the topic from a copy, or delete it with the group's offsets to begin anew"
    )]
    ChangelogShrunk {
        /// Which partition.
        partition: PartitionId,
        /// Past the last committed record.
        expected: i64,
        /// The end of the changelog.
        end: i64,
    },

    /// What was committed beside the offset cannot be read.
    #[error("partition {partition}: the metadata of the committed offset cannot be read: {problem}")]
    MetadataUnreadable {
        /// Which partition.
        partition: PartitionId,
        /// What is wrong with it.
        problem: String,
    },

    /// A changelog record cannot be read.
    #[error("partition {partition}: the changelog record at offset {offset} cannot be read: {problem}")]
    ChangelogUnreadable {
        /// Which partition.
        partition: PartitionId,
        /// Where.
        offset: i64,
        /// What is wrong with it.
        problem: String,
    },
}
