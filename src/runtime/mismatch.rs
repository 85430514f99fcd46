//! What was committed for a partition against what its logs hold: from where a worker goes on, or why nobody may. Pure.
//!
//! A worker that takes a partition up and the doctor who examines it judge by the same function. What shows only later, a number
//! of partitions that changes or a changelog that loses its end while it is read, each finds in its own way and tells in these words.

use crate::kafka::CommittedOffset;
use crate::wire::offset_metadata::OffsetMetadata;

/// How far the logs of a partition reach: the first offset of each, and its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Logs {
    /// The touchpoints.
    pub input: (i64, i64),
    /// The customers.
    pub changelog: (i64, i64),
}

/// From where a worker goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// From the first touchpoint: nothing was ever committed.
    New,
    /// From what is committed.
    Known {
        /// The next touchpoint.
        offset: i64,
        /// What a worker noted beside it; `None` when the offset was set by hand.
        metadata: Option<OffsetMetadata>,
    },
}

/// One of the logs of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Log {
    /// The touchpoints.
    Input,
    /// The customers.
    Changelog,
}

/// What was committed and what the logs hold do not fit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Mismatch {
    /// The changelog knows customers, the group knows no position.
    #[error(
        "it holds records {start} to {end}, but the group has no committed offset: the offsets have expired or were deleted"
    )]
    OffsetsMissing {
        /// The first offset in the changelog.
        start: i64,
        /// Its end.
        end: i64,
    },

    /// Touchpoints were deleted before they were read.
    #[error("the committed offset {committed} is below the first offset {start}: touchpoints were deleted unread")]
    InputTruncated {
        /// The committed offset.
        committed: i64,
        /// The first offset still there.
        start: i64,
    },

    /// The input topic is shorter than what was read of it.
    #[error("the committed offset {committed} is past the end {end}: the topic was made anew or has lost records")]
    InputShrunk {
        /// The committed offset.
        committed: i64,
        /// The end of the topic.
        end: i64,
    },

    /// The topic of touchpoints has another number of partitions than when the partition was last committed.
    #[error("the topic has {now} partitions, but had {before} when it was last read")]
    PartitionsChanged {
        /// How many there were.
        before: i32,
        /// How many there are.
        now: i32,
    },

    /// What was committed beside the offset cannot be read.
    #[error("what was committed beside the offset cannot be read: {problem}")]
    MetadataUnreadable {
        /// What is wrong with it.
        problem: String,
    },

    /// Part of the truth about customers was deleted by somebody else.
    #[error("it starts at offset {start}, but records from {expected} on are needed: somebody deleted them")]
    ChangelogTruncated {
        /// The first offset that a restore needs.
        expected: i64,
        /// The first offset still there.
        start: i64,
    },

    /// The end of the truth about customers is gone.
    #[error("it ends at offset {end}, but was committed up to {expected}: records were lost")]
    ChangelogShrunk {
        /// Past the last committed record.
        expected: i64,
        /// The end of the changelog.
        end: i64,
    },
}

impl Mismatch {
    /// Which log it is about.
    #[must_use]
    pub fn log(&self) -> Log {
        match self {
            Self::InputTruncated { .. }
            | Self::InputShrunk { .. }
            | Self::PartitionsChanged { .. }
            | Self::MetadataUnreadable { .. } => Log::Input,
            Self::OffsetsMissing { .. } | Self::ChangelogTruncated { .. } | Self::ChangelogShrunk { .. } => {
                Log::Changelog
            }
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn to_do(&self) -> &'static str {
        match self {
            Self::OffsetsMissing { .. } => {
                "restore the group's offsets, or delete and make the changelog topic anew to begin from the start"
            }
            Self::InputTruncated { .. } => {
                "set the group's offset to the first one to accept the loss, and lengthen the topic's retention"
            }
            Self::InputShrunk { .. } => "choose another group and changelog, or restore the topic",
            Self::PartitionsChanged { .. } => {
                "give the service new topics and a new kafka.group_id, and let it read all touchpoints again: customers would go on \
                 in other partitions than those that know them"
            }
            Self::MetadataUnreadable { .. } => {
                "run the release that wrote it or a newer one; if another program wrote it, find out which one commits to this \
                 group; if somebody set it by hand, set the group's offset anew without a text"
            }
            Self::ChangelogTruncated { .. } => {
                "restore the topic from a copy; it must have neither retention nor compaction"
            }
            Self::ChangelogShrunk { .. } => {
                "restore the topic from a copy, or delete it with the group's offsets to begin from the start"
            }
        }
    }
}

/// Compares what is committed with what the logs hold, for a service that knows of `partitions`, if it does.
///
/// # Errors
/// What does not fit. `InputShrunk` is told only where nothing else is: a broker that has just become leader may feign it.
pub fn compare(committed: &CommittedOffset, logs: Logs, partitions: Option<i32>) -> Result<Found, Mismatch> {
    let Some(offset) = committed.offset else {
        // The first commit writes nothing to the changelog, so without one it is empty down to the last control record.
        let (start, end) = logs.changelog;
        return if start < end { Err(Mismatch::OffsetsMissing { start, end }) } else { Ok(Found::New) };
    };
    let (start, end) = logs.input;
    if offset < start {
        return Err(Mismatch::InputTruncated { committed: offset, start });
    }
    let metadata = OffsetMetadata::decode(&committed.metadata)
        .map_err(|error| Mismatch::MetadataUnreadable { problem: error.to_string() })?;
    if let Some(metadata) = &metadata {
        if let (Some(before), Some(now)) = (metadata.partitions, partitions)
            && before != now
        {
            return Err(Mismatch::PartitionsChanged { before, now });
        }
        let (expected, start) = (metadata.changelog_start, logs.changelog.0);
        if start > expected {
            return Err(Mismatch::ChangelogTruncated { expected, start });
        }
    }
    if offset > end {
        return Err(Mismatch::InputShrunk { committed: offset, end });
    }
    Ok(Found::Known { offset, metadata })
}
