//! Restores assigned partitions from their changelogs, in bounded slices interleaved with live processing.
//!
//! A restore ends at an offset, which may not have a record: aborted batches and control records leave gaps. It starts
//! only after the worker has checked that the changelog still contains every record that the restore needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::kafka::partitioner::partition_of;
use crate::kafka::{CommittedOffset, Error, Member, PartitionId, PartitionOffset, Reaction, Record};
use crate::lifecycle::id::StableId;
use crate::partition::{Clock, entry_of_changelog};
use crate::telemetry::report::Report;
use crate::telemetry::snapshot::RestoreProgress;
use crate::wire::changelog::{ChangelogDecoder, InputProgress};
use crate::wire::offset_metadata::OffsetMetadata;

use super::assigned_partition::AssignedPartition;
use super::assignment::Assignment;
use super::changelog_range::ChangelogRange;
use super::fatal::Fatal;
use super::mismatch::{LogRanges, Mismatch, Setup, StartingPoint, find_starting_point};
use super::options::Options;
use super::restore_progress::RestoreTracker;
use super::unless_fatal::unless_fatal;

/// Maximum number of changelog records restored between two polls; each contains up to several thousand customers.
const RECORDS_MAX: usize = 16;
/// Maximum time to wait for changelog records before live processing continues.
const READ_TIMEOUT: Duration = Duration::from_millis(10);
/// Maximum number of restores begun between two polls; each queries the broker twice.
const RESTORE_STARTS_MAX: usize = 16;
/// Number of attempts, over about half a minute, before a committed offset past the end of its topic is fatal.
const ATTEMPTS_PAST_END: u32 = 40;
/// After this time without a record, the end of the changelog is queried again.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the changelog may be ahead of the input before the input is considered created again, and the interval
/// between two queries of its end.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(30);
const AHEAD_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of skipped offset ranges per partition; the oldest are forgotten and count as applied.
const SKIPPED_RANGES_MAX: usize = 64;
/// Interval between two progress messages in the log.
const PROGRESS_LOG_INTERVAL: Duration = Duration::from_secs(5);

/// All restores in progress.
#[derive(Debug)]
pub(super) struct Restorer {
    /// Hash of the models.
    models: StableId,
    options: Arc<Options>,
    decoder: ChangelogDecoder,
    restores: BTreeMap<PartitionId, Restore>,
    /// Partitions whose restore is complete, and how far their input was applied. The worker starts them.
    complete: Vec<(PartitionId, InputProgress)>,
    next_progress_log_at: Duration,
}

/// A restore in progress.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Restore {
    tracker: RestoreTracker,
    /// The committed stream time, and how far the input was applied according to the changelog records read so far.
    progress: InputProgress,
    /// The offset that another program committed; `None` if this service did.
    set_manually: Option<i64>,
    /// End offset of the input topic.
    input_end: i64,
    /// When the changelog turned out to be ahead of `input_end`, and when the latter was queried again.
    ahead: Option<(Duration, Duration)>,
    /// When the end of the changelog was last queried.
    last_checked: Duration,
}

impl Restorer {
    /// Returns a restorer without restores.
    pub(super) fn new(models: StableId, options: Arc<Options>) -> Self {
        Self {
            models,
            options,
            decoder: ChangelogDecoder::default(),
            restores: BTreeMap::new(),
            complete: Vec::new(),
            next_progress_log_at: Duration::ZERO,
        }
    }

    /// Whether no restore is in progress.
    pub(super) fn is_idle(&self) -> bool {
        self.restores.is_empty()
    }

    /// Returns the restore progress of `partition`, if it is being restored.
    pub(super) fn progress(&self, partition: PartitionId) -> Option<RestoreProgress> {
        self.restores.get(&partition).map(|restore| restore.tracker.progress())
    }

    /// Logs the progress of all restores at a fixed interval.
    fn log_progress(&mut self, elapsed: Duration) {
        if self.restores.is_empty() || elapsed < self.next_progress_log_at {
            return;
        }
        self.next_progress_log_at = elapsed + PROGRESS_LOG_INTERVAL;
        for (&partition, restore) in &self.restores {
            let progress = restore.tracker.progress();
            let Some(eta) = progress.eta else { continue };
            tracing::info!(
                partition,
                remaining_records = progress.remaining_records,
                remaining_bytes = progress.remaining_bytes,
                customers_per_second = progress.customers_per_second,
                eta_seconds = eta.as_secs(),
                "restore in progress"
            );
        }
    }
}

/// How to load a partition, according to its committed offset and its logs.
enum RestorePlan {
    /// Nothing was ever committed.
    New { input_start: i64, changelog_end: i64 },
    /// The changelog must be restored.
    Existing {
        offset: i64,
        /// Whether another program committed the offset.
        is_manual: bool,
        input_end: i64,
        changelog: ChangelogRange,
        clock: Clock,
        hand_overs: Option<i64>,
    },
}

impl Restorer {
    /// Fetches the committed offsets of newly assigned partitions, checks them against the logs, and begins the
    /// restores. Must not be called during a recovery: a transaction with an unknown outcome may still be open, and
    /// committed offsets cannot be fetched while it is.
    ///
    /// Returns the partitions without a committed offset, each with the start of its input and the end of its
    /// changelog. The caller commits these offsets, then calls `complete_empty`.
    pub(super) fn begin<M: Member>(
        &mut self,
        member: &mut M,
        assignment: &mut Assignment,
        elapsed: Duration,
    ) -> Result<Vec<(PartitionOffset, i64)>, Fatal> {
        let due = assignment.all().filter(|(_, assigned)| assigned.must_fetch_offset(elapsed));
        let due: Vec<_> = due.map(|(partition, _)| partition).take(RESTORE_STARTS_MAX).collect();
        let mut new = Vec::new();
        if due.is_empty() {
            return Ok(new);
        }
        let Some(committed) = unless_fatal(member.committed(&due))? else {
            schedule_retry(assignment, &due, elapsed);
            return Ok(new);
        };
        for committed in committed {
            let partition = committed.partition;
            let found = match self.plan(member, assignment, &committed, elapsed) {
                Err(fatal) if !is_still_committed(member, &committed, &fatal)? => None,
                plan => plan?,
            };
            match found {
                None => schedule_retry(assignment, &[partition], elapsed),
                Some(RestorePlan::New { input_start, changelog_end }) => {
                    assignment.forget_given_up_at(partition);
                    new.push((PartitionOffset { partition, offset: input_start }, changelog_end));
                }
                Some(RestorePlan::Existing { offset, is_manual, input_end, changelog, clock, hand_overs }) => {
                    let Some(assigned) = assignment.get_mut(partition) else { continue };
                    let restore = Restore {
                        tracker: RestoreTracker::new(changelog.start(), changelog.end(), elapsed),
                        progress: InputProgress { clock, hand_overs_to: hand_overs, ..InputProgress::default() },
                        set_manually: is_manual.then_some(offset),
                        input_end,
                        ahead: None,
                        last_checked: elapsed,
                    };
                    assigned.begin_restore(committed, offset, changelog, elapsed);
                    assignment.forget_given_up_at(partition);
                    self.begin_reading(member, assignment, partition, restore, elapsed)?;
                }
            }
        }
        Ok(new)
    }

    /// Completes the restore of partitions whose initial offset has been committed, and whose changelog is empty.
    pub(super) fn complete_empty(&mut self, new: &[(PartitionOffset, i64)]) {
        self.complete.extend(new.iter().map(|(position, _)| (position.partition, InputProgress::default())));
    }

    /// Restores a bounded number of changelog records.
    pub(super) fn advance<M: Member>(
        &mut self,
        member: &mut M,
        assignment: &mut Assignment,
        report: &mut Report,
        elapsed: Duration,
    ) -> Result<(), Fatal> {
        if self.is_idle() {
            return Ok(());
        }
        let records = match member.read_changelog(RECORDS_MAX, READ_TIMEOUT) {
            Err(error) if error.reaction == Reaction::Abort => {
                return self.restart_all(member, assignment, &error, elapsed);
            }
            read => unless_fatal(read)?.unwrap_or_default(),
        };
        for record in &records {
            report.restored += self.restore_record(assignment, record, elapsed)? as u64;
        }
        let partitions: Vec<_> =
            self.restores.iter().map(|(&partition, restore)| (partition, restore.tracker.end())).collect();
        for (partition, end) in partitions {
            if member.has_read_changelog_to(partition, end) {
                let Some(restore) = self.restores.get_mut(&partition) else { continue };
                if restore.is_ahead_of_input(member, partition, elapsed)? {
                    continue;
                }
                let Some(restore) = self.restores.remove(&partition) else { continue };
                unless_fatal(member.close_changelog(partition))?;
                self.complete.push((partition, restore.finish(partition)));
            } else {
                self.check_stall(member, partition, elapsed)?;
            }
        }
        self.log_progress(elapsed);
        Ok(())
    }

    /// Takes the partitions whose restore is complete, and how far their input was applied.
    pub(super) fn take_complete(&mut self) -> Vec<(PartitionId, InputProgress)> {
        std::mem::take(&mut self.complete)
    }

    /// Stops restoring `partition`.
    pub(super) fn stop<M: Member>(&mut self, member: &mut M, partition: PartitionId) -> Result<(), Fatal> {
        if self.restores.remove(&partition).is_some() {
            unless_fatal(member.close_changelog(partition))?;
        }
        Ok(())
    }

    /// Restarts all restores after a changelog was truncated past the restore's position. Either another member owns
    /// the partition already and has swept it, or something else has deleted records. The checks before the new restore
    /// distinguish the two.
    fn restart_all<M: Member>(
        &mut self,
        member: &mut M,
        assignment: &mut Assignment,
        error: &Error,
        elapsed: Duration,
    ) -> Result<(), Fatal> {
        tracing::warn!(code = %error.code, "changelog truncated during restore, restarting restore");
        let partitions: Vec<_> = self.restores.keys().copied().collect();
        for partition in partitions {
            self.stop(member, partition)?;
            assignment.reset(partition, elapsed);
        }
        Ok(())
    }

    /// Compares the committed offset with the logs. Returns `None` if the broker could not be queried.
    fn plan<M: Member>(
        &self,
        member: &mut M,
        assignment: &Assignment,
        committed: &CommittedOffset,
        elapsed: Duration,
    ) -> Result<Option<RestorePlan>, Fatal> {
        let partition = committed.partition;
        if let Some(previous) = self.options.partitions.filter(|&count| partition >= count) {
            let known = member.input_partitions().and_then(|count| i32::try_from(count).ok());
            let current = known.unwrap_or_default().max(partition + 1);
            let mismatch = Mismatch::PartitionsChanged { previous, current };
            return Err(Fatal::Mismatch { partition, mismatch });
        }
        let Some((input_start, input_end)) = unless_fatal(member.input_range(partition))? else { return Ok(None) };
        let Some((log_start, log_end)) = unless_fatal(member.changelog_range(partition))? else { return Ok(None) };
        let logs = LogRanges { input: (input_start, input_end), changelog: (log_start, log_end), hand_overs: None };
        let setup = Setup { partitions: self.options.partitions, has_identity: self.options.identity.is_some() };
        let attempts = assignment.get(partition).map_or(0, AssignedPartition::attempts);
        let (offset, metadata) = match find_starting_point(committed, logs, setup) {
            // A newly elected leader may not know the end yet.
            Err(Mismatch::InputShrunk { .. }) if attempts < ATTEMPTS_PAST_END => return Ok(None),
            Err(mismatch) => return Err(Fatal::Mismatch { partition, mismatch }),
            Ok(StartingPoint::Beginning) => return Ok(Some(RestorePlan::New { input_start, changelog_end: log_end })),
            Ok(StartingPoint::Committed { offset, metadata }) => (offset, metadata),
        };
        let Some(metadata) = metadata else {
            match assignment.given_up_at(partition).filter(|&given_up| given_up < offset) {
                // Kafka rejects changes of a group's offsets by hand while it has members, and this worker is one.
                Some(first_skipped) => tracing::error!(
                    partition,
                    first_skipped,
                    last_skipped = offset - 1,
                    "another member of the group skipped touchpoints"
                ),
                None => {
                    tracing::warn!(
                        partition,
                        offset,
                        "committed offset was set manually, restoring the whole changelog"
                    );
                }
            }
            let changelog = ChangelogRange::new(log_start, log_start, log_end, elapsed);
            let (clock, hand_overs, is_manual) = (Clock::default(), None, true);
            return Ok(Some(RestorePlan::Existing { offset, is_manual, input_end, changelog, clock, hand_overs }));
        };
        if metadata.changelog_end > log_end {
            // A newly elected leader may not know the end yet.
            if attempts < ATTEMPTS_PAST_END {
                return Ok(None);
            }
            let mismatch = Mismatch::ChangelogShrunk { expected: metadata.changelog_end, end: log_end };
            return Err(Fatal::Mismatch { partition, mismatch });
        }
        if metadata.models != self.models {
            tracing::info!(
                partition,
                models = format!("{:016x}", self.models.0),
                committed_models = format!("{:016x}", metadata.models.0),
                committed_by = metadata.member.as_deref().unwrap_or("unknown"),
                "models have changed since the last commit"
            );
        }
        let changelog = ChangelogRange::new(log_start, metadata.changelog_start, metadata.changelog_end, elapsed);
        let OffsetMetadata { clock, hand_overs, .. } = metadata;
        Ok(Some(RestorePlan::Existing { offset, is_manual: false, input_end, changelog, clock, hand_overs }))
    }

    /// Begins to read the changelog of a partition.
    fn begin_reading<M: Member>(
        &mut self,
        member: &mut M,
        assignment: &mut Assignment,
        partition: PartitionId,
        restore: Restore,
        elapsed: Duration,
    ) -> Result<(), Fatal> {
        let Some(assigned) = assignment.get(partition) else { return Ok(()) };
        let (start, end) = (assigned.changelog().start(), assigned.changelog().end());
        if start >= end {
            self.complete.push((partition, restore.finish(partition)));
            return Ok(());
        }
        if unless_fatal(member.open_changelog(partition, start))?.is_none() {
            // It may be open nevertheless. If it stayed open, a truncation by the next owner would restart all others.
            unless_fatal(member.close_changelog(partition))?;
            schedule_retry(assignment, &[partition], elapsed);
            return Ok(());
        }
        if self.is_idle() {
            // A restore shorter than the interval is logged only when it finishes.
            self.next_progress_log_at = elapsed + PROGRESS_LOG_INTERVAL;
        }
        self.restores.insert(partition, restore);
        Ok(())
    }

    /// Restores one changelog record. Returns the number of customers.
    fn restore_record(
        &mut self,
        assignment: &mut Assignment,
        record: &Record,
        elapsed: Duration,
    ) -> Result<usize, Fatal> {
        let partition = record.partition;
        let Some(restore) = self.restores.get_mut(&partition) else { return Ok(0) };
        let Some(assigned) = assignment.get_mut(partition) else { return Ok(0) };
        if record.offset >= restore.tracker.end() {
            return Ok(0);
        }
        let unreadable = |problem| Fatal::ChangelogUnreadable { partition, offset: record.offset, problem };
        let value = record.value.as_deref().unwrap_or_default();
        let batch = self.decoder.decode(value).map_err(|error| unreadable(error.to_string()))?;
        // If an operator has set the offset, no metadata has shown it.
        if batch.progress.hand_overs_to.is_some() && self.options.identity.is_none() {
            return Err(Fatal::Mismatch { partition, mismatch: Mismatch::IdentityOff });
        }
        if let Some((home, count)) = misplaced(&self.options, partition, &batch.customers) {
            return Err(Fatal::Mismatch { partition, mismatch: Mismatch::CustomerMisplaced { home, count } });
        }
        let customers = assigned.restore(&batch, value.len()).map_err(|error| unreadable(error.to_string()))?;
        restore.progress.advance(batch.progress);
        restore.tracker.record_read(record.offset, value.len(), batch.customers.len(), elapsed);
        Ok(customers)
    }

    /// If no record has arrived for a while, checks that the changelog still contains the end of the restore.
    fn check_stall<M: Member>(
        &mut self,
        member: &mut M,
        partition: PartitionId,
        elapsed: Duration,
    ) -> Result<(), Fatal> {
        let Some(restore) = self.restores.get_mut(&partition) else { return Ok(()) };
        if elapsed.saturating_sub(restore.tracker.last_read_at().max(restore.last_checked)) < STALL_TIMEOUT {
            return Ok(());
        }
        restore.last_checked = elapsed;
        let expected = restore.tracker.end();
        tracing::warn!(partition, "restore stalled, no changelog records received");
        match unless_fatal(member.changelog_range(partition))? {
            Some((_, end)) if end < expected => {
                Err(Fatal::Mismatch { partition, mismatch: Mismatch::ChangelogShrunk { expected, end } })
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Restore {
    /// Whether the changelog contains touchpoints beyond the end of the input. A newly elected leader may not know the
    /// end yet, so it is queried again for a while.
    ///
    /// # Errors
    /// When the input stays shorter: it was created again.
    fn is_ahead_of_input<M: Member>(
        &mut self,
        member: &mut M,
        partition: PartitionId,
        elapsed: Duration,
    ) -> Result<bool, Fatal> {
        let applied_to = self.progress.applied_to;
        if applied_to <= self.input_end {
            return Ok(false);
        }
        let (since, checked) = *self.ahead.get_or_insert((elapsed, elapsed));
        if elapsed.saturating_sub(since) >= AHEAD_TIMEOUT {
            let mismatch = Mismatch::InputRecreated { applied_to, end: self.input_end };
            return Err(Fatal::Mismatch { partition, mismatch });
        }
        if elapsed.saturating_sub(checked) >= AHEAD_CHECK_INTERVAL {
            self.ahead = Some((since, elapsed));
            if let Some((_, end)) = unless_fatal(member.input_range(partition))? {
                self.input_end = end;
            }
        }
        Ok(applied_to > self.input_end)
    }

    /// Returns how far the input is applied. Adds the offsets that were skipped because the offset was set forward.
    fn finish(self, partition: PartitionId) -> InputProgress {
        let mut progress = self.progress;
        // A changelog of format 1 does not know how far the input was applied.
        let is_known = progress.applied_to > 0 || self.tracker.is_empty();
        if let Some(offset) = self.set_manually.filter(|&offset| is_known && offset > progress.applied_to) {
            let (first_skipped, last_skipped) = (progress.applied_to, offset - 1);
            tracing::warn!(
                partition,
                first_skipped,
                last_skipped,
                "committed offset was set forward, the touchpoints in between are not applied"
            );
            progress.skipped.push(first_skipped..offset);
            let excess = progress.skipped.len().saturating_sub(SKIPPED_RANGES_MAX);
            progress.skipped.drain(..excess);
        }
        progress
    }
}

/// Whether the committed offset is unchanged, so that the mismatch is real. If this worker was frozen between two
/// queries, another member may have committed and truncated in between.
fn is_still_committed<M: Member>(member: &mut M, committed: &CommittedOffset, fatal: &Fatal) -> Result<bool, Fatal> {
    if matches!(fatal, Fatal::Client(_)) {
        return Ok(true);
    }
    let now_committed = unless_fatal(member.committed(&[committed.partition]))?;
    Ok(now_committed.is_some_and(|now_committed| now_committed.as_slice() == std::slice::from_ref(committed)))
}

/// Returns the partition that one of `customers` belongs to instead, and the number of partitions. With identity
/// resolution, other partitions send hand-overs there.
fn misplaced(options: &Options, partition: PartitionId, customers: &[&[u8]]) -> Option<(PartitionId, PartitionId)> {
    let count = options.partitions.filter(|_| options.identity.is_some())?;
    let home = |entry: &&[u8]| {
        let id = entry_of_changelog::customer_id(entry).filter(|_| !entry_of_changelog::is_removal(entry))?;
        Some(partition_of(id.as_bytes(), count))
    };
    customers.iter().filter_map(home).find(|&home| home != partition).map(|home| (home, count))
}

fn schedule_retry(assignment: &mut Assignment, partitions: &[PartitionId], elapsed: Duration) {
    for &partition in partitions {
        if let Some(assigned) = assignment.get_mut(partition) {
            assigned.schedule_retry(elapsed);
        }
    }
}
