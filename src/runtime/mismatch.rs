//! Compares a partition's committed offset with its logs, and returns where a worker continues or why it must not.
//! Makes no calls.
//!
//! The worker and `lifecycle doctor` use the same function; the worker compares the position in the hand-overs when it
//! opens them. It cannot detect that a partition was removed, nor that a
//! changelog loses its end while it is read; the callers detect these and report them with the same error type.

use crate::finding::{Finding, Severity};
use crate::kafka::CommittedOffset;
use crate::wire::offset_metadata::{OffsetMetadata, moved_to};

/// First offset and end offset of the logs of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRanges {
    /// The touchpoint topic.
    pub input: (i64, i64),
    /// The changelog topic.
    pub changelog: (i64, i64),
    /// The topic of hand-overs, if the caller knows it.
    pub hand_overs: Option<(i64, i64)>,
}

/// The parts of the configuration that committed state must match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Partition count of the touchpoint topic, if known.
    pub partitions: Option<i32>,
    /// Whether identity resolution is on.
    pub has_identity: bool,
}

/// Where a worker continues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StartingPoint {
    /// The first touchpoint: the partition has no committed offset.
    Beginning,
    /// The committed offset.
    Committed {
        /// Offset of the next touchpoint.
        offset: i64,
        /// Metadata committed with the offset; `None` if the offset was set by hand.
        metadata: Option<OffsetMetadata>,
    },
}

/// One of the logs of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartitionLog {
    /// The touchpoint topic.
    Input,
    /// The changelog topic.
    Changelog,
    /// The topic of hand-overs.
    HandOvers,
}

/// A contradiction between the committed offset and the logs, after which processing would lose or repeat records.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Mismatch {
    /// The changelog has records, but the group has no committed offset.
    #[error(
        "it contains records {start} to {end}, but the group has no committed offset: the offset expired or was deleted"
    )]
    OffsetsMissing {
        /// First offset of the changelog.
        start: i64,
        /// End offset of the changelog.
        end: i64,
    },

    /// Touchpoints were deleted before they were read.
    #[error(
        "the committed offset {committed} is below the first offset {start}: touchpoints were deleted before they \
         were read"
    )]
    InputTruncated {
        /// The committed offset.
        committed: i64,
        /// First offset still in the topic.
        start: i64,
    },

    /// The input topic ends before the committed offset.
    #[error("the committed offset {committed} is past the end {end}: the topic was recreated or lost records")]
    InputShrunk {
        /// The committed offset.
        committed: i64,
        /// End offset of the topic.
        end: i64,
    },

    /// The input topic ends before touchpoints that the changelog's state contains.
    #[error(
        "touchpoints before offset {applied_to} were applied, but the partition ends at {end}: the topic was recreated or \
         lost records"
    )]
    InputRecreated {
        /// Offset after the last applied touchpoint, from the changelog.
        applied_to: i64,
        /// End offset of the topic.
        end: i64,
    },

    /// Another record is at the offset of one that was read.
    #[error(
        "the record at offset {offset} is not the one that was read before: the topic was deleted and created again"
    )]
    InputReplaced {
        /// Offset of the record.
        offset: i64,
    },

    /// A record was written to the changelog at a smaller offset than those before it.
    #[error(
        "a record was written at offset {offset}, after records up to offset {end}: the topic was deleted and created again"
    )]
    ChangelogRecreated {
        /// Offset of the record; its transaction was aborted.
        offset: i64,
        /// Offset after the last committed record.
        end: i64,
    },

    /// The partition count of the touchpoint topic has changed since the last commit.
    #[error("the topic has {current} partitions, but had {previous} at the last commit")]
    PartitionsChanged {
        /// Partition count at the last commit.
        previous: i32,
        /// Partition count now.
        current: i32,
    },

    /// The customers of the group were moved to another touchpoint topic.
    #[error("`lifecycle repartition` has moved the customers of this group to {to}: their state here is out of date")]
    Moved {
        /// The new touchpoint topic.
        to: String,
    },

    /// The metadata committed with the offset cannot be decoded.
    #[error("the metadata committed with the offset cannot be read: {problem}")]
    MetadataUnreadable {
        /// The decoding error.
        problem: String,
    },

    /// Changelog records that a restore needs were deleted.
    #[error("it starts at offset {start}, but records from {expected} on are needed: they were deleted")]
    ChangelogTruncated {
        /// First offset that a restore needs.
        expected: i64,
        /// First offset still in the changelog.
        start: i64,
    },

    /// The changelog ends before the last committed record.
    #[error("it ends at offset {end}, but was committed up to {expected}: records were lost")]
    ChangelogShrunk {
        /// Offset after the last committed record.
        expected: i64,
        /// End offset of the changelog.
        end: i64,
    },

    /// The state was written with identity resolution, which is off now.
    #[error("its state was written with identity resolution, but identity.enabled is false")]
    IdentityOff,

    /// A customer is outside the partition of its id, which identity resolution requires.
    #[error("it has a customer that belongs to partition {home} of {count}, and identity resolution is on")]
    CustomerMisplaced {
        /// The partition that murmur2 of the id determines.
        home: i32,
        /// Partition count of the touchpoint topic.
        count: i32,
    },

    /// Hand-overs were deleted before they were read.
    #[error(
        "the position {committed} is below the first offset {start}: hand-overs were deleted before they were \
         read"
    )]
    HandOversTruncated {
        /// The position.
        committed: i64,
        /// First offset still in the topic.
        start: i64,
    },

    /// Another record is at the offset of the hand-over that was read last.
    #[error(
        "the record at offset {offset} is not the hand-over that was read before: the topic was deleted and created again"
    )]
    HandOversReplaced {
        /// Offset of the record.
        offset: i64,
    },

    /// The topic of hand-overs ends before the position.
    #[error("the position {committed} is past the end {end}: the topic was recreated or lost records")]
    HandOversShrunk {
        /// The position.
        committed: i64,
        /// End offset of the topic.
        end: i64,
    },
}

impl Mismatch {
    /// Returns the log that the mismatch is about.
    #[must_use]
    pub fn log(&self) -> PartitionLog {
        match self {
            Self::InputTruncated { .. }
            | Self::InputShrunk { .. }
            | Self::InputRecreated { .. }
            | Self::InputReplaced { .. }
            | Self::PartitionsChanged { .. }
            | Self::Moved { .. }
            | Self::MetadataUnreadable { .. } => PartitionLog::Input,
            Self::OffsetsMissing { .. }
            | Self::ChangelogTruncated { .. }
            | Self::ChangelogShrunk { .. }
            | Self::ChangelogRecreated { .. }
            | Self::IdentityOff
            | Self::CustomerMisplaced { .. } => PartitionLog::Changelog,
            Self::HandOversTruncated { .. } | Self::HandOversShrunk { .. } | Self::HandOversReplaced { .. } => {
                PartitionLog::HandOvers
            }
        }
    }

    /// Returns the mismatch as a finding about `place`, the partition.
    #[must_use]
    pub fn finding(&self, place: String) -> Finding {
        Finding::new(Severity::Problem, "offsets", place, self.to_string(), self.to_do())
    }

    fn to_do(&self) -> &'static str {
        match self {
            Self::OffsetsMissing { .. } => {
                "choose another kafka.group_id, changelog topic and hand-over topic if the touchpoints topic was recreated or \
                 is another one; if only the group's offsets were lost, set them to the start of the topic: touchpoints that the changelog \
                 contains are recognized as duplicates"
            }
            Self::InputTruncated { .. } => {
                "set the group's offset to the first available one to accept the loss, and increase the topic's \
                 retention"
            }
            Self::InputShrunk { .. } | Self::InputRecreated { .. } | Self::InputReplaced { .. } => {
                "choose another kafka.group_id, changelog topic and hand-over topic, or restore the topic"
            }
            Self::PartitionsChanged { .. } => {
                "give the service new topics and a new kafka.group_id, and reprocess all touchpoints: with another \
                 partition count, customers hash to partitions without their state. Use `lifecycle repartition` before \
                 partitions are added, not afterwards"
            }
            Self::Moved { .. } => {
                "use the configuration of the move, with its topics for touchpoints and changelog; to go back, follow \
                 docs/partitions.md"
            }
            Self::MetadataUnreadable { .. } => {
                "run the release that wrote it or a newer one; if another program wrote it, find out which program \
                 commits to this group; if it was set by hand, set the group's offset again without metadata"
            }
            Self::ChangelogTruncated { .. } => {
                "restore the topic from a backup; it must have neither retention nor compaction"
            }
            Self::ChangelogShrunk { .. } | Self::ChangelogRecreated { .. } => {
                "restore the topic from a backup, or delete it together with the hand-over topic and the group's offsets to \
                 start from the beginning"
            }
            Self::IdentityOff => {
                "set identity.enabled: true; to go on without it, start from the beginning with a new kafka.group_id and a \
                 new changelog topic: visitors that became customers have no state of their own"
            }
            Self::CustomerMisplaced { .. } => {
                "set identity.enabled: false again; to use identity resolution, start from the beginning with new topics \
                 and a new kafka.group_id, and with producers that partition by murmur2 of the key, as Java clients do"
            }
            Self::HandOversTruncated { .. } | Self::HandOversShrunk { .. } | Self::HandOversReplaced { .. } => {
                "restore the topic from a backup, or start from the beginning with new topics for changelog and \
                 hand-overs and another kafka.group_id: the facts of visitors that were under way are lost; increase \
                 the topic's retention"
            }
        }
    }
}

/// Compares the committed offset with the logs and the configuration.
///
/// # Errors
/// The mismatch found. `InputShrunk` is checked last: a newly elected leader may briefly report an end offset that is
/// too low, so callers retry it, while the others are final.
pub fn find_starting_point(
    committed: &CommittedOffset,
    logs: LogRanges,
    setup: Setup,
) -> Result<StartingPoint, Mismatch> {
    let Some(offset) = committed.offset else {
        // The first commit of a partition writes nothing to the changelog. Without a committed offset, the changelog is
        // therefore empty, also of control records.
        let (start, end) = logs.changelog;
        return if start < end { Err(Mismatch::OffsetsMissing { start, end }) } else { Ok(StartingPoint::Beginning) };
    };
    let (start, end) = logs.input;
    if offset < start {
        return Err(Mismatch::InputTruncated { committed: offset, start });
    }
    if let Some(to) = moved_to(&committed.metadata) {
        return Err(Mismatch::Moved { to: to.to_owned() });
    }
    let metadata = OffsetMetadata::decode(&committed.metadata)
        .map_err(|error| Mismatch::MetadataUnreadable { problem: error.to_string() })?;
    if let Some(metadata) = &metadata {
        if let (Some(previous), Some(current)) = (metadata.partitions, setup.partitions)
            && previous != current
        {
            return Err(Mismatch::PartitionsChanged { previous, current });
        }
        if metadata.hand_overs.is_some() && !setup.has_identity {
            return Err(Mismatch::IdentityOff);
        }
        let (expected, start) = (metadata.changelog_start, logs.changelog.0);
        if start > expected {
            return Err(Mismatch::ChangelogTruncated { expected, start });
        }
        if let (Some(committed), Some((start, _))) = (metadata.hand_overs, logs.hand_overs)
            && committed < start
        {
            return Err(Mismatch::HandOversTruncated { committed, start });
        }
    }
    if offset > end {
        return Err(Mismatch::InputShrunk { committed: offset, end });
    }
    Ok(StartingPoint::Committed { offset, metadata })
}
