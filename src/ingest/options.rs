//! Options of an ingest worker.

use std::sync::Arc;
use std::time::Duration;

/// Options of an ingest worker.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the source.
    pub source: Arc<str>,
    /// The topic to read.
    pub topic: Arc<str>,
    /// The topic of touchpoints, which is written.
    pub touchpoints: Arc<str>,
    /// The topic of dead letters.
    pub dead_letters: Arc<str>,
    /// Maximum time between the first record of a batch and its commit.
    pub commit_interval: Duration,
}
