//! Options of a worker that an operator chooses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::lifecycle::identity::BlockedIds;
use crate::lifecycle::time;
use crate::lifecycle::touchpoint::FactOptions;
use crate::wire::cloud_events::CloudEvents;
use crate::wire::transition::{BecauseDetail, RecordFormat};

use super::direct_source::DirectSource;
use super::routes::Routes;

/// Options of a worker that an operator chooses.
#[derive(Clone, Debug)]
pub struct Options {
    /// The topics.
    pub topics: Topics,
    /// Partition count of the touchpoint topic; `None` disables the check for changes.
    pub partitions: Option<i32>,
    /// The clock that fires wake-ups of customers without new touchpoints.
    pub clock_source: ClockSource,
    /// A touchpoint whose event time is further ahead of wall time than this becomes a dead letter.
    pub max_ahead: time::Duration,
    /// How facts are computed. Its `lateness` is subtracted from event time and wall time before wake-ups fire.
    pub facts: FactOptions,
    /// Transitions older than this are published to the replay topic.
    pub fresh_for: time::Duration,
    /// Maximum time between the first change of a batch and its commit.
    pub commit_interval: Duration,
    /// Maximum size of a touchpoint record, in bytes.
    pub touchpoint_bytes_max: usize,
    /// State size in bytes at which consumption pauses, for all workers that share the memory budget.
    pub state_bytes_max: usize,
    /// When the changelog is swept.
    pub sweep: SweepOptions,
    /// The `CloudEvents` headers of transition records.
    pub cloud_events: CloudEvents,
    /// What transition records contain, and where they go.
    pub publish: PublishOptions,
    /// What identity resolution needs besides `facts.identity`; `None` if it is off.
    pub identity: Option<IdentitySetup>,
    /// The source whose records the touchpoint topic has; `None` if they are touchpoints in JSON.
    pub direct: Option<DirectSource>,
}

/// What identity resolution needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentitySetup {
    /// The topic of hand-overs, with as many partitions as the touchpoint topic.
    pub hand_overs: Arc<str>,
    /// The ids that count as absent.
    pub blocked_ids: BlockedIds,
}

/// What the records contain that other programs read, and where they go.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// The topics of live transitions that have one of their own.
    pub routes: Routes,
    /// The format of transitions and current stages.
    pub format: RecordFormat,
    /// What precedes the values of each topic.
    pub schemas: SchemaPrefixes,
    /// How much of the reason a transition contains.
    pub because: BecauseDetail,
    /// The topic of current stages; `None` if it is not written.
    pub current_stages: Option<Arc<str>>,
}

/// The bytes in front of the values of each topic, in Confluent's wire format; none for a topic that is not in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SchemaPrefixes(pub BTreeMap<Arc<str>, Box<[u8]>>);

impl SchemaPrefixes {
    /// Returns the bytes in front of the values of `topic`.
    pub(super) fn of(&self, topic: &str) -> &[u8] {
        self.0.get(topic).map_or(&[], |prefix| prefix)
    }
}

/// The topics that a worker reads and writes.
#[derive(Clone, Debug)]
pub struct Topics {
    /// Input; its name is written into dead letters.
    pub touchpoints: Arc<str>,
    /// Live transitions.
    pub transitions: Arc<str>,
    /// Replayed transitions; may be the same topic as `transitions`.
    pub replay: Arc<str>,
    /// Dead letters.
    pub dead_letters: Arc<str>,
    /// State of the customers.
    pub changelog: Arc<str>,
}

/// The clock that fires wake-ups of customers without new touchpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockSource {
    /// Event time while the partition lags, wall time once it has caught up.
    Wall,
    /// Event time only.
    Touchpoints,
}

/// When the changelog is swept, and how fast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SweepOptions {
    /// Minimum size of a changelog, in bytes, at which obsolete records cause a sweep.
    pub log_bytes_min: u64,
    /// Maximum time between two sweeps, so that the records of erased customers are deleted.
    pub period: Duration,
    /// Minimum number of bytes of unchanged customers that a commit rewrites during a sweep.
    pub step_bytes_min: usize,
}

impl Default for SweepOptions {
    fn default() -> Self {
        Self { log_bytes_min: 64 << 20, period: Duration::from_hours(24), step_bytes_min: 128 << 10 }
    }
}
