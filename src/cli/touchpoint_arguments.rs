//! The touchpoints that `replay` and `explain` read, and the options that determine the result: models, end, facts.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::Exit;
use super::mapping_argument::SourceArguments;
use super::model_arguments::ModelArguments;
use super::touchpoint_source::{LINE_BYTES_MAX, Source, SourceError};
use crate::config::Config;
use crate::kafka::Cluster;
use crate::lifecycle::identity::{BlockedIds, IdentityOptions};
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::money::Currency;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::touchpoint::FactOptions;
use crate::replay::ReplayOptions;
use crate::service::{topics, worker_options};
use crate::wire::time::{parse_duration, parse_timestamp};

/// The topic that `--bootstrap-servers` reads by default, as in the configuration.
const TOPIC: &str = "touchpoints";
/// Group id of the client that reads a topic without a configuration. The client joins no group.
const GROUP: &str = "lifecycle-replay";

/// The options that `replay` and `explain` share.
#[derive(Args, Debug)]
pub(super) struct TouchpointArguments {
    /// Shipped model or model file to run. Can be repeated [default: the models of --config, or all shipped models]
    #[arg(long = "model", value_name = "NAME|FILE")]
    pub(super) models: Vec<String>,
    #[command(flatten)]
    pub(super) model_arguments: ModelArguments,
    /// End at this instant (RFC 3339): ignore later touchpoints, and fire the wake-ups that are due by then [default:
    /// the time of the latest touchpoint]
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    until: Option<Timestamp>,
    /// Allowed lateness: wake-ups wait this long for late touchpoints, which avoids corrections afterwards [default:
    /// that of --config, or 1m]
    #[arg(long, value_name = "DURATION", value_parser = parse_lateness)]
    lateness: Option<Duration>,
    /// Delete customers without orders after this much inactivity [default: that of --config, or never]
    #[arg(long, value_name = "DURATION", value_parser = parse_forget_after)]
    forget_after: Option<Duration>,
    /// Currency of revenue, and of amounts without a currency. Amounts in other currencies do not count [default: that
    /// of --config, or USD]
    #[arg(long, value_name = "CODE", value_parser = parse_currency)]
    currency: Option<Currency>,
    /// Link visitors (`anonymous_id`) to customers, as with `identity.enabled` in the configuration
    ///
    /// All partitions of a topic are then read as one stream, in order of event time.
    #[arg(long)]
    identity: bool,
    /// Read this Kafka topic instead of files, up to its end at the start [default: the touchpoint topic of --config if
    /// there is no FILE]
    ///
    /// Reads committed records only, joins no group and commits nothing. Each partition has its own clock, as in the
    /// service. If --config has a source that reads the topic, its format, schema and mapping apply.
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    topic: Option<String>,
    /// Read a topic of this Kafka cluster: bootstrap servers as host:port, comma-separated
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["config", "files"])]
    bootstrap_servers: Option<String>,
    #[command(flatten)]
    source: SourceArguments,
    /// Touchpoint files, plain or gzipped, in order of arrival; - reads standard input
    #[arg(required_unless_present_any = ["config", "bootstrap_servers", "topic"], value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl TouchpointArguments {
    /// Loads the configuration of `--config`, if it is given. Prints all problems if it is invalid.
    pub(super) fn config(&self) -> Result<Option<Config>, Exit> {
        self.model_arguments.config()
    }

    /// Loads the models. Prints all problems if one is invalid.
    pub(super) fn models(&self, config: Option<&Config>) -> Result<Arc<ModelSet>, Exit> {
        self.model_arguments.load(&self.models, config)
    }

    /// Returns the options of the replay. Options of the command line take precedence over the configuration.
    pub(super) fn options(&self, config: Option<&Config>) -> ReplayOptions {
        let configured = config.map_or_else(FactOptions::default, |config| worker_options(config).facts);
        let facts = FactOptions {
            currency: self.currency.unwrap_or(configured.currency),
            lateness: self.lateness.unwrap_or(configured.lateness),
            forget_after: self.forget_after.or(configured.forget_after),
            identity: configured.identity.or(self.identity.then(IdentityOptions::default)),
            ..configured
        };
        ReplayOptions { facts, until: self.until }
    }

    /// Opens the files or the topic, with the mapping of `--source`. Prints the problems of the mapping.
    pub(super) fn source(&self, config: Option<&Config>) -> Result<Source, SourceError> {
        let has_identity = self.options(config).facts.identity.is_some();
        let mapping = self.source.load(has_identity).map_err(SourceError::Mapping)?;
        let blocked_ids = config.map_or_else(BlockedIds::default, |config| config.identity.blocked.clone());
        Ok(self.open(config, has_identity)?.with_mapping(mapping).with_identity(has_identity.then_some(blocked_ids)))
    }

    fn open(&self, config: Option<&Config>, has_identity: bool) -> Result<Source, SourceError> {
        if !self.files.is_empty() {
            return Ok(Source::files(self.files.clone()));
        }
        let topic = self.topic.as_deref();
        match (config, &self.bootstrap_servers) {
            (Some(config), _) => {
                let topic = topic.unwrap_or(&config.topics.touchpoints);
                Source::topic(&topics::cluster(config), topic, &config.kafka.group_id, config.touchpoints.bytes_max)?
                    .with_source_of(config, topic, has_identity)
            }
            (None, None) => Err(SourceError::TopicWithoutServers),
            (None, Some(servers)) => {
                let cluster = Cluster { bootstrap_servers: servers.clone(), settings: Vec::new() };
                Source::topic(&cluster, topic.unwrap_or(TOPIC), GROUP, LINE_BYTES_MAX)
            }
        }
    }

    /// Returns all files that are read: touchpoints, models and the configuration.
    pub(super) fn input_files(&self, config: Option<&Config>) -> Vec<PathBuf> {
        let models = self.model_arguments.input_files(&self.models, config);
        models.into_iter().chain(self.files.iter().cloned()).collect()
    }

    /// Returns the touchpoint files; empty if a topic is read.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

fn parse_until(text: &str) -> Result<Timestamp, String> {
    parse_timestamp(text).map_err(|error| format!("{error}; write an instant such as 2026-01-31T00:00:00Z"))
}

fn parse_lateness(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(length) if length >= Duration::ZERO => Ok(length),
        _ => Err("write a duration such as 30s, 1m or 24h".to_owned()),
    }
}

pub(super) fn parse_max_ahead(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|_| "write a duration such as 0s, 5m or 24h".to_owned())
}

fn parse_forget_after(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(length) if length > Duration::ZERO => Ok(length),
        _ => Err("write a duration such as 90d or 8760h".to_owned()),
    }
}

pub(super) fn parse_currency(text: &str) -> Result<Currency, String> {
    Currency::parse(text).ok_or_else(|| "write three capital letters, such as EUR".to_owned())
}
