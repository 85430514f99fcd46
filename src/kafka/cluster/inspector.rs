//! Read-only queries about a cluster: brokers, topics, log offsets, committed offsets, single records.
//!
//! Each query returns what it found or why it failed; judging the result is left to the caller. There are two clients:
//! a `read_committed` one, which sees open transactions as the service does, and a `read_uncommitted` one, which
//! ignores them.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::admin;
use super::group::{Group, describe_group_with};
use crate::kafka::connection_error::connection_error;
use crate::kafka::context::{Context, last_report};
use crate::kafka::error::Error;
use crate::kafka::member::{CommittedOffset, PartitionId, Record, to_record};
use crate::kafka::settings::Cluster;

/// Timeout of one request to the cluster.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long queries are repeated that fail because leaders have just changed, counted from the first such failure.
/// Right after a topic is created, or a broker has started, this is normal.
const SETTLING_MAX: Duration = Duration::from_secs(8);
const SETTLING_PAUSE: Duration = Duration::from_millis(200);

/// A broker from the cluster metadata.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broker {
    /// The broker id (`node.id`).
    pub id: i32,
    /// The advertised address: `host:port`.
    pub address: String,
}

/// The configs of a broker by name, or why they are unknown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BrokerConfigs {
    /// The effective configs, including defaults.
    Known(BTreeMap<String, String>),
    /// The permission to read them is missing.
    Denied,
    /// The broker did not answer, for this reason.
    Unavailable(String),
}

/// The replication state of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionReplication {
    /// Whether the partition has a leader; without one it is offline.
    pub has_leader: bool,
    /// The number of assigned replicas.
    pub replicas: usize,
    /// The number of in-sync replicas.
    pub in_sync: usize,
}

/// The offsets that bound a partition's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogOffsets {
    /// The log start offset.
    pub start: i64,
    /// The last stable offset: every transaction below it is complete.
    pub last_stable: i64,
    /// The high watermark, one past the last replicated record.
    pub high_watermark: i64,
}

/// The committed offsets of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffsets {
    /// The last committed offset of each partition.
    pub offsets: Vec<CommittedOffset>,
    /// `false` while an open transaction may still change them.
    pub is_stable: bool,
}

/// A record, and who has set its timestamp.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InspectedRecord {
    /// The record.
    pub record: Record,
    /// Whether the broker set the timestamp (`LogAppendTime`) rather than the producer.
    pub is_append_time: bool,
}

/// Clients for read-only queries to one cluster.
pub struct Inspector {
    cluster: Cluster,
    group_id: String,
    read_committed: BaseConsumer<Context>,
    read_uncommitted: BaseConsumer<Context>,
    admin: AdminClient<DefaultClientContext>,
    /// Until when queries are repeated. One period for all, because a partition may stay without a leader.
    settled_by: OnceCell<Instant>,
}

impl Inspector {
    /// Creates the clients for queries about `cluster` and `group_id`. They do not join the group.
    ///
    /// # Errors
    /// `Fatal` when a setting is invalid.
    pub fn new(cluster: &Cluster, group_id: &str) -> Result<Self, Error> {
        let consumer = |isolation_level: &str| {
            cluster
                .for_queries()
                .set("group.id", group_id)
                .set("isolation.level", isolation_level)
                .set("enable.auto.commit", "false")
                .set("enable.partition.eof", "true")
                .set("auto.offset.reset", "error")
                .set("allow.auto.create.topics", "false")
                // Reading one record of each partition waits this long for the request of the partition before.
                .set("fetch.wait.max.ms", "10")
                .create_with_context(Context::default())
                .map_err(|error| Error::of_creation("inspect", &error))
        };
        Ok(Self {
            cluster: cluster.clone(),
            group_id: group_id.to_owned(),
            read_committed: consumer("read_committed")?,
            read_uncommitted: consumer("read_uncommitted")?,
            admin: admin::admin_client(cluster)?,
            settled_by: OnceCell::new(),
        })
    }

    /// Returns the brokers of the cluster, ordered by id.
    ///
    /// # Errors
    /// `Retry` when no bootstrap server answers.
    pub fn brokers(&self) -> Result<Vec<Broker>, Error> {
        // The request names a topic, because the response would otherwise describe all topics.
        let metadata = self.read_uncommitted.client().fetch_metadata(Some("__consumer_offsets"), REQUEST_TIMEOUT);
        let metadata = metadata
            .map_err(|error| connection_error("brokers", &error, &self.cluster, last_report(&self.read_uncommitted)))?;
        let broker = |it: &rdkafka::metadata::MetadataBroker| Broker {
            id: it.id(),
            address: format!("{}:{}", it.host(), it.port()),
        };
        let mut brokers: Vec<Broker> = metadata.brokers().iter().map(broker).collect();
        brokers.sort_by_key(|it| it.id);
        Ok(brokers)
    }

    /// Asks one broker for its configs.
    #[must_use]
    pub fn broker_configs(&self, id: i32) -> BrokerConfigs {
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let response = block_on(self.admin.describe_configs([&ResourceSpecifier::Broker(id)], &options));
        match response.map(|mut it| it.pop()) {
            // Without the permission the response is empty.
            Ok(Some(Ok(resource))) if resource.entries.is_empty() => BrokerConfigs::Denied,
            Ok(Some(Ok(resource))) => {
                BrokerConfigs::Known(resource.entries.into_iter().filter_map(|it| Some((it.name, it.value?))).collect())
            }
            Ok(Some(Err(Code::ClusterAuthorizationFailed))) => BrokerConfigs::Denied,
            Ok(Some(Err(code))) => BrokerConfigs::Unavailable(code.to_string()),
            Ok(None) => BrokerConfigs::Unavailable("an empty response".to_owned()),
            Err(error) => BrokerConfigs::Unavailable(error.to_string()),
        }
    }

    /// Returns the replication state of the partitions of a topic; `None` when it does not exist or may not be
    /// described.
    ///
    /// # Errors
    /// `Retry` when the cluster does not answer.
    pub fn replication(&self, topic: &str) -> Result<Option<Vec<PartitionReplication>>, Error> {
        let metadata = self
            .read_uncommitted
            .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
            .map_err(|error| Error::of_query("replication", &error))?;
        let found = metadata.topics().iter().find(|it| it.name() == topic && it.error().is_none());
        Ok(found.map(|it| {
            let replication = |it: &rdkafka::metadata::MetadataPartition| PartitionReplication {
                has_leader: it.leader() >= 0,
                replicas: it.replicas().len(),
                in_sync: it.isr().len(),
            };
            it.partitions().iter().map(replication).collect()
        }))
    }

    /// Returns the offsets that bound a partition's log.
    ///
    /// # Errors
    /// `Retry` when the partition's leader does not answer; `Fatal` when permissions are missing.
    pub fn range(&self, topic: &str, partition: PartitionId) -> Result<LogOffsets, Error> {
        let range = |client: &BaseConsumer<Context>| {
            self.settled("range", || client.fetch_watermarks(topic, partition, REQUEST_TIMEOUT))
        };
        // The last stable offset is read first, so that a commit between the two requests does not look like an open
        // transaction.
        let (start, last_stable) = range(&self.read_committed)?;
        let (_, high_watermark) = range(&self.read_uncommitted)?;
        Ok(LogOffsets { start, last_stable, high_watermark })
    }

    /// Returns the group's committed offsets of the first `partitions` partitions of `topic`.
    ///
    /// # Errors
    /// As [`Inspector::committed_within`].
    pub fn committed(&self, topic: &str, partitions: i32) -> Result<CommittedOffsets, Error> {
        self.committed_within(topic, partitions, REQUEST_TIMEOUT)
    }

    /// Returns the group's committed offsets of the first `partitions` partitions of `topic`. If an open transaction
    /// holds them up for `stable_within`, returns those from before the transaction.
    ///
    /// # Errors
    /// `Retry` when the group coordinator does not answer; `Fatal` when permissions are missing.
    pub fn committed_within(
        &self,
        topic: &str,
        partitions: i32,
        stable_within: Duration,
    ) -> Result<CommittedOffsets, Error> {
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition(topic, partition);
        }
        let stable = self.read_committed.committed_offsets(list.clone(), stable_within);
        let is_stable = stable.is_ok();
        let response = stable.or_else(|_| {
            let query = || self.read_uncommitted.committed_offsets(list.clone(), REQUEST_TIMEOUT);
            self.settled("committed", query)
        })?;
        let offsets = response.elements().into_iter().map(|it| {
            it.error().map_err(|error| Error::of_query("committed", &error))?;
            let offset = match it.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            Ok(CommittedOffset { partition: it.partition(), offset, metadata: it.metadata().to_owned() })
        });
        Ok(CommittedOffsets { offsets: offsets.collect::<Result<_, Error>>()?, is_stable })
    }

    /// Repeats a query while the brokers answer that a leader has just changed.
    fn settled<T>(&self, call: &'static str, mut query: impl FnMut() -> Result<T, KafkaError>) -> Result<T, Error> {
        loop {
            let error = match query() {
                Ok(answer) => return Ok(answer),
                Err(error) => Error::of_query(call, &error),
            };
            let now = Instant::now();
            if !error.is_leader_change() || now >= *self.settled_by.get_or_init(|| now + SETTLING_MAX) {
                return Err(error);
            }
            std::thread::sleep(SETTLING_PAUSE);
        }
    }

    /// Returns the group's state and members, with their partitions of `topic`.
    ///
    /// # Errors
    /// `Retry` when the cluster does not answer; `Fatal` when permissions are missing.
    pub fn group(&self, topic: &str) -> Result<Group, Error> {
        describe_group_with(&self.read_uncommitted, &self.group_id, topic)
    }

    /// Returns the first record at or after `offset`, committed or not; `None` when the partition has none.
    ///
    /// # Errors
    /// `Retry` when no record arrives in time; `Fatal` when permissions are missing.
    pub fn record_at(
        &self,
        topic: &str,
        partition: PartitionId,
        offset: i64,
    ) -> Result<Option<InspectedRecord>, Error> {
        let call = "record";
        let request_failed = |error: &KafkaError| Error::of_query(call, error);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(|error| request_failed(&error))?;
        self.read_uncommitted.assign(&list).map_err(|error| request_failed(&error))?;
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        let found = loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            match self.read_uncommitted.poll(wait) {
                Some(Ok(message)) => {
                    let is_append_time = matches!(message.timestamp(), rdkafka::Timestamp::LogAppendTime(_));
                    break Ok(Some(InspectedRecord { record: to_record(&message), is_append_time }));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break Ok(None),
                Some(Err(error)) => {
                    if let Some(fatal) = Error::of_consuming(call, &error, topic, None) {
                        break Err(fatal);
                    }
                    if wait.is_zero() {
                        break Err(request_failed(&error));
                    }
                }
                None if wait.is_zero() => {
                    break Err(request_failed(&KafkaError::MessageConsumption(Code::OperationTimedOut)));
                }
                None => {}
            }
        };
        self.read_uncommitted.unassign().map_err(|error| request_failed(&error))?;
        found
    }

    /// Tests the permission to delete records of a partition, by deleting the records before its log start offset, of
    /// which there are none.
    ///
    /// # Errors
    /// Any error other than a missing permission.
    pub fn may_delete(&self, topic: &str, partition: PartitionId) -> Result<bool, Error> {
        let (start, _) = self
            .read_uncommitted
            .fetch_watermarks(topic, partition, REQUEST_TIMEOUT)
            .map_err(|error| Error::of_query("range", &error))?;
        match admin::delete_records(&self.cluster, topic, partition, start) {
            Ok(()) => Ok(true),
            Err(error) if error.is_denied() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
