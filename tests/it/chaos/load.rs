//! What is written while harm is done, and what may be expected of it.

use std::collections::BTreeSet;

use lifecycle_processor::lifecycle::time::{Duration, Timestamp};

use super::cluster::Acknowledged;
use super::history::History;
use super::present::Present;
use crate::broker::{Seen, ToWrite};

/// How many touchpoints are written in a second.
pub(super) const RATE: usize = 300;
/// Ids of touchpoints from the future begin so.
pub(super) const FUTURE: &str = "future-";

/// Customers whose devices' clocks are ahead are called so.
pub(super) const AHEAD: &str = "ahead-";

/// Touchpoints to write, and by which clock time passes.
pub(super) trait Load: Send {
    /// `clock.source`.
    fn clock_source(&self) -> &'static str;

    /// `clock.lateness`.
    fn lateness(&self) -> Duration;

    /// How late a touchpoint may seem to those of customers whose clocks are ahead.
    fn lateness_of_ahead(&self) -> Duration {
        self.lateness()
    }

    /// The models, as the configuration names them.
    fn models(&self) -> Vec<String>;

    /// What is to be written by now, this long after the beginning, and has not been given before.
    fn due(&mut self, elapsed: std::time::Duration) -> Vec<ToWrite>;

    /// What is to be written at the end.
    fn rest(&mut self) -> Vec<ToWrite>;

    /// Up to when `replay` is to run.
    fn end(&self) -> Timestamp;

    /// How long it takes until time has brought about everything up to the end, if the service works.
    fn wait(&self) -> std::time::Duration;

    /// The customers of whom a record came later than allowed.
    fn unpunctual(&self, records: &[Seen], acknowledged: &Acknowledged) -> BTreeSet<String>;
}

/// The load that a run of `seconds` writes.
pub(super) fn load(clock_source: &str, seed: u64, seconds: u64) -> Box<dyn Load> {
    match clock_source {
        "touchpoints" => Box::new(History::generate(seed, seconds)),
        "wall" => Box::new(Present::begin(seed)),
        other => panic!("LIFECYCLE_CHAOS_CLOCK is touchpoints or wall, not {other}"),
    }
}
