//! The load of a chaos run: the touchpoints to write, and the parameters for comparing the result with `replay`.

use std::collections::BTreeSet;

use lifecycle_processor::lifecycle::time::{Duration, Timestamp};

use super::cluster::Acknowledged;
use super::historical_load::HistoricalLoad;
use super::live_load::LiveLoad;
use crate::broker::{ConsumedRecord, NewRecord};

/// Touchpoints written per second.
pub(super) const RATE: usize = 300;
/// Prefix of the event ids of touchpoints too far in the future.
pub(super) const FUTURE_PREFIX: &str = "future-";

/// Prefix of the ids of customers whose device clocks are ahead.
pub(super) const CLOCK_AHEAD_PREFIX: &str = "ahead-";

/// A generated load for one `clock.source`.
pub(super) trait Load: Send {
    /// Returns the value of `clock.source`.
    fn clock_source(&self) -> &'static str;

    /// Returns the value of `clock.lateness`.
    fn lateness(&self) -> Duration;

    /// Returns the lateness for replaying the customers whose clocks are ahead.
    fn clock_ahead_lateness(&self) -> Duration {
        self.lateness()
    }

    /// Returns the models as listed in the configuration: built-in names or file paths.
    fn models(&self) -> Vec<String>;

    /// Returns the records that are due `elapsed` after the start and were not returned before.
    fn due(&mut self, elapsed: std::time::Duration) -> Vec<NewRecord>;

    /// Returns the remaining records, to write after the last fault.
    fn rest(&mut self) -> Vec<NewRecord>;

    /// Returns the event time up to which `replay` fires wake-ups (`--until`).
    fn end(&self) -> Timestamp;

    /// Returns the time from now until the clock of a caught-up service reaches [`Load::end`], so that all wake-ups
    /// before it are due.
    fn time_until_last_wake_up(&self) -> std::time::Duration;

    /// Returns the customers with a record that was later than allowed.
    fn late_customers(&self, records: &[ConsumedRecord], acknowledged: &Acknowledged) -> BTreeSet<String>;
}

/// Creates the load for a run of `seconds`.
pub(super) fn load(clock_source: &str, seed: u64, seconds: u64) -> Box<dyn Load> {
    match clock_source {
        "touchpoints" => Box::new(HistoricalLoad::generate(seed, seconds)),
        "wall" => Box::new(LiveLoad::new(seed)),
        other => panic!("LIFECYCLE_CHAOS_CLOCK must be touchpoints or wall, not {other}"),
    }
}
