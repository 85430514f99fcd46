//! The batch of all partitions: committed together, or undone and done again together.

use std::time::Duration;

use crate::kafka::{Member, PartitionId};

use super::commit::{Outcome, transact};
use super::fatal::Fatal;
use super::held::{Held, Note, Phase, Share};
use super::wall_clock::Moment;
use super::worker::{BatchSize, Worker, attempted};

/// How often the memory of the customers is added up.
const WEIGH_INTERVAL: Duration = Duration::from_secs(1);

impl<M: Member> Worker<M> {
    /// Commits what is pending, if anything is.
    pub(super) fn commit(&mut self, now: Moment) -> Result<(), Fatal> {
        let mut records = Vec::new();
        let mut written = Vec::new();
        for (&partition, held) in self.held.iter_mut().filter(|(_, held)| held.has_something_to_commit()) {
            written.push((partition, self.publisher.write(held, now.wall, &mut records)));
        }
        self.batch = BatchSize::default();
        if written.is_empty() {
            return Ok(());
        }
        let mut shares = Vec::new();
        let name = self.member.name().to_owned();
        let note = Note { models: self.models.hash, partitions: self.options.partitions, by: &name };
        let held = &self.held;
        let outcome = transact(&mut self.member, records, |offsets| {
            shares.extend(
                written.iter().map(|(partition, written)| Share::of(&held[partition], *written, offsets, &note)),
            );
            shares.iter().map(|share: &Share| (share.position, share.metadata.clone())).collect()
        })?;
        match outcome {
            Outcome::Committed => {
                let consumed = shares.into_iter().map(|share| self.committed(share, now)).sum();
                self.close_batch(consumed, now);
            }
            Outcome::Aborted(error) => {
                tracing::warn!(
                    call = error.call,
                    code = error.code,
                    "a transaction was aborted and its batch is done again"
                );
                self.report.aborts += 1;
                self.abort_running();
                self.recovery.fail(error, None, now.elapsed)?;
            }
            Outcome::Unknown(error) => {
                // Once is a slow transaction or a restart; to have it all the time, two instances must be called the same.
                let hint = if error.fenced {
                    "; another producer has taken the transactional id: when this comes again and again, two instances \
                     have the same kafka.group_id and kafka.instance_id"
                } else {
                    ""
                };
                tracing::warn!(
                    call = error.call,
                    code = error.code,
                    "the outcome of a transaction has to be looked up{hint}"
                );
                self.report.renewals += 1;
                self.rewind_running();
                self.recovery.fail(error, Some(shares), now.elapsed)?;
            }
        }
        Ok(())
    }

    /// Deals with a transaction that failed: finds out how it ended, and ends the wait.
    pub(super) fn recover(&mut self, now: Moment) -> Result<(), Fatal> {
        if !self.recovery.is_due(now.elapsed) {
            return Ok(());
        }
        let Some(unresolved) = self.recovery.unresolved().cloned() else {
            self.recovery.end();
            return Ok(());
        };
        if !unresolved.is_renewed {
            if attempted(self.member.renew())?.is_none() {
                self.recovery.postpone(now.elapsed);
                return Ok(());
            }
            self.recovery.renewed();
        }
        let running: Vec<_> =
            self.held.iter().filter(|(_, held)| held.is_running()).map(|(&partition, _)| partition).collect();
        let committed = if running.is_empty() { Some(Vec::new()) } else { attempted(self.member.committed(&running))? };
        let Some(committed) = committed else {
            self.recovery.postpone(now.elapsed);
            return Ok(());
        };
        self.batch = BatchSize::default();
        let (mut was_committed, mut consumed) = (false, 0);
        for now_committed in committed {
            let Some(held) = self.held.get_mut(&now_committed.partition) else { continue };
            let share = unresolved.shares.iter().find(|share| {
                share.position.partition == now_committed.partition
                    && Some(share.position.offset) == now_committed.offset
                    && share.metadata == now_committed.metadata
            });
            if let Some(share) = share {
                was_committed = true;
                consumed += self.committed(share.clone(), now);
            } else if held.committed == now_committed {
                held.abort();
            } else {
                // Another member has gone on from here, and the group has yet to tell; or somebody has moved the offsets.
                tracing::warn!(
                    partition = now_committed.partition,
                    "somebody else has committed; the partition is restored again"
                );
                self.start_anew(now_committed.partition, now);
            }
        }
        tracing::info!(was_committed, "the outcome of the transaction is known");
        if was_committed {
            self.close_batch(consumed, now);
            self.recovery.end();
        } else {
            self.report.aborts += 1;
            self.recovery.resolved_as_aborted(now.elapsed);
        }
        Ok(())
    }

    /// Truncates the changelogs whose head is dead. A failure is nobody's emergency: the head takes room, no more.
    pub(super) fn truncate(&mut self, now: Moment) {
        for (&partition, held) in self.held.iter_mut().filter(|(_, held)| held.is_running()) {
            let Some(offset) = held.extent.truncation_due(now.elapsed) else { continue };
            match self.member.truncate_changelog(partition, offset) {
                Ok(()) => {
                    held.extent.truncated(offset);
                    self.report.truncations += 1;
                    tracing::debug!(partition, offset, "changelog truncated");
                }
                Err(error) => {
                    held.extent.truncation_failed(now.elapsed);
                    self.report.truncations_failed += 1;
                    tracing::warn!(partition, code = error.code, "changelog could not be truncated and is tried again");
                }
            }
        }
    }

    /// Takes over what was committed of one partition; returns how many records were consumed.
    fn committed(&mut self, share: Share, now: Moment) -> u64 {
        let partition = share.position.partition;
        let Some(held) = self.held.get_mut(&partition).filter(|held| held.is_running()) else { return 0 };
        let published_at = held.published_at;
        let effects = held.commit(share);
        let done = self.stopwatch.now(now).wall;
        let consumed = effects.tally.consumed;
        held.uncounted.count(done, &mut self.report);
        self.report.count(&effects, done, |transition| self.publisher.mode(transition, published_at));
        // Old news says nothing about how late this service is.
        for &due in effects.woken.iter().filter(|&&due| done - due <= self.options.fresh_for) {
            self.report.measured.wake_up_lateness.observe((done - self.options.facts.lateness - due).as_seconds());
        }
        if let Some(recent) = &self.recent {
            recent.append(effects.transitions, published_at);
        }
        consumed
    }

    /// Ends a batch that was committed, and sees what follows from it.
    fn close_batch(&mut self, consumed: u64, now: Moment) {
        self.report.commits += 1;
        #[expect(clippy::cast_precision_loss, reason = "a batch is far smaller than 2^52")]
        self.report.measured.batch_touchpoints.observe(consumed as f64);
        self.recovery.succeed();
        self.begin_sweeps(now);
        if self.held.values().any(Held::has_something_to_commit) {
            self.batch.add(0, 0, now.elapsed);
        }
    }

    /// Begins to sweep the changelogs that need it, also of partitions in which nothing happens. Between batches only: while
    /// nothing is pending, the end of the log is the end of what is committed.
    pub(super) fn begin_sweeps(&mut self, now: Moment) {
        for (&partition, held) in self.held.iter_mut().filter(|(_, held)| held.is_running()) {
            if held.extent.wants_sweep(held.machine.live_bytes(), now.elapsed, &self.options.sweep) {
                held.machine.begin_sweep();
                held.extent.begin_sweep(now.elapsed);
                self.report.sweeps += 1;
                self.batch.add(0, 0, now.elapsed);
                tracing::debug!(partition, log_bytes = held.extent.bytes(), "sweep begins");
            }
        }
    }

    /// Stops reading while customers take more memory than allowed: those of all workers on the same scales, whoever has them.
    pub(super) fn watch_limit(&mut self, now: Moment) {
        if now.elapsed < self.weigh_at {
            return;
        }
        self.weigh_at = now.elapsed + WEIGH_INTERVAL;
        let own: usize = self.held.values().map(|held| held.machine.bytes()).sum();
        let bytes = self.scales.put(own, std::mem::replace(&mut self.weight, own));
        let is_over_limit = bytes >= self.options.state_bytes_max;
        if is_over_limit && !self.is_over_limit {
            tracing::error!(
                bytes,
                bytes_max = self.options.state_bytes_max,
                "customers take more memory than allowed and reading stops: add instances, or raise state.max_bytes"
            );
        }
        if self.is_over_limit && !is_over_limit {
            tracing::info!(bytes, "customers take no more memory than allowed and reading goes on");
        }
        self.is_over_limit = is_over_limit;
    }

    /// Undoes what is pending of every partition, also of those that the failed transaction did not hold: records that the client
    /// has yet to return are dropped while the failure is dealt with.
    pub(super) fn abort_running(&mut self) {
        self.batch = BatchSize::default();
        for held in self.held.values_mut().filter(|held| held.is_running()) {
            held.abort();
        }
    }

    /// Has every partition read again from its position, once the outcome is known.
    pub(super) fn rewind_running(&mut self) {
        for held in self.held.values_mut().filter(|held| held.is_running()) {
            held.must_rewind = true;
        }
    }

    /// Forgets what is known of a partition, which is then taken up as if it had just been given.
    pub(super) fn start_anew(&mut self, partition: PartitionId, now: Moment) {
        let fresh = self.fresh(partition, now);
        if let Some(held) = self.held.get_mut(&partition) {
            // The client goes on as it was told; the group knows of no change.
            let intake = held.intake;
            *held = Held { intake, ..fresh };
            debug_assert!(matches!(held.phase, Phase::Gained { .. }));
        }
    }
}
