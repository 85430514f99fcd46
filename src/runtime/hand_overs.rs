//! Reads the hand-overs for the assigned partitions and applies them: messages between partitions because a visitor
//! turned out to be a customer, or customers were merged.
//!
//! A hand-over of a time waits until the partition has read its own touchpoints up to that time: until its stream time
//! has reached it, or everything is read that was in the partition when the worker queried its end offset after the
//! hand-over had arrived. Otherwise, after an outage, time that another partition has seen would fire the wake-ups of
//! its customers before their own touchpoints are read. Touchpoints never wait for hand-overs, so every wait ends.
//!
//! The position in the topic is part of the metadata of the committed touchpoint offset, so hand-overs and touchpoints
//! are committed in one transaction. So are offset and digest of a hand-over that was applied. Reading starts at it,
//! and the first record must equal it: another record, or none, proves that the topic was deleted and created again.
//! The worker repeats the comparison from time to time, with the last hand-over that it had read before the previous
//! one: later ones may already be from the new topic.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::kafka::{ErrorCode, Member, PartitionId, Record};
use crate::lifecycle::time::Timestamp;
use crate::partition::Clock;
use crate::wire::hand_over::HandOverRecord;
use crate::wire::offset_metadata::{OffsetMetadata, RecordDigest};

use super::assigned_partition::AssignedPartition;
use super::assignment::Assignment;
use super::fatal::Fatal;
use super::mismatch::Mismatch;
use super::open_batch::OpenBatch;
use super::record_applier::RecordApplier;
use super::unless_fatal::unless_fatal;
use super::wall_clock::Moment;

/// Maximum number of hand-overs per read.
const RECORDS_MAX: usize = 1000;
/// Number of waiting hand-overs at which a partition is no longer read.
const WAITING_MAX: usize = 1000;
/// Size of the waiting hand-overs, in bytes, at which a partition is no longer read.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// Maximum number of partitions that are opened, and of end-offset queries, between two polls. After a call that fails,
/// which may take seconds, no other is made.
const CALLS_MAX: usize = 16;
/// Delay before a failed call is made again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long the committed position may be past the end of the topic: a newly elected leader may not know the end yet.
const PAST_END_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a worker reads the last hand-over of one of its partitions again. One is enough, because all partitions of
/// a topic are created together.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// A hand-over that was read and is not committed.
#[derive(Debug)]
struct Waiting {
    /// Its offset and a hash of it.
    digest: RecordDigest,
    /// Its Kafka timestamp.
    written_at: Timestamp,
    /// Shared, because it may contain a customer and stays in the queue until the batch is committed.
    record: Arc<HandOverRecord>,
}

/// The hand-overs for one partition that were read and are not committed.
#[derive(Debug, Default)]
pub(super) struct HandOverQueue {
    /// In order; the first `applied` of them are in the open batch.
    waiting: VecDeque<Waiting>,
    /// Size of the records, in bytes.
    waiting_bytes: usize,
    /// The last hand-over that was committed.
    last_committed: Option<RecordDigest>,
    /// The hand-over with which the topic is compared: the last one that was read before the previous comparison.
    anchor: Option<RecordDigest>,
    /// The hand-over that must be read first, because it was read before.
    expected: Option<RecordDigest>,
    /// Whether the partition was compared at an offset before its position, and must be opened again at its position.
    is_behind: bool,
    /// When the last hand-over was compared with the topic last.
    checked_at: Duration,
    /// The number of hand-overs at the front of the queue that the open batch has applied.
    applied: usize,
    /// Every hand-over before this offset was read; `None` before the first read.
    read_to: Option<i64>,
    /// The offset that the last commit has stored.
    committed: Option<i64>,
    /// Whether the member reads the partition at the moment.
    is_open: bool,
    /// No call is made before this time.
    next_call: Duration,
    past_end_since: Option<Duration>,
    /// The end offset of the touchpoints that was queried last, and the offset of the first hand-over that arrived
    /// later.
    probe: Option<(i64, i64)>,
    /// The hand-overs before this offset have waited.
    released_to: i64,
}

impl HandOverQueue {
    /// Returns a queue from which nothing was read after `committed`. `metadata` is that of the committed offset.
    pub(super) fn new(committed: Option<i64>, metadata: &str) -> Self {
        let metadata = OffsetMetadata::decode(metadata).ok().flatten();
        Self { committed, last_committed: metadata.and_then(|it| it.last_hand_over), ..Self::default() }
    }

    /// Returns the hand-over with which the next owner compares the topic: the one that was applied last, or the one
    /// with which it is compared next, if that was read before.
    pub(super) fn to_compare(&self) -> Option<RecordDigest> {
        let applied = self.last_applied()?;
        Some(self.anchor.filter(|anchor| anchor.offset < applied.offset).unwrap_or(applied))
    }

    /// Returns the hand-over that was applied last, also if it is not committed.
    fn last_applied(&self) -> Option<RecordDigest> {
        let last = self.applied.checked_sub(1).and_then(|index| self.waiting.get(index));
        last.map(|last| last.digest).or(self.last_committed)
    }

    /// Returns the hand-over that was read last.
    fn last_read(&self) -> Option<RecordDigest> {
        self.waiting.back().map(|last| last.digest).or(self.last_committed)
    }

    /// Returns the offset of the next hand-over to apply; `None` without identity resolution.
    pub(super) fn position(&self) -> Option<i64> {
        self.waiting.get(self.applied).map(|next| next.digest.offset).or(self.read_to).or(self.committed)
    }

    pub(super) fn has_uncommitted(&self) -> bool {
        self.position() != self.committed
    }

    /// Whether the open batch contains a hand-over.
    pub(super) fn has_applied(&self) -> bool {
        self.applied > 0
    }

    /// Records that the open batch was committed, with `position`.
    pub(super) fn on_committed(&mut self, position: Option<i64>) {
        self.committed = position;
        self.last_committed = self.last_applied();
        self.waiting_bytes -= self.waiting.drain(..self.applied).map(|it| it.record.bytes()).sum::<usize>();
        self.applied = 0;
    }

    /// Returns the hand-overs of the open batch to the queue. The touchpoints are read again as well.
    pub(super) fn abort(&mut self) {
        self.applied = 0;
        (self.probe, self.released_to) = (None, 0);
    }

    /// Whether the partition is closed and has to be opened.
    fn must_open(&self, elapsed: Duration) -> bool {
        let has_room = self.waiting.len() < WAITING_MAX / 2 && self.waiting_bytes < WAITING_BYTES_MAX / 2;
        !self.is_open && has_room && elapsed >= self.next_call
    }

    /// Whether the partition should no longer be read.
    fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX || self.waiting_bytes >= WAITING_BYTES_MAX
    }

    /// Returns the offset at which reading starts, given the offsets of the topic; `None` if they are not known yet.
    ///
    /// # Errors
    /// When the topic does not contain the position.
    fn start(&mut self, (start, end): (i64, i64), elapsed: Duration) -> Result<Option<i64>, Mismatch> {
        let Some(position) = self.read_to.or(self.committed) else { return Ok(Some(start)) };
        if position < start {
            return Err(Mismatch::HandOversTruncated { committed: position, start });
        }
        if position <= end {
            self.past_end_since = None;
            return Ok(Some(position));
        }
        let since = *self.past_end_since.get_or_insert(elapsed);
        if elapsed.saturating_sub(since) < PAST_END_TIMEOUT {
            Ok(None)
        } else {
            Err(Mismatch::HandOversShrunk { committed: position, end })
        }
    }

    /// Returns when the oldest hand-over that was read and is not committed was written.
    pub(super) fn oldest_written_at(&self) -> Option<Timestamp> {
        self.waiting.front().map(|oldest| oldest.written_at)
    }

    /// Begins to read at `position` at the time `elapsed`. Returns the offset of the first record to read, in a topic
    /// that begins at `start`.
    fn begin(&mut self, position: i64, start: i64, elapsed: Duration) -> i64 {
        // Retention may have deleted it.
        let is_kept = |it: &RecordDigest| it.offset >= start;
        self.anchor = self.anchor.filter(is_kept).or(self.last_read().filter(is_kept));
        let was_compared = std::mem::take(&mut self.is_behind);
        self.expected = self.anchor.filter(|_| !was_compared);
        (self.is_open, self.read_to) = (true, Some(position));
        (self.next_call, self.checked_at) = (elapsed, elapsed);
        self.expected.map_or(position, |expected| expected.offset)
    }

    /// Compares the record that was read first with the one that was read before.
    ///
    /// # Errors
    /// When it is another one.
    fn check_first(&mut self, found: RecordDigest) -> Result<(), Mismatch> {
        if !self.is_open {
            return Ok(());
        }
        match self.expected.take() {
            Some(expected) if expected != found => Err(Mismatch::HandOversReplaced { offset: expected.offset }),
            Some(_) => {
                self.anchor = self.last_read();
                self.is_behind = self.anchor.is_some_and(|last| last.offset > found.offset);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Moves the position to `read_to`, past control records, so that it does not stay behind the start of a log
    /// without records. Returns whether it has moved.
    ///
    /// # Errors
    /// When the log has no record where one was read before.
    fn advance_to(&mut self, read_to: Option<i64>) -> Result<bool, Mismatch> {
        if let (Some(expected), Some(read_to)) = (self.expected, read_to)
            && read_to > expected.offset
        {
            return Err(Mismatch::HandOversReplaced { offset: expected.offset });
        }
        let has_moved = read_to > self.read_to;
        self.read_to = read_to.max(self.read_to);
        Ok(has_moved)
    }

    /// Adds a hand-over that was written at `written_at`, unless it was read before.
    fn push(&mut self, digest: RecordDigest, written_at: Timestamp, record: HandOverRecord) {
        if self.is_open && self.read_to.is_some_and(|read_to| digest.offset >= read_to) {
            self.waiting_bytes += record.bytes();
            self.waiting.push_back(Waiting { digest, written_at, record: Arc::new(record) });
            self.anchor.get_or_insert(digest);
            self.read_to = Some(digest.offset + 1);
        }
    }

    /// Whether the next hand-over waits for touchpoints.
    fn is_held_back(&self, clock: Clock) -> bool {
        self.waiting.get(self.applied).is_some_and(|Waiting { digest, record, .. }| {
            digest.offset >= self.released_to && clock.stream_time().is_none_or(|stream_time| stream_time < record.at)
        })
    }

    /// Returns the next hand-over with its offset, which becomes part of the open batch.
    fn next(&mut self) -> Option<(i64, Arc<HandOverRecord>)> {
        let Waiting { digest, record, .. } = self.waiting.get(self.applied)?;
        let next = (digest.offset, Arc::clone(record));
        self.applied += 1;
        Some(next)
    }
}

/// Reads and applies hand-overs. Returns whether more are likely to follow at once. Must not be called during a
/// recovery, nor while consumption is paused.
pub(super) fn advance<M: Member>(
    member: &mut M,
    assignment: &mut Assignment,
    applier: &RecordApplier,
    batch: &mut OpenBatch,
    now: Moment,
) -> Result<bool, Fatal> {
    close_for_check(member, assignment, now.elapsed)?;
    open(member, assignment, batch, now.elapsed)?;
    let has_read = read(member, assignment, batch, now.elapsed)?;
    release(member, assignment, now.elapsed)?;
    let mut is_full = false;
    for (partition, assigned) in assignment.running_mut() {
        while !assigned.hand_overs().is_held_back(assigned.clock()) {
            is_full = batch.is_full();
            if is_full || !apply_next(partition, assigned, applier, batch, now)? {
                break;
            }
        }
    }
    Ok(has_read || is_full)
}

/// Applies the next hand-over. Returns `false` if there is none.
fn apply_next(
    partition: PartitionId,
    assigned: &mut AssignedPartition,
    applier: &RecordApplier,
    batch: &mut OpenBatch,
    now: Moment,
) -> Result<bool, Fatal> {
    let Some((offset, record)) = assigned.hand_overs_mut().next() else { return Ok(false) };
    let unreadable = |problem| Fatal::HandOverUnreadable { partition, offset, problem };
    let bytes = applier.apply_hand_over(&record, assigned).map_err(unreadable)?;
    batch.add(1, bytes, now.elapsed);
    Ok(true)
}

/// Closes the partition whose last hand-over was read longest ago, so that it is opened, and compared, again.
fn close_for_check<M: Member>(member: &mut M, assignment: &mut Assignment, elapsed: Duration) -> Result<(), Fatal> {
    let is_recent =
        |it: &AssignedPartition| it.hand_overs().is_open && elapsed < it.hand_overs().checked_at + CHECK_INTERVAL;
    let can_check = |it: &AssignedPartition| it.hand_overs().is_open && it.hand_overs().anchor.is_some();
    if assignment.running().any(|(_, assigned)| is_recent(assigned) && can_check(assigned)) {
        return Ok(());
    }
    let candidates = assignment.running().filter(|(_, assigned)| can_check(assigned));
    let oldest = candidates.min_by_key(|(_, assigned)| assigned.hand_overs().checked_at);
    let Some(partition) = oldest.map(|(partition, _)| partition) else { return Ok(()) };
    close(member, assignment, partition, elapsed)
}

/// Closes a partition. It may be opened again from `next_call` on.
fn close<M: Member>(
    member: &mut M,
    assignment: &mut Assignment,
    partition: PartitionId,
    next_call: Duration,
) -> Result<(), Fatal> {
    unless_fatal(member.close_hand_overs(partition))?;
    if let Some(assigned) = assignment.get_mut(partition) {
        let queue = assigned.hand_overs_mut();
        (queue.is_open, queue.next_call) = (false, next_call);
    }
    Ok(())
}

/// Opens the partitions that should be read.
fn open<M: Member>(
    member: &mut M,
    assignment: &mut Assignment,
    batch: &mut OpenBatch,
    elapsed: Duration,
) -> Result<(), Fatal> {
    for partition in next_calls(assignment, |assigned| assigned.hand_overs().must_open(elapsed)) {
        let Some(assigned) = assignment.get_mut(partition) else { continue };
        let queue = assigned.hand_overs_mut();
        queue.next_call = elapsed + RETRY_DELAY;
        let Some(range) = unless_fatal(member.hand_over_range(partition))? else { return Ok(()) };
        let position = queue.start(range, elapsed).map_err(|mismatch| Fatal::Mismatch { partition, mismatch })?;
        let Some(position) = position else { continue };
        let first = queue.begin(position, range.0, elapsed);
        if unless_fatal(member.open_hand_overs(partition, first))?.is_none() {
            (queue.is_open, queue.next_call) = (false, elapsed + RETRY_DELAY);
            return Ok(());
        }
        if queue.has_uncommitted() {
            batch.add(0, 0, elapsed);
        }
    }
    Ok(())
}

/// Returns the partitions for which a call `is_due`, up to the limit. The one whose call was due first comes first, so
/// that a partition without a leader does not delay the others indefinitely.
fn next_calls(assignment: &Assignment, is_due: impl Fn(&AssignedPartition) -> bool) -> Vec<PartitionId> {
    let due = assignment.running().filter(|(_, assigned)| is_due(assigned));
    let mut due: Vec<_> = due.map(|(partition, assigned)| (assigned.hand_overs().next_call, partition)).collect();
    due.sort_unstable();
    due.into_iter().map(|(_, partition)| partition).take(CALLS_MAX).collect()
}

/// Reads the hand-overs that have arrived. Returns whether there were any.
fn read<M: Member>(
    member: &mut M,
    assignment: &mut Assignment,
    batch: &mut OpenBatch,
    elapsed: Duration,
) -> Result<bool, Fatal> {
    let records = match member.read_hand_overs(RECORDS_MAX) {
        Err(error) if matches!(error.code, ErrorCode::OffsetOutOfRange | ErrorCode::AutoOffsetReset) => {
            // The topic was truncated or created again. Opening it finds out which.
            let open: Vec<_> = assignment.running().map(|(partition, _)| partition).collect();
            for partition in open {
                close(member, assignment, partition, elapsed + RETRY_DELAY)?;
            }
            Vec::new()
        }
        result => unless_fatal(result)?.unwrap_or_default(),
    };
    for Record { partition, offset, value, timestamp_ms, .. } in &records {
        let Some(assigned) = assignment.get_mut(*partition) else { continue };
        let value = value.as_deref().unwrap_or_default();
        let digest = RecordDigest::of(*offset, *timestamp_ms, value);
        let is_same = assigned.hand_overs_mut().check_first(digest);
        is_same.map_err(|mismatch| Fatal::Mismatch { partition: *partition, mismatch })?;
        let record = HandOverRecord::decode(value).map_err(|error| Fatal::HandOverUnreadable {
            partition: *partition,
            offset: *offset,
            problem: error.to_string(),
        })?;
        let written_at = timestamp_ms.map_or(record.at, Timestamp::from_millis);
        assigned.hand_overs_mut().push(digest, written_at, record);
    }
    for (partition, assigned) in assignment.running_mut() {
        let queue = assigned.hand_overs_mut();
        if !queue.is_open {
            continue;
        }
        let has_moved = queue.advance_to(member.hand_over_position(partition));
        if has_moved.map_err(|mismatch| Fatal::Mismatch { partition, mismatch })? && queue.has_uncommitted() {
            batch.add(0, 0, elapsed);
        }
        if queue.is_full() || queue.is_behind {
            unless_fatal(member.close_hand_overs(partition))?;
            queue.is_open = false;
        }
    }
    Ok(!records.is_empty())
}

/// Releases the hand-overs that had arrived when the end offset was queried, once the partition is read to that offset.
fn release<M: Member>(member: &mut M, assignment: &mut Assignment, elapsed: Duration) -> Result<(), Fatal> {
    let is_held_back = |assigned: &AssignedPartition| {
        !assigned.fetch().needs_seek() && assigned.hand_overs().is_held_back(assigned.clock())
    };
    let must_probe = |assigned: &AssignedPartition| {
        let queue = assigned.hand_overs();
        is_held_back(assigned) && queue.probe.is_none() && elapsed >= queue.next_call
    };
    for partition in next_calls(assignment, must_probe) {
        let Some(assigned) = assignment.get_mut(partition) else { continue };
        let queue = assigned.hand_overs_mut();
        let Some((_, end)) = unless_fatal(member.input_range(partition))? else {
            queue.next_call = elapsed + RETRY_DELAY;
            break;
        };
        queue.probe = queue.read_to.map(|read_to| (end, read_to));
    }
    for (partition, assigned) in assignment.running_mut().filter(|(_, assigned)| is_held_back(assigned)) {
        let queue = assigned.hand_overs_mut();
        if let Some((end, read_to)) = queue.probe
            && member.has_read_to(partition, end)
        {
            (queue.released_to, queue.probe) = (read_to, None);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
