//! The transaction coordinator: epochs, ends that arrive late or twice, control records that come one by one, timeouts.
//!
//! As the protocol of the client library has it, a transaction has no epoch of its own: a request about one that comes
//! late is taken for one about the next, unless the producer has been made anew meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lifecycle_processor::kafka::{Outgoing, PartitionId, Record};
use lifecycle_processor::wire::offset_metadata::OffsetMetadata;

use super::log::Log;

/// Whether a transaction is open, and how it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Open,
    Committed,
    Aborted,
}

/// A request about the open transaction of a producer.
#[derive(Clone)]
pub(crate) enum Request {
    End(State),
    Offsets(Vec<(PartitionId, i64, String)>),
}

/// Every transaction that there was, and the requests that are still on their way.
#[derive(Default)]
pub(crate) struct Transactions {
    all: Vec<Transaction>,
    /// The open one of each producer.
    open: BTreeMap<String, usize>,
    /// Those that are open, or ended with a control record still to be written.
    unsettled: BTreeSet<usize>,
    epochs: BTreeMap<String, u64>,
    under_way: Vec<UnderWay>,
}

struct Transaction {
    owner: String,
    state: State,
    began: Duration,
    touched: BTreeSet<(&'static str, PartitionId)>,
    offsets: Vec<(PartitionId, i64, String)>,
    /// The control records to be written, and when.
    markers: Vec<(Duration, Marker)>,
}

#[derive(Clone, Copy)]
enum Marker {
    Partition(&'static str, PartitionId),
    Offsets,
}

struct UnderWay {
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
        self.unsettled.iter().any(|&index| self.all[index].offsets.iter().any(|(known, ..)| *known == partition))
    }

    pub(crate) fn has_open(&self, owner: &str) -> bool {
        self.open.contains_key(owner)
    }
}

impl Log {
    pub(super) fn advance_transactions(&mut self) {
        let elapsed = self.elapsed;
        let mut place = 0;
        while place < self.transactions.under_way.len() {
            if self.transactions.under_way[place].at <= elapsed {
                let UnderWay { owner, epoch, request, .. } = self.transactions.under_way.swap_remove(place);
                self.take_late(&owner, epoch, request);
            } else {
                place += 1;
            }
        }
        for index in self.transactions.unsettled.clone() {
            let transaction = &mut self.transactions.all[index];
            if transaction.state == State::Open {
                if transaction.began + self.transaction_timeout <= elapsed {
                    let owner = transaction.owner.clone();
                    self.faults.tally.count("broker: transaction timed out");
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

    /// Makes a producer the only one of its id: fences those before it and aborts what they left open.
    pub(crate) fn init_producer(&mut self, owner: &str) -> u64 {
        if let Some(&open) = self.transactions.open.get(owner) {
            self.end(open, State::Aborted);
        }
        self.settle_all(owner);
        let epoch = self.transactions.epochs.entry(owner.to_owned()).or_default();
        *epoch += 1;
        *epoch
    }

    /// Shuts out those who committed last for `partitions`, if the group has given them up; as the client does for whoever gains
    /// them.
    pub(crate) fn succeed(&mut self, heir: &str, partitions: &[PartitionId]) {
        for partition in partitions {
            let text = self.committed.get(partition).map(|(_, text)| text.as_str()).unwrap_or_default();
            let owner = OffsetMetadata::decode(text).ok().flatten().and_then(|metadata| metadata.by);
            let Some(owner) = owner.filter(|owner| owner != heir && !self.group.has_member(owner)) else { continue };
            if self.transactions.has_open(&owner) && self.faults.random.bool() {
                self.faults.tally.count("group: what a dead owner left open is ended by its heir");
                self.init_producer(&owner);
            }
        }
    }

    /// Writes a record within the owner's transaction, which begins if none is open.
    pub(crate) fn write(&mut self, owner: &str, outgoing: Outgoing) -> i64 {
        let topic = self.topic(&outgoing.topic);
        let partition = outgoing.partition.unwrap_or(0);
        let Outgoing { key, value, headers, timestamp_ms, .. } = outgoing;
        let record = Record { partition, offset: 0, timestamp_ms: Some(timestamp_ms), key, value, headers };
        self.write_to(owner, topic, partition, record)
    }

    pub(super) fn write_to(&mut self, owner: &str, topic: &'static str, partition: PartitionId, record: Record) -> i64 {
        let transaction = self.open(owner);
        self.transactions.all[transaction].touched.insert((topic, partition));
        self.push(topic, partition, record, Some(transaction))
    }

    /// Carries out a request of the producer that owns the transaction.
    pub(crate) fn carry_out(&mut self, owner: &str, request: Request) {
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

    /// Has a request arrive between `after` and three seconds from now.
    pub(crate) fn send_later(&mut self, owner: &str, epoch: u64, request: Request) {
        let at = self.elapsed + Duration::from_millis(self.faults.random.u64(1..3000));
        self.transactions.under_way.push(UnderWay { at, owner: owner.to_owned(), epoch, request });
    }

    fn take_late(&mut self, owner: &str, epoch: u64, request: Request) {
        if self.transactions.is_fenced(owner, epoch) {
            self.faults.tally.count("broker: late request refused");
        } else if self.transactions.has_open(owner) {
            // Whose transaction it is does not show.
            self.faults.tally.count("broker: late request carried out");
            self.carry_out(owner, request);
        }
    }

    fn open(&mut self, owner: &str) -> usize {
        if let Some(&open) = self.transactions.open.get(owner) {
            return open;
        }
        // The client waits until the one before is through.
        self.settle_all(owner);
        let index = self.transactions.all.len();
        self.transactions.all.push(Transaction {
            owner: owner.to_owned(),
            state: State::Open,
            began: self.elapsed,
            touched: BTreeSet::new(),
            offsets: Vec::new(),
            markers: Vec::new(),
        });
        self.transactions.open.insert(owner.to_owned(), index);
        self.transactions.unsettled.insert(index);
        index
    }

    fn end(&mut self, index: usize, state: State) {
        let random = &mut self.faults.random;
        let is_slow = random.u32(..8) == 0;
        let transaction = &mut self.transactions.all[index];
        assert_eq!(transaction.state, State::Open, "a transaction ends once");
        transaction.state = state;
        let owner = transaction.owner.clone();
        let touched = transaction.touched.iter().map(|&(topic, partition)| Marker::Partition(topic, partition));
        let markers: Vec<_> = touched.chain([Marker::Offsets]).collect();
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

    fn settle_all(&mut self, owner: &str) {
        for index in self.transactions.unsettled.clone() {
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
            Marker::Partition(topic, partition) => self.settle(topic, partition, index),
            Marker::Offsets => {
                let offsets = std::mem::take(&mut self.transactions.all[index].offsets);
                if self.transactions.all[index].state == State::Committed {
                    self.take_offsets(offsets);
                }
            }
        }
        if self.transactions.all[index].markers.is_empty() {
            self.transactions.unsettled.remove(&index);
        }
    }

    fn take_offsets(&mut self, offsets: Vec<(PartitionId, i64, String)>) {
        for (partition, offset, metadata) in offsets {
            let before = self.committed.insert(partition, (offset, metadata));
            assert!(
                before.is_none_or(|(before, _)| before <= offset),
                "partition {partition}: the committed offset went back"
            );
        }
    }
}
