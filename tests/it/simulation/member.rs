//! A group member and producer on the simulated log. It panics on calls that the worker must never make, such as an
//! abort without a transaction, or an offset committed for a partition that it has released. After an unknown outcome
//! it rejects transactional calls until the producer is reset, as the real client does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use lifecycle_processor::kafka::{
    CommittedOffset, EndOffsets, Error, ErrorCode, Event, Member, PartitionId, PartitionOffset, Reaction, Record,
    RecordBatch,
};

use super::faults::Fault;
use super::group::MemberId;
use super::log::{CHANGELOG, HAND_OVERS, Log, TOUCHPOINTS};
use super::simulated_run::SimulatedRun;
use super::transactions::{Request, State};

/// Error code that represents the death of the process.
pub(crate) const CRASH: ErrorCode = ErrorCode::Other(1_000);
/// The code of other injected errors.
pub(super) const INJECTED: ErrorCode = ErrorCode::Other(1_001);

#[expect(clippy::struct_excessive_bools, reason = "each is an independent condition of the producer")]
pub(crate) struct SimulatedMember {
    pub(super) log: Rc<RefCell<Log>>,
    /// The run, whose other workers continue while this member is blocked; empty if a test runs a worker by itself.
    pub(super) run: Weak<SimulatedRun>,
    pub(crate) id: MemberId,
    pub(super) transactional_id: String,
    pub(super) epoch: u64,
    pub(super) is_in_transaction: bool,
    /// Whether the broker has received a request of the open transaction.
    pub(super) has_written: bool,
    pub(super) is_outcome_unknown: bool,
    /// Whether a request of an earlier transaction may still be in flight.
    pub(super) may_have_duplicate_request: bool,
    assignment: BTreeMap<PartitionId, AssignedInput>,
    changelog_positions: BTreeMap<PartitionId, i64>,
    hand_over_positions: BTreeMap<PartitionId, i64>,
}

struct AssignedInput {
    position: i64,
    /// End offsets as of the last fetch that reported them.
    cached_ends: Option<EndOffsets>,
    is_paused: bool,
}

impl SimulatedMember {
    /// Joins the group, as the replacement of `dead` where members are static.
    pub(crate) fn join(
        log: &Rc<RefCell<Log>>,
        run: Weak<SimulatedRun>,
        transactional_id: &str,
        dead: Option<MemberId>,
    ) -> Self {
        let (id, epoch) = {
            let mut log = log.borrow_mut();
            let replaced = dead.and_then(|dead| log.group.replace(dead));
            (replaced.unwrap_or_else(|| log.group.join(transactional_id)), log.init_producer(transactional_id))
        };
        Self {
            log: Rc::clone(log),
            run,
            id,
            transactional_id: transactional_id.to_owned(),
            epoch,
            is_in_transaction: false,
            has_written: false,
            is_outcome_unknown: false,
            may_have_duplicate_request: false,
            assignment: BTreeMap::new(),
            changelog_positions: BTreeMap::new(),
            hand_over_positions: BTreeMap::new(),
        }
    }

    fn replace_producer(&mut self) {
        self.epoch = self.log.borrow_mut().init_producer(&self.transactional_id);
        self.is_in_transaction = false;
        self.has_written = false;
        self.may_have_duplicate_request = false;
    }

    /// Ends the transaction at the broker.
    fn end(&mut self, name: &'static str, state: State) -> Result<(), Error> {
        let mut log = self.log.borrow_mut();
        if self.has_written && !log.transactions.has_open(&self.transactional_id) {
            // A late request of an earlier transaction has ended this transaction.
            return Err(error(name, Reaction::ResetProducer, ErrorCode::InvalidTransactionalState));
        }
        log.apply_request(&self.transactional_id, Request::End(state));
        self.is_in_transaction = false;
        self.has_written = false;
        Ok(())
    }
}

pub(super) fn error(call: &'static str, reaction: Reaction, code: ErrorCode) -> Error {
    Error::new(reaction, call, code, "simulated")
}

impl Member for SimulatedMember {
    fn name(&self) -> &str {
        &self.transactional_id
    }

    fn poll(&mut self, records_max: usize, _timeout: Duration) -> Result<Vec<Event>, Error> {
        self.infallible_call("poll", |member| {
            let mut log = member.log.borrow_mut();
            let mut events = log.group.events(member.id);
            for event in &events {
                if let Event::Assigned(partitions) = event {
                    log.fence_previous_owners(&member.transactional_id, partitions);
                }
            }
            for (&partition, input) in member.assignment.iter_mut().filter(|(_, input)| !input.is_paused) {
                // A worker without a run receives records at every poll.
                let records_min = usize::from(member.run.strong_count() == 0);
                let limit = log.faults.random.usize(records_min..=20).min(records_max);
                let (records, position) = log.read(TOUCHPOINTS, partition, input.position, limit);
                input.position = position;
                // The client receives an end offset only with a fetch response.
                if log.faults.random.u32(..3) == 0 {
                    input.cached_ends = Some(EndOffsets {
                        last_stable: log.range(TOUCHPOINTS, partition).1,
                        high_watermark: log.high_watermark(TOUCHPOINTS, partition),
                    });
                }
                if !records.is_empty() {
                    // Before or after the rebalance events: the client does not guarantee an order.
                    let index = if log.faults.random.bool() { 0 } else { events.len() };
                    events.insert(index, Event::Records(records));
                }
            }
            events
        })
    }

    fn assign(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        self.infallible_call("assign", |member| {
            for position in positions {
                let input = AssignedInput { position: position.offset, cached_ends: None, is_paused: true };
                assert!(member.assignment.insert(position.partition, input).is_none(), "assigned twice");
            }
        })
    }

    fn unassign(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        self.infallible_call("unassign", |member| {
            member.assignment.retain(|partition, _| !partitions.contains(partition));
            member.log.borrow_mut().group.release(member.id, partitions);
        })
    }

    fn pause(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        self.call("pause", |member| {
            for partition in partitions {
                member.assignment.get_mut(partition).expect("only assigned partitions are paused").is_paused = true;
            }
        })
    }

    fn resume(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        self.call("resume", |member| {
            for partition in partitions {
                member.assignment.get_mut(partition).expect("only assigned partitions are resumed").is_paused = false;
            }
        })
    }

    fn seek(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        self.call("seek", |member| {
            for position in positions {
                let input = member.assignment.get_mut(&position.partition).expect("only assigned partitions seek");
                input.position = position.offset;
            }
        })
    }

    fn committed(&mut self, partitions: &[PartitionId]) -> Result<Vec<CommittedOffset>, Error> {
        self.read("committed", |member| {
            let log = member.log.borrow();
            if partitions.iter().any(|&partition| log.transactions.is_unstable(partition)) {
                return Err(error("committed", Reaction::Retry, ErrorCode::UnstableOffsetCommit));
            }
            let committed = |&partition| match log.committed.get(&partition) {
                Some((offset, metadata)) => {
                    CommittedOffset { partition, offset: Some(*offset), metadata: metadata.clone() }
                }
                None => CommittedOffset { partition, offset: None, metadata: String::new() },
            };
            Ok(partitions.iter().map(committed).collect())
        })
    }

    fn input_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error> {
        self.read("input_range", |member| {
            let log = member.log.borrow();
            Ok((log.range(TOUCHPOINTS, partition).0, log.high_watermark(TOUCHPOINTS, partition)))
        })
    }

    fn input_record(&mut self, partition: PartitionId, offset: i64) -> Result<Option<Record>, Error> {
        self.read("input_record", |member| Ok(member.log.borrow().record_at(TOUCHPOINTS, partition, offset)))
    }

    fn read_position(&mut self, partition: PartitionId) -> Option<i64> {
        Some(self.assignment.get(&partition)?.position)
    }

    fn cached_ends(&mut self, partition: PartitionId) -> Option<EndOffsets> {
        self.assignment.get(&partition)?.cached_ends
    }

    fn changelog_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error> {
        self.read("changelog_range", |member| Ok(member.log.borrow().range(CHANGELOG, partition)))
    }

    fn open_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        self.call("open_changelog", |member| {
            member.changelog_positions.insert(partition, offset);
        })
    }

    fn read_changelog(&mut self, records_max: usize, _timeout: Duration) -> Result<Vec<Record>, Error> {
        self.read("read_changelog", |member| {
            let mut log = member.log.borrow_mut();
            // Only a few at a time, so that a restore takes several steps.
            let limit = log.faults.random.usize(1..=4).min(records_max);
            let is_truncated =
                |(&partition, &position): (&PartitionId, &i64)| log.range(CHANGELOG, partition).0 > position;
            if member.changelog_positions.iter().any(is_truncated) {
                log.faults.occurrences.count("broker: changelog truncated below a reader");
                return Err(error("read_changelog", Reaction::Abort, ErrorCode::OffsetOutOfRange));
            }
            let mut records = Vec::new();
            for (&partition, position) in &mut member.changelog_positions {
                let (some, next) = log.read(CHANGELOG, partition, *position, limit - records.len());
                *position = next;
                records.extend(some);
            }
            Ok(records)
        })
    }

    fn has_read_changelog_to(&mut self, partition: PartitionId, end: i64) -> bool {
        self.changelog_positions.get(&partition).is_some_and(|&position| position >= end)
    }

    fn close_changelog(&mut self, partition: PartitionId) -> Result<(), Error> {
        // `close_changelog` is local to the client.
        self.infallible_call("close_changelog", |member| {
            member.changelog_positions.remove(&partition);
        })
    }

    fn truncate_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        let (fault, is_forbidden) = (self.fault("truncate_changelog")?, self.log.borrow().forbids_truncation);
        let mut log = self.log.borrow_mut();
        if is_forbidden {
            log.faults.occurrences.count("broker: truncation forbidden");
            return Err(error("truncate_changelog", Reaction::Fatal, ErrorCode::TopicAuthorizationFailed));
        }
        let later = log.elapsed + Duration::from_millis(log.faults.random.u64(1..20_000));
        match fault {
            None | Some(Fault::Repeated | Fault::Freeze | Fault::ErrorAfter | Fault::CrashAfter) => {
                log.truncate_at(partition, offset, None);
            }
            Some(Fault::ErrorBefore | Fault::CrashBefore) => {}
            Some(Fault::Delayed) => log.truncate_at(partition, offset, Some(later)),
        }
        match fault {
            None | Some(Fault::Repeated | Fault::Freeze) => Ok(()),
            // After a crash, the next call reports the death of the process.
            Some(_) => Err(error("truncate_changelog", Reaction::Retry, INJECTED)),
        }
    }

    fn hand_over_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error> {
        self.read("hand_over_range", |member| Ok(member.log.borrow().range(HAND_OVERS, partition)))
    }

    fn open_hand_overs(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        self.call("open_hand_overs", |member| {
            member.hand_over_positions.insert(partition, offset);
        })
    }

    fn read_hand_overs(&mut self, records_max: usize) -> Result<Vec<Record>, Error> {
        let is_alone = self.run.strong_count() == 0;
        self.read("read_hand_overs", |member| {
            let mut log = member.log.borrow_mut();
            let mut records = Vec::new();
            for (&partition, position) in &mut member.hand_over_positions {
                // A worker without a run receives all.
                let limit = if is_alone { records_max } else { log.faults.random.usize(..=4) };
                let limit = limit.min(records_max - records.len());
                let (some, next) = log.read(HAND_OVERS, partition, *position, limit);
                *position = next;
                records.extend(some);
            }
            Ok(records)
        })
    }

    fn hand_over_position(&mut self, partition: PartitionId) -> Option<i64> {
        self.hand_over_positions.get(&partition).copied()
    }

    fn close_hand_overs(&mut self, partition: PartitionId) -> Result<(), Error> {
        // `close_hand_overs` is local to the client.
        self.infallible_call("close_hand_overs", |member| {
            member.hand_over_positions.remove(&partition);
        })
    }

    fn begin(&mut self) -> Result<(), Error> {
        if self.may_have_duplicate_request && !self.is_outcome_unknown {
            self.replace_producer();
        }
        self.transactional(
            "begin",
            &[Reaction::Abort, Reaction::ResetProducer],
            Reaction::ResetProducer,
            None,
            |member| {
                assert!(!member.is_in_transaction, "begin within a transaction");
                member.is_in_transaction = true;
                Ok(())
            },
        )
    }

    fn send_batch(&mut self, records: &RecordBatch) -> Result<Vec<i64>, Error> {
        self.assert_in_transaction("send");
        let fault = self.fault("send")?;
        self.reject_if_unusable("send")?;
        let (written, reaction) = {
            let random = &mut self.log.borrow_mut().faults.random;
            let reaction = if random.bool() { Reaction::Abort } else { Reaction::ResetProducer };
            match fault {
                None | Some(Fault::Repeated | Fault::Freeze) => (records.len(), None),
                Some(Fault::ErrorBefore) => (0, Some(reaction)),
                // Only some of the records are written.
                Some(_) => (random.usize(..=records.len()), Some(reaction)),
            }
        };
        self.has_written |= written > 0;
        let mut offsets = Vec::with_capacity(written);
        for record in records.iter().take(written) {
            offsets.push(self.log.borrow_mut().write(&self.transactional_id, record.into()));
        }
        match (fault, reaction) {
            (_, None) => Ok(offsets),
            (Some(Fault::CrashBefore | Fault::CrashAfter), _) => Err(error("send", Reaction::Fatal, CRASH)),
            (_, Some(reaction)) => {
                self.is_outcome_unknown = reaction == Reaction::ResetProducer;
                Err(error("send", reaction, INJECTED))
            }
        }
    }

    fn send_offsets(&mut self, offsets: &[(PartitionOffset, String)]) -> Result<(), Error> {
        self.assert_in_transaction("send_offsets");
        let requested = offsets.iter().map(|(position, text)| (position.partition, position.offset, text.clone()));
        let request = Request::Offsets(requested.collect());
        let late_request = Some(request.clone());
        self.transactional(
            "send_offsets",
            &[Reaction::Abort, Reaction::ResetProducer],
            Reaction::ResetProducer,
            late_request,
            |member| {
                let mut log = member.log.borrow_mut();
                if !log.group.is_current(member.id) {
                    log.faults.occurrences.count("group: commit with an older generation rejected");
                    return Err(error("send_offsets", Reaction::Abort, ErrorCode::IllegalGeneration));
                }
                // The broker would accept the offset, so the worker must not send it.
                assert!(offsets.iter().all(|(position, _)| log.group.owns(member.id, position.partition)));
                log.apply_request(&member.transactional_id, request);
                drop(log);
                member.has_written = true;
                Ok(())
            },
        )
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.assert_in_transaction("commit");
        // A commit that failed without effect may still take effect later.
        let late_request = Some(Request::End(State::Committed));
        self.transactional(
            "commit",
            &[Reaction::Abort, Reaction::ResetProducer],
            Reaction::ResetProducer,
            late_request,
            |member| member.end("commit", State::Committed),
        )
    }

    fn abort(&mut self) -> Result<(), Error> {
        self.assert_in_transaction("abort");
        let late_request = Some(Request::End(State::Aborted));
        self.transactional("abort", &[Reaction::ResetProducer], Reaction::ResetProducer, late_request, |member| {
            member.end("abort", State::Aborted)
        })
    }

    fn reset_producer(&mut self) -> Result<(), Error> {
        self.call("reset_producer", Self::replace_producer)?;
        self.is_outcome_unknown = false;
        Ok(())
    }

    fn leave(&mut self, _timeout: Duration) {
        self.log.borrow_mut().group.remove(self.id);
    }
}
