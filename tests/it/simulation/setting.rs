//! What a run is made of.

use std::sync::Arc;
use std::time::Duration;

use lifecycle_processor::kafka::PartitionId;
use lifecycle_processor::lifecycle::time;
use lifecycle_processor::runtime::{ClockSource, Options, SweepOptions, Topics};
use lifecycle_processor::wire::cloud_events::CloudEvents;

use super::history::{BYTES_MAX, facts};
use super::log::{CHANGELOG, DEAD_LETTERS, REPLAY, TOUCHPOINTS, TRANSITIONS};

/// What a run is made of.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that a run does or does not do")]
pub(crate) struct Setting {
    pub(crate) partitions: PartitionId,
    /// About how many touchpoints.
    pub(crate) records: usize,
    pub(crate) workers: usize,
    pub(crate) clock_source: ClockSource,
    /// Whether the touchpoints are those of the oracle's generator.
    pub(crate) is_adversarial: bool,
    /// Whether partitions change hands, members are expelled or stopped, and clocks are set.
    pub(crate) is_restless: bool,
    /// Whether a member that died and starts again has the partitions that it had.
    pub(crate) is_static: bool,
    pub(crate) forbids_truncation: bool,
    /// Whether customers are forgotten and erased, of which the oracle knows nothing.
    pub(crate) forgets: bool,
    pub(crate) transaction_timeout: Duration,
}

impl Setting {
    /// A setting in which nothing happens by itself.
    pub(crate) fn calm(workers: usize, clock_source: ClockSource) -> Self {
        Self {
            partitions: 2,
            records: 60,
            workers,
            clock_source,
            is_adversarial: false,
            is_restless: false,
            is_static: false,
            forbids_truncation: false,
            forgets: false,
            transaction_timeout: Duration::from_secs(10),
        }
    }

    pub(crate) fn by_chance(random: &mut fastrand::Rng) -> Self {
        let (is_by_wall, is_adversarial) = (random.bool(), random.bool());
        Self {
            partitions: random.i32(1..=4),
            records: random.usize(30..200),
            workers: random.usize(1..=3),
            clock_source: if is_by_wall { ClockSource::Wall } else { ClockSource::Touchpoints },
            is_adversarial,
            forgets: !is_by_wall && !is_adversarial && random.bool(),
            is_restless: true,
            is_static: random.u32(..4) == 0,
            forbids_truncation: random.u32(..16) == 0,
            transaction_timeout: Duration::from_secs(random.u64(3..15)),
        }
    }

    pub(crate) fn is_by_wall(&self) -> bool {
        self.clock_source == ClockSource::Wall
    }

    /// What an operator would have set.
    pub(crate) fn options(&self) -> Options {
        Options {
            topics: Topics {
                touchpoints: TOUCHPOINTS.into(),
                transitions: TRANSITIONS.into(),
                replay: REPLAY.into(),
                dead_letters: DEAD_LETTERS.into(),
                changelog: CHANGELOG.into(),
            },
            partitions: Some(self.partitions),
            clock_source: self.clock_source,
            // Where the touchpoints are the clock, the wall has no part in what lies in the future.
            max_ahead: time::Duration::from_millis(if self.is_by_wall() { 900_000 } else { i64::MAX }),
            facts: facts(self.forgets),
            // One topic, so that the order of one customer's transitions can be seen.
            fresh_for: time::Duration::from_days(100_000),
            commit_interval: Duration::from_millis(100),
            touchpoint_bytes_max: BYTES_MAX,
            state_bytes_max: usize::MAX,
            sweep: SweepOptions { log_bytes_min: 16 << 10, period: Duration::from_mins(10), step_bytes_min: 1000 },
            cloud_events: CloudEvents { source: "/simulation".to_owned(), with_subject: false },
        }
    }

    pub(crate) fn shared_options(&self) -> Arc<Options> {
        Arc::new(self.options())
    }
}
