//! The interface between the worker's loop and Kafka, small enough to be simulated in tests.
//!
//! Every call blocks and there are no callbacks: a rebalance is an [`Event`] that `poll` returns, and the rebalance
//! waits until the worker answers it with `assign` or `unassign`.

mod client;
mod gap_detection;
mod group_consumer;
mod log_reader;
pub(super) mod producer;
pub(super) mod read_position;
pub(super) mod stalled_reads;
mod topic_reader;
mod watchdog;
mod zombie_fencing;

pub use client::Client;
pub(super) use topic_reader::to_record;

use std::time::Duration;

use crate::kafka::RecordBatch;
use crate::kafka::error::Error;

/// The number of a partition of the input topic and of the changelog partition that belongs to it.
pub type PartitionId = i32;

/// A position in a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionOffset {
    /// The partition's number within its topic.
    pub partition: PartitionId,
    /// Offset of the next record to read.
    pub offset: i64,
}

/// The two ends of an input partition. They differ while a transaction of a producer is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndOffsets {
    /// The last stable offset: `poll` returns only records below it.
    pub last_stable: i64,
    /// The high watermark, one past the last acknowledged record.
    pub high_watermark: i64,
}

/// A record header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordHeader {
    /// Header name; names may repeat within a record.
    pub name: String,
    /// Arbitrary bytes, or null.
    pub value: Option<Vec<u8>>,
}

/// A consumed record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The partition the record was read from.
    pub partition: PartitionId,
    /// Its offset in that partition.
    pub offset: i64,
    /// Milliseconds since the Unix epoch; `None` when the record has no timestamp.
    pub timestamp_ms: Option<i64>,
    /// Arbitrary bytes, or null.
    pub key: Option<Vec<u8>>,
    /// Arbitrary bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in record order.
    pub headers: Vec<RecordHeader>,
}

/// A record to write within the transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProducerRecord {
    /// Destination topic.
    pub topic: std::sync::Arc<str>,
    /// `None` lets the partitioner choose: murmur2 over the key, as in the Java client.
    pub partition: Option<PartitionId>,
    /// Arbitrary bytes, or null.
    pub key: Option<Vec<u8>>,
    /// Arbitrary bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in record order.
    pub headers: Vec<RecordHeader>,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

impl ProducerRecord {
    /// Returns the number of bytes of key and value.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// The group's committed offset of a partition, with its metadata.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffset {
    /// The partition's number within the input topic.
    pub partition: PartitionId,
    /// Offset of the next record to read; `None` when the group has never committed one.
    pub offset: Option<i64>,
    /// Metadata committed with the offset, at most 4,000 bytes; empty when there is none.
    pub metadata: String,
}

/// One result of a poll.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The next records of the assigned partitions that are not paused, in offset order within each partition.
    Records(Vec<Record>),
    /// `poll` has returned all records of the partition up to its current end.
    ReachedEnd(PartitionId),
    /// The group assigned these partitions to this member. Answer with `assign`.
    Assigned(Vec<PartitionId>),
    /// The group moves these partitions to another member. Commit or abort, then answer with `unassign`.
    Revoked(Vec<PartitionId>),
    /// Another member may already own these partitions. Abort, drop their state, then answer with `unassign`.
    Lost(Vec<PartitionId>),
}

/// One consumer group member with its transactional producer. It is used by one thread, and every call blocks.
///
/// Each call has a timeout. When it expires, a call of the transaction API fails with `Reaction::ResetProducer` and any
/// other call with `Reaction::Retry`. Any call fails with `Reaction::Fatal` when the client is unusable. A failed call
/// may have had its effect.
pub trait Member {
    /// The member's name, which survives restarts. It is committed in the offset metadata, so that the next owner of a
    /// partition knows which member's transaction may still be open. Empty when fencing a previous owner is not needed.
    #[expect(clippy::unnecessary_literal_bound, reason = "a member that has a name returns its own")]
    fn name(&self) -> &str {
        ""
    }

    /// Waits up to `timeout` for an event, then returns all pending events with at most `records_max` records.
    ///
    /// # Errors
    /// Only `Fatal`: missing permissions, an offset out of range, a fenced static member.
    fn poll(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Event>, Error>;

    /// Accepts newly assigned partitions, paused at `positions`. The worker answers before it knows the committed
    /// offsets: it passes offset 0, and calls `seek` with the real position before `resume`.
    ///
    /// # Errors
    /// As described for [`Member`].
    fn assign(&mut self, positions: &[PartitionOffset]) -> Result<(), Error>;

    /// Gives up revoked or lost partitions, so that the rebalance can proceed.
    ///
    /// # Errors
    /// As described for [`Member`].
    fn unassign(&mut self, partitions: &[PartitionId]) -> Result<(), Error>;

    /// Stops fetching `partitions` until `resume`.
    ///
    /// # Errors
    /// As described for [`Member`].
    fn pause(&mut self, partitions: &[PartitionId]) -> Result<(), Error>;

    /// Continues fetching paused `partitions` from their current positions.
    ///
    /// # Errors
    /// As described for [`Member`].
    fn resume(&mut self, partitions: &[PartitionId]) -> Result<(), Error>;

    /// Moves the read positions to `positions` and discards prefetched records.
    ///
    /// # Errors
    /// As described for [`Member`].
    fn seek(&mut self, positions: &[PartitionOffset]) -> Result<(), Error>;

    /// Returns the committed offsets of `partitions`, once no open transaction can change them.
    ///
    /// # Errors
    /// `Retry` while a previous owner's transaction is still open.
    fn committed(&mut self, partitions: &[PartitionId]) -> Result<Vec<CommittedOffset>, Error>;

    /// Asks the broker for the log start offset and the high watermark of the input partition. Every acknowledged
    /// record is below the high watermark, also those that an open transaction of another producer hides from `poll`.
    ///
    /// # Errors
    /// `Retry` when the broker does not answer.
    fn input_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error>;

    /// Asks the broker for the input record at `offset`, committed or not; `None` when the partition has no record at
    /// this offset.
    ///
    /// # Errors
    /// `Retry` when the broker does not answer.
    fn input_record(&mut self, partition: PartitionId, offset: i64) -> Result<Option<Record>, Error>;

    /// Returns the offset up to which `poll` has returned every record of the assigned partition. It is past the last
    /// record when the partition ends in control records or aborted records. `None` when the partition is not assigned.
    fn read_position(&mut self, partition: PartitionId) -> Option<i64>;

    /// Returns whether `poll` has returned every record below `end` of the assigned partition. Ignores control records
    /// and aborted records, which are never returned.
    fn has_read_to(&mut self, partition: PartitionId, end: i64) -> bool {
        self.read_position(partition).is_some_and(|position| position >= end)
    }

    /// Returns the end offsets of the input partition from the client's cache, without a request; `None` when unknown.
    fn cached_ends(&mut self, _partition: PartitionId) -> Option<EndOffsets> {
        None
    }

    /// Returns the number of partitions of the input topic from the client's cache, without a request; `None` when
    /// unknown.
    fn input_partitions(&mut self) -> Option<usize> {
        None
    }

    /// Returns how long the last `poll` waited before the first event arrived.
    fn idle_time(&mut self) -> Duration {
        Duration::ZERO
    }

    /// Asks the broker for the log start offset and the last stable offset of the changelog partition.
    ///
    /// # Errors
    /// `Retry` when the broker does not answer.
    fn changelog_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error>;

    /// Starts reading the changelog of `partition` at `offset`, in addition to the changelogs already open.
    ///
    /// # Errors
    /// As described for [`Member`].
    fn open_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error>;

    /// Returns the next records of all open changelogs, waiting up to `timeout`. A failed call consumes no records.
    ///
    /// # Errors
    /// `Abort` when a changelog was truncated beyond the read position: restart the restore of the open partitions.
    fn read_changelog(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Record>, Error>;

    /// Returns whether `read_changelog` has returned every record below `end` of an open changelog. Ignores control
    /// records and aborted records, which are never returned.
    fn has_read_changelog_to(&mut self, partition: PartitionId, end: i64) -> bool;

    /// Stops reading the changelog of `partition`.
    ///
    /// # Errors
    /// As described for [`Member`].
    fn close_changelog(&mut self, partition: PartitionId) -> Result<(), Error>;

    /// Deletes the changelog records of `partition` before `offset`.
    ///
    /// # Errors
    /// Never `Fatal`: the caller retries later.
    fn truncate_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error>;

    /// Asks the broker for the log start offset and the last stable offset of the partition of hand-overs.
    ///
    /// # Errors
    /// `Retry` when the broker does not answer.
    fn hand_over_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error>;

    /// Starts reading the hand-overs for `partition` at `offset`, in addition to those already open. An open partition
    /// restarts there.
    ///
    /// # Errors
    /// As described for [`Member`].
    fn open_hand_overs(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error>;

    /// Returns the next hand-overs of all open partitions that have arrived. Does not wait.
    ///
    /// # Errors
    /// `Fatal` when hand-overs were deleted before they were read.
    fn read_hand_overs(&mut self, records_max: usize) -> Result<Vec<Record>, Error>;

    /// Returns the offset up to which `read_hand_overs` has returned every record of an open partition, as
    /// [`read_position`](Self::read_position) does.
    fn hand_over_position(&mut self, partition: PartitionId) -> Option<i64>;

    /// Stops reading the hand-overs for `partition`.
    ///
    /// # Errors
    /// As described for [`Member`].
    fn close_hand_overs(&mut self, partition: PartitionId) -> Result<(), Error>;

    /// Begins a transaction.
    ///
    /// # Errors
    /// As described for [`Member`].
    fn begin(&mut self) -> Result<(), Error>;

    /// Writes `records` within the transaction, waits until the brokers have acknowledged all of them, and returns
    /// their offsets in the same order.
    ///
    /// # Errors
    /// `Abort` when a record was not delivered; `Fatal` when the broker rejects one permanently; otherwise as described
    /// for [`Member`].
    fn send_batch(&mut self, records: &RecordBatch) -> Result<Vec<i64>, Error>;

    /// Like [`send_batch`](Self::send_batch), for records that are not in a batch.
    ///
    /// # Errors
    /// As described for [`send_batch`](Self::send_batch).
    fn send(&mut self, records: Vec<ProducerRecord>) -> Result<Vec<i64>, Error> {
        self.send_batch(&records.into_iter().collect())
    }

    /// Adds input offsets with their metadata to the transaction, under the member's current generation.
    ///
    /// # Errors
    /// `Abort` when a rebalance has ended that generation.
    fn send_offsets(&mut self, offsets: &[(PartitionOffset, String)]) -> Result<(), Error>;

    /// Commits the transaction.
    ///
    /// # Errors
    /// `ResetProducer` when the outcome is unknown.
    fn commit(&mut self) -> Result<(), Error>;

    /// Aborts the transaction.
    ///
    /// # Errors
    /// `ResetProducer` when the outcome is unknown.
    fn abort(&mut self) -> Result<(), Error>;

    /// Replaces the producer with a new one of the same transactional id. The new epoch aborts the old producer's open
    /// transaction and fences its pending requests.
    ///
    /// # Errors
    /// `Retry` or `Fatal`.
    fn reset_producer(&mut self) -> Result<(), Error>;

    /// Leaves the group, waiting at most `timeout`. The caller must have answered every revocation before.
    fn leave(&mut self, timeout: Duration);
}
