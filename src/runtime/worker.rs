//! The processing loop: poll, decode, apply, fire wake-ups, commit.
//!
//! A worker owns one group member and its partitions exclusively. [`Worker::step`] runs one bounded step of the loop
//! and receives the time as an argument, so that tests can control it; the service provides the thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::kafka::{Error, Event, Member, PartitionId, Reaction, Record};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::partition::{DeadLetter, DeadLetterReason, Input, Position};
use crate::telemetry::report::Report;
use crate::telemetry::snapshot::{PartitionStatus, Status, WorkerSnapshot};
use crate::wire::touchpoint_json::{DeadLetterCause, Scratch, TouchpointDecoder, TouchpointOptions};

use super::assigned_partition::{AssignedPartition, DeadLetterRecord};
use super::fatal::Fatal;
use super::memory_budget::MemoryBudget;
use super::options::{ClockSource, Options};
use super::query::{self, CustomerAnswer, Query};
use super::recent_transitions::RecentTransitions;
use super::record_builder::{self, RecordBuilder};
use super::recovery::Recovery;
use super::restore::Restorer;
use super::stopwatch::{Activity, Stopwatch};
use super::wall_clock::{Moment, WallClock};

/// Maximum number of records per poll.
const POLL_RECORDS_MAX: usize = 1000;
/// Maximum duration of a poll, and therefore the maximum delay of a query.
const POLL_WAIT_MAX: Duration = Duration::from_millis(100);
/// Maximum number of wake-ups fired between two polls, over all partitions; takes about ten milliseconds.
const WAKE_UPS_MAX: usize = 2000;
/// Number of wake-ups per input to a partition; the transaction size is checked after each.
const WAKE_UPS_PER_INPUT: usize = 200;
/// Maximum number of end-offset queries between two polls.
const OFFSET_QUERIES_MAX: usize = 16;
/// Interval between two end-offset queries of a partition while consumption is paused.
const END_OFFSET_INTERVAL: Duration = Duration::from_secs(5);
/// Delay before the next end-offset query after one has failed.
const UNREACHABLE_BACKOFF: Duration = Duration::from_secs(5);
/// Maximum time to wait for the group coordinator when leaving the group.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of records and wake-ups at which a batch is committed before its interval ends.
const BATCH_CHANGES_MAX: usize = 10_000;
/// Bytes of consumed records and pending transitions at which a batch is committed before its interval ends.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// A member of the consumer group and the partitions assigned to it.
#[derive(Debug)]
pub struct Worker<M> {
    pub(super) member: M,
    pub(super) models: Arc<ModelSet>,
    pub(super) options: Arc<Options>,
    pub(super) record_builder: RecordBuilder,
    pub(super) partitions: BTreeMap<PartitionId, AssignedPartition>,
    pub(super) batch: BatchSize,
    pub(super) recovery: Recovery,
    pub(super) restorer: Restorer,
    pub(super) report: Report,
    /// Receives the committed transitions, if the API serves them.
    pub(super) recent: Option<Arc<RecentTransitions>>,
    pub(super) is_over_limit: bool,
    pub(super) memory_budget: Arc<MemoryBudget>,
    /// This worker's current contribution to the memory budget, in bytes.
    pub(super) reported_bytes: usize,
    pub(super) next_memory_check: Duration,
    pub(super) stopwatch: Stopwatch,
    decoder: TouchpointDecoder,
    queries: Receiver<Query>,
    broker_backoff_until: Duration,
    has_wake_ups_left: bool,
    /// Highest wall time seen. Wake-ups fire up to this time, not up to the current wall time, so that setting the
    /// clock back does not delay wake-ups that are already due.
    wall_max: Timestamp,
}

/// Size of the open batch, over all partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct BatchSize {
    /// Time of the first change.
    pub(super) since: Option<Duration>,
    changes: usize,
    bytes: usize,
}

impl BatchSize {
    /// Adds changes made at `elapsed`.
    pub(super) fn add(&mut self, changes: usize, bytes: usize, elapsed: Duration) {
        self.since.get_or_insert(elapsed);
        self.changes += changes;
        self.bytes += bytes;
    }

    fn is_full(&self) -> bool {
        self.changes >= BATCH_CHANGES_MAX || self.bytes >= BATCH_BYTES_MAX
    }
}

impl<M: Member> Worker<M> {
    /// Creates a worker without partitions.
    #[must_use]
    pub fn new(member: M, models: Arc<ModelSet>, options: Arc<Options>, queries: Receiver<Query>) -> Self {
        let touchpoints = TouchpointOptions { bytes_max: options.touchpoint_bytes_max };
        Self {
            member,
            decoder: TouchpointDecoder::new(&models.vocabulary, touchpoints),
            record_builder: RecordBuilder::new(Arc::clone(&models), Arc::clone(&options)),
            models,
            options,
            partitions: BTreeMap::new(),
            batch: BatchSize::default(),
            recovery: Recovery::default(),
            restorer: Restorer::default(),
            report: Report::default(),
            recent: None,
            is_over_limit: false,
            memory_budget: Arc::default(),
            reported_bytes: 0,
            next_memory_check: Duration::ZERO,
            stopwatch: Stopwatch::default(),
            queries,
            broker_backoff_until: Duration::ZERO,
            has_wake_ups_left: false,
            wall_max: Timestamp::MIN,
        }
    }

    /// Measures the worker's activities with `clock`.
    #[must_use]
    pub fn with_clock(self, clock: WallClock) -> Self {
        Self { stopwatch: Stopwatch::new(clock), ..self }
    }

    /// Publishes committed transitions to `recent`.
    #[must_use]
    pub fn with_recent(mut self, recent: Arc<RecentTransitions>) -> Self {
        self.recent = Some(recent);
        self
    }

    /// Shares `memory_budget` with the other workers of the process.
    #[must_use]
    pub fn with_memory_budget(self, memory_budget: Arc<MemoryBudget>) -> Self {
        Self { memory_budget, ..self }
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
        self.stopwatch.lap(Activity::Poll, waited);
        for event in events {
            match event {
                Event::Records(records) => {
                    for record in records {
                        self.apply(record, now);
                    }
                }
                // Not used: a watermark needs an end offset together with the time at which it was queried.
                Event::ReachedEnd(_) => {}
                Event::Assigned(partitions) => self.on_assigned(&partitions, now)?,
                Event::Revoked(partitions) => self.on_revoked(&partitions, now)?,
                Event::Lost(partitions) => self.on_lost(&partitions)?,
            }
        }
        self.stopwatch.lap(Activity::Apply, Duration::ZERO);
        self.recover(now)?;
        self.stopwatch.lap(Activity::Commit, Duration::ZERO);
        self.begin_restores(now)?;
        self.advance_restores(now)?;
        self.stopwatch.lap(Activity::Restore, Duration::ZERO);
        self.fire_wake_ups(now)?;
        self.stopwatch.lap(Activity::Apply, Duration::ZERO);
        if self.commit_is_due(now) {
            self.commit(now)?;
        }
        if self.batch.since.is_none() && !self.recovery.is_pending() {
            self.begin_sweeps(now);
        }
        self.truncate(now);
        self.stopwatch.lap(Activity::Commit, Duration::ZERO);
        self.check_memory_budget(now);
        self.query_end_offsets(now)?;
        self.apply_fetch_state()?;
        self.answer_queries();
        Ok(())
    }

    /// Commits the pending changes and leaves the group.
    ///
    /// # Errors
    /// Errors that need an operator.
    pub fn stop(mut self, now: Moment) -> Result<Report, Fatal> {
        tracing::info!(partitions = self.partitions.len(), "worker stopping");
        // Records that cannot be committed now are processed again by the next owner.
        if !self.recovery.is_pending() {
            self.commit(now)?;
        }
        self.member.leave(LEAVE_TIMEOUT);
        tracing::info!(commits = self.report.commits, "worker left the group");
        Ok(self.report)
    }

    /// Returns the group member.
    #[must_use]
    pub fn member(&self) -> &M {
        &self.member
    }

    /// Returns the totals since the start.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Returns the status and the totals of the worker at `now`.
    #[must_use]
    pub fn snapshot(&mut self, now: Moment) -> WorkerSnapshot {
        WorkerSnapshot { at: now.wall, status: self.status(), report: self.report.clone() }
    }

    /// Returns the status of the worker and its partitions.
    #[must_use]
    pub fn status(&mut self) -> Status {
        let partitions: Vec<_> = self.partitions.keys().copied().collect();
        let lags: Vec<_> = partitions.into_iter().map(|partition| self.lag(partition)).collect();
        let status = |((&partition, assigned), lag_records)| PartitionStatus {
            lag_records,
            ..self.status_of(partition, assigned)
        };
        Status {
            partitions: self.partitions.iter().zip(lags).map(status).collect(),
            is_recovering: self.recovery.is_pending(),
            consecutive_failures: self.recovery.failures(),
            is_over_limit: self.is_over_limit,
            has_pending_changes: self.batch.since.is_some(),
            topic_partitions: self.member.input_partitions(),
            activities: self.stopwatch.spent(),
        }
    }

    fn status_of(&self, partition: PartitionId, assigned: &AssignedPartition) -> PartitionStatus {
        PartitionStatus {
            partition,
            is_running: assigned.is_running(),
            restore: self.restorer.progress(partition),
            position: assigned.position,
            committed_offset: assigned.committed.offset,
            lag_records: None,
            customers: assigned.machine.len(),
            bytes: assigned.machine.bytes(),
            wake_ups: assigned.machine.wake_ups_pending(),
            stream_time: assigned.machine.clock().stream_time(),
            committed_stream_time: assigned.machine.committed_clock().stream_time(),
            watermark: assigned
                .watermark
                .current(assigned.event_time_watermark(self.options.clock_source, self.options.facts.lateness)),
            current_time: match self.options.clock_source {
                ClockSource::Wall => {
                    Some(self.wall_max - self.options.facts.lateness).filter(|_| assigned.is_running())
                }
                ClockSource::Touchpoints => {
                    assigned.event_time_watermark(ClockSource::Touchpoints, self.options.facts.lateness)
                }
            },
            next_wake_up: assigned.machine.next_wake_up(),
            stage_counts: assigned.machine.stage_counts().to_vec(),
        }
    }

    /// Returns the lag of a partition in records; `None` while its end offset is unknown.
    fn lag(&mut self, partition: PartitionId) -> Option<u64> {
        let assigned = self.partitions.get(&partition)?;
        let cached = self.member.cached_ends(partition).map(|ends| ends.high_watermark);
        let end = cached.max(assigned.queried_end.map(|(end, _)| end))?;
        // Transaction markers have offsets but are never returned, so the position can be below the end of a partition
        // that has been read completely.
        let is_read = self.member.has_read_to(partition, end);
        Some(if is_read { 0 } else { u64::try_from(end - assigned.position).unwrap_or_default() })
    }

    /// Returns the timeout of the next poll.
    fn poll_timeout(&self, now: Moment) -> Duration {
        if self.has_wake_ups_left || !self.restorer.is_idle() {
            return Duration::ZERO;
        }
        let until_commit = match self.batch.since {
            Some(since) if !self.recovery.is_pending() => {
                (since + self.options.commit_interval).saturating_sub(now.elapsed)
            }
            Some(_) | None => POLL_WAIT_MAX,
        };
        until_commit.min(POLL_WAIT_MAX)
    }

    /// Decodes a record and applies it to its partition.
    fn apply(&mut self, record: Record, now: Moment) {
        let Some(assigned) = self.partitions.get_mut(&record.partition) else { return };
        // Until the seek takes effect, the client still returns records beyond the position we rewound to.
        if !assigned.is_running()
            || assigned.needs_seek
            || self.recovery.is_pending()
            || record.offset < assigned.position
        {
            return;
        }
        let position = Position(record.offset);
        assigned.position = record.offset + 1;
        let bytes = record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len);
        self.batch.add(1, bytes, now.elapsed);
        assigned.pending_counts.count_consumed(bytes, record.timestamp_ms);
        assigned.observe_record_timestamp(record.timestamp_ms);
        if record.offset < assigned.restored_to {
            assigned.machine.apply(Input::AppliedBefore, &mut assigned.effects);
            return;
        }
        let mut scratch = Scratch::default();
        let cause = match self.decoder.decode(record.value.as_deref().unwrap_or_default(), &mut scratch) {
            Ok(touchpoint) if touchpoint.occurred_at - now.wall > self.options.max_ahead => DeadLetterCause {
                reason: DeadLetterReason::InFuture,
                detail: "occurred_at is later than wall time".into(),
            },
            Ok(touchpoint) => {
                let transitions_before = assigned.effects.transitions.len();
                assigned.machine.apply(Input::Touchpoint(&touchpoint), &mut assigned.effects);
                let bytes = record_builder::estimated_record_bytes(&assigned.effects.transitions[transitions_before..]);
                self.batch.add(0, bytes, now.elapsed);
                return;
            }
            Err(cause) => cause,
        };
        let DeadLetterCause { reason, detail } = cause;
        assigned.machine.apply(Input::DeadLetter(DeadLetter { position, reason }), &mut assigned.effects);
        assigned.dead_letter_records.push(DeadLetterRecord { record, detail });
    }

    /// Fires the wake-ups that are due, a bounded number per partition.
    fn fire_wake_ups(&mut self, now: Moment) -> Result<(), Fatal> {
        self.has_wake_ups_left = false;
        self.wall_max = self.wall_max.max(now.wall);
        let running = self.partitions.values().filter(|assigned| assigned.is_running()).count();
        if self.recovery.is_pending() || running == 0 {
            return Ok(());
        }
        self.update_watermarks(now)?;
        let wake_ups_max = (WAKE_UPS_MAX / running).max(1);
        let lateness = self.options.facts.lateness;
        let wall_until = match self.options.clock_source {
            ClockSource::Wall => self.wall_max - lateness,
            ClockSource::Touchpoints => Timestamp::MAX,
        };
        for assigned in self.partitions.values_mut().filter(|assigned| assigned.is_running()) {
            let Some(until) =
                assigned.watermark.current(assigned.event_time_watermark(self.options.clock_source, lateness))
            else {
                continue;
            };
            // The event time of a touchpoint may be up to `max_ahead` in the future; it must not fire the wake-ups of
            // other customers early.
            let until = until.min(wall_until);
            let mut left = wake_ups_max;
            while left > 0 && assigned.machine.next_wake_up().is_some_and(|due| due <= until) {
                if self.batch.is_full() {
                    self.has_wake_ups_left = true;
                    return Ok(());
                }
                let wake_ups_max = left.min(WAKE_UPS_PER_INPUT);
                let (before, transitions_before) =
                    (assigned.effects.tally.wake_ups, assigned.effects.transitions.len());
                let has_more = assigned.machine.apply(Input::TimePassed { until, wake_ups_max }, &mut assigned.effects);
                let fired = usize::try_from(assigned.effects.tally.wake_ups - before).unwrap_or(usize::MAX);
                if fired > 0 {
                    let bytes =
                        record_builder::estimated_record_bytes(&assigned.effects.transitions[transitions_before..]);
                    self.batch.add(fired, bytes, now.elapsed);
                }
                left -= wake_ups_max;
                self.has_wake_ups_left |= has_more && left == 0;
                if !has_more {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Probes the partitions whose watermark must follow wall time, and confirms the probes whose end offset has been
    /// read.
    fn update_watermarks(&mut self, now: Moment) -> Result<(), Fatal> {
        if self.options.clock_source == ClockSource::Touchpoints {
            return Ok(());
        }
        let lateness = self.options.facts.lateness;
        let mut queries = 0;
        for (&partition, assigned) in
            self.partitions.iter_mut().filter(|(_, assigned)| assigned.is_running() && !assigned.needs_seek)
        {
            let event_time_watermark = assigned.event_time_watermark(self.options.clock_source, lateness);
            let next_wake_up = assigned.machine.next_wake_up();
            if queries < OFFSET_QUERIES_MAX
                && now.elapsed >= self.broker_backoff_until
                && assigned.watermark.needs_probe(now, next_wake_up, event_time_watermark, lateness)
            {
                queries += 1;
                match unless_fatal(self.member.input_range(partition))? {
                    Some((_, end)) => assigned.watermark.start_probe(end, now),
                    None => self.broker_backoff_until = now.elapsed + UNREACHABLE_BACKOFF,
                }
            }
            if assigned.watermark.probe().is_some_and(|probe| self.member.has_read_to(partition, probe.end)) {
                assigned.watermark.confirm(lateness);
            }
        }
        Ok(())
    }

    /// Queries end offsets for the lag while consumption is paused, because a paused client receives none.
    fn query_end_offsets(&mut self, now: Moment) -> Result<(), Fatal> {
        if !self.is_over_limit || self.recovery.is_pending() || now.elapsed < self.broker_backoff_until {
            return Ok(());
        }
        let is_due = |assigned: &AssignedPartition| {
            assigned.queried_end.is_none_or(|(_, at)| now.elapsed >= at + END_OFFSET_INTERVAL)
        };
        let due = self.partitions.iter_mut().filter(|(_, assigned)| assigned.is_running() && is_due(assigned));
        for (&partition, assigned) in due.take(OFFSET_QUERIES_MAX) {
            let Some((_, end)) = unless_fatal(self.member.input_range(partition))? else {
                self.broker_backoff_until = now.elapsed + UNREACHABLE_BACKOFF;
                return Ok(());
            };
            assigned.queried_end = Some((end, now.elapsed));
        }
        Ok(())
    }

    fn commit_is_due(&self, now: Moment) -> bool {
        let is_interval_over = |since| now.elapsed.saturating_sub(since) >= self.options.commit_interval;
        !self.recovery.is_pending() && (self.batch.is_full() || self.batch.since.is_some_and(is_interval_over))
    }

    fn answer_queries(&mut self) {
        for query in query::take_waiting(&self.queries) {
            (query.answer)(self.customer(&query.customer_id));
        }
    }

    fn customer(&self, customer_id: &str) -> CustomerAnswer {
        let running = || self.partitions.iter().filter(|(_, assigned)| assigned.is_running());
        let found = running().find_map(|(&partition, assigned)| {
            let customer = Box::new(assigned.machine.snapshot(customer_id)?);
            Some(CustomerAnswer::Found { partition, customer })
        });
        let is_complete = running().count() == self.partitions.len();
        found.unwrap_or(if is_complete { CustomerAnswer::Unknown } else { CustomerAnswer::Restoring })
    }
}

/// Returns fatal errors and logs all others. `None` means that the call failed and is retried in a later step.
pub(super) fn unless_fatal<T>(result: Result<T, Error>) -> Result<Option<T>, Fatal> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.reaction == Reaction::Fatal => Err(Fatal::Client(error)),
        Err(error) => {
            tracing::warn!(call = error.call, code = %error.code, "kafka call failed, will retry");
            Ok(None)
        }
    }
}
