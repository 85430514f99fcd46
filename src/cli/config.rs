//! `lifecycle config`: what the configuration says, and whether it can be used.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::api::Token;
use crate::config::{Config, reference};
use crate::kafka;
use crate::service::kafka_options;
use crate::telemetry::logging;

use super::{Exit, print};

const EXAMPLES: &str = "\
Examples:
  lifecycle config check --config lifecycle.yaml
  LIFECYCLE_WORKERS=4 lifecycle config show --config lifecycle.yaml
  lifecycle config reference";

/// Look at the configuration.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Check the configuration, then its models; print every problem of the keys, or of the models once the keys are right
    Check(ConfigFile),
    /// Print what holds and who set it, and what is wrong with its models; secrets are not shown
    Show(ConfigFile),
    /// Print every key with its variable, default and meaning
    Reference,
}

/// Where the configuration is.
#[derive(Args, Debug)]
pub(super) struct ConfigFile {
    /// The configuration file; without it the environment alone counts
    #[arg(long = "config", value_name = "FILE", env = "LIFECYCLE_CONFIG")]
    path: Option<PathBuf>,
}

impl ConfigFile {
    /// Reads the configuration; prints every problem.
    pub(super) fn load(&self) -> Result<Config, Exit> {
        Config::load(self.path.as_deref()).map_err(|refused| {
            eprintln!("{refused}");
            Exit::Usage
        })
    }
}

/// Looks at the configuration.
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

/// Shows the configuration, also where its models cannot be used: it tells where they were looked for.
fn show(config: &Config) -> Exit {
    let printed = print(&config.show());
    match config.models.load(io::stderr().is_terminal()) {
        Ok(_) => printed,
        Err(report) => {
            eprintln!("{report}");
            Exit::Usage
        }
    }
}

/// Looks at all that `run` looks at before it asks the cluster.
fn check(config: &Config) -> Exit {
    let mut problems = Vec::new();
    if let Err(problem) = logging::filter(&config.log.level) {
        problems.push(format!("log.level: {problem}"));
    }
    if let Some(Err(error)) = kafka_options(config, |_| ()).first().map(kafka::Options::check) {
        problems.push(format!("kafka.client: {error}"));
    }
    if let Some(Err(problem)) = config.http.token_file.as_deref().map(Token::read) {
        problems.push(problem);
    }
    let models = config.models.load(io::stderr().is_terminal());
    if let Err(report) = &models {
        problems.push(report.to_string());
    }
    match models {
        Ok(models) if problems.is_empty() => {
            let (models, workers) = (models.models.len(), config.workers);
            print(&format!("the configuration is good: {models} models, {workers} workers\n"))
        }
        _ => {
            eprintln!("{}", problems.join("\n"));
            Exit::Usage
        }
    }
}
