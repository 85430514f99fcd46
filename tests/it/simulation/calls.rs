//! How a call of the simulated member goes wrong, by what kind of call it is.

use std::time::Duration;

use lifecycle_processor::kafka::{Error, Reaction};

use super::faults::Fault;
use super::member::{CRASH, SimulatedMember, error};
use super::transactions::Request;

impl SimulatedMember {
    /// The fault of the next call. If the call takes long, that is over when this returns. A member that another has replaced learns of it.
    pub(super) fn fault(&mut self, name: &'static str) -> Result<Option<Fault>, Error> {
        let fault = self.log.borrow_mut().faults.next(name == "poll");
        if fault == Some(Fault::Freeze)
            && let Some(world) = self.world.upgrade()
        {
            let before = self.log.borrow().elapsed;
            world.hold_up(self.id);
            self.may_have_repeated |= self.log.borrow().elapsed.saturating_sub(before) >= Duration::from_secs(1);
            if world.kills_the_held_up() {
                return Err(error(name, Reaction::Fatal, CRASH));
            }
        }
        Ok(fault)
    }

    /// Makes a call that may fail, done or not, and is made again then.
    pub(super) fn call<T>(&mut self, name: &'static str, effect: impl FnOnce(&mut Self) -> T) -> Result<T, Error> {
        match self.fault(name)? {
            None | Some(Fault::Freeze | Fault::Repeated) => Ok(effect(self)),
            Some(Fault::ErrorBefore | Fault::Delayed) => Err(error(name, Reaction::Retry, "injected")),
            Some(Fault::ErrorAfter) => {
                effect(self);
                Err(error(name, Reaction::Retry, "injected"))
            }
            Some(Fault::CrashBefore) => Err(error(name, Reaction::Fatal, CRASH)),
            Some(Fault::CrashAfter) => {
                effect(self);
                Err(error(name, Reaction::Fatal, CRASH))
            }
        }
    }

    /// Makes a call that reads; if it fails, nothing has been read.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        effect: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.fault(name)? {
            None | Some(Fault::Freeze | Fault::Repeated) => effect(self),
            Some(Fault::ErrorBefore | Fault::ErrorAfter | Fault::Delayed) => {
                Err(error(name, Reaction::Retry, "injected"))
            }
            Some(Fault::CrashBefore | Fault::CrashAfter) => Err(error(name, Reaction::Fatal, CRASH)),
        }
    }

    /// Makes a call that fails only when the process dies.
    pub(super) fn safe_call<T>(&mut self, name: &'static str, effect: impl FnOnce(&mut Self) -> T) -> Result<T, Error> {
        match self.fault(name)? {
            Some(Fault::CrashBefore) => Err(error(name, Reaction::Fatal, CRASH)),
            Some(Fault::CrashAfter) => {
                effect(self);
                Err(error(name, Reaction::Fatal, CRASH))
            }
            Some(Fault::ErrorBefore | Fault::ErrorAfter | Fault::Delayed | Fault::Repeated | Fault::Freeze) | None => {
                Ok(effect(self))
            }
        }
    }

    /// Makes a call of a transaction: it fails with one of the `reactions` if it has not happened, with `after` if it has.
    /// `request` is what the broker may hear late, or twice.
    pub(super) fn transactional<T>(
        &mut self,
        name: &'static str,
        reactions: &[Reaction],
        after: Reaction,
        request: Option<Request>,
        effect: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let fault = self.fault(name)?;
        let result = match fault {
            Some(Fault::ErrorBefore) => {
                let picked = self.log.borrow_mut().faults.random.choice(reactions).copied();
                Err(error(name, picked.expect("a call can fail"), "injected"))
            }
            Some(Fault::Delayed) => {
                self.refuse_if_unusable(name)?;
                self.send_later(request);
                Err(error(name, Reaction::Renew, "injected"))
            }
            Some(Fault::CrashBefore) => {
                // What a dying process has sent may still arrive.
                if self.refuse_if_unusable(name).is_ok() && self.log.borrow_mut().faults.random.bool() {
                    self.send_later(request);
                }
                Err(error(name, Reaction::Fatal, CRASH))
            }
            None | Some(Fault::Freeze | Fault::Repeated | Fault::ErrorAfter | Fault::CrashAfter) => {
                self.refuse_if_unusable(name)?;
                let done = effect(self);
                match fault {
                    Some(Fault::CrashAfter) => Err(error(name, Reaction::Fatal, CRASH)),
                    Some(Fault::ErrorAfter) => done.and(Err(error(name, after, "injected"))),
                    Some(Fault::Repeated) => {
                        self.repeat(request);
                        done
                    }
                    _ => done,
                }
            }
        };
        if let Err(error) = &result {
            self.is_in_doubt = error.reaction == Reaction::Renew;
        }
        result
    }

    /// A producer that a newer one, or the broker, has shut out is told so when it next asks for something; one of which the
    /// client does not know how its last call ended takes no further call.
    pub(super) fn refuse_if_unusable(&mut self, name: &'static str) -> Result<(), Error> {
        if self.is_in_doubt {
            return Err(error(name, Reaction::Fatal, "State"));
        }
        // To begin is the client's own affair.
        if name != "begin" && self.log.borrow().transactions.is_fenced(&self.transactional_id, self.epoch) {
            self.log.borrow_mut().faults.tally.count("broker: fenced producer refused");
            self.is_in_doubt = true;
            return Err(Error { fenced: true, ..error(name, Reaction::Renew, "_FENCED") });
        }
        Ok(())
    }

    pub(super) fn assert_in_transaction(&self, name: &str) {
        assert!(self.is_in_transaction, "{name} without a transaction");
    }

    fn send_later(&self, request: Option<Request>) {
        let Some(request) = request else { return };
        let mut log = self.log.borrow_mut();
        log.send_later(&self.transactional_id, self.epoch, request.clone());
        if log.faults.random.bool() {
            log.send_later(&self.transactional_id, self.epoch, request);
        }
    }

    /// The request was answered after the client had sent it a second time, which takes it a second at least.
    fn repeat(&mut self, request: Option<Request>) {
        self.send_later(request);
        let mut log = self.log.borrow_mut();
        let pause = log.faults.random.u64(1000..2000);
        log.advance(Duration::from_millis(pause));
        drop(log);
        self.may_have_repeated = true;
    }
}
