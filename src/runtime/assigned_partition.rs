//! A partition assigned to this worker: its state machine, the uncommitted changes, and how far it has been read and
//! committed.
//!
//! Everything here is owned by one worker thread. Uncommitted changes leave in one of two ways: `on_committed` keeps
//! them, `abort` drops them and returns to the last committed offset.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::kafka::{CommittedOffset, PartitionId, PartitionOffset, Record, RecordBatch};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::touchpoint::Touchpoint;
use crate::partition::{ChangelogBatch, Clock, Effects, Input, Partition, RestoreError};
use crate::telemetry::report::Report;
use crate::wire::changelog::{self, ChangelogRecord, InputProgress};
use crate::wire::touchpoint_json::DeadLetterCause;

use super::changelog_range::ChangelogRange;
use super::fatal::Fatal;
use super::fetch_control::FetchControl;
use super::hand_overs::HandOverQueue;
use super::log_identity::LogIdentity;
use super::mismatch::Mismatch;
use super::open_batch::OpenBatch;
use super::options::Options;
use super::partition_commit::{ChangelogWrite, MetadataFields, PartitionCommit};
use super::pending_output::{Applied, PendingOutput};
use super::record_builder::RecordBuilder;
use super::registry_wait::RegistryWait;
use super::wall_clock::Moment;
use super::watermark::Watermark;

/// Number of wake-ups per input to a partition; the transaction size is checked after each.
const WAKE_UPS_PER_INPUT: usize = 200;
/// Delay before the committed offset is fetched again, for example while a previous owner's transaction is open;
/// doubled at most twice.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// Where an assigned partition is between its assignment and normal processing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Assigned; the committed offset has not been fetched yet.
    FetchingOffset {
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
    phase: Phase,
    /// State machine that holds the customers of the partition.
    machine: Partition,
    /// Offset of the next input record to apply, uncommitted records included.
    position: i64,
    /// Offset after the last touchpoint that the restored state contains. It exceeds the committed offset only if the
    /// group's offsets were set back; the touchpoints in between are duplicates.
    restored_to: i64,
    /// Ranges of offsets below `restored_to` that were never applied.
    skipped: Vec<Range<i64>>,
    /// The position at which processing started; everything from there to `position` has been read.
    started_at: i64,
    /// Whether the changelog must store `skipped` even if the next commit changes no customer.
    must_write_skipped: bool,
    /// The offset and metadata committed in the consumer group.
    committed: CommittedOffset,
    pending: PendingOutput,
    /// Recognizes a topic that was created again.
    identity: LogIdentity,
    /// When the group assigned the partition; `None` once its rebalance duration has been measured.
    assigned_at: Option<Duration>,
    watermark: Watermark,
    /// Whether wake-ups are due that did not fit into the last slice.
    has_wake_ups_left: bool,
    /// The live offset range of the changelog.
    changelog: ChangelogRange,
    fetch: FetchControl,
    /// End offset of the input partition, and when it was queried. The worker queries it because a paused client
    /// receives no end offsets.
    queried_end: Option<(i64, Duration)>,
    /// Stays empty without identity resolution.
    hand_overs: HandOverQueue,
    /// Of a source that is read directly.
    pub(super) registry_wait: RegistryWait,
}

impl AssignedPartition {
    /// Returns a newly assigned partition without state, paused.
    pub(super) fn new(partition: PartitionId, models: Arc<ModelSet>, options: &Options, elapsed: Duration) -> Self {
        Self {
            phase: Phase::FetchingOffset { fetch_at: elapsed, attempts: 0 },
            machine: Partition::new(models, options.facts.clone()),
            position: 0,
            restored_to: 0,
            skipped: Vec::new(),
            started_at: 0,
            must_write_skipped: false,
            committed: CommittedOffset { partition, offset: None, metadata: String::new() },
            pending: PendingOutput::default(),
            identity: LogIdentity::default(),
            assigned_at: Some(elapsed),
            watermark: Watermark::new(options.clock_source, options.facts.lateness),
            has_wake_ups_left: false,
            changelog: ChangelogRange::new(0, 0, 0, elapsed),
            fetch: FetchControl::newly_assigned(),
            queried_end: None,
            hand_overs: HandOverQueue::default(),
            registry_wait: RegistryWait::default(),
        }
    }

    /// Drops everything and becomes `fresh`, a newly assigned partition. The group assignment has not changed, so the
    /// client keeps the pause state of the partition.
    pub(super) fn reset(&mut self, fresh: Self) {
        let mut fetch = self.fetch;
        fetch.request_seek();
        *self = Self { fetch, ..fresh };
    }

    pub(super) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether the committed offset should be fetched now.
    pub(super) fn must_fetch_offset(&self, elapsed: Duration) -> bool {
        matches!(self.phase, Phase::FetchingOffset { fetch_at, .. } if elapsed >= fetch_at)
    }

    /// Returns the number of failed attempts to fetch the committed offset and to begin the restore.
    pub(super) fn attempts(&self) -> u32 {
        match self.phase {
            Phase::FetchingOffset { attempts, .. } => attempts,
            Phase::Restoring { .. } | Phase::Running => 0,
        }
    }

    /// Schedules the next attempt to fetch the committed offset.
    pub(super) fn schedule_retry(&mut self, elapsed: Duration) {
        let attempts = self.attempts();
        let fetch_at = elapsed + RETRY_DELAY * (1 << attempts.min(2));
        self.phase = Phase::FetchingOffset { fetch_at, attempts: attempts + 1 };
    }

    /// Begins the restore of `changelog`, after which processing continues at `position`. `committed` is the committed
    /// offset.
    pub(super) fn begin_restore(
        &mut self,
        committed: CommittedOffset,
        position: i64,
        changelog: ChangelogRange,
        elapsed: Duration,
    ) {
        (self.committed, self.position, self.changelog) = (committed, position, changelog);
        self.phase = Phase::Restoring { since: elapsed };
    }

    /// Restores the customers of a changelog record of `bytes` bytes. Returns the number of customers.
    ///
    /// # Errors
    /// When the record does not match its layout.
    pub(super) fn restore(&mut self, record: &ChangelogRecord<'_>, bytes: usize) -> Result<usize, RestoreError> {
        let restored = self.machine.restore(&record.layout, &record.customers)?;
        self.changelog.count_record(bytes);
        Ok(restored.customers)
    }

    /// Finishes the restore: the partition may process touchpoints. `progress` is the input offset up to which the
    /// restored state contains touchpoints, and the clock at the last commit.
    pub(super) fn start_running(&mut self, progress: InputProgress, now: Moment, report: &mut Report) {
        let InputProgress { applied_to, skipped, clock, hand_overs_to } = progress;
        self.hand_overs = HandOverQueue::new(hand_overs_to, &self.committed.metadata);
        if applied_to > self.position {
            let never_applied: i64 =
                skipped.iter().map(|range| (range.end - range.start.max(self.position)).max(0)).sum();
            tracing::warn!(
                partition = self.committed.partition,
                committed = self.position,
                applied_to,
                never_applied,
                "committed offset was set back, applied touchpoints are skipped as duplicates"
            );
        }
        self.restored_to = applied_to;
        self.must_write_skipped = !skipped.is_empty();
        (self.skipped, self.started_at) = (skipped, self.position);
        let (elapsed, edited_at) = (now.elapsed, self.watermark.time_before_restart(clock, now.wall));
        self.machine.end_restore(clock, edited_at.unwrap_or(Timestamp::MIN));
        if let Phase::Restoring { since } = self.phase {
            let took = elapsed.saturating_sub(since);
            report.measured.restore_duration.observe(took.as_secs_f64());
            if let Some(assigned_at) = self.assigned_at.take() {
                report.measured.rebalance_duration.observe(elapsed.saturating_sub(assigned_at).as_secs_f64());
            }
            let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let (partition, customers) = (self.committed.partition, self.machine.len());
            tracing::info!(partition, customers, milliseconds, position = self.position, "partition restored");
        }
        self.phase = Phase::Running;
    }

    /// Whether the record at `offset` must be applied. Until a seek takes effect, the client still returns records
    /// beyond the position to which the partition was rewound.
    pub(super) fn expects(&self, offset: i64) -> bool {
        self.is_running() && !self.fetch.needs_seek() && offset >= self.position
    }

    /// Counts a record of `bytes` bytes as consumed. It must be applied next.
    pub(super) fn consume(&mut self, offset: i64, bytes: usize, timestamp_ms: Option<i64>) {
        self.position = offset + 1;
        self.registry_wait = RegistryWait::default();
        self.pending.count_consumed(bytes, timestamp_ms);
        self.watermark.observe_record(timestamp_ms);
    }

    /// Whether the restored state already contains the record at `offset`.
    pub(super) fn contains(&self, offset: i64) -> bool {
        offset < self.restored_to && !self.skipped.iter().any(|range| range.contains(&offset))
    }

    /// Returns how far the input is applied, uncommitted records included.
    fn input_progress(&self) -> InputProgress {
        let read = self.started_at..self.position;
        let unread = |range: &Range<i64>| {
            if read.is_empty() {
                [range.clone(), 0..0]
            } else {
                [range.start..range.end.min(read.start), range.start.max(read.end)..range.end]
            }
        };
        let skipped = self.skipped.iter().flat_map(unread).filter(|range| !range.is_empty()).collect();
        InputProgress {
            applied_to: self.position.max(self.restored_to),
            skipped,
            clock: self.machine.clock(),
            hand_overs_to: self.hand_overs.position(),
        }
    }

    /// Looks up the customer that a record key names, so that it is in the cache when the record is applied.
    pub(super) fn prefetch(&self, key: &[u8]) {
        self.machine.prefetch(key);
    }

    /// Counts a record that the restored state already contains, as a duplicate.
    pub(super) fn count_duplicate(&mut self) {
        self.pending.apply(Input::AppliedBefore, &mut self.machine);
    }

    /// Moves the position to `read_to`, before which everything was read: past control records and aborted records.
    /// Returns whether it has moved.
    pub(super) fn advance_position(&mut self, read_to: i64) -> bool {
        let has_moved = read_to > self.position;
        self.position = self.position.max(read_to);
        has_moved
    }

    pub(super) fn hand_overs(&self) -> &HandOverQueue {
        &self.hand_overs
    }

    pub(super) fn hand_overs_mut(&mut self) -> &mut HandOverQueue {
        &mut self.hand_overs
    }

    /// Returns stream time, including the open batch.
    pub(super) fn clock(&self) -> Clock {
        self.machine.clock()
    }

    pub(super) fn machine(&self) -> &Partition {
        &self.machine
    }

    pub(super) fn identity(&self) -> &LogIdentity {
        &self.identity
    }

    pub(super) fn identity_mut(&mut self) -> &mut LogIdentity {
        &mut self.identity
    }

    pub(super) fn pending_mut(&mut self) -> &mut PendingOutput {
        &mut self.pending
    }

    /// Applies a touchpoint or a hand-over. Returns the estimated size of the records that it causes.
    pub(super) fn apply(&mut self, input: Input<'_>) -> usize {
        self.pending.apply(input, &mut self.machine).bytes
    }

    /// Applies `touchpoint`, of which the record has the value `value`, as `input`. Forwards it if it belongs to
    /// another id. Returns the estimated size of the records that it causes.
    pub(super) fn apply_touchpoint(&mut self, input: Input<'_>, touchpoint: &Touchpoint<'_>, value: &[u8]) -> usize {
        let bytes = self.apply(input);
        bytes + self.pending.forward_touchpoint(touchpoint, value)
    }

    /// Applies a record that cannot be decoded or is not valid.
    pub(super) fn apply_dead_letter(&mut self, record: Record, cause: DeadLetterCause) {
        self.pending.apply_dead_letter(record, cause, &mut self.machine);
    }

    /// Records wall time.
    pub(super) fn observe_wall(&mut self, wall: Timestamp) {
        self.watermark.observe_wall(wall);
    }

    /// Whether the end offset should be queried, so that wake-ups may fire by wall time.
    pub(super) fn needs_probe(&self, now: Moment) -> bool {
        self.watermark.needs_probe(now, self.machine.next_wake_up(), self.machine.clock())
    }

    pub(super) fn watermark(&self) -> &Watermark {
        &self.watermark
    }

    pub(super) fn watermark_mut(&mut self) -> &mut Watermark {
        &mut self.watermark
    }

    /// Fires up to `wake_ups_max` wake-ups that are due, until the batch is full.
    pub(super) fn fire_wake_ups(&mut self, wake_ups_max: usize, batch: &mut OpenBatch, elapsed: Duration) {
        self.has_wake_ups_left = false;
        let Some(until) = self.watermark.current(self.machine.clock()) else { return };
        let mut left = wake_ups_max;
        while left > 0 && self.machine.next_wake_up().is_some_and(|due| due <= until) {
            if batch.is_full() {
                self.has_wake_ups_left = true;
                return;
            }
            let wake_ups_max = left.min(WAKE_UPS_PER_INPUT);
            let Applied { has_more, wake_ups, bytes } =
                self.pending.apply(Input::TimePassed { until, wake_ups_max }, &mut self.machine);
            if wake_ups > 0 {
                batch.add_wake_ups(wake_ups, bytes, elapsed);
            }
            left -= wake_ups_max;
            self.has_wake_ups_left = has_more && left == 0;
            if !has_more {
                break;
            }
        }
    }

    /// Whether wake-ups are due that did not fit into the last slice.
    pub(super) fn has_wake_ups_left(&self) -> bool {
        self.has_wake_ups_left
    }

    pub(super) fn fetch(&self) -> FetchControl {
        self.fetch
    }

    pub(super) fn fetch_mut(&mut self) -> &mut FetchControl {
        &mut self.fetch
    }

    /// Returns the offset of the next input record to apply.
    pub(super) fn position(&self) -> PartitionOffset {
        PartitionOffset { partition: self.committed.partition, offset: self.position }
    }

    /// Returns the committed offset and its metadata, as far as this worker knows.
    pub(super) fn committed(&self) -> &CommittedOffset {
        &self.committed
    }

    pub(super) fn changelog(&self) -> &ChangelogRange {
        &self.changelog
    }

    pub(super) fn changelog_mut(&mut self) -> &mut ChangelogRange {
        &mut self.changelog
    }

    /// Returns the end offset of the input partition that was queried last, and when.
    pub(super) fn queried_end(&self) -> Option<(i64, Duration)> {
        self.queried_end
    }

    /// Records the end offset of the input partition.
    pub(super) fn set_queried_end(&mut self, end: i64, elapsed: Duration) {
        self.queried_end = Some((end, elapsed));
    }

    /// Begins a sweep if it is due. Returns whether it began.
    pub(super) fn begin_sweep_if_due(&mut self, options: &Options, elapsed: Duration) -> bool {
        if !self.changelog.needs_sweep(self.machine.live_bytes(), elapsed, &options.sweep) {
            return false;
        }
        self.machine.begin_sweep();
        self.changelog.begin_sweep(elapsed);
        true
    }

    /// Whether a commit would change anything for this partition.
    pub(super) fn has_uncommitted_changes(&self) -> bool {
        self.is_running()
            && (self.committed.offset != Some(self.position)
                // An operator has set the offset. The next owner needs the metadata.
                || self.committed.metadata.is_empty()
                || !self.pending.is_empty()
                || self.hand_overs.has_uncommitted()
                || self.changelog.is_sweeping()
                || self.changelog.has_uncommitted_start())
    }

    /// Appends the pending records to `records`, with `wall` as the time of publication. `sweep_bytes_min` is the
    /// minimum number of bytes of unchanged customers that a running sweep adds.
    pub(super) fn append_records(
        &mut self,
        builder: &RecordBuilder,
        sweep_bytes_min: usize,
        wall: Timestamp,
        records: &mut RecordBatch,
    ) -> ChangelogWrite {
        self.pending.append_output(builder, wall, records);
        let mut batches = self.machine.write_batches(sweep_bytes_min);
        self.pending.append_current_stages(builder, &self.machine, wall, records);
        let must_write = self.pending.has_dead_letters() || self.must_write_skipped || self.hand_overs.has_applied();
        if batches.is_empty() && must_write {
            // An empty changelog record stores that the dead letters or hand-overs were applied, in case the offsets
            // are set back.
            batches.push(ChangelogBatch { customers: Vec::new(), count: 0 });
        }
        let progress = self.input_progress();
        let values = batches.iter().map(|batch| changelog::encode(self.machine.layout(), batch, &progress));
        self.pending.append_changelog(builder, self.committed.partition, values, wall, records)
    }

    /// Returns what the open transaction commits. `offsets` are the offsets of the transaction's records, and `written`
    /// identifies those of this partition's changelog.
    ///
    /// # Errors
    /// When the changelog was deleted and created again: its offsets are smaller than before.
    pub(super) fn pending_commit(
        &self,
        written: ChangelogWrite,
        offsets: &[i64],
        fields: &MetadataFields<'_>,
    ) -> Result<PartitionCommit, Fatal> {
        if let Some(offset) = written.first_record.map(|record| offsets[record])
            && offset < self.changelog.end()
        {
            let mismatch = Mismatch::ChangelogRecreated { offset, end: self.changelog.end() };
            return Err(Fatal::Mismatch { partition: self.committed.partition, mismatch });
        }
        let end = written.last_record.map_or(self.changelog.end(), |record| offsets[record] + 1);
        let changelog = (self.changelog.start(), end);
        let hand_overs = (self.hand_overs.position(), self.hand_overs.to_compare());
        Ok(PartitionCommit::new(self.position(), changelog, written.bytes, self.machine.clock(), hand_overs, fields))
    }

    /// Records that a transaction was committed at `committed_at` and adds the pending counters to `report`. Returns
    /// the effects, and the publication time written into their records.
    pub(super) fn on_committed(
        &mut self,
        commit: PartitionCommit,
        committed_at: Timestamp,
        report: &mut Report,
    ) -> (Effects, Timestamp) {
        self.machine.commit();
        self.changelog.on_committed(commit.changelog_start, commit.changelog_end, commit.changelog_bytes);
        if self.changelog.is_sweeping() && !self.machine.is_sweeping() {
            self.changelog.end_sweep();
        }
        self.committed.offset = Some(commit.position.offset);
        self.committed.metadata = commit.metadata;
        self.must_write_skipped = false;
        self.hand_overs.on_committed(commit.hand_overs);
        self.pending.take_committed(committed_at, report)
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
        self.pending.clear();
        self.hand_overs.abort();
        self.position = self.committed.offset.unwrap_or(self.position);
        self.watermark.reset();
        self.fetch.request_seek();
    }
}
