//! What an operator decides about a worker.

use std::sync::Arc;
use std::time::Duration;

use crate::lifecycle::time;
use crate::lifecycle::touchpoint::FactOptions;
use crate::wire::cloud_events::CloudEvents;

/// What an operator decides about a worker.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where records go.
    pub topics: Topics,
    /// How many partitions the topic of touchpoints has; `None` leaves it unwatched whether the number changes.
    pub partitions: Option<i32>,
    /// By which clock the wake-ups of silent customers fire.
    pub clock_source: ClockSource,
    /// A touchpoint further in the future of wall time than this is a dead letter.
    pub max_ahead: time::Duration,
    /// How facts are counted; its `lateness` is how far clocks stay behind.
    pub facts: FactOptions,
    /// A transition that occurred longer ago than this is old news and goes to the replay topic.
    pub fresh_for: time::Duration,
    /// How long a change waits for its transaction at most.
    pub commit_interval: Duration,
    /// The largest touchpoint record that is read.
    pub touchpoint_bytes_max: usize,
    /// Past how many bytes of customers reading stops: those of all workers on the same scales.
    pub state_bytes_max: usize,
    /// When the changelog is swept.
    pub sweep: SweepOptions,
    /// How transition records present themselves.
    pub cloud_events: CloudEvents,
}

/// Where records go.
#[derive(Clone, Debug)]
pub struct Topics {
    /// What is read; its name stands in dead letters.
    pub touchpoints: Arc<str>,
    /// Live transitions.
    pub transitions: Arc<str>,
    /// Old news; may be the topic of live transitions.
    pub replay: Arc<str>,
    /// Records set aside.
    pub dead_letters: Arc<str>,
    /// The truth about customers.
    pub changelog: Arc<str>,
}

/// By which clock the wake-ups of silent customers fire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockSource {
    /// By the touchpoints while the partition lags, by the wall once it has caught up.
    Wall,
    /// By the touchpoints alone.
    Touchpoints,
}

/// When the changelog is swept, and how fast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SweepOptions {
    /// A changelog smaller than this is not swept for its size.
    pub log_bytes_min: u64,
    /// A sweep begins at least this often, so that what was erased leaves the log.
    pub period: Duration,
    /// How many bytes of unchanged customers a commit writes at least while a sweep runs.
    pub step_bytes_min: usize,
}

impl Default for SweepOptions {
    fn default() -> Self {
        Self { log_bytes_min: 64 << 20, period: Duration::from_hours(24), step_bytes_min: 128 << 10 }
    }
}
