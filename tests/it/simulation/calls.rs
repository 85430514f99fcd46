//! Applies a fault to a call of the simulated member: whether the call takes effect, and which error it returns.
//!
//! There is one function per kind of call: reads, retried calls, transactional calls, and calls that cannot fail.

use std::time::Duration;

use lifecycle_processor::kafka::{Error, ErrorCode, Reaction};

use super::faults::Fault;
use super::member::{CRASH, INJECTED, SimulatedMember, error};
use super::transactions::Request;

impl SimulatedMember {
    /// Returns the fault of the next call. For `Fault::Freeze`, the other workers run before this returns.
    ///
    /// # Errors
    /// The death of the process, if it is killed while it is frozen.
    pub(super) fn fault(&mut self, name: &'static str) -> Result<Option<Fault>, Error> {
        let fault = self.log.borrow_mut().faults.next(name);
        if fault == Some(Fault::Freeze)
            && let Some(run) = self.run.upgrade()
        {
            let before = self.log.borrow().elapsed;
            run.run_while_blocked(self.id);
            self.may_have_duplicate_request |=
                self.log.borrow().elapsed.saturating_sub(before) >= Duration::from_secs(1);
            if run.kills_after_freeze() {
                return Err(error(name, Reaction::Fatal, CRASH));
            }
        }
        Ok(fault)
    }

    /// Makes a call that may fail before or after its effect; the worker retries it.
    pub(super) fn call<T>(&mut self, name: &'static str, effect: impl FnOnce(&mut Self) -> T) -> Result<T, Error> {
        match self.fault(name)? {
            None | Some(Fault::Freeze | Fault::Repeated) => Ok(effect(self)),
            Some(Fault::ErrorBefore | Fault::Delayed) => Err(error(name, Reaction::Retry, INJECTED)),
            Some(Fault::ErrorAfter) => {
                effect(self);
                Err(error(name, Reaction::Retry, INJECTED))
            }
            Some(Fault::CrashBefore) => Err(error(name, Reaction::Fatal, CRASH)),
            Some(Fault::CrashAfter) => {
                effect(self);
                Err(error(name, Reaction::Fatal, CRASH))
            }
        }
    }

    /// Makes a read call; a failed one has no effect.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        effect: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.fault(name)? {
            None | Some(Fault::Freeze | Fault::Repeated) => effect(self),
            Some(Fault::ErrorBefore | Fault::ErrorAfter | Fault::Delayed) => {
                Err(error(name, Reaction::Retry, INJECTED))
            }
            Some(Fault::CrashBefore | Fault::CrashAfter) => Err(error(name, Reaction::Fatal, CRASH)),
        }
    }

    /// Makes a call that fails only if the process dies.
    pub(super) fn infallible_call<T>(
        &mut self,
        name: &'static str,
        effect: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, Error> {
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

    /// Makes a transactional call. It fails with one of `reactions` if it had no effect, and with `after` if it had.
    /// `request` is the request that the broker may receive late or twice.
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
                let reaction = self.log.borrow_mut().faults.random.choice(reactions).copied();
                Err(error(name, reaction.expect("a call can fail"), INJECTED))
            }
            Some(Fault::Delayed) => {
                self.reject_if_unusable(name)?;
                self.deliver_later(request);
                Err(error(name, Reaction::ResetProducer, INJECTED))
            }
            Some(Fault::CrashBefore) => {
                // A request sent by a dying process may still arrive.
                if self.reject_if_unusable(name).is_ok() && self.log.borrow_mut().faults.random.bool() {
                    self.deliver_later(request);
                }
                Err(error(name, Reaction::Fatal, CRASH))
            }
            None | Some(Fault::Freeze | Fault::Repeated | Fault::ErrorAfter | Fault::CrashAfter) => {
                self.reject_if_unusable(name)?;
                let result = effect(self);
                match fault {
                    Some(Fault::CrashAfter) => Err(error(name, Reaction::Fatal, CRASH)),
                    Some(Fault::ErrorAfter) => result.and(Err(error(name, after, INJECTED))),
                    Some(Fault::Repeated) => {
                        self.deliver_twice(request);
                        result
                    }
                    _ => result,
                }
            }
        };
        if let Err(error) = &result {
            self.is_outcome_unknown = error.reaction == Reaction::ResetProducer;
        }
        result
    }

    /// Returns an error if the producer is fenced, which the broker reports at the next request, or if the outcome of
    /// its last call is unknown, after which the client rejects all calls.
    pub(super) fn reject_if_unusable(&mut self, name: &'static str) -> Result<(), Error> {
        if self.is_outcome_unknown {
            return Err(error(name, Reaction::Fatal, ErrorCode::State));
        }
        // `begin` is local to the client.
        if name != "begin" && self.log.borrow().transactions.is_fenced(&self.transactional_id, self.epoch) {
            self.log.borrow_mut().faults.occurrences.count("broker: fenced producer rejected");
            self.is_outcome_unknown = true;
            return Err(Error { fenced: true, ..error(name, Reaction::ResetProducer, ErrorCode::Fenced) });
        }
        Ok(())
    }

    pub(super) fn assert_in_transaction(&self, name: &str) {
        assert!(self.is_in_transaction, "{name} without a transaction");
    }

    fn deliver_later(&self, request: Option<Request>) {
        let Some(request) = request else { return };
        let mut log = self.log.borrow_mut();
        log.deliver_later(&self.transactional_id, self.epoch, request.clone());
        if log.faults.random.bool() {
            log.deliver_later(&self.transactional_id, self.epoch, request);
        }
    }

    /// Delivers the request again later, as if the client had repeated it because the response took longer than a
    /// second.
    fn deliver_twice(&mut self, request: Option<Request>) {
        self.deliver_later(request);
        let mut log = self.log.borrow_mut();
        let pause = log.faults.random.u64(1000..2000);
        log.advance(Duration::from_millis(pause));
        drop(log);
        self.may_have_duplicate_request = true;
    }
}
