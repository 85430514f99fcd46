//! Looks at a cluster without changing anything: brokers, topics, ends of logs, committed offsets, single records.
//!
//! Each question says what it found or why it found nothing; what follows from that is for others to say. Two clients ask: a
//! patient one that waits for open transactions, as the service does, and a hasty one that looks past them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::admin;
use super::error::Error;
use super::group::{Group, describe_group_with};
use super::listener::Listener;
use super::member::{CommittedOffset, PartitionId};
use super::settings::Cluster;
use super::unanswered::unanswered;

/// How long the cluster may take for one answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A broker as the cluster lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broker {
    /// Its number.
    pub id: i32,
    /// Where it is reached: `host:port`.
    pub address: String,
}

/// Settings by Kafka's names, or why there are none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Settings {
    /// As they hold, defaults included.
    Known(BTreeMap<String, String>),
    /// We are not allowed to see them.
    Denied,
    /// The broker did not answer; the reason.
    Unanswered(String),
}

/// A partition as the cluster keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionLayout {
    /// Whether somebody takes its records.
    pub has_leader: bool,
    /// How many copies there should be.
    pub replicas: usize,
    /// How many copies are complete.
    pub in_sync: usize,
}

/// How far a partition reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRange {
    /// Its first offset.
    pub start: i64,
    /// Up to where no transaction is open.
    pub stable_end: i64,
    /// Past its last record.
    pub end: i64,
}

/// What is committed for a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffsets {
    /// As committed last.
    pub offsets: Vec<CommittedOffset>,
    /// Whether no open transaction is about to change them.
    pub is_settled: bool,
}

/// One record, as far as it matters here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordFound {
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// Whether a broker's clock made the timestamp.
    pub is_append_time: bool,
    /// Its value.
    pub value: Vec<u8>,
}

/// Asks a cluster.
pub struct Inspector {
    cluster: Cluster,
    group_id: String,
    patient: BaseConsumer<Listener>,
    hasty: BaseConsumer<Listener>,
    admin: AdminClient<DefaultClientContext>,
}

impl Inspector {
    /// Makes ready to ask `cluster`, about `group_id` among other things. Joins no group.
    ///
    /// # Errors
    /// `Fatal` when a setting is refused.
    pub fn new(cluster: &Cluster, group_id: &str) -> Result<Self, Error> {
        let consumer = |isolation_level: &str| {
            cluster
                .for_questions()
                .set("group.id", group_id)
                .set("isolation.level", isolation_level)
                .set("enable.auto.commit", "false")
                .set("enable.partition.eof", "true")
                .set("auto.offset.reset", "error")
                .set("allow.auto.create.topics", "false")
                .set("fetch.wait.max.ms", "100")
                .create_with_context(Listener::default())
                .map_err(|error| Error::of_creation("inspect", &error))
        };
        Ok(Self {
            cluster: cluster.clone(),
            group_id: group_id.to_owned(),
            patient: consumer("read_committed")?,
            hasty: consumer("read_uncommitted")?,
            admin: admin::connect(cluster)?,
        })
    }

    /// The brokers that the cluster lists.
    ///
    /// # Errors
    /// `Retry` when none of those to begin with answers.
    pub fn brokers(&self) -> Result<Vec<Broker>, Error> {
        // Without a topic the answer would hold all of them.
        let metadata = self.hasty.client().fetch_metadata(Some("__consumer_offsets"), REQUEST_TIMEOUT);
        let metadata = metadata.map_err(|error| {
            drop(self.hasty.poll(Duration::from_millis(1)));
            unanswered("brokers", &error, &self.cluster, self.hasty.context().take_error())
        })?;
        let broker = |it: &rdkafka::metadata::MetadataBroker| Broker {
            id: it.id(),
            address: format!("{}:{}", it.host(), it.port()),
        };
        let mut brokers: Vec<Broker> = metadata.brokers().iter().map(broker).collect();
        brokers.sort_by_key(|it| it.id);
        Ok(brokers)
    }

    /// The settings of one broker, which it is asked for itself.
    #[must_use]
    pub fn broker_settings(&self, id: i32) -> Settings {
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let answer = block_on(self.admin.describe_configs([&ResourceSpecifier::Broker(id)], &options));
        match answer.map(|mut it| it.pop()) {
            // Without the right the answer is empty.
            Ok(Some(Ok(resource))) if resource.entries.is_empty() => Settings::Denied,
            Ok(Some(Ok(resource))) => {
                Settings::Known(resource.entries.into_iter().filter_map(|it| Some((it.name, it.value?))).collect())
            }
            Ok(Some(Err(Code::ClusterAuthorizationFailed))) => Settings::Denied,
            Ok(Some(Err(code))) => Settings::Unanswered(code.to_string()),
            Ok(None) => Settings::Unanswered("an empty answer".to_owned()),
            Err(error) => Settings::Unanswered(error.to_string()),
        }
    }

    /// How the partitions of a topic are kept; `None` when it does not exist or we may not know.
    ///
    /// # Errors
    /// `Retry` when the cluster does not answer.
    pub fn layout(&self, topic: &str) -> Result<Option<Vec<PartitionLayout>>, Error> {
        let metadata = self
            .hasty
            .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
            .map_err(|error| Error::of_question("layout", &error))?;
        let found = metadata.topics().iter().find(|it| it.name() == topic && it.error().is_none());
        Ok(found.map(|it| {
            let layout = |it: &rdkafka::metadata::MetadataPartition| PartitionLayout {
                has_leader: it.leader() >= 0,
                replicas: it.replicas().len(),
                in_sync: it.isr().len(),
            };
            it.partitions().iter().map(layout).collect()
        }))
    }

    /// How far a partition reaches.
    ///
    /// # Errors
    /// `Retry` when its leader does not answer; `Fatal` when rights are missing.
    pub fn range(&self, topic: &str, partition: PartitionId) -> Result<LogRange, Error> {
        let range = |client: &BaseConsumer<Listener>| {
            client
                .fetch_watermarks(topic, partition, REQUEST_TIMEOUT)
                .map_err(|error| Error::of_question("range", &error))
        };
        // The stable end first: what is committed in between must not look open.
        let (start, stable_end) = range(&self.patient)?;
        let (_, end) = range(&self.hasty)?;
        Ok(LogRange { start, stable_end, end })
    }

    /// What the group has committed for the first `partitions` partitions of `topic`.
    ///
    /// # Errors
    /// `Retry` when the group's coordinator does not answer; `Fatal` when rights are missing.
    pub fn committed(&self, topic: &str, partitions: i32) -> Result<CommittedOffsets, Error> {
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition(topic, partition);
        }
        let ask = |client: &BaseConsumer<Listener>| client.committed_offsets(list.clone(), REQUEST_TIMEOUT);
        let (answer, is_settled) = match ask(&self.patient) {
            Ok(answer) => (answer, true),
            Err(_) => (ask(&self.hasty).map_err(|error| Error::of_question("committed", &error))?, false),
        };
        let offsets = answer.elements().into_iter().map(|it| {
            it.error().map_err(|error| Error::of_question("committed", &error))?;
            let offset = match it.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            Ok(CommittedOffset { partition: it.partition(), offset, metadata: it.metadata().to_owned() })
        });
        Ok(CommittedOffsets { offsets: offsets.collect::<Result<_, Error>>()?, is_settled })
    }

    /// The group's state and members.
    ///
    /// # Errors
    /// `Retry` when the cluster does not answer; `Fatal` when rights are missing.
    pub fn group(&self, topic: &str) -> Result<Group, Error> {
        describe_group_with(&self.hasty, &self.group_id, topic)
    }

    /// The first record at or after `offset`, committed or not; `None` when the partition ends before one comes.
    ///
    /// # Errors
    /// `Retry` when none comes in time; `Fatal` when rights are missing.
    pub fn record_at(&self, topic: &str, partition: PartitionId, offset: i64) -> Result<Option<RecordFound>, Error> {
        let call = "record";
        let of = |error: &KafkaError| Error::of_question(call, error);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(|error| of(&error))?;
        self.hasty.assign(&list).map_err(|error| of(&error))?;
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        let found = loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            match self.hasty.poll(wait) {
                Some(Ok(message)) => {
                    let timestamp = message.timestamp();
                    break Ok(Some(RecordFound {
                        offset: message.offset(),
                        timestamp_ms: timestamp.to_millis(),
                        is_append_time: matches!(timestamp, rdkafka::Timestamp::LogAppendTime(_)),
                        value: message.payload().unwrap_or_default().to_vec(),
                    }));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break Ok(None),
                Some(Err(error)) => {
                    if let Some(fatal) = Error::of_reading(call, &error, topic, None) {
                        break Err(fatal);
                    }
                    if wait.is_zero() {
                        break Err(of(&error));
                    }
                }
                None if wait.is_zero() => break Err(of(&KafkaError::MessageConsumption(Code::OperationTimedOut))),
                None => {}
            }
        };
        self.hasty.unassign().map_err(|error| of(&error))?;
        found
    }

    /// Whether we may delete records of a partition, by deleting those before its first one: there are none.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn may_delete(&self, topic: &str, partition: PartitionId) -> Result<bool, Error> {
        let (start, _) = self
            .hasty
            .fetch_watermarks(topic, partition, REQUEST_TIMEOUT)
            .map_err(|error| Error::of_question("range", &error))?;
        match admin::delete_records(&self.cluster, topic, partition, start) {
            Ok(()) => Ok(true),
            Err(error) if error.is_denied() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
