//! How far a partition's touchpoints have come, in event time.

use crate::lifecycle::time::{Duration, Timestamp};

/// The event time that a partition has reached. Never runs backwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clock {
    reached: Option<Timestamp>,
}

impl Clock {
    /// A clock that has reached `reached`.
    #[must_use]
    pub const fn at(reached: Option<Timestamp>) -> Self {
        Self { reached }
    }

    /// The time of the latest touchpoint seen; `None` before the first.
    #[must_use]
    pub const fn reached(self) -> Option<Timestamp> {
        self.reached
    }

    /// Notes a touchpoint of `instant`.
    pub fn advance(&mut self, instant: Timestamp) {
        self.reached = Some(self.reached.map_or(instant, |reached| reached.max(instant)));
    }

    /// Up to when silent customers' wake-ups are due while touchpoints may still be on their way.
    #[must_use]
    pub fn less(self, lateness: Duration) -> Option<Timestamp> {
        self.reached.map(|reached| reached - lateness)
    }
}
