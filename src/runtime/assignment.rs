//! The partitions assigned to this worker, and what they need from the client: pauses, seeks, end offsets and
//! truncations.
//!
//! A rebalance blocks until the member answers, so a new partition is accepted at once, paused at a placeholder offset.
//! Its committed offset and its state are loaded afterwards, interleaved with live processing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::kafka::{Member, PartitionId, PartitionOffset, Record};
use crate::lifecycle::model_set::ModelSet;
use crate::telemetry::report::Report;

use super::assigned_partition::AssignedPartition;
use super::fatal::Fatal;
use super::fetch_control::FetchControl;
use super::mismatch::Mismatch;
use super::open_batch::OpenBatch;
use super::options::Options;
use super::query::{CustomerAnswer, StageAnswer, StageRequest};
use super::unless_fatal::unless_fatal;
use super::wall_clock::Moment;

/// Maximum number of wake-ups fired between two polls, over all partitions; takes about ten milliseconds.
const WAKE_UPS_MAX: usize = 2000;
/// Maximum number of end-offset queries between two polls.
const OFFSET_QUERIES_MAX: usize = 16;
/// Interval between two end-offset queries of a partition while consumption is paused.
const END_OFFSET_INTERVAL: Duration = Duration::from_secs(5);
/// Delay before the next end-offset query after one has failed.
const UNREACHABLE_BACKOFF: Duration = Duration::from_secs(5);

/// Interval between two checks that the touchpoint topic is still the same.
const IDENTITY_INTERVAL: Duration = Duration::from_secs(5);

/// The partitions assigned to a worker.
#[derive(Debug)]
pub(super) struct Assignment {
    partitions: BTreeMap<PartitionId, AssignedPartition>,
    models: Arc<ModelSet>,
    options: Arc<Options>,
    /// No end offset is queried before this time, because the last query has failed.
    queries_resume_at: Duration,
    next_identity_check: Duration,
    /// The partition whose identity was checked last.
    identity_checked: Option<PartitionId>,
    /// Committed offsets of the partitions that this worker has given up since it joined the group.
    given_up: BTreeMap<PartitionId, i64>,
}

impl Assignment {
    /// Returns an assignment without partitions.
    pub(super) fn new(models: Arc<ModelSet>, options: Arc<Options>) -> Self {
        Self {
            partitions: BTreeMap::new(),
            models,
            options,
            queries_resume_at: Duration::ZERO,
            next_identity_check: Duration::ZERO,
            identity_checked: None,
            given_up: BTreeMap::new(),
        }
    }

    /// Accepts newly assigned partitions.
    pub(super) fn accept<M: Member>(
        &mut self,
        member: &mut M,
        partitions: &[PartitionId],
        elapsed: Duration,
    ) -> Result<(), Fatal> {
        let positions: Vec<_> = partitions.iter().map(|&partition| PartitionOffset { partition, offset: 0 }).collect();
        member.assign(&positions).map_err(Fatal::Client)?;
        for &partition in partitions {
            self.partitions.insert(partition, self.fresh(partition, elapsed));
        }
        Ok(())
    }

    /// Releases partitions and drops their state.
    pub(super) fn release<M: Member>(&mut self, member: &mut M, partitions: &[PartitionId]) -> Result<(), Fatal> {
        for &partition in partitions {
            if let Some(assigned) = self.partitions.remove(&partition)
                && assigned.is_running()
                && let Some(offset) = assigned.committed().offset
            {
                self.given_up.insert(partition, offset);
            }
        }
        member.unassign(partitions).map_err(Fatal::Client)
    }

    /// Drops the state of a partition and treats it as newly assigned.
    pub(super) fn reset(&mut self, partition: PartitionId, elapsed: Duration) {
        let fresh = self.fresh(partition, elapsed);
        if let Some(assigned) = self.get_mut(partition) {
            assigned.reset(fresh);
        }
    }

    fn fresh(&self, partition: PartitionId, elapsed: Duration) -> AssignedPartition {
        AssignedPartition::new(partition, Arc::clone(&self.models), &self.options, elapsed)
    }

    pub(super) fn len(&self) -> usize {
        self.partitions.len()
    }

    pub(super) fn get(&self, partition: PartitionId) -> Option<&AssignedPartition> {
        self.partitions.get(&partition)
    }

    pub(super) fn get_mut(&mut self, partition: PartitionId) -> Option<&mut AssignedPartition> {
        self.partitions.get_mut(&partition)
    }

    /// Returns all partitions, in ascending order.
    pub(super) fn all(&self) -> impl Iterator<Item = (PartitionId, &AssignedPartition)> {
        self.partitions.iter().map(|(&partition, assigned)| (partition, assigned))
    }

    /// Returns the partitions that process touchpoints.
    pub(super) fn running(&self) -> impl Iterator<Item = (PartitionId, &AssignedPartition)> {
        self.all().filter(|(_, assigned)| assigned.is_running())
    }

    /// Returns the partitions that process touchpoints.
    pub(super) fn running_mut(&mut self) -> impl Iterator<Item = (PartitionId, &mut AssignedPartition)> {
        let all = self.partitions.iter_mut().map(|(&partition, assigned)| (partition, assigned));
        all.filter(|(_, assigned)| assigned.is_running())
    }

    /// Returns the memory used by the customers of all partitions, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.partitions.values().map(AssignedPartition::bytes).sum()
    }

    /// Returns the committed state of a customer.
    pub(super) fn customer(&self, customer_id: &str) -> CustomerAnswer {
        let found = self.running().find_map(|(partition, assigned)| match assigned.snapshot(customer_id) {
            Some(snapshot) => Some(CustomerAnswer::Found { partition, customer: Box::new(snapshot) }),
            None => assigned.merged_into(customer_id).map(CustomerAnswer::MergedInto),
        });
        let is_complete = self.running().count() == self.len();
        found.unwrap_or(if is_complete { CustomerAnswer::Unknown } else { CustomerAnswer::Restoring })
    }

    /// Returns customers of a stage. `known` is the partition count of the touchpoint topic that the client knows.
    pub(super) fn stage(&self, request: &StageRequest, known: Option<usize>) -> StageAnswer {
        let partitions = self.options.partitions.or(known.and_then(|count| i32::try_from(count).ok()));
        match self.get(request.partition) {
            None => StageAnswer::NotAssigned { partitions },
            Some(assigned) if !assigned.is_running() => StageAnswer::Restoring,
            Some(assigned) => match assigned.stage_page(request) {
                Some(page) => StageAnswer::Page { page, partitions },
                None => StageAnswer::CursorExpired,
            },
        }
    }

    /// Moves the positions past control records and aborted records, as far as the client has proved that everything
    /// before was read. Must not be called during a recovery.
    pub(super) fn advance_positions<M: Member>(&mut self, member: &mut M, batch: &mut OpenBatch, elapsed: Duration) {
        for (partition, assigned) in self.running_mut().filter(|(_, assigned)| !assigned.fetch().needs_seek()) {
            if member.read_position(partition).is_some_and(|read_to| assigned.advance_position(read_to)) {
                batch.add(0, 0, elapsed);
            }
        }
    }

    /// Remembers the last of `records` of each partition.
    pub(super) fn remember_last(&mut self, records: &[Record]) {
        let mut remembered = BTreeSet::new();
        for record in records.iter().rev() {
            if remembered.insert(record.partition)
                && let Some(assigned) = self.get_mut(record.partition)
            {
                assigned.identity_mut().observe(record);
            }
        }
    }

    /// Looks up the customers of `records`, so that they are in the cache when the records are applied.
    pub(super) fn prefetch(&self, records: &[Record]) {
        for record in records {
            if let (Some(assigned), Some(key)) = (self.get(record.partition), &record.key) {
                assigned.prefetch(key);
            }
        }
    }

    /// Periodically reads the remembered record of one partition again, each time of the next partition. One partition
    /// is enough to detect that the topic was created again, because all its partitions are created together.
    pub(super) fn check_identity<M: Member>(&mut self, member: &mut M, elapsed: Duration) -> Result<(), Fatal> {
        if elapsed < self.next_identity_check {
            return Ok(());
        }
        self.next_identity_check = elapsed + IDENTITY_INTERVAL;
        let candidate =
            |(partition, assigned): (PartitionId, &AssignedPartition)| Some((partition, assigned.identity().offset()?));
        let next = self.running().filter_map(candidate).find(|(partition, _)| Some(*partition) > self.identity_checked);
        let Some((partition, offset)) = next.or_else(|| self.running().find_map(candidate)) else { return Ok(()) };
        self.identity_checked = Some(partition);
        let Some(found) = unless_fatal(member.input_record(partition, offset))? else { return Ok(()) };
        if self.get_mut(partition).is_none_or(|assigned| assigned.identity_mut().confirm(found.as_ref())) {
            Ok(())
        } else {
            Err(Fatal::Mismatch { partition, mismatch: Mismatch::InputReplaced { offset } })
        }
    }

    /// Returns the committed offset at which this worker gave up `partition`. `None` if it did not, or if it has lost
    /// its membership of the group since.
    pub(super) fn given_up_at(&self, partition: PartitionId) -> Option<i64> {
        self.given_up.get(&partition).copied()
    }

    /// Forgets the offset at which this worker gave up `partition`, because it has the partition again.
    pub(super) fn forget_given_up_at(&mut self, partition: PartitionId) {
        self.given_up.remove(&partition);
    }

    /// Forgets the offsets of the partitions given up, because the worker was not a member of the group for a while.
    pub(super) fn forget_given_up(&mut self) {
        self.given_up.clear();
    }

    /// Returns the lag of a partition in records; `None` while its end offset is unknown.
    pub(super) fn lag<M: Member>(&self, member: &mut M, partition: PartitionId) -> Option<u64> {
        let assigned = self.get(partition)?;
        let cached = member.cached_ends(partition).map(|ends| ends.high_watermark);
        let end = cached.max(assigned.queried_end().map(|(end, _)| end))?;
        // Transaction markers have offsets but are never returned, so the position can be below the end of a partition
        // that has been read completely.
        let is_read = member.has_read_to(partition, end) && !assigned.registry_wait.is_waiting();
        Some(if is_read { 0 } else { u64::try_from(end - assigned.position().offset).unwrap_or_default() })
    }

    /// Records wall time.
    pub(super) fn observe_wall(&mut self, now: Moment) {
        for assigned in self.partitions.values_mut() {
            assigned.observe_wall(now.wall);
        }
    }

    /// Probes the partitions whose watermark must follow wall time, and confirms the probes whose end offset has been
    /// read.
    pub(super) fn advance_watermarks<M: Member>(&mut self, member: &mut M, now: Moment) -> Result<(), Fatal> {
        let mut resume_at = self.queries_resume_at;
        let mut queries = 0;
        for (partition, assigned) in self.running_mut().filter(|(_, assigned)| !assigned.fetch().needs_seek()) {
            if queries < OFFSET_QUERIES_MAX && now.elapsed >= resume_at && assigned.needs_probe(now) {
                queries += 1;
                match unless_fatal(member.input_range(partition))? {
                    Some((_, end)) => assigned.watermark_mut().start_probe(end, now),
                    None => resume_at = now.elapsed + UNREACHABLE_BACKOFF,
                }
            }
            if assigned.watermark().probe_end().is_some_and(|end| member.has_read_to(partition, end)) {
                assigned.watermark_mut().confirm();
            }
        }
        self.queries_resume_at = resume_at;
        Ok(())
    }

    /// Fires the wake-ups that are due, a bounded number per partition.
    pub(super) fn fire_wake_ups(&mut self, batch: &mut OpenBatch, now: Moment) {
        let wake_ups_max = (WAKE_UPS_MAX / self.running().count().max(1)).max(1);
        for (_, assigned) in self.running_mut() {
            assigned.fire_wake_ups(wake_ups_max, batch, now.elapsed);
        }
    }

    /// Whether wake-ups are due that did not fit into the last slice.
    pub(super) fn has_wake_ups_left(&self) -> bool {
        self.running().any(|(_, assigned)| assigned.has_wake_ups_left())
    }

    /// Queries end offsets for the lag while consumption is paused, because a paused client receives none.
    pub(super) fn query_end_offsets<M: Member>(&mut self, member: &mut M, elapsed: Duration) -> Result<(), Fatal> {
        if elapsed < self.queries_resume_at {
            return Ok(());
        }
        let is_due = |assigned: &AssignedPartition| {
            assigned.queried_end().is_none_or(|(_, at)| elapsed >= at + END_OFFSET_INTERVAL)
        };
        let due: Vec<_> =
            self.running().filter(|(_, assigned)| is_due(assigned)).map(|(partition, _)| partition).collect();
        for partition in due.into_iter().take(OFFSET_QUERIES_MAX) {
            let Some((_, end)) = unless_fatal(member.input_range(partition))? else {
                self.queries_resume_at = elapsed + UNREACHABLE_BACKOFF;
                return Ok(());
            };
            self.update([partition], |assigned| assigned.set_queried_end(end, elapsed));
        }
        Ok(())
    }

    /// Makes the calls that bring the client's fetch state in line with the partitions' phases.
    pub(super) fn apply_fetch_state<M: Member>(
        &mut self,
        member: &mut M,
        may_fetch: bool,
        elapsed: Duration,
    ) -> Result<(), Fatal> {
        let to_pause = self.select(may_fetch, elapsed, FetchControl::must_pause);
        if !to_pause.is_empty() {
            let has_succeeded = unless_fatal(member.pause(&to_pause))?.is_some();
            self.update(to_pause, |assigned| assigned.fetch_mut().paused(has_succeeded));
        }
        let to_seek = self.select(may_fetch, elapsed, FetchControl::must_seek);
        if !to_seek.is_empty() {
            let positions: Vec<_> = to_seek.iter().map(|partition| self.partitions[partition].position()).collect();
            if unless_fatal(member.seek(&positions))?.is_none() {
                return Ok(());
            }
            self.update(to_seek, |assigned| assigned.fetch_mut().sought());
        }
        let to_resume = self.select(may_fetch, elapsed, FetchControl::must_resume);
        if !to_resume.is_empty() {
            let has_succeeded = unless_fatal(member.resume(&to_resume))?.is_some();
            self.update(to_resume, |assigned| assigned.fetch_mut().resumed(has_succeeded));
        }
        Ok(())
    }

    /// Returns the partitions that need `action`. The records of a partition are wanted if `may_fetch` is true, and the
    /// partition is running and does not wait for the schema registry.
    fn select(&self, may_fetch: bool, elapsed: Duration, action: fn(FetchControl, bool) -> bool) -> Vec<PartitionId> {
        let is_wanted = |it: &AssignedPartition| may_fetch && it.is_running() && it.registry_wait.is_over(elapsed);
        let needs_action = |it: &AssignedPartition| action(it.fetch(), is_wanted(it));
        self.all().filter(|(_, assigned)| needs_action(assigned)).map(|(partition, _)| partition).collect()
    }

    fn update(&mut self, partitions: impl IntoIterator<Item = PartitionId>, update: impl Fn(&mut AssignedPartition)) {
        for partition in partitions {
            if let Some(assigned) = self.get_mut(partition) {
                update(assigned);
            }
        }
    }

    /// Begins the sweeps that are due, also for idle partitions. Runs only between batches, because a sweep remembers
    /// the end of the changelog, which is the end of the committed records only while no changes are pending.
    pub(super) fn begin_sweeps(&mut self, batch: &mut OpenBatch, report: &mut Report, elapsed: Duration) {
        let options = Arc::clone(&self.options);
        for (partition, assigned) in self.running_mut() {
            if assigned.begin_sweep_if_due(&options, elapsed) {
                report.sweeps += 1;
                batch.add(0, 0, elapsed);
                tracing::debug!(partition, log_bytes = assigned.changelog().bytes(), "sweep started");
            }
        }
    }

    /// Truncates changelogs up to the first offset that a restore needs. A failed truncation only costs disk space
    /// and is retried.
    pub(super) fn truncate<M: Member>(&mut self, member: &mut M, report: &mut Report, elapsed: Duration) {
        for (partition, assigned) in self.running_mut() {
            let Some(offset) = assigned.changelog().truncation_due(elapsed) else { continue };
            match member.truncate_changelog(partition, offset) {
                Ok(()) => {
                    assigned.changelog_mut().truncated(offset);
                    report.truncations += 1;
                    tracing::debug!(partition, offset, "changelog truncated");
                }
                Err(error) => {
                    assigned.changelog_mut().truncation_failed(elapsed);
                    report.truncations_failed += 1;
                    tracing::warn!(partition, code = %error.code, "cannot truncate changelog, will retry");
                }
            }
        }
    }

    /// Drops the pending changes of every running partition, including those that are not part of the failed
    /// transaction: records that arrive during the recovery are ignored, so every partition must be read again.
    pub(super) fn abort_running(&mut self) {
        for (_, assigned) in self.running_mut() {
            assigned.abort();
        }
    }

    /// Makes every running partition seek to its position before records are applied again. The position itself is
    /// corrected when the outcome is known.
    pub(super) fn seek_running(&mut self) {
        for (_, assigned) in self.running_mut() {
            assigned.fetch_mut().request_seek();
        }
    }
}
