//! Restores assigned partitions from their changelogs, in bounded slices interleaved with live processing.
//!
//! A restore ends at an offset, which may not have a record: aborted batches and control records leave gaps. It starts
//! only after the worker has checked that the changelog still contains every record that the restore needs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kafka::{CommittedOffset, Error, Member, PartitionId, PartitionOffset, Reaction, Record};
use crate::lifecycle::time::Timestamp;
use crate::partition::Clock;
use crate::telemetry::snapshot::RestoreProgress;
use crate::wire::changelog::{ChangelogDecoder, InputProgress};

use super::assigned_partition::{AssignedPartition, MetadataFields, PartitionCommit, Phase};
use super::changelog_range::ChangelogRange;
use super::commit::{Outcome, transact};
use super::fatal::Fatal;
use super::mismatch::{LogRanges, Mismatch, StartingPoint, find_starting_point};
use super::options::ClockSource;
use super::restore_progress::RestoreTracker;
use super::wall_clock::Moment;
use super::worker::{Worker, unless_fatal};

/// Maximum number of changelog records restored between two polls; each contains up to several thousand customers.
const RECORDS_MAX: usize = 16;
/// Maximum time to wait for changelog records before live processing continues.
const READ_TIMEOUT: Duration = Duration::from_millis(10);
/// Maximum number of restores begun between two polls; each queries the broker twice.
const RESTORE_STARTS_MAX: usize = 16;
/// Delay before committed offsets are fetched again, for example while a previous owner's transaction is open; doubled
/// at most twice.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// Number of attempts, over about half a minute, before a committed offset past the end of the input topic is fatal.
const ATTEMPTS_PAST_END: u32 = 40;
/// After this time without a record, the end of the changelog is queried again.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);
/// Interval between two progress messages in the log.
const PROGRESS_LOG_INTERVAL: Duration = Duration::from_secs(5);

/// All restores in progress.
#[derive(Debug, Default)]
pub(super) struct Restorer {
    decoder: ChangelogDecoder,
    restores: BTreeMap<PartitionId, Restore>,
    next_progress_log_at: Duration,
}

/// A restore in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Restore {
    tracker: RestoreTracker,
    /// The committed stream time, and how far the changelog records read so far were applied.
    progress: InputProgress,
    /// End offset of the input topic.
    input_end: i64,
    /// When the end of the changelog was last queried.
    last_checked: Duration,
}

impl Restorer {
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
    Existing { offset: i64, input_end: i64, changelog: ChangelogRange, clock: Clock },
}

impl<M: Member> Worker<M> {
    /// Fetches the committed offsets of newly assigned partitions, checks them against the logs, and begins the
    /// restores.
    pub(super) fn begin_restores(&mut self, now: Moment) -> Result<(), Fatal> {
        // A transaction with an unknown outcome may still be open, and committed offsets cannot be fetched while it is.
        if self.recovery.is_pending() {
            return Ok(());
        }
        let is_due = |assigned: &AssignedPartition| {
            let Phase::FetchingOffsets { fetch_at, .. } = assigned.phase else { return false };
            now.elapsed >= fetch_at
        };
        let due: Vec<_> =
            self.partitions.iter().filter(|(_, assigned)| is_due(assigned)).map(|(&partition, _)| partition).collect();
        let due = &due[..due.len().min(RESTORE_STARTS_MAX)];
        if due.is_empty() {
            return Ok(());
        }
        let Some(committed) = unless_fatal(self.member.committed(due))? else {
            self.schedule_retry(due, now);
            return Ok(());
        };
        let mut new = Vec::new();
        for committed in committed {
            let partition = committed.partition;
            let found = match self.plan_restore(&committed, now) {
                Err(fatal) if !self.is_still_committed(&committed, &fatal)? => None,
                plan => plan?,
            };
            match found {
                None => self.schedule_retry(&[partition], now),
                Some(RestorePlan::New { input_start, changelog_end }) => {
                    new.push((PartitionOffset { partition, offset: input_start }, changelog_end));
                }
                Some(RestorePlan::Existing { offset, input_end, changelog, clock }) => {
                    let Some(assigned) = self.partitions.get_mut(&partition) else { continue };
                    assigned.position = offset;
                    assigned.committed = committed;
                    assigned.changelog = changelog;
                    self.begin_restore(partition, clock, input_end, now)?;
                }
            }
        }
        if new.is_empty() { Ok(()) } else { self.commit_initial_offsets(&new, now) }
    }

    /// Restores a bounded number of changelog records.
    pub(super) fn advance_restores(&mut self, now: Moment) -> Result<(), Fatal> {
        if self.restorer.is_idle() {
            return Ok(());
        }
        let records = match self.member.read_changelog(RECORDS_MAX, READ_TIMEOUT) {
            Err(error) if error.reaction == Reaction::Abort => return self.restart_restores(&error, now),
            read => unless_fatal(read)?.unwrap_or_default(),
        };
        for record in &records {
            self.restore_record(record, now)?;
        }
        let partitions: Vec<_> =
            self.restorer.restores.iter().map(|(&partition, restore)| (partition, restore.tracker.end())).collect();
        for (partition, end) in partitions {
            if self.member.has_read_changelog_to(partition, end) {
                self.finish_restore(partition, now)?;
            } else {
                self.check_stall(partition, now)?;
            }
        }
        self.restorer.log_progress(now.elapsed);
        Ok(())
    }

    /// Stops restoring `partition`.
    pub(super) fn stop_restoring(&mut self, partition: PartitionId) -> Result<(), Fatal> {
        if self.restorer.restores.remove(&partition).is_some() {
            unless_fatal(self.member.close_changelog(partition))?;
        }
        Ok(())
    }

    /// Restarts all restores after a changelog was truncated past the restore's position. Either another member owns
    /// the partition already and has swept it, or something else has deleted records. The checks before the new restore
    /// distinguish the two.
    fn restart_restores(&mut self, error: &Error, now: Moment) -> Result<(), Fatal> {
        tracing::warn!(code = %error.code, "changelog truncated during restore, restarting restore");
        let partitions: Vec<_> = self.restorer.restores.keys().copied().collect();
        for partition in partitions {
            self.stop_restoring(partition)?;
            self.reset_partition(partition, now);
        }
        Ok(())
    }

    /// Whether the committed offset is unchanged, so that the mismatch is real. If this worker was frozen between two
    /// queries, another member may have committed and truncated in between.
    fn is_still_committed(&mut self, committed: &CommittedOffset, fatal: &Fatal) -> Result<bool, Fatal> {
        if matches!(fatal, Fatal::Client(_)) {
            return Ok(true);
        }
        let now_committed = unless_fatal(self.member.committed(&[committed.partition]))?;
        Ok(now_committed.is_some_and(|now_committed| now_committed.as_slice() == std::slice::from_ref(committed)))
    }

    /// Compares the committed offset with the logs. Returns `None` if the broker could not be queried.
    fn plan_restore(&mut self, committed: &CommittedOffset, now: Moment) -> Result<Option<RestorePlan>, Fatal> {
        let partition = committed.partition;
        if let Some(previous) = self.options.partitions.filter(|&count| partition >= count) {
            let known = self.member.input_partitions().and_then(|count| i32::try_from(count).ok());
            let current = known.unwrap_or_default().max(partition + 1);
            let mismatch = Mismatch::PartitionsChanged { previous, current };
            return Err(Fatal::Mismatch { partition, mismatch });
        }
        let Some((input_start, input_end)) = unless_fatal(self.member.input_range(partition))? else { return Ok(None) };
        let Some((log_start, log_end)) = unless_fatal(self.member.changelog_range(partition))? else { return Ok(None) };
        let logs = LogRanges { input: (input_start, input_end), changelog: (log_start, log_end) };
        let (offset, metadata) = match find_starting_point(committed, logs, self.options.partitions) {
            // A newly elected leader may not know the end yet.
            Err(Mismatch::InputShrunk { .. }) if self.attempts(partition) < ATTEMPTS_PAST_END => return Ok(None),
            Err(mismatch) => return Err(Fatal::Mismatch { partition, mismatch }),
            Ok(StartingPoint::Beginning) => return Ok(Some(RestorePlan::New { input_start, changelog_end: log_end })),
            Ok(StartingPoint::Committed { offset, metadata }) => (offset, metadata),
        };
        let Some(metadata) = metadata else {
            tracing::warn!(partition, offset, "committed offset was set manually, restoring the whole changelog");
            let changelog = ChangelogRange::new(log_start, log_start, log_end, now.elapsed);
            return Ok(Some(RestorePlan::Existing { offset, input_end, changelog, clock: Clock::default() }));
        };
        if metadata.models != self.models.hash {
            tracing::info!(partition, "models have changed since the last commit");
        }
        let changelog = ChangelogRange::new(log_start, metadata.changelog_start, metadata.changelog_end, now.elapsed);
        Ok(Some(RestorePlan::Existing { offset, input_end, changelog, clock: metadata.clock }))
    }

    /// Begins to read the changelog of a partition whose `changelog` range is set.
    fn begin_restore(
        &mut self,
        partition: PartitionId,
        clock: Clock,
        input_end: i64,
        now: Moment,
    ) -> Result<(), Fatal> {
        let Some(assigned) = self.partitions.get_mut(&partition) else { return Ok(()) };
        let (start, end) = (assigned.changelog.start(), assigned.changelog.end());
        assigned.phase = Phase::Restoring { since: now.elapsed };
        if start >= end {
            self.start_running(partition, clock, now);
            return Ok(());
        }
        if unless_fatal(self.member.open_changelog(partition, start))?.is_none() {
            self.schedule_retry(&[partition], now);
            return Ok(());
        }
        if self.restorer.is_idle() {
            // A restore shorter than the interval is logged only when it finishes.
            self.restorer.next_progress_log_at = now.elapsed + PROGRESS_LOG_INTERVAL;
        }
        let tracker = RestoreTracker::new(start, end, now.elapsed);
        let progress = InputProgress { applied_to: 0, clock };
        self.restorer.restores.insert(partition, Restore { tracker, progress, input_end, last_checked: now.elapsed });
        Ok(())
    }

    fn restore_record(&mut self, record: &Record, now: Moment) -> Result<(), Fatal> {
        let partition = record.partition;
        let Some(restore) = self.restorer.restores.get_mut(&partition) else { return Ok(()) };
        let Some(assigned) = self.partitions.get_mut(&partition) else { return Ok(()) };
        if record.offset >= restore.tracker.end() {
            return Ok(());
        }
        let unreadable = |problem| Fatal::ChangelogUnreadable { partition, offset: record.offset, problem };
        let value = record.value.as_deref().unwrap_or_default();
        let batch = self.restorer.decoder.decode(value).map_err(|error| unreadable(error.to_string()))?;
        let restored = assigned.machine.restore(&batch.layout, &batch.customers).map_err(unreadable)?;
        restore.progress.advance(batch.progress);
        self.report.restored += restored.customers as u64;
        assigned.changelog.count_record(value.len());
        restore.tracker.record_read(record.offset, value.len(), batch.customers.len(), now.elapsed);
        Ok(())
    }

    fn finish_restore(&mut self, partition: PartitionId, now: Moment) -> Result<(), Fatal> {
        let Some(restore) = self.restorer.restores.remove(&partition) else { return Ok(()) };
        unless_fatal(self.member.close_changelog(partition))?;
        let InputProgress { applied_to, clock } = restore.progress;
        if applied_to > restore.input_end {
            let mismatch = Mismatch::InputRecreated { applied_to, end: restore.input_end };
            return Err(Fatal::Mismatch { partition, mismatch });
        }
        if let Some(assigned) = self.partitions.get_mut(&partition) {
            assigned.restored_to = applied_to;
            if applied_to > assigned.position {
                let committed = assigned.position;
                tracing::warn!(
                    partition,
                    committed,
                    applied_to,
                    "committed offset was set back, applied touchpoints are skipped as duplicates"
                );
            }
        }
        self.start_running(partition, clock, now);
        Ok(())
    }

    /// Finishes the restore: the partition may process touchpoints.
    fn start_running(&mut self, partition: PartitionId, clock: Clock, now: Moment) {
        let Some(assigned) = self.partitions.get_mut(&partition) else { return };
        // Wake-ups have fired up to wall time before the restart, even if the latest touchpoint is much older.
        let edited_at = match self.options.clock_source {
            ClockSource::Wall => clock.stream_time().max(Some(now.wall)),
            ClockSource::Touchpoints => clock.stream_time(),
        };
        assigned.machine.end_restore(clock, edited_at.unwrap_or(Timestamp::MIN));
        if let Phase::Restoring { since, .. } = assigned.phase {
            let finished_at = self.stopwatch.now(now).elapsed;
            let took = finished_at.saturating_sub(since);
            self.report.measured.restore_duration.observe(took.as_secs_f64());
            if let Some(assigned_at) = assigned.assigned_at.take() {
                self.report.measured.rebalance_duration.observe(finished_at.saturating_sub(assigned_at).as_secs_f64());
            }
            let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let customers = assigned.machine.len();
            tracing::info!(partition, customers, milliseconds, position = assigned.position, "partition restored");
        }
        assigned.phase = Phase::Running;
        if assigned.has_uncommitted_changes() {
            self.batch.add(0, 0, now.elapsed);
        }
    }

    /// Commits an initial offset for partitions without one, before anything is written to their changelogs. If a
    /// changelog has records but the group has no offset, the offset was therefore lost.
    fn commit_initial_offsets(&mut self, new: &[(PartitionOffset, i64)], now: Moment) -> Result<(), Fatal> {
        let metadata_fields = MetadataFields {
            models: self.models.hash,
            partitions: self.options.partitions,
            member_name: self.member.name(),
        };
        let partition_commits: Vec<_> = new
            .iter()
            .map(|&(position, changelog_end)| PartitionCommit::initial(position, changelog_end, &metadata_fields))
            .collect();
        let offsets = partition_commits
            .iter()
            .map(|partition_commit| (partition_commit.position, partition_commit.metadata.clone()))
            .collect();
        match transact(&mut self.member, Vec::new(), |_| offsets)? {
            Outcome::Committed => {
                self.recovery.record_success();
                for partition_commit in partition_commits {
                    let partition = partition_commit.position.partition;
                    let Some(assigned) = self.partitions.get_mut(&partition) else { continue };
                    assigned.position = partition_commit.position.offset;
                    assigned.changelog = ChangelogRange::new(
                        partition_commit.changelog_start,
                        partition_commit.changelog_start,
                        partition_commit.changelog_end,
                        now.elapsed,
                    );
                    assigned.committed = CommittedOffset {
                        partition,
                        offset: Some(partition_commit.position.offset),
                        metadata: partition_commit.metadata,
                    };
                    self.begin_restore(partition, Clock::default(), partition_commit.position.offset, now)?;
                }
                Ok(())
            }
            Outcome::Aborted(error) => {
                self.report.aborts += 1;
                self.abort_running();
                self.recovery.record_failure(error, None, now.elapsed)
            }
            Outcome::Unknown(error) => {
                self.report.producer_resets += 1;
                self.seek_running();
                // There is nothing to compare: the offsets of these partitions are fetched again in any case.
                self.recovery.record_failure(error, Some(Vec::new()), now.elapsed)
            }
        }
    }

    fn schedule_retry(&mut self, partitions: &[PartitionId], now: Moment) {
        for partition in partitions {
            let attempts = self.attempts(*partition);
            let Some(assigned) = self.partitions.get_mut(partition) else { continue };
            let fetch_at = now.elapsed + RETRY_DELAY * (1 << attempts.min(2));
            assigned.phase = Phase::FetchingOffsets { fetch_at, attempts: attempts + 1 };
        }
    }

    fn attempts(&self, partition: PartitionId) -> u32 {
        match self.partitions.get(&partition).map(|assigned| assigned.phase) {
            Some(Phase::FetchingOffsets { attempts, .. }) => attempts,
            Some(Phase::Restoring { .. } | Phase::Running) | None => 0,
        }
    }

    /// If no record has arrived for a while, checks that the changelog still contains the end of the restore.
    fn check_stall(&mut self, partition: PartitionId, now: Moment) -> Result<(), Fatal> {
        let Some(restore) = self.restorer.restores.get_mut(&partition) else { return Ok(()) };
        if now.elapsed.saturating_sub(restore.tracker.last_read_at().max(restore.last_checked)) < STALL_TIMEOUT {
            return Ok(());
        }
        restore.last_checked = now.elapsed;
        let expected = restore.tracker.end();
        tracing::warn!(partition, "restore stalled, no changelog records received");
        match unless_fatal(self.member.changelog_range(partition))? {
            Some((_, end)) if end < expected => {
                Err(Fatal::Mismatch { partition, mismatch: Mismatch::ChangelogShrunk { expected, end } })
            }
            Some(_) | None => Ok(()),
        }
    }
}
