//! Topics: makes them, describes them, and finds what is wrong with them before the service starts on them.
//!
//! Each act connects for the occasion: none of them is done often.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::{Error, Reaction};
use super::listener::Listener;
use super::member::PartitionId;
use super::settings::Cluster;
pub use super::topic_check::{Finding, Severity, Topics};
use super::unanswered::unanswered;

/// How long the cluster may take for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A topic to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions it gets.
    pub partitions: i32,
    /// How many replicas; `None` leaves it to the cluster.
    pub replication: Option<i32>,
    /// Its settings, by Kafka's names.
    pub settings: Vec<(String, String)>,
}

/// What became of a topic that was to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Creation {
    /// It was made.
    Created,
    /// It was there before, and is as it was.
    Existed,
}

/// A topic as the cluster has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas its partitions have; the fewest, where they differ.
    pub replication: i32,
    /// Its settings, defaults included, by Kafka's names; `None` when we are not allowed to see them.
    pub settings: Option<BTreeMap<String, String>>,
}

/// Makes topics that do not exist; leaves those that do as they are.
///
/// # Errors
/// `Retry` when the cluster does not answer; `Fatal` when it refuses a topic.
pub fn create_topics(cluster: &Cluster, topics: &[TopicSpec]) -> Result<Vec<(String, Creation)>, Error> {
    let call = "create_topics";
    let specs: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| {
            let replication = TopicReplication::Fixed(topic.replication.unwrap_or(-1));
            let spec = NewTopic::new(&topic.name, topic.partitions, replication);
            topic.settings.iter().fold(spec, |spec, (name, value)| spec.set(name, value))
        })
        .collect();
    let results = block_on(connect(cluster)?.create_topics(&specs, &within(REQUEST_TIMEOUT)))
        .map_err(|error| failed(cluster, call, &error))?;
    results
        .into_iter()
        .map(|result| match result {
            Ok(name) => Ok((name, Creation::Created)),
            Err((name, Code::TopicAlreadyExists)) => Ok((name, Creation::Existed)),
            Err((name, code)) => {
                let what = match code {
                    Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                        format!("not allowed to create {name}: grant CREATE on the topic, or create it yourself")
                    }
                    Code::InvalidReplicationFactor => {
                        format!("the cluster has too few brokers for the replication factor of {name}")
                    }
                    _ => format!("the cluster refuses to create {name}: {code}"),
                };
                Err(Error::new(Reaction::Fatal, call, &format!("{code:?}"), what))
            }
        })
        .collect()
}

/// Describes topics, in the order of `names`; `None` for one that does not exist.
///
/// # Errors
/// `Retry` when the cluster does not answer; `Fatal` when rights are missing.
pub fn describe_topics(cluster: &Cluster, names: &[&str]) -> Result<Vec<Option<TopicDescription>>, Error> {
    let mut topics = Vec::with_capacity(names.len());
    let asking = ask(cluster)?;
    for name in names {
        topics.push(describe_layout(cluster, &asking, name)?);
    }
    let existing: Vec<&str> = topics.iter().flatten().map(|it| it.name.as_str()).collect();
    if existing.is_empty() {
        return Ok(topics);
    }
    let resources: Vec<ResourceSpecifier<'_>> = existing.iter().map(|it| ResourceSpecifier::Topic(it)).collect();
    let results = block_on(connect(cluster)?.describe_configs(&resources, &within(REQUEST_TIMEOUT)))
        .map_err(|error| failed(cluster, "describe_configs", &error))?;
    for (topic, result) in topics.iter_mut().flatten().zip(results) {
        topic.settings = match result {
            Ok(resource) if resource.entries.is_empty() => None,
            Ok(resource) => Some(resource.entries.into_iter().filter_map(|it| Some((it.name, it.value?))).collect()),
            // The service needs no right to see settings; the check then says that it could not look.
            Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => None,
            Err(code) => {
                let message = format!("the settings of {} cannot be read: {code}", topic.name);
                return Err(Error::new(Reaction::Retry, "describe_configs", &format!("{code:?}"), message));
            }
        };
    }
    Ok(topics)
}

/// Looks at the topics that the service is to work on, and returns everything that is wrong with them.
///
/// # Errors
/// `Retry` when the cluster does not answer; `Fatal` when rights are missing.
pub fn verify(cluster: &Cluster, topics: &Topics) -> Result<Vec<Finding>, Error> {
    let names = topics.names();
    let described = describe_topics(cluster, &names)?;
    let existing: BTreeMap<&str, &TopicDescription> =
        names.into_iter().zip(&described).filter_map(|(name, it)| Some((name, it.as_ref()?))).collect();
    Ok(topics.check(&existing))
}

/// Deletes the records of a partition before `offset`. Needs DELETE on the topic.
pub(super) fn delete_records(cluster: &Cluster, topic: &str, partition: PartitionId, offset: i64) -> Result<(), Error> {
    let call = "delete_records";
    let later = |error: Error| Error { reaction: Reaction::Retry, ..error };
    let of = |error: &KafkaError| later(Error::of_question(call, error));
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(|error| of(&error))?;
    let admin = connect(cluster).map_err(later)?;
    let answer = block_on(admin.delete_records(&list, &within(REQUEST_TIMEOUT))).map_err(|error| of(&error))?;
    for element in answer.elements() {
        element.error().map_err(|error| {
            let denied = error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed);
            if denied {
                later(Error::new(
                    Reaction::Retry,
                    call,
                    "TopicAuthorizationFailed",
                    format!("not allowed to delete records of {topic}: grant DELETE on the topic"),
                ))
            } else {
                of(&error)
            }
        })?;
    }
    Ok(())
}

fn describe_layout(
    cluster: &Cluster,
    asking: &BaseConsumer<Listener>,
    name: &str,
) -> Result<Option<TopicDescription>, Error> {
    let call = "describe_topics";
    let metadata = asking.fetch_metadata(Some(name), REQUEST_TIMEOUT).map_err(|error| {
        // What the client reports beside the error waits in its queue.
        drop(asking.poll(Duration::from_millis(1)));
        unanswered(call, &error, cluster, asking.context().take_error())
    })?;
    let Some(topic) = metadata.topics().iter().find(|it| it.name() == name) else { return Ok(None) };
    match topic.error().map(Code::from) {
        None => {}
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
        Some(Code::TopicAuthorizationFailed) => {
            let message = format!("not allowed to see the topic {name}: grant DESCRIBE, READ or WRITE on it");
            return Err(Error::new(Reaction::Fatal, call, "TopicAuthorizationFailed", message));
        }
        Some(Code::InvalidTopic) => {
            let message = format!("{name:?} is no valid topic name: use letters, digits, '.', '_' and '-'");
            return Err(Error::new(Reaction::Fatal, call, "InvalidTopic", message));
        }
        Some(code) => {
            let message = format!("the topic {name} cannot be described: {code}");
            return Err(Error::new(Reaction::Retry, call, &format!("{code:?}"), message));
        }
    }
    let replication = topic.partitions().iter().map(|it| it.replicas().len()).min().unwrap_or(0);
    Ok(Some(TopicDescription {
        name: name.to_owned(),
        partitions: count(topic.partitions().len()),
        replication: count(replication),
        settings: None,
    }))
}

/// A client for questions. It never makes a topic by asking for it.
pub(super) fn ask(cluster: &Cluster) -> Result<BaseConsumer<Listener>, Error> {
    cluster
        .for_questions()
        .set("allow.auto.create.topics", "false")
        .create_with_context(Listener::default())
        .map_err(|error| Error::of_creation("admin", &error))
}

pub(super) fn connect(cluster: &Cluster) -> Result<AdminClient<DefaultClientContext>, Error> {
    cluster
        .for_questions()
        // Nothing takes this client's log lines from their queue.
        .set_log_level(RDKafkaLogLevel::Emerg)
        .create()
        .map_err(|error| Error::of_creation("admin", &error))
}

fn within(timeout: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
}

fn failed(cluster: &Cluster, call: &'static str, error: &KafkaError) -> Error {
    let denied =
        matches!(error, KafkaError::AdminOp(Code::ClusterAuthorizationFailed | Code::TopicAuthorizationFailed));
    let reaction = if denied { Reaction::Fatal } else { Reaction::Retry };
    Error { reaction, ..unanswered(call, error, cluster, None) }
}

fn count(things: usize) -> i32 {
    i32::try_from(things).unwrap_or(i32::MAX)
}
