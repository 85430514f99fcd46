//! What goes wrong in a run, and at which call. The same plan goes wrong in the same way.

/// What goes wrong at a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// An error, and nothing has happened.
    ErrorBefore,
    /// An error, though it has happened.
    ErrorAfter,
    /// An error, and it will happen later if nothing prevents it.
    Delayed,
    /// The process dies, and nothing has happened.
    CrashBefore,
    /// The process dies after it has happened.
    CrashAfter,
}

/// When something goes wrong.
pub(crate) enum Plan {
    /// Never.
    Never,
    /// At one call, counted from 0.
    At(u64, Fault),
    /// Now and then, until so many calls have been made.
    Random {
        /// One fault in so many calls.
        one_in: u32,
        /// Up to which call.
        until: u64,
    },
}

/// Deals out faults.
pub(crate) struct Faults {
    plan: Plan,
    calls: u64,
    pub(crate) dealt: u64,
    pub(crate) random: fastrand::Rng,
}

impl Faults {
    pub(crate) fn new(plan: Plan, seed: u64) -> Self {
        Self { plan, calls: 0, dealt: 0, random: fastrand::Rng::with_seed(seed) }
    }

    /// The fault of the next call, if any.
    pub(crate) fn next(&mut self) -> Option<Fault> {
        let call = self.calls;
        self.calls += 1;
        let fault = match self.plan {
            Plan::Never => None,
            Plan::At(at, fault) => (call == at).then_some(fault),
            Plan::Random { one_in, until } => (call < until && self.random.u32(..one_in) == 0).then(|| {
                use Fault::{CrashAfter, CrashBefore, Delayed, ErrorAfter, ErrorBefore};
                *self
                    .random
                    .choice(&[ErrorBefore, ErrorBefore, ErrorAfter, ErrorAfter, Delayed, CrashBefore, CrashAfter])
                    .expect("there are faults")
            }),
        };
        self.dealt += u64::from(fault.is_some());
        fault
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// Whether nothing will go wrong any more.
    pub(crate) fn are_over(&self) -> bool {
        match self.plan {
            Plan::Never => true,
            Plan::At(at, _) => self.calls > at,
            Plan::Random { until, .. } => self.calls >= until,
        }
    }
}
