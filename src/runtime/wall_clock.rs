//! The only place that reads the system clock.
//!
//! All other code receives a [`Moment`], so that a test or a simulation can control time. Wall time may be set back, so
//! deadlines and intervals use the monotonic reading.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::lifecycle::time::Timestamp;

/// Wall time and monotonic time at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Wall time; may jump in either direction.
    pub wall: Timestamp,
    /// Monotonic time since the start of the clock.
    pub elapsed: Duration,
}

/// The system clock.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    started: Instant,
}

impl WallClock {
    /// Returns a clock whose `elapsed` starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Returns the monotonic time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the current time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now(&self) -> Moment {
        // A system clock before 1970 or beyond the year 292 million is wrong anyway; use the epoch.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or_default());
        Moment { wall, elapsed: self.started.elapsed() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_plausible_and_elapsed_time_is_monotonic() {
        let clock = WallClock::start();
        let (first, second) = (clock.now(), clock.now());
        assert!(first.wall > Timestamp::from_millis(1_700_000_000_000));
        assert!(second.elapsed >= first.elapsed);
    }
}
