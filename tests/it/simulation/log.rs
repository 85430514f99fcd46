//! A log in memory with what Kafka does that matters to correctness: offsets with holes where control records lie,
//! transactions and the last stable offset, offsets committed within them, fencing, the transaction timeout.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lifecycle_processor::kafka::{Outgoing, PartitionId, Record};

use super::faults::Faults;
use super::group::Group;

/// After how long the broker aborts a transaction and fences its producer.
pub(crate) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The names of the topics.
pub(crate) const TOUCHPOINTS: &str = "touchpoints";
pub(crate) const CHANGELOG: &str = "changelog";
pub(crate) const TRANSITIONS: &str = "transitions";
pub(crate) const REPLAY: &str = "transitions-replay";
pub(crate) const DEAD_LETTERS: &str = "dead-letters";

/// A broker, its topics and its one group.
pub(crate) struct Log {
    topics: BTreeMap<&'static str, Vec<PartitionLog>>,
    transactions: Vec<Transaction>,
    epochs: BTreeMap<String, u64>,
    /// What the group has committed: offset and text.
    pub(crate) committed: BTreeMap<PartitionId, (i64, String)>,
    pub(crate) group: Group,
    pub(crate) faults: Faults,
    pub(crate) elapsed: Duration,
}

#[derive(Default)]
struct PartitionLog {
    start: i64,
    entries: Vec<Entry>,
}

enum Entry {
    Data { record: Record, transaction: Option<usize> },
    Control,
}

/// Whether a transaction is open, and how it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Open,
    Committed,
    Aborted,
}

struct Transaction {
    owner: String,
    state: State,
    began: Duration,
    touched: BTreeSet<(&'static str, usize)>,
    offsets: Vec<(PartitionId, i64, String)>,
    /// A commit message that is still on its way.
    commit_at: Option<Duration>,
}

impl Log {
    pub(crate) fn new(partitions: PartitionId, faults: Faults) -> Self {
        let many = || (0..partitions).map(|_| PartitionLog::default()).collect();
        let one = || vec![PartitionLog::default()];
        let topics = BTreeMap::from([
            (TOUCHPOINTS, many()),
            (CHANGELOG, many()),
            (TRANSITIONS, one()),
            (REPLAY, one()),
            (DEAD_LETTERS, one()),
        ]);
        Self {
            topics,
            transactions: Vec::new(),
            epochs: BTreeMap::new(),
            committed: BTreeMap::new(),
            group: Group::new(partitions),
            faults,
            elapsed: Duration::ZERO,
        }
    }

    /// Lets time pass: messages arrive, transactions time out.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.elapsed += by;
        for index in 0..self.transactions.len() {
            let transaction = &self.transactions[index];
            if transaction.state != State::Open {
                continue;
            }
            if transaction.commit_at.is_some_and(|at| at <= self.elapsed) {
                self.end(index, State::Committed);
            } else if transaction.began + TRANSACTION_TIMEOUT <= self.elapsed {
                let owner = transaction.owner.clone();
                self.end(index, State::Aborted);
                *self.epochs.entry(owner).or_default() += 1;
            }
        }
    }

    /// Appends a record that belongs to no transaction.
    pub(crate) fn append(&mut self, topic: &'static str, partition: PartitionId, key: &str, value: Option<&[u8]>) {
        let record = Record {
            partition,
            offset: 0,
            timestamp_ms: Some(0),
            key: Some(key.as_bytes().to_vec()),
            value: value.map(<[u8]>::to_vec),
            headers: Vec::new(),
        };
        self.push(topic, partition, record, None);
    }

    /// Appends a control record, as a transaction of whoever writes the topic leaves it.
    pub(crate) fn append_control(&mut self, topic: &'static str, partition: PartitionId) {
        self.partition_mut(topic, partition).entries.push(Entry::Control);
    }

    /// The first offset and the last stable one.
    pub(crate) fn range(&self, topic: &str, partition: PartitionId) -> (i64, i64) {
        let log = self.partition(topic, partition);
        let is_open = |entry: &Entry| matches!(entry, Entry::Data { transaction: Some(index), .. } if self.transactions[*index].state == State::Open);
        let stable = log.entries.iter().position(is_open).unwrap_or(log.entries.len());
        (log.start, i64::try_from(stable).expect("a test writes few records"))
    }

    /// Committed records from `position` on, `records_max` at most, and the position after them and all that is invisible behind.
    pub(crate) fn read(
        &self,
        topic: &str,
        partition: PartitionId,
        position: i64,
        records_max: usize,
    ) -> (Vec<Record>, i64) {
        let (start, stable) = self.range(topic, partition);
        assert!(position >= start, "{topic} {partition}: position {position} lies below the start {start}");
        let mut records = Vec::new();
        let mut next = position;
        while next < stable {
            let entry = &self.partition(topic, partition).entries[usize::try_from(next).expect("no negative offsets")];
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

    /// Every committed record of a topic.
    pub(crate) fn read_all(&self, topic: &str) -> Vec<Record> {
        let partitions = 0..self.topics[topic].len();
        partitions
            .flat_map(|partition| {
                let partition = PartitionId::try_from(partition).expect("a test has few partitions");
                self.read(topic, partition, self.partition(topic, partition).start, usize::MAX).0
            })
            .collect()
    }

    pub(crate) fn truncate(&mut self, topic: &'static str, partition: PartitionId, offset: i64) {
        let log = self.partition_mut(topic, partition);
        assert!(offset <= i64::try_from(log.entries.len()).expect("a test writes few records"));
        log.start = log.start.max(offset);
    }

    /// Makes a producer the only one of its id: fences those before it and aborts what they left open.
    pub(crate) fn init_producer(&mut self, owner: &str) -> u64 {
        for index in 0..self.transactions.len() {
            if self.transactions[index].owner == owner && self.transactions[index].state == State::Open {
                self.end(index, State::Aborted);
            }
        }
        let epoch = self.epochs.entry(owner.to_owned()).or_default();
        *epoch += 1;
        *epoch
    }

    pub(crate) fn is_fenced(&self, owner: &str, epoch: u64) -> bool {
        self.epochs.get(owner) != Some(&epoch)
    }

    pub(crate) fn begin(&mut self, owner: &str) -> usize {
        self.transactions.push(Transaction {
            owner: owner.to_owned(),
            state: State::Open,
            began: self.elapsed,
            touched: BTreeSet::new(),
            offsets: Vec::new(),
            commit_at: None,
        });
        self.transactions.len() - 1
    }

    pub(crate) fn write(&mut self, transaction: usize, outgoing: Outgoing) -> i64 {
        let topic = *self.topics.keys().find(|topic| **topic == &*outgoing.topic).expect("a known topic");
        let partition = outgoing.partition.unwrap_or(0);
        let Outgoing { key, value, headers, timestamp_ms, .. } = outgoing;
        let record = Record { partition, offset: 0, timestamp_ms: Some(timestamp_ms), key, value, headers };
        let index = usize::try_from(partition).expect("no negative partitions");
        self.transactions[transaction].touched.insert((topic, index));
        self.push(topic, partition, record, Some(transaction))
    }

    pub(crate) fn add_offsets(&mut self, transaction: usize, offsets: Vec<(PartitionId, i64, String)>) {
        self.transactions[transaction].offsets = offsets;
    }

    /// Lets the commit message of `transaction` arrive later.
    pub(crate) fn delay_commit(&mut self, transaction: usize, at: Duration) {
        self.transactions[transaction].commit_at = Some(at);
    }

    pub(crate) fn end(&mut self, transaction: usize, state: State) {
        let ended = &mut self.transactions[transaction];
        assert_eq!(ended.state, State::Open, "a transaction ends once");
        ended.state = state;
        let (touched, offsets) = (ended.touched.clone(), ended.offsets.clone());
        for (topic, partition) in touched {
            self.topics.get_mut(topic).expect("a known topic")[partition].entries.push(Entry::Control);
        }
        if state == State::Committed {
            for (partition, offset, metadata) in offsets {
                let before = self.committed.insert(partition, (offset, metadata));
                assert!(
                    before.is_none_or(|(before, _)| before <= offset),
                    "partition {partition}: the committed offset went back"
                );
            }
        }
    }

    /// Whether an open transaction may still change the committed offset.
    pub(crate) fn is_unstable(&self, partition: PartitionId) -> bool {
        let touches = |transaction: &Transaction| transaction.offsets.iter().any(|(known, ..)| *known == partition);
        self.transactions.iter().any(|transaction| transaction.state == State::Open && touches(transaction))
    }

    fn push(
        &mut self,
        topic: &'static str,
        partition: PartitionId,
        mut record: Record,
        transaction: Option<usize>,
    ) -> i64 {
        let entries = &mut self.partition_mut(topic, partition).entries;
        record.offset = i64::try_from(entries.len()).expect("a test writes few records");
        let offset = record.offset;
        entries.push(Entry::Data { record, transaction });
        offset
    }

    fn visible<'a>(&self, entry: &'a Entry) -> Option<&'a Record> {
        match entry {
            Entry::Data { record, transaction: None } => Some(record),
            Entry::Data { record, transaction: Some(index) } => {
                (self.transactions[*index].state == State::Committed).then_some(record)
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
