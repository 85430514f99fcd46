//! The member's consumer: joins the group, fetches the assigned partitions, and acknowledges a rebalance once the
//! worker has answered it.
//!
//! A rebalance is acknowledged as a whole, so the worker's answers are collected until every partition of the rebalance
//! has one. Accepting a partition and fetching it are separate: an assignment is acknowledged at once with an empty
//! incremental assignment, and a partition is added to the client's assignment when it is first resumed. Until then its
//! position may change freely. Fetching from a placeholder offset and seeking later would not work: a placeholder out
//! of range is fatal. In addition, the client may apply the response to an end offset request from before the seek, and
//! skip records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::topic_reader::TopicReader;
use super::{CommittedOffset, EndOffsets, Event, PartitionId, PartitionOffset, Record};
use crate::kafka::context::Rebalance;
use crate::kafka::error::{Error, Reaction};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::settings::Options;

/// Timeout of a request for committed offsets. While a previous owner's transaction is open, the client blocks until
/// this timeout, and the worker's other partitions wait. So it is short, and the worker retries with back-off.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(1);

/// Timeout of a poll while the member leaves the group.
const LEAVE_POLL_TIMEOUT: Duration = Duration::from_millis(20);

/// A rebalance in which the worker's answer for some partitions is missing.
#[derive(Default, Debug)]
struct PendingRebalance {
    unanswered: BTreeSet<PartitionId>,
    answered: BTreeSet<PartitionId>,
}

impl PendingRebalance {
    fn new(partitions: &[PartitionId]) -> Self {
        Self { unanswered: partitions.iter().copied().collect(), answered: BTreeSet::new() }
    }

    /// Marks `partitions` as answered. Returns all partitions of the rebalance once each has been answered.
    fn answer(&mut self, partitions: impl IntoIterator<Item = PartitionId>) -> Option<BTreeSet<PartitionId>> {
        for partition in partitions {
            if self.unanswered.remove(&partition) {
                self.answered.insert(partition);
            }
        }
        let is_complete = self.unanswered.is_empty() && !self.answered.is_empty();
        is_complete.then(|| std::mem::take(&mut self.answered))
    }

    fn partitions(&self) -> BTreeSet<PartitionId> {
        self.unanswered.union(&self.answered).copied().collect()
    }
}

/// Whether the client fetches a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fetching {
    /// Accepted by the worker, but not yet part of the client's assignment.
    NotStarted,
    Running,
    Paused,
}

/// The consumer side of a member.
pub(super) struct GroupConsumer {
    reader: TopicReader,
    /// Asks for high watermarks and single records, which a `read_committed` client does not get while a transaction of
    /// another producer is open.
    read_uncommitted: TopicReader,
    assigned: PendingRebalance,
    revoked: PendingRebalance,
    fetching: BTreeMap<PartitionId, Fetching>,
    /// How long a static member may rely on its membership without confirmation; `None` for a dynamic member.
    membership_timeout: Option<Duration>,
    /// How long the last poll waited before the first event.
    idle_time: Duration,
}

impl GroupConsumer {
    /// Joins the group.
    pub(super) fn join(options: &Options) -> Result<Self, Error> {
        let reader = TopicReader::new(&options.for_group_consumer(), &options.input_topic)?;
        let read_uncommitted =
            TopicReader::new(&options.for_queries_with_isolation("read_uncommitted"), &options.input_topic)?;
        reader
            .client()
            .subscribe(&[&options.input_topic])
            .map_err(|error| Error::of_assignment("subscribe", &error))?;
        // Shorter than the session timeout, which the coordinator measures from the last heartbeat it received.
        let membership_timeout = options.group_instance_id.as_ref().map(|_| options.session_timeout * 2 / 3);
        Ok(Self {
            reader,
            read_uncommitted,
            assigned: PendingRebalance::default(),
            revoked: PendingRebalance::default(),
            fetching: BTreeMap::new(),
            membership_timeout,
            idle_time: Duration::ZERO,
        })
    }

    pub(super) fn poll(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Event>, Error> {
        let polled = self.reader.read("poll", records_max, timeout)?;
        let running = self.in_state(self.fetching.keys(), |it| it == Fetching::Running);
        self.reader.check_progress("poll", &running)?;
        self.idle_time = polled.idle_time;
        let mut events = Vec::new();
        if !polled.records.is_empty() {
            events.push(Event::Records(polled.records));
        }
        events.extend(polled.ended.into_iter().map(Event::ReachedEnd));
        for rebalance in polled.rebalances {
            match rebalance {
                // The rebalance must be acknowledged even when nothing changes for this member.
                Rebalance::Assigned(partitions) if partitions.is_empty() => self.acknowledge_assignment()?,
                Rebalance::Revoked(partitions) | Rebalance::Lost(partitions) if partitions.is_empty() => {
                    self.acknowledge_revocation(&BTreeSet::new())?;
                }
                Rebalance::Assigned(partitions) => {
                    self.assigned = PendingRebalance::new(&partitions);
                    events.push(Event::Assigned(partitions));
                }
                Rebalance::Revoked(partitions) => {
                    self.revoked = PendingRebalance::new(&partitions);
                    events.push(Event::Revoked(partitions));
                }
                Rebalance::Lost(partitions) => {
                    self.revoked = PendingRebalance::new(&partitions);
                    events.push(Event::Lost(partitions));
                }
            }
        }
        Ok(events)
    }

    pub(super) fn cached_partition_count(&self) -> Option<usize> {
        self.reader.cached_partition_count()
    }

    pub(super) fn idle_time(&self) -> Duration {
        self.idle_time
    }

    pub(super) fn assign(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        for it in positions {
            self.reader.positions.start(it.partition, it.offset);
            self.fetching.insert(it.partition, Fetching::NotStarted);
        }
        match self.assigned.answer(positions.iter().map(|it| it.partition)) {
            Some(_) => self.acknowledge_assignment(),
            None => Ok(()),
        }
    }

    /// Acknowledges the assignment to the group without adding a partition to the client's assignment.
    fn acknowledge_assignment(&mut self) -> Result<(), Error> {
        self.reader
            .client()
            .incremental_assign(&TopicPartitionList::new())
            .map_err(|error| Error::of_assignment("assign", &error))?;
        self.reader.positions.queue_discarded();
        Ok(())
    }

    pub(super) fn unassign(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        for partition in partitions {
            self.reader.positions.stop(*partition);
        }
        match self.revoked.answer(partitions.iter().copied()) {
            Some(partitions) => self.acknowledge_revocation(&partitions),
            None => Ok(()),
        }
    }

    /// Acknowledges the revocation to the group and removes `partitions` from the client's assignment.
    fn acknowledge_revocation(&mut self, partitions: &BTreeSet<PartitionId>) -> Result<(), Error> {
        // The client keeps the paused state of a partition across assignments: if it is assigned to this member again,
        // it would never be fetched.
        let paused = self.in_state(partitions, |it| it == Fetching::Paused);
        if !paused.is_empty() {
            let list = self.reader.list(paused);
            self.reader.client().resume(&list).map_err(|error| Error::of_assignment("unassign", &error))?;
        }
        let fetched = self.in_state(partitions, |it| it != Fetching::NotStarted);
        self.reader
            .client()
            .incremental_unassign(&self.reader.list(fetched))
            .map_err(|error| Error::of_assignment("unassign", &error))?;
        self.fetching.retain(|partition, _| !partitions.contains(partition));
        self.reader.positions.queue_discarded();
        Ok(())
    }

    /// Pauses only running partitions, and `resume` resumes only paused ones: repeating either call would make the
    /// client fetch again from an older position.
    pub(super) fn pause(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        let running = self.in_state(partitions, |it| it == Fetching::Running);
        if running.is_empty() {
            return Ok(());
        }
        let list = self.reader.list(running.iter().copied());
        self.reader.client().pause(&list).map_err(|error| Error::of_assignment("pause", &error))?;
        self.set_fetching(&running, Fetching::Paused);
        Ok(())
    }

    pub(super) fn resume(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        let paused = self.in_state(partitions, |it| it == Fetching::Paused);
        if !paused.is_empty() {
            let list = self.reader.list(paused.iter().copied());
            self.reader.client().resume(&list).map_err(|error| Error::of_assignment("resume", &error))?;
            self.set_fetching(&paused, Fetching::Running);
        }
        let new = self.in_state(partitions, |it| it == Fetching::NotStarted);
        if !new.is_empty() {
            self.start_fetching(&new)?;
            self.set_fetching(&new, Fetching::Running);
        }
        Ok(())
    }

    fn start_fetching(&self, partitions: &[PartitionId]) -> Result<(), Error> {
        let client = self.reader.client();
        // Assigning would reset the client's "assignment lost" flag before its rebalance callback has run.
        if client.assignment_lost() {
            let message = "the group has assigned the partitions to other members; the next poll reports the loss";
            return Err(Error::new(Reaction::Retry, "resume", ErrorCode::AssignmentLost, message));
        }
        let positions = &self.reader.positions;
        let list = self.reader.list_at(
            partitions.iter().filter_map(|it| positions.next_offset(*it).map(|offset| (*it, Offset::Offset(offset)))),
        )?;
        client.incremental_assign(&list).map_err(|error| Error::of_assignment("resume", &error))
    }

    pub(super) fn seek(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        let is_fetched =
            |it: &PartitionOffset| self.fetching.get(&it.partition).is_some_and(|it| *it != Fetching::NotStarted);
        let (fetched, new): (Vec<_>, Vec<_>) = positions.iter().copied().partition(is_fetched);
        for it in new {
            self.reader.positions.start(it.partition, it.offset);
        }
        self.reader.seek("seek", &fetched)
    }

    /// Returns whether the coordinator may have removed this member and re-added it without the client reporting its
    /// partitions as lost.
    ///
    /// A dynamic member always detects a removal, because it gets a new member id. A static member that the coordinator
    /// removes during a rebalance keeps its id and rejoins with a valid generation. It would continue with partitions
    /// that other members have owned in the meantime.
    pub(super) fn may_have_lost_membership(&self) -> bool {
        !self.fetching.is_empty()
            && self.membership_timeout.is_some_and(|timeout| self.reader.time_since_steady() >= timeout)
    }

    /// Returns all accepted partitions that were not unassigned.
    pub(super) fn owned_partitions(&self) -> Vec<PartitionId> {
        self.fetching.keys().copied().collect()
    }

    /// Returns those of `partitions` whose fetching state satisfies `predicate`.
    fn in_state<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a PartitionId>,
        predicate: impl Fn(Fetching) -> bool,
    ) -> Vec<PartitionId> {
        let partitions = partitions.into_iter().copied();
        partitions.filter(|it| self.fetching.get(it).is_some_and(|fetching| predicate(*fetching))).collect()
    }

    /// Records the new state of `partitions`; the client has discarded their queued records.
    fn set_fetching(&mut self, partitions: &[PartitionId], fetching: Fetching) {
        for partition in partitions {
            self.reader.positions.queued_records_discarded(*partition);
            self.fetching.insert(*partition, fetching);
        }
    }

    pub(super) fn committed(&mut self, partitions: &[PartitionId]) -> Result<Vec<CommittedOffset>, Error> {
        let client = self.reader.client();
        let query_error = |error| Error::of_query("committed", &error);
        let response = client
            .committed_offsets(self.reader.list(partitions.iter().copied()), COMMITTED_TIMEOUT)
            .map_err(|error| query_error(error).with_reported(client.context().take_error()))?;
        let committed: KafkaResult<Vec<CommittedOffset>> = response
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
        committed.map_err(query_error)
    }

    /// Returns the log start offset and the high watermark.
    pub(super) fn range(&self, partition: PartitionId) -> Result<(i64, i64), Error> {
        self.read_uncommitted.discard_events();
        self.read_uncommitted.range("input_range", partition)
    }

    pub(super) fn record_at(&mut self, partition: PartitionId, offset: i64) -> Result<Option<Record>, Error> {
        self.read_uncommitted.record_at("input_record", partition, offset)
    }

    pub(super) fn cached_ends(&self, partition: PartitionId) -> Option<EndOffsets> {
        self.reader.cached_ends(partition)
    }

    pub(super) fn read_position(&self, partition: PartitionId) -> Option<i64> {
        self.reader.positions.read_position(partition)
    }

    /// Removes and returns the errors from which the client recovers automatically.
    pub(super) fn take_transient_errors(&mut self) -> Vec<Error> {
        let mut errors = self.reader.take_transient_errors();
        errors.append(&mut self.read_uncommitted.take_transient_errors());
        errors
    }

    /// Returns the group metadata with the member's current generation, for a transaction with offsets of `partitions`.
    pub(super) fn group_metadata(
        &self,
        partitions: impl IntoIterator<Item = PartitionId>,
    ) -> Result<ConsumerGroupMetadata, Error> {
        let call = "send_offsets_to_transaction";
        let client = self.reader.client();
        let group_metadata = client.group_metadata();
        // This check must follow the read of the group metadata. A removed member may have no generation, and the
        // broker does not check offsets without one: they would overwrite the new owner's offsets.
        //
        // After it has rejoined with a new client, the member has a valid generation before the worker has dropped the
        // partitions of the old one.
        let is_owner = partitions.into_iter().all(|it| self.fetching.contains_key(&it));
        if !is_owner || client.assignment_lost() || self.may_have_lost_membership() {
            let message = "the group has, or may have, assigned the partitions to other members";
            return Err(Error::new(Reaction::Abort, call, ErrorCode::AssignmentLost, message));
        }
        group_metadata.ok_or_else(|| {
            Error::new(Reaction::Abort, call, ErrorCode::UnknownMemberId, "the member is not in the group")
        })
    }

    /// Leaves the group, so that the coordinator gives the partitions away at once. Waits at most `timeout`.
    pub(super) fn leave(&mut self, timeout: Duration) {
        self.begin_closing();
        if self.membership_timeout.is_none() {
            // The client of a dynamic member leaves when it is closed.
            return;
        }
        // When the client of a static member is closed, it sends no leave request, so that the group keeps its
        // partitions for it. When it unsubscribes, it does. Its statistics report when it has.
        let deadline = Instant::now() + timeout;
        let client = self.reader.client();
        client.unsubscribe();
        while Instant::now() < deadline {
            drop(client.poll(LEAVE_POLL_TIMEOUT));
            if client.context().take_statistics().is_some_and(|it| it.is_outside) {
                return;
            }
        }
    }

    /// Prepares for closing: the worker no longer answers rebalances, so revoked partitions are unassigned at once.
    pub(super) fn begin_closing(&mut self) {
        self.reader.client().context().begin_closing();
        // An unanswered rebalance would prevent the client from closing.
        let answered = if !self.revoked.unanswered.is_empty() {
            let partitions = self.revoked.partitions();
            self.acknowledge_revocation(&partitions)
        } else if !self.assigned.unanswered.is_empty() {
            self.acknowledge_assignment()
        } else {
            Ok(())
        };
        if let Err(error) = answered {
            tracing::debug!(target: "kafka", %error, "could not answer a rebalance before leaving");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebalance_is_answered_when_every_partition_is() {
        let mut pending = PendingRebalance::new(&[1, 2, 3]);
        assert_eq!(pending.answer([2]), None);
        assert_eq!(pending.answer([2, 9]), None);
        assert_eq!(pending.answer([1, 3]), Some(BTreeSet::from([1, 2, 3])));
        assert_eq!(pending.answer([1]), None, "it is answered once");
    }
}
