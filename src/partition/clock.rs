//! Stream time of a partition: the highest event time seen so far, and the watermark derived from it.

use crate::lifecycle::time::{Duration, Timestamp};

/// The stream time of a partition. It never moves backwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clock {
    stream_time: Option<Timestamp>,
}

impl Clock {
    /// Creates a clock at `stream_time`.
    #[must_use]
    pub const fn at(stream_time: Option<Timestamp>) -> Self {
        Self { stream_time }
    }

    /// The highest event time seen; `None` before the first touchpoint.
    #[must_use]
    pub const fn stream_time(self) -> Option<Timestamp> {
        self.stream_time
    }

    /// Advances stream time to `instant`, unless it is already later.
    pub fn advance(&mut self, instant: Timestamp) {
        self.stream_time = Some(self.at_least(instant));
    }

    /// Returns `instant`, or stream time if it is already later.
    #[must_use]
    pub fn at_least(self, instant: Timestamp) -> Timestamp {
        self.stream_time.map_or(instant, |stream_time| stream_time.max(instant))
    }

    /// Returns stream time less `lateness`: wake-ups up to this instant may fire, since earlier touchpoints are late.
    #[must_use]
    pub fn watermark(self, lateness: Duration) -> Option<Timestamp> {
        self.stream_time.map(|stream_time| stream_time - lateness)
    }
}
