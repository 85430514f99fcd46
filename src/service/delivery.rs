//! Starts the workers of all destinations and the HTTP server of `lifecycle deliver`, and shuts them down.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::api::{self, Deliveries, SharedTokens};
use crate::config::deliver::DeliverConfig;
use crate::deliver::worker::{Worker, WorkerOptions};
use crate::deliver::{Destination, DestinationHandle, StartAt, Statuses};
use crate::kafka::cluster::admin::{self, TopicSpec};
use crate::kafka::subscriber::SubscriberOptions;
use crate::kafka::{self, Error};
use crate::runtime::WallClock;
use crate::telemetry::deliveries::DeliverySnapshot;

/// How often `run` checks whether a worker has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Returns the topics of `config` that do not exist.
///
/// # Errors
/// If the cluster is unreachable or denies the request.
pub fn missing_topics(config: &DeliverConfig) -> Result<Vec<String>, Error> {
    let names: Vec<&str> = config.topics.iter().map(String::as_str).chain([config.dead_letters.as_str()]).collect();
    let described = admin::describe_topics(&config.cluster(), &names)?;
    let missing = names.iter().zip(described).filter(|(_, description)| description.is_none());
    Ok(missing.map(|(name, _)| (*name).to_owned()).collect())
}

/// Creates the dead-letter topic, with the default settings of the cluster.
///
/// # Errors
/// If the cluster is unreachable or denies the request.
pub fn create_dead_letter_topic(config: &DeliverConfig) -> Result<(), Error> {
    let topic = TopicSpec { name: config.dead_letters.clone(), partitions: -1, replication: None, configs: Vec::new() };
    admin::create_topics(&config.cluster(), &[topic]).map(drop)
}

/// Delivers to all destinations until `stop` is set, or until one of them fails. Serves HTTP on `listener`.
///
/// # Errors
/// The error that an operator must act on.
pub fn run(
    config: &DeliverConfig,
    listener: TcpListener,
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
        let worker = Worker::start(WorkerOptions {
            destination: Arc::new(configured.destination.clone()),
            subscriber: subscriber(config, config.topics.clone(), config.group_of(name)),
            dead_letters: config.dead_letters.as_str().into(),
            is_redrive: false,
            clock,
            stop: Arc::clone(stop),
            handle,
        })?;
        workers.push(spawn(name, worker)?);
    }
    let (stop_http, http_stop) = tokio::sync::oneshot::channel();
    let deliveries = Arc::new(Deliveries { statuses, tokens });
    let server = thread::Builder::new()
        .name("http".to_owned())
        .spawn(move || api::serve_deliveries(listener, deliveries, http_stop))
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
    // Filter and interval have already admitted these transitions.
    let destination = Destination {
        start: StartAt::Earliest,
        filter: None,
        interval_min: None,
        is_paused: false,
        linger: Duration::ZERO,
        ..destination.clone()
    };
    let worker = Worker::start(WorkerOptions {
        subscriber: subscriber(config, vec![config.dead_letters.clone()], group),
        dead_letters: config.dead_letters.as_str().into(),
        is_redrive: true,
        clock: WallClock::start(),
        stop: Arc::clone(stop),
        handle: DestinationHandle::new(&destination.name),
        destination: Arc::new(destination),
    })?;
    worker.run()
}

fn subscriber(config: &DeliverConfig, topics: Vec<String>, group_id: String) -> SubscriberOptions {
    SubscriberOptions {
        cluster: config.cluster(),
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
