//! A group member and transactional producer on the log in memory.
//!
//! Stricter than a client where the worker must not go: a transaction begun on a producer in doubt, an abort of nothing, an
//! offset committed of a partition that was let go, are bugs and panic.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use lifecycle_processor::kafka::{
    Committed, Error, Event, Member, Outgoing, PartitionId, PartitionOffset, Reaction, Record,
};

use super::faults::Fault;
use super::group::MemberId;
use super::log::{CHANGELOG, Log, State, TOUCHPOINTS};

/// The code of the error that stands for the death of the process.
pub(crate) const CRASH: &str = "crash";

pub(crate) struct SimulatedMember {
    log: Rc<RefCell<Log>>,
    pub(crate) id: MemberId,
    transactional_id: String,
    epoch: u64,
    transaction: Option<usize>,
    is_in_doubt: bool,
    reading: BTreeMap<PartitionId, Reading>,
    changelogs: BTreeMap<PartitionId, i64>,
}

struct Reading {
    position: i64,
    is_paused: bool,
}

impl SimulatedMember {
    pub(crate) fn join(log: &Rc<RefCell<Log>>, transactional_id: &str) -> Self {
        let (id, epoch) = {
            let mut log = log.borrow_mut();
            (log.group.join(), log.init_producer(transactional_id))
        };
        Self {
            log: Rc::clone(log),
            id,
            transactional_id: transactional_id.to_owned(),
            epoch,
            transaction: None,
            is_in_doubt: false,
            reading: BTreeMap::new(),
            changelogs: BTreeMap::new(),
        }
    }

    /// Makes a call that may go wrong, with one of the `reactions` if it has not happened, with `after` if it has.
    fn call<T>(
        &mut self,
        name: &'static str,
        reactions: &[Reaction],
        after: Reaction,
        effect: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let fault = self.log.borrow_mut().faults.next();
        match fault {
            None => effect(self),
            Some(Fault::ErrorBefore | Fault::Delayed) => {
                let picked = self.log.borrow_mut().faults.random.choice(reactions).copied();
                Err(error(name, picked.expect("a call can fail"), "injected"))
            }
            Some(Fault::ErrorAfter) => {
                effect(self)?;
                Err(error(name, after, "injected"))
            }
            Some(Fault::CrashBefore) => Err(error(name, Reaction::Fatal, CRASH)),
            Some(Fault::CrashAfter) => {
                effect(self).ok();
                Err(error(name, Reaction::Fatal, CRASH))
            }
        }
    }

    /// Makes a call that reads; if it fails, nothing has been read.
    fn read<T>(&mut self, name: &'static str, effect: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let fault = self.log.borrow_mut().faults.next();
        match fault {
            None => effect(self),
            Some(Fault::ErrorBefore | Fault::ErrorAfter | Fault::Delayed) => {
                Err(error(name, Reaction::Retry, "injected"))
            }
            Some(Fault::CrashBefore | Fault::CrashAfter) => Err(error(name, Reaction::Fatal, CRASH)),
        }
    }

    /// Makes a call that fails only when the process dies.
    fn safe_call<T>(&mut self, name: &'static str, effect: impl FnOnce(&mut Self) -> T) -> Result<T, Error> {
        let fault = self.log.borrow_mut().faults.next();
        match fault {
            Some(Fault::CrashBefore) => Err(error(name, Reaction::Fatal, CRASH)),
            Some(Fault::CrashAfter) => {
                effect(self);
                Err(error(name, Reaction::Fatal, CRASH))
            }
            Some(Fault::ErrorBefore | Fault::ErrorAfter | Fault::Delayed) | None => Ok(effect(self)),
        }
    }

    /// Makes a call of a transaction.
    fn transactional<T>(
        &mut self,
        name: &'static str,
        reactions: &[Reaction],
        after: Reaction,
        effect: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        assert!(!self.is_in_doubt, "{name} on a producer in doubt");
        let result = if self.log.borrow().is_fenced(&self.transactional_id, self.epoch) {
            Err(fenced(name))
        } else {
            self.call(name, reactions, after, effect)
        };
        if let Err(error) = &result {
            self.is_in_doubt = error.reaction == Reaction::Renew || error.fenced;
        }
        result
    }

    fn open_transaction(&self, name: &str) -> usize {
        self.transaction.unwrap_or_else(|| panic!("{name} without a transaction"))
    }
}

fn error(call: &'static str, reaction: Reaction, code: &str) -> Error {
    Error { reaction, call, code: code.to_owned(), message: "simulated".to_owned(), fenced: false }
}

fn fenced(call: &'static str) -> Error {
    Error { fenced: true, ..error(call, Reaction::Renew, "_FENCED") }
}

/// When a commit message reaches the broker.
enum Arrival {
    Now,
    Later,
    Never,
}

impl Member for SimulatedMember {
    fn poll(&mut self, records_max: usize, _timeout: Duration) -> Result<Vec<Event>, Error> {
        self.safe_call("poll", |member| {
            let mut log = member.log.borrow_mut();
            let mut events = log.group.events(member.id);
            for (&partition, reading) in member.reading.iter_mut().filter(|(_, reading)| !reading.is_paused) {
                let some = log.faults.random.usize(1..=20).min(records_max);
                let (records, position) = log.read(TOUCHPOINTS, partition, reading.position, some);
                reading.position = position;
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
                let reading = Reading { position: position.offset, is_paused: true };
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
        self.call("pause", &[Reaction::Retry], Reaction::Retry, |member| {
            for partition in partitions {
                member.reading.get_mut(partition).expect("only assigned partitions are paused").is_paused = true;
            }
            Ok(())
        })
    }

    fn resume(&mut self, partitions: &[PartitionId]) -> Result<(), Error> {
        self.call("resume", &[Reaction::Retry], Reaction::Retry, |member| {
            for partition in partitions {
                member.reading.get_mut(partition).expect("only assigned partitions are resumed").is_paused = false;
            }
            Ok(())
        })
    }

    fn rewind(&mut self, positions: &[PartitionOffset]) -> Result<(), Error> {
        self.call("rewind", &[Reaction::Retry], Reaction::Retry, |member| {
            for position in positions {
                let reading =
                    member.reading.get_mut(&position.partition).expect("only assigned partitions are rewound");
                reading.position = position.offset;
            }
            Ok(())
        })
    }

    fn committed(&mut self, partitions: &[PartitionId]) -> Result<Vec<Committed>, Error> {
        self.read("committed", |member| {
            let log = member.log.borrow();
            if partitions.iter().any(|&partition| log.is_unstable(partition)) {
                return Err(error("committed", Reaction::Retry, "UNSTABLE_OFFSET_COMMIT"));
            }
            let committed = |&partition| match log.committed.get(&partition) {
                Some((offset, metadata)) => Committed { partition, offset: Some(*offset), metadata: metadata.clone() },
                None => Committed { partition, offset: None, metadata: String::new() },
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

    fn changelog_range(&mut self, partition: PartitionId) -> Result<(i64, i64), Error> {
        self.read("changelog_range", |member| Ok(member.log.borrow().range(CHANGELOG, partition)))
    }

    fn open_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        self.call("open_changelog", &[Reaction::Retry], Reaction::Retry, |member| {
            member.changelogs.insert(partition, offset);
            Ok(())
        })
    }

    fn read_changelog(&mut self, records_max: usize, _timeout: Duration) -> Result<Vec<Record>, Error> {
        self.read("read_changelog", |member| {
            let log = member.log.borrow();
            let mut records = Vec::new();
            for (&partition, position) in &mut member.changelogs {
                let (some, next) = log.read(CHANGELOG, partition, *position, records_max - records.len());
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
        self.call("close_changelog", &[Reaction::Retry], Reaction::Retry, |member| {
            member.changelogs.remove(&partition);
            Ok(())
        })
    }

    fn truncate_changelog(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        self.call("truncate_changelog", &[Reaction::Retry, Reaction::Abort], Reaction::Retry, |member| {
            member.log.borrow_mut().truncate(CHANGELOG, partition, offset);
            Ok(())
        })
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.transactional("begin", &[Reaction::Abort, Reaction::Renew], Reaction::Renew, |member| {
            assert_eq!(member.transaction, None, "begin within a transaction");
            let transaction = member.log.borrow_mut().begin(&member.transactional_id);
            member.transaction = Some(transaction);
            Ok(())
        })
    }

    fn send(&mut self, records: Vec<Outgoing>) -> Result<Vec<i64>, Error> {
        self.transactional("send", &[Reaction::Abort, Reaction::Renew], Reaction::Abort, |member| {
            let transaction = member.open_transaction("send");
            let mut log = member.log.borrow_mut();
            Ok(records.into_iter().map(|record| log.write(transaction, record)).collect())
        })
    }

    fn send_offsets(&mut self, offsets: &[(PartitionOffset, String)]) -> Result<(), Error> {
        self.transactional("send_offsets", &[Reaction::Abort, Reaction::Renew], Reaction::Renew, |member| {
            let transaction = member.open_transaction("send_offsets");
            let mut log = member.log.borrow_mut();
            if !log.group.is_member(member.id) {
                return Err(error("send_offsets", Reaction::Abort, "ILLEGAL_GENERATION"));
            }
            // A broker would take it, so nobody may try.
            assert!(offsets.iter().all(|(position, _)| log.group.owns(member.id, position.partition)));
            let offsets = offsets.iter().map(|(position, text)| (position.partition, position.offset, text.clone()));
            log.add_offsets(transaction, offsets.collect());
            Ok(())
        })
    }

    fn commit(&mut self) -> Result<(), Error> {
        assert!(!self.is_in_doubt, "commit on a producer in doubt");
        let transaction = self.open_transaction("commit");
        let mut log = self.log.borrow_mut();
        let (arrival, result) = if log.is_fenced(&self.transactional_id, self.epoch) {
            (Arrival::Never, Err(fenced("commit")))
        } else {
            let is_lost = log.faults.random.bool();
            match log.faults.next() {
                None => (Arrival::Now, Ok(())),
                Some(Fault::ErrorBefore) if is_lost => {
                    (Arrival::Never, Err(error("commit", Reaction::Renew, "injected")))
                }
                Some(Fault::ErrorBefore) => (Arrival::Never, Err(error("commit", Reaction::Abort, "injected"))),
                Some(Fault::ErrorAfter) => (Arrival::Now, Err(error("commit", Reaction::Renew, "injected"))),
                Some(Fault::Delayed) => (Arrival::Later, Err(error("commit", Reaction::Renew, "injected"))),
                Some(Fault::CrashBefore) if is_lost => (Arrival::Never, Err(error("commit", Reaction::Fatal, CRASH))),
                Some(Fault::CrashBefore) => (Arrival::Later, Err(error("commit", Reaction::Fatal, CRASH))),
                Some(Fault::CrashAfter) => (Arrival::Now, Err(error("commit", Reaction::Fatal, CRASH))),
            }
        };
        match arrival {
            Arrival::Now => log.end(transaction, State::Committed),
            Arrival::Later => {
                let at = log.elapsed + Duration::from_millis(log.faults.random.u64(1..3000));
                log.delay_commit(transaction, at);
            }
            Arrival::Never => {}
        }
        drop(log);
        match &result {
            Ok(()) => self.transaction = None,
            Err(error) => self.is_in_doubt = error.reaction == Reaction::Renew || error.fenced,
        }
        result
    }

    fn abort(&mut self) -> Result<(), Error> {
        self.transactional("abort", &[Reaction::Renew], Reaction::Renew, |member| {
            let transaction = member.open_transaction("abort");
            member.log.borrow_mut().end(transaction, State::Aborted);
            member.transaction = None;
            Ok(())
        })
    }

    fn renew(&mut self) -> Result<(), Error> {
        self.call("renew", &[Reaction::Retry], Reaction::Retry, |member| {
            member.epoch = member.log.borrow_mut().init_producer(&member.transactional_id);
            member.transaction = None;
            member.is_in_doubt = false;
            Ok(())
        })
    }

    fn leave(&mut self, _deadline: Duration) {
        self.log.borrow_mut().group.remove(self.id);
    }
}
