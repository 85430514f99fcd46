//! Where a worker's time goes. Measures only: nothing is decided by it, so that a simulation can do without.

use std::time::Duration;

use super::wall_clock::{Moment, WallClock};

/// What a worker spends its time on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activity {
    /// Taking records from the client, and seeing to it and to questions.
    Poll,
    /// Decoding touchpoints, applying them, and working off wake-ups.
    Apply,
    /// Making records of a batch, and its transaction.
    Commit,
    /// Taking up and restoring partitions.
    Restore,
    /// Waiting for something to do.
    Idle,
}

/// How long a worker has done what, since it started; in the order of [`Activity`].
pub type Activities = [Duration; 5];

/// Takes the time of a worker's activities, one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stopwatch {
    /// Without one nothing is measured.
    clock: Option<WallClock>,
    lap_began: Option<Duration>,
    spent: Activities,
}

impl Stopwatch {
    pub(super) fn of(clock: WallClock) -> Self {
        Self { clock: Some(clock), ..Self::default() }
    }

    /// The time since the last call was spent on `activity`; but `idle` of it on waiting.
    pub(super) fn lap(&mut self, activity: Activity, idle: Duration) {
        let Some(clock) = self.clock else { return };
        let elapsed = clock.elapsed();
        let length = elapsed.saturating_sub(self.lap_began.replace(elapsed).unwrap_or(elapsed));
        self.spent[Activity::Idle as usize] += idle.min(length);
        self.spent[activity as usize] += length.saturating_sub(idle);
    }

    /// This very moment; where nothing is measured, that at which the worker's step began.
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
    fn all_time_goes_to_some_activity() {
        let clock = WallClock::start();
        let mut stopwatch = Stopwatch::of(clock);
        stopwatch.lap(Activity::Poll, Duration::ZERO);
        let begin = clock.elapsed();
        while clock.elapsed() < begin + Duration::from_millis(2) {}
        stopwatch.lap(Activity::Poll, Duration::from_millis(1));
        stopwatch.lap(Activity::Apply, Duration::from_secs(9));
        let [poll, apply, _, _, idle] = stopwatch.spent();
        assert!(poll >= Duration::from_micros(500) && idle >= Duration::from_millis(1), "{stopwatch:?}");
        assert_eq!(apply, Duration::ZERO, "more than all of it cannot have been idle");
        assert!(stopwatch.spent().iter().sum::<Duration>() <= clock.elapsed());
    }

    #[test]
    fn without_a_clock_the_step_began_now() {
        let step_began = Moment { wall: Timestamp::from_millis(7), elapsed: Duration::from_secs(1) };
        let mut stopwatch = Stopwatch::default();
        stopwatch.lap(Activity::Commit, Duration::ZERO);
        assert_eq!((stopwatch.now(step_began), stopwatch.spent()), (step_began, Activities::default()));
    }
}
