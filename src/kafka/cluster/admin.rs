//! Creates, describes and verifies topics, and deletes records.
//!
//! Each function creates its own client, because all of them are rarely called. The rules that topics must meet are in
//! `topic_check`.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

pub use super::topic_check::Topics;
use crate::finding::Finding;
use crate::kafka::connection_error::connection_error;
use crate::kafka::context::{Context, last_report};
use crate::kafka::error::{Error, Reaction};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::member::PartitionId;
use crate::kafka::settings::Cluster;

/// Timeout of one request to the cluster.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Poll interval while waiting for a new topic.
const DESCRIBE_PAUSE: Duration = Duration::from_millis(50);

/// A topic to create.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicSpec {
    /// Topic name.
    pub name: String,
    /// Number of partitions; the partition ids are `0..partitions`.
    pub partitions: i32,
    /// The replication factor; `None` uses the cluster's default.
    pub replication: Option<i32>,
    /// Topic configs as name and value, such as `retention.ms`.
    pub configs: Vec<(String, String)>,
}

/// The result of creating one topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Creation {
    /// The topic is new.
    Created,
    /// The topic existed already and was not changed.
    Existed,
}

/// An existing topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicDescription {
    /// The topic name.
    pub name: String,
    /// The number of partitions.
    pub partitions: i32,
    /// The replication factor; the lowest of its partitions where they differ.
    pub replication: i32,
    /// Topic configs including defaults; `None` without permission to read them.
    pub configs: Option<BTreeMap<String, String>>,
}

/// Creates the topics that do not exist, and waits until the cluster describes them. Existing topics are not changed.
///
/// # Errors
/// `Retry` when the cluster does not answer; `Fatal` when it rejects a topic.
pub fn create_topics(cluster: &Cluster, topics: &[TopicSpec]) -> Result<Vec<(String, Creation)>, Error> {
    let call = "create_topics";
    let specs: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| {
            let replication = TopicReplication::Fixed(topic.replication.unwrap_or(-1));
            let spec = NewTopic::new(&topic.name, topic.partitions, replication);
            topic.configs.iter().fold(spec, |spec, (name, value)| spec.set(name, value))
        })
        .collect();
    let results = block_on(admin_client(cluster)?.create_topics(&specs, &admin_options(REQUEST_TIMEOUT)))
        .map_err(|error| request_error(cluster, call, &error))?;
    let created = results
        .into_iter()
        .map(|result| match result {
            Ok(name) => Ok((name, Creation::Created)),
            Err((name, Code::TopicAlreadyExists)) => Ok((name, Creation::Existed)),
            Err((name, code)) => {
                let (what, to_do) = match code {
                    Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => (
                        format!("not allowed to create {name}"),
                        "grant CREATE on the topic, or create it by other means",
                    ),
                    Code::InvalidReplicationFactor => (
                        format!("the cluster has too few brokers for the replication factor of {name}"),
                        "pass a smaller --replication",
                    ),
                    _ => (format!("the cluster rejects the topic {name}: {code}"), "check the logs of the brokers"),
                };
                Err(Error::new(Reaction::Fatal, call, code, what).with_to_do(to_do))
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    wait_until_described(cluster, &created)?;
    Ok(created)
}

/// Waits until the cluster describes the created topics, for `REQUEST_TIMEOUT` at most.
///
/// The controller confirms a topic before the brokers know it, so the check of a service that starts at once would
/// report the topic as missing.
fn wait_until_described(cluster: &Cluster, created: &[(String, Creation)]) -> Result<(), Error> {
    let mut new = created.iter().filter(|(_, creation)| *creation == Creation::Created).peekable();
    if new.peek().is_none() {
        return Ok(());
    }
    let client = query_client(cluster)?;
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    for (name, _) in new {
        // Describe may be denied although Create is allowed: an error ends the waiting.
        while matches!(describe_topic(cluster, &client, name), Ok(None)) && Instant::now() < deadline {
            thread::sleep(DESCRIBE_PAUSE);
        }
    }
    Ok(())
}

/// Describes topics in the order of `names`; the entry of a topic that does not exist is `None`.
///
/// # Errors
/// `Retry` when the cluster does not answer; `Fatal` when permissions are missing.
pub fn describe_topics(cluster: &Cluster, names: &[&str]) -> Result<Vec<Option<TopicDescription>>, Error> {
    let mut topics = Vec::with_capacity(names.len());
    let client = query_client(cluster)?;
    for name in names {
        topics.push(describe_topic(cluster, &client, name)?);
    }
    let existing: Vec<&str> = topics.iter().flatten().map(|it| it.name.as_str()).collect();
    if existing.is_empty() {
        return Ok(topics);
    }
    let resources: Vec<ResourceSpecifier<'_>> = existing.iter().map(|it| ResourceSpecifier::Topic(it)).collect();
    let results = block_on(admin_client(cluster)?.describe_configs(&resources, &admin_options(REQUEST_TIMEOUT)))
        .map_err(|error| request_error(cluster, "describe_configs", &error))?;
    for (topic, result) in topics.iter_mut().flatten().zip(results) {
        topic.configs = match result {
            Ok(resource) if resource.entries.is_empty() => None,
            Ok(resource) => Some(resource.entries.into_iter().filter_map(|it| Some((it.name, it.value?))).collect()),
            // The service does not need this permission. The topic check then reports the configs as unknown.
            Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => None,
            Err(code) => {
                let message = format!("cannot read the configs of the topic {}: {code}", topic.name);
                return Err(Error::new(Reaction::Retry, "describe_configs", code, message));
            }
        };
    }
    Ok(topics)
}

/// Returns the names of all topics that this client may see, without Kafka's internal ones, in ascending order.
///
/// # Errors
/// `Retry` when the cluster does not answer.
pub fn topic_names(cluster: &Cluster) -> Result<Vec<String>, Error> {
    let client = query_client(cluster)?;
    let metadata = client
        .fetch_metadata(None, REQUEST_TIMEOUT)
        .map_err(|error| connection_error("list_topics", &error, cluster, last_report(&client)))?;
    let mut names: Vec<_> = metadata.topics().iter().map(|topic| topic.name().to_owned()).collect();
    names.retain(|name| !name.starts_with("__"));
    names.sort();
    Ok(names)
}

/// Checks the topics of the service and returns all problems found.
///
/// # Errors
/// `Retry` when the cluster does not answer; `Fatal` when permissions are missing.
pub fn verify(cluster: &Cluster, topics: &Topics) -> Result<Vec<Finding>, Error> {
    let names = topics.names();
    let described = describe_topics(cluster, &names)?;
    let existing: BTreeMap<&str, &TopicDescription> =
        names.into_iter().zip(&described).filter_map(|(name, it)| Some((name, it.as_ref()?))).collect();
    Ok(topics.check(&existing))
}

/// Deletes the records of a partition before `offset`. Requires DELETE on the topic.
pub(in crate::kafka) fn delete_records(
    cluster: &Cluster,
    topic: &str,
    partition: PartitionId,
    offset: i64,
) -> Result<(), Error> {
    let call = "delete_records";
    let retriable = |error: Error| Error { reaction: Reaction::Retry, ..error };
    let request_failed = |error: &KafkaError| retriable(Error::of_query(call, error));
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(|error| request_failed(&error))?;
    let admin = admin_client(cluster).map_err(retriable)?;
    let response = block_on(admin.delete_records(&list, &admin_options(REQUEST_TIMEOUT)))
        .map_err(|error| request_failed(&error))?;
    for element in response.elements() {
        element.error().map_err(|error| {
            let denied = error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed);
            if denied {
                let what = format!("not allowed to delete records of {topic}");
                Error::new(Reaction::Retry, call, ErrorCode::TopicAuthorizationFailed, what)
                    .with_to_do(format!("grant DELETE on the topic {topic}"))
            } else {
                request_failed(&error)
            }
        })?;
    }
    Ok(())
}

fn describe_topic(
    cluster: &Cluster,
    client: &BaseConsumer<Context>,
    name: &str,
) -> Result<Option<TopicDescription>, Error> {
    let call = "describe_topics";
    let metadata = client
        .fetch_metadata(Some(name), REQUEST_TIMEOUT)
        .map_err(|error| connection_error(call, &error, cluster, last_report(client)))?;
    let Some(topic) = metadata.topics().iter().find(|it| it.name() == name) else { return Ok(None) };
    match topic.error().map(Code::from) {
        None => {}
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
        Some(Code::TopicAuthorizationFailed) => {
            let what = format!("not allowed to see the topic {name}");
            return Err(Error::new(Reaction::Fatal, call, ErrorCode::TopicAuthorizationFailed, what)
                .with_to_do("grant READ or WRITE on it, as `lifecycle topics --acls` prints"));
        }
        Some(Code::InvalidTopic) => {
            let what = format!("{name:?} is not a valid topic name");
            return Err(Error::new(Reaction::Fatal, call, ErrorCode::InvalidTopic, what)
                .with_to_do("use letters, digits, '.', '_' and '-'"));
        }
        Some(code) => {
            let message = format!("cannot describe the topic {name}: {code}");
            return Err(Error::new(Reaction::Retry, call, code, message));
        }
    }
    let replication = topic.partitions().iter().map(|it| it.replicas().len()).min().unwrap_or(0);
    Ok(Some(TopicDescription {
        name: name.to_owned(),
        partitions: to_i32(topic.partitions().len()),
        replication: to_i32(replication),
        configs: None,
    }))
}

/// Creates a client for metadata and offset queries. Its queries never auto-create a topic.
pub(in crate::kafka) fn query_client(cluster: &Cluster) -> Result<BaseConsumer<Context>, Error> {
    cluster
        .for_queries()
        .set("allow.auto.create.topics", "false")
        .create_with_context(Context::default())
        .map_err(|error| Error::of_creation("admin", &error))
}

pub(super) fn admin_client(cluster: &Cluster) -> Result<AdminClient<DefaultClientContext>, Error> {
    cluster
        .for_queries()
        // This client is never polled, so its log lines would accumulate in its queue.
        .set_log_level(RDKafkaLogLevel::Emerg)
        .create()
        .map_err(|error| Error::of_creation("admin", &error))
}

fn admin_options(timeout: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
}

fn request_error(cluster: &Cluster, call: &'static str, error: &KafkaError) -> Error {
    let denied =
        matches!(error, KafkaError::AdminOp(Code::ClusterAuthorizationFailed | Code::TopicAuthorizationFailed));
    let reaction = if denied { Reaction::Fatal } else { Reaction::Retry };
    // rdkafka does not return the code of a failed admin operation, and the code says whether the brokers answered.
    let error = match error {
        KafkaError::AdminOp(code) if !denied => &KafkaError::Global(*code),
        _ => error,
    };
    Error { reaction, ..connection_error(call, error, cluster, None) }
}

fn to_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
