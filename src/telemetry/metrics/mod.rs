//! All metrics: each worker publishes its counters and gauges, and a scrape adds them up.
//!
//! A worker counts without locks and publishes a copy about twice a second. The series of a partition are rendered from
//! the currently assigned partitions, so they disappear when it is revoked, and two instances never export the same
//! series.

mod counts;
mod exposition;
mod render;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::lifecycle::model_set::ModelSet;

use super::histogram::{CALL_SECONDS, Histogram};

pub use counts::{ACTIVITIES, Counts, PartitionGauges, StageMove, TOPIC_KINDS, TransitionLabels, Volume, WorkerGauges};

/// Values of the `state` label.
const STATES: [&str; 4] = ["starting", "restoring", "running", "stopping"];

/// Values of the `reaction` label.
const REACTIONS: [&str; 4] = ["retry", "abort", "reset_producer", "fatal"];

/// The metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    models: Vec<ModelNames>,
    state_limit_bytes: usize,
    is_stopping: AtomicBool,
    workers: Mutex<BTreeMap<usize, (Counts, WorkerGauges)>>,
    commit_duration: Mutex<Histogram>,
    /// By reaction and code.
    kafka_errors: Mutex<BTreeMap<(&'static str, String), u64>>,
    http: Mutex<Http>,
}

/// Label values of a model's series.
#[derive(Debug)]
struct ModelNames {
    name: String,
    version: String,
    stages: Vec<String>,
    /// Kind and name of every transition that the model can publish.
    published: Vec<(&'static str, Box<str>)>,
}

/// HTTP responses by route template.
#[derive(Debug, Default)]
struct Http {
    responses: BTreeMap<(&'static str, u16), u64>,
    durations: BTreeMap<&'static str, Histogram>,
}

impl Metrics {
    /// Creates the metrics of a service with `models` and a limit of `state_limit_bytes`, all at zero.
    #[must_use]
    pub fn new(models: &ModelSet, state_limit_bytes: usize) -> Self {
        Self {
            models: models.models.iter().map(ModelNames::of).collect(),
            state_limit_bytes,
            is_stopping: AtomicBool::new(false),
            workers: Mutex::default(),
            commit_duration: Mutex::new(Histogram::new(CALL_SECONDS)),
            kafka_errors: Mutex::default(),
            http: Mutex::default(),
        }
    }

    /// Replaces the counters and gauges of a worker.
    pub fn set_worker(&self, worker: usize, counts: Counts, gauges: WorkerGauges) {
        lock(&self.workers).insert(worker, (counts, gauges));
    }

    /// Returns the number of assigned partitions.
    #[must_use]
    pub fn partitions(&self) -> usize {
        lock(&self.workers).values().map(|(_, gauges)| gauges.partitions.len()).sum()
    }

    /// Observes the duration of a commit.
    pub fn observe_commit(&self, duration: Duration) {
        lock(&self.commit_duration).observe(duration.as_secs_f64());
    }

    /// Counts an error of the Kafka client. The values of both labels come from enums, so the number of series is
    /// bounded.
    pub fn count_kafka_error(&self, reaction: &'static str, code: &str) {
        *lock(&self.kafka_errors).entry((reaction, code.to_owned())).or_default() += 1;
    }

    /// Records that the service is shutting down.
    pub fn set_stopping(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Initialises the series of all routes to zero.
    pub fn init_routes(&self, paths: impl IntoIterator<Item = &'static str>) {
        let mut http = lock(&self.http);
        for path in paths {
            http.responses.entry((path, 200)).or_default();
            http.durations.entry(path).or_insert_with(|| Histogram::new(CALL_SECONDS));
        }
    }

    /// Counts a response by route template and status, and observes its duration.
    pub fn observe_response(&self, path: &'static str, status: u16, duration: Duration) {
        let mut http = lock(&self.http);
        *http.responses.entry((path, status)).or_default() += 1;
        http.durations.entry(path).or_insert_with(|| Histogram::new(CALL_SECONDS)).observe(duration.as_secs_f64());
    }
}

/// Locks `mutex`. A poisoned lock is usable, because a panic cannot leave a partly updated number.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
