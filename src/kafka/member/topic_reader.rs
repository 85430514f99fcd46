//! A consumer of one topic: polls records from the client's queue in bounded batches and tracks how far it has read.
//!
//! Group membership and manual assignment are left to its users, `group_consumer` and `log_reader`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::read_position::ReadPositions;
use super::stalled_reads::StalledReads;
use super::{EndOffsets, PartitionId, PartitionOffset, Record, RecordHeader};
use crate::kafka::context::{Context, Rebalance};
use crate::kafka::error::{Error, Reaction};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::log_throttle::CLIENT_LOG_THROTTLE;

/// Timeout of a read-only request to the cluster; the caller retries.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of reading a single record; the caller retries.
const RECORD_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum number of queued events removed at once.
const EVENTS_MAX: usize = 100;

/// The result of one [`TopicReader::read`]: the items polled from the client's queue.
#[derive(Default, Debug)]
pub(super) struct Polled {
    pub(super) records: Vec<Record>,
    /// Partitions that were polled to their end.
    pub(super) ended: Vec<PartitionId>,
    /// Changes of the assignment, in order; they follow the records.
    pub(super) rebalances: Vec<Rebalance>,
    /// How long the poll waited before the first item.
    pub(super) idle_time: Duration,
}

impl Polled {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.ended.is_empty() && self.rebalances.is_empty()
    }
}

/// A consumer of one topic with its read positions.
pub(super) struct TopicReader {
    client: BaseConsumer<Context>,
    topic: String,
    /// The read position of each partition.
    pub(super) positions: ReadPositions,
    /// The end offsets in the latest statistics; negative ones are unknown.
    end_offsets: BTreeMap<PartitionId, EndOffsets>,
    /// The errors from which the client recovers automatically, while positions do not move.
    stalled_reads: StalledReads,
    /// Errors since the last call of `take_transient_errors`.
    transient_errors: Vec<Error>,
    /// An error that a poll returned after other items; the next call of `read` returns it.
    deferred_error: Option<Error>,
    /// A lower bound of the time at which the client produced the next statistics to arrive: the start of the latest
    /// `read` in which a poll served no event. At that poll no statistics were waiting, because they overtake
    /// everything else in the queue.
    next_statistics_after: Instant,
    /// The last instant at which the client is known to have been in join state `steady`.
    steady_at: Instant,
}

impl TopicReader {
    pub(super) fn new(config: &ClientConfig, topic: &str) -> Result<Self, Error> {
        let client =
            config.create_with_context(Context::default()).map_err(|error| Error::of_creation("consumer", &error))?;
        Ok(Self {
            client,
            topic: topic.to_owned(),
            positions: ReadPositions::default(),
            end_offsets: BTreeMap::new(),
            stalled_reads: StalledReads::default(),
            transient_errors: Vec::new(),
            deferred_error: None,
            next_statistics_after: Instant::now(),
            steady_at: Instant::now(),
        })
    }

    pub(super) fn client(&self) -> &BaseConsumer<Context> {
        &self.client
    }

    /// Returns a list of partitions of the topic, without offsets.
    pub(super) fn list(&self, partitions: impl IntoIterator<Item = PartitionId>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, partition);
        }
        list
    }

    /// Returns a list of partitions of the topic with offsets.
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

    /// Returns the time since the membership was last confirmed.
    pub(super) fn time_since_steady(&self) -> Duration {
        self.steady_at.elapsed()
    }

    /// Returns the end offsets of a partition from the latest statistics.
    pub(super) fn cached_ends(&self, partition: PartitionId) -> Option<EndOffsets> {
        self.end_offsets.get(&partition).copied().filter(|ends| ends.last_stable >= 0 && ends.high_watermark >= 0)
    }

    /// Removes and returns the errors from which the client recovers automatically.
    pub(super) fn take_transient_errors(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.transient_errors)
    }

    /// Checks that the partitions in `fetched` make progress.
    ///
    /// # Errors
    /// `Fatal` when one of them has unread records and has not moved while the same error came back.
    pub(super) fn check_progress(&mut self, call: &'static str, fetched: &[PartitionId]) -> Result<(), Error> {
        let unread = fetched.iter().filter_map(|&partition| {
            let position = self.positions.read_position(partition)?;
            (self.end_offsets.get(&partition)?.last_stable > position).then_some((partition, position))
        });
        match self.stalled_reads.stalled(&unread.collect(), Instant::now()) {
            Some(stalled) => Err(Error::of_stalled_read(call, &self.topic, &stalled)),
            None => Ok(()),
        }
    }

    /// Returns the number of partitions of the topic from the latest statistics.
    pub(super) fn cached_partition_count(&self) -> Option<usize> {
        (!self.end_offsets.is_empty()).then_some(self.end_offsets.len())
    }

    /// Waits up to `timeout` for an item, then polls all queued items with at most `records_max` records.
    pub(super) fn read(&mut self, call: &'static str, records_max: usize, timeout: Duration) -> Result<Polled, Error> {
        if let Some(error) = self.deferred_error.take() {
            return Err(error);
        }
        let started = Instant::now();
        let deadline = started + timeout;
        let mut has_polled_without_event = false;
        let context = self.client.context();
        let mut polled = Polled::default();
        let mut wait = timeout;
        let mut first_item_at = None;
        loop {
            let events_before = context.event_count();
            let item = self.client.poll(wait);
            let has_served_event = context.event_count() != events_before;
            has_polled_without_event |= !has_served_event;
            if has_served_event {
                // Statistics overtake everything else, so they are handled before the item.
                if let Some(statistics) = context.take_statistics() {
                    self.positions.statistics_received(&statistics.partitions);
                    if statistics.is_steady {
                        self.steady_at = self.next_statistics_after;
                    }
                    self.end_offsets =
                        statistics.partitions.iter().map(|(partition, it)| (*partition, it.end_offsets())).collect();
                }
                while let Some(rebalance) = context.take_rebalance() {
                    // The client has discarded its queue, and fetches again once the rebalance is acknowledged.
                    self.positions.queue_discarded();
                    polled.rebalances.push(rebalance);
                }
            }
            let mut is_drained = false;
            match item {
                Some(Ok(message)) => {
                    if self.positions.accept_record(message.partition(), message.offset()) {
                        polled.ended.retain(|it| *it != message.partition());
                        polled.records.push(to_record(&message));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if self.positions.end_reached(partition) {
                        polled.ended.push(partition);
                    }
                }
                Some(Err(error)) => {
                    if let Some(fatal) = Error::of_consuming(call, &error, &self.topic, context.take_error()) {
                        if polled.is_empty() {
                            return Err(fatal);
                        }
                        self.deferred_error = Some(fatal);
                        break;
                    }
                    let transient = Error::of_transient(call, &error);
                    if Error::is_read_error(&error) {
                        self.stalled_reads.failed(transient.code, Instant::now());
                        if let Some(suppressed) = CLIENT_LOG_THROTTLE.admit(&transient.code.to_string(), Instant::now())
                        {
                            let code = transient.code;
                            tracing::warn!(target: "kafka", %code, suppressed, "cannot read records, client keeps retrying");
                        }
                    }
                    self.transient_errors.push(transient);
                }
                // A poll that has served an event may return nothing although the queue is not empty.
                None if has_served_event => {}
                None => {
                    self.positions.queue_drained();
                    is_drained = true;
                }
            }
            if polled.is_empty() {
                wait = deadline.saturating_duration_since(Instant::now());
                if wait.is_zero() {
                    break;
                }
            } else {
                first_item_at.get_or_insert_with(Instant::now);
                wait = Duration::ZERO;
                if is_drained || polled.records.len() >= records_max || !polled.rebalances.is_empty() {
                    break;
                }
            }
        }
        if has_polled_without_event {
            self.next_statistics_after = started;
        }
        polled.idle_time = first_item_at.unwrap_or_else(Instant::now).saturating_duration_since(started);
        Ok(polled)
    }

    /// Moves the read positions to `positions`; the client discards the queued records of these partitions.
    ///
    /// The client applies an assignment asynchronously and rejects a seek until then, so this retries until the
    /// timeout.
    pub(super) fn seek(&mut self, call: &'static str, positions: &[PartitionOffset]) -> Result<(), Error> {
        let deadline = Instant::now() + QUERY_TIMEOUT;
        let mut left = positions.to_vec();
        while !left.is_empty() {
            let list = self.list_at(left.iter().map(|it| (it.partition, Offset::Offset(it.offset))))?;
            let remaining = deadline.saturating_duration_since(Instant::now());
            let response = self
                .client
                .seek_partitions(list, remaining)
                .map_err(|error| Error { reaction: Reaction::Retry, ..Error::of_assignment(call, &error) })?;
            let mut seek_error = None;
            let mut retry = Vec::new();
            for element in response.elements() {
                if let Err(error) = element.error() {
                    seek_error = Some(error);
                    retry.extend(left.iter().filter(|it| it.partition == element.partition()));
                } else if let Some(it) = left.iter().find(|it| it.partition == element.partition()) {
                    self.positions.start(it.partition, it.offset);
                }
            }
            left = retry;
            if let Some(error) = seek_error {
                if Instant::now() >= deadline {
                    return Err(Error { reaction: Reaction::Retry, ..Error::of_assignment(call, &error) });
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }

    /// Reads the record at `offset`; `None` when the partition has no record there. The reader must have no assignment.
    pub(super) fn record_at(
        &mut self,
        call: &'static str,
        partition: PartitionId,
        offset: i64,
    ) -> Result<Option<Record>, Error> {
        let retriable = |error| Error { reaction: Reaction::Retry, ..Error::of_assignment(call, &error) };
        let list = self.list_at([(partition, Offset::Offset(offset))])?;
        // An error of the record read before says nothing about this partition. An offset out of range would seem to
        // prove that the topic was recreated.
        self.deferred_error = None;
        self.positions.start(partition, offset);
        self.client.assign(&list).map_err(retriable)?;
        let deadline = Instant::now() + RECORD_TIMEOUT;
        let found = loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            match self.read(call, 1, wait) {
                Ok(polled) => {
                    if let Some(record) = polled.records.into_iter().next() {
                        break Ok((record.offset == offset).then_some(record));
                    }
                    if !polled.ended.is_empty() {
                        break Ok(None);
                    }
                    if wait.is_zero() {
                        let message = "the broker did not return the record in time";
                        break Err(Error::new(Reaction::Retry, call, ErrorCode::OperationTimedOut, message));
                    }
                }
                Err(error) if error.is_out_of_range() => break Ok(None),
                Err(error) => break Err(error),
            }
        };
        self.positions.stop(partition);
        self.client.unassign().map_err(retriable)?;
        found
    }

    /// Removes the client's queued events. A reader without an assignment must do so from time to time, because nothing
    /// else polls it.
    pub(super) fn discard_events(&self) {
        for _ in 0..EVENTS_MAX {
            if self.client.poll(Duration::ZERO).is_none() {
                break;
            }
        }
    }

    /// Asks the broker for the log start offset and, depending on the isolation level of the client, the last stable
    /// offset or the high watermark of the partition.
    pub(super) fn range(&self, call: &'static str, partition: PartitionId) -> Result<(i64, i64), Error> {
        let response = self.client.fetch_watermarks(&self.topic, partition, QUERY_TIMEOUT);
        response.map_err(|error| {
            if error.rdkafka_error_code() == Some(Code::UnknownPartition) {
                // The client answers this from its metadata cache, which may come from a broker that was still
                // starting. Refresh the cache before the caller retries; if the refresh fails, the retry fails too.
                drop(self.client.fetch_metadata(Some(&self.topic), QUERY_TIMEOUT));
            }
            Error::of_query(call, &error).with_reported(self.client.context().take_error())
        })
    }
}

/// Copies a message out of the client.
pub(in crate::kafka) fn to_record(message: &BorrowedMessage<'_>) -> Record {
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
