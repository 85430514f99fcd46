//! Measures how a worker spends its time, for metrics only. No decision depends on it, so that a simulation can run
//! without the system clock.

use std::time::Duration;

use crate::telemetry::snapshot::ACTIVITIES;

use super::wall_clock::{Moment, WallClock};

/// What a worker spends its time on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activity {
    /// Polling the client, which also serves its callbacks, and answering queries.
    Poll,
    /// Decoding and applying touchpoints, and firing wake-ups.
    Apply,
    /// Building the records of a batch, and its transaction.
    Commit,
    /// Beginning and advancing restores.
    Restore,
    /// Waiting for something to do.
    Idle,
}

/// Time spent per activity since the start of the worker, in the order of [`Activity`] and [`ACTIVITIES`].
pub(super) type Activities = [Duration; ACTIVITIES.len()];

/// Measures the consecutive activities of a worker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stopwatch {
    /// `None` disables measuring.
    clock: Option<WallClock>,
    lap_began: Option<Duration>,
    spent: Activities,
}

impl Stopwatch {
    pub(super) fn new(clock: WallClock) -> Self {
        Self { clock: Some(clock), ..Self::default() }
    }

    /// Attributes the time since the previous lap to `activity`, except for the part `idle`, which was spent waiting.
    pub(super) fn lap(&mut self, activity: Activity, idle: Duration) {
        let Some(clock) = self.clock else { return };
        let elapsed = clock.elapsed();
        let length = elapsed.saturating_sub(self.lap_began.replace(elapsed).unwrap_or(elapsed));
        self.spent[Activity::Idle as usize] += idle.min(length);
        self.spent[activity as usize] += length.saturating_sub(idle);
    }

    /// Returns the current time, or the start of the worker's step if measuring is disabled.
    pub(super) fn now(&self, step_began: Moment) -> Moment {
        self.clock.map_or(step_began, |clock| clock.now())
    }

    pub(super) fn spent(&self) -> Activities {
        self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::time::Timestamp;

    #[test]
    fn all_time_is_attributed_to_an_activity() {
        let clock = WallClock::start();
        let mut stopwatch = Stopwatch::new(clock);
        stopwatch.lap(Activity::Poll, Duration::ZERO);
        let begin = clock.elapsed();
        while clock.elapsed() < begin + Duration::from_millis(2) {}
        stopwatch.lap(Activity::Poll, Duration::from_millis(1));
        stopwatch.lap(Activity::Apply, Duration::from_secs(9));
        let [poll, apply, _, _, idle] = stopwatch.spent();
        assert!(poll >= Duration::from_micros(500) && idle >= Duration::from_millis(1), "{stopwatch:?}");
        assert_eq!(apply, Duration::ZERO, "idle time is limited to the length of the lap");
        assert!(stopwatch.spent().iter().sum::<Duration>() <= clock.elapsed());
    }

    #[test]
    fn without_a_clock_now_is_the_start_of_the_step() {
        let step_began = Moment { wall: Timestamp::from_millis(7), elapsed: Duration::from_secs(1) };
        let mut stopwatch = Stopwatch::default();
        stopwatch.lap(Activity::Commit, Duration::ZERO);
        assert_eq!((stopwatch.now(step_began), stopwatch.spent()), (step_began, Activities::default()));
    }
}
