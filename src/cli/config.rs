//! `lifecycle config`: checks and prints the configuration, without contacting Kafka.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::api::SharedTls;
use crate::config::{Config, reference};
use crate::kafka;
use crate::service::{http_tokens, kafka_options, routes};
use crate::telemetry::logging;

use super::number::counted;
use super::{Exit, print, print_error};

const EXAMPLES: &str = "\
Examples:
  lifecycle config check --config lifecycle.yaml
  LIFECYCLE_WORKERS=4 lifecycle config show --config lifecycle.yaml
  lifecycle config reference";

/// Check or print the configuration
///
/// Keys come from a YAML file and from environment variables; a variable overrides the file. None of these commands
/// contacts Kafka.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Check the configuration and its models, and print all problems
    ///
    /// Problems of configuration keys are reported first; the models are loaded once all keys are valid.
    Check(ConfigFile),
    /// Print the effective value of every key and where it comes from
    ///
    /// Secrets are masked. Problems of the models are printed as well, and make the command fail.
    Show(ConfigFile),
    /// Print every key with its environment variable, default and meaning
    Reference,
}

/// Location of the configuration file.
#[derive(Args, Debug)]
pub(super) struct ConfigFile {
    /// Configuration file. Without it, only environment variables are used
    #[arg(long = "config", value_name = "FILE", env = "LIFECYCLE_CONFIG")]
    path: Option<PathBuf>,
}

impl ConfigFile {
    /// Returns the path of the configuration file.
    pub(super) fn path(&self) -> Option<&std::path::Path> {
        self.path.as_deref()
    }

    /// Loads the configuration. Prints all problems if it is invalid.
    pub(super) fn load(&self) -> Result<Config, Exit> {
        Config::load(self.path.as_deref()).map_err(|error| {
            print_error(&error);
            Exit::Usage
        })
    }

    /// Loads the configuration for a command that connects to Kafka, and checks the settings of the client.
    pub(super) fn load_for_kafka(&self) -> Result<Config, Exit> {
        let config = self.load()?;
        if let Err(problem) = check_client(&config) {
            print_error(&problem);
            return Err(Exit::Usage);
        }
        Ok(config)
    }
}

/// Checks the settings of the Kafka client without contacting a broker. The error is a message.
pub(super) fn check_client(config: &Config) -> Result<(), String> {
    let checked = kafka_options(config, |_| ()).first().map_or(Ok(()), kafka::Options::check);
    checked.map_err(|error| format!("kafka.client: {error}"))
}

/// Runs the subcommand.
pub(super) fn run(arguments: &ConfigArguments) -> ExitCode {
    match &arguments.action {
        Action::Reference => print(&reference()).into(),
        Action::Show(file) => match file.load() {
            Ok(config) => show(&config).into(),
            Err(exit) => exit.into(),
        },
        Action::Check(file) => match file.load() {
            Ok(config) => check(&config).into(),
            Err(exit) => exit.into(),
        },
    }
}

/// Prints the configuration even if its models are invalid, because it shows where the models were loaded from.
fn show(config: &Config) -> Exit {
    let printed = print(&config.show());
    match config.model_choice().load(io::stderr().is_terminal()) {
        Ok(_) => printed,
        Err(report) => {
            print_error(&report);
            Exit::Usage
        }
    }
}

/// Checks everything that `run` checks before it connects to Kafka.
fn check(config: &Config) -> Exit {
    let mut problems = Vec::new();
    if let Err(problem) = logging::filter(&config.log.level) {
        problems.push(format!("log.level: {problem}"));
    }
    problems.extend(check_client(config).err());
    problems.extend(config.translators().err().map(|problem| problem.to_string()));
    problems.extend(config.load_direct_source().err().map(|problem| problem.to_string()));
    problems.extend(config.deliveries().err().map(|problem| problem.to_string()));
    problems.extend(config.http.token_file.as_deref().and_then(|file| http_tokens(file).err()));
    if let Some(Err(problem)) = config.tls_files().map(SharedTls::load) {
        problems.push(problem);
    }
    let models = config.model_choice().load(io::stderr().is_terminal());
    match &models {
        Ok(models) => problems.extend(routes(config, models).err()),
        Err(report) => problems.push(report.to_string()),
    }
    match models {
        Ok(models) if problems.is_empty() => {
            let (models, workers) = (models.models.len(), config.workers);
            let (models, workers) = (counted(models, "model"), counted(workers, "worker"));
            print(&format!("the configuration is valid: {models}, {workers}\n"))
        }
        _ => {
            print_error(format_args!("{}", problems.join("\n")));
            Exit::Usage
        }
    }
}
