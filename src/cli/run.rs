//! `lifecycle run`: starts the service after checking the configuration, the topics and the committed offsets.
//!
//! The checks run in order of cost: configuration and models first, then the HTTP address, then the cluster.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::Args;

use crate::api::{Listeners, SharedTls, SharedTokens};
use crate::config::Config;
use crate::finding::Severity;
use crate::kafka::{self, Reaction, SettingsUpdates, exit_process};
use crate::lifecycle::model_set::ModelSet;
use crate::runtime::{self, SchemaPrefixes};
use crate::service::delivery::DeliverOptions;
use crate::service::doctor;
use crate::service::reload::Reload;
use crate::service::{
    ExitReason, IngestOptions, Service, ServiceOptions, StartupProbes, http_tokens, kafka_options, peers,
    published_schemas, routes, stop_on_signals, topics, tracing_options, worker_options,
};
use crate::telemetry::logging;
use crate::telemetry::report::Report;

use super::config::{ConfigFile, check_client};
use super::{Exit, print_error};

const EXAMPLES: &str = "\
Examples:
  lifecycle run --config lifecycle.yaml
  LIFECYCLE_KAFKA_BOOTSTRAP_SERVERS=kafka:9092 lifecycle run

SIGTERM and Ctrl-C shut down gracefully: the service commits its open transaction and leaves the consumer group. A \
second signal exits immediately; uncommitted records are processed again after the next start.";

/// Run the service: consume touchpoints, publish transitions
///
/// Joins the consumer group of the touchpoint topic. Transitions, state and consumer offsets are committed in one Kafka
/// transaction, so each transition is published exactly once. Checks the topics and the committed offsets before it
/// starts.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Do not read the sources: `lifecycle ingest` reads them in another process
    #[arg(long)]
    no_ingest: bool,
    /// Do not deliver: `lifecycle deliver` does in another process, with the same configuration
    #[arg(long)]
    no_deliver: bool,
}

/// A part of the service that a process can run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// The workers.
    Workers,
    /// The ingest workers, if there are sources.
    Ingest,
    /// The deliveries, if there are destinations.
    Deliver,
}

/// Loads the configuration and runs the service until it is stopped.
pub(super) fn run(arguments: &RunArguments) -> ExitCode {
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    let mut parts = vec![Part::Workers];
    if !arguments.no_ingest {
        parts.push(Part::Ingest);
    }
    if !arguments.no_deliver {
        parts.push(Part::Deliver);
    }
    run_parts("lifecycle run", &config, arguments.config.path(), &parts)
}

/// Runs parts of the service until it is stopped. `command` is the prefix of an error message.
pub(super) fn run_parts(command: &str, config: &Config, config_file: Option<&Path>, parts: &[Part]) -> ExitCode {
    let exit = serve(config, config_file, parts).unwrap_or_else(|(exit, problem)| {
        print_error(format_args!("{command}: {problem}"));
        exit
    });
    // Returning from main would not stop a thread that is blocked.
    exit_process(exit as u8)
}

fn cannot_listen(key: &str, address: SocketAddr, error: &io::Error) -> String {
    let to_do = match error.kind() {
        io::ErrorKind::AddrInUse => "to another port, or stop the program that listens on it",
        _ => "to an address and a port that this process may listen on",
    };
    let variable = format!("LIFECYCLE_{}", key.replace('.', "_").to_uppercase());
    format!("{key}: {address}: {error}; set {key} (or {variable}) {to_do}")
}

fn log_models(models: &ModelSet) {
    let names: Vec<_> = models.models.iter().map(|model| format!("{} {}", model.name, model.version)).collect();
    tracing::info!(models = names.join(", "), hash = format!("{:016x}", models.hash.0), "models loaded");
}

fn serve(config: &Config, config_file: Option<&Path>, parts: &[Part]) -> Result<Exit, (Exit, String)> {
    let usage = |problem: String| (Exit::Usage, problem);
    let log_level = logging::start(config.log.format, &config.log.level)
        .map_err(|problem| usage(format!("log.level: {problem}")))?;
    // First, so that a signal during startup also shuts down gracefully.
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(Arc::clone(&stop), Exit::Stuck as u8, || ()).map_err(|problem| (Exit::Fatal, problem))?;
    let models = Arc::new(config.model_choice().load(false).map_err(|report| usage(report.to_string()))?);
    let mut clients = kafka_options(config, kafka::settings::exit_on_stuck_call);
    // Without ingest workers, the files of the sources need not exist.
    let ingest = if parts.contains(&Part::Ingest) {
        IngestOptions::load(config, kafka::settings::exit_on_stuck_call)
            .map_err(|problems| usage(problems.to_string()))?
    } else {
        None
    };
    let direct = config.load_direct_source().map_err(|problems| usage(problems.to_string()))?;
    let updates = SettingsUpdates::default();
    for client in &mut clients {
        client.updates = updates.clone();
    }
    let ingest = ingest.map(|it| it.with_updates(updates.clone()));
    let has_workers = parts.contains(&Part::Workers);
    if !has_workers {
        clients.clear();
    }
    let deliver = if parts.contains(&Part::Deliver) {
        config.deliveries().map_err(|problems| usage(problems.to_string()))?
    } else {
        None
    };
    check_client(config).map_err(usage)?;
    let routes = routes(config, &models).map_err(usage)?;
    let tokens = config.http.token_file.as_deref().map(http_tokens).transpose().map_err(usage)?.map(SharedTokens::new);
    let tls = config.tls_files().map(SharedTls::load).transpose().map_err(usage)?;
    let listeners = bind_http(config, tls.clone())?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        workers = clients.len(),
        sources = ingest.as_ref().map_or(0, |_| config.rekeyed_sources().count()),
        direct_source = direct.as_ref().map(|source| &**source.name()),
        destinations = deliver.as_ref().map_or(0, |deliver| deliver.destinations.len()),
        touchpoints = config.topics.touchpoints,
        group = config.kafka.group_id,
        http = %listeners.api.local_addr().unwrap_or(config.http.listen),
        "lifecycle starting"
    );
    log_models(&models);
    // The cluster may take a minute to answer, in which a supervisor must not restart the service.
    let startup_probes = StartupProbes::start(&listeners).map_err(|problem| (Exit::Fatal, problem))?;
    let Some((partitions, schemas)) = check_cluster(config, &models, has_workers, &stop)? else {
        return Ok(Exit::Success);
    };
    drop(startup_probes);
    let worker = worker_options(config);
    let options = ServiceOptions {
        models,
        worker: Arc::new(runtime::Options {
            partitions,
            publish: runtime::PublishOptions { routes, schemas, ..worker.publish },
            direct,
            ..worker
        }),
        clients,
        ingest,
        deliver: deliver.map(|config| DeliverOptions { config, updates: updates.clone() }),
        http: Some((listeners, tokens.clone())),
        peers: peers(config, updates.clone(), tls.clone()),
        tracing: tracing_options(config),
        shutdown_deadline: config.shutdown.deadline,
    };
    let service = Service::start(options, Arc::clone(&stop)).map_err(|problem| (Exit::Fatal, problem))?;
    let reload = Reload { config_file: config_file.map(Path::to_owned), updates, tokens, tls, log_level };
    let config = config.clone();
    let reloading = thread::Builder::new().name("reload".to_owned()).spawn(move || reload.run(&config, &stop));
    reloading.map_err(|error| (Exit::Fatal, format!("cannot create thread reload: {error}")))?;
    report_exit(service.wait())
}

/// Opens the sockets of the HTTP server.
fn bind_http(config: &Config, tls: Option<SharedTls>) -> Result<Listeners, (Exit, String)> {
    let bind = |key: &str, address: SocketAddr| {
        TcpListener::bind(address).map_err(|error| (Exit::Refused, cannot_listen(key, address, &error)))
    };
    let api = bind("http.listen", config.http.listen)?;
    let probes = config.http.probes_listen.map(|address| bind("http.probes_listen", address)).transpose()?;
    Ok(Listeners { api, tls, probes })
}

/// The number of partitions of the touchpoint topic, and the prefixes of the schemas of what is published.
type CheckedCluster = (Option<i32>, SchemaPrefixes);

/// Checks the topics, the committed offsets and the schemas of what is published. Returns `None` if the service was
/// stopped while the cluster was unreachable.
fn check_cluster(
    config: &Config,
    models: &ModelSet,
    has_workers: bool,
    stop: &AtomicBool,
) -> Result<Option<CheckedCluster>, (Exit, String)> {
    let is_stopping = || stop.load(Ordering::Relaxed);
    let refused = |problem: String| (Exit::Refused, problem);
    let findings = match topics::verify(config, is_stopping) {
        Ok(findings) => findings,
        // Nothing has started yet, so a signal while the cluster is unreachable ends the process successfully.
        Err(error) if error.reaction == Reaction::Retry && is_stopping() => return Ok(None),
        Err(error) => return Err(refused(error.to_string())),
    };
    for finding in &findings {
        if finding.severity == Severity::Problem { tracing::error!("{finding}") } else { tracing::warn!("{finding}") }
    }
    if topics::prevent_start(&findings) {
        return Err(refused("the topics cannot be used; run `lifecycle doctor` for details".to_owned()));
    }
    let partitions = match topics::partitions(config, is_stopping) {
        Err(error) if error.reaction == Reaction::Retry && is_stopping() => return Ok(None),
        answer => answer.map_err(|error| refused(error.to_string()))?,
    };
    if !has_workers {
        return Ok(Some((partitions, SchemaPrefixes::default())));
    }
    check_group(config, partitions)?;
    Ok(Some((partitions, published_schemas(config, models).map_err(refused)?)))
}

/// Refuses offsets of the group that do not match its topics, and warns of members with the names of this instance.
fn check_group(config: &Config, partitions: Option<i32>) -> Result<(), (Exit, String)> {
    if let Some(partitions) = partitions {
        let problems =
            doctor::startup_problems(config, partitions).map_err(|error| (Exit::Refused, error.to_string()))?;
        for problem in &problems {
            tracing::error!("{problem}");
        }
        if !problems.is_empty() {
            let problem = "the committed offsets do not match the topics; run `lifecycle doctor` for details";
            return Err((Exit::Refused, problem.to_owned()));
        }
    }
    let duplicate_members = doctor::duplicate_members(config);
    if !duplicate_members.is_empty() {
        tracing::warn!(members = duplicate_members.join(", "), "group already has members with these names");
    }
    Ok(())
}

/// Logs what a stopped service has done, or returns why it ended.
fn report_exit(reason: ExitReason) -> Result<Exit, (Exit, String)> {
    match reason {
        ExitReason::Stopped(reports) => {
            let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
            tracing::info!(
                touchpoints = sum(|report| report.tally.consumed),
                commits = sum(|report| report.commits),
                "lifecycle stopped"
            );
            Ok(Exit::Success)
        }
        ExitReason::Failed(failure) => Err((Exit::from(&failure), failure.finding().to_string())),
        ExitReason::Stuck(problem) => Err((Exit::Stuck, problem)),
    }
}
