//! Runs the ingest workers: one thread for each topic of a source.
//!
//! The supervisor finds the topics that match a pattern, at the start and then every minute, and starts a worker for
//! each. It ends when all its workers have ended. If one fails, the whole service stops. If a topic that a pattern
//! matched is deleted, only its worker ends, and the topic is read again once it exists again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::config::{Config, SourceConfig, SourcesError};
use crate::finding::{Finding, Severity};
use crate::ingest::{self, IngestWorker};
use crate::kafka::cluster::admin;
use crate::kafka::{self, Cluster, SettingsUpdates};
use crate::runtime::{Fatal, Translator, WallClock};
use crate::telemetry::ingest::IngestSlot;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::status_registry::StatusRegistry;

use super::options::source_client;
use super::topics::cluster;
use super::{Failure, connect, spawn};

/// How often the topics that match a pattern are looked up.
const SCAN_INTERVAL: Duration = Duration::from_mins(1);
/// How often the supervisor checks the stop flag.
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How often a worker publishes a snapshot.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(500);

/// What the ingest workers need.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    cluster: Cluster,
    /// The client options of a worker, without its topic.
    client: kafka::Options,
    sources: Vec<SourceConfig>,
    /// Topics of the service itself, which no pattern matches.
    own_topics: Vec<String>,
    worker: ingest::Options,
    /// One for each source.
    translators: Vec<Translator>,
}

impl IngestOptions {
    /// Returns the options of the sources to re-key; `None` if there are none. The client calls `on_stuck` if a call
    /// into librdkafka does not return.
    ///
    /// # Errors
    /// A schema, a mapping or a credential of a source cannot be loaded.
    pub fn load(config: &Config, on_stuck: fn(&'static str)) -> Result<Option<Self>, SourcesError> {
        let translators = config.translators()?;
        if translators.is_empty() {
            return Ok(None);
        }
        let topics = &config.topics;
        Ok(Some(Self {
            cluster: cluster(config),
            client: source_client(config, on_stuck),
            sources: config.rekeyed_sources().cloned().collect(),
            own_topics: config.published_topics().chain([&*topics.touchpoints]).map(str::to_owned).collect(),
            worker: ingest::Options {
                source: "".into(),
                topic: "".into(),
                touchpoints: topics.touchpoints.as_str().into(),
                dead_letters: topics.dead_letters.as_str().into(),
                commit_interval: config.commit.interval,
            },
            translators,
        }))
    }

    /// Makes the workers use the settings of `updates`.
    #[must_use]
    pub fn with_updates(mut self, updates: SettingsUpdates) -> Self {
        self.client.updates = updates;
        self
    }

    /// Returns the cluster with the current client settings.
    fn cluster(&self) -> Cluster {
        match self.client.updates.newer_than(0) {
            Some((_, settings)) => Cluster { settings, ..self.cluster.clone() },
            None => self.cluster.clone(),
        }
    }

    /// Returns whether `failure` means that `topic` was deleted and need not exist: a pattern matched it, and the
    /// topics of the service, which the error may also be about, exist.
    fn is_deleted(&self, topic: &str, failure: &Fatal) -> bool {
        let (Fatal::Client(error) | Fatal::TooManyFailedTransactions { last: error, .. }) = failure else {
            return false;
        };
        if !error.is_missing_topic() || self.sources.iter().any(|source| source.named_topics().any(|it| it == topic)) {
            return false;
        }
        let written = [&self.worker.touchpoints, &self.worker.dead_letters];
        // If the cluster does not answer now, the next lookup shows which topics exist.
        admin::topic_names(&self.cluster())
            .map_or(true, |names| written.iter().all(|topic| names.iter().any(|name| **name == ***topic)))
    }

    /// Returns each topic to read with the index of its source. A topic that two patterns match belongs to the first.
    fn topics(&self) -> Result<Vec<(usize, String)>, kafka::Error> {
        let mut topics: Vec<_> = self
            .sources
            .iter()
            .enumerate()
            .flat_map(|(index, source)| source.named_topics().map(move |topic| (index, topic.to_owned())))
            .collect();
        if self.sources.iter().any(SourceConfig::has_patterns) {
            for topic in admin::topic_names(&self.cluster())? {
                let is_taken = self.own_topics.contains(&topic) || topics.iter().any(|(_, other)| *other == topic);
                if let Some(index) = self.sources.iter().position(|source| !is_taken && source.reads(&topic)) {
                    topics.push((index, topic));
                }
            }
        }
        Ok(topics)
    }
}

/// Runs the workers until `stop` is set and all of them have ended.
pub(super) fn run(
    options: &IngestOptions,
    status_registry: &Arc<StatusRegistry>,
    metrics: &Arc<Metrics>,
    stop: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    let (sender, results) = mpsc::channel();
    let clock = WallClock::start();
    let (mut started, mut running) = (BTreeSet::new(), 0_usize);
    let (mut next_scan, mut failed) = (Duration::ZERO, None);
    let has_patterns = options.sources.iter().any(SourceConfig::has_patterns);
    loop {
        let is_stopping = stop.load(Ordering::Relaxed);
        if !is_stopping && clock.elapsed() >= next_scan && (has_patterns || started.is_empty()) {
            next_scan = clock.elapsed() + SCAN_INTERVAL;
            match options.topics() {
                Ok(topics) => {
                    for (index, topic) in topics {
                        if started.insert(topic.clone()) {
                            running += 1;
                            let observers = (Arc::clone(status_registry), Arc::clone(metrics));
                            start_worker(options, index, &topic, observers, Arc::clone(stop), sender.clone());
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot list topics for the patterns of the sources, will retry"),
            }
        }
        match results.recv_timeout(STOP_POLL_INTERVAL) {
            Ok((topic, result)) => {
                running -= 1;
                started.remove(&topic);
                if let Err(failure) = result {
                    stop.store(true, Ordering::Relaxed);
                    failed.get_or_insert(failure);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        if running == 0 && stop.load(Ordering::Relaxed) {
            return failed.map_or(Ok(()), Err);
        }
    }
}

/// Reports the topic and the result of a worker thread when it is dropped, also after a panic.
struct ReportOnDrop {
    sender: Sender<(String, Result<(), Failure>)>,
    topic: String,
    slot: Arc<IngestSlot>,
    result: Result<(), Failure>,
}

impl ReportOnDrop {
    fn send(mut self, result: Result<(), Failure>) {
        self.result = result;
    }
}

impl Drop for ReportOnDrop {
    fn drop(&mut self) {
        self.slot.end();
        // The supervisor waits for every worker.
        let result = std::mem::replace(&mut self.result, Ok(()));
        drop(self.sender.send((std::mem::take(&mut self.topic), result)));
    }
}

fn start_worker(
    options: &IngestOptions,
    index: usize,
    topic: &str,
    (status_registry, metrics): (Arc<StatusRegistry>, Arc<Metrics>),
    stop: Arc<AtomicBool>,
    sender: Sender<(String, Result<(), Failure>)>,
) {
    let mut client = options.client.clone();
    client.member = format!("{}-{topic}", client.member);
    client.group_instance_id = client.group_instance_id.is_some().then(|| client.member.clone());
    topic.clone_into(&mut client.input_topic);
    client.on_error = Arc::new(move |error| {
        metrics.count_kafka_error(error.reaction.as_str(), &error.code.to_string());
    });
    let worker = ingest::Options {
        source: options.sources[index].name.as_str().into(),
        topic: topic.into(),
        ..options.worker.clone()
    };
    let translator = options.translators[index].clone();
    let slot = status_registry.ingest().add();
    let result = Err(Failure::Panicked);
    let report = ReportOnDrop { sender, topic: topic.to_owned(), slot: Arc::clone(&slot), result };
    let options = options.clone();
    let spawned = spawn(&format!("ingest-{index}"), move || {
        report.send(run_worker(&client, translator, worker, &options, (&status_registry, &slot), &stop));
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "cannot start an ingest worker");
    }
}

fn run_worker(
    client: &kafka::Options,
    translator: Translator,
    options: ingest::Options,
    supervisor: &IngestOptions,
    (status_registry, slot): (&StatusRegistry, &IngestSlot),
    stop: &AtomicBool,
) -> Result<(), Failure> {
    // The span has level ERROR, so that it is enabled at every log level.
    let _worker = tracing::error_span!("ingest", source = %options.source, topic = %options.topic).entered();
    let clock = WallClock::start();
    let heartbeat = || status_registry.ingest().heartbeat(slot);
    let Some(member) = connect(client, stop, heartbeat)? else { return Ok(()) };
    let topic = Arc::clone(&options.topic);
    let mut worker = IngestWorker::new(member, translator, options);
    let mut next_snapshot = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        if let Err(failure) = worker.step(|| clock.now()) {
            if !supervisor.is_deleted(&topic, &failure) {
                return Err(failure.into());
            }
            tracing::warn!(finding = %deleted(&topic), "source topic was deleted, its ingest worker ended");
            slot.publish(worker.abandon());
            return Ok(());
        }
        status_registry.ingest().heartbeat(slot);
        if clock.elapsed() >= next_snapshot {
            next_snapshot = clock.elapsed() + SNAPSHOT_INTERVAL;
            slot.publish(worker.snapshot());
        }
    }
    slot.publish(worker.snapshot());
    worker.stop(clock.now())?;
    Ok(())
}

/// Returns the finding about a topic that was deleted.
fn deleted(topic: &str) -> Finding {
    Finding::new(
        Severity::Warning,
        "sources",
        topic,
        "the topic was deleted while the service read it, and records that were not read yet are lost",
        "make sure that the deletion was meant; if the topic is created again, the service reads it within a minute",
    )
}
