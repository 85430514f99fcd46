//! Errors that stop a worker, each with advice for the operator.

use crate::kafka;
use crate::kafka::PartitionId;

use super::mismatch::{Mismatch, PartitionLog};

/// An error that stops the worker.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The Kafka client reported an error that no retry can fix.
    #[error("kafka client failed: {0}; {advice}", advice = advice(&.0.code))]
    Client(#[source] kafka::Error),

    /// Too many consecutive transactions failed.
    #[error(
        "{failures} consecutive transactions failed, the last one with {last}; \
         check that every topic exists, that the principal may write to it, and that enough replicas are in sync"
    )]
    TooManyFailedTransactions {
        /// Number of consecutive failures.
        failures: u32,
        /// The error of the last transaction.
        last: kafka::Error,
    },

    /// The committed offsets and the logs do not match.
    #[error("partition {partition} of {log}: {mismatch}; {advice}", log = log_name(.mismatch), advice = .mismatch.advice())]
    Mismatch {
        /// The partition.
        partition: PartitionId,
        /// The kind of mismatch.
        mismatch: Mismatch,
    },

    /// A changelog record cannot be decoded.
    #[error(
        "partition {partition}: the changelog record at offset {offset} cannot be read: {problem}; \
         run the release that wrote it or a later one, or restore the topic from a backup if another \
         program wrote to it"
    )]
    ChangelogUnreadable {
        /// The partition.
        partition: PartitionId,
        /// Offset of the record.
        offset: i64,
        /// The decoding error.
        problem: String,
    },
}

fn log_name(mismatch: &Mismatch) -> &'static str {
    match mismatch.log() {
        PartitionLog::Input => "the touchpoints",
        PartitionLog::Changelog => "the changelog",
    }
}

/// Returns what the operator can do about a client error, by error code.
fn advice(code: &str) -> &'static str {
    match code {
        "TransactionalIdAuthorizationFailed" => "grant WRITE on the transactional ids that begin with kafka.group_id",
        "TopicAuthorizationFailed" => {
            "grant READ on the touchpoint topic, WRITE on the transition, replay and dead-letter topics, and both on \
             the changelog"
        }
        "GroupAuthorizationFailed" => "grant READ on the group that kafka.group_id names",
        "ClusterAuthorizationFailed" => "grant the principal the permissions listed in docs/configuration.md",
        "SaslAuthenticationFailed" | "Authentication" => "check the user and the password in kafka.client",
        "SSL" => "check the certificates and ssl.ca.location in kafka.client",
        "InvalidTransactionTimeout" => "make kafka.transaction_timeout at most the brokers' transaction.max.timeout.ms",
        "FencedInstanceId" => "give each running instance its own kafka.instance_id",
        "UnknownTopicOrPartition" | "UnknownTopic" => "create the topics: lifecycle topics --create",
        _ => "start the service again; if the error returns, check the broker logs and the log lines above",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each variant; a new variant does not compile until it is listed here.
    fn all() -> Vec<Fatal> {
        let client = |code: &str| kafka::Error {
            reaction: kafka::Reaction::Fatal,
            call: "commit_transaction",
            code: code.to_owned(),
            message: "rejected by the broker".to_owned(),
            to_do: None,
            fenced: false,
        };
        let problem = || "changelog format 9 was written by a newer release".to_owned();
        let all = vec![
            Fatal::Client(client("TopicAuthorizationFailed")),
            Fatal::Client(client("Unspecified")),
            Fatal::TooManyFailedTransactions { failures: 40, last: client("NotEnoughReplicas") },
            Fatal::ChangelogUnreadable { partition: 7, offset: 3, problem: problem() },
        ];
        let mismatches = [
            Mismatch::OffsetsMissing { start: 1, end: 2 },
            Mismatch::PartitionsChanged { previous: 8, current: 12 },
            Mismatch::InputTruncated { committed: 1, start: 2 },
            Mismatch::InputShrunk { committed: 2, end: 1 },
            Mismatch::InputRecreated { applied_to: 2, end: 1 },
            Mismatch::ChangelogTruncated { expected: 1, start: 2 },
            Mismatch::ChangelogShrunk { expected: 2, end: 1 },
            Mismatch::MetadataUnreadable { problem: problem() },
        ];
        for fatal in &all {
            match fatal {
                Fatal::Client(_)
                | Fatal::TooManyFailedTransactions { .. }
                | Fatal::Mismatch { .. }
                | Fatal::ChangelogUnreadable { .. } => {}
            }
        }
        let mismatches = mismatches.into_iter().map(|mismatch| Fatal::Mismatch { partition: 7, mismatch });
        all.into_iter().chain(mismatches).collect()
    }

    #[test]
    fn every_error_says_what_failed_where_and_what_to_do() {
        // All advice contains one of these verbs.
        let verbs = [
            "check ", "restore ", "delete ", "give ", "set ", "choose ", "grant ", "start ", "run ", "create ", "make ",
        ];
        for fatal in all() {
            let text = fatal.to_string();
            let (what, rest) = text.split_once("; ").unwrap_or_else(|| panic!("no advice: {text}"));
            let names_location = match &fatal {
                Fatal::Client(error) | Fatal::TooManyFailedTransactions { last: error, .. } => {
                    what.contains(error.call) && what.contains(&error.code)
                }
                Fatal::Mismatch { .. } => what.starts_with("partition 7 of the "),
                Fatal::ChangelogUnreadable { .. } => what.starts_with("partition 7: "),
            };
            assert!(names_location, "no location: {text}");
            assert!(verbs.iter().any(|verb| rest.contains(verb)), "no advice: {text}");
            assert!(text.starts_with(|first: char| first.is_lowercase() || first.is_ascii_digit()), "{text}");
            assert!(!text.ends_with('.'), "{text}");
        }
    }
}
