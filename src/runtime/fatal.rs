//! Why a worker stops for good, and what a person can do about it.

use crate::kafka;
use crate::kafka::PartitionId;

use super::mismatch::{Log, Mismatch};

/// Why a worker stops for good.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The client says so.
    #[error("kafka client failed: {0}; {advice}", advice = advice(&.0.code))]
    Client(#[source] kafka::Error),

    /// Too many transactions in a row came to nothing.
    #[error(
        "{failures} transactions in a row failed, the last one with {last}; \
         check that every topic exists, that the principal may write to it, and that enough replicas are in sync"
    )]
    TransactionsFail {
        /// How many in a row.
        failures: u32,
        /// The last one's error.
        last: kafka::Error,
    },

    /// What was committed and what the logs hold do not fit.
    #[error("partition {partition} of {log}: {mismatch}; {to_do}", log = log(.mismatch), to_do = .mismatch.to_do())]
    Mismatch {
        /// Which partition.
        partition: PartitionId,
        /// What does not fit.
        mismatch: Mismatch,
    },

    /// A changelog record cannot be read.
    #[error(
        "partition {partition}: the changelog record at offset {offset} cannot be read: {problem}; \
         run the release that wrote it or a later one, or restore the topic from a copy if something else has written to it"
    )]
    ChangelogUnreadable {
        /// Which partition.
        partition: PartitionId,
        /// Where.
        offset: i64,
        /// What is wrong with it.
        problem: String,
    },
}

fn log(mismatch: &Mismatch) -> &'static str {
    match mismatch.log() {
        Log::Input => "the touchpoints",
        Log::Changelog => "the changelog",
    }
}

/// What a person can do about an error of the client, by its code.
fn advice(code: &str) -> &'static str {
    match code {
        "TransactionalIdAuthorizationFailed" => "grant WRITE on the transactional ids that begin with kafka.group_id",
        "TopicAuthorizationFailed" => {
            "grant READ on the touchpoints, WRITE on the transitions, the dead letters and the replay, both on the changelog"
        }
        "GroupAuthorizationFailed" => "grant READ on the group that kafka.group_id names",
        "ClusterAuthorizationFailed" => "grant the principal what docs/configuration.md lists",
        "SaslAuthenticationFailed" | "Authentication" => "check the user and the password in kafka.client",
        "SSL" => "check the certificates and ssl.ca.location in kafka.client",
        "InvalidTransactionTimeout" => "make kafka.transaction_timeout at most the brokers' transaction.max.timeout.ms",
        "FencedInstanceId" => "give each running instance its own kafka.instance_id",
        "UnknownTopicOrPartition" | "UnknownTopic" => "create the topics: lifecycle topics --create",
        _ => "start the service again, and if this comes back look at the brokers' log and the lines above",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each; a new variant does not compile until it has its place here.
    fn all() -> Vec<Fatal> {
        let client = |code: &str| kafka::Error {
            reaction: kafka::Reaction::Fatal,
            call: "commit_transaction",
            code: code.to_owned(),
            message: "the broker says no".to_owned(),
            to_do: None,
            fenced: false,
        };
        let problem = || "changelog format 9 was written by a newer release".to_owned();
        let all = vec![
            Fatal::Client(client("TopicAuthorizationFailed")),
            Fatal::Client(client("Unspecified")),
            Fatal::TransactionsFail { failures: 40, last: client("NotEnoughReplicas") },
            Fatal::ChangelogUnreadable { partition: 7, offset: 3, problem: problem() },
        ];
        let mismatches = [
            Mismatch::OffsetsMissing { start: 1, end: 2 },
            Mismatch::PartitionsChanged { before: 8, now: 12 },
            Mismatch::InputTruncated { committed: 1, start: 2 },
            Mismatch::InputShrunk { committed: 2, end: 1 },
            Mismatch::ChangelogTruncated { expected: 1, start: 2 },
            Mismatch::ChangelogShrunk { expected: 2, end: 1 },
            Mismatch::MetadataUnreadable { problem: problem() },
        ];
        for fatal in &all {
            match fatal {
                Fatal::Client(_)
                | Fatal::TransactionsFail { .. }
                | Fatal::Mismatch { .. }
                | Fatal::ChangelogUnreadable { .. } => {}
            }
        }
        let mismatches = mismatches.into_iter().map(|mismatch| Fatal::Mismatch { partition: 7, mismatch });
        all.into_iter().chain(mismatches).collect()
    }

    #[test]
    fn each_says_what_where_and_what_to_do() {
        // Whatever a person is asked to do begins with one of these.
        let acts = [
            "check ", "restore ", "delete ", "give ", "set ", "choose ", "grant ", "start ", "run ", "create ", "make ",
        ];
        for fatal in all() {
            let text = fatal.to_string();
            let (what, rest) = text.split_once("; ").unwrap_or_else(|| panic!("nothing to do: {text}"));
            let names_the_place = match &fatal {
                Fatal::Client(error) | Fatal::TransactionsFail { last: error, .. } => {
                    what.contains(error.call) && what.contains(&error.code)
                }
                Fatal::Mismatch { .. } => what.starts_with("partition 7 of the "),
                Fatal::ChangelogUnreadable { .. } => what.starts_with("partition 7: "),
            };
            assert!(names_the_place, "where? {text}");
            assert!(acts.iter().any(|act| rest.contains(act)), "what to do? {text}");
            assert!(text.starts_with(|first: char| first.is_lowercase() || first.is_ascii_digit()), "{text}");
            assert!(!text.ends_with('.'), "{text}");
        }
    }
}
