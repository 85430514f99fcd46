//! Every metric: workers tell what they have done and what they have, and a scrape adds it up.
//!
//! Nothing is counted here on the hot road: a worker counts in numbers of its own and hands a copy over now and then. What
//! belongs to a partition is told from the partitions assigned now, so that it vanishes with the partition and two
//! instances never report the same one.

mod counts;
mod page;
mod render;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::lifecycle::model_set::ModelSet;

use super::distribution::{CALL_SECONDS, Distribution};

pub use counts::{ACTIVITIES, Counts, PartitionGauges, StageMove, TOPIC_KINDS, TransitionSort, Volume, WorkerGauges};

/// What the instance is doing as a whole.
const STATES: [&str; 4] = ["starting", "restoring", "running", "stopping"];

/// What may be done about an error of the Kafka client.
const REACTIONS: [&str; 4] = ["retry", "abort", "renew", "fatal"];

/// Every metric.
#[derive(Debug)]
pub struct Metrics {
    models: Vec<ModelNames>,
    state_limit_bytes: usize,
    is_stopping: AtomicBool,
    workers: Mutex<BTreeMap<usize, (Counts, WorkerGauges)>>,
    commit_duration: Mutex<Distribution>,
    /// By reaction and code.
    kafka_errors: Mutex<BTreeMap<(&'static str, String), u64>>,
    http: Mutex<Http>,
}

/// What a model's series are called.
#[derive(Debug)]
struct ModelNames {
    name: String,
    version: String,
    stages: Vec<String>,
    /// Kind and name of everything that it publishes.
    published: Vec<(&'static str, Box<str>)>,
}

/// What was answered, by path (a template, not what was asked for).
#[derive(Debug, Default)]
struct Http {
    answers: BTreeMap<(&'static str, u16), u64>,
    durations: BTreeMap<&'static str, Distribution>,
}

impl Metrics {
    /// Metrics of a service that runs `models` and may fill `state_limit_bytes`; everything is at zero.
    #[must_use]
    pub fn new(models: &ModelSet, state_limit_bytes: usize) -> Self {
        Self {
            models: models.models.iter().map(ModelNames::of).collect(),
            state_limit_bytes,
            is_stopping: AtomicBool::new(false),
            workers: Mutex::default(),
            commit_duration: Mutex::new(Distribution::new(CALL_SECONDS)),
            kafka_errors: Mutex::default(),
            http: Mutex::default(),
        }
    }

    /// Replaces what is known of a worker: what it has done since it started, and what it has now.
    pub fn set_worker(&self, worker: usize, counts: Counts, gauges: WorkerGauges) {
        lock(&self.workers).insert(worker, (counts, gauges));
    }

    /// How many partitions the workers have.
    #[must_use]
    pub fn partitions(&self) -> usize {
        lock(&self.workers).values().map(|(_, gauges)| gauges.partitions.len()).sum()
    }

    /// Notes how long a transaction took.
    pub fn commit_took(&self, length: Duration) {
        lock(&self.commit_duration).observe(length.as_secs_f64());
    }

    /// Counts an error of the Kafka client. Both labels come from enumerations.
    pub fn kafka_failed(&self, reaction: &'static str, code: &str) {
        *lock(&self.kafka_errors).entry((reaction, code.to_owned())).or_default() += 1;
    }

    /// The service has been told to stop.
    pub fn begin_stopping(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Puts the routes that may be asked for at zero.
    pub fn begin_routes(&self, paths: impl IntoIterator<Item = &'static str>) {
        let mut http = lock(&self.http);
        for path in paths {
            http.answers.entry((path, 200)).or_default();
            http.durations.entry(path).or_insert_with(|| Distribution::new(CALL_SECONDS));
        }
    }

    /// Counts an answer: by the path's template, the status, and how long it took.
    pub fn answered(&self, path: &'static str, status: u16, length: Duration) {
        let mut http = lock(&self.http);
        *http.answers.entry((path, status)).or_default() += 1;
        http.durations.entry(path).or_insert_with(|| Distribution::new(CALL_SECONDS)).observe(length.as_secs_f64());
    }
}

/// A lock whose holder panicked still guards whole numbers.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
