//! Commits the open batch of all partitions in one transaction, or drops it and processes the records again.
//!
//! A failed batch is dropped as a whole: the partitions return to their last committed state. `commit` runs the
//! transaction, `recovery` schedules the retry.

use std::sync::Arc;

use crate::kafka::{CommittedOffset, Error, Member, PartitionId, PartitionOffset, RecordBatch};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;

use super::assignment::Assignment;
use super::changelog_range::ChangelogRange;
use super::commit::{Outcome, transact};
use super::fatal::Fatal;
use super::meter::Meter;
use super::open_batch::OpenBatch;
use super::options::Options;
use super::partition_commit::{MetadataFields, PartitionCommit};
use super::recent_transitions::RecentTransitions;
use super::record_builder::RecordBuilder;
use super::recovery::Recovery;
use super::refused_links::RefusedLinks;
use super::tracer::{TracedTouchpoint, Tracer};
use super::unless_fatal::unless_fatal;
use super::wall_clock::Moment;

/// The transactions of a worker, and the recovery from one that failed.
#[derive(Debug)]
pub(super) struct Transactions {
    models: Arc<ModelSet>,
    options: Arc<Options>,
    record_builder: RecordBuilder,
    /// The records of the latest transaction; kept for their buffers.
    records: RecordBatch,
    recovery: Recovery<PartitionCommit>,
    /// Receives the committed transitions, if the API serves them.
    recent: Option<Arc<RecentTransitions>>,
    /// Receives the refused links, if the API serves them.
    refused_links: Option<Arc<RefusedLinks>>,
    /// `None` when touchpoints are not traced.
    tracer: Option<Arc<Tracer>>,
    /// The touchpoints with a trace context that the latest commit contains.
    traced: Vec<TracedTouchpoint>,
    /// Wall time at which the latest commit began.
    began_at: Timestamp,
}

impl Transactions {
    pub(super) fn new(models: Arc<ModelSet>, options: Arc<Options>) -> Self {
        let record_builder = RecordBuilder::new(Arc::clone(&models), Arc::clone(&options));
        Self {
            models,
            options,
            record_builder,
            records: RecordBatch::default(),
            recovery: Recovery::default(),
            recent: None,
            refused_links: None,
            tracer: None,
            traced: Vec::new(),
            began_at: Timestamp::MIN,
        }
    }

    /// Publishes committed transitions to `recent`, and refused links to `refused_links`.
    pub(super) fn publish_to(&mut self, recent: Arc<RecentTransitions>, refused_links: Arc<RefusedLinks>) {
        (self.recent, self.refused_links) = (Some(recent), Some(refused_links));
    }

    /// Traces touchpoints with `tracer`.
    pub(super) fn trace_with(&mut self, tracer: Arc<Tracer>) {
        self.tracer = Some(tracer);
    }

    /// Whether a recovery is in progress. No touchpoint may be applied until it has finished.
    pub(super) fn is_recovering(&self) -> bool {
        self.recovery.is_pending()
    }

    /// Returns the number of failed transactions since the last committed one.
    pub(super) fn failures(&self) -> u32 {
        self.recovery.failures()
    }

    /// Commits the pending changes, if there are any.
    pub(super) fn commit<M: Member>(
        &mut self,
        member: &mut M,
        assignment: &mut Assignment,
        batch: &mut OpenBatch,
        meter: &mut Meter,
        now: Moment,
    ) -> Result<(), Fatal> {
        let started_at = meter.now(now).elapsed;
        self.records.clear();
        let mut written = Vec::new();
        let sweep_bytes_min = self.options.sweep.step_bytes_min;
        for (partition, assigned) in assignment.running_mut().filter(|(_, assigned)| assigned.has_uncommitted_changes())
        {
            let write = assigned.append_records(&self.record_builder, sweep_bytes_min, now.wall, &mut self.records);
            written.push((partition, write));
        }
        let changes = batch.changes();
        batch.clear();
        if written.is_empty() {
            return Ok(());
        }
        let mut commits: Vec<PartitionCommit> = Vec::new();
        let member_name = member.name().to_owned();
        let fields = self.metadata_fields(&member_name);
        let began_at = meter.now(now).elapsed;
        self.began_at = meter.now(now).wall;
        let outcome = transact(member, &self.records, |offsets| {
            for &(partition, write) in &written {
                let Some(assigned) = assignment.get(partition) else { continue };
                commits.push(assigned.pending_commit(write, offsets, &fields)?);
            }
            Ok(commits.iter().map(PartitionCommit::offset).collect())
        })?;
        match outcome {
            Outcome::Committed => {
                let finished_at = meter.now(now).elapsed;
                let took = finished_at.saturating_sub(began_at);
                meter.report_mut().measured.commit_duration.observe(took.as_secs_f64());
                batch.adapt(changes, finished_at.saturating_sub(started_at));
                let mut consumed = 0;
                for commit in commits {
                    consumed += self.apply_commit(commit, assignment, meter, now);
                }
                self.finish_batch(consumed, assignment, batch, meter, now);
                Ok(())
            }
            Outcome::Aborted(error) => {
                tracing::warn!(call = error.call, code = %error.code, "transaction aborted, will retry");
                self.drop_batch(error, assignment, batch, meter, now)
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
                self.resolve_later(error, commits, assignment, meter, now)
            }
        }
    }

    /// Commits an initial offset for partitions without one, before anything is written to their changelogs. A
    /// changelog that has records although the group has no offset therefore means that the offset was lost. `new`
    /// contains the position of each partition and the end of its changelog. Returns whether the offsets were
    /// committed, so that the partitions are ready to run.
    pub(super) fn commit_initial_offsets<M: Member>(
        &mut self,
        member: &mut M,
        assignment: &mut Assignment,
        new: &[(PartitionOffset, i64)],
        batch: &mut OpenBatch,
        meter: &mut Meter,
        now: Moment,
    ) -> Result<bool, Fatal> {
        let fields = self.metadata_fields(member.name());
        let commits: Vec<_> = new
            .iter()
            .map(|&(position, changelog_end)| PartitionCommit::initial(position, changelog_end, &fields))
            .collect();
        let offsets = commits.iter().map(PartitionCommit::offset).collect();
        match transact(member, &RecordBatch::default(), |_| Ok(offsets))? {
            Outcome::Committed => {
                self.recovery.record_success();
                for commit in commits {
                    let PartitionOffset { partition, offset } = commit.position;
                    let Some(assigned) = assignment.get_mut(partition) else { continue };
                    let (start, end) = (commit.changelog_start, commit.changelog_end);
                    let changelog = ChangelogRange::new(start, start, end, now.elapsed);
                    let committed = CommittedOffset { partition, offset: Some(offset), metadata: commit.metadata };
                    assigned.begin_restore(committed, offset, changelog, now.elapsed);
                }
                Ok(true)
            }
            Outcome::Aborted(error) => self.drop_batch(error, assignment, batch, meter, now).map(|()| false),
            // There is nothing to compare: the offsets of these partitions are fetched again in any case.
            Outcome::Unknown(error) => self.resolve_later(error, Vec::new(), assignment, meter, now).map(|()| false),
        }
    }

    /// Continues the recovery from a failed transaction once the back-off is over: resolves an unknown outcome by
    /// resetting the producer and comparing the committed offsets with those of the transaction.
    pub(super) fn recover<M: Member>(
        &mut self,
        member: &mut M,
        assignment: &mut Assignment,
        batch: &mut OpenBatch,
        meter: &mut Meter,
        now: Moment,
    ) -> Result<(), Fatal> {
        if !self.recovery.is_due(now.elapsed) {
            return Ok(());
        }
        let Some(unresolved) = self.recovery.unresolved().cloned() else {
            self.recovery.finish();
            return Ok(());
        };
        if !unresolved.is_producer_reset {
            if unless_fatal(member.reset_producer())?.is_none() {
                self.recovery.postpone(now.elapsed);
                return Ok(());
            }
            self.recovery.mark_producer_reset();
        }
        let running: Vec<PartitionId> = assignment.running().map(|(partition, _)| partition).collect();
        let committed = if running.is_empty() { Some(Vec::new()) } else { unless_fatal(member.committed(&running))? };
        let Some(committed) = committed else {
            self.recovery.postpone(now.elapsed);
            return Ok(());
        };
        batch.clear();
        let (mut was_committed, mut consumed) = (false, 0);
        for now_committed in committed {
            let Some(assigned) = assignment.get_mut(now_committed.partition) else { continue };
            let commit = unresolved.partition_commits.iter().find(|commit| {
                commit.position.partition == now_committed.partition
                    && Some(commit.position.offset) == now_committed.offset
                    && commit.metadata == now_committed.metadata
            });
            if let Some(commit) = commit {
                was_committed = true;
                consumed += self.apply_commit(commit.clone(), assignment, meter, now);
            } else if *assigned.committed() == now_committed {
                assigned.abort();
            } else {
                // Another member owns the partition already and has committed, and this member has not received the
                // rebalance yet; or the offsets were changed by hand.
                tracing::warn!(
                    partition = now_committed.partition,
                    "committed offset changed by another member, restoring partition again"
                );
                assignment.reset(now_committed.partition, now.elapsed);
            }
        }
        tracing::info!(was_committed, "transaction outcome resolved");
        if was_committed {
            self.finish_batch(consumed, assignment, batch, meter, now);
            self.recovery.finish();
        } else {
            meter.report_mut().aborts += 1;
            self.recovery.resolved_as_aborted(now.elapsed);
        }
        Ok(())
    }

    /// Applies the commit of one partition. Returns the number of consumed records.
    fn apply_commit(
        &mut self,
        commit: PartitionCommit,
        assignment: &mut Assignment,
        meter: &mut Meter,
        now: Moment,
    ) -> u64 {
        let Some(assigned) = assignment.get_mut(commit.position.partition).filter(|assigned| assigned.is_running())
        else {
            return 0;
        };
        let committed_at = meter.now(now).wall;
        let report = meter.report_mut();
        self.traced.append(&mut assigned.pending_mut().take_traced());
        let (effects, published_at) = assigned.on_committed(commit, committed_at, report);
        let consumed = effects.tally.consumed;
        report
            .count(&effects, committed_at, |transition| self.record_builder.publication_mode(transition, published_at));
        // Wake-ups that were due before `fresh_for` are replayed; their delay is not caused by this service.
        for &due in effects.wake_ups_fired.iter().filter(|&&due| committed_at - due <= self.options.fresh_for) {
            let lateness = committed_at - self.options.facts.lateness - due;
            report.measured.wake_up_lateness.observe(lateness.as_seconds());
        }
        if let Some(recent) = &self.recent {
            recent.append(effects.transitions, published_at);
        }
        if let Some(refused_links) = &self.refused_links {
            refused_links.append(effects.links_refused);
        }
        consumed
    }

    /// Finishes a committed batch and starts the sweeps that are due.
    fn finish_batch(
        &mut self,
        consumed: u64,
        assignment: &mut Assignment,
        batch: &mut OpenBatch,
        meter: &mut Meter,
        now: Moment,
    ) {
        let committed_at = meter.now(now).wall;
        if let Some(tracer) = &self.tracer {
            tracer.export(std::mem::take(&mut self.traced), consumed, self.began_at, committed_at);
        }
        let report = meter.report_mut();
        report.commits += 1;
        report.last_commit_at = Some(committed_at);
        #[expect(clippy::cast_precision_loss, reason = "a batch is far smaller than 2^52")]
        report.measured.batch_touchpoints.observe(consumed as f64);
        self.recovery.record_success();
        assignment.begin_sweeps(batch, report, now.elapsed);
        if assignment.running().any(|(_, assigned)| assigned.has_uncommitted_changes()) {
            batch.add(0, 0, now.elapsed);
        }
    }

    /// Drops the batch of an aborted transaction; its records are processed again after a back-off.
    fn drop_batch(
        &mut self,
        error: Error,
        assignment: &mut Assignment,
        batch: &mut OpenBatch,
        meter: &mut Meter,
        now: Moment,
    ) -> Result<(), Fatal> {
        meter.report_mut().aborts += 1;
        batch.clear();
        assignment.abort_running();
        self.recovery.record_failure(error, None, now.elapsed)
    }

    /// Keeps the batch of a transaction whose outcome is unknown until `recover` has resolved it.
    fn resolve_later(
        &mut self,
        error: Error,
        commits: Vec<PartitionCommit>,
        assignment: &mut Assignment,
        meter: &mut Meter,
        now: Moment,
    ) -> Result<(), Fatal> {
        meter.report_mut().producer_resets += 1;
        assignment.seek_running();
        self.recovery.record_failure(error, Some(commits), now.elapsed)
    }

    fn metadata_fields<'a>(&self, member_name: &'a str) -> MetadataFields<'a> {
        MetadataFields { models: self.models.hash, partitions: self.options.partitions, member_name }
    }
}
