//! The loop of an ingest worker: poll, translate, commit.
//!
//! It follows the worker of `runtime`: a failed batch is dropped and read again from the committed offsets, and an
//! unknown outcome is resolved by resetting the producer and fetching the committed offsets. Records of a partition are
//! translated in order, so touchpoints of one customer from one partition keep their order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::kafka::{Error, Event, Member, PartitionId, PartitionOffset, Record, RecordBatch};
use crate::runtime::{
    Fatal, FetchControl, LogInterval, Moment, OpenBatch, Outcome, Recovery, Translation, Translator, transact,
    unless_fatal,
};
use crate::telemetry::ingest::{IngestPartition, IngestReport, IngestSnapshot};
use crate::wire::touchpoint_json::DeadLetterCause;

use super::options::Options;
use super::partition::SourcePartition;
use super::record_builder::{dead_letter, write_touchpoint};

/// Maximum number of records per poll.
const POLL_RECORDS_MAX: usize = 1000;
/// Maximum duration of a poll.
const POLL_WAIT_MAX: Duration = Duration::from_millis(100);
/// Maximum time to wait for the group coordinator when leaving the group.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A member of the consumer group of the sources, and the partitions assigned to it.
#[derive(Debug)]
pub struct IngestWorker<M> {
    member: M,
    options: Options,
    translator: Translator,
    partitions: BTreeMap<PartitionId, SourcePartition>,
    /// Size and age of the open batch.
    batch: OpenBatch,
    /// The records of the open batch, in buffers that are kept.
    output: RecordBatch,
    /// Counters of the open batch.
    pending: IngestReport,
    recovery: Recovery<(PartitionOffset, String)>,
    report: IngestReport,
    dead_letter_log: LogInterval,
    waiting_log: LogInterval,
}

impl<M: Member> IngestWorker<M> {
    /// Creates a worker without partitions.
    #[must_use]
    pub fn new(member: M, translator: Translator, options: Options) -> Self {
        Self {
            member,
            translator,
            partitions: BTreeMap::new(),
            batch: OpenBatch::new(options.commit_interval),
            output: RecordBatch::default(),
            pending: IngestReport::default(),
            recovery: Recovery::default(),
            report: IngestReport::default(),
            dead_letter_log: LogInterval::default(),
            waiting_log: LogInterval::default(),
            options,
        }
    }

    /// Runs one bounded step of the loop. `clock` returns the current time.
    ///
    /// # Errors
    /// Errors that need an operator.
    pub fn step(&mut self, clock: impl Fn() -> Moment) -> Result<(), Fatal> {
        let is_recovering = self.recovery.is_pending();
        let until_commit = self.batch.time_left(clock().elapsed).filter(|_| !is_recovering);
        let timeout = until_commit.map_or(POLL_WAIT_MAX, |left| left.min(POLL_WAIT_MAX));
        let events = self.member.poll(POLL_RECORDS_MAX, timeout).map_err(Fatal::Client)?;
        let now = clock();
        for event in events {
            self.react(event, now)?;
        }
        self.recover(now)?;
        if !self.recovery.is_pending() {
            self.fetch_offsets(now)?;
            self.advance_positions(now);
            if self.batch.is_due(now.elapsed) {
                self.commit(now)?;
            }
        }
        self.apply_fetch_state(now)
    }

    /// Commits the open batch and leaves the group.
    ///
    /// # Errors
    /// Errors that need an operator.
    pub fn stop(mut self, now: Moment) -> Result<IngestReport, Fatal> {
        if !self.recovery.is_pending() {
            self.commit(now)?;
        }
        self.member.leave(LEAVE_TIMEOUT);
        tracing::info!(source = %self.options.source, topic = %self.options.topic, "ingest worker left the group");
        Ok(self.report)
    }

    /// Drops the open batch and leaves the group, because the topic no longer exists. Returns the last status.
    pub fn abandon(mut self) -> IngestSnapshot {
        self.partitions.clear();
        let last = self.snapshot();
        self.member.leave(LEAVE_TIMEOUT);
        last
    }

    /// Returns the status and the totals of the worker.
    #[must_use]
    pub fn snapshot(&mut self) -> IngestSnapshot {
        let Self { member, partitions, .. } = self;
        let status = partitions.iter().map(|(&partition, it)| {
            let end = member.cached_ends(partition).map(|ends| ends.high_watermark);
            let lag_records = end.zip(it.position()).map(|(end, position)| {
                let is_read = member.has_read_to(partition, end) && !it.is_waiting();
                if is_read { 0 } else { u64::try_from(end - position.offset).unwrap_or_default() }
            });
            IngestPartition { partition, is_running: it.is_running(), is_waiting: it.is_waiting(), lag_records }
        });
        IngestSnapshot {
            source: self.options.source.clone(),
            topic: self.options.topic.clone(),
            partitions: status.collect(),
            report: self.report.clone(),
        }
    }

    fn react(&mut self, event: Event, now: Moment) -> Result<(), Fatal> {
        let (source, topic) = (Arc::clone(&self.options.source), Arc::clone(&self.options.topic));
        let (source, topic) = (&*source, &*topic);
        match event {
            Event::Records(records) => {
                // During a recovery, the records are ignored: the partitions seek and read them again.
                if !self.recovery.is_pending() {
                    for record in &records {
                        self.translate(record, now);
                    }
                }
            }
            Event::ReachedEnd(_) => {}
            Event::Assigned(partitions) => {
                let positions: Vec<_> =
                    partitions.iter().map(|&partition| PartitionOffset { partition, offset: 0 }).collect();
                self.member.assign(&positions).map_err(Fatal::Client)?;
                for partition in partitions {
                    self.partitions.insert(partition, SourcePartition::new(partition, now.elapsed));
                }
                tracing::info!(source, topic, partitions = ?self.assigned(), "source partitions assigned");
            }
            Event::Revoked(partitions) => {
                // The transaction must end before the release, as in `runtime`.
                if !self.recovery.is_pending() {
                    self.commit(now)?;
                }
                self.release(&partitions)?;
                tracing::info!(source, topic, partitions = ?self.assigned(), "source partitions revoked");
            }
            Event::Lost(partitions) => {
                self.drop_batch();
                self.release(&partitions)?;
                tracing::info!(
                    source,
                    topic,
                    partitions = ?self.assigned(),
                    "source partitions lost, dropped the open batch"
                );
            }
        }
        Ok(())
    }

    fn assigned(&self) -> Vec<PartitionId> {
        self.partitions.keys().copied().collect()
    }

    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), Fatal> {
        for partition in partitions {
            self.partitions.remove(partition);
        }
        self.member.unassign(partitions).map_err(Fatal::Client)
    }

    /// Translates a record and adds the result to the open batch.
    fn translate(&mut self, record: &Record, now: Moment) {
        let Some(partition) = self.partitions.get_mut(&record.partition).filter(|it| it.expects(record.offset)) else {
            return;
        };
        let translation = self.translator.translate(record);
        if let Translation::Unavailable(problem) = translation {
            partition.wait(now.elapsed);
            if let Some(attempts) = self.waiting_log.count(now.elapsed) {
                let source = &self.options.source;
                tracing::warn!(%source, partition = record.partition, problem, attempts, "schema registry is unavailable, source partition paused");
            }
            return;
        }
        partition.advance(record.offset + 1);
        let bytes = self.add(record, translation, now);
        self.pending.consumed += 1;
        self.batch.add(1, bytes, now.elapsed);
    }

    /// Adds the translation of `record` to the open batch. Returns the size of the records that are written.
    fn add(&mut self, record: &Record, translation: Translation, now: Moment) -> usize {
        match translation {
            Translation::Touchpoints(touchpoints) => {
                self.pending.touchpoints += touchpoints.len() as u64;
                let written = touchpoints
                    .iter()
                    .map(|touchpoint| write_touchpoint(record, touchpoint, &self.options, now.wall, &mut self.output));
                written.sum()
            }
            Translation::Dropped(rule) => {
                *self.pending.dropped.entry(rule).or_default() += 1;
                0
            }
            Translation::DeadLetter(cause) => self.add_dead_letter(record.clone(), &cause, now),
            Translation::ItemDeadLetter(cause, item) => {
                self.add_dead_letter(Record { value: Some(item), ..record.clone() }, &cause, now)
            }
            Translation::Batch(parts) => parts.into_iter().map(|part| self.add(record, part, now)).sum(),
            Translation::Unavailable(_) => unreachable!("the record is translated again later"),
        }
    }

    fn add_dead_letter(&mut self, record: Record, cause: &DeadLetterCause, now: Moment) -> usize {
        *self.pending.dead_letters.entry(cause.reason).or_default() += 1;
        if let Some(records) = self.dead_letter_log.count(now.elapsed) {
            let (source, reason) = (&self.options.source, cause.reason.as_str());
            let (partition, offset) = (record.partition, record.offset);
            tracing::warn!(%source, partition, offset, reason, records, "record of a source is a dead letter");
        }
        let letter = dead_letter(record, cause, &self.options, now.wall);
        self.output.push(&letter);
        letter.bytes()
    }

    /// Fetches the committed offsets of newly assigned partitions. A partition without one starts at its first record.
    fn fetch_offsets(&mut self, now: Moment) -> Result<(), Fatal> {
        let due: Vec<_> =
            self.partitions.iter().filter(|(_, it)| it.must_fetch_offset(now.elapsed)).map(|(&id, _)| id).collect();
        if due.is_empty() {
            return Ok(());
        }
        let committed = unless_fatal(self.member.committed(&due))?;
        for id in due {
            let found = committed.as_ref().and_then(|all| all.iter().find(|it| it.partition == id));
            let start = match found.map(|it| it.offset) {
                Some(Some(offset)) => Some(offset),
                Some(None) => unless_fatal(self.member.input_range(id))?.map(|(start, _)| start),
                None => None,
            };
            let Some(partition) = self.partitions.get_mut(&id) else { continue };
            match start {
                Some(offset) => partition.continue_at(offset),
                None => partition.retry_fetch_later(now.elapsed),
            }
        }
        Ok(())
    }

    /// Moves the positions past control records and aborted records, so that the group shows no lag for them.
    fn advance_positions(&mut self, now: Moment) {
        for (&id, partition) in self.partitions.iter_mut().filter(|(_, it)| it.is_running() && !it.fetch().needs_seek())
        {
            if self.member.read_position(id).is_some_and(|read_to| partition.advance(read_to)) {
                self.batch.add(0, 0, now.elapsed);
            }
        }
    }

    /// Commits the open batch, if it has changes.
    fn commit(&mut self, now: Moment) -> Result<(), Fatal> {
        let metadata = format!("lifecycle-ingest=1 by={}", self.member.name());
        let offsets: Vec<_> =
            self.partitions.values().filter_map(|it| Some((it.uncommitted()?, metadata.clone()))).collect();
        self.batch.clear();
        if offsets.is_empty() {
            return Ok(());
        }
        let outcome = transact(&mut self.member, &self.output, |_| Ok(offsets.clone()))?;
        self.output.clear();
        match outcome {
            Outcome::Committed => {
                for (position, _) in offsets {
                    if let Some(partition) = self.partitions.get_mut(&position.partition) {
                        partition.on_committed(position.offset);
                    }
                }
                self.count_batch();
                Ok(())
            }
            Outcome::Aborted(error) => {
                tracing::warn!(call = error.call, code = %error.code, "ingest transaction aborted, will retry");
                self.report.aborts += 1;
                self.drop_batch();
                self.recovery.record_failure(error, None, now.elapsed)
            }
            Outcome::Unknown(error) => self.resolve_later(error, offsets, now),
        }
    }

    fn resolve_later(
        &mut self,
        error: Error,
        offsets: Vec<(PartitionOffset, String)>,
        now: Moment,
    ) -> Result<(), Fatal> {
        tracing::warn!(
            call = error.call,
            code = %error.code,
            "ingest transaction outcome unknown, checking committed offsets"
        );
        self.report.producer_resets += 1;
        self.recovery.record_failure(error, Some(offsets), now.elapsed)
    }

    fn count_batch(&mut self) {
        self.report.add_records(&std::mem::take(&mut self.pending));
        self.report.commits += 1;
        self.recovery.record_success();
    }

    /// Drops the open batch: its records are read again.
    fn drop_batch(&mut self) {
        self.batch.clear();
        self.output.clear();
        self.pending = IngestReport::default();
        self.partitions.values_mut().for_each(SourcePartition::rewind);
    }

    /// Continues the recovery from a failed transaction once the back-off is over.
    fn recover(&mut self, now: Moment) -> Result<(), Fatal> {
        if !self.recovery.is_due(now.elapsed) {
            return Ok(());
        }
        let Some(unresolved) = self.recovery.unresolved().cloned() else {
            // Records that arrived during the recovery were ignored.
            self.drop_batch();
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
        let running: Vec<_> = self.partitions.iter().filter(|(_, it)| it.is_running()).map(|(&id, _)| id).collect();
        let committed =
            if running.is_empty() { Some(Vec::new()) } else { unless_fatal(self.member.committed(&running))? };
        let Some(committed) = committed else {
            self.recovery.postpone(now.elapsed);
            return Ok(());
        };
        let was_committed = committed.iter().any(|it| {
            unresolved.partition_commits.iter().any(|(position, metadata)| {
                (position.partition, Some(position.offset)) == (it.partition, it.offset) && *metadata == it.metadata
            })
        });
        tracing::info!(was_committed, "ingest transaction outcome resolved");
        if was_committed {
            self.count_batch();
            self.recovery.finish();
        } else {
            self.report.aborts += 1;
            self.recovery.resolved_as_aborted(now.elapsed);
        }
        self.drop_batch();
        for it in committed {
            if let (Some(partition), Some(offset)) = (self.partitions.get_mut(&it.partition), it.offset) {
                partition.continue_at(offset);
            }
        }
        Ok(())
    }

    /// Makes the calls that pause, seek and resume the partitions.
    fn apply_fetch_state(&mut self, now: Moment) -> Result<(), Fatal> {
        let to_pause = self.select(FetchControl::must_pause, now);
        if !to_pause.is_empty() {
            let has_succeeded = unless_fatal(self.member.pause(&to_pause))?.is_some();
            self.update(&to_pause, |fetch| fetch.paused(has_succeeded));
        }
        let to_seek = self.select(FetchControl::must_seek, now);
        if !to_seek.is_empty() {
            let positions: Vec<_> = to_seek.iter().filter_map(|id| self.partitions[id].position()).collect();
            if unless_fatal(self.member.seek(&positions))?.is_none() {
                return Ok(());
            }
            self.update(&to_seek, FetchControl::sought);
        }
        let to_resume = self.select(FetchControl::must_resume, now);
        if !to_resume.is_empty() {
            let has_succeeded = unless_fatal(self.member.resume(&to_resume))?.is_some();
            self.update(&to_resume, |fetch| fetch.resumed(has_succeeded));
        }
        Ok(())
    }

    fn select(&self, action: fn(FetchControl, bool) -> bool, now: Moment) -> Vec<PartitionId> {
        let may_fetch = !self.recovery.is_pending();
        let needs_action = |it: &SourcePartition| action(it.fetch(), may_fetch && it.may_fetch(now.elapsed));
        self.partitions.iter().filter(|(_, it)| needs_action(it)).map(|(&id, _)| id).collect()
    }

    fn update(&mut self, ids: &[PartitionId], update: impl Fn(&mut FetchControl)) {
        for id in ids {
            if let Some(partition) = self.partitions.get_mut(id) {
                update(partition.fetch_mut());
            }
        }
    }
}
