//! The processing loop: poll, decode, apply, fire wake-ups, commit.
//!
//! A worker owns one group member and its partitions exclusively. [`Worker::step`] runs one bounded step of the loop
//! and receives the time as an argument, so that tests can control it; the service provides the thread.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::kafka::{Event, Member, PartitionId};
use crate::lifecycle::model_set::ModelSet;
use crate::telemetry::ingest::{IngestPartition, IngestSnapshot};
use crate::telemetry::report::Report;
use crate::telemetry::snapshot::{PartitionStatus, Status, WorkerSnapshot};

use super::assignment::Assignment;
use super::fatal::Fatal;
use super::hand_overs;
use super::memory_budget::{MemoryBudget, MemoryShare};
use super::meter::Meter;
use super::open_batch::OpenBatch;
use super::options::Options;
use super::query::{self, Query};
use super::recent_transitions::RecentTransitions;
use super::record_applier::RecordApplier;
use super::refused_links::RefusedLinks;
use super::restore::Restorer;
use super::stopwatch::Activity;
use super::tracer::Tracer;
use super::transactions::Transactions;
use super::unless_fatal::unless_fatal;
use super::wall_clock::{Moment, WallClock};

/// Maximum number of records per poll.
const POLL_RECORDS_MAX: usize = 1000;
/// Number of records whose customers are looked up before the first of them is applied. They fit into the cache.
const PREFETCHED: usize = 64;
/// Maximum duration of a poll, and therefore the maximum delay of a query.
const POLL_WAIT_MAX: Duration = Duration::from_millis(100);
/// Maximum time to wait for the group coordinator when leaving the group.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A member of the consumer group and the partitions assigned to it.
#[derive(Debug)]
pub struct Worker<M> {
    member: M,
    record_applier: RecordApplier,
    assignment: Assignment,
    batch: OpenBatch,
    transactions: Transactions,
    restorer: Restorer,
    memory: MemoryShare,
    meter: Meter,
    queries: Receiver<Query>,
    /// Whether hand-overs are likely to follow at once; `None` without identity resolution.
    has_hand_overs_left: Option<bool>,
}

impl<M: Member> Worker<M> {
    /// Creates a worker without partitions.
    #[must_use]
    pub fn new(member: M, models: Arc<ModelSet>, options: Arc<Options>, queries: Receiver<Query>) -> Self {
        Self {
            member,
            record_applier: RecordApplier::new(&models, &options),
            assignment: Assignment::new(Arc::clone(&models), Arc::clone(&options)),
            batch: OpenBatch::new(options.commit_interval),
            has_hand_overs_left: options.identity.is_some().then_some(false),
            memory: MemoryShare::new(Arc::default(), options.state_bytes_max),
            restorer: Restorer::new(models.hash, Arc::clone(&options)),
            transactions: Transactions::new(models, options),
            meter: Meter::default(),
            queries,
        }
    }

    /// Measures the worker's activities with `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: WallClock) -> Self {
        self.meter.set_clock(clock);
        self
    }

    /// Publishes committed transitions to `recent`, and refused links to `refused_links`.
    #[must_use]
    pub fn with_recent(mut self, recent: Arc<RecentTransitions>, refused_links: Arc<RefusedLinks>) -> Self {
        self.transactions.publish_to(recent, refused_links);
        self
    }

    /// Traces touchpoints with `tracer`.
    #[must_use]
    pub fn with_tracer(mut self, tracer: Arc<Tracer>) -> Self {
        self.record_applier.trace_with(Arc::clone(&tracer));
        self.transactions.trace_with(tracer);
        self
    }

    /// Shares `memory_budget` with the other workers of the process.
    #[must_use]
    pub fn with_memory_budget(mut self, memory_budget: Arc<MemoryBudget>) -> Self {
        self.memory.share(memory_budget);
        self
    }

    /// Runs one bounded step of the loop. `clock` returns the current time.
    ///
    /// # Errors
    /// Errors that need an operator.
    pub fn step(&mut self, clock: impl Fn() -> Moment) -> Result<(), Fatal> {
        let events = self.member.poll(POLL_RECORDS_MAX, self.poll_timeout(clock())).map_err(Fatal::Client)?;
        // Read the clock after the poll: with the time before it, a process that was frozen in the poll would reject
        // new touchpoints as being in the future.
        let now = clock();
        let waited = self.member.idle_time();
        self.meter.lap(Activity::Poll, waited);
        for event in events {
            self.react(event, now)?;
        }
        let Self { member, assignment, batch, transactions, meter, .. } = self;
        if !transactions.is_recovering() {
            assignment.advance_positions(member, batch, now.elapsed);
        }
        meter.lap(Activity::Apply, Duration::ZERO);
        transactions.recover(member, assignment, batch, meter, now)?;
        self.meter.lap(Activity::Commit, Duration::ZERO);
        self.restore(now)?;
        self.meter.lap(Activity::Restore, Duration::ZERO);
        self.apply_hand_overs(now)?;
        self.fire_wake_ups(now)?;
        self.meter.lap(Activity::Apply, Duration::ZERO);
        if self.batch.is_due(now.elapsed) && !self.transactions.is_recovering() {
            self.commit(now)?;
        }
        if self.batch.is_empty() && !self.transactions.is_recovering() {
            self.assignment.begin_sweeps(&mut self.batch, self.meter.report_mut(), now.elapsed);
        }
        self.assignment.truncate(&mut self.member, self.meter.report_mut(), now.elapsed);
        self.meter.lap(Activity::Commit, Duration::ZERO);
        if self.memory.is_due(now.elapsed) {
            self.memory.update(self.assignment.bytes(), now.elapsed);
        }
        if self.memory.is_over_limit() && !self.transactions.is_recovering() {
            self.assignment.query_end_offsets(&mut self.member, now.elapsed)?;
        }
        self.assignment.check_identity(&mut self.member, now.elapsed)?;
        let may_fetch = !self.memory.is_over_limit() && !self.transactions.is_recovering();
        self.assignment.apply_fetch_state(&mut self.member, may_fetch, now.elapsed)?;
        for query in query::take_waiting(&self.queries) {
            match query {
                Query::Customer { customer_id, answer } => answer(self.assignment.customer(&customer_id)),
                Query::Stage { request, answer } => {
                    answer(self.assignment.stage(&request, self.member.input_partitions()));
                }
            }
        }
        Ok(())
    }

    /// Commits the pending changes and leaves the group.
    ///
    /// # Errors
    /// Errors that need an operator.
    pub fn stop(mut self, now: Moment) -> Result<Report, Fatal> {
        tracing::info!(partitions = self.assignment.len(), "worker stopping");
        // Records that cannot be committed now are processed again by the next owner.
        self.commit(now)?;
        self.member.leave(LEAVE_TIMEOUT);
        tracing::info!(commits = self.report().commits, "worker left the group");
        Ok(self.meter.into_report())
    }

    /// Returns the group member.
    #[must_use]
    pub fn member(&self) -> &M {
        &self.member
    }

    /// Returns the totals since the start.
    #[must_use]
    pub fn report(&self) -> &Report {
        self.meter.report()
    }

    /// Returns the status and the totals of the worker at `now`.
    #[must_use]
    pub fn snapshot(&mut self, now: Moment) -> WorkerSnapshot {
        let status = self.status();
        let direct = self.record_applier.direct().map(|source| {
            let partitions = self.assignment.all().zip(&status.partitions).map(|((partition, assigned), status)| {
                let is_waiting = assigned.registry_wait.is_waiting();
                let PartitionStatus { is_running, lag_records, .. } = *status;
                IngestPartition { partition, is_running, is_waiting, lag_records }
            });
            Arc::new(IngestSnapshot {
                source: Arc::clone(source.name()),
                topic: Arc::clone(source.topic()),
                partitions: partitions.collect(),
                report: self.report().direct.clone(),
            })
        });
        WorkerSnapshot { at: now.wall, status, report: self.report().clone(), direct }
    }

    /// Returns the status of the worker and its partitions.
    #[must_use]
    pub fn status(&mut self) -> Status {
        let Self { member, assignment, restorer, .. } = self;
        let partitions = assignment.all().map(|(partition, assigned)| {
            let ends = member.cached_ends(partition);
            PartitionStatus {
                restore: restorer.progress(partition),
                lag_records: assignment.lag(member, partition),
                last_stable_offset: ends.map(|ends| ends.last_stable),
                high_watermark: ends.map(|ends| ends.high_watermark),
                ..assigned.status()
            }
        });
        Status {
            partitions: partitions.collect(),
            is_recovering: self.transactions.is_recovering(),
            consecutive_failures: self.transactions.failures(),
            is_over_limit: self.memory.is_over_limit(),
            has_pending_changes: !self.batch.is_empty(),
            topic_partitions: self.member.input_partitions(),
            activities: self.meter.activities(),
        }
    }

    /// Returns the timeout of the next poll.
    fn poll_timeout(&self, now: Moment) -> Duration {
        let is_recovering = self.transactions.is_recovering();
        let has_more = self.assignment.has_wake_ups_left() || self.has_hand_overs_left == Some(true);
        if !self.restorer.is_idle() || (!is_recovering && has_more) {
            return Duration::ZERO;
        }
        let until_commit = self.batch.time_left(now.elapsed).filter(|_| !is_recovering);
        until_commit.map_or(POLL_WAIT_MAX, |left| left.min(POLL_WAIT_MAX))
    }

    fn react(&mut self, event: Event, now: Moment) -> Result<(), Fatal> {
        match event {
            Event::Records(records) => {
                // During a recovery, the records are ignored: the partitions seek and read them again.
                if !self.transactions.is_recovering() {
                    self.assignment.remember_last(&records);
                    let mut records = records.into_iter();
                    while !records.as_slice().is_empty() {
                        self.assignment.prefetch(&records.as_slice()[..PREFETCHED.min(records.len())]);
                        for record in records.by_ref().take(PREFETCHED) {
                            self.record_applier.apply(record, &mut self.assignment, &mut self.batch, now);
                        }
                    }
                }
            }
            // Not used: a watermark needs an end offset together with the time at which it was queried.
            Event::ReachedEnd(_) => {}
            Event::Assigned(partitions) => {
                self.assignment.accept(&mut self.member, &partitions, now.elapsed)?;
                self.meter.report_mut().assigned += partitions.len() as u64;
                tracing::info!(partitions = ?in_order(partitions), "partitions assigned, restoring state");
            }
            Event::Revoked(partitions) => {
                // The transaction must end before the release: the broker checks the group generation of an offset
                // commit, but not whether the member still owns the partition. If the commit fails, the batch is
                // dropped together with the partitions, and the next owner processes the records again. An unknown
                // outcome is safe too: the next owner cannot fetch the committed offsets before the transaction has
                // ended.
                self.commit(now)?;
                self.release(&partitions)?;
                self.meter.report_mut().revoked += partitions.len() as u64;
                tracing::info!(partitions = ?in_order(partitions), "partitions revoked");
            }
            Event::Lost(partitions) => {
                self.release(&partitions)?;
                self.assignment.forget_given_up();
                self.meter.report_mut().lost += partitions.len() as u64;
                tracing::info!(partitions = ?in_order(partitions), "partitions lost, dropped pending changes");
            }
        }
        Ok(())
    }

    /// Releases partitions and drops their pending changes.
    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), Fatal> {
        for &partition in partitions {
            self.restorer.stop(&mut self.member, partition)?;
            if self.has_hand_overs_left.is_some() {
                unless_fatal(self.member.close_hand_overs(partition))?;
            }
        }
        self.memory.update_soon();
        self.assignment.release(&mut self.member, partitions)
    }

    /// Commits the pending changes, unless a recovery is in progress.
    fn commit(&mut self, now: Moment) -> Result<(), Fatal> {
        if self.transactions.is_recovering() {
            return Ok(());
        }
        let Self { member, assignment, batch, transactions, meter, .. } = self;
        transactions.commit(member, assignment, batch, meter, now)
    }

    /// Begins and continues restores, and starts the partitions whose restore is complete.
    fn restore(&mut self, now: Moment) -> Result<(), Fatal> {
        let Self { member, assignment, batch, transactions, restorer, meter, .. } = self;
        if !transactions.is_recovering() {
            let new = restorer.begin(member, assignment, now.elapsed)?;
            if !new.is_empty() && transactions.commit_initial_offsets(member, assignment, &new, batch, meter, now)? {
                restorer.complete_empty(&new);
            }
        }
        restorer.advance(member, assignment, meter.report_mut(), now.elapsed)?;
        for (partition, progress) in restorer.take_complete() {
            let Some(assigned) = assignment.get_mut(partition) else { continue };
            let finished_at = Moment { elapsed: meter.now(now).elapsed, ..now };
            assigned.start_running(progress, finished_at, meter.report_mut());
            if assigned.has_uncommitted_changes() {
                batch.add(0, 0, now.elapsed);
            }
        }
        Ok(())
    }

    /// Reads and applies hand-overs, unless the worker must not apply anything now.
    fn apply_hand_overs(&mut self, now: Moment) -> Result<(), Fatal> {
        if self.has_hand_overs_left.is_some() {
            let may_apply = !self.memory.is_over_limit() && !self.transactions.is_recovering();
            let Self { member, assignment, record_applier, batch, .. } = self;
            let has_more = may_apply && hand_overs::advance(member, assignment, record_applier, batch, now)?;
            self.has_hand_overs_left = Some(has_more);
        }
        Ok(())
    }

    /// Fires the wake-ups that are due.
    fn fire_wake_ups(&mut self, now: Moment) -> Result<(), Fatal> {
        self.assignment.observe_wall(now);
        if self.transactions.is_recovering() {
            return Ok(());
        }
        self.assignment.advance_watermarks(&mut self.member, now)?;
        self.assignment.fire_wake_ups(&mut self.batch, now);
        Ok(())
    }
}

/// Sorts partitions for the log.
fn in_order(mut partitions: Vec<PartitionId>) -> Vec<PartitionId> {
    partitions.sort_unstable();
    partitions
}
