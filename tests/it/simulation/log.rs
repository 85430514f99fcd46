//! An in-memory broker with the properties of Kafka that matter for correctness: control records and aborted records
//! leave gaps in the offsets, and a read-committed consumer reads only up to the last stable offset.
//!
//! The transaction coordinator is in `transactions`, the group coordinator in `group`.

use std::collections::BTreeMap;
use std::time::Duration;

use lifecycle_processor::kafka::{PartitionId, Record};

use super::faults::Faults;
use super::group::Group;
use super::history::InputRecord;
use super::transactions::{State, Transactions};

/// Names of the topics.
pub(crate) const TOUCHPOINTS: &str = "touchpoints";
pub(crate) const CHANGELOG: &str = "changelog";
pub(crate) const TRANSITIONS: &str = "transitions";
pub(crate) const REPLAY: &str = "transitions-replay";
pub(crate) const DEAD_LETTERS: &str = "dead-letters";
pub(crate) const HAND_OVERS: &str = "hand-overs";

/// A broker with its topics and a single group.
pub(crate) struct Log {
    topics: BTreeMap<&'static str, Vec<PartitionLog>>,
    pub(super) transactions: Transactions,
    /// Truncations that take effect later: when, which partition, and the new start.
    truncations: Vec<(Duration, PartitionId, i64)>,
    /// The committed offset and metadata of each partition.
    pub(crate) committed: BTreeMap<PartitionId, (i64, String)>,
    pub(crate) group: Group,
    pub(crate) faults: Faults,
    pub(crate) elapsed: Duration,
    pub(crate) transaction_timeout: Duration,
    /// Whether the workers lack the permission to delete changelog records.
    pub(crate) forbids_truncation: bool,
}

#[derive(Default)]
struct PartitionLog {
    start: i64,
    entries: Vec<Entry>,
    /// First offset of each transaction whose control record has not been written to this partition yet.
    pending: BTreeMap<usize, i64>,
}

enum Entry {
    Data { record: Record, transaction: Option<usize> },
    Control,
}

impl PartitionLog {
    fn end(&self) -> i64 {
        i64::try_from(self.entries.len()).expect("a test writes few records")
    }

    /// The last stable offset.
    fn last_stable_offset(&self) -> i64 {
        self.pending.values().copied().min().unwrap_or_else(|| self.end())
    }
}

impl Log {
    pub(crate) fn new(partitions: PartitionId, faults: Faults) -> Self {
        let partitioned = || (0..partitions).map(|_| PartitionLog::default()).collect();
        let single = || vec![PartitionLog::default()];
        let topics = BTreeMap::from([
            (TOUCHPOINTS, partitioned()),
            (CHANGELOG, partitioned()),
            (HAND_OVERS, partitioned()),
            (TRANSITIONS, single()),
            (REPLAY, single()),
            (DEAD_LETTERS, single()),
        ]);
        Self {
            topics,
            transactions: Transactions::default(),
            truncations: Vec::new(),
            committed: BTreeMap::new(),
            group: Group::new(partitions),
            faults,
            elapsed: Duration::ZERO,
            transaction_timeout: Duration::from_secs(10),
            forbids_truncation: false,
        }
    }

    /// Advances time: late requests arrive, transactions time out, and delayed truncations take effect.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.elapsed += by;
        self.advance_transactions();
        let (due, left) = self.truncations.drain(..).partition(|(at, ..)| *at <= self.elapsed);
        self.truncations = left;
        let due: Vec<(Duration, PartitionId, i64)> = due;
        for (_, partition, offset) in due {
            self.truncate(partition, offset);
        }
    }

    /// Appends a record without a transaction.
    pub(crate) fn append(&mut self, topic: &'static str, partition: PartitionId, record: &InputRecord) {
        self.push(topic, partition, input_record(record), None);
    }

    /// Appends a control record, as if an upstream producer had ended a transaction.
    pub(crate) fn append_control(&mut self, topic: &'static str, partition: PartitionId) {
        self.partition_mut(topic, partition).entries.push(Entry::Control);
    }

    /// Writes the control record of a transaction, so that the last stable offset can pass its records.
    pub(super) fn write_control_record(&mut self, topic: &'static str, partition: PartitionId, transaction: usize) {
        let log = self.partition_mut(topic, partition);
        if log.pending.remove(&transaction).is_some() {
            log.entries.push(Entry::Control);
        }
    }

    /// Returns the first offset and the last stable offset.
    pub(crate) fn range(&self, topic: &str, partition: PartitionId) -> (i64, i64) {
        let log = self.partition(topic, partition);
        (log.start, log.last_stable_offset())
    }

    /// Returns the high watermark: all records below it are acknowledged, also those behind an open transaction.
    pub(crate) fn high_watermark(&self, topic: &str, partition: PartitionId) -> i64 {
        self.partition(topic, partition).end()
    }

    /// Returns the record at `offset`, committed or not.
    pub(crate) fn record_at(&self, topic: &str, partition: PartitionId, offset: i64) -> Option<Record> {
        let log = self.partition(topic, partition);
        match log.entries.get(usize::try_from(offset).ok()?)? {
            Entry::Data { record, .. } if offset >= log.start => Some(record.clone()),
            Entry::Data { .. } | Entry::Control => None,
        }
    }

    /// Whether no record in the partition belongs to an open transaction.
    pub(crate) fn has_no_open_transactions(&self, topic: &str, partition: PartitionId) -> bool {
        self.partition(topic, partition).pending.is_empty()
    }

    /// Returns up to `records_max` committed records from `position` on, and the next position, which is after the
    /// control and aborted records that follow them.
    pub(crate) fn read(
        &self,
        topic: &str,
        partition: PartitionId,
        position: i64,
        records_max: usize,
    ) -> (Vec<Record>, i64) {
        let log = self.partition(topic, partition);
        let (start, last_stable_offset) = (log.start, log.last_stable_offset());
        assert!(position >= start, "{topic} {partition}: position {position} is below the log start {start}");
        let mut records = Vec::new();
        let mut next = position;
        while next < last_stable_offset {
            let entry = &log.entries[usize::try_from(next).expect("no negative offsets")];
            if let Some(record) = self.visible(entry) {
                if records.len() == records_max {
                    break;
                }
                records.push(record.clone());
            }
            next += 1;
        }
        (records, next)
    }

    /// Returns every committed record of a topic.
    pub(crate) fn read_all(&self, topic: &str) -> Vec<Record> {
        let partitions = 0..self.topics[topic].len();
        partitions
            .flat_map(|partition| {
                let partition = PartitionId::try_from(partition).expect("a test has few partitions");
                self.read(topic, partition, self.partition(topic, partition).start, usize::MAX).0
            })
            .collect()
    }

    /// Deletes the changelog records before `offset`, now or at the time `later`.
    pub(crate) fn truncate_at(&mut self, partition: PartitionId, offset: i64, later: Option<Duration>) {
        match later {
            Some(at) => self.truncations.push((at, partition, offset)),
            None => self.truncate(partition, offset),
        }
    }

    pub(crate) fn has_pending_truncations(&self) -> bool {
        !self.truncations.is_empty()
    }

    fn truncate(&mut self, partition: PartitionId, offset: i64) {
        let log = self.partition_mut(CHANGELOG, partition);
        assert!(offset <= log.end(), "the changelog of {partition} is truncated past its end");
        log.start = log.start.max(offset);
    }

    /// Returns the static name of a topic.
    pub(super) fn topic(&self, name: &str) -> &'static str {
        self.topics.keys().find(|topic| **topic == name).expect("a known topic")
    }

    pub(super) fn push(
        &mut self,
        topic: &'static str,
        partition: PartitionId,
        mut record: Record,
        transaction: Option<usize>,
    ) -> i64 {
        let log = self.partition_mut(topic, partition);
        record.offset = log.end();
        record.partition = partition;
        let offset = record.offset;
        if let Some(transaction) = transaction {
            log.pending.entry(transaction).or_insert(offset);
        }
        log.entries.push(Entry::Data { record, transaction });
        offset
    }

    fn visible<'a>(&self, entry: &'a Entry) -> Option<&'a Record> {
        match entry {
            Entry::Data { record, transaction: None } => Some(record),
            Entry::Data { record, transaction: Some(index) } => {
                (self.transactions.state(*index) == State::Committed).then_some(record)
            }
            Entry::Control => None,
        }
    }

    fn partition(&self, topic: &str, partition: PartitionId) -> &PartitionLog {
        &self.topics[topic][usize::try_from(partition).expect("no negative partitions")]
    }

    fn partition_mut(&mut self, topic: &'static str, partition: PartitionId) -> &mut PartitionLog {
        let partitions = self.topics.get_mut(topic).expect("a known topic");
        &mut partitions[usize::try_from(partition).expect("no negative partitions")]
    }
}

/// Returns a record as an upstream producer writes it.
pub(super) fn input_record(record: &InputRecord) -> Record {
    Record {
        partition: 0,
        offset: 0,
        timestamp_ms: Some(record.arrives_at),
        key: Some(record.key.as_bytes().to_vec()),
        value: record.value.clone(),
        headers: Vec::new(),
    }
}
