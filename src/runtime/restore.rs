//! Rebuilds gained partitions from their changelogs, in bounded slices beside live work.
//!
//! A restore ends by position, not by the offset of a record: aborted batches and control records leave holes. It starts
//! only after the checks that make sure that what will be read is the whole truth.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kafka::{CommittedOffset, Error, Member, PartitionId, PartitionOffset, Reaction, Record};
use crate::partition::Clock;
use crate::wire::changelog::ChangelogDecoder;

use super::commit::{Outcome, transact};
use super::fatal::Fatal;
use super::held::{Held, Note, Phase, Share};
use super::mismatch::{Found, Logs, Mismatch, compare};
use super::progress::{Course, RestoreProgress};
use super::sweep::Extent;
use super::wall_clock::Moment;
use super::worker::{Worker, attempted};

/// How many changelog records are restored between two polls; each holds some thousand customers.
const RECORDS_MAX: usize = 16;
/// How long to wait for changelog records, in vain at worst, before live work goes on.
const READ_WAIT: Duration = Duration::from_millis(10);
/// How many partitions are taken up between two polls; each costs two questions to the broker.
const TAKE_UP_MAX: usize = 16;
/// The wait before asking again for committed offsets that a previous owner's transaction keeps open; doubled twice at most.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How often a committed offset past the end of the input is looked at again before it is believed; half a minute.
const ATTEMPTS_PAST_END: u32 = 40;
/// After how long without any record the end of the changelog is asked for again.
const STALL: Duration = Duration::from_mins(1);
/// How often the log tells how far restores have come.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// The restores under way.
#[derive(Debug, Default)]
pub(super) struct Restorer {
    decoder: ChangelogDecoder,
    open: BTreeMap<PartitionId, Restore>,
    tell_at: Duration,
}

/// A restore under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Restore {
    course: Course,
    /// The event time reached at the last commit.
    clock: Clock,
    /// When the broker was last asked why nothing comes.
    asked_at: Duration,
}

impl Restorer {
    /// Whether nothing is being restored.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// How far the restore of `partition` has come; `None` when none is under way.
    pub(super) fn progress(&self, partition: PartitionId) -> Option<RestoreProgress> {
        self.open.get(&partition).map(|restore| restore.course.progress())
    }

    /// Tells the log how far the restores have come, now and then.
    fn tell(&mut self, elapsed: Duration) {
        if self.open.is_empty() || elapsed < self.tell_at {
            return;
        }
        self.tell_at = elapsed + TELL_INTERVAL;
        for (&partition, restore) in &self.open {
            let progress = restore.course.progress();
            let Some(eta) = progress.eta else { continue };
            tracing::info!(
                partition,
                remaining_records = progress.remaining_records,
                remaining_bytes = progress.remaining_bytes,
                customers_per_second = progress.customers_per_second,
                eta_seconds = eta.as_secs(),
                "partition is being restored"
            );
        }
    }
}

/// What the metadata and the two logs say about a partition.
enum Examined {
    /// Nothing was ever committed.
    New { input_start: i64, changelog_end: i64 },
    /// It is to be restored.
    Known { offset: i64, extent: Extent, clock: Clock },
}

impl<M: Member> Worker<M> {
    /// Finds out where gained partitions stand, checks them, and begins to restore them.
    pub(super) fn take_up(&mut self, now: Moment) -> Result<(), Fatal> {
        // A producer in doubt keeps its own last transaction open.
        if self.recovery.is_pending() {
            return Ok(());
        }
        let is_due = |held: &Held| matches!(held.phase, Phase::Gained { ask_at, .. } if now.elapsed >= ask_at);
        let due: Vec<_> = self.held.iter().filter(|(_, held)| is_due(held)).map(|(&partition, _)| partition).collect();
        let due = &due[..due.len().min(TAKE_UP_MAX)];
        if due.is_empty() {
            return Ok(());
        }
        let Some(committed) = attempted(self.member.committed(due))? else {
            self.ask_again(due, now);
            return Ok(());
        };
        let mut new = Vec::new();
        for committed in committed {
            let partition = committed.partition;
            let found = match self.examine(&committed, now) {
                Err(fatal) if !self.is_still_committed(&committed, &fatal)? => None,
                examined => examined?,
            };
            match found {
                None => self.ask_again(&[partition], now),
                Some(Examined::New { input_start, changelog_end }) => {
                    new.push((PartitionOffset { partition, offset: input_start }, changelog_end));
                }
                Some(Examined::Known { offset, extent, clock }) => {
                    let Some(held) = self.held.get_mut(&partition) else { continue };
                    held.position = offset;
                    held.committed = committed;
                    held.extent = extent;
                    self.open(partition, clock, now)?;
                }
            }
        }
        if new.is_empty() { Ok(()) } else { self.mark_new(&new, now) }
    }

    /// Reads changelogs, a bounded slice.
    pub(super) fn restore(&mut self, now: Moment) -> Result<(), Fatal> {
        if self.restorer.is_idle() {
            return Ok(());
        }
        let records = match self.member.read_changelog(RECORDS_MAX, READ_WAIT) {
            Err(error) if error.reaction == Reaction::Abort => return self.begin_anew(&error, now),
            read => attempted(read)?.unwrap_or_default(),
        };
        for record in &records {
            self.restore_record(record, now)?;
        }
        let open: Vec<_> =
            self.restorer.open.iter().map(|(&partition, restore)| (partition, restore.course.end())).collect();
        for (partition, end) in open {
            if self.member.has_read_changelog_to(partition, end) {
                self.finish(partition, now)?;
            } else {
                self.watch_stall(partition, now)?;
            }
        }
        self.restorer.tell(now.elapsed);
        Ok(())
    }

    /// Leaves off restoring `partition`.
    pub(super) fn stop_restoring(&mut self, partition: PartitionId) -> Result<(), Fatal> {
        if self.restorer.open.remove(&partition).is_some() {
            attempted(self.member.close_changelog(partition))?;
        }
        Ok(())
    }

    /// The head of a log that is being read is gone: either another member has taken the partition over and swept it, and the
    /// group has yet to tell, or somebody has cut it. Which it was shows when the partitions are taken up anew.
    fn begin_anew(&mut self, error: &Error, now: Moment) -> Result<(), Fatal> {
        tracing::warn!(
            code = error.code,
            "a changelog that was being restored has been cut, and the restore begins anew"
        );
        let open: Vec<_> = self.restorer.open.keys().copied().collect();
        for partition in open {
            self.stop_restoring(partition)?;
            self.start_anew(partition, now);
        }
        Ok(())
    }

    /// Whether what seemed wrong was wrong when the logs were asked: a worker that was frozen between its questions would call a
    /// person for what another has done meanwhile.
    fn is_still_committed(&mut self, committed: &CommittedOffset, fatal: &Fatal) -> Result<bool, Fatal> {
        if matches!(fatal, Fatal::Client(_)) {
            return Ok(true);
        }
        let now_committed = attempted(self.member.committed(&[committed.partition]))?;
        Ok(now_committed.is_some_and(|now_committed| now_committed.as_slice() == std::slice::from_ref(committed)))
    }

    /// Compares what was committed with what the logs hold. `None` when the broker could not be asked.
    fn examine(&mut self, committed: &CommittedOffset, now: Moment) -> Result<Option<Examined>, Fatal> {
        let partition = committed.partition;
        if let Some(before) = self.options.partitions.filter(|&before| partition >= before) {
            let seen = self.member.input_partitions().and_then(|seen| i32::try_from(seen).ok());
            let now = seen.unwrap_or_default().max(partition + 1);
            let mismatch = Mismatch::PartitionsChanged { before, now };
            return Err(Fatal::Mismatch { partition, mismatch });
        }
        let Some((input_start, input_end)) = attempted(self.member.input_range(partition))? else { return Ok(None) };
        let Some((log_start, log_end)) = attempted(self.member.changelog_range(partition))? else { return Ok(None) };
        let logs = Logs { input: (input_start, input_end), changelog: (log_start, log_end) };
        let (offset, metadata) = match compare(committed, logs, self.options.partitions) {
            // A broker that has just become leader may not know the end yet.
            Err(Mismatch::InputShrunk { .. }) if self.attempts(partition) < ATTEMPTS_PAST_END => return Ok(None),
            Err(mismatch) => return Err(Fatal::Mismatch { partition, mismatch }),
            Ok(Found::New) => return Ok(Some(Examined::New { input_start, changelog_end: log_end })),
            Ok(Found::Known { offset, metadata }) => (offset, metadata),
        };
        let Some(metadata) = metadata else {
            tracing::warn!(partition, offset, "the committed offset was set by hand; the whole changelog is restored");
            let extent = Extent::new(log_start, log_start, log_end, now.elapsed);
            return Ok(Some(Examined::Known { offset, extent, clock: Clock::default() }));
        };
        if metadata.models != self.models.hash {
            tracing::info!(partition, "models have changed since the last commit");
        }
        let extent = Extent::new(log_start, metadata.changelog_start, metadata.changelog_end, now.elapsed);
        Ok(Some(Examined::Known { offset, extent, clock: metadata.clock }))
    }

    /// Begins to read the changelog of a partition whose extent is known.
    fn open(&mut self, partition: PartitionId, clock: Clock, now: Moment) -> Result<(), Fatal> {
        let Some(held) = self.held.get_mut(&partition) else { return Ok(()) };
        let (start, end) = (held.extent.start(), held.extent.end());
        held.phase = Phase::Restoring { since: now.elapsed };
        if start >= end {
            self.run_from_here(partition, clock, now);
            return Ok(());
        }
        if attempted(self.member.open_changelog(partition, start))?.is_none() {
            self.ask_again(&[partition], now);
            return Ok(());
        }
        if self.restorer.is_idle() {
            // Short restores are told of when they are through.
            self.restorer.tell_at = now.elapsed + TELL_INTERVAL;
        }
        let course = Course::new(start, end, now.elapsed);
        self.restorer.open.insert(partition, Restore { course, clock, asked_at: now.elapsed });
        Ok(())
    }

    fn restore_record(&mut self, record: &Record, now: Moment) -> Result<(), Fatal> {
        let partition = record.partition;
        let Some(restore) = self.restorer.open.get_mut(&partition) else { return Ok(()) };
        let Some(held) = self.held.get_mut(&partition) else { return Ok(()) };
        if record.offset >= restore.course.end() {
            return Ok(());
        }
        let unreadable = |problem| Fatal::ChangelogUnreadable { partition, offset: record.offset, problem };
        let value = record.value.as_deref().unwrap_or_default();
        let batch = self.restorer.decoder.decode(value).map_err(|error| unreadable(error.to_string()))?;
        let restored = held.machine.restore(&batch.layout, &batch.customers).map_err(unreadable)?;
        self.report.restored += restored.customers as u64;
        held.extent.read(value.len());
        restore.course.read(record.offset, value.len(), batch.customers.len(), now.elapsed);
        Ok(())
    }

    fn finish(&mut self, partition: PartitionId, now: Moment) -> Result<(), Fatal> {
        let Some(restore) = self.restorer.open.remove(&partition) else { return Ok(()) };
        attempted(self.member.close_changelog(partition))?;
        self.run_from_here(partition, restore.clock, now);
        Ok(())
    }

    /// The customers are there: touchpoints may come.
    fn run_from_here(&mut self, partition: PartitionId, clock: Clock, now: Moment) {
        let Some(held) = self.held.get_mut(&partition) else { return };
        held.machine.end_restore(clock);
        if let Phase::Restoring { since, .. } = held.phase {
            let done = self.stopwatch.now(now).elapsed;
            let took = done.saturating_sub(since);
            self.report.measured.restore_duration.observe(took.as_secs_f64());
            if let Some(gained_at) = held.gained_at.take() {
                self.report.measured.rebalance_duration.observe(done.saturating_sub(gained_at).as_secs_f64());
            }
            let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let customers = held.machine.len();
            tracing::info!(partition, customers, milliseconds, position = held.position, "partition restored");
        }
        held.phase = Phase::Running;
        if held.has_something_to_commit() {
            self.batch.add(0, 0, now.elapsed);
        }
    }

    /// Commits a first position for partitions of which nothing is committed, before anything is written to their changelogs. So a
    /// changelog that holds something and a group that knows nothing can only mean that the offsets are gone.
    fn mark_new(&mut self, new: &[(PartitionOffset, i64)], now: Moment) -> Result<(), Fatal> {
        let note = Note { models: self.models.hash, partitions: self.options.partitions, by: self.member.name() };
        let shares: Vec<_> =
            new.iter().map(|&(position, changelog_end)| Share::first(position, changelog_end, &note)).collect();
        let marks = shares.iter().map(|share| (share.position, share.metadata.clone())).collect();
        match transact(&mut self.member, Vec::new(), |_| marks)? {
            Outcome::Committed => {
                self.recovery.succeed();
                for share in shares {
                    let partition = share.position.partition;
                    let Some(held) = self.held.get_mut(&partition) else { continue };
                    held.position = share.position.offset;
                    held.extent =
                        Extent::new(share.changelog_start, share.changelog_start, share.changelog_end, now.elapsed);
                    held.committed =
                        CommittedOffset { partition, offset: Some(share.position.offset), metadata: share.metadata };
                    self.open(partition, Clock::default(), now)?;
                }
                Ok(())
            }
            Outcome::Aborted(error) => {
                self.report.aborts += 1;
                self.abort_running();
                self.recovery.fail(error, None, now.elapsed)
            }
            Outcome::Unknown(error) => {
                self.report.renewals += 1;
                self.rewind_running();
                // The partitions are still to be taken up, so what was committed of them is asked for in any case.
                self.recovery.fail(error, Some(Vec::new()), now.elapsed)
            }
        }
    }

    fn ask_again(&mut self, partitions: &[PartitionId], now: Moment) {
        for partition in partitions {
            let attempts = self.attempts(*partition);
            let Some(held) = self.held.get_mut(partition) else { continue };
            let ask_at = now.elapsed + ASK_AGAIN * (1 << attempts.min(2));
            held.phase = Phase::Gained { ask_at, attempts: attempts + 1 };
        }
    }

    fn attempts(&self, partition: PartitionId) -> u32 {
        match self.held.get(&partition).map(|held| held.phase) {
            Some(Phase::Gained { attempts, .. }) => attempts,
            Some(Phase::Restoring { .. } | Phase::Running) | None => 0,
        }
    }

    /// Tells a slow changelog from one that has lost its end.
    fn watch_stall(&mut self, partition: PartitionId, now: Moment) -> Result<(), Fatal> {
        let Some(restore) = self.restorer.open.get_mut(&partition) else { return Ok(()) };
        if now.elapsed.saturating_sub(restore.course.read_at().max(restore.asked_at)) < STALL {
            return Ok(());
        }
        restore.asked_at = now.elapsed;
        let expected = restore.course.end();
        tracing::warn!(partition, "no changelog record has come for a while");
        match attempted(self.member.changelog_range(partition))? {
            Some((_, end)) if end < expected => {
                Err(Fatal::Mismatch { partition, mismatch: Mismatch::ChangelogShrunk { expected, end } })
            }
            Some(_) | None => Ok(()),
        }
    }
}
