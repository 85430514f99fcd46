//! The configuration: one YAML file, whose keys environment variables can override.
//!
//! All problems are reported at once, each with its location and a fix. Folders below this one do not depend on
//! [`Config`]; each has small option structs of its own.

mod client;
mod keys;
mod kubernetes;
mod models;
mod node;
mod render;
mod settings;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::is_address;
use crate::lifecycle::money::Currency;
use crate::runtime::ClockSource;
use crate::telemetry::logging::LogFormat;

pub use client::ClientSetting;
pub use keys::{KEYS, Key};
pub use models::{ModelChoice, ModelsError, read_source};
pub use render::reference;
pub use values::whole_number;

use settings::Settings;
use values::{bytes, duration};

/// The validated configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `kafka`
    pub kafka: KafkaConfig,
    /// `topics`
    pub topics: TopicsConfig,
    /// `models`, `parameters`, `catalogue`
    pub models: ModelChoice,
    /// `currency`
    pub currency: Currency,
    /// `clock`
    pub clock: ClockConfig,
    /// `publish`
    pub publish: PublishConfig,
    /// `commit.interval`
    pub commit_interval: Duration,
    /// `workers`
    pub workers: usize,
    /// `state.max_bytes`, for all workers together.
    pub state_bytes_max: usize,
    /// `state.forget_after`; `None` means never.
    pub forget_after: Option<Duration>,
    /// `state.sweep_min_bytes`
    pub sweep_bytes_min: usize,
    /// `state.sweep_period`
    pub sweep_period: Duration,
    /// `touchpoints.bytes_max`
    pub touchpoint_bytes_max: usize,
    /// `http`
    pub http: HttpConfig,
    /// `shutdown.deadline`
    pub shutdown_deadline: Duration,
    /// `log`
    pub log: LogConfig,
    origins: BTreeMap<&'static str, (String, Origin)>,
}

/// Keys under `kafka`.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `kafka.bootstrap_servers`
    pub bootstrap_servers: String,
    /// `kafka.group_id`
    pub group_id: String,
    /// `kafka.instance_id`
    pub instance_id: String,
    /// `kafka.static_membership`
    pub is_static_member: bool,
    /// `kafka.session_timeout`
    pub session_timeout: Duration,
    /// `kafka.transaction_timeout`
    pub transaction_timeout: Duration,
    /// `kafka.client`, by name.
    pub client: BTreeMap<String, ClientSetting>,
}

/// Keys under `topics`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicsConfig {
    /// `topics.touchpoints`
    pub touchpoints: String,
    /// `topics.transitions`
    pub transitions: String,
    /// `topics.replay`
    pub replay: String,
    /// `topics.changelog`
    pub changelog: String,
    /// `topics.dead_letters`
    pub dead_letters: String,
}

/// Keys under `clock`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockConfig {
    /// `clock.source`
    pub source: ClockSource,
    /// `clock.lateness`
    pub lateness: Duration,
    /// `clock.max_ahead`
    pub max_ahead: Duration,
}

/// Keys under `publish`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishConfig {
    /// `publish.fresh_for`
    pub fresh_for: Duration,
    /// `publish.source`
    pub source: String,
    /// `publish.subject`
    pub with_subject: bool,
}

/// Keys under `http`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpConfig {
    /// `http.listen`
    pub listen: SocketAddr,
    /// `http.token_file`
    pub token_file: Option<PathBuf>,
    /// `http.advertise`
    pub advertise: Option<String>,
}

/// Keys under `log`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// `log.format`
    pub format: LogFormat,
    /// `log.level`: a level, or filter directives.
    pub level: String,
}

/// Where a key was set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nowhere: the default applies.
    Default,
    /// In the file, at this line.
    File(u64),
    /// In the environment variable of this name.
    Variable(String),
}

/// All problems of a configuration; displayed one per line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The problems, each with its location and a fix.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the file at `path`, if given, and the environment of the process.
    ///
    /// # Errors
    /// All problems found.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let error = |problem: String| ConfigError { problems: vec![problem] };
        let text = match path {
            Some(path) => settings::read_limited(path, node::FILE_BYTES_MAX)
                .map_err(|cause| error(format!("{}: cannot be read: {cause}", path.display())))?,
            None => String::new(),
        };
        // Non-UTF-8 values are rejected like any other invalid value, not ignored.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
        Self::parse_at(&text, path, variables)
    }

    /// Parses `text` as the content of the file at `path`, overridden by `variables`. Problems name `path`, and
    /// relative paths start at its directory.
    ///
    /// # Errors
    /// All problems found.
    pub fn parse(
        text: &str,
        path: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::parse_at(text, Some(path), variables)
    }

    fn parse_at(
        text: &str,
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut settings =
            Settings::read(text, path, variables).map_err(|problem| ConfigError { problems: vec![problem] })?;
        let directory = path.and_then(Path::parent).unwrap_or(Path::new(""));
        let config = Self::from_settings(&mut settings, directory);
        let problems = settings.into_problems();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError { problems }),
        }
    }

    /// Reads all keys. Returns `None` if a required key is missing or invalid; `settings` then contains the problem.
    fn from_settings(settings: &mut Settings, directory: &Path) -> Option<Self> {
        let bootstrap_servers = settings.value("kafka.bootstrap_servers", servers);
        let group_id = settings.value("kafka.group_id", kafka_name);
        let instance_id = settings.optional("kafka.instance_id", kafka_name).or_else(|| host_name(settings));
        let is_static_member = settings.value("kafka.static_membership", boolean);
        let session_timeout = settings.value("kafka.session_timeout", |text| duration_within(text, "6s", "30m"));
        let transaction_timeout =
            settings.value("kafka.transaction_timeout", |text| duration_within(text, "3s", "15m"));
        let client = settings.client(directory);
        let topics = topics(settings);
        let models = settings.models(directory);
        let currency = settings.value("currency", |text| {
            Currency::parse(text).ok_or_else(|| "write three capital letters, such as EUR".to_owned())
        });
        let clock_source = settings.value("clock.source", |text| {
            one_of(text, &[("wall", ClockSource::Wall), ("touchpoints", ClockSource::Touchpoints)])
        });
        let lateness = settings.value("clock.lateness", |text| duration_within(text, "0s", "30d"));
        let max_ahead = settings.value("clock.max_ahead", |text| duration_within(text, "0s", "366d"));
        let fresh_for = settings.value("publish.fresh_for", |text| duration_within(text, "1s", "36500d"));
        let source = settings.optional("publish.source", text);
        let with_subject = settings.value("publish.subject", boolean);
        let commit_interval = settings.value("commit.interval", |text| duration_within(text, "5ms", "5s"));
        let workers = settings.optional("workers", |text| whole_number(text, 1, 256));
        let state_bytes_max = settings.value("state.max_bytes", |text| size_within(text, "1MiB", "16TiB"));
        let forget_after = settings.optional("state.forget_after", |text| duration_within(text, "1d", "36500d"));
        let sweep_bytes_min = settings.value("state.sweep_min_bytes", |text| size_within(text, "64KiB", "1TiB"));
        let sweep_period = settings.value("state.sweep_period", |text| duration_within(text, "1m", "365d"));
        let touchpoint_bytes_max = settings.value("touchpoints.bytes_max", |text| size_within(text, "1KiB", "64MiB"));
        let listen = settings.value("http.listen", |text| {
            text.parse().map_err(|_| "write an address and a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned())
        });
        let token_file = settings.optional("http.token_file", |text| Ok(directory.join(text)));
        let advertise = settings.optional("http.advertise", |text| {
            if is_address(text) {
                Ok(text.to_owned())
            } else {
                Err("write a host and a port, such as 10.0.0.5:8080".to_owned())
            }
        });
        let shutdown_deadline = settings.value("shutdown.deadline", |text| duration_within(text, "1s", "1h"));
        let format =
            settings.value("log.format", |text| one_of(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)]));
        let level = settings.value("log.level", text);
        settings.reject_unknown();

        let group_id = group_id?;
        let publish = PublishConfig {
            fresh_for: fresh_for?,
            source: source.unwrap_or_else(|| format!("/lifecycle/{group_id}")),
            with_subject: with_subject?,
        };
        let http = HttpConfig { listen: listen?, token_file, advertise };
        if !http.listen.ip().is_loopback() && http.token_file.is_none() {
            settings.problem(
                "http.listen",
                "other machines can reach this address: set http.token_file to a file with a token, or listen on 127.0.0.1",
            );
        }
        Some(Self {
            kafka: KafkaConfig {
                bootstrap_servers: bootstrap_servers?,
                group_id,
                instance_id: instance_id?,
                is_static_member: is_static_member?,
                session_timeout: session_timeout?,
                transaction_timeout: transaction_timeout?,
                client,
            },
            topics: topics?,
            models,
            currency: currency?,
            clock: ClockConfig { source: clock_source?, lateness: lateness?, max_ahead: max_ahead? },
            publish,
            commit_interval: commit_interval?,
            workers: workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
            state_bytes_max: state_bytes_max?,
            forget_after,
            sweep_bytes_min: sweep_bytes_min?,
            sweep_period: sweep_period?,
            touchpoint_bytes_max: touchpoint_bytes_max?,
            http,
            shutdown_deadline: shutdown_deadline?,
            log: LogConfig { format: format?, level: level? },
            origins: settings.take_origins(),
        })
    }
}

fn topics(settings: &mut Settings) -> Option<TopicsConfig> {
    let touchpoints = settings.value("topics.touchpoints", topic_name);
    let transitions = settings.value("topics.transitions", topic_name);
    let replay = settings.optional("topics.replay", topic_name);
    let changelog = settings.value("topics.changelog", topic_name);
    let dead_letters = settings.value("topics.dead_letters", topic_name);
    let transitions = transitions?;
    let topics = TopicsConfig {
        touchpoints: touchpoints?,
        replay: replay.unwrap_or_else(|| format!("{transitions}.replay")),
        transitions,
        changelog: changelog?,
        dead_letters: dead_letters?,
    };
    let named = [
        ("topics.touchpoints", &topics.touchpoints),
        ("topics.transitions", &topics.transitions),
        ("topics.changelog", &topics.changelog),
        ("topics.dead_letters", &topics.dead_letters),
        ("topics.replay", &topics.replay),
    ];
    for (index, (path, name)) in named.iter().enumerate() {
        let same = named[..index].iter().find(|(other, taken)| {
            // Replayed transitions may share the topic of live ones.
            taken == name && (*other, *path) != ("topics.transitions", "topics.replay")
        });
        if let Some((other, _)) = same {
            settings.problem(path, &format!("`{name}` is already used by {other}: give each its own topic"));
        }
    }
    Some(topics)
}

fn text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("write a value, or remove the key".to_owned()) } else { Ok(text.trim().to_owned()) }
}

/// Parses broker addresses. Malformed ones are rejected here, because the Kafka client would retry them indefinitely.
fn servers(servers: &str) -> Result<String, String> {
    let servers = text(servers)?;
    let is_server = |server: &str| {
        let server = server.trim().rsplit_once("://").map_or(server.trim(), |(_, server)| server);
        let (host, port) = server.rsplit_once(':').filter(|_| !server.ends_with(']')).unwrap_or((server, "9092"));
        !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if servers.split(',').all(is_server) {
        Ok(servers)
    } else {
        Err("write hosts and ports separated by commas, such as kafka-1:9092,kafka-2:9092".to_owned())
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    one_of(text, &[("true", true), ("false", false)])
}

fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices.iter().find(|(name, _)| *name == text).map(|&(_, choice)| choice).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|&(name, _)| name).collect();
        format!("write {}", names.join(" or "))
    })
}

fn duration_within(text: &str, min: &str, max: &str) -> Result<Duration, String> {
    let length = duration(text)?;
    if (duration(min)?..=duration(max)?).contains(&length) {
        Ok(length)
    } else {
        Err(format!("write a duration from {min} to {max}"))
    }
}

fn size_within(text: &str, min: &str, max: &str) -> Result<usize, String> {
    let size = bytes(text)?;
    if (bytes(min)?..=bytes(max)?).contains(&size) {
        Ok(size)
    } else {
        Err(format!("write a size from {min} to {max}"))
    }
}

/// Parses a name that Kafka accepts for a topic.
fn topic_name(text: &str) -> Result<String, String> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    if text.is_empty() || text.len() > 249 || text == "." || text == ".." || !text.chars().all(is_allowed) {
        return Err("write a topic name: up to 249 letters, digits, `.`, `_` and `-`".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses a name that can be part of a transactional id and of metric labels.
fn kafka_name(text: &str) -> Result<String, String> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    if text.is_empty() || text.len() > 100 || !text.chars().all(is_allowed) {
        return Err("write up to 100 letters, digits, `.`, `_` and `-`".to_owned());
    }
    Ok(text.to_owned())
}

/// Returns the host name, which is the pod name in Kubernetes.
fn host_name(settings: &mut Settings) -> Option<String> {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let name = name.ok().map(|name| name.trim().to_owned()).filter(|name| kafka_name(name).is_ok());
    if name.is_none() {
        settings.problem("kafka.instance_id", "the host has no usable name: set this key");
    }
    name
}
