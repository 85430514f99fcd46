//! Errors that stop a worker, each with one instruction for the operator.

use std::error::Error;
use std::fmt;

use crate::finding::{Finding, Severity};
use crate::kafka;
use crate::kafka::PartitionId;

use super::mismatch::{Mismatch, PartitionLog};

/// The instruction for an error of the client without one of its own.
const OTHERWISE: &str = "start the service again; if the error returns, check the logs of the brokers";

/// An error that stops the worker.
#[derive(Debug)]
pub enum Fatal {
    /// The Kafka client reported an error that no retry can fix.
    Client(kafka::Error),

    /// Too many consecutive transactions failed.
    TooManyFailedTransactions {
        /// Number of consecutive failures.
        failures: u32,
        /// The error of the last transaction.
        last: kafka::Error,
    },

    /// The committed offsets and the logs do not match.
    Mismatch {
        /// The partition.
        partition: PartitionId,
        /// The kind of mismatch.
        mismatch: Mismatch,
    },

    /// A changelog record cannot be decoded.
    ChangelogUnreadable {
        /// The partition.
        partition: PartitionId,
        /// Offset of the record.
        offset: i64,
        /// The decoding error.
        problem: String,
    },

    /// A hand-over cannot be decoded.
    HandOverUnreadable {
        /// The partition.
        partition: PartitionId,
        /// Offset of the record.
        offset: i64,
        /// The decoding error.
        problem: String,
    },
}

impl Fatal {
    /// Returns what failed, where, and what to do.
    #[must_use]
    pub fn finding(&self) -> Finding {
        match self {
            Self::Client(error) => error.finding("kafka", "the kafka client", OTHERWISE),
            Self::TooManyFailedTransactions { failures, last } => Finding::new(
                Severity::Problem,
                "transactions",
                "the kafka client",
                format!(
                    "{failures} consecutive transactions failed, the last one with: {} ({}: {})",
                    last.what, last.call, last.code
                ),
                last.to_do().unwrap_or(
                    "check that every topic exists, that the principal may write to it, and that enough replicas are in sync",
                ),
            ),
            Self::Mismatch { partition, mismatch } => {
                let log = match mismatch.log() {
                    PartitionLog::Input => "the touchpoints",
                    PartitionLog::Changelog => "the changelog",
                    PartitionLog::HandOvers => "the hand-overs",
                };
                mismatch.finding(format!("partition {partition} of {log}"))
            }
            Self::ChangelogUnreadable { partition, offset, problem } => Finding::new(
                Severity::Problem,
                "changelog",
                format!("partition {partition} of the changelog"),
                format!("the record at offset {offset} cannot be read: {problem}"),
                "run the release that wrote it or a later one; if another program wrote to the topic, restore it from a backup",
            ),
            Self::HandOverUnreadable { partition, offset, problem } => Finding::new(
                Severity::Problem,
                "hand-overs",
                format!("partition {partition} of the hand-overs"),
                format!("the record at offset {offset} cannot be read: {problem}"),
                "run the release that wrote it or a later one; no other program may write to the topic",
            ),
        }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.finding().fmt(formatter)
    }
}

impl Error for Fatal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Client(error) | Self::TooManyFailedTransactions { last: error, .. } => Some(error),
            Self::Mismatch { .. } | Self::ChangelogUnreadable { .. } | Self::HandOverUnreadable { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{ErrorCode, Reaction};

    /// One of each variant; a new variant does not compile until it is listed here.
    fn all() -> Vec<Fatal> {
        let client = |code| kafka::Error::new(Reaction::Fatal, "commit_transaction", code, "rejected by the broker");
        let problem = || "changelog format 9 was written by a newer release".to_owned();
        let all = vec![
            Fatal::Client(client(ErrorCode::TopicAuthorizationFailed)),
            Fatal::Client(client(ErrorCode::Unspecified)),
            Fatal::TooManyFailedTransactions { failures: 40, last: client(ErrorCode::NotEnoughReplicas) },
            Fatal::ChangelogUnreadable { partition: 7, offset: 3, problem: problem() },
            Fatal::HandOverUnreadable { partition: 7, offset: 3, problem: problem() },
        ];
        let mismatches = [
            Mismatch::OffsetsMissing { start: 1, end: 2 },
            Mismatch::PartitionsChanged { previous: 8, current: 12 },
            Mismatch::Moved { to: "touchpoints-48".to_owned() },
            Mismatch::InputTruncated { committed: 1, start: 2 },
            Mismatch::InputShrunk { committed: 2, end: 1 },
            Mismatch::InputRecreated { applied_to: 2, end: 1 },
            Mismatch::InputReplaced { offset: 2 },
            Mismatch::ChangelogRecreated { offset: 1, end: 2 },
            Mismatch::ChangelogTruncated { expected: 1, start: 2 },
            Mismatch::ChangelogShrunk { expected: 2, end: 1 },
            Mismatch::MetadataUnreadable { problem: problem() },
            Mismatch::IdentityOff,
            Mismatch::HandOversTruncated { committed: 1, start: 2 },
            Mismatch::HandOversShrunk { committed: 2, end: 1 },
            Mismatch::HandOversReplaced { offset: 2 },
        ];
        for fatal in &all {
            match fatal {
                Fatal::Client(_)
                | Fatal::TooManyFailedTransactions { .. }
                | Fatal::Mismatch { .. }
                | Fatal::ChangelogUnreadable { .. }
                | Fatal::HandOverUnreadable { .. } => {}
            }
        }
        let mismatches = mismatches.into_iter().map(|mismatch| Fatal::Mismatch { partition: 7, mismatch });
        all.into_iter().chain(mismatches).collect()
    }

    #[test]
    fn every_error_says_what_failed_where_and_what_to_do_once() {
        for fatal in all() {
            let Finding { severity, place, what, to_do, .. } = fatal.finding();
            assert_eq!(severity, Severity::Problem, "{fatal}");
            assert!(place.starts_with("partition 7 of the ") || place == "the kafka client", "no place: {fatal}");
            assert_eq!(crate::finding::instructions(&what), Vec::<&str>::new(), "an instruction within: {fatal}");
            assert!(!crate::finding::instructions(&to_do).is_empty(), "no instruction: {fatal}");
            assert_eq!(fatal.to_string(), format!("{place}: {what}; {to_do}"));
            assert!(!fatal.to_string().ends_with('.'), "{fatal}");
        }
    }
}
