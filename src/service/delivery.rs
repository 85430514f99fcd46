//! Starts the workers of all destinations, and shuts them down: in `lifecycle deliver` with an HTTP server of their
//! own, and beside the workers of the service in `lifecycle run`.
//!
//! In a process of their own, a worker that fails ends the process. In the service it starts again, because transitions
//! must not depend on deliveries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::api::{self, Deliveries, Listeners, SharedTokens};
use crate::config::deliver::{ConfiguredDestination, DeliverConfig};
use crate::deliver::worker::{Worker, WorkerOptions};
use crate::deliver::{Destination, DestinationHandle, StartAt, Statuses};
use crate::kafka::cluster::admin::{self, TopicSpec};
use crate::kafka::subscriber::SubscriberOptions;
use crate::kafka::{self, Cluster, Error, SettingsUpdates};
use crate::runtime::WallClock;
use crate::telemetry::deliveries::DeliverySnapshot;

/// How often `run` checks whether a worker has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long a destination of the service waits after its worker has failed.
const RESTART_WAIT: Duration = Duration::from_secs(10);

/// What deliveries inside the service need.
#[derive(Debug)]
pub struct DeliverOptions {
    /// The destinations, and the connection to Kafka.
    pub config: DeliverConfig,
    /// Settings that replace those of the Kafka client when a worker starts.
    pub updates: SettingsUpdates,
}

/// Returns the topics of `config` that do not exist.
///
/// # Errors
/// If the cluster is unreachable or denies the request.
pub fn missing_topics(config: &DeliverConfig, cluster: &Cluster) -> Result<Vec<String>, Error> {
    let names: Vec<&str> = config.topics.iter().map(String::as_str).chain([config.dead_letters.as_str()]).collect();
    let described = admin::describe_topics(cluster, &names)?;
    let missing = names.iter().zip(described).filter(|(_, description)| description.is_none());
    Ok(missing.map(|(name, _)| (*name).to_owned()).collect())
}

/// Creates the dead-letter topic, with the default settings of the cluster.
///
/// # Errors
/// If the cluster is unreachable or denies the request.
pub fn create_dead_letter_topic(config: &DeliverConfig, cluster: &Cluster) -> Result<(), Error> {
    let topic = TopicSpec { name: config.dead_letters.clone(), partitions: -1, replication: None, configs: Vec::new() };
    admin::create_topics(cluster, &[topic]).map(drop)
}

/// Delivers to all destinations until `stop` is set, or until one of them fails. Serves HTTP on `listeners`.
///
/// # Errors
/// The error that an operator must act on.
pub fn run(
    config: &DeliverConfig,
    listeners: Listeners,
    tokens: Option<SharedTokens>,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<DeliverySnapshot>, Error> {
    let clock = WallClock::start();
    let mut statuses: Statuses = Vec::new();
    let mut workers = Vec::new();
    for configured in &config.destinations {
        let name = &configured.destination.name;
        let handle = DestinationHandle::new(name);
        statuses.push(Arc::clone(&handle));
        let worker = Worker::start(worker_options(config, config.cluster(), configured, clock, stop, &handle))?;
        workers.push(spawn(name, worker)?);
    }
    let (stop_http, http_stop) = tokio::sync::oneshot::channel();
    let deliveries = Arc::new(Deliveries { statuses, tokens });
    let server = thread::Builder::new()
        .name("http".to_owned())
        .spawn(move || api::serve_deliveries(listeners, &deliveries, http_stop))
        .map_err(|error| thread_error(&error))?;
    while !stop.load(Ordering::Relaxed) && !workers.iter().any(thread::JoinHandle::is_finished) {
        thread::sleep(POLL_INTERVAL);
    }
    stop.store(true, Ordering::Relaxed);
    let results: Vec<_> = workers.into_iter().map(join).collect();
    drop(stop_http);
    match server.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "http server failed"),
        Err(_) => tracing::error!("http server panicked"),
    }
    results.into_iter().collect()
}

/// Delivers the dead letters of a destination again, until all that exist now are done or `stop` is set.
///
/// # Errors
/// The error that an operator must act on.
pub fn redrive(
    config: &DeliverConfig,
    destination: &Destination,
    stop: &Arc<AtomicBool>,
) -> Result<DeliverySnapshot, Error> {
    let group = format!("{}-redrive", config.group_of(&destination.name));
    // The interval has admitted these transitions. The filter may have failed for them and may be corrected by now.
    let destination = Destination {
        start: StartAt::Earliest,
        interval_min: None,
        is_paused: false,
        linger: Duration::ZERO,
        ..destination.clone()
    };
    let topics = vec![config.dead_letters.clone()];
    let worker = Worker::start(WorkerOptions {
        subscriber: subscriber(config, config.cluster(), topics, group),
        dead_letters: config.dead_letters.as_str().into(),
        is_redrive: true,
        clock: WallClock::start(),
        stop: Arc::clone(stop),
        handle: DestinationHandle::new(&destination.name),
        destination: Arc::new(destination),
    })?;
    worker.run()
}

/// The destinations of the service, each with a thread of its own.
#[derive(Debug)]
pub(super) struct ServiceDeliveries {
    pub(super) statuses: Statuses,
    threads: Vec<thread::JoinHandle<()>>,
}

impl ServiceDeliveries {
    /// Starts delivering until `stop` is set.
    ///
    /// # Errors
    /// If a thread cannot be created.
    pub(super) fn start(options: DeliverOptions, stop: &Arc<AtomicBool>) -> Result<Self, String> {
        let options = Arc::new(options);
        let (mut statuses, mut threads) = (Statuses::new(), Vec::new());
        for (index, configured) in options.config.destinations.iter().enumerate() {
            let name = &configured.destination.name;
            let handle = DestinationHandle::new(name);
            statuses.push(Arc::clone(&handle));
            let (options, stop) = (Arc::clone(&options), Arc::clone(stop));
            let spawned = thread::Builder::new()
                .name(format!("keep-{name}"))
                .spawn(move || keep_delivering(&options, index, &handle, &stop));
            threads.push(spawned.map_err(|error| format!("cannot create thread keep-{name}: {error}"))?);
        }
        Ok(Self { statuses, threads })
    }

    /// Waits until all have stopped, at most until `deadline`.
    pub(super) fn wait(&self, deadline: Instant) {
        while self.threads.iter().any(|thread| !thread.is_finished()) {
            if Instant::now() >= deadline {
                tracing::warn!("deliveries did not stop in time, those in flight may be repeated");
                return;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Delivers to one destination until `stop` is set. Starts again when the worker has failed, or when the settings of
/// the Kafka client have changed.
fn keep_delivering(options: &Arc<DeliverOptions>, index: usize, handle: &Arc<DestinationHandle>, stop: &AtomicBool) {
    let destination = &options.config.destinations[index].destination.name;
    let clock = WallClock::start();
    while !stop.load(Ordering::Relaxed) {
        let (seen, settings) = options.updates.newer_than(0).unzip();
        let stop_worker = Arc::new(AtomicBool::new(false));
        let worker = {
            let (options, handle, stop) = (Arc::clone(options), Arc::clone(handle), Arc::clone(&stop_worker));
            let run = move || deliver(&options.config, settings, index, clock, &stop, &handle);
            thread::Builder::new().name(format!("deliver-{destination}")).spawn(run)
        };
        let problem = match worker {
            Err(error) => format!("cannot start a thread: {error}"),
            Ok(worker) => {
                while !worker.is_finished() {
                    let has_changed = options.updates.newer_than(seen.unwrap_or(0)).is_some();
                    if has_changed || stop.load(Ordering::Relaxed) {
                        stop_worker.store(true, Ordering::Relaxed);
                    }
                    thread::sleep(POLL_INTERVAL);
                }
                match join(worker) {
                    Ok(_) => continue,
                    Err(error) => error.to_string(),
                }
            }
        };
        tracing::error!(
            destination,
            error = problem,
            "destination failed and starts again; the service itself is not affected"
        );
        handle.fail(&problem, clock.now().wall);
        let until = Instant::now() + RESTART_WAIT;
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Delivers to one destination until `stop` is set. `settings` replace those of the Kafka client.
fn deliver(
    config: &DeliverConfig,
    settings: Option<Vec<(String, String)>>,
    index: usize,
    clock: WallClock,
    stop: &Arc<AtomicBool>,
    handle: &Arc<DestinationHandle>,
) -> Result<DeliverySnapshot, Error> {
    let mut cluster = config.cluster();
    cluster.settings = settings.unwrap_or(cluster.settings);
    if missing_topics(config, &cluster)?.contains(&config.dead_letters) {
        create_dead_letter_topic(config, &cluster)?;
    }
    Worker::start(worker_options(config, cluster, &config.destinations[index], clock, stop, handle))?.run()
}

fn worker_options(
    config: &DeliverConfig,
    cluster: Cluster,
    configured: &ConfiguredDestination,
    clock: WallClock,
    stop: &Arc<AtomicBool>,
    handle: &Arc<DestinationHandle>,
) -> WorkerOptions {
    let group = config.group_of(&configured.destination.name);
    WorkerOptions {
        destination: Arc::new(configured.destination.clone()),
        subscriber: subscriber(config, cluster, config.topics.clone(), group),
        dead_letters: config.dead_letters.as_str().into(),
        is_redrive: false,
        clock,
        stop: Arc::clone(stop),
        handle: Arc::clone(handle),
    }
}

fn subscriber(config: &DeliverConfig, cluster: Cluster, topics: Vec<String>, group_id: String) -> SubscriberOptions {
    SubscriberOptions {
        cluster,
        client_id: group_id.clone(),
        group_id,
        topics,
        session_timeout: config.session_timeout,
    }
}

type Running = thread::JoinHandle<Result<DeliverySnapshot, Error>>;

fn spawn(name: &str, worker: Worker) -> Result<Running, Error> {
    thread::Builder::new()
        .name(format!("deliver-{name}"))
        .spawn(move || worker.run())
        .map_err(|error| thread_error(&error))
}

fn join(worker: Running) -> Result<DeliverySnapshot, Error> {
    worker.join().unwrap_or_else(|_| {
        let what = "a worker panicked; the message is above";
        Err(Error::new(kafka::Reaction::Fatal, "deliver", kafka::ErrorCode::Unspecified, what))
    })
}

fn thread_error(error: &std::io::Error) -> Error {
    let what = format!("cannot start a thread: {error}");
    Error::new(kafka::Reaction::Fatal, "deliver", kafka::ErrorCode::Thread, what)
}
