//! The transaction coordinator: producer epochs, requests that arrive late or twice, transaction markers written one
//! after the other, and timeouts.
//!
//! As in the protocol version that the client library uses, the epoch does not change between transactions: a late
//! request of a transaction is applied to the next one unless the producer was reset in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lifecycle_processor::kafka::{PartitionId, ProducerRecord, Record};
use lifecycle_processor::wire::offset_metadata::OffsetMetadata;

use super::log::Log;

/// State of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Open,
    Committed,
    Aborted,
}

/// A request for the open transaction of a producer.
#[derive(Clone)]
pub(crate) enum Request {
    End(State),
    Offsets(Vec<(PartitionId, i64, String)>),
}

/// All transactions so far, and the requests in flight.
#[derive(Default)]
pub(crate) struct Transactions {
    all: Vec<Transaction>,
    /// The open transaction of each producer.
    open: BTreeMap<String, usize>,
    /// Transactions that are open, or have ended but have markers still to be written.
    with_pending_markers: BTreeSet<usize>,
    epochs: BTreeMap<String, u64>,
    in_flight: Vec<InFlight>,
}

struct Transaction {
    owner: String,
    state: State,
    began_at: Duration,
    partitions: BTreeSet<(&'static str, PartitionId)>,
    offsets: Vec<(PartitionId, i64, String)>,
    /// Markers still to be written, and when.
    markers: Vec<(Duration, Marker)>,
}

#[derive(Clone, Copy)]
enum Marker {
    Partition(&'static str, PartitionId),
    Offsets,
}

struct InFlight {
    at: Duration,
    owner: String,
    epoch: u64,
    request: Request,
}

impl Transactions {
    pub(super) fn state(&self, transaction: usize) -> State {
        self.all[transaction].state
    }

    pub(crate) fn is_fenced(&self, owner: &str, epoch: u64) -> bool {
        self.epochs.get(owner) != Some(&epoch)
    }

    /// Whether an open transaction may still change the committed offset.
    pub(crate) fn is_unstable(&self, partition: PartitionId) -> bool {
        self.with_pending_markers
            .iter()
            .any(|&index| self.all[index].offsets.iter().any(|(known, ..)| *known == partition))
    }

    pub(crate) fn has_open(&self, owner: &str) -> bool {
        self.open.contains_key(owner)
    }
}

impl Log {
    pub(super) fn advance_transactions(&mut self) {
        let elapsed = self.elapsed;
        let mut index = 0;
        while index < self.transactions.in_flight.len() {
            if self.transactions.in_flight[index].at <= elapsed {
                let InFlight { owner, epoch, request, .. } = self.transactions.in_flight.swap_remove(index);
                self.deliver_late(&owner, epoch, request);
            } else {
                index += 1;
            }
        }
        for index in self.transactions.with_pending_markers.clone() {
            let transaction = &mut self.transactions.all[index];
            if transaction.state == State::Open {
                if transaction.began_at + self.transaction_timeout <= elapsed {
                    let owner = transaction.owner.clone();
                    self.faults.occurrences.count("broker: transaction timed out");
                    self.end(index, State::Aborted);
                    *self.transactions.epochs.entry(owner).or_default() += 1;
                }
                continue;
            }
            let due: Vec<_> = transaction.markers.extract_if(.., |(at, _)| *at <= elapsed).collect();
            for (_, marker) in due {
                self.write_marker(index, marker);
            }
        }
    }

    /// Initialises a producer: fences the previous ones with this transactional id and aborts their open transaction.
    pub(crate) fn init_producer(&mut self, owner: &str) -> u64 {
        if let Some(&open) = self.transactions.open.get(owner) {
            self.end(open, State::Aborted);
        }
        self.write_all_markers(owner);
        let epoch = self.transactions.epochs.entry(owner.to_owned()).or_default();
        *epoch += 1;
        *epoch
    }

    /// Fences the producers that last committed for `partitions` if they have left the group, as the client of a new
    /// owner does.
    pub(crate) fn fence_previous_owners(&mut self, new_owner: &str, partitions: &[PartitionId]) {
        for partition in partitions {
            let text = self.committed.get(partition).map(|(_, text)| text.as_str()).unwrap_or_default();
            let owner = OffsetMetadata::decode(text).ok().flatten().and_then(|metadata| metadata.member);
            let Some(owner) = owner.filter(|owner| owner != new_owner && !self.group.has_member(owner)) else {
                continue;
            };
            if self.transactions.has_open(&owner) && self.faults.random.bool() {
                self.faults.occurrences.count("group: open transaction of a dead owner fenced");
                self.init_producer(&owner);
            }
        }
    }

    /// Writes a record in the owner's transaction; begins one if none is open.
    pub(crate) fn write(&mut self, owner: &str, outgoing: ProducerRecord) -> i64 {
        let topic = self.topic(&outgoing.topic);
        let partition = outgoing.partition.unwrap_or(0);
        let ProducerRecord { key, value, headers, timestamp_ms, .. } = outgoing;
        let record = Record { partition, offset: 0, timestamp_ms: Some(timestamp_ms), key, value, headers };
        self.write_to(owner, topic, partition, record)
    }

    pub(super) fn write_to(&mut self, owner: &str, topic: &'static str, partition: PartitionId, record: Record) -> i64 {
        let transaction = self.open(owner);
        self.transactions.all[transaction].partitions.insert((topic, partition));
        self.push(topic, partition, record, Some(transaction))
    }

    /// Applies a request to the owner's open transaction.
    pub(crate) fn apply_request(&mut self, owner: &str, request: Request) {
        match request {
            Request::End(state) => {
                if let Some(&open) = self.transactions.open.get(owner) {
                    self.end(open, state);
                }
            }
            Request::Offsets(offsets) => {
                let transaction = self.open(owner);
                let known = &mut self.transactions.all[transaction].offsets;
                known.retain(|(partition, ..)| offsets.iter().all(|(other, ..)| other != partition));
                known.extend(offsets);
            }
        }
    }

    /// Delivers a request within the next three seconds.
    pub(crate) fn deliver_later(&mut self, owner: &str, epoch: u64, request: Request) {
        let at = self.elapsed + Duration::from_millis(self.faults.random.u64(1..3000));
        self.transactions.in_flight.push(InFlight { at, owner: owner.to_owned(), epoch, request });
    }

    fn deliver_late(&mut self, owner: &str, epoch: u64, request: Request) {
        if self.transactions.is_fenced(owner, epoch) {
            self.faults.occurrences.count("broker: late request rejected");
        } else if self.transactions.has_open(owner) {
            // The request does not identify its transaction, so it is applied to the open one.
            self.faults.occurrences.count("broker: late request applied");
            self.apply_request(owner, request);
        }
    }

    fn open(&mut self, owner: &str) -> usize {
        if let Some(&open) = self.transactions.open.get(owner) {
            return open;
        }
        // The client waits until its previous transaction has completed.
        self.write_all_markers(owner);
        let index = self.transactions.all.len();
        self.transactions.all.push(Transaction {
            owner: owner.to_owned(),
            state: State::Open,
            began_at: self.elapsed,
            partitions: BTreeSet::new(),
            offsets: Vec::new(),
            markers: Vec::new(),
        });
        self.transactions.open.insert(owner.to_owned(), index);
        self.transactions.with_pending_markers.insert(index);
        index
    }

    fn end(&mut self, index: usize, state: State) {
        let random = &mut self.faults.random;
        let is_slow = random.u32(..8) == 0;
        let transaction = &mut self.transactions.all[index];
        assert_eq!(transaction.state, State::Open, "a transaction ends once");
        transaction.state = state;
        let owner = transaction.owner.clone();
        let partitions = transaction.partitions.iter().map(|&(topic, partition)| Marker::Partition(topic, partition));
        let markers: Vec<_> = partitions.chain([Marker::Offsets]).collect();
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for marker in markers {
            if is_slow && random.bool() {
                later.push((self.elapsed + Duration::from_millis(random.u64(1..500)), marker));
            } else {
                now.push(marker);
            }
        }
        transaction.markers = later;
        self.transactions.open.remove(&owner);
        for marker in now {
            self.write_marker(index, marker);
        }
    }

    fn write_all_markers(&mut self, owner: &str) {
        for index in self.transactions.with_pending_markers.clone() {
            let transaction = &mut self.transactions.all[index];
            if transaction.owner == owner && transaction.state != State::Open {
                for (_, marker) in std::mem::take(&mut transaction.markers) {
                    self.write_marker(index, marker);
                }
            }
        }
    }

    fn write_marker(&mut self, index: usize, marker: Marker) {
        match marker {
            Marker::Partition(topic, partition) => self.write_control_record(topic, partition, index),
            Marker::Offsets => {
                let offsets = std::mem::take(&mut self.transactions.all[index].offsets);
                if self.transactions.all[index].state == State::Committed {
                    self.commit_offsets(offsets);
                }
            }
        }
        if self.transactions.all[index].markers.is_empty() {
            self.transactions.with_pending_markers.remove(&index);
        }
    }

    fn commit_offsets(&mut self, offsets: Vec<(PartitionId, i64, String)>) {
        for (partition, offset, metadata) in offsets {
            let previous = self.committed.insert(partition, (offset, metadata));
            assert!(
                previous.is_none_or(|(previous, _)| previous <= offset),
                "partition {partition}: the committed offset went back"
            );
        }
    }
}
