//! Composition root of the service: starts one thread per worker and the HTTP server, and shuts them down.
//!
//! `ServiceOptions` holds everything that the caller has already opened and validated; processing itself is left to
//! `runtime`. If one worker fails, the others are stopped gracefully. The failed worker's open transaction is never
//! committed, so its records are processed again after the next start.

pub mod acls;
pub mod delivery;
pub mod doctor;
mod ingest;
mod last_hand_over;
mod observer;
mod options;
mod published_schemas;
pub mod reload;
pub mod repartition;
mod signals;
#[cfg(feature = "otlp")]
mod span_exporter;
mod startup_probes;
pub mod topics;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::api::{self, Api, Deliveries, Listeners, Peers, SharedTokens, WorkerChannels};
use crate::finding::{Finding, Severity};
use crate::kafka::{self, Reaction};
use crate::lifecycle::model_set::ModelSet;
use crate::runtime::{
    self, ClockSource, Fatal, MemoryBudget, Query, RecentTransitions, RefusedLinks, Tracer, WallClock, Worker,
};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::report::Report;
use crate::telemetry::status_registry::StatusRegistry;

use delivery::{DeliverOptions, ServiceDeliveries};
pub use ingest::IngestOptions;
use observer::Observer;
pub use options::{command_writer, http_tokens, kafka_options, peers, routes, tracing_options, worker_options};
pub use published_schemas::published_schemas;
pub use signals::stop_on_signals;
#[cfg(feature = "otlp")]
use span_exporter::start as start_tracer;
pub use startup_probes::StartupProbes;

/// Timeout of a customer query that the HTTP API sends to a worker.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
/// Size limit in bytes of the buffer of recent transitions that `/v1/transitions` serves.
const RECENT_BYTES_MAX: usize = 8 << 20;
/// How often `Service::wait` checks the stop flag, the readiness and the heartbeats.
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A worker without a heartbeat for this long is considered stuck. Longer than the timeout of every Kafka call.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_mins(3);

/// Everything that `Service::start` needs.
#[derive(Debug)]
pub struct ServiceOptions {
    /// The models to run.
    pub models: Arc<ModelSet>,
    /// Options shared by all workers.
    pub worker: Arc<runtime::Options>,
    /// Kafka client options, one entry per worker; the length is the number of workers.
    pub clients: Vec<kafka::Options>,
    /// The sources to ingest, if any.
    pub ingest: Option<IngestOptions>,
    /// The destinations to deliver to, if any.
    pub deliver: Option<DeliverOptions>,
    /// Listeners of the HTTP server and the bearer tokens that requests must carry; `None` disables HTTP.
    pub http: Option<(Listeners, Option<SharedTokens>)>,
    /// Finds the other instances of the group; `None` if this instance does not advertise itself to them.
    pub peers: Option<Peers>,
    /// Where spans are sent; `None` without tracing.
    pub tracing: Option<TracingOptions>,
    /// Time limit of a graceful shutdown.
    pub shutdown_deadline: Duration,
}

/// What is traced, and where spans are sent.
#[derive(Clone, Debug)]
pub struct TracingOptions {
    /// The receiver: `http://127.0.0.1:4318`.
    pub endpoint: String,
    /// One in this many touchpoints without a trace context starts a trace; 0 for none.
    pub sample_one_in: usize,
    /// The topic of touchpoints.
    pub topic: Arc<str>,
    /// The consumer group.
    pub group: Arc<str>,
    /// The name of this instance.
    pub instance: Arc<str>,
}

/// Why a worker ended early.
#[derive(Debug)]
pub enum Failure {
    /// An error that needs an operator.
    Fatal(Fatal),
    /// The worker panicked, which is a bug.
    Panicked,
}

impl Failure {
    /// Returns what failed, where, and what to do.
    #[must_use]
    pub fn finding(&self) -> Finding {
        match self {
            Self::Fatal(fatal) => fatal.finding(),
            Self::Panicked => {
                let to_do = "start the service again, and report the bug with the log lines above";
                Finding::new(Severity::Problem, "worker", "a worker", "it panicked, which is a bug", to_do)
            }
        }
    }
}

impl From<Fatal> for Failure {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}

/// Why the service ended.
#[derive(Debug)]
pub enum ExitReason {
    /// Graceful shutdown on request. Holds one report per worker.
    Stopped(Vec<Report>),
    /// A worker failed.
    Failed(Failure),
    /// A worker missed the shutdown deadline or sent no heartbeat, so the process must exit. Holds the error message.
    Stuck(String),
}

/// A running service.
#[derive(Debug)]
pub struct Service {
    stop: Arc<AtomicBool>,
    results: Receiver<(usize, Result<Report, Failure>)>,
    /// Number of worker threads; the supervisor of the ingest workers counts as one.
    workers: usize,
    status_registry: Arc<StatusRegistry>,
    metrics: Arc<Metrics>,
    stop_http: Option<tokio::sync::oneshot::Sender<()>>,
    /// The deliveries do not count as workers: whatever happens to them, the service goes on.
    deliveries: Option<ServiceDeliveries>,
    /// Sends the last spans after the workers have ended.
    span_exporter: Option<JoinHandle<()>>,
    shutdown_deadline: Duration,
}

impl Service {
    /// Starts the workers and the HTTP server. Setting `stop` shuts them down gracefully.
    ///
    /// # Errors
    /// If a thread cannot be created.
    pub fn start(options: ServiceOptions, stop: Arc<AtomicBool>) -> Result<Self, String> {
        let count = options.clients.len();
        let status_registry = Arc::new(StatusRegistry::new(count));
        let lateness = match options.worker.clock_source {
            ClockSource::Wall => Some(options.worker.facts.lateness),
            ClockSource::Touchpoints => None,
        };
        let registry = Arc::clone(&status_registry);
        let metrics = Arc::new(Metrics::new(&options.models, options.worker.state_bytes_max, lateness, registry));
        let started_at = WallClock::start().now().wall;
        let recent = RecentTransitions::new(RECENT_BYTES_MAX, options.worker.fresh_for, started_at);
        let (recent, memory_budget) = (Arc::new(recent), Arc::<MemoryBudget>::default());
        let refused_links = Arc::<RefusedLinks>::default();
        let (workers, queries) = WorkerChannels::new(count, QUERY_TIMEOUT);
        let (result_sender, results) = mpsc::channel();
        let (tracer, span_exporter) = options.tracing.map(start_tracer).transpose()?.unzip();
        let tracer = tracer.map(Arc::new);
        let mut service = Self {
            stop,
            results,
            workers: count + usize::from(options.ingest.is_some()),
            status_registry: Arc::clone(&status_registry),
            metrics: Arc::clone(&metrics),
            stop_http: None,
            deliveries: None,
            span_exporter,
            shutdown_deadline: options.shutdown_deadline,
        };
        for (index, (mut client, queries)) in options.clients.into_iter().zip(queries).enumerate() {
            let error_metrics = Arc::clone(&metrics);
            client.on_error = Arc::new(move |error| {
                error_metrics.count_kafka_error(error.reaction.as_str(), &error.code.to_string());
            });
            let observer = Observer::new(index, Arc::clone(&status_registry), Arc::clone(&metrics));
            let shared = Shared {
                recent: Arc::clone(&recent),
                refused_links: Arc::clone(&refused_links),
                memory_budget: Arc::clone(&memory_budget),
                tracer: tracer.clone(),
            };
            let (models, options, stop) =
                (Arc::clone(&options.models), Arc::clone(&options.worker), Arc::clone(&service.stop));
            let result_sender = result_sender.clone();
            spawn(&format!("worker-{index}"), move || {
                let result = Err(Failure::Panicked);
                let report = ReportOnDrop { index, sender: result_sender, stop: Arc::clone(&stop), result };
                report.send(run_worker((index, &client), models, options, queries, shared, observer, &stop));
            })?;
        }
        // The exporter ends when the workers have dropped the tracer.
        drop(tracer);
        if let Some(ingest) = options.ingest {
            let (status_registry, metrics) = (Arc::clone(&status_registry), Arc::clone(&metrics));
            let stop = Arc::clone(&service.stop);
            spawn("ingest", move || {
                let result = Err(Failure::Panicked);
                let report = ReportOnDrop { index: count, sender: result_sender, stop: Arc::clone(&stop), result };
                report.send(ingest::run(&ingest, &status_registry, &metrics, &stop).map(|()| Report::default()));
            })?;
        }
        if let Some(options) = options.deliver {
            service.deliveries = Some(ServiceDeliveries::start(options, &service.stop)?);
        }
        if let Some((listeners, tokens)) = options.http {
            let deliveries = service.deliveries.as_ref().map(|deliveries| {
                Arc::new(Deliveries { statuses: deliveries.statuses.clone(), tokens: tokens.clone() })
            });
            let api = Api {
                models: options.models,
                currency: options.worker.facts.currency,
                lateness: options.worker.facts.lateness,
                fresh_for: options.worker.fresh_for,
                started_at,
                recent,
                refused_links,
                status_registry,
                metrics,
                workers,
                peers: options.peers,
                tokens,
                deliveries,
            };
            service.start_http(listeners, api)?;
        }
        Ok(service)
    }

    fn start_http(&mut self, listeners: Listeners, api: Api) -> Result<(), String> {
        let (stop_http, stopped) = tokio::sync::oneshot::channel();
        self.stop_http = Some(stop_http);
        spawn("http", move || {
            if let Err(error) = api::serve(listeners, api, stopped) {
                tracing::error!(%error, "http server failed, workers keep running");
            }
        })
    }

    /// Blocks until the workers have ended, or one of them is stuck, and returns why.
    #[must_use]
    pub fn wait(mut self) -> ExitReason {
        let mut reports = Vec::new();
        let mut failed = None::<Failure>;
        let mut deadline = None;
        let mut was_ready = false;
        while reports.len() < self.workers {
            match self.results.recv_timeout(STOP_POLL_INTERVAL) {
                Ok((_, Ok(report))) => reports.push(report),
                Ok((worker, Err(failure))) => {
                    tracing::error!(worker, problem = %failure.finding(), "worker failed, stopping the other workers");
                    failed.get_or_insert(failure);
                    reports.push(Report::default());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return ExitReason::Stuck("all worker threads have ended without a result".to_owned());
                }
            }
            if deadline.is_none() && self.stop.load(Ordering::Relaxed) {
                deadline = Some(Instant::now() + self.shutdown_deadline);
                self.metrics.set_stopping();
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let deadline = self.shutdown_deadline.as_secs();
                // What failed first is the reason, also if other workers hang afterwards.
                return failed.map_or_else(
                    || ExitReason::Stuck(format!("the workers did not stop within {deadline} s")),
                    ExitReason::Failed,
                );
            }
            let is_ready = self.status_registry.is_ready();
            if deadline.is_none() && is_ready != was_ready {
                log_readiness(is_ready, self.status_registry.partitions());
                was_ready = is_ready;
            }
            let since_heartbeat = self.status_registry.since_heartbeat();
            if deadline.is_none() && since_heartbeat >= HEARTBEAT_TIMEOUT {
                return ExitReason::Stuck(format!(
                    "a worker has sent no heartbeat for {} s",
                    since_heartbeat.as_secs()
                ));
            }
        }
        if let Some(deliveries) = &self.deliveries {
            deliveries.wait(deadline.unwrap_or_else(|| Instant::now() + self.shutdown_deadline));
        }
        drop(self.stop_http.take());
        if let Some(thread) = self.span_exporter.take() {
            wait_until(deadline.unwrap_or_else(|| Instant::now() + self.shutdown_deadline), thread);
        }
        match failed {
            Some(failure) => ExitReason::Failed(failure),
            None => ExitReason::Stopped(reports),
        }
    }
}

/// Waits until the exporter of spans has ended, at most until `deadline`: its receiver may not answer.
fn wait_until(deadline: Instant, exporter: JoinHandle<()>) {
    while !exporter.is_finished() && Instant::now() < deadline {
        std::thread::sleep(STOP_POLL_INTERVAL);
    }
    if exporter.is_finished() {
        // A panic has already been reported; it must not change why the service ends.
        drop(exporter.join());
    }
}

#[cfg(not(feature = "otlp"))]
fn start_tracer(_: TracingOptions) -> Result<(Tracer, JoinHandle<()>), String> {
    Err("tracing.endpoint is set, but this program was built without the feature `otlp`".to_owned())
}

fn log_readiness(is_ready: bool, partitions: usize) {
    if is_ready {
        tracing::info!(partitions, "ready: all assigned partitions are being processed");
    } else {
        tracing::info!(
            partitions,
            "not ready: partitions are being assigned or restored, state.max_bytes is reached, or a source is paused"
        );
    }
}

/// Drop guard that reports the result of a worker thread, also after a panic. A failed worker stops the others.
struct ReportOnDrop {
    index: usize,
    sender: Sender<(usize, Result<Report, Failure>)>,
    stop: Arc<AtomicBool>,
    result: Result<Report, Failure>,
}

impl ReportOnDrop {
    fn send(mut self, result: Result<Report, Failure>) {
        self.result = result;
    }
}

impl Drop for ReportOnDrop {
    fn drop(&mut self) {
        let result = std::mem::replace(&mut self.result, Err(Failure::Panicked));
        if result.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        // The receiver is gone if the service has already stopped waiting for its workers.
        drop(self.sender.send((self.index, result)));
    }
}

/// What a worker shares with the other workers of the process.
struct Shared {
    recent: Arc<RecentTransitions>,
    refused_links: Arc<RefusedLinks>,
    memory_budget: Arc<MemoryBudget>,
    tracer: Option<Arc<Tracer>>,
}

fn run_worker(
    (index, client): (usize, &kafka::Options),
    models: Arc<ModelSet>,
    options: Arc<runtime::Options>,
    queries: Receiver<Query>,
    shared: Shared,
    mut observer: Observer,
    stop: &AtomicBool,
) -> Result<Report, Failure> {
    // The span has level ERROR, so that it is enabled at every log level.
    let _worker = tracing::error_span!("worker", worker = index).entered();
    let clock = WallClock::start();
    let Some(member) = connect(client, stop, || observer.heartbeat())? else { return Ok(Report::default()) };
    let worker = Worker::new(member, models, options, queries);
    let worker = worker.with_clock(clock).with_recent(shared.recent, shared.refused_links);
    let mut worker = worker.with_memory_budget(shared.memory_budget);
    if let Some(tracer) = shared.tracer {
        worker = worker.with_tracer(tracer);
    }
    while !stop.load(Ordering::Relaxed) {
        worker.step(|| clock.now())?;
        observer.observe(&mut worker, clock.now());
    }
    observer.observe_last(&mut worker, clock.now());
    Ok(worker.stop(clock.now())?)
}

/// Connects a member of the group, and tries again while the cluster does not answer; `None` once `stop` is set.
fn connect(
    client: &kafka::Options,
    stop: &AtomicBool,
    mut heartbeat: impl FnMut(),
) -> Result<Option<kafka::Client>, Failure> {
    loop {
        match kafka::Client::connect(client.clone()) {
            Ok(member) => return Ok(Some(member)),
            Err(error) if error.reaction == Reaction::Retry => {
                heartbeat();
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                tracing::warn!(%error, "cannot connect to kafka, will retry");
            }
            Err(error) => return Err(Fatal::Client(error).into()),
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map(drop).map_err(|error| format!("cannot create thread {name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::model_file;

    /// Waits for a service whose second worker hangs. The first one fails with `failure`, if there is one.
    fn wait_for_hanging_worker(failure: Option<Failure>) -> ExitReason {
        let source = model_file::shipped("retention").expect("a shipped model");
        let models = model_file::load(&[source], &model_file::shipped_catalogue(), &[]).expect("it is valid").0;
        let status_registry = Arc::new(StatusRegistry::new(2));
        let metrics = Arc::new(Metrics::new(&models, 1, None, Arc::clone(&status_registry)));
        let (sender, results) = mpsc::channel();
        sender.send((0, failure.map_or_else(|| Ok(Report::default()), Err))).expect("the receiver exists");
        let service = Service {
            stop: Arc::new(AtomicBool::new(true)),
            results,
            workers: 2,
            status_registry,
            metrics,
            stop_http: None,
            deliveries: None,
            span_exporter: None,
            shutdown_deadline: Duration::from_millis(1),
        };
        let reason = service.wait();
        drop(sender);
        reason
    }

    #[test]
    fn an_exporter_that_hangs_is_left_at_the_deadline() {
        let (release, released) = mpsc::channel::<()>();
        wait_until(Instant::now(), thread::spawn(move || _ = released.recv()));
        // The exporter still waits here.
        release.send(()).expect("the exporter still runs");
    }

    #[test]
    fn a_failure_is_the_exit_reason_even_if_another_worker_hangs() {
        assert!(matches!(wait_for_hanging_worker(None), ExitReason::Stuck(_)));
        let reason = wait_for_hanging_worker(Some(Failure::Panicked));
        assert!(matches!(reason, ExitReason::Failed(Failure::Panicked)), "{reason:?}");
    }
}
