//! The shop of the demo: its customers' time, which people may speed up and stop, and the touchpoints that it leads to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::journeys::{JourneyOptions, Journeys};
use crate::kafka::feed::Feed;
use crate::kafka::{Cluster, Error};
use crate::lifecycle::time::{self, Timestamp};
use crate::live::{Pace, Wish};

/// How often touchpoints are sent.
const TICK: Duration = Duration::from_millis(50);
/// How much time may pass in a second, in milliseconds: from an hour to a hundred days.
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

/// The customers' time: it runs quicker than ours, and stops when people say so.
#[derive(Debug)]
pub(super) struct ShopTime {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// What it was at `since`.
    reached: Timestamp,
    since: Instant,
    /// Milliseconds that pass in a second.
    speed: i64,
    is_paused: bool,
}

impl State {
    fn now(&self) -> Timestamp {
        if self.is_paused {
            return self.reached;
        }
        let elapsed = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.reached + time::Duration::from_millis(elapsed.saturating_mul(self.speed / 1_000))
    }

    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        self.reached = self.now();
        self.since = Instant::now();
        change(self);
    }
}

impl ShopTime {
    /// Time that begins to run at `start`, `days_per_second` days in a second.
    pub(super) fn starting(start: Timestamp, days_per_second: u32) -> Self {
        let speed = i64::from(days_per_second) * 86_400_000;
        Self { state: Mutex::new(State { reached: start, since: Instant::now(), speed, is_paused: false }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic is done under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.state().now()
    }

    #[expect(clippy::cast_precision_loss, reason = "speeds are far below 2^52")]
    pub(super) fn pace(&self) -> Pace {
        let state = *self.state();
        Pace { now: state.now(), speed: state.speed as f64 / 1_000.0, is_paused: state.is_paused }
    }

    /// Does what a key asked for.
    pub(super) fn rule(&self, wish: &Wish) {
        self.state().change(|state| match wish {
            Wish::Pause => state.is_paused = !state.is_paused,
            Wish::Faster => {
                state.speed = SPEEDS.into_iter().find(|&speed| speed > state.speed).unwrap_or(state.speed);
            }
            Wish::Slower => {
                state.speed = SPEEDS.into_iter().rev().find(|&speed| speed < state.speed).unwrap_or(state.speed);
            }
            Wish::Quit | Wish::Look(_) | Wish::LookAway => {}
        });
    }
}

/// The shop.
pub(super) struct Shop<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) topic: &'a str,
    pub(super) options: JourneyOptions,
    pub(super) time: &'a ShopTime,
    /// For how long it is open.
    pub(super) limit: Option<Duration>,
    pub(super) touchpoints: &'a AtomicU64,
}

impl Shop<'_> {
    /// Sends touchpoints as they occur, until `stop` is set; sets it when the shop closes.
    pub(super) fn open(&self, stop: &AtomicBool) -> Result<(), Error> {
        let sent = self.send(stop);
        stop.store(true, Ordering::Relaxed);
        sent
    }

    fn send(&self, stop: &AtomicBool) -> Result<(), Error> {
        let feed = Feed::connect(self.cluster)?;
        let mut journeys = Journeys::new(self.options);
        let begun = Instant::now();
        while !stop.load(Ordering::Relaxed) && self.limit.is_none_or(|limit| begun.elapsed() < limit) {
            let now = self.time.now();
            while let Some(touchpoint) = journeys.next_by(now) {
                feed.send(self.topic, &touchpoint.customer_id, touchpoint.to_json().as_bytes())?;
                self.touchpoints.fetch_add(1, Ordering::Relaxed);
            }
            feed.poll(Duration::ZERO)?;
            thread::sleep(TICK);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn time_stands_while_it_is_paused() {
        let time = ShopTime::starting(START, 5);
        time.rule(&Wish::Pause);
        let now = time.now();
        assert_eq!((time.now(), time.pace().is_paused), (now, true));
        time.rule(&Wish::Pause);
        assert!(!time.pace().is_paused && time.now() >= now);
    }

    #[test]
    fn speeds_have_an_end_on_both_sides_and_time_never_runs_backwards() {
        let time = ShopTime::starting(START, 7);
        time.rule(&Wish::Faster);
        assert!((time.pace().speed - 864_000.0).abs() < 1e-9, "{:?}", time.pace());
        let mut before = time.now();
        for wish in [Wish::Faster, Wish::Slower] {
            for _ in 0..20 {
                time.rule(&wish);
                let now = time.now();
                assert!(now >= before);
                before = now;
            }
        }
        assert!((time.pace().speed - 3_600.0).abs() < 1e-9, "{:?}", time.pace());
    }
}
