//! The composition root: makes threads of workers, serves HTTP beside them, and ends all of it in order.
//!
//! A worker that fails for good ends the others too, in order; what it had not committed has not happened.

pub mod doctor;
mod observer;
mod options;
mod signals;
pub mod topics;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::api::{self, Api, Peers, Token, Workers};
use crate::kafka::{self, Reaction};
use crate::lifecycle::model_set::ModelSet;
use crate::runtime::{self, Board, Query, Recent, Report, Scales, WallClock, Worker};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;

use observer::Observer;
pub use options::{kafka_options, peers, worker_options};
pub use signals::stop_on_signals;

/// How long an answer about a customer may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// How many bytes of the latest transitions are kept for those who watch.
const RECENT_BYTES_MAX: usize = 8 << 20;
/// How often it is looked whether to stop.
const LOOK_PERIOD: Duration = Duration::from_millis(50);
/// After how long a silence of a worker's loop the process gives up: past every deadline of a call to Kafka.
const SILENCE_MAX: Duration = Duration::from_mins(3);

/// Everything that a service is made of.
#[derive(Debug)]
pub struct Parts {
    /// The models to run.
    pub models: Arc<ModelSet>,
    /// What each worker is told.
    pub worker: Arc<runtime::Options>,
    /// What each worker's client is told; as many as there are to be workers.
    pub clients: Vec<kafka::Options>,
    /// Where HTTP is served, if at all, and the token to be borne there.
    pub http: Option<(TcpListener, Option<Token>)>,
    /// The other instances of the group, if this one advertises itself to them.
    pub peers: Option<Peers>,
    /// How long a stop may take.
    pub shutdown_deadline: Duration,
}

/// How a service ended.
#[derive(Debug)]
pub enum Ending {
    /// It was told to, and everything is in order.
    Stopped(Vec<Report>),
    /// A person must act: a sentence.
    Fatal(String),
    /// A worker did not end in time, or its loop fell silent; only the end of the process helps.
    Stuck(String),
}

/// A running service.
#[derive(Debug)]
pub struct Service {
    stop: Arc<AtomicBool>,
    endings: Receiver<(usize, Result<Report, String>)>,
    workers: usize,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    stop_http: Option<tokio::sync::oneshot::Sender<()>>,
    shutdown_deadline: Duration,
}

impl Service {
    /// Starts the workers and the HTTP server; `stop` ends them.
    ///
    /// # Errors
    /// A sentence: a thread cannot be made.
    pub fn start(parts: Parts, stop: Arc<AtomicBool>) -> Result<Self, String> {
        let count = parts.clients.len();
        let health = Arc::new(Health::of(count));
        let metrics = Arc::new(Metrics::new(&parts.models, parts.worker.state_bytes_max));
        let recent = Recent::new(RECENT_BYTES_MAX, parts.worker.fresh_for, WallClock::start().now().wall);
        let (recent, board, scales) = (Arc::new(recent), Arc::new(Board::of(count)), Arc::<Scales>::default());
        let (workers, questions) = Workers::channels(count, ANSWER_PATIENCE);
        let (ended, endings) = mpsc::channel();
        let mut service = Self {
            stop,
            endings,
            workers: count,
            health: Arc::clone(&health),
            metrics: Arc::clone(&metrics),
            stop_http: None,
            shutdown_deadline: parts.shutdown_deadline,
        };
        for (index, (mut client, questions)) in parts.clients.into_iter().zip(questions).enumerate() {
            let counted = Arc::clone(&metrics);
            client.on_commit = Arc::new(move |length| counted.commit_took(length));
            let counted = Arc::clone(&metrics);
            client.on_error = Arc::new(move |error| counted.kafka_failed(error.reaction.as_str(), &error.code));
            let observer =
                Observer::new(index, Arc::clone(&health), Arc::clone(&metrics), Arc::clone(&board), &parts.worker);
            let shared = (Arc::clone(&recent), Arc::clone(&scales));
            let (models, options, stop) =
                (Arc::clone(&parts.models), Arc::clone(&parts.worker), Arc::clone(&service.stop));
            let ended = ended.clone();
            spawn(&format!("worker-{index}"), move || {
                let panicked = Err("a worker panicked; this is a bug".to_owned());
                let ending = Ended { index, teller: ended, stop: Arc::clone(&stop), result: panicked };
                ending.with(work((index, &client), models, options, questions, shared, observer, &stop));
            })?;
        }
        if let Some((listener, token)) = parts.http {
            let api = Api {
                models: parts.models,
                currency: parts.worker.facts.currency,
                lateness: parts.worker.facts.lateness,
                fresh_for: parts.worker.fresh_for,
                recent,
                board,
                health,
                metrics,
                workers,
                peers: parts.peers,
                token,
            };
            let (stop_http, stopped) = tokio::sync::oneshot::channel();
            service.stop_http = Some(stop_http);
            spawn("http", move || {
                if let Err(error) = api::serve(listener, Arc::new(api), stopped) {
                    tracing::error!(%error, "http server has ended; the workers go on");
                }
            })?;
        }
        Ok(service)
    }

    /// How the workers do.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Waits until the service has been told to stop, or has to.
    #[must_use]
    pub fn wait(mut self) -> Ending {
        let mut reports = Vec::new();
        let mut fatal = None;
        let mut deadline = None;
        let mut was_ready = false;
        while reports.len() < self.workers {
            match self.endings.recv_timeout(LOOK_PERIOD) {
                Ok((_, Ok(report))) => reports.push(report),
                Ok((worker, Err(problem))) => {
                    tracing::error!(worker, problem, "worker has failed; the others stop");
                    fatal.get_or_insert(problem);
                    reports.push(Report::default());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ending::Stuck("the workers are gone".to_owned()),
            }
            if deadline.is_none() && self.stop.load(Ordering::Relaxed) {
                deadline = Some(Instant::now() + self.shutdown_deadline);
                self.metrics.begin_stopping();
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let deadline = self.shutdown_deadline.as_secs();
                return Ending::Stuck(fatal.unwrap_or_else(|| format!("the workers did not stop within {deadline} s")));
            }
            let is_ready = self.health.is_ready();
            if deadline.is_none() && is_ready != was_ready {
                tell_ready(is_ready, self.metrics.partitions());
                was_ready = is_ready;
            }
            let silence = self.health.silence();
            if deadline.is_none() && silence >= SILENCE_MAX {
                return Ending::Stuck(format!("a worker's loop has been silent for {} s", silence.as_secs()));
            }
        }
        drop(self.stop_http.take());
        match fatal {
            Some(problem) => Ending::Fatal(problem),
            None => Ending::Stopped(reports),
        }
    }
}

fn tell_ready(is_ready: bool, partitions: usize) {
    if is_ready {
        tracing::info!(partitions, "ready: every partition of this instance is worked on");
    } else {
        tracing::info!(partitions, "not ready: partitions come or are being restored, or state.max_bytes is reached");
    }
}

/// Tells of a worker's end whatever ends it; one that failed stops the others.
struct Ended {
    index: usize,
    teller: Sender<(usize, Result<Report, String>)>,
    stop: Arc<AtomicBool>,
    result: Result<Report, String>,
}

impl Ended {
    fn with(mut self, result: Result<Report, String>) {
        self.result = result;
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let result = std::mem::replace(&mut self.result, Err(String::new()));
        if result.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        // Nobody listens once the service has given up on its workers.
        drop(self.teller.send((self.index, result)));
    }
}

fn work(
    (index, client): (usize, &kafka::Options),
    models: Arc<ModelSet>,
    options: Arc<runtime::Options>,
    questions: Receiver<Query>,
    (recent, scales): (Arc<Recent>, Arc<Scales>),
    mut observer: Observer,
    stop: &AtomicBool,
) -> Result<Report, String> {
    // An error's own, so that it stands on every line whatever the level is.
    let _worker = tracing::error_span!("worker", worker = index).entered();
    let clock = WallClock::start();
    let member = loop {
        match kafka::Client::connect(client.clone()) {
            Ok(member) => break member,
            Err(error) if error.reaction == Reaction::Retry => {
                observer.wait();
                if stop.load(Ordering::Relaxed) {
                    return Ok(Report::default());
                }
                tracing::warn!(%error, "the brokers do not answer; the worker tries again");
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let worker = Worker::new(member, models, options, questions);
    let mut worker = worker.measured_by(clock).with_recent(recent).weighed_on(scales);
    while !stop.load(Ordering::Relaxed) {
        worker.step(|| clock.now()).map_err(|fatal| fatal.to_string())?;
        observer.look(&mut worker, clock.now());
    }
    observer.look_last(&mut worker, clock.now());
    worker.stop(clock.now()).map_err(|fatal| fatal.to_string())
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let made = thread::Builder::new().name(name.to_owned()).spawn(run);
    made.map(drop).map_err(|error| format!("the thread {name} cannot be made: {error}"))
}
