//! One partition as its worker holds it: the machine, what is pending of it, and how far it is read and committed.

use std::sync::Arc;
use std::time::Duration;

use crate::kafka::{CommittedOffset, PartitionId, PartitionOffset, Record};
use crate::lifecycle::id::StableId;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::{self, Timestamp};
use crate::lifecycle::touchpoint::FactOptions;
use crate::partition::{Clock, Effects, Partition, Tally};
use crate::wire::offset_metadata::OffsetMetadata;

use super::caught_up::CaughtUp;
use super::options::ClockSource;
use super::publisher::Written;
use super::sweep::Extent;
use super::uncounted::Uncounted;

/// How far a partition has come on its way to being worked on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The group has given it; what was committed is not known yet, and is asked for at this instant.
    Gained {
        /// When to ask.
        ask_at: Duration,
        /// How often it was asked for in vain.
        attempts: u32,
    },
    /// The changelog is being read.
    Restoring {
        /// When the restore began.
        since: Duration,
    },
    /// Touchpoints are applied.
    Running,
}

/// Whether the client returns records of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Intake {
    /// It does not.
    Paused,
    /// It does.
    On,
    /// A call that was to change it has failed, and may have done so all the same.
    Unknown,
}

/// One partition as its worker holds it.
#[derive(Debug)]
pub(super) struct Held {
    /// How far it has come.
    pub(super) phase: Phase,
    /// The customers.
    pub(super) machine: Partition,
    /// The next input record to apply.
    pub(super) position: i64,
    /// What the group knows.
    pub(super) committed: CommittedOffset,
    /// What the pending inputs lead to.
    pub(super) effects: Effects,
    /// The wall time that the pending transitions bear, once they are written.
    pub(super) published_at: Timestamp,
    /// The records of `effects.dead_letters`, in the same order.
    pub(super) set_aside: Vec<SetAside>,
    /// What is counted with `effects`.
    pub(super) uncounted: Uncounted,
    /// When the group gave it, until it is worked on.
    pub(super) gained_at: Option<Duration>,
    /// Up to when wake-ups may fire.
    pub(super) caught_up: CaughtUp,
    /// When the records that were read were written, by their own timestamps: the latest.
    pub(super) newest_written_at: Option<Timestamp>,
    /// The changelog.
    pub(super) extent: Extent,
    /// Whether the client returns records of this partition.
    pub(super) intake: Intake,
    /// Where the partition ended, and when that was asked: while the client does not read, it hears of no end.
    pub(super) end_asked: Option<(i64, Duration)>,
    /// Whether the client has to be sent back to `position`; until then its records are none of ours.
    pub(super) must_rewind: bool,
}

/// A record to be set aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SetAside {
    /// As it was read.
    pub(super) record: Record,
    /// Which field is at fault; never its content.
    pub(super) detail: std::borrow::Cow<'static, str>,
}

/// What a transaction commits of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Share {
    /// The input position.
    pub(super) position: PartitionOffset,
    /// The text beside it. Never the same for two transactions at the same position that change anything: it names the end
    /// of the changelog.
    pub(super) metadata: String,
    /// From where a restore starts.
    pub(super) changelog_start: i64,
    /// Up to where a restore goes.
    pub(super) changelog_end: i64,
    /// How many bytes were written there.
    pub(super) changelog_bytes: u64,
}

/// What a worker notes beside every offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note<'a> {
    /// The hash of its models.
    pub(super) models: StableId,
    /// How many partitions the topic of touchpoints has.
    pub(super) partitions: Option<i32>,
    /// The member's name.
    pub(super) by: &'a str,
}

impl Note<'_> {
    fn metadata(&self, changelog_start: i64, changelog_end: i64, clock: Clock) -> OffsetMetadata {
        let Self { models, partitions, by } = *self;
        let by = Some(by.to_owned()).filter(|by| !by.is_empty());
        OffsetMetadata { changelog_start, changelog_end, clock, models, partitions, by }
    }
}

impl Held {
    /// A partition that the group has just given.
    pub(super) fn gained(partition: PartitionId, models: Arc<ModelSet>, facts: FactOptions, elapsed: Duration) -> Self {
        Self {
            phase: Phase::Gained { ask_at: elapsed, attempts: 0 },
            machine: Partition::new(models, facts),
            position: 0,
            committed: CommittedOffset { partition, offset: None, metadata: String::new() },
            effects: Effects::default(),
            published_at: Timestamp::MIN,
            set_aside: Vec::new(),
            uncounted: Uncounted::default(),
            gained_at: Some(elapsed),
            caught_up: CaughtUp::default(),
            newest_written_at: None,
            extent: Extent::new(0, 0, 0, elapsed),
            intake: Intake::Paused,
            end_asked: None,
            must_rewind: true,
        }
    }

    /// Whether touchpoints are applied.
    pub(super) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether a commit would change anything for this partition.
    pub(super) fn has_something_to_commit(&self) -> bool {
        self.is_running()
            && (self.committed.offset != Some(self.position)
                || self.effects.tally != Tally::default()
                || self.extent.is_sweeping()
                || self.extent.has_something_to_note())
    }

    /// Notes that a record was read that was written at `timestamp_ms`, if it says so.
    pub(super) fn note_written(&mut self, timestamp_ms: Option<i64>) {
        self.newest_written_at = self.newest_written_at.max(timestamp_ms.map(Timestamp::from_millis));
    }

    /// The event time that touchpoints have reached, less the lateness. Where the wall counts, no further than to when they were
    /// written: what lies in the future says nothing of what lies unread behind it.
    pub(super) fn event_clock(&self, source: ClockSource, lateness: time::Duration) -> Option<Timestamp> {
        let reached = self.machine.clock().less(lateness);
        match source {
            ClockSource::Touchpoints => reached,
            ClockSource::Wall => reached.min(self.newest_written_at.map(|written| written - lateness)),
        }
    }

    /// What was pending has been committed as `share`. Returns what is to be counted.
    pub(super) fn commit(&mut self, share: Share) -> Effects {
        self.machine.commit();
        self.extent.commit(share.changelog_start, share.changelog_end, share.changelog_bytes);
        if self.extent.is_sweeping() && !self.machine.is_sweeping() {
            self.extent.end_sweep();
        }
        self.committed.offset = Some(share.position.offset);
        self.committed.metadata = share.metadata;
        self.set_aside.clear();
        std::mem::take(&mut self.effects)
    }

    /// What was pending has not been committed, and is to be done again.
    pub(super) fn abort(&mut self) {
        self.machine.abort();
        // Else the next commit would take the sweep for ended and have the log deleted unswept.
        assert_eq!(self.extent.is_sweeping(), self.machine.is_sweeping(), "an abort neither begins nor ends a sweep");
        self.effects = Effects::default();
        self.set_aside.clear();
        self.uncounted.clear();
        self.position = self.committed.offset.unwrap_or(self.position);
        self.caught_up.forget();
        self.newest_written_at = None;
        self.must_rewind = true;
    }
}

impl Share {
    /// What is committed of `held`, once the records that were `written` have their `offsets`.
    pub(super) fn of(held: &Held, written: Written, offsets: &[i64], note: &Note<'_>) -> Self {
        let position = PartitionOffset { partition: held.committed.partition, offset: held.position };
        let changelog_end = written.last_changelog_record.map_or(held.extent.end(), |record| offsets[record] + 1);
        let metadata = note.metadata(held.extent.start(), changelog_end, held.machine.clock());
        Self::new(position, &metadata, written.changelog_bytes)
    }

    /// What is committed of a partition before anything is written.
    pub(super) fn first(position: PartitionOffset, changelog_end: i64, note: &Note<'_>) -> Self {
        Self::new(position, &note.metadata(changelog_end, changelog_end, Clock::default()), 0)
    }

    fn new(position: PartitionOffset, metadata: &OffsetMetadata, changelog_bytes: u64) -> Self {
        Self {
            position,
            metadata: metadata.encode(),
            changelog_start: metadata.changelog_start,
            changelog_end: metadata.changelog_end,
            changelog_bytes,
        }
    }
}
