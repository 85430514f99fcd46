//! The consumer of a subscriber.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::context::SubscriberContext;
use super::{Committed, SubscriberEvent, SubscriberOptions, TopicPartition};
use crate::kafka::error::{Error, Reaction};
use crate::kafka::member::to_record;

/// Timeout of a request; the caller retries.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time to leave the group when a subscriber is dropped.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A member of a consumer group without transactions. Used by one thread; every call blocks.
pub struct Subscriber {
    /// `None` once the member has left.
    client: Option<BaseConsumer<SubscriberContext>>,
    /// The names of the topics, shared by all partitions.
    topics: Vec<Arc<str>>,
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Subscriber").field("topics", &self.topics).finish_non_exhaustive()
    }
}

impl Subscriber {
    /// Joins the group.
    ///
    /// # Errors
    /// `Fatal` when a setting is invalid.
    pub fn join(options: &SubscriberOptions) -> Result<Self, Error> {
        let mut config = options.cluster.for_queries();
        config
            .set("client.id", &options.client_id)
            .set("group.id", &options.group_id)
            .set("session.timeout.ms", options.session_timeout.as_millis().to_string())
            .set("heartbeat.interval.ms", "1000")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // If retention deletes records before they are read, reading continues at the first that exists.
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("allow.auto.create.topics", "false")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", "2000")
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("fetch.wait.max.ms", "100")
            // The caller limits what it holds; this is what the client holds beside it.
            .set("queued.max.messages.kbytes", "8192");
        let client: BaseConsumer<SubscriberContext> = config
            .create_with_context(SubscriberContext::default())
            .map_err(|error| Error::of_creation("subscriber", &error))?;
        let topics: Vec<&str> = options.topics.iter().map(String::as_str).collect();
        client.subscribe(&topics).map_err(|error| Error::of_assignment("subscribe", &error))?;
        Ok(Self { client: Some(client), topics: topics.into_iter().map(Arc::from).collect() })
    }

    fn client(&self) -> &BaseConsumer<SubscriberContext> {
        self.client.as_ref().expect("a member that has left is not used again")
    }

    /// Waits up to `timeout` for an event, then returns all pending ones with at most `records_max` records.
    ///
    /// # Errors
    /// `Fatal` when an operator must act: a permission or a topic is missing.
    pub fn poll(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<SubscriberEvent>, Error> {
        let client = self.client();
        let mut events = Vec::new();
        let mut wait = timeout;
        while events.len() < records_max {
            let item = client.poll(wait);
            let is_empty = item.is_none();
            match item {
                Some(Ok(message)) => {
                    let partition =
                        TopicPartition { topic: self.topic(message.topic()), partition: message.partition() };
                    events.push(SubscriberEvent::Record(partition, to_record(&message)));
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => {
                    let reported = client.context().reports().take_error();
                    match Error::of_consuming("poll", &error, &self.topics.join(", "), reported) {
                        Some(fatal) if events.is_empty() => return Err(fatal),
                        Some(_) => break,
                        None => tracing::debug!(target: "kafka", %error, "cannot read records, client keeps retrying"),
                    }
                }
            }
            while let Some(rebalance) = client.context().take_rebalance() {
                events.push(rebalance);
            }
            if is_empty {
                break;
            }
            wait = Duration::ZERO;
        }
        Ok(events)
    }

    fn topic(&self, name: &str) -> Arc<str> {
        self.topics.iter().find(|it| &***it == name).cloned().unwrap_or_else(|| Arc::from(name))
    }

    /// Returns what the group has committed for `partitions`, and which offsets exist.
    ///
    /// # Errors
    /// `Retry` when the cluster does not answer; `Fatal` when a permission is missing.
    pub fn committed(&self, partitions: &[TopicPartition]) -> Result<Vec<Committed>, Error> {
        let query_error = |error: &KafkaError| Error::of_query("committed", error);
        let response =
            self.client().committed_offsets(list(partitions), QUERY_TIMEOUT).map_err(|error| query_error(&error))?;
        let mut committed = Vec::new();
        for partition in partitions {
            let element = response.find_partition(&partition.topic, partition.partition).ok_or_else(|| {
                Error::new(Reaction::Retry, "committed", crate::kafka::ErrorCode::NoGroup, "no answer")
            })?;
            element.error().map_err(|error| query_error(&error))?;
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let (start, end) = self.range(partition)?;
            committed.push(Committed {
                partition: partition.clone(),
                offset,
                metadata: element.metadata().to_owned(),
                start,
                end,
            });
        }
        Ok(committed)
    }

    /// Returns the offset of the first record of a partition, and the offset after its last one.
    ///
    /// # Errors
    /// As [`committed`](Self::committed).
    pub fn range(&self, partition: &TopicPartition) -> Result<(i64, i64), Error> {
        let range = self.client().fetch_watermarks(&partition.topic, partition.partition, QUERY_TIMEOUT);
        range.map_err(|error| Error::of_query("watermarks", &error))
    }

    /// Accepts assigned partitions, and reads each from its offset on.
    ///
    /// # Errors
    /// If the client rejects the assignment.
    pub fn assign(&mut self, positions: &[(TopicPartition, i64)]) -> Result<(), Error> {
        let mut assigned = TopicPartitionList::new();
        for (partition, offset) in positions {
            assigned
                .add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset))
                .map_err(|error| Error::of_assignment("assign", &error))?;
        }
        self.client().incremental_assign(&assigned).map_err(|error| Error::of_assignment("assign", &error))
    }

    /// Gives up partitions, so that the rebalance can proceed.
    ///
    /// # Errors
    /// If the client rejects it.
    pub fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let list = list(partitions);
        // The client keeps the paused state of a partition across assignments.
        self.client()
            .resume(&list)
            .and_then(|()| self.client().incremental_unassign(&list))
            .map_err(|error| Error::of_assignment("unassign", &error))
    }

    /// Stops reading from `partitions`.
    ///
    /// # Errors
    /// If the client rejects it.
    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.client().pause(&list(partitions)).map_err(|error| Error::of_assignment("pause", &error))
    }

    /// Reads from `partitions` again.
    ///
    /// # Errors
    /// If the client rejects it.
    pub fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.client().resume(&list(partitions)).map_err(|error| Error::of_assignment("resume", &error))
    }

    /// Commits offsets with their metadata. Without `is_awaited` it returns at once, and
    /// [`take_failed_commit`](Self::take_failed_commit) reports a failure.
    ///
    /// # Errors
    /// `Retry` when the coordinator does not answer or has another owner for a partition.
    pub fn commit(&mut self, offsets: &[(TopicPartition, i64, String)], is_awaited: bool) -> Result<(), Error> {
        if offsets.is_empty() {
            return Ok(());
        }
        let retry = |error: &KafkaError| Error { reaction: Reaction::Retry, ..Error::of_query("commit", error) };
        let mut committed = TopicPartitionList::new();
        for (partition, offset, metadata) in offsets {
            let mut element = committed.add_partition(&partition.topic, partition.partition);
            element.set_offset(Offset::Offset(*offset)).map_err(|error| retry(&error))?;
            element.set_metadata(metadata);
        }
        let mode = if is_awaited { CommitMode::Sync } else { CommitMode::Async };
        self.client().commit(&committed, mode).map_err(|error| retry(&error))
    }

    /// Returns whether a commit that was not awaited has failed since the last call.
    pub fn take_failed_commit(&mut self) -> bool {
        self.client().context().take_failed_commit()
    }

    /// Leaves the group.
    pub fn leave(&mut self, timeout: Duration) {
        let Some(client) = self.client.take() else { return };
        client.context().begin_closing();
        // Closing waits for the brokers, possibly indefinitely, so it runs on its own thread.
        let (left, has_left) = mpsc::channel();
        let started = Instant::now();
        thread::spawn(move || {
            drop(client);
            let _receiver_timed_out = left.send(());
        });
        if has_left.recv_timeout(timeout).is_err() {
            let waited = started.elapsed();
            tracing::warn!(target: "kafka", ?waited, "group coordinator did not confirm the leave request in time");
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.leave(LEAVE_TIMEOUT);
    }
}

fn list(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition);
    }
    list
}
