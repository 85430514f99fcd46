//! The configuration of `lifecycle deliver`: one YAML file with the cluster, the topics and the destinations.
//!
//! All problems of the file and of its presets are reported at once. Secrets are read from files and appear in no
//! message.

mod destination;
mod reader;
mod requests;
mod shipped;
mod webhook;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::ConfigError;
use super::client::{self, ClientSetting};
use super::keys::LogConfig;
use super::settings::read_limited;
use super::values::{kafka_name, one_of, servers, topic_name};
use crate::deliver::Destination;
use crate::kafka::Cluster;
use crate::telemetry::logging::LogFormat;

use reader::{Reader, plain};

pub use shipped::{PRESETS, preset};

/// Maximum size of the file and of a preset, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
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
    /// The file of the token that requests must send.
    pub token_file: Option<PathBuf>,
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
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// All problems found.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read_limited(path, FILE_BYTES_MAX)
            .map_err(|cause| ConfigError { problems: vec![format!("{}: cannot be read: {cause}", path.display())] })?;
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

        let mut topics = Vec::new();
        for (value, path) in root.items("topics") {
            let name =
                plain(value).ok_or_else(|| "write the name of a topic".to_owned()).and_then(|it| topic_name(&it));
            match name {
                Ok(name) if topics.contains(&name) => reader.problem(&path, "the topic is named twice"),
                Ok(name) => topics.push(name),
                Err(problem) => reader.problem(&path, &problem),
            }
        }
        if topics.is_empty() {
            topics.push(TRANSITIONS.to_owned());
        }
        let dead_letters = root.parse(reader, "dead_letters", topic_name);
        let dead_letters = dead_letters.unwrap_or_else(|| DEAD_LETTERS.to_owned());
        // A dead letter would be delivered, rejected and written again, endlessly.
        if topics.contains(&dead_letters) {
            reader.problem(
                "dead_letters",
                &format!("`{dead_letters}` is one of `topics`: give dead letters a topic of their own"),
            );
        }

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

        let entries = root.entries(reader, "destinations");
        if entries.is_empty() || entries.len() > DESTINATIONS_MAX {
            reader.problem("destinations", &format!("configure 1 to {DESTINATIONS_MAX} destinations"));
        }
        let destinations =
            entries.into_iter().map(|(name, value, path)| destination::destination(reader, name, value, &path));
        let destinations = destinations.collect();
        root.reject_unknown(reader);
        Some(Self {
            bootstrap_servers: bootstrap_servers?,
            client: settings,
            group_prefix: group_prefix.unwrap_or_else(|| "lifecycle-deliver".to_owned()),
            session_timeout: session_timeout.unwrap_or(Duration::from_secs(20)),
            topics,
            dead_letters,
            listen,
            token_file,
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
