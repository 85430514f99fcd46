//! A group member on the simulated log. What the worker must not do is a bug and panics: an abort of nothing, an offset
//! committed of a partition that was let go. A transaction begun on a producer in doubt is refused, as the client does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use lifecycle_processor::kafka::{
    CommittedOffset, Error, Event, Member, Outgoing, PartitionId, PartitionOffset, Reaction, Record,
};

use super::faults::Fault;
use super::group::MemberId;
use super::log::{CHANGELOG, Log, TOUCHPOINTS};
use super::transactions::{Request, State};
use super::world::World;

/// The code of the error that stands for the death of the process.
pub(crate) const CRASH: &str = "crash";

#[expect(clippy::struct_excessive_bools, reason = "each says one thing that may or may not have happened to a member")]
pub(crate) struct SimulatedMember {
    pub(super) log: Rc<RefCell<Log>>,
    /// What goes on while a call takes long; none where a test drives one worker alone.
    pub(super) world: Weak<World>,
    pub(crate) id: MemberId,
    pub(super) transactional_id: String,
    pub(super) epoch: u64,
    pub(super) is_in_transaction: bool,
    /// Whether the broker has heard of the transaction.
    pub(super) has_written: bool,
    pub(super) is_in_doubt: bool,
    /// Whether a request about an earlier transaction may still be under way.
    pub(super) may_have_repeated: bool,
    reading: BTreeMap<PartitionId, Reading>,
    changelogs: BTreeMap<PartitionId, i64>,
}

struct Reading {
    position: i64,
    /// The end of the partition when something was read last.
    end_seen: Option<i64>,
    is_paused: bool,
}

impl SimulatedMember {
    /// Joins the group; under the name of `dead`, where members are static.
    pub(crate) fn join(
        log: &Rc<RefCell<Log>>,
        world: Weak<World>,
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
            world,
            id,
            transactional_id: transactional_id.to_owned(),
            epoch,
            is_in_transaction: false,
            has_written: false,
            is_in_doubt: false,
            may_have_repeated: false,
            reading: BTreeMap::new(),
            changelogs: BTreeMap::new(),
        }
    }

    fn renew_producer(&mut self) {
        self.epoch = self.log.borrow_mut().init_producer(&self.transactional_id);
        self.is_in_transaction = false;
        self.has_written = false;
        self.may_have_repeated = false;
    }

    /// Ends the transaction at the broker.
    fn end(&mut self, name: &'static str, state: State) -> Result<(), Error> {
        let mut log = self.log.borrow_mut();
        if self.has_written && !log.transactions.has_open(&self.transactional_id) {
            // A request of an earlier transaction that came late has ended this one.
            return Err(error(name, Reaction::Renew, "InvalidTransactionalState"));
        }
        log.carry_out(&self.transactional_id, Request::End(state));
        self.is_in_transaction = false;
        self.has_written = false;
        Ok(())
    }
}

pub(super) fn error(call: &'static str, reaction: Reaction, code: &str) -> Error {
    Error { reaction, call, code: code.to_owned(), message: "simulated".to_owned(), to_do: None, fenced: false }
}

impl Member for SimulatedMember {
    fn name(&self) -> &str {
        &self.transactional_id
    }

    fn poll(&mut self, records_max: usize, _timeout: Duration) -> Result<Vec<Event>, Error> {
        self.safe_call("poll", |member| {
            let mut log = member.log.borrow_mut();
            let mut events = log.group.events(member.id);
            for event in &events {
                if let Event::Gained(partitions) = event {
                    log.succeed(&member.transactional_id, partitions);
                }
            }
            for (&partition, reading) in member.reading.iter_mut().filter(|(_, reading)| !reading.is_paused) {
                // A worker that is driven alone is never kept waiting.
                let least = usize::from(member.world.strong_count() == 0);
                let some = log.faults.random.usize(least..=20).min(records_max);
                let (records, position) = log.read(TOUCHPOINTS, partition, reading.position, some);
                reading.position = position;
                // The client hears of the end only when the broker has something to say.
                if log.faults.random.u32(..3) == 0 {
                    reading.end_seen = Some(log.range(TOUCHPOINTS, partition).1);
                }
                if !records.is_empty() {
                    // Before or after what the group says: a client promises neither.
                    let place = if log.faults.random.bool() { 0 } else { events.len() };
                    events.insert(place, Event::Records(records));
                }
            }
            events
        })
    }

    fn assign(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        self.safe_call("assign", |member| {
            for position in positions {
                let reading = Reading { position: position.offset, end_seen: None, is_paused: true };
                assert!(member.reading.insert(position.partition, reading).is_none(), "assigned twice");
            }
        })
    }

    fn release(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        self.safe_call("release", |member| {
            member.reading.retain(|partition, _| !partitions.contains(partition));
            member.log.borrow_mut().group.release(member.id, partitions);
        })
    }

    fn pause(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        self.call("pause", |member| {
            for partition in partitions {
                member.reading.get_mut(partition).expect("only assigned partitions are paused").is_paused = true;
            }
        })
    }

    fn resume(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        self.call("resume", |member| {
            for partition in partitions {
                member.reading.get_mut(partition).expect("only assigned partitions are resumed").is_paused = false;
            }
        })
    }

    fn rewind(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        self.call("rewind", |member| {
            for position in positions {
                let reading =
                    member.reading.get_mut(&position.partition).expect("only assigned partitions are rewound");
                reading.position = position.offset;
            }
        })
    }

    fn committed(&mut self, partitions: &[PartitionId]) -> Result<Vec<CommittedOffset>, Error> {
        self.read("committed", |member| {
            let log = member.log.borrow();
            if partitions.iter().any(|&partition| log.transactions.is_unstable(partition)) {
                return Err(error("committed", Reaction::Retry, "UNSTABLE_OFFSET_COMMIT"));
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
        self.read("input_range", |member| Ok(member.log.borrow().range(TOUCHPOINTS, partition)))
    }

    fn has_read_to(&mut self, partition: PartitionId, end: i64) -> bool {
        self.reading.get(&partition).is_some_and(|reading| reading.position >= end)
    }

    fn end_seen(&mut self, partition: PartitionId) -> Option<i64> {
        self.reading.get(&partition)?.end_seen
    }

    fn changelog_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error> {
        self.read("changelog_range", |member| Ok(member.log.borrow().range(CHANGELOG, partition)))
    }

    fn open_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        self.call("open_changelog", |member| {
            member.changelogs.insert(partition, offset);
        })
    }

    fn read_changelog(&mut self, records_max: usize, _timeout: Duration) -> Result<Vec<Record>, Error> {
        self.read("read_changelog", |member| {
            let mut log = member.log.borrow_mut();
            // Few at a time, so that a restore takes many rounds and the world goes on beside it.
            let few = log.faults.random.usize(1..=4).min(records_max);
            let is_cut = |(&partition, &position): (&PartitionId, &i64)| log.range(CHANGELOG, partition).0 > position;
            if member.changelogs.iter().any(is_cut) {
                log.faults.tally.count("broker: changelog cut below a reader");
                return Err(error("read_changelog", Reaction::Abort, "OffsetOutOfRange"));
            }
            let mut records = Vec::new();
            for (&partition, position) in &mut member.changelogs {
                let (some, next) = log.read(CHANGELOG, partition, *position, few - records.len());
                *position = next;
                records.extend(some);
            }
            Ok(records)
        })
    }

    fn has_read_changelog_to(&mut self, partition: PartitionId, end: i64) -> bool {
        self.changelogs.get(&partition).is_some_and(|&position| position >= end)
    }

    fn close_changelog(&mut self, partition: PartitionId) -> Result<(), Error> {
        // The client's own affair.
        self.safe_call("close_changelog", |member| {
            member.changelogs.remove(&partition);
        })
    }

    fn truncate_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        let (fault, is_forbidden) = (self.fault("truncate_changelog")?, self.log.borrow().forbids_truncation);
        let mut log = self.log.borrow_mut();
        if is_forbidden {
            log.faults.tally.count("broker: truncation forbidden");
            return Err(error("truncate_changelog", Reaction::Fatal, "TopicAuthorizationFailed"));
        }
        let in_a_while = log.elapsed + Duration::from_millis(log.faults.random.u64(1..20_000));
        match fault {
            None | Some(Fault::Repeated | Fault::Freeze | Fault::ErrorAfter | Fault::CrashAfter) => {
                log.truncate_at(partition, offset, None);
            }
            Some(Fault::ErrorBefore | Fault::CrashBefore) => {}
            Some(Fault::Delayed) => log.truncate_at(partition, offset, Some(in_a_while)),
        }
        match fault {
            None | Some(Fault::Repeated | Fault::Freeze) => Ok(()),
            // That the process died shows at its next call.
            Some(_) => Err(error("truncate_changelog", Reaction::Retry, "injected")),
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        if self.may_have_repeated && !self.is_in_doubt {
            self.renew_producer();
        }
        self.transactional("begin", &[Reaction::Abort, Reaction::Renew], Reaction::Renew, None, |member| {
            assert!(!member.is_in_transaction, "begin within a transaction");
            member.is_in_transaction = true;
            Ok(())
        })
    }

    fn send(&mut self, records: Vec<Outgoing>) -> Result<Vec<i64>, Error> {
        self.assert_in_transaction("send");
        let fault = self.fault("send")?;
        self.refuse_if_unusable("send")?;
        let (written, reaction) = {
            let random = &mut self.log.borrow_mut().faults.random;
            let reaction = if random.bool() { Reaction::Abort } else { Reaction::Renew };
            match fault {
                None | Some(Fault::Repeated | Fault::Freeze) => (records.len(), None),
                Some(Fault::ErrorBefore) => (0, Some(reaction)),
                // Some of them.
                Some(_) => (random.usize(..=records.len()), Some(reaction)),
            }
        };
        self.has_written |= written > 0;
        let mut offsets = Vec::with_capacity(written);
        for record in records.into_iter().take(written) {
            offsets.push(self.log.borrow_mut().write(&self.transactional_id, record));
        }
        match (fault, reaction) {
            (_, None) => Ok(offsets),
            (Some(Fault::CrashBefore | Fault::CrashAfter), _) => Err(error("send", Reaction::Fatal, CRASH)),
            (_, Some(reaction)) => {
                self.is_in_doubt = reaction == Reaction::Renew;
                Err(error("send", reaction, "injected"))
            }
        }
    }

    fn send_offsets(&mut self, offsets: &[(PartitionOffset, String)]) -> Result<(), Error> {
        self.assert_in_transaction("send_offsets");
        let them = offsets.iter().map(|(position, text)| (position.partition, position.offset, text.clone()));
        let request = Request::Offsets(them.collect());
        let late = Some(request.clone());
        self.transactional("send_offsets", &[Reaction::Abort, Reaction::Renew], Reaction::Renew, late, |member| {
            let mut log = member.log.borrow_mut();
            if !log.group.is_current(member.id) {
                log.faults.tally.count("group: commit of an older generation refused");
                return Err(error("send_offsets", Reaction::Abort, "ILLEGAL_GENERATION"));
            }
            // A broker would take it, so nobody may try.
            assert!(offsets.iter().all(|(position, _)| log.group.owns(member.id, position.partition)));
            log.carry_out(&member.transactional_id, request);
            drop(log);
            member.has_written = true;
            Ok(())
        })
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.assert_in_transaction("commit");
        // If it has not happened, it is open whether it still will.
        let late = Some(Request::End(State::Committed));
        self.transactional("commit", &[Reaction::Abort, Reaction::Renew], Reaction::Renew, late, |member| {
            member.end("commit", State::Committed)
        })
    }

    fn abort(&mut self) -> Result<(), Error> {
        self.assert_in_transaction("abort");
        let late = Some(Request::End(State::Aborted));
        self.transactional("abort", &[Reaction::Renew], Reaction::Renew, late, |member| {
            member.end("abort", State::Aborted)
        })
    }

    fn renew(&mut self) -> Result<(), Error> {
        self.call("renew", Self::renew_producer)?;
        self.is_in_doubt = false;
        Ok(())
    }

    fn leave(&mut self, _deadline: Duration) {
        self.log.borrow_mut().group.remove(self.id);
    }
}
