//! Reads a topic once, partition by partition, up to the end that it had when the scan was opened.
//!
//! Only committed records are read; [`TopicScan::open_complete`] first waits for the transactions that are still open.
//! The client assigns the partitions itself: it joins no group and commits nothing.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::kafka::connection_error::connection_error;
use crate::kafka::context::Context;
use crate::kafka::error::{Error, Reaction};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::member::{PartitionId, Record, to_record};
use crate::kafka::settings::Cluster;

/// Timeout of one request to the cluster.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a partition may return nothing before the scan fails.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);
/// How long [`TopicScan::open_complete`] waits for open transactions.
const OPEN_TRANSACTIONS_TIMEOUT: Duration = Duration::from_mins(2);
/// Interval at which it asks whether they have ended.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Maximum duration of one poll.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);

/// A topic and the offsets to read.
pub struct TopicScan {
    client: BaseConsumer<Context>,
    topic: String,
    ranges: Vec<Range>,
}

#[derive(Clone, Copy)]
struct Range {
    partition: PartitionId,
    start: i64,
    end: i64,
}

/// A partition that is being read.
pub struct PartitionScan<'a> {
    scan: &'a TopicScan,
    partition: PartitionId,
    end: i64,
    is_finished: bool,
}

impl TopicScan {
    /// Determines the partitions of `topic` and their ends; `None` if the topic does not exist. The client needs
    /// `group_id` but does not join the group.
    ///
    /// # Errors
    /// `Fatal` when a setting is invalid or permissions are missing, `Retry` when the cluster does not answer.
    pub fn open(cluster: &Cluster, topic: &str, group_id: &str) -> Result<Option<Self>, Error> {
        let call = "scan";
        let client: BaseConsumer<Context> = cluster
            .for_queries()
            .set("group.id", group_id)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false")
            // At the end of a partition the broker waits this long for more records, which a scan does not read.
            .set("fetch.wait.max.ms", "10")
            .create_with_context(Context::default())
            .map_err(|error| Error::of_creation(call, &error))?;
        let metadata = client.fetch_metadata(Some(topic), REQUEST_TIMEOUT).map_err(|error| {
            drop(client.poll(Duration::from_millis(1)));
            connection_error(call, &error, cluster, client.context().take_error())
        })?;
        let Some(found) = metadata.topics().iter().find(|it| it.name() == topic && !it.partitions().is_empty()) else {
            return Ok(None);
        };
        let mut partitions: Vec<PartitionId> =
            found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect();
        partitions.sort_unstable();
        let range = |partition| {
            let (start, end) = client
                .fetch_watermarks(topic, partition, REQUEST_TIMEOUT)
                .map_err(|error| connection_error(call, &error, cluster, client.context().take_error()))?;
            Ok(Range { partition, start, end })
        };
        let ranges = partitions.into_iter().map(range).collect::<Result<_, Error>>()?;
        Ok(Some(Self { client, topic: topic.to_owned(), ranges }))
    }

    /// Opens a scan as [`TopicScan::open`] does, which includes every record that was committed before this call. An
    /// open transaction hides committed records behind it, so this call waits until those transactions have ended.
    ///
    /// # Errors
    /// As [`TopicScan::open`]; `Retry` when a transaction stays open.
    pub fn open_complete(cluster: &Cluster, topic: &str, group_id: &str) -> Result<Option<Self>, Error> {
        let call = "scan";
        let Some(mut scan) = Self::open(cluster, topic, group_id)? else { return Ok(None) };
        let uncommitted: BaseConsumer<Context> = cluster
            .for_queries()
            .set("isolation.level", "read_uncommitted")
            .set("allow.auto.create.topics", "false")
            .create_with_context(Context::default())
            .map_err(|error| Error::of_creation(call, &error))?;
        let deadline = Instant::now() + OPEN_TRANSACTIONS_TIMEOUT;
        for range in &mut scan.ranges {
            let (_, high_watermark) = uncommitted
                .fetch_watermarks(topic, range.partition, REQUEST_TIMEOUT)
                .map_err(|error| Error::of_query(call, &error).with_reported(uncommitted.context().take_error()))?;
            while range.end < high_watermark {
                if Instant::now() >= deadline {
                    let what = format!("a transaction is open on partition {} of {topic}", range.partition);
                    return Err(Error::new(Reaction::Retry, call, ErrorCode::OperationTimedOut, what)
                        .with_to_do("run `lifecycle doctor`, which names its owner"));
                }
                std::thread::sleep(RETRY_INTERVAL);
                (range.start, range.end) = scan
                    .client
                    .fetch_watermarks(topic, range.partition, REQUEST_TIMEOUT)
                    .map_err(|error| Error::of_query(call, &error).with_reported(scan.client.context().take_error()))?;
            }
        }
        Ok(Some(scan))
    }

    /// Returns the name of the topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns the partitions of the topic, in ascending order.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> + '_ {
        self.ranges.iter().map(|range| range.partition)
    }

    /// Starts to read `partition` from its first record. Only one partition can be read at a time.
    ///
    /// # Errors
    /// `Fatal` when the client rejects the assignment.
    pub fn read(&self, partition: PartitionId) -> Result<PartitionScan<'_>, Error> {
        self.read_from(partition, 0)
    }

    /// Starts to read `partition` from the first record at or after `offset`, as [`TopicScan::read`] does.
    ///
    /// # Errors
    /// `Fatal` when the client rejects the assignment.
    pub fn read_from(&self, partition: PartitionId, offset: i64) -> Result<PartitionScan<'_>, Error> {
        let range = self.ranges.iter().find(|range| range.partition == partition).copied();
        let range = range.map(|range| Range { start: range.start.max(offset), ..range });
        let Some(Range { start, end, .. }) = range.filter(|range| range.start < range.end) else {
            return Ok(PartitionScan { scan: self, partition, end: 0, is_finished: true });
        };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(start))
            .and_then(|()| self.client.assign(&list))
            .map_err(|error| Error::of_assignment("scan", &error))?;
        Ok(PartitionScan { scan: self, partition, end, is_finished: false })
    }
}

impl PartitionScan<'_> {
    /// Returns the next record; `None` at the end.
    ///
    /// # Errors
    /// When the partition cannot be read, or returns nothing for a minute.
    pub fn next_record(&mut self) -> Result<Option<Record>, Error> {
        let TopicScan { client, topic, .. } = self.scan;
        let deadline = Instant::now() + STALL_TIMEOUT;
        while !self.is_finished {
            match client.poll(POLL_TIMEOUT) {
                // The queue may still contain items of the partition read before.
                Some(Ok(message)) if message.partition() != self.partition => {}
                Some(Ok(message)) => {
                    let record = to_record(&message);
                    self.is_finished = record.offset + 1 >= self.end;
                    if record.offset < self.end {
                        return Ok(Some(record));
                    }
                }
                // The offsets up to the end may be markers of transactions, which are not records.
                Some(Err(KafkaError::PartitionEOF(partition))) => self.is_finished = partition == self.partition,
                Some(Err(error)) => {
                    if let Some(fatal) = Error::of_consuming("scan", &error, topic, client.context().take_error()) {
                        return Err(fatal);
                    }
                }
                None => {}
            }
            if !self.is_finished && Instant::now() >= deadline {
                let timed_out = KafkaError::MessageConsumption(Code::OperationTimedOut);
                return Err(Error::of_query("scan", &timed_out).with_reported(client.context().take_error()));
            }
        }
        Ok(None)
    }
}
