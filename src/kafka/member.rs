//! The seam between the worker's loop and the log: one trait, small enough to be simulated.
//!
//! Everything blocks, nothing calls back: a rebalance is an [`Event`] that `poll` returns, and the group
//! waits until the worker answers it with `assign`, `release` or `drop_lost`.

use std::time::Duration;

use super::error::Error;

/// A partition of the input topic, and so of the changelog topic.
pub type PartitionId = i32;

/// A position in a partition: the offset of the next record to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionOffset {
    /// Which partition.
    pub partition: PartitionId,
    /// The next record to read.
    pub offset: i64,
}

/// A record header; the value may be absent or any bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordHeader {
    /// The header's name.
    pub name: String,
    /// The header's value.
    pub value: Option<Vec<u8>>,
}

/// A record as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Which partition it came from.
    pub partition: PartitionId,
    /// Its offset there.
    pub offset: i64,
    /// Milliseconds since the epoch; `None` when the record has none.
    pub timestamp_ms: Option<i64>,
    /// The key, any bytes.
    pub key: Option<Vec<u8>>,
    /// The value, any bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<RecordHeader>,
}

/// A record to be written within the transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// Where to.
    pub topic: std::sync::Arc<str>,
    /// `None` lets the partitioner (murmur2 over the key, as Java clients do) choose.
    pub partition: Option<PartitionId>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<RecordHeader>,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
}

/// What is committed for a partition: where to read on, and what the previous owner noted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffset {
    /// Which partition.
    pub partition: PartitionId,
    /// The next record to read; `None` when nothing was ever committed.
    pub offset: Option<i64>,
    /// The text committed with the offset, at most 4,000 bytes; empty when there is none.
    pub metadata: String,
}

/// A partition that the group has given to this member.
pub type Gained = PartitionId;

/// What a poll brings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The next records of assigned, not paused partitions; in order of offset within a partition.
    Records(Vec<Record>),
    /// All records of the partition up to its end have been returned.
    ReachedEnd(PartitionId),
    /// Partitions given to this member. Answer with `assign`.
    Gained(Vec<PartitionId>),
    /// Partitions that another member is to have. Commit or abort, then answer with `release`.
    Revoked(Vec<PartitionId>),
    /// Partitions that another member may already have. Abort, drop their state, then answer with `release`.
    Lost(Vec<PartitionId>),
}

/// One member of the consumer group with its transactional producer. One owner, one thread; every call blocks.
///
/// A call never blocks for ever: each has its own deadline, past which it fails with [`Reaction::Renew`](super::Reaction)
/// (transaction calls) or [`Reaction::Retry`](super::Reaction) (the others).
pub trait Member {
    /// The member's name, the same after a restart. Noted beside what it commits, it tells the next owner of a partition whose
    /// transactions may still be open; empty when there is no such need.
    #[expect(clippy::unnecessary_literal_bound, reason = "a member that has a name returns its own")]
    fn name(&self) -> &str {
        ""
    }

    /// Waits up to `timeout` for the next event and returns all events at hand; `records_max` records at most.
    ///
    /// # Errors
    /// Fatal ones only: authorisation, an offset out of range, a fenced static member.
    fn poll(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Event>, Error>;

    /// Accepts gained partitions, paused at `positions`. The worker answers at once, before it knows what was committed: it
    /// gives offset 0, and sends the true position with `rewind` before `resume`.
    ///
    /// # Errors
    /// As of the client.
    fn assign(&mut self, positions: &[PartitionOffset]) -> Result<(), Error>;

    /// Lets revoked or lost partitions go; the group moves on.
    ///
    /// # Errors
    /// As of the client.
    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), Error>;

    /// Stops reading `partitions` until `resume`.
    ///
    /// # Errors
    /// As of the client.
    fn pause(&mut self, partitions: &[PartitionId]) -> Result<(), Error>;

    /// Reads on where reading was paused.
    ///
    /// # Errors
    /// As of the client.
    fn resume(&mut self, partitions: &[PartitionId]) -> Result<(), Error>;

    /// Reads on at `positions` instead; records already fetched are forgotten.
    ///
    /// # Errors
    /// As of the client.
    fn rewind(&mut self, positions: &[PartitionOffset]) -> Result<(), Error>;

    /// What is committed for `partitions`, once no transaction that could change it is open.
    ///
    /// # Errors
    /// `Retry` while a previous owner's transaction is still open.
    fn committed(&mut self, partitions: &[PartitionId]) -> Result<Vec<CommittedOffset>, Error>;

    /// The first offset still in the input partition, and the end as of now (the last stable offset).
    ///
    /// # Errors
    /// `Retry` when the broker cannot be asked.
    fn input_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error>;

    /// Whether every record below `end` of the assigned partition has been returned by `poll` (control records need no returning).
    fn has_read_to(&mut self, partition: PartitionId, end: i64) -> bool;

    /// The end of the input partition (the last stable offset) as the client last heard of it, without asking; `None`
    /// when it does not know.
    fn end_seen(&mut self, _partition: PartitionId) -> Option<i64> {
        None
    }

    /// How many partitions the input topic has, as the client last heard, without asking; `None` when it does not know.
    fn input_partitions(&mut self) -> Option<usize> {
        None
    }

    /// For how long the last `poll` waited with nothing at hand.
    fn waited(&mut self) -> Duration {
        Duration::ZERO
    }

    /// The first offset still in the changelog partition, and its end as of now (the last stable offset).
    ///
    /// # Errors
    /// `Retry` when the broker cannot be asked.
    fn changelog_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error>;

    /// Starts to read the changelog of `partition` at `offset`, beside those already being read.
    ///
    /// # Errors
    /// As of the client.
    fn open_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error>;

    /// The next changelog records of all opened partitions, waiting up to `timeout`. A call that fails has read nothing.
    ///
    /// # Errors
    /// `Abort` when a log was cut below the position: begin anew with those opened.
    fn read_changelog(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Record>, Error>;

    /// Whether every changelog record below `end` has been returned by `read_changelog` (control records and aborted ones
    /// need no returning), of a partition opened and not closed.
    fn has_read_changelog_to(&mut self, partition: PartitionId, end: i64) -> bool;

    /// Ends reading the changelog of `partition`.
    ///
    /// # Errors
    /// As of the client.
    fn close_changelog(&mut self, partition: PartitionId) -> Result<(), Error>;

    /// Deletes the changelog of `partition` before `offset`.
    ///
    /// # Errors
    /// Any; never fatal, the caller tries again later.
    fn truncate_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error>;

    /// Begins a transaction.
    ///
    /// # Errors
    /// As of the client.
    fn begin(&mut self) -> Result<(), Error>;

    /// Writes `records` within the transaction and waits until the broker has them all. Returns the offset of each, in order.
    ///
    /// # Errors
    /// As of the client.
    fn send(&mut self, records: Vec<Outgoing>) -> Result<Vec<i64>, Error>;

    /// Adds input positions, with a text for each, to the transaction, under the member's generation as of now.
    ///
    /// # Errors
    /// `Abort` when the group has moved on.
    fn send_offsets(&mut self, offsets: &[(PartitionOffset, String)]) -> Result<(), Error>;

    /// Makes the transaction visible.
    ///
    /// # Errors
    /// `Renew` when the outcome is unknown.
    fn commit(&mut self) -> Result<(), Error>;

    /// Drops the transaction.
    ///
    /// # Errors
    /// `Renew` when the outcome is unknown.
    fn abort(&mut self) -> Result<(), Error>;

    /// Destroys the producer and makes a new one of the same transactional id, which ends whatever the old one left open.
    ///
    /// # Errors
    /// `Retry` or `Fatal`.
    fn renew(&mut self) -> Result<(), Error>;

    /// Leaves the group within `deadline`. Revoked partitions must have been released before.
    fn leave(&mut self, deadline: Duration);
}
