//! Fault injection: which fault occurs at which call. The same plan always produces the same faults.

use super::occurrences::Occurrences;

/// A fault of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The call fails and has no effect.
    ErrorBefore,
    /// The call fails although it has taken effect.
    ErrorAfter,
    /// The call fails, and its request takes effect later unless the producer is fenced in between.
    Delayed,
    /// The call succeeds, and its request arrives a second time later.
    Repeated,
    /// The call blocks while the other workers continue.
    Freeze,
    /// The process dies before the call takes effect.
    CrashBefore,
    /// The process dies after the call has taken effect.
    CrashAfter,
}

impl Fault {
    pub(crate) const ALL: [Self; 7] = [
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::Delayed,
        Self::Repeated,
        Self::Freeze,
        Self::CrashBefore,
        Self::CrashAfter,
    ];

    /// Name in the tally.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ErrorBefore => "fault: call failed without effect",
            Self::ErrorAfter => "fault: call failed after taking effect",
            Self::Delayed => "fault: call failed, took effect later",
            Self::Repeated => "fault: request sent twice",
            Self::Freeze => "fault: worker blocked in a call",
            Self::CrashBefore => "fault: process died before a call",
            Self::CrashAfter => "fault: process died after a call",
        }
    }
}

/// When faults occur.
pub(crate) enum Plan {
    /// Never.
    Never,
    /// At these calls, counted from 0, in ascending order.
    At(Vec<(u64, Fault)>),
    /// At random, up to a number of calls.
    Random {
        /// One fault in this many calls.
        one_in: u32,
        /// The same for the calls that follow a fault, so that recoveries fail as well.
        one_in_burst: u32,
        /// Number of calls after which no fault occurs.
        until: u64,
    },
}

/// Number of calls after a fault during which another one is more likely.
const BURST_CALLS: u64 = 12;

/// Factor by which polls fail less often than other calls.
const POLL_FAULT_DIVISOR: u32 = 8;

/// Decides which calls fail.
pub(crate) struct Faults {
    plan: Plan,
    calls: u64,
    burst_until: u64,
    pub(crate) occurrences: Occurrences,
    pub(crate) random: fastrand::Rng,
    /// The call that fails each time, without effect.
    pub(crate) always_fails: Option<&'static str>,
}

impl Faults {
    pub(crate) fn new(plan: Plan, seed: u64) -> Self {
        Self {
            plan,
            calls: 0,
            burst_until: 0,
            occurrences: Occurrences::default(),
            random: fastrand::Rng::with_seed(seed),
            always_fails: None,
        }
    }

    /// Returns the fault of the next call, if any. Most calls are polls, so they fail less often.
    pub(crate) fn next(&mut self, name: &'static str) -> Option<Fault> {
        let is_poll = name == "poll";
        let call = self.calls;
        self.calls += 1;
        if self.always_fails == Some(name) {
            self.occurrences.count(Fault::ErrorBefore.name());
            return Some(Fault::ErrorBefore);
        }
        let fault = match &self.plan {
            Plan::Never => None,
            Plan::At(faults) => faults.iter().find(|(at, _)| *at == call).map(|(_, fault)| *fault),
            Plan::Random { one_in, one_in_burst, until } => {
                let one_in = if call < self.burst_until { *one_in_burst } else { *one_in };
                let one_in = if is_poll { one_in * POLL_FAULT_DIVISOR } else { one_in };
                (call < *until && self.random.u32(..one_in) == 0)
                    .then(|| Fault::ALL[self.random.usize(..Fault::ALL.len())])
            }
        };
        if let Some(fault) = fault {
            self.burst_until = call + BURST_CALLS;
            self.occurrences.count(fault.name());
        }
        fault
    }

    /// Returns the number of calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// Whether no more faults will occur.
    pub(crate) fn are_exhausted(&self) -> bool {
        match &self.plan {
            Plan::Never => true,
            Plan::At(faults) => faults.iter().all(|(at, _)| self.calls > *at),
            Plan::Random { until, .. } => self.calls >= *until,
        }
    }
}
