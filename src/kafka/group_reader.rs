//! The member's consumer: reads the partitions that the group gives it, and answers rebalances when the worker says so.
//!
//! The group waits for each answer as a whole, so answers are collected until every partition of a rebalance has its own.
//! To accept a partition and to fetch it are two things here: the group is answered at once with no partition to fetch, and a
//! partition is fetched from the moment it is first resumed. Until then its position may change freely. (Fetching from a
//! placeholder and seeking later would not do: an offset that is gone is fatal, and after a seek the client may still
//! follow the answer to an earlier question for the end, and so skip records.)

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::{Error, Reaction};
use super::listener::Rebalance;
use super::member::{CommittedOffset, Event, PartitionId, PartitionOffset};
use super::settings::Options;
use super::topic_reader::TopicReader;

/// How long the question for committed offsets may take. The client waits for a previous owner's open transaction within it, and the
/// worker's other partitions wait with it; so it is asked again, with pauses, rather than longer.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(1);

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

    fn all(&self) -> BTreeSet<PartitionId> {
        self.unanswered.union(&self.answered).copied().collect()
    }
}

/// What the client does with a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fetching {
    /// Accepted only; the client does not know that it is ours.
    NotYet,
    Running,
    Paused,
}

/// The consumer side of a member.
pub(super) struct GroupReader {
    reader: TopicReader,
    gained: Pending,
    leaving: Pending,
    fetching: BTreeMap<PartitionId, Fetching>,
    /// For how long a static member trusts its membership without a sign of it.
    trust: Option<Duration>,
    /// For how long the last poll had nothing at hand.
    waited: Duration,
}

impl GroupReader {
    /// Joins the group.
    pub(super) fn join(options: &Options) -> Result<Self, Error> {
        let reader = TopicReader::new(&options.for_input(), &options.input_topic)?;
        reader
            .client()
            .subscribe(&[&options.input_topic])
            .map_err(|error| Error::of_assignment("subscribe", &error))?;
        // A little less than a session, which the group counts from the last sign of life that it had.
        let trust = options.group_instance_id.as_ref().map(|_| options.session_timeout * 2 / 3);
        Ok(Self {
            reader,
            gained: Pending::default(),
            leaving: Pending::default(),
            fetching: BTreeMap::new(),
            trust,
            waited: Duration::ZERO,
        })
    }

    pub(super) fn poll(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Event>, Error> {
        let taken = self.reader.read("poll", records_max, timeout)?;
        self.waited = taken.waited;
        let mut events = Vec::new();
        if !taken.records.is_empty() {
            events.push(Event::Records(taken.records));
        }
        events.extend(taken.ended.into_iter().map(Event::ReachedEnd));
        for rebalance in taken.rebalances {
            match rebalance {
                // The group waits for an answer even when nothing changes for this member.
                Rebalance::Gained(partitions) if partitions.is_empty() => self.accept()?,
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

    pub(super) fn partitions_seen(&self) -> Option<usize> {
        self.reader.partitions_seen()
    }

    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    pub(super) fn assign(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        for it in positions {
            self.reader.positions.begin(it.partition, it.offset);
            self.fetching.insert(it.partition, Fetching::NotYet);
        }
        match self.gained.answer(positions.iter().map(|it| it.partition)) {
            Some(_) => self.accept(),
            None => Ok(()),
        }
    }

    /// Tells the group that the member has taken note, and the client that there is nothing new to fetch.
    fn accept(&mut self) -> Result<(), Error> {
        self.reader
            .client()
            .incremental_assign(&TopicPartitionList::new())
            .map_err(|error| Error::of_assignment("assign", &error))?;
        self.reader.positions.requeue_all();
        Ok(())
    }

    pub(super) fn release(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        for partition in partitions {
            self.reader.positions.end(*partition);
        }
        match self.leaving.answer(partitions.iter().copied()) {
            Some(partitions) => self.let_go(&partitions),
            None => Ok(()),
        }
    }

    fn let_go(&mut self, partitions: &BTreeSet<PartitionId>) -> Result<(), Error> {
        // The client remembers a pause beyond the assignment: if the group gave the partition back, it would never be fetched.
        let paused = self.those(partitions, |it| it == Fetching::Paused);
        if !paused.is_empty() {
            let list = self.reader.list(paused);
            self.reader.client().resume(&list).map_err(|error| Error::of_assignment("release", &error))?;
        }
        let fetched = self.those(partitions, |it| it != Fetching::NotYet);
        self.reader
            .client()
            .incremental_unassign(&self.reader.list(fetched))
            .map_err(|error| Error::of_assignment("release", &error))?;
        self.fetching.retain(|partition, _| !partitions.contains(partition));
        self.reader.positions.requeue_all();
        Ok(())
    }

    /// Pausing what is paused, or resuming what is not, would make the client fetch again from an older position.
    pub(super) fn pause(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        let running = self.those(partitions, |it| it == Fetching::Running);
        if running.is_empty() {
            return Ok(());
        }
        let list = self.reader.list(running.iter().copied());
        self.reader.client().pause(&list).map_err(|error| Error::of_assignment("pause", &error))?;
        self.now(&running, Fetching::Paused);
        Ok(())
    }

    pub(super) fn resume(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        let paused = self.those(partitions, |it| it == Fetching::Paused);
        if !paused.is_empty() {
            let list = self.reader.list(paused.iter().copied());
            self.reader.client().resume(&list).map_err(|error| Error::of_assignment("resume", &error))?;
            self.now(&paused, Fetching::Running);
        }
        let new = self.those(partitions, |it| it == Fetching::NotYet);
        if !new.is_empty() {
            self.fetch(&new)?;
            self.now(&new, Fetching::Running);
        }
        Ok(())
    }

    fn fetch(&self, partitions: &[PartitionId]) -> Result<(), Error> {
        let client = self.reader.client();
        // The client would take an assignment as a sign that nothing was lost.
        if client.assignment_lost() {
            let message = "the group has given the partitions to others, as the next poll will tell";
            return Err(Error::new(Reaction::Retry, "resume", "AssignmentLost", message));
        }
        let positions = &self.reader.positions;
        let list = self.reader.list_at(
            partitions.iter().filter_map(|it| positions.next(*it).map(|offset| (*it, Offset::Offset(offset)))),
        )?;
        client.incremental_assign(&list).map_err(|error| Error::of_assignment("resume", &error))
    }

    pub(super) fn rewind(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        let is_fetched =
            |it: &PartitionOffset| self.fetching.get(&it.partition).is_some_and(|it| *it != Fetching::NotYet);
        let (fetched, new): (Vec<_>, Vec<_>) = positions.iter().copied().partition(is_fetched);
        for it in new {
            self.reader.positions.begin(it.partition, it.offset);
        }
        self.reader.seek("rewind", &fetched)
    }

    /// Whether the group may have dropped the member and taken it in again without the client's saying that its partitions
    /// are lost. A dynamic member is always told, since it gets a new name. A static member that the group drops while a
    /// rebalance is under way keeps its name, comes back under a valid generation, and would go on with partitions that others
    /// have had meanwhile.
    pub(super) fn is_in_doubt(&self) -> bool {
        !self.fetching.is_empty() && self.trust.is_some_and(|trust| self.reader.unsettled_for() >= trust)
    }

    /// Every partition that was accepted and not let go.
    pub(super) fn held(&self) -> Vec<PartitionId> {
        self.fetching.keys().copied().collect()
    }

    /// Those of `partitions` with which the client does what `wanted` says.
    fn those<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a PartitionId>,
        wanted: impl Fn(Fetching) -> bool,
    ) -> Vec<PartitionId> {
        let partitions = partitions.into_iter().copied();
        partitions.filter(|it| self.fetching.get(it).is_some_and(|fetching| wanted(*fetching))).collect()
    }

    /// Takes note of what the client does with `partitions` from now on; it has emptied its queue of them.
    fn now(&mut self, partitions: &[PartitionId], fetching: Fetching) {
        for partition in partitions {
            self.reader.positions.requeue(*partition);
            self.fetching.insert(*partition, fetching);
        }
    }

    pub(super) fn committed(&mut self, partitions: &[PartitionId]) -> Result<Vec<CommittedOffset>, Error> {
        let client = self.reader.client();
        let question = |error| Error::of_question("committed", &error);
        let answer = client
            .committed_offsets(self.reader.list(partitions.iter().copied()), COMMITTED_TIMEOUT)
            .map_err(|error| question(error).because(client.context().take_error()))?;
        let committed: KafkaResult<Vec<CommittedOffset>> = answer
            .elements()
            .iter()
            .map(|it| {
                it.error()?;
                let offset = match it.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                Ok(CommittedOffset { partition: it.partition(), offset, metadata: it.metadata().to_owned() })
            })
            .collect();
        committed.map_err(question)
    }

    pub(super) fn range(&self, partition: PartitionId) -> Result<(i64, i64), Error> {
        self.reader.range("input_range", partition)
    }

    pub(super) fn end_seen(&self, partition: PartitionId) -> Option<i64> {
        self.reader.end_seen(partition)
    }

    pub(super) fn has_read_to(&self, partition: PartitionId, end: i64) -> bool {
        self.reader.positions.covers(partition, end)
    }

    /// The member's generation as of now, for the transaction.
    pub(super) fn generation(&self) -> Result<ConsumerGroupMetadata, Error> {
        let call = "send_offsets_to_transaction";
        let client = self.reader.client();
        let generation = client.group_metadata();
        // Asked after the generation was taken. A member that the group has dropped may have no generation at all, and an offset
        // without one is not checked by the broker: it would overwrite the new owner's.
        if client.assignment_lost() || self.is_in_doubt() {
            let message = "the group has, or may have, given the partitions to others";
            return Err(Error::new(Reaction::Abort, call, "AssignmentLost", message));
        }
        generation.ok_or_else(|| Error::new(Reaction::Abort, call, "UnknownMemberId", "the member is not in the group"))
    }

    /// Nobody will answer rebalances any more: revoked partitions are let go at once.
    pub(super) fn begin_closing(&mut self) {
        self.reader.client().context().begin_closing();
        // A rebalance that still waits for its answer would keep the client from closing.
        let answered = if !self.leaving.unanswered.is_empty() {
            let partitions = self.leaving.all();
            self.let_go(&partitions)
        } else if !self.gained.unanswered.is_empty() {
            self.accept()
        } else {
            Ok(())
        };
        if let Err(error) = answered {
            tracing::debug!(target: "kafka", %error, "a rebalance was not answered before leaving");
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
