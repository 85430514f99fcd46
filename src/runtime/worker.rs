//! The loop: poll, decode, apply, let time pass, commit.
//!
//! A worker owns one group member and its partitions outright and never shares them. [`Worker::step`] does one bounded
//! round and is told the time, so that the loop can be single-stepped; the thread around it is the service's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::kafka::{Error, Event, Member, PartitionId, Reaction, Record};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::partition::{Input, Position, Reason, Rejected};
use crate::wire::touchpoint_json::{Malformed, Scratch, TouchpointDecoder, TouchpointOptions};

use super::fatal::Fatal;
use super::held::{Held, Intake, SetAside};
use super::options::{ClockSource, Options};
use super::publisher::{self, Publisher};
use super::query::{self, CustomerAnswer, PartitionStatus, Query, Status};
use super::recent::Recent;
use super::recovery::Recovery;
use super::report::Report;
use super::restore::Restorer;
use super::scales::Scales;
use super::stopwatch::{Activities, Activity, Stopwatch};
use super::wall_clock::{Moment, WallClock};

/// How many records a poll brings at most.
const POLL_RECORDS_MAX: usize = 1000;
/// How long a poll waits at most, and so how long a question waits for its answer.
const POLL_WAIT_MAX: Duration = Duration::from_millis(100);
/// How many wake-ups are worked off between two polls, all partitions together; some ten milliseconds.
const WAKE_UPS_MAX: usize = 2000;
/// After how many wake-ups of a partition it is seen whether the transaction is large enough.
const WAKE_UPS_AT_ONCE: usize = 200;
/// How many ends of partitions are asked for between two polls.
const QUESTIONS_MAX: usize = 16;
/// How often the end of a partition is asked for while nothing is read.
const END_INTERVAL: Duration = Duration::from_secs(5);
/// How long nobody is asked after the broker could not be.
const UNREACHABLE_WAIT: Duration = Duration::from_secs(5);
/// How long leaving the group may take.
const LEAVE_DEADLINE: Duration = Duration::from_secs(10);
/// After how many records and wake-ups a commit does not wait for its interval.
const BATCH_CHANGES_MAX: usize = 10_000;
/// After how many bytes, of records read and of transitions to write, a commit does not wait for its interval.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// One member of the group, and the partitions that it has.
#[derive(Debug)]
pub struct Worker<M> {
    pub(super) member: M,
    pub(super) models: Arc<ModelSet>,
    pub(super) options: Arc<Options>,
    pub(super) publisher: Publisher,
    pub(super) held: BTreeMap<PartitionId, Held>,
    pub(super) batch: BatchSize,
    pub(super) recovery: Recovery,
    pub(super) restorer: Restorer,
    pub(super) report: Report,
    /// Where committed transitions are kept for those who watch, if anybody may.
    pub(super) recent: Option<Arc<Recent>>,
    pub(super) is_over_limit: bool,
    pub(super) scales: Arc<Scales>,
    /// What lies on the scales of this worker.
    pub(super) weight: usize,
    pub(super) weigh_at: Duration,
    pub(super) stopwatch: Stopwatch,
    decoder: TouchpointDecoder,
    queries: Receiver<Query>,
    ask_at: Duration,
    has_wake_ups_left: bool,
    /// The latest time of day seen: a wall clock that is set back takes nothing back.
    latest_wall: Timestamp,
}

/// What is pending of all partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct BatchSize {
    /// When the first change came.
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
    /// A worker that has no partitions yet.
    #[must_use]
    pub fn new(member: M, models: Arc<ModelSet>, options: Arc<Options>, queries: Receiver<Query>) -> Self {
        let touchpoints = TouchpointOptions { bytes_max: options.touchpoint_bytes_max };
        Self {
            member,
            decoder: TouchpointDecoder::new(&models.vocabulary, touchpoints),
            publisher: Publisher::new(Arc::clone(&models), Arc::clone(&options)),
            models,
            options,
            held: BTreeMap::new(),
            batch: BatchSize::default(),
            recovery: Recovery::default(),
            restorer: Restorer::default(),
            report: Report::default(),
            recent: None,
            is_over_limit: false,
            scales: Arc::default(),
            weight: 0,
            weigh_at: Duration::ZERO,
            stopwatch: Stopwatch::default(),
            queries,
            ask_at: Duration::ZERO,
            has_wake_ups_left: false,
            latest_wall: Timestamp::MIN,
        }
    }

    /// The same worker, which measures its work by `clock`. Nothing that it does depends on that.
    #[must_use]
    pub fn measured_by(self, clock: WallClock) -> Self {
        Self { stopwatch: Stopwatch::of(clock), ..self }
    }

    /// Keeps what is committed in `recent`.
    #[must_use]
    pub fn with_recent(mut self, recent: Arc<Recent>) -> Self {
        self.recent = Some(recent);
        self
    }

    /// Weighs its customers together with those of the other workers on `scales`.
    #[must_use]
    pub fn weighed_on(self, scales: Arc<Scales>) -> Self {
        Self { scales, ..self }
    }

    /// One bounded round of everything that is to be done, by `clock`.
    ///
    /// # Errors
    /// When a person must act.
    pub fn step(&mut self, clock: impl Fn() -> Moment) -> Result<(), Fatal> {
        let events = self.member.poll(POLL_RECORDS_MAX, self.patience(clock())).map_err(Fatal::Client)?;
        // Asked only now: a process that was frozen while it waited would take what has just been written for touchpoints of the
        // future, and set them aside.
        let now = clock();
        let waited = self.member.waited();
        self.stopwatch.lap(Activity::Poll, waited);
        for event in events {
            match event {
                Event::Records(records) => {
                    for record in records {
                        self.apply(record, now);
                    }
                }
                // The clock asks for the end of the partition itself, at the time that matters to it.
                Event::ReachedEnd(_) => {}
                Event::Gained(partitions) => self.gain(&partitions, now)?,
                Event::Revoked(partitions) => self.give_up(&partitions, now)?,
                Event::Lost(partitions) => self.lose(&partitions)?,
            }
        }
        self.stopwatch.lap(Activity::Apply, Duration::ZERO);
        self.recover(now)?;
        self.stopwatch.lap(Activity::Commit, Duration::ZERO);
        self.take_up(now)?;
        self.restore(now)?;
        self.stopwatch.lap(Activity::Restore, Duration::ZERO);
        self.pass_time(now)?;
        self.stopwatch.lap(Activity::Apply, Duration::ZERO);
        if self.commit_is_due(now) {
            self.commit(now)?;
        }
        if self.batch.since.is_none() && !self.recovery.is_pending() {
            self.begin_sweeps(now);
        }
        self.truncate(now);
        self.stopwatch.lap(Activity::Commit, Duration::ZERO);
        self.watch_limit(now);
        self.watch_ends(now)?;
        self.direct_reading()?;
        self.answer_queries();
        Ok(())
    }

    /// Commits what is pending and leaves the group.
    ///
    /// # Errors
    /// When a person must act.
    pub fn stop(mut self, now: Moment) -> Result<Report, Fatal> {
        tracing::info!(partitions = self.held.len(), "worker stops");
        // What cannot be committed now is done again by the next owner.
        if !self.recovery.is_pending() {
            self.commit(now)?;
        }
        self.member.leave(LEAVE_DEADLINE);
        tracing::info!(commits = self.report.commits, "worker has left the group");
        Ok(self.report)
    }

    /// The member of the group.
    #[must_use]
    pub fn member(&self) -> &M {
        &self.member
    }

    /// What has been done so far.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Where its time has gone, if it is measured.
    #[must_use]
    pub fn activities(&self) -> Activities {
        self.stopwatch.spent()
    }

    /// How the partitions do.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            partitions: self.held.iter().map(|(&partition, held)| self.status_of(partition, held)).collect(),
            is_recovering: self.recovery.is_pending(),
            failures_in_a_row: self.recovery.failures(),
            is_over_limit: self.is_over_limit,
            has_pending_changes: self.batch.since.is_some(),
        }
    }

    fn status_of(&self, partition: PartitionId, held: &Held) -> PartitionStatus {
        PartitionStatus {
            partition,
            is_running: held.is_running(),
            restore: self.restorer.progress(partition),
            position: held.position,
            committed: held.committed.offset,
            customers: held.machine.len(),
            bytes: held.machine.bytes(),
            wake_ups: held.machine.wake_ups_pending(),
            reached: held.machine.clock().reached(),
            committed_reached: held.machine.committed_clock().reached(),
            clock: held.caught_up.clock(held.event_clock(self.options.clock_source, self.options.facts.lateness)),
            present: match self.options.clock_source {
                ClockSource::Wall => Some(self.latest_wall - self.options.facts.lateness).filter(|_| held.is_running()),
                ClockSource::Touchpoints => held.event_clock(ClockSource::Touchpoints, self.options.facts.lateness),
            },
            next_wake_up: held.machine.next_wake_up(),
            population: held.machine.population().to_vec(),
        }
    }

    /// How many partitions the topic of touchpoints has, as far as the client has heard.
    pub fn input_partitions(&mut self) -> Option<usize> {
        self.member.input_partitions()
    }

    /// How many records of a partition are not yet read, as far as has been heard; `None` when nothing has.
    pub fn lag(&mut self, partition: PartitionId) -> Option<u64> {
        let held = self.held.get(&partition)?;
        let end = self.member.end_seen(partition).max(held.end_asked.map(|(end, _)| end))?;
        // Markers of transactions take offsets and are never returned: what is read to the end has no lag.
        let is_read = self.member.has_read_to(partition, end);
        Some(if is_read { 0 } else { u64::try_from(end - held.position).unwrap_or_default() })
    }

    /// How long the next poll may wait.
    fn patience(&self, now: Moment) -> Duration {
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

    /// Decodes a record and hands it to its partition.
    fn apply(&mut self, record: Record, now: Moment) {
        let Some(held) = self.held.get_mut(&record.partition) else { return };
        // Until the client has been sent back, what it returns lies past what has to be read first.
        if !held.is_running() || held.must_rewind || self.recovery.is_pending() || record.offset < held.position {
            return;
        }
        let position = Position(record.offset);
        held.position = record.offset + 1;
        let bytes = record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len);
        self.batch.add(1, bytes, now.elapsed);
        held.uncounted.consume(bytes, record.timestamp_ms);
        held.note_written(record.timestamp_ms);
        let mut scratch = Scratch::default();
        let malformed = match self.decoder.decode(record.value.as_deref().unwrap_or_default(), &mut scratch) {
            Ok(touchpoint) if touchpoint.occurred_at - now.wall > self.options.max_ahead => {
                Malformed { reason: Reason::InFuture, detail: "occurred_at is later than wall time".into() }
            }
            Ok(touchpoint) => {
                let published_before = held.effects.transitions.len();
                held.machine.apply(Input::Touchpoint(&touchpoint), &mut held.effects);
                let bytes = publisher::bytes_of(&held.effects.transitions[published_before..]);
                self.batch.add(0, bytes, now.elapsed);
                return;
            }
            Err(malformed) => malformed,
        };
        let Malformed { reason, detail } = malformed;
        held.machine.apply(Input::Rejected(Rejected { position, reason }), &mut held.effects);
        held.set_aside.push(SetAside { record, detail });
    }

    /// Works off the wake-ups that are due, a bounded number of each partition.
    fn pass_time(&mut self, now: Moment) -> Result<(), Fatal> {
        self.has_wake_ups_left = false;
        self.latest_wall = self.latest_wall.max(now.wall);
        let running = self.held.values().filter(|held| held.is_running()).count();
        if self.recovery.is_pending() || running == 0 {
            return Ok(());
        }
        self.catch_up(now)?;
        let wake_ups_max = (WAKE_UPS_MAX / running).max(1);
        let lateness = self.options.facts.lateness;
        let wall_until = match self.options.clock_source {
            ClockSource::Wall => self.latest_wall - lateness,
            ClockSource::Touchpoints => Timestamp::MAX,
        };
        for held in self.held.values_mut().filter(|held| held.is_running()) {
            let Some(until) = held.caught_up.clock(held.event_clock(self.options.clock_source, lateness)) else {
                continue;
            };
            // A touchpoint may lie a little in the future; what is due for others then is not due yet.
            let until = until.min(wall_until);
            let mut left = wake_ups_max;
            while left > 0 && held.machine.next_wake_up().is_some_and(|due| due <= until) {
                if self.batch.is_full() {
                    self.has_wake_ups_left = true;
                    return Ok(());
                }
                let wake_ups_max = left.min(WAKE_UPS_AT_ONCE);
                let (before, published_before) = (held.effects.tally.wake_ups, held.effects.transitions.len());
                let is_left_over = held.machine.apply(Input::TimePassed { until, wake_ups_max }, &mut held.effects);
                let worked_off = usize::try_from(held.effects.tally.wake_ups - before).unwrap_or(usize::MAX);
                if worked_off > 0 {
                    let bytes = publisher::bytes_of(&held.effects.transitions[published_before..]);
                    self.batch.add(worked_off, bytes, now.elapsed);
                }
                left -= wake_ups_max;
                self.has_wake_ups_left |= is_left_over && left == 0;
                if !is_left_over {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Finds out whether everything written has been read, where a wake-up waits for that.
    fn catch_up(&mut self, now: Moment) -> Result<(), Fatal> {
        if self.options.clock_source == ClockSource::Touchpoints {
            return Ok(());
        }
        let lateness = self.options.facts.lateness;
        let mut questions = 0;
        for (&partition, held) in self.held.iter_mut().filter(|(_, held)| held.is_running() && !held.must_rewind) {
            let event_clock = held.event_clock(self.options.clock_source, lateness);
            let next_wake_up = held.machine.next_wake_up();
            if questions < QUESTIONS_MAX
                && now.elapsed >= self.ask_at
                && held.caught_up.wants_to_ask(now, next_wake_up, event_clock, lateness)
            {
                questions += 1;
                match attempted(self.member.input_range(partition))? {
                    Some((_, end)) => held.caught_up.ask(end, now),
                    None => self.ask_at = now.elapsed + UNREACHABLE_WAIT,
                }
            }
            if held.caught_up.question().is_some_and(|question| self.member.has_read_to(partition, question.end)) {
                held.caught_up.prove(lateness);
            }
        }
        Ok(())
    }

    /// Asks where the partitions end while there is no room to read on: only a client that reads is told, and what waits unread
    /// is to be seen all the same.
    fn watch_ends(&mut self, now: Moment) -> Result<(), Fatal> {
        if !self.is_over_limit || self.recovery.is_pending() || now.elapsed < self.ask_at {
            return Ok(());
        }
        let is_due = |held: &Held| held.end_asked.is_none_or(|(_, at)| now.elapsed >= at + END_INTERVAL);
        let due = self.held.iter_mut().filter(|(_, held)| held.is_running() && is_due(held));
        for (&partition, held) in due.take(QUESTIONS_MAX) {
            let Some((_, end)) = attempted(self.member.input_range(partition))? else {
                self.ask_at = now.elapsed + UNREACHABLE_WAIT;
                return Ok(());
            };
            held.end_asked = Some((end, now.elapsed));
        }
        Ok(())
    }

    fn commit_is_due(&self, now: Moment) -> bool {
        let is_time = |since| now.elapsed.saturating_sub(since) >= self.options.commit_interval;
        !self.recovery.is_pending() && (self.batch.is_full() || self.batch.since.is_some_and(is_time))
    }

    /// Tells the client which partitions to read, and from where.
    fn direct_reading(&mut self) -> Result<(), Fatal> {
        let may_read = !self.recovery.is_pending() && !self.is_over_limit;
        let pick = |held: &BTreeMap<PartitionId, Held>, wanted: fn(&Held, bool) -> bool| -> Vec<PartitionId> {
            held.iter().filter(|(_, held)| wanted(held, may_read)).map(|(&partition, _)| partition).collect()
        };
        let to_pause =
            pick(&self.held, |held, may_read| held.intake != Intake::Paused && !(may_read && held.is_running()));
        if !to_pause.is_empty() {
            let is_done = attempted(self.member.pause(&to_pause))?.is_some();
            self.mark_all(&to_pause, |held| held.intake = if is_done { Intake::Paused } else { Intake::Unknown });
        }
        let to_rewind = pick(&self.held, |held, may_read| held.must_rewind && may_read && held.is_running());
        if !to_rewind.is_empty() {
            let positions: Vec<_> = to_rewind.iter().map(|partition| self.position_of(*partition)).collect();
            if attempted(self.member.rewind(&positions))?.is_none() {
                return Ok(());
            }
            self.mark_all(&to_rewind, |held| held.must_rewind = false);
        }
        let to_resume = pick(&self.held, |held, may_read| held.intake != Intake::On && may_read && held.is_running());
        if !to_resume.is_empty() {
            let is_done = attempted(self.member.resume(&to_resume))?.is_some();
            self.mark_all(&to_resume, |held| held.intake = if is_done { Intake::On } else { Intake::Unknown });
        }
        Ok(())
    }

    fn position_of(&self, partition: PartitionId) -> crate::kafka::PartitionOffset {
        crate::kafka::PartitionOffset { partition, offset: self.held[&partition].position }
    }

    fn mark_all(&mut self, partitions: &[PartitionId], mark: impl Fn(&mut Held)) {
        for partition in partitions {
            if let Some(held) = self.held.get_mut(partition) {
                mark(held);
            }
        }
    }

    fn answer_queries(&mut self) {
        for query in query::at_hand(&self.queries) {
            (query.answer)(self.customer(&query.customer_id));
        }
    }

    fn customer(&self, customer_id: &str) -> CustomerAnswer {
        let running = || self.held.iter().filter(|(_, held)| held.is_running());
        let found = running().find_map(|(&partition, held)| {
            let customer = Box::new(held.machine.snapshot(customer_id)?);
            Some(CustomerAnswer::Found { partition, customer })
        });
        let is_complete = running().count() == self.held.len();
        found.unwrap_or(if is_complete { CustomerAnswer::Unknown } else { CustomerAnswer::Restoring })
    }
}

/// Passes on what nothing can be done about. `None` means that the call has not worked and is made again in a later step.
pub(super) fn attempted<T>(result: Result<T, Error>) -> Result<Option<T>, Fatal> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.reaction == Reaction::Fatal => Err(Fatal::Client(error)),
        Err(error) => {
            tracing::warn!(call = error.call, code = error.code, "a call has not worked and is made again");
            Ok(None)
        }
    }
}
