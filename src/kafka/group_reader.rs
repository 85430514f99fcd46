//! The member's consumer: reads the partitions that the group gives it, and answers rebalances when the worker says so.
//!
//! The group waits for each answer as a whole, so answers are collected until every partition of a rebalance has its own.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{Consumer, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::Offset;

use super::error::{Error, Reaction};
use super::listener::Rebalance;
use super::member::{Committed, Event, PartitionId, PartitionOffset};
use super::settings::Options;
use super::topic_reader::{QUESTION_TIMEOUT, TopicReader};

/// A rebalance on which the group waits.
#[derive(Default, Debug)]
struct Pending {
    unanswered: BTreeSet<PartitionId>,
    answered: BTreeSet<PartitionId>,
}

impl Pending {
    fn of(partitions: &[PartitionId]) -> Self {
        Self { unanswered: partitions.iter().copied().collect(), answered: BTreeSet::new() }
    }

    /// Takes note of an answer; gives all partitions of the rebalance back once each has been answered.
    fn answer(&mut self, partitions: impl IntoIterator<Item = PartitionId>) -> Option<BTreeSet<PartitionId>> {
        for partition in partitions {
            if self.unanswered.remove(&partition) {
                self.answered.insert(partition);
            }
        }
        let is_complete = self.unanswered.is_empty() && !self.answered.is_empty();
        is_complete.then(|| std::mem::take(&mut self.answered))
    }
}

/// The consumer side of a member.
pub(super) struct GroupReader {
    reader: TopicReader,
    gained: Pending,
    leaving: Pending,
    paused: BTreeSet<PartitionId>,
    /// Assigned, but not yet moved to their position.
    unsought: BTreeSet<PartitionId>,
}

impl GroupReader {
    /// Joins the group.
    pub(super) fn join(options: &Options) -> Result<Self, Error> {
        let reader = TopicReader::new(&options.for_input(), &options.input_topic)?;
        reader
            .client()
            .subscribe(&[&options.input_topic])
            .map_err(|error| Error::of_assignment("subscribe", &error))?;
        Ok(Self {
            reader,
            gained: Pending::default(),
            leaving: Pending::default(),
            paused: BTreeSet::new(),
            unsought: BTreeSet::new(),
        })
    }

    pub(super) fn poll(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Event>, Error> {
        let taken = self.reader.read("poll", records_max, timeout)?;
        let mut events = Vec::new();
        if !taken.records.is_empty() {
            events.push(Event::Records(taken.records));
        }
        events.extend(taken.ended.into_iter().map(Event::ReachedEnd));
        for rebalance in taken.rebalances {
            match rebalance {
                // The group waits for an answer even when nothing changes for this member.
                Rebalance::Gained(partitions) if partitions.is_empty() => self.take_on(&BTreeSet::new())?,
                Rebalance::Revoked(partitions) | Rebalance::Lost(partitions) if partitions.is_empty() => {
                    self.let_go(&BTreeSet::new())?;
                }
                Rebalance::Gained(partitions) => {
                    self.gained = Pending::of(&partitions);
                    events.push(Event::Gained(partitions));
                }
                Rebalance::Revoked(partitions) => {
                    self.leaving = Pending::of(&partitions);
                    events.push(Event::Revoked(partitions));
                }
                Rebalance::Lost(partitions) => {
                    self.leaving = Pending::of(&partitions);
                    events.push(Event::Lost(partitions));
                }
            }
        }
        Ok(events)
    }

    pub(super) fn assign(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        for it in positions {
            self.reader.positions.begin(it.partition, it.offset);
            self.unsought.insert(it.partition);
        }
        match self.gained.answer(positions.iter().map(|it| it.partition)) {
            Some(partitions) => self.take_on(&partitions),
            None => Ok(()),
        }
    }

    /// Accepts `partitions`, paused. They begin at their end, which always exists, and move to their position when they are
    /// rewound or resumed: a position that is gone would be fatal even if it was to be replaced.
    fn take_on(&mut self, partitions: &BTreeSet<PartitionId>) -> Result<(), Error> {
        let list = self.reader.list_at(partitions.iter().map(|it| (*it, Offset::End)))?;
        let client = self.reader.client();
        let answered = match client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => client.incremental_assign(&list),
            _ => client.assign(&list),
        };
        answered.map_err(|error| Error::of_assignment("assign", &error))?;
        if !partitions.is_empty() {
            client.pause(&list).map_err(|error| Error::of_assignment("assign", &error))?;
        }
        self.paused.extend(partitions);
        self.reader.positions.requeue_all();
        Ok(())
    }

    pub(super) fn release(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        for partition in partitions {
            self.reader.positions.end(*partition);
            self.paused.remove(partition);
            self.unsought.remove(partition);
        }
        match self.leaving.answer(partitions.iter().copied()) {
            Some(partitions) => self.let_go(&partitions),
            None => Ok(()),
        }
    }

    fn let_go(&mut self, partitions: &BTreeSet<PartitionId>) -> Result<(), Error> {
        let client = self.reader.client();
        let answered = match client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => {
                client.incremental_unassign(&self.reader.list(partitions.iter().copied()))
            }
            _ => client.unassign(),
        };
        answered.map_err(|error| Error::of_assignment("release", &error))?;
        self.reader.positions.requeue_all();
        Ok(())
    }

    /// Pausing what is paused, or resuming what is not, would make the client fetch again from an older position.
    pub(super) fn pause(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        let running: Vec<PartitionId> = partitions.iter().copied().filter(|it| !self.paused.contains(it)).collect();
        if running.is_empty() {
            return Ok(());
        }
        let list = self.reader.list(running.iter().copied());
        self.reader.client().pause(&list).map_err(|error| Error::of_assignment("pause", &error))?;
        for partition in running {
            self.reader.positions.requeue(partition);
            self.paused.insert(partition);
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        let paused: Vec<PartitionId> = partitions.iter().copied().filter(|it| self.paused.contains(it)).collect();
        if paused.is_empty() {
            return Ok(());
        }
        let unsought: Vec<PartitionOffset> = paused
            .iter()
            .filter(|it| self.unsought.contains(it))
            .filter_map(|it| Some(PartitionOffset { partition: *it, offset: self.reader.positions.next(*it)? }))
            .collect();
        self.move_to("resume", &unsought)?;
        let list = self.reader.list(paused.iter().copied());
        self.reader.client().resume(&list).map_err(|error| Error::of_assignment("resume", &error))?;
        for partition in paused {
            self.reader.positions.requeue(partition);
            self.paused.remove(&partition);
        }
        Ok(())
    }

    pub(super) fn rewind(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        self.move_to("rewind", positions)
    }

    fn move_to(&mut self, call: &'static str, positions: &[PartitionOffset]) -> Result<(), Error> {
        self.reader.seek(call, positions)?;
        for it in positions {
            self.unsought.remove(&it.partition);
        }
        Ok(())
    }

    pub(super) fn committed(&mut self, partitions: &[PartitionId]) -> Result<Vec<Committed>, Error> {
        let client = self.reader.client();
        let question = |error| Error::of_question("committed", &error);
        let answer = client
            .committed_offsets(self.reader.list(partitions.iter().copied()), QUESTION_TIMEOUT)
            .map_err(|error| question(error).because(client.context().take_error()))?;
        let committed: KafkaResult<Vec<Committed>> = answer
            .elements()
            .iter()
            .map(|it| {
                it.error()?;
                let offset = match it.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                Ok(Committed { partition: it.partition(), offset, metadata: it.metadata().to_owned() })
            })
            .collect();
        committed.map_err(question)
    }

    pub(super) fn range(&self, partition: PartitionId) -> Result<(i64, i64), Error> {
        self.reader.range("input_range", partition)
    }

    pub(super) fn has_read_to(&self, partition: PartitionId, end: i64) -> bool {
        self.reader.positions.covers(partition, end)
    }

    /// The member's generation as of now, for the transaction.
    pub(super) fn generation(&self) -> Result<ConsumerGroupMetadata, Error> {
        self.reader
            .client()
            .group_metadata()
            .ok_or_else(|| Error::new(Reaction::Fatal, "send_offsets", "State", "the consumer has no group"))
    }

    /// Nobody will answer rebalances any more: revoked partitions are let go at once.
    pub(super) fn begin_closing(&self) {
        self.reader.client().context().begin_closing();
        // A rebalance that still waits for its answer would keep the client from closing.
        if let Err(error) = self.reader.client().unassign() {
            tracing::debug!(target: "kafka", %error, "the assignment was not given up before leaving");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebalance_is_answered_when_every_partition_is() {
        let mut pending = Pending::of(&[1, 2, 3]);
        assert_eq!(pending.answer([2]), None);
        assert_eq!(pending.answer([2, 9]), None);
        assert_eq!(pending.answer([1, 3]), Some(BTreeSet::from([1, 2, 3])));
        assert_eq!(pending.answer([1]), None, "it is answered once");
    }
}
