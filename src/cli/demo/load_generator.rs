//! Load generator of the demo: sends each touchpoint of a simulated shop when the simulated clock reaches its event
//! time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::kafka::tools::plain_producer::PlainProducer;
use crate::kafka::{Cluster, Error};
use crate::lifecycle::time::{self, Timestamp};
use crate::live::{Action, ClockStatus};
use crate::workload::{OwnTypes, Workload, WorkloadOptions};

/// How often the generator checks the clock and sends what is due.
const SEND_INTERVAL: Duration = Duration::from_millis(50);
/// Selectable speeds in simulated milliseconds per second, from one hour to 100 days per second.
const SPEEDS: [i64; 10] = [
    3_600_000,
    21_600_000,
    86_400_000,
    2 * 86_400_000,
    5 * 86_400_000,
    10 * 86_400_000,
    20 * 86_400_000,
    30 * 86_400_000,
    50 * 86_400_000,
    100 * 86_400_000,
];

/// A clock that runs faster than real time. The user can change its speed and pause it.
#[derive(Debug)]
pub(super) struct SimulatedClock {
    state: Mutex<ClockState>,
}

#[derive(Clone, Copy, Debug)]
struct ClockState {
    /// Simulated time at `since`.
    base: Timestamp,
    /// Real time of the last change of speed or pause.
    since: Instant,
    /// Simulated milliseconds per second.
    speed: i64,
    is_paused: bool,
}

impl ClockState {
    fn now(&self) -> Timestamp {
        if self.is_paused {
            return self.base;
        }
        let elapsed = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.base + time::Duration::from_millis(elapsed.saturating_mul(self.speed / 1_000))
    }

    /// Applies `change` without a jump in simulated time.
    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        self.base = self.now();
        self.since = Instant::now();
        change(self);
    }
}

impl SimulatedClock {
    /// Returns a clock that starts at `start` and advances `days_per_second` days per second.
    pub(super) fn starting(start: Timestamp, days_per_second: u32) -> Self {
        let speed = i64::from(days_per_second) * 86_400_000;
        Self { state: Mutex::new(ClockState { base: start, since: Instant::now(), speed, is_paused: false }) }
    }

    fn state(&self) -> MutexGuard<'_, ClockState> {
        // No code under the lock panics, so a poisoned lock still holds a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.state().now()
    }

    #[expect(clippy::cast_precision_loss, reason = "speeds are far below 2^52")]
    pub(super) fn status(&self) -> ClockStatus {
        let state = *self.state();
        ClockStatus { now: state.now(), speed: state.speed as f64 / 1_000.0, is_paused: state.is_paused }
    }

    /// Applies an action that controls the clock, and ignores all others.
    pub(super) fn apply(&self, action: &Action) {
        self.state().change(|state| match action {
            Action::TogglePause => state.is_paused = !state.is_paused,
            Action::SpeedUp => {
                state.speed = SPEEDS.into_iter().find(|&speed| speed > state.speed).unwrap_or(state.speed);
            }
            Action::SlowDown => {
                state.speed = SPEEDS.into_iter().rev().find(|&speed| speed < state.speed).unwrap_or(state.speed);
            }
            Action::Quit | Action::OpenCustomer(_) | Action::CloseCustomer => {}
        });
    }
}

/// Sends the touchpoints of simulated customers to a topic.
pub(super) struct LoadGenerator<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) topic: &'a str,
    pub(super) options: WorkloadOptions,
    /// Types that the models read beyond those of the shop.
    pub(super) own_types: &'a OwnTypes,
    pub(super) clock: &'a SimulatedClock,
    /// Real time after which the generator stops; `None` to run until `stop` is set.
    pub(super) limit: Option<Duration>,
    /// Number of touchpoints sent.
    pub(super) touchpoints: &'a AtomicU64,
}

impl LoadGenerator<'_> {
    /// Sends touchpoints until `stop` is set or the time limit is reached. Sets `stop` when it returns.
    pub(super) fn run(&self, stop: &AtomicBool) -> Result<(), Error> {
        let sent = self.send(stop);
        stop.store(true, Ordering::Relaxed);
        sent
    }

    fn send(&self, stop: &AtomicBool) -> Result<(), Error> {
        let producer = PlainProducer::connect(self.cluster)?;
        let mut workload = Workload::new(self.options).with_own_types(self.own_types.clone());
        let started = Instant::now();
        while !stop.load(Ordering::Relaxed) && self.limit.is_none_or(|limit| started.elapsed() < limit) {
            let now = self.clock.now();
            while let Some(touchpoint) = workload.next_until(now) {
                producer.send(self.topic, &touchpoint.customer_id, touchpoint.to_json().as_bytes())?;
                self.touchpoints.fetch_add(1, Ordering::Relaxed);
            }
            producer.poll(Duration::ZERO)?;
            thread::sleep(SEND_INTERVAL);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn a_paused_clock_does_not_advance() {
        let clock = SimulatedClock::starting(START, 5);
        clock.apply(&Action::TogglePause);
        let now = clock.now();
        assert_eq!((clock.now(), clock.status().is_paused), (now, true));
        clock.apply(&Action::TogglePause);
        assert!(!clock.status().is_paused && clock.now() >= now);
    }

    #[test]
    fn speeds_are_limited_and_time_never_runs_backwards() {
        let clock = SimulatedClock::starting(START, 7);
        clock.apply(&Action::SpeedUp);
        assert!((clock.status().speed - 864_000.0).abs() < 1e-9, "{:?}", clock.status());
        let mut before = clock.now();
        for action in [Action::SpeedUp, Action::SlowDown] {
            for _ in 0..20 {
                clock.apply(&action);
                let now = clock.now();
                assert!(now >= before);
                before = now;
            }
        }
        assert!((clock.status().speed - 3_600.0).abs() < 1e-9, "{:?}", clock.status());
    }
}
