//! `lifecycle run`: the service.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use crate::api::Token;
use crate::config::{Config, LogFormat};
use crate::kafka::admin::Severity;
use crate::kafka::{self, Reaction};
use crate::runtime::{self, Report};
use crate::service::doctor::{self, Check};
use crate::service::{Ending, Parts, Service, kafka_options, peers, stop_on_signals, topics, worker_options};
use crate::telemetry::logging;

use super::Exit;
use super::config::ConfigFile;

const EXAMPLES: &str = "\
Examples:
  lifecycle run --config lifecycle.yaml
  LIFECYCLE_KAFKA_BOOTSTRAP_SERVERS=kafka:9092 lifecycle run

SIGTERM or an interrupt stops in order: what was read is committed, the group is left. A second one ends at once.";

/// Run the service: touchpoints in, transitions out, until it is told to stop.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArguments {
    #[command(flatten)]
    config: ConfigFile,
}

/// Runs the service.
pub(super) fn run(arguments: &RunArguments) -> ExitCode {
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    let exit = serve(&config).unwrap_or_else(|(exit, problem)| {
        eprintln!("lifecycle run: {problem}");
        exit
    });
    if exit == Exit::Stuck {
        // A thread that does not return would keep the process alive.
        std::process::exit(exit as i32);
    }
    exit.into()
}

/// Called on a thread of its own when a call into the Kafka client never returns.
fn end_stuck(call: &'static str) {
    tracing::error!(call, "a call into the kafka client does not return; the process ends");
    std::process::exit(Exit::Stuck as i32);
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    let to_do = match error.kind() {
        io::ErrorKind::AddrInUse => "to another port, or stop what listens there",
        _ => "to an address and a port that this process may listen on",
    };
    format!("http.listen: {address}: {error}; set http.listen (or LIFECYCLE_HTTP_LISTEN) {to_do}")
}

fn serve(config: &Config) -> Result<Exit, (Exit, String)> {
    let usage = |problem: String| (Exit::Usage, problem);
    let format = match config.log.format {
        LogFormat::Text => logging::LogFormat::Text,
        LogFormat::Json => logging::LogFormat::Json,
    };
    logging::start(format, &config.log.level).map_err(|problem| usage(format!("log.level: {problem}")))?;
    // Before anything that takes time: a stop in order ends in order, however early it comes.
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(Arc::clone(&stop), Exit::Stuck as u8, || ()).map_err(|problem| (Exit::Fatal, problem))?;
    let models = Arc::new(config.models.load(false).map_err(|report| usage(report.to_string()))?);
    let clients = kafka_options(config, end_stuck);
    clients[0].check().map_err(|error| usage(format!("kafka.client: {error}")))?;
    let token = config.http.token_file.as_deref().map(Token::read).transpose().map_err(usage)?;
    let listener = TcpListener::bind(config.http.listen)
        .map_err(|error| (Exit::Refused, cannot_listen(config.http.listen, &error)))?;
    let address = listener.local_addr().unwrap_or(config.http.listen);

    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        workers = config.workers,
        touchpoints = config.topics.touchpoints,
        group = config.kafka.group_id,
        http = %address,
        "lifecycle starts"
    );
    let names: Vec<_> = models.models.iter().map(|model| format!("{} {}", model.name, model.version)).collect();
    tracing::info!(models = names.join(", "), "models loaded");
    let is_stopping = || stop.load(Ordering::Relaxed);
    let findings = match topics::verify(config, is_stopping) {
        Ok(findings) => findings,
        // Nothing has begun, so a stop that comes before the cluster has answered is in order.
        Err(error) if error.reaction == Reaction::Retry && is_stopping() => return Ok(Exit::Success),
        Err(error) => return Err((Exit::Refused, error.to_string())),
    };
    for finding in &findings {
        match finding.severity {
            Severity::Warning => tracing::warn!("{finding}"),
            Severity::Refusal => tracing::error!("{finding}"),
        }
    }
    if topics::are_refused(&findings) {
        return Err((Exit::Refused, "the topics cannot be used; `lifecycle doctor` tells all of it".to_owned()));
    }
    let cannot_ask = |error: kafka::Error| (Exit::Refused, error.to_string());
    let partitions = topics::partitions(config).map_err(cannot_ask)?;
    if let Some(partitions) = partitions {
        let refusals = doctor::refusals(config, partitions).map_err(cannot_ask)?;
        for Check { place, what, to_do, .. } in &refusals {
            tracing::error!("{place}: {what}; {to_do}");
        }
        if !refusals.is_empty() {
            let problem = "what is committed and what the topics hold do not fit; `lifecycle doctor` tells all of it";
            return Err((Exit::Refused, problem.to_owned()));
        }
    }
    let namesakes = doctor::namesakes(config);
    if !namesakes.is_empty() {
        tracing::warn!(members = namesakes.join(", "), "the group has members of these names already");
    }
    let parts = Parts {
        models,
        worker: Arc::new(runtime::Options { partitions, ..worker_options(config) }),
        clients,
        http: Some((listener, token)),
        peers: peers(config),
        shutdown_deadline: config.shutdown_deadline,
    };
    let service = Service::start(parts, stop).map_err(|problem| (Exit::Fatal, problem))?;
    match service.wait() {
        Ending::Stopped(reports) => {
            let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
            tracing::info!(
                touchpoints = sum(|report| report.tally.consumed),
                commits = sum(|report| report.commits),
                "lifecycle has stopped in order"
            );
            Ok(Exit::Success)
        }
        Ending::Fatal(problem) => Err((Exit::Fatal, problem)),
        Ending::Stuck(problem) => Err((Exit::Stuck, problem)),
    }
}
