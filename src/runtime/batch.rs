//! Commits the open batch of all partitions in one transaction, or drops it and processes the records again.
//!
//! A failed batch is dropped as a whole: the partitions return to their last committed state. `commit` runs the
//! transaction, `recovery` schedules the retry.

use std::time::Duration;

use crate::kafka::{Member, PartitionId};

use super::assigned_partition::{AssignedPartition, MetadataFields, PartitionCommit, Phase};
use super::commit::{Outcome, transact};
use super::fatal::Fatal;
use super::wall_clock::Moment;
use super::worker::{BatchSize, Worker, unless_fatal};

const MEMORY_CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl<M: Member> Worker<M> {
    /// Commits the pending changes, if there are any.
    pub(super) fn commit(&mut self, now: Moment) -> Result<(), Fatal> {
        let mut records = Vec::new();
        let mut written = Vec::new();
        for (&partition, assigned) in
            self.partitions.iter_mut().filter(|(_, assigned)| assigned.has_uncommitted_changes())
        {
            written.push((partition, self.record_builder.append_records(assigned, now.wall, &mut records)));
        }
        self.batch = BatchSize::default();
        if written.is_empty() {
            return Ok(());
        }
        let mut partition_commits = Vec::new();
        let name = self.member.name().to_owned();
        let metadata_fields =
            MetadataFields { models: self.models.hash, partitions: self.options.partitions, member_name: &name };
        let partitions = &self.partitions;
        let began_at = self.stopwatch.now(now).elapsed;
        let outcome = transact(&mut self.member, records, |offsets| {
            partition_commits.extend(written.iter().map(|(partition, written)| {
                PartitionCommit::of(&partitions[partition], *written, offsets, &metadata_fields)
            }));
            partition_commits
                .iter()
                .map(|partition_commit: &PartitionCommit| {
                    (partition_commit.position, partition_commit.metadata.clone())
                })
                .collect()
        })?;
        match outcome {
            Outcome::Committed => {
                let took = self.stopwatch.now(now).elapsed.saturating_sub(began_at);
                self.report.measured.commit_duration.observe(took.as_secs_f64());
                let consumed = partition_commits
                    .into_iter()
                    .map(|partition_commit| self.apply_commit(partition_commit, now))
                    .sum();
                self.finish_batch(consumed, now);
            }
            Outcome::Aborted(error) => {
                tracing::warn!(call = error.call, code = %error.code, "transaction aborted, will retry");
                self.report.aborts += 1;
                self.abort_running();
                self.recovery.record_failure(error, None, now.elapsed)?;
            }
            Outcome::Unknown(error) => {
                // Fencing that happens once is due to a slow transaction or a restart; if it repeats, two instances
                // share a name.
                let hint = if error.fenced {
                    "; another producer took over the transactional id; if this repeats, two instances have the same \
                     kafka.group_id and kafka.instance_id"
                } else {
                    ""
                };
                tracing::warn!(
                    call = error.call,
                    code = %error.code,
                    "transaction outcome unknown, checking committed offsets{hint}"
                );
                self.report.producer_resets += 1;
                self.seek_running();
                self.recovery.record_failure(error, Some(partition_commits), now.elapsed)?;
            }
        }
        Ok(())
    }

    /// Continues the recovery from a failed transaction once the back-off is over: resolves an unknown outcome by
    /// resetting the producer and comparing the committed offsets with those of the transaction.
    pub(super) fn recover(&mut self, now: Moment) -> Result<(), Fatal> {
        if !self.recovery.is_due(now.elapsed) {
            return Ok(());
        }
        let Some(unresolved) = self.recovery.unresolved().cloned() else {
            self.recovery.finish();
            return Ok(());
        };
        if !unresolved.is_producer_reset {
            if unless_fatal(self.member.reset_producer())?.is_none() {
                self.recovery.postpone(now.elapsed);
                return Ok(());
            }
            self.recovery.mark_producer_reset();
        }
        let running: Vec<_> = self
            .partitions
            .iter()
            .filter(|(_, assigned)| assigned.is_running())
            .map(|(&partition, _)| partition)
            .collect();
        let committed =
            if running.is_empty() { Some(Vec::new()) } else { unless_fatal(self.member.committed(&running))? };
        let Some(committed) = committed else {
            self.recovery.postpone(now.elapsed);
            return Ok(());
        };
        self.batch = BatchSize::default();
        let (mut was_committed, mut consumed) = (false, 0);
        for now_committed in committed {
            let Some(assigned) = self.partitions.get_mut(&now_committed.partition) else { continue };
            let partition_commit = unresolved.partition_commits.iter().find(|partition_commit| {
                partition_commit.position.partition == now_committed.partition
                    && Some(partition_commit.position.offset) == now_committed.offset
                    && partition_commit.metadata == now_committed.metadata
            });
            if let Some(partition_commit) = partition_commit {
                was_committed = true;
                consumed += self.apply_commit(partition_commit.clone(), now);
            } else if assigned.committed == now_committed {
                assigned.abort();
            } else {
                // Another member owns the partition already and has committed, and this member has not received the
                // rebalance yet; or the offsets were changed by hand.
                tracing::warn!(
                    partition = now_committed.partition,
                    "committed offset changed by another member, restoring partition again"
                );
                self.reset_partition(now_committed.partition, now);
            }
        }
        tracing::info!(was_committed, "transaction outcome resolved");
        if was_committed {
            self.finish_batch(consumed, now);
            self.recovery.finish();
        } else {
            self.report.aborts += 1;
            self.recovery.resolved_as_aborted(now.elapsed);
        }
        Ok(())
    }

    /// Truncates changelogs up to the first offset that a restore needs. A failed truncation only costs disk space
    /// and is retried.
    pub(super) fn truncate(&mut self, now: Moment) {
        for (&partition, assigned) in self.partitions.iter_mut().filter(|(_, assigned)| assigned.is_running()) {
            let Some(offset) = assigned.changelog.truncation_due(now.elapsed) else { continue };
            match self.member.truncate_changelog(partition, offset) {
                Ok(()) => {
                    assigned.changelog.truncated(offset);
                    self.report.truncations += 1;
                    tracing::debug!(partition, offset, "changelog truncated");
                }
                Err(error) => {
                    assigned.changelog.truncation_failed(now.elapsed);
                    self.report.truncations_failed += 1;
                    tracing::warn!(partition, code = %error.code, "cannot truncate changelog, will retry");
                }
            }
        }
    }

    /// Applies the commit of one partition. Returns the number of consumed records.
    fn apply_commit(&mut self, partition_commit: PartitionCommit, now: Moment) -> u64 {
        let partition = partition_commit.position.partition;
        let Some(assigned) = self.partitions.get_mut(&partition).filter(|assigned| assigned.is_running()) else {
            return 0;
        };
        let published_at = assigned.published_at;
        let effects = assigned.on_committed(partition_commit);
        let committed_at = self.stopwatch.now(now).wall;
        let consumed = effects.tally.consumed;
        assigned.pending_counts.add_to(committed_at, &mut self.report);
        self.report
            .count(&effects, committed_at, |transition| self.record_builder.publication_mode(transition, published_at));
        // Wake-ups that were due before `fresh_for` are replayed; their delay is not caused by this service.
        for &due in effects.wake_ups_fired.iter().filter(|&&due| committed_at - due <= self.options.fresh_for) {
            self.report
                .measured
                .wake_up_lateness
                .observe((committed_at - self.options.facts.lateness - due).as_seconds());
        }
        if let Some(recent) = &self.recent {
            recent.append(effects.transitions, published_at);
        }
        consumed
    }

    /// Finishes a committed batch and starts the sweeps that are due.
    fn finish_batch(&mut self, consumed: u64, now: Moment) {
        self.report.commits += 1;
        self.report.last_commit_at = Some(self.stopwatch.now(now).wall);
        #[expect(clippy::cast_precision_loss, reason = "a batch is far smaller than 2^52")]
        self.report.measured.batch_touchpoints.observe(consumed as f64);
        self.recovery.record_success();
        self.begin_sweeps(now);
        if self.partitions.values().any(AssignedPartition::has_uncommitted_changes) {
            self.batch.add(0, 0, now.elapsed);
        }
    }

    /// Begins the sweeps that are due, also for idle partitions. Runs only between batches, because a sweep remembers
    /// the end of the changelog, which is the end of the committed records only while no changes are pending.
    pub(super) fn begin_sweeps(&mut self, now: Moment) {
        for (&partition, assigned) in self.partitions.iter_mut().filter(|(_, assigned)| assigned.is_running()) {
            if assigned.changelog.needs_sweep(assigned.machine.live_bytes(), now.elapsed, &self.options.sweep) {
                assigned.machine.begin_sweep();
                assigned.changelog.begin_sweep(now.elapsed);
                self.report.sweeps += 1;
                self.batch.add(0, 0, now.elapsed);
                tracing::debug!(partition, log_bytes = assigned.changelog.bytes(), "sweep started");
            }
        }
    }

    /// Pauses consumption while the state of all workers that share the memory budget exceeds the limit.
    pub(super) fn check_memory_budget(&mut self, now: Moment) {
        if now.elapsed < self.next_memory_check {
            return;
        }
        self.next_memory_check = now.elapsed + MEMORY_CHECK_INTERVAL;
        let own: usize = self.partitions.values().map(|assigned| assigned.machine.bytes()).sum();
        let bytes = self.memory_budget.update(own, std::mem::replace(&mut self.reported_bytes, own));
        let is_over_limit = bytes >= self.options.state_bytes_max;
        if is_over_limit && !self.is_over_limit {
            tracing::error!(
                bytes,
                bytes_max = self.options.state_bytes_max,
                "state exceeds state.max_bytes, consumption paused: add instances or raise state.max_bytes"
            );
        }
        if self.is_over_limit && !is_over_limit {
            tracing::info!(bytes, "state is below state.max_bytes again, consumption resumed");
        }
        self.is_over_limit = is_over_limit;
    }

    /// Drops the pending changes of every running partition, including those that are not part of the failed
    /// transaction: records that arrive during the recovery are ignored, so every partition must be read again.
    pub(super) fn abort_running(&mut self) {
        self.batch = BatchSize::default();
        for assigned in self.partitions.values_mut().filter(|assigned| assigned.is_running()) {
            assigned.abort();
        }
    }

    /// Makes every running partition seek to its position before records are applied again. The position itself is
    /// corrected when the outcome is known.
    pub(super) fn seek_running(&mut self) {
        for assigned in self.partitions.values_mut().filter(|assigned| assigned.is_running()) {
            assigned.needs_seek = true;
        }
    }

    /// Drops the state of a partition and treats it as newly assigned.
    pub(super) fn reset_partition(&mut self, partition: PartitionId, now: Moment) {
        let fresh = self.new_partition(partition, now);
        if let Some(assigned) = self.partitions.get_mut(&partition) {
            // The group assignment has not changed, so the client keeps the pause state of the partition.
            let fetch_state = assigned.fetch_state;
            *assigned = AssignedPartition { fetch_state, ..fresh };
            debug_assert!(matches!(assigned.phase, Phase::FetchingOffsets { .. }));
        }
    }
}
