//! A plain consumer group member: reads committed records of several topics, and commits offsets with metadata.
//!
//! For consumers whose effects are outside Kafka, such as deliveries. There are no transactions: the caller commits an
//! offset once everything before it has had its effect. [`Publisher`] writes records and waits for their
//! acknowledgement.

mod context;
mod publisher;
mod reader;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::settings::Cluster;
use super::{PartitionId, Record};

pub use publisher::Publisher;
pub use reader::Subscriber;

/// A partition of one of the topics.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition of the topic.
    pub partition: PartitionId,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}

/// One result of a poll.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SubscriberEvent {
    /// The next record of a partition.
    Record(TopicPartition, Record),
    /// The group assigned these partitions. Answer with [`Subscriber::assign`].
    Assigned(Vec<TopicPartition>),
    /// The group moves these partitions to another member. Commit, then answer with [`Subscriber::unassign`].
    Revoked(Vec<TopicPartition>),
    /// Another member may already own these partitions. Answer with [`Subscriber::unassign`].
    Lost(Vec<TopicPartition>),
}

/// What the group has committed for a partition, and the range of offsets that exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The partition.
    pub partition: TopicPartition,
    /// The committed offset; `None` if there is none.
    pub offset: Option<i64>,
    /// The metadata committed with it.
    pub metadata: String,
    /// The offset of the first record that exists.
    pub start: i64,
    /// The offset after the last committed record.
    pub end: i64,
}

/// The options of a subscriber.
#[derive(Clone, Debug)]
pub struct SubscriberOptions {
    /// The cluster.
    pub cluster: Cluster,
    /// The consumer group.
    pub group_id: String,
    /// The name of the client in the logs of brokers and in group descriptions.
    pub client_id: String,
    /// The topics.
    pub topics: Vec<String>,
    /// The coordinator removes a member after this time without a heartbeat.
    pub session_timeout: Duration,
}
