//! Reads one topic: takes records out of the client's queue, in slices, and knows how far it has read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::{Error, Reaction};
use super::listener::{Listener, Rebalance};
use super::member::{PartitionId, PartitionOffset, Record, RecordHeader};
use super::read_position::ReadPositions;

/// How long a question to the cluster may take before it is to be asked again.
pub(super) const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// What was taken from the client's queue.
#[derive(Default, Debug)]
pub(super) struct Taken {
    pub(super) records: Vec<Record>,
    /// Partitions whose records have all been taken.
    pub(super) ended: Vec<PartitionId>,
    /// What the group gave and took, after the records.
    pub(super) rebalances: Vec<Rebalance>,
    /// For how long there was nothing.
    pub(super) waited: Duration,
}

impl Taken {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.ended.is_empty() && self.rebalances.is_empty()
    }
}

/// A consumer of one topic.
pub(super) struct TopicReader {
    client: BaseConsumer<Listener>,
    topic: String,
    /// How far each partition was read.
    pub(super) positions: ReadPositions,
    /// The ends that statistics last named.
    ends: BTreeMap<PartitionId, i64>,
    /// Met while records were at hand; returned next time.
    postponed: Option<Error>,
    /// An instant at which the client had not yet made the statistics that it brings next: they overtake everything else, so
    /// a poll that brings something else finds none waiting.
    quiet_at: Instant,
    /// When the client was last known to be a member of the group with nothing under way.
    settled_at: Instant,
}

impl TopicReader {
    pub(super) fn new(config: &ClientConfig, topic: &str) -> Result<Self, Error> {
        let client =
            config.create_with_context(Listener::default()).map_err(|error| Error::of_creation("consumer", &error))?;
        Ok(Self {
            client,
            topic: topic.to_owned(),
            positions: ReadPositions::default(),
            ends: BTreeMap::new(),
            postponed: None,
            quiet_at: Instant::now(),
            settled_at: Instant::now(),
        })
    }

    pub(super) fn client(&self) -> &BaseConsumer<Listener> {
        &self.client
    }

    /// A list of partitions of the topic, without positions.
    pub(super) fn list(&self, partitions: impl IntoIterator<Item = PartitionId>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, partition);
        }
        list
    }

    /// A list of partitions of the topic, each at a position.
    pub(super) fn list_at(
        &self,
        positions: impl IntoIterator<Item = (PartitionId, Offset)>,
    ) -> Result<TopicPartitionList, Error> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            list.add_partition_offset(&self.topic, partition, offset)
                .map_err(|error| Error::of_assignment("position", &error))?;
        }
        Ok(list)
    }

    /// For how long the client may have been no member of the group without knowing.
    pub(super) fn unsettled_for(&self) -> Duration {
        self.settled_at.elapsed()
    }

    /// The end of a partition as last heard of.
    pub(super) fn end_seen(&self, partition: PartitionId) -> Option<i64> {
        self.ends.get(&partition).copied().filter(|&end| end >= 0)
    }

    /// How many partitions the topic has, as last heard of.
    pub(super) fn partitions_seen(&self) -> Option<usize> {
        (!self.ends.is_empty()).then_some(self.ends.len())
    }

    /// Waits up to `timeout` for anything, then takes what is at hand, `records_max` records at most.
    pub(super) fn read(&mut self, call: &'static str, records_max: usize, timeout: Duration) -> Result<Taken, Error> {
        if let Some(error) = self.postponed.take() {
            return Err(error);
        }
        let began = Instant::now();
        let deadline = began + timeout;
        let mut is_quiet = false;
        let listener = self.client.context();
        let mut taken = Taken::default();
        let mut wait = timeout;
        let mut came_at = None;
        loop {
            let reports_before = listener.reports();
            let item = self.client.poll(wait);
            let has_reported = listener.reports() != reports_before;
            is_quiet |= !has_reported;
            if has_reported {
                // Statistics overtake everything else, so they were made before the item.
                if let Some(statistics) = listener.take_statistics() {
                    self.positions.claim(&statistics.partitions);
                    if statistics.is_settled {
                        self.settled_at = self.quiet_at;
                    }
                    self.ends = statistics.partitions.iter().map(|(partition, it)| (*partition, it.end)).collect();
                }
                while let Some(rebalance) = listener.take_rebalance() {
                    // The client has emptied its queue, and fetches anew once the rebalance is answered.
                    self.positions.requeue_all();
                    taken.rebalances.push(rebalance);
                }
            }
            let mut is_drained = false;
            match item {
                Some(Ok(message)) => {
                    if self.positions.take(message.partition(), message.offset()) {
                        taken.ended.retain(|it| *it != message.partition());
                        taken.records.push(to_record(&message));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if self.positions.meet_end(partition) {
                        taken.ended.push(partition);
                    }
                }
                Some(Err(error)) => {
                    if let Some(fatal) = Error::of_reading(call, &error, &self.topic, listener.take_error()) {
                        if taken.is_empty() {
                            return Err(fatal);
                        }
                        self.postponed = Some(fatal);
                        break;
                    }
                }
                // A poll also returns nothing after it has served a report.
                None if has_reported => {}
                None => {
                    self.positions.drained();
                    is_drained = true;
                }
            }
            if taken.is_empty() {
                wait = deadline.saturating_duration_since(Instant::now());
                if wait.is_zero() {
                    break;
                }
            } else {
                came_at.get_or_insert_with(Instant::now);
                wait = Duration::ZERO;
                if is_drained || taken.records.len() >= records_max || !taken.rebalances.is_empty() {
                    break;
                }
            }
        }
        if is_quiet {
            self.quiet_at = began;
        }
        taken.waited = came_at.unwrap_or_else(Instant::now).saturating_duration_since(began);
        Ok(taken)
    }

    /// Moves to `positions`; what is queued of these partitions is thrown away.
    ///
    /// An assignment takes effect in the client's own time; until then it refuses to seek, so this tries again.
    pub(super) fn seek(&mut self, call: &'static str, positions: &[PartitionOffset]) -> Result<(), Error> {
        let deadline = Instant::now() + QUESTION_TIMEOUT;
        let mut left = positions.to_vec();
        while !left.is_empty() {
            let list = self.list_at(left.iter().map(|it| (it.partition, Offset::Offset(it.offset))))?;
            let remaining = deadline.saturating_duration_since(Instant::now());
            let answered = self
                .client
                .seek_partitions(list, remaining)
                .map_err(|error| Error { reaction: Reaction::Retry, ..Error::of_assignment(call, &error) })?;
            let mut refused = None;
            let mut again = Vec::new();
            for element in answered.elements() {
                if let Err(error) = element.error() {
                    refused = Some(error);
                    again.extend(left.iter().filter(|it| it.partition == element.partition()));
                } else if let Some(it) = left.iter().find(|it| it.partition == element.partition()) {
                    self.positions.begin(it.partition, it.offset);
                }
            }
            left = again;
            if let Some(error) = refused {
                if Instant::now() >= deadline {
                    return Err(Error { reaction: Reaction::Retry, ..Error::of_assignment(call, &error) });
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }

    /// The first offset in the partition, and the last stable offset as of now.
    pub(super) fn range(&self, call: &'static str, partition: PartitionId) -> Result<(i64, i64), Error> {
        let answer = self.client.fetch_watermarks(&self.topic, partition, QUESTION_TIMEOUT);
        answer.map_err(|error| {
            if error.rdkafka_error_code() == Some(Code::UnknownPartition) {
                // The client says so without asking, from what a broker has told it that was still starting. It is to ask before the
                // question is put again; whether that works shows then.
                drop(self.client.fetch_metadata(Some(&self.topic), QUESTION_TIMEOUT));
            }
            Error::of_question(call, &error).because(self.client.context().take_error())
        })
    }
}

fn to_record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().map(|it| RecordHeader { name: it.key.to_owned(), value: it.value.map(<[u8]>::to_vec) }).collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}
