//! What goes wrong in a run, and at which call. The same plan goes wrong in the same way.

use super::tally::Tally;

/// What goes wrong at a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// An error, and nothing has happened.
    ErrorBefore,
    /// An error, though it has happened.
    ErrorAfter,
    /// An error, and it will happen later if nothing prevents it.
    Delayed,
    /// No error, but the request is sent a second time and arrives again later.
    Repeated,
    /// The call takes long, and the world goes on meanwhile.
    Freeze,
    /// The process dies, and nothing has happened.
    CrashBefore,
    /// The process dies after it has happened.
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

    /// What it is counted as.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ErrorBefore => "fault: call failed, not done",
            Self::ErrorAfter => "fault: call failed, though done",
            Self::Delayed => "fault: call failed, done later",
            Self::Repeated => "fault: request sent twice",
            Self::Freeze => "fault: worker held up within a call",
            Self::CrashBefore => "fault: process died before a call",
            Self::CrashAfter => "fault: process died after a call",
        }
    }
}

/// When something goes wrong.
pub(crate) enum Plan {
    /// Never.
    Never,
    /// At these calls, counted from 0, in ascending order.
    At(Vec<(u64, Fault)>),
    /// Now and then, until so many calls have been made.
    Random {
        /// One fault in so many calls.
        one_in: u32,
        /// One fault in so many calls soon after another fault: what repairs a failure fails as well.
        one_in_burst: u32,
        /// Up to which call.
        until: u64,
    },
}

/// For how many calls after a fault another one is more likely.
const BURST_CALLS: u64 = 12;

/// By how much less goes wrong with calls that ask for news.
const NEWS: u32 = 8;

/// Deals out faults.
pub(crate) struct Faults {
    plan: Plan,
    calls: u64,
    burst_until: u64,
    pub(crate) tally: Tally,
    pub(crate) random: fastrand::Rng,
}

impl Faults {
    pub(crate) fn new(plan: Plan, seed: u64) -> Self {
        Self { plan, calls: 0, burst_until: 0, tally: Tally::default(), random: fastrand::Rng::with_seed(seed) }
    }

    /// The fault of the next call, if any. Most calls only ask for news: by chance less goes wrong there.
    pub(crate) fn next(&mut self, is_for_news: bool) -> Option<Fault> {
        let call = self.calls;
        self.calls += 1;
        let fault = match &self.plan {
            Plan::Never => None,
            Plan::At(faults) => faults.iter().find(|(at, _)| *at == call).map(|(_, fault)| *fault),
            Plan::Random { one_in, one_in_burst, until } => {
                let one_in = if call < self.burst_until { *one_in_burst } else { *one_in };
                let one_in = if is_for_news { one_in * NEWS } else { one_in };
                (call < *until && self.random.u32(..one_in) == 0)
                    .then(|| Fault::ALL[self.random.usize(..Fault::ALL.len())])
            }
        };
        if let Some(fault) = fault {
            self.burst_until = call + BURST_CALLS;
            self.tally.count(fault.name());
        }
        fault
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// Whether nothing will go wrong any more.
    pub(crate) fn are_over(&self) -> bool {
        match &self.plan {
            Plan::Never => true,
            Plan::At(faults) => faults.iter().all(|(at, _)| self.calls > *at),
            Plan::Random { until, .. } => self.calls >= *until,
        }
    }
}
