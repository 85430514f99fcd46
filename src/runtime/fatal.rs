//! Why a worker stops for good, and what a person can do about it.

use crate::kafka;
use crate::kafka::PartitionId;

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

    /// The changelog knows customers, the group knows no position.
    #[error(
        "partition {partition}: the changelog holds records {start} to {end}, but the group has no committed offset; \
         the offsets have expired or were deleted: restore them, or delete the changelog topic to begin anew"
    )]
    OffsetsMissing {
        /// Which partition.
        partition: PartitionId,
        /// The first offset in the changelog.
        start: i64,
        /// Its end.
        end: i64,
    },

    /// The topic of touchpoints has another number of partitions than when the partition was last committed.
    #[error(
        "partition {partition}: the topic of touchpoints has another number of partitions than before ({before}, now {now} or more); \
         customers would go on in other partitions than those that know them: give the service new topics and a new \
         kafka.group_id, and let it read all touchpoints again"
    )]
    PartitionsChanged {
        /// Which partition.
        partition: PartitionId,
        /// How many there were.
        before: i32,
        /// How many there are.
        now: i32,
    },

    /// Touchpoints were deleted before they were read.
    #[error(
        "partition {partition}: the committed offset {committed} is below the first offset {start} of the input topic; \
         touchpoints were deleted unread: set the group's offset to {start} to accept the loss, and lengthen the topic's retention"
    )]
    InputTruncated {
        /// Which partition.
        partition: PartitionId,
        /// The committed offset.
        committed: i64,
        /// The first offset still there.
        start: i64,
    },

    /// The input topic is shorter than what was read of it.
    #[error(
        "partition {partition}: the committed offset {committed} is past the end {end} of the input topic; \
         the topic was created anew or has lost records: choose another group and changelog, or restore the topic"
    )]
    InputShrunk {
        /// Which partition.
        partition: PartitionId,
        /// The committed offset.
        committed: i64,
        /// The end of the topic.
        end: i64,
    },

    /// Part of the truth about customers was deleted by somebody else.
    #[error(
        "partition {partition}: the changelog starts at offset {start}, but records from {expected} on are needed; \
         somebody deleted them: check that the topic has neither retention nor compaction, and restore it from a copy"
    )]
    ChangelogTruncated {
        /// Which partition.
        partition: PartitionId,
        /// The first offset that a restore needs.
        expected: i64,
        /// The first offset still there.
        start: i64,
    },

    /// The end of the truth about customers is gone.
    #[error(
        "partition {partition}: the changelog ends at offset {end}, but was committed up to {expected}; \
         records were lost: restore the topic from a copy, or delete it with the group's offsets to begin anew"
    )]
    ChangelogShrunk {
        /// Which partition.
        partition: PartitionId,
        /// Past the last committed record.
        expected: i64,
        /// The end of the changelog.
        end: i64,
    },

    /// What was committed beside the offset cannot be read.
    #[error(
        "partition {partition}: the metadata of the committed offset cannot be read: {problem}; \
         run the release that wrote it or a later one, or, if somebody set it by hand, set the group's offset anew without a text"
    )]
    MetadataUnreadable {
        /// Which partition.
        partition: PartitionId,
        /// What is wrong with it.
        problem: String,
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
            fenced: false,
        };
        let problem = || "changelog format 9 was written by a newer release".to_owned();
        let all = vec![
            Fatal::Client(client("TopicAuthorizationFailed")),
            Fatal::Client(client("Unspecified")),
            Fatal::TransactionsFail { failures: 40, last: client("NotEnoughReplicas") },
            Fatal::OffsetsMissing { partition: 7, start: 1, end: 2 },
            Fatal::PartitionsChanged { partition: 7, before: 8, now: 12 },
            Fatal::InputTruncated { partition: 7, committed: 1, start: 2 },
            Fatal::InputShrunk { partition: 7, committed: 2, end: 1 },
            Fatal::ChangelogTruncated { partition: 7, expected: 1, start: 2 },
            Fatal::ChangelogShrunk { partition: 7, expected: 2, end: 1 },
            Fatal::MetadataUnreadable { partition: 7, problem: problem() },
            Fatal::ChangelogUnreadable { partition: 7, offset: 3, problem: problem() },
        ];
        for fatal in &all {
            match fatal {
                Fatal::Client(_)
                | Fatal::TransactionsFail { .. }
                | Fatal::OffsetsMissing { .. }
                | Fatal::PartitionsChanged { .. }
                | Fatal::InputTruncated { .. }
                | Fatal::InputShrunk { .. }
                | Fatal::ChangelogTruncated { .. }
                | Fatal::ChangelogShrunk { .. }
                | Fatal::MetadataUnreadable { .. }
                | Fatal::ChangelogUnreadable { .. } => {}
            }
        }
        all
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
                _ => what.starts_with("partition 7: "),
            };
            assert!(names_the_place, "where? {text}");
            assert!(acts.iter().any(|act| rest.contains(act)), "what to do? {text}");
            assert!(text.starts_with(|first: char| first.is_lowercase() || first.is_ascii_digit()), "{text}");
            assert!(!text.ends_with('.'), "{text}");
        }
    }
}
