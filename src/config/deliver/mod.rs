//! The configuration of deliveries: a YAML file of `lifecycle deliver` with the cluster, the topics and the
//! destinations, or the section `deliver` of the service's configuration.
//!
//! All problems of the file and of its presets are reported at once. Secrets are read from files and appear in no
//! message.

mod destination;
mod reader;
mod requests;
mod sample;
mod section;
mod shipped;
mod webhook;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::client::{self, ClientSetting};
use super::keys::LogConfig;
use super::settings::read_limited;
use super::values::{kafka_name, one_of, servers, topic_name};
use super::{Config, ConfigError};
use crate::api::TlsFiles;
use crate::deliver::Destination;
use crate::kafka::Cluster;
use crate::telemetry::logging::LogFormat;

use reader::{Fields, Reader, plain};

pub(super) use section::section;

pub use section::DeliverSection;
pub use shipped::{PRESETS, preset};

/// Maximum size of the file and of a preset, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The key of the deliveries in the configuration of the service.
const SECTION: &str = "deliver";
/// Keys of the service's configuration that a file of `lifecycle deliver` does not have.
const SERVICE_KEYS: [&str; 5] = ["models", "workers", "clock", "state", "sources"];
/// The default topic of transitions: that of the service.
const TRANSITIONS: &str = "lifecycle.transitions";
/// The default dead-letter topic.
const DEAD_LETTERS: &str = "lifecycle.deliveries.dead-letters";
/// Maximum number of destinations; each has a consumer and threads of its own.
const DESTINATIONS_MAX: usize = 64;

/// The validated configuration.
#[derive(Clone, Debug)]
pub struct DeliverConfig {
    /// The brokers.
    pub bootstrap_servers: String,
    /// Settings of the Kafka client.
    pub client: BTreeMap<String, ClientSetting>,
    /// Prefix of the consumer groups.
    pub group_prefix: String,
    /// The coordinator removes a member after this time without a heartbeat.
    pub session_timeout: Duration,
    /// The topics of transitions.
    pub topics: Vec<String>,
    /// The dead-letter topic of deliveries.
    pub dead_letters: String,
    /// The address of the HTTP server.
    pub listen: SocketAddr,
    /// The address of a server of its own for the probes and the metrics.
    pub probes_listen: Option<SocketAddr>,
    /// The file of the token that requests must send.
    pub token_file: Option<PathBuf>,
    /// The files of the HTTP server's TLS settings; `None` without TLS.
    pub tls: Option<TlsFiles>,
    /// The authorities of the HTTP server, for commands that ask it.
    pub authorities: Option<PathBuf>,
    /// Logging.
    pub log: LogConfig,
    /// The destinations, sorted by name.
    pub destinations: Vec<ConfiguredDestination>,
}

/// A destination, and its secrets.
#[derive(Clone)]
pub struct ConfiguredDestination {
    /// The destination.
    pub destination: Destination,
    /// The secrets that its requests contain, to redact them in a preview.
    pub secrets: Vec<String>,
}

impl std::fmt::Debug for ConfiguredDestination {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ConfiguredDestination").field("name", &self.destination.name).finish_non_exhaustive()
    }
}

impl DeliverConfig {
    /// Reads the file at `path`: that of `lifecycle deliver`, or that of the service, if it has a section `deliver`.
    ///
    /// # Errors
    /// All problems found.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read_limited(path, FILE_BYTES_MAX)
            .map_err(|cause| ConfigError { problems: vec![format!("{}: cannot be read: {cause}", path.display())] })?;
        let (_, value) = Reader::parse(&text, "", Path::new(""));
        let missing = || {
            let what = "the configuration of a service without a section `deliver`: add one, see docs/deliver.md";
            ConfigError { problems: vec![format!("{}: {what}", path.display())] }
        };
        if value.get(SECTION).is_some_and(|section| !section.is_null()) {
            return Config::load(Some(path))?.deliveries()?.ok_or_else(missing);
        }
        if value.get("destinations").is_none() && SERVICE_KEYS.iter().any(|key| value.get(key).is_some()) {
            return Err(missing());
        }
        Self::parse(&text, path)
    }

    /// Parses `text` as the content of the file at `path`.
    ///
    /// # Errors
    /// All problems found.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let directory = path.parent().unwrap_or(Path::new(""));
        let (mut reader, value) = Reader::parse(text, &path.display().to_string(), directory);
        if !reader.problems.is_empty() {
            return Err(ConfigError { problems: reader.problems });
        }
        let config = Self::read(&mut reader, &value, directory);
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => Err(ConfigError { problems: reader.problems }),
        }
    }

    fn read(reader: &mut Reader, value: &Value, directory: &Path) -> Option<Self> {
        let mut root = reader.fields(value, "");
        let mut kafka = reader.fields(root.get("kafka").unwrap_or(&Value::Null), "kafka");
        let bootstrap_servers = kafka.parse(reader, "bootstrap_servers", servers);
        if kafka.get("bootstrap_servers").is_none() {
            reader.problem("kafka.bootstrap_servers", "missing: write hosts and ports, such as localhost:9092");
        }
        let group_prefix = kafka.parse(reader, "group_prefix", kafka_name);
        let session_timeout = kafka.duration(reader, "session_timeout", "6s", "30m");
        let mut settings = BTreeMap::new();
        for (name, value, path) in kafka.entries(reader, "client") {
            let parsed = plain(value).ok_or_else(|| "write a single value".to_owned());
            match parsed.and_then(|text| client::from_file(name, &text, directory)) {
                Ok(setting) => _ = settings.insert(name.to_owned(), setting),
                Err(problem) => reader.problem(&path, &problem),
            }
        }
        kafka.reject_unknown(reader);

        let topics = topics(reader, &mut root, TRANSITIONS);
        let dead_letters = dead_letters(reader, &mut root, &topics);

        let mut http = reader.fields(root.get("http").unwrap_or(&Value::Null), "http");
        let listen = http.parse(reader, "listen", |text| {
            text.parse::<SocketAddr>().map_err(|_| "write an address and a port, such as 127.0.0.1:8081".to_owned())
        });
        let listen = listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8081)));
        let token_file = http.text(reader, "token_file").map(|file| reader.resolve(&file));
        http.reject_unknown(reader);
        if !listen.ip().is_loopback() && token_file.is_none() {
            reader.problem(
                "http.listen",
                "other machines can reach this address: set http.token_file to a file with a token, or listen on 127.0.0.1",
            );
        }

        let mut log = reader.fields(root.get("log").unwrap_or(&Value::Null), "log");
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let format = log.parse(reader, "format", one_of(&formats)).unwrap_or(LogFormat::Text);
        let level = log.text(reader, "level").unwrap_or_else(|| "info".to_owned());
        log.reject_unknown(reader);

        let destinations = destinations(reader, &mut root);
        root.reject_unknown(reader);
        Some(Self {
            bootstrap_servers: bootstrap_servers?,
            client: settings,
            group_prefix: group_prefix.unwrap_or_else(|| "lifecycle-deliver".to_owned()),
            session_timeout: session_timeout.unwrap_or(Duration::from_secs(20)),
            topics,
            dead_letters,
            listen,
            probes_listen: None,
            token_file,
            tls: None,
            authorities: None,
            log: LogConfig { format, level },
            destinations,
        })
    }

    /// Returns the connection settings of the cluster.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        let settings = self.client.iter().map(|(name, setting)| (name.clone(), setting.expose().to_owned()));
        Cluster { bootstrap_servers: self.bootstrap_servers.clone(), settings: settings.collect() }
    }

    /// Returns the consumer group of a destination.
    #[must_use]
    pub fn group_of(&self, destination: &str) -> String {
        format!("{}-{destination}", self.group_prefix)
    }
}

/// Reads the topics of transitions; `default` is that of the service.
fn topics(reader: &mut Reader, fields: &mut Fields<'_>, default: &str) -> Vec<String> {
    let mut topics = Vec::new();
    for (value, path) in fields.items("topics") {
        let name = plain(value).ok_or_else(|| "write the name of a topic".to_owned()).and_then(|it| topic_name(&it));
        match name {
            Ok(name) if topics.contains(&name) => reader.problem(&path, "the topic is named twice"),
            Ok(name) => topics.push(name),
            Err(problem) => reader.problem(&path, &problem),
        }
    }
    if topics.is_empty() {
        topics.push(default.to_owned());
    }
    topics
}

/// Reads the dead-letter topic.
fn dead_letters(reader: &mut Reader, fields: &mut Fields<'_>, topics: &[String]) -> String {
    let name = fields.parse(reader, "dead_letters", topic_name).unwrap_or_else(|| DEAD_LETTERS.to_owned());
    // A dead letter would be delivered, rejected and written again, endlessly.
    if topics.contains(&name) {
        let problem = format!("`{name}` is one of `topics`: give dead letters a topic of their own");
        reader.problem(&fields.at("dead_letters"), &problem);
    }
    name
}

/// Reads the destinations, with their presets and secrets.
fn destinations(reader: &mut Reader, fields: &mut Fields<'_>) -> Vec<ConfiguredDestination> {
    let entries = fields.entries(reader, "destinations");
    if entries.is_empty() || entries.len() > DESTINATIONS_MAX {
        reader.problem(&fields.at("destinations"), &format!("configure 1 to {DESTINATIONS_MAX} destinations"));
    }
    entries.into_iter().map(|(name, value, path)| destination::destination(reader, name, value, &path)).collect()
}
