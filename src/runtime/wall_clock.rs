//! The only place that reads the clock on the wall.
//!
//! Everybody else is handed a [`Moment`], so that a test or a simulation can be the clock. Two hands, because the wall
//! clock may be set back: deadlines and intervals go by the one that cannot.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::lifecycle::time::Timestamp;

/// An instant as a worker sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// The time of day, as the world agrees on it. May jump either way.
    pub wall: Timestamp,
    /// Since some fixed instant of this process. Never runs backwards.
    pub elapsed: Duration,
}

/// Tells [`Moment`]s.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    started: Instant,
}

impl WallClock {
    /// A clock whose `elapsed` starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// The hand that never runs backwards.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// This very moment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now(&self) -> Moment {
        // A clock before 1970 or past the year 292 million is no clock: the epoch is as good as any guess.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or_default());
        Moment { wall, elapsed: self.started.elapsed() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_shows_this_century_and_elapsed_time_does_not_run_backwards() {
        let clock = WallClock::start();
        let (first, second) = (clock.now(), clock.now());
        assert!(first.wall > Timestamp::from_millis(1_700_000_000_000));
        assert!(second.elapsed >= first.elapsed);
    }
}
