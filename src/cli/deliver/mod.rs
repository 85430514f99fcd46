//! `lifecycle deliver`: delivers transitions to webhooks and marketing tools.

mod presets;
mod redrive;
mod remote;
mod sample;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, Subcommand};

use super::{Exit, print, print_error};
use crate::api::{Listeners, SharedTls, SharedTokens};
use crate::config::deliver::DeliverConfig;
use crate::deliver::Sender;
use crate::kafka::exit_process;
use crate::kafka::settings::reject_owned_settings;
use crate::runtime::WallClock;
use crate::service::{delivery, http_tokens, stop_on_signals};
use crate::telemetry::logging;

const EXAMPLES: &str = "\
Examples:
  lifecycle deliver --config deliver.yaml --check
  lifecycle deliver --config deliver.yaml
  lifecycle deliver test shop --config deliver.yaml --transition examples/transition.json
  lifecycle deliver presets braze
  lifecycle run --no-deliver --config lifecycle.yaml

The last command runs the service without its deliveries; `lifecycle deliver --config lifecycle.yaml` then delivers \
them, with an http.listen of its own, for example from LIFECYCLE_HTTP_LISTEN. Each destination is a consumer group of its own. A transition is delivered at least once; its transition_id is the \
idempotency key. docs/deliver.md describes the configuration.";

/// Deliver transitions to webhooks and marketing tools
///
/// Delivers in a process of its own what `lifecycle run` delivers with a section `deliver` in its configuration.
/// Reads the transitions topics and sends each transition to the destinations of the configuration whose filter holds.
/// Retries failed deliveries, keeps the order of each customer, and writes rejected deliveries to a dead-letter topic.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct DeliverArguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    config: Option<DeliverFile>,
    /// Check the configuration, the topics, the connections and the credentials; sends no customer
    #[arg(long, requires = "path")]
    check: bool,
}

/// Location of the configuration file.
#[derive(Args, Debug)]
pub(super) struct DeliverFile {
    /// Configuration file of the deliveries, or of the service if it has a section `deliver`
    #[arg(long = "config", value_name = "FILE")]
    path: PathBuf,
}

#[derive(Subcommand, Debug)]
enum Action {
    Test(sample::TestArguments),
    Redrive(redrive::RedriveArguments),
    Pause(remote::PauseArguments),
    Resume(remote::ResumeArguments),
    Presets(presets::PresetsArguments),
}

impl DeliverFile {
    /// Loads the configuration. Prints all problems if it is invalid.
    fn load(&self) -> Result<DeliverConfig, Exit> {
        let config = DeliverConfig::load(&self.path).map_err(|error| {
            print_error(&error);
            Exit::Usage
        })?;
        let names: Vec<_> = config.client.keys().map(|name| (name.clone(), String::new())).collect();
        reject_owned_settings(&names).map_err(|error| {
            print_error(format_args!("kafka.client: {error}"));
            Exit::Usage
        })?;
        Ok(config)
    }
}

/// Runs the command.
pub(super) fn run(arguments: &DeliverArguments) -> ExitCode {
    let exit = match (&arguments.action, &arguments.config) {
        (Some(Action::Test(arguments)), _) => sample::run(arguments),
        (Some(Action::Redrive(arguments)), _) => redrive::run(arguments),
        (Some(Action::Pause(arguments)), _) => remote::pause(arguments),
        (Some(Action::Resume(arguments)), _) => remote::resume(arguments),
        (Some(Action::Presets(arguments)), _) => presets::run(arguments),
        (None, Some(file)) => match file.load() {
            Err(exit) => exit,
            Ok(config) if arguments.check => check(&config),
            Ok(config) => serve(&config).unwrap_or_else(|(exit, problem)| {
                print_error(format_args!("lifecycle deliver: {problem}"));
                exit
            }),
        },
        (None, None) => {
            print_error("lifecycle deliver: name a configuration with --config FILE; see `lifecycle deliver --help`");
            Exit::Usage
        }
    };
    exit_process(exit as u8)
}

/// Checks the cluster and every destination, and prints the result of each.
fn check(config: &DeliverConfig) -> Exit {
    let kafka = match delivery::missing_topics(config, &config.cluster()) {
        Ok(missing) if missing.is_empty() => Ok("all topics exist".to_owned()),
        Ok(missing) if missing == [config.dead_letters.clone()] => {
            Ok(format!("all topics exist but {}, which `lifecycle deliver` creates when it starts", missing[0]))
        }
        Ok(missing) => Err((Exit::Problems, missing_message(config, missing))),
        Err(error) => Err((Exit::Refused, error.to_string())),
    };
    let mut results = vec![("kafka", kafka)];
    for configured in &config.destinations {
        let sender = Sender::new(Arc::new(configured.destination.clone()), WallClock::start(), Arc::default());
        let result = sender.map_err(|error| error.to_string()).and_then(|sender| sender.check());
        results.push((&configured.destination.name, result.map_err(|problem| (Exit::Problems, problem))));
    }
    let mut lines = String::new();
    let mut exit = Exit::Success;
    for (name, result) in results {
        let line = match result {
            Ok(result) => format!("ok       {name}: {result}"),
            Err((failed, problem)) => {
                if exit == Exit::Success {
                    exit = failed;
                }
                format!("problem  {name}: {problem}")
            }
        };
        lines.push_str(&line);
        lines.push('\n');
    }
    match print(&lines) {
        Exit::Success => exit,
        failed => failed,
    }
}

/// Names the topics to read that are missing. The dead-letter topic is created at the start.
fn missing_message(config: &DeliverConfig, mut missing: Vec<String>) -> String {
    missing.retain(|name| *name != config.dead_letters);
    format!(
        "topics do not exist: {}; write those of the service under `topics`, or create them: lifecycle topics --create \
         --config lifecycle.yaml",
        missing.join(", ")
    )
}

fn serve(config: &DeliverConfig) -> Result<Exit, (Exit, String)> {
    logging::start(config.log.format, &config.log.level)
        .map_err(|problem| (Exit::Usage, format!("log.level: {problem}")))?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(Arc::clone(&stop), Exit::Stuck as u8, || ()).map_err(|problem| (Exit::Fatal, problem))?;
    let tokens = config.token_file.as_deref().map(http_tokens).transpose();
    let tokens = tokens.map_err(|problem| (Exit::Usage, problem))?.map(SharedTokens::new);
    let tls = config.tls.clone().map(SharedTls::load).transpose().map_err(|problem| (Exit::Usage, problem))?;
    let bind = |key: &str, address: SocketAddr| {
        TcpListener::bind(address).map_err(|error| (Exit::Refused, format!("{key}: {address}: {error}")))
    };
    let listener = bind("http.listen", config.listen)?;
    let probes = config.probes_listen.map(|address| bind("http.probes_listen", address)).transpose()?;
    let refused = |error: crate::kafka::Error| (Exit::Refused, error.to_string());
    let mut missing = delivery::missing_topics(config, &config.cluster()).map_err(refused)?;
    if missing.contains(&config.dead_letters) {
        delivery::create_dead_letter_topic(config, &config.cluster()).map_err(refused)?;
        missing.retain(|name| *name != config.dead_letters);
    }
    if !missing.is_empty() {
        return Err((Exit::Refused, missing_message(config, missing)));
    }
    let names: Vec<&str> = config.destinations.iter().map(|it| it.destination.name.as_str()).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        destinations = names.join(", "),
        topics = config.topics.join(", "),
        http = %listener.local_addr().unwrap_or(config.listen),
        "deliveries starting"
    );
    let listeners = Listeners { api: listener, tls, probes };
    let snapshots =
        delivery::run(config, listeners, tokens, &stop).map_err(|error| (Exit::Fatal, error.to_string()))?;
    let delivered: u64 = snapshots.iter().map(|it| it.delivered).sum();
    let dead: u64 = snapshots.iter().map(|it| it.dead).sum();
    tracing::info!(delivered, dead, stopped = stop.load(Ordering::Relaxed), "deliveries stopped");
    Ok(Exit::Success)
}
