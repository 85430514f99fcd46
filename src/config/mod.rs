//! The configuration: one YAML file, whose keys environment variables can override.
//!
//! All problems are reported at once, each with its location and a fix. Folders below this one do not depend on
//! [`Config`]; each has small option structs of its own.

mod client;
mod defaults;
pub mod deliver;
mod key;
mod keys;
mod kubernetes;
mod models;
mod node;
mod render;
mod routes;
mod secret;
mod settings;
mod source_files;
mod sources;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use crate::api::TlsFiles;

pub use client::ClientSetting;
pub use key::Key;
pub use keys::{Config, KEYS, KafkaConfig};
pub use models::{ModelChoice, ModelsError, read_source};
pub use render::reference;
pub use secret::read_secret;
pub use source_files::{DecoderAndMapping, SourcesError};
pub use sources::SourceConfig;
pub use values::whole_number;

use settings::Settings;

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
    /// Returns the files of the HTTP server's TLS settings; `None` without TLS.
    #[must_use]
    pub fn tls_files(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            certificate: self.http.tls_certificate_file.clone()?,
            key: self.http.tls_key_file.clone()?,
            ca: self.http.tls_ca_file.clone(),
        })
    }

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
        let config = Self::read(&mut settings);
        if let Some(config) = &config {
            check_sources(&mut settings, config);
            check_dead_letters(&mut settings, config);
        }
        let problems = settings.into_problems();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError { problems }),
        }
    }

    /// Returns the topics that the service writes, without that of touchpoints.
    pub fn published_topics(&self) -> impl Iterator<Item = &str> {
        let topics = &self.topics;
        [&topics.transitions, &topics.replay, &topics.changelog, &topics.dead_letters]
            .into_iter()
            .chain(self.publish.routes.iter().map(|route| &route.topic))
            .chain(&topics.current_stages)
            .chain(self.identity.enabled.then_some(&topics.hand_overs))
            .map(String::as_str)
    }

    /// Returns the source that the workers read directly, because its topic is the touchpoint topic; `None` if that
    /// topic has touchpoints in JSON only.
    #[must_use]
    pub fn direct_source(&self) -> Option<&SourceConfig> {
        self.sources.iter().find(|source| source.topics == [self.topics.touchpoints.as_str()])
    }

    /// Returns the sources whose touchpoints are written to the touchpoint topic.
    pub fn rekeyed_sources(&self) -> impl Iterator<Item = &SourceConfig> {
        self.sources.iter().filter(|source| source.topics != [self.topics.touchpoints.as_str()])
    }

    /// Returns the models to run.
    #[must_use]
    pub fn model_choice(&self) -> ModelChoice {
        ModelChoice {
            names: self.models.clone(),
            overrides: self.parameters.clone(),
            attributes: self.publish.attributes.clone(),
            catalogue: self.catalogue.clone(),
            directory: self.directory.clone(),
        }
    }
}

/// The key of the topic that the workers read.
const TOUCHPOINTS: &str = "topics.touchpoints";
/// The keys of the topics that the service itself reads and writes.
const OWN_TOPICS: [&str; 7] = [
    TOUCHPOINTS,
    "topics.transitions",
    "topics.changelog",
    "topics.dead_letters",
    "topics.replay",
    "topics.current_stages",
    "topics.hand_overs",
];

/// Checks that no source reads what the service publishes: each of its touchpoints could cause the next one.
fn check_sources(settings: &mut Settings, config: &Config) {
    for source in &config.sources {
        for topic in source.named_topics().filter(|topic| config.publish.routes.iter().any(|it| it.topic == *topic)) {
            let problem = format!("`{}` reads `{topic}`, a topic of publish.routes: remove it", source.name);
            settings.problem("sources", &problem);
        }
    }
}

/// Checks that no route publishes to the dead-letter topic of deliveries.
fn check_dead_letters(settings: &mut Settings, config: &Config) {
    let Some(deliver) = &config.deliver else { return };
    if config.publish.routes.iter().any(|route| route.topic == deliver.dead_letters) {
        let problem =
            format!("`dead_letters` is `{}`, a topic of publish.routes: name another one", deliver.dead_letters);
        settings.problem("deliver", &problem);
    }
}

/// Checks what depends on several keys.
fn check(settings: &mut Settings) {
    for (index, path) in OWN_TOPICS.into_iter().enumerate() {
        let Some(name) = settings.text(path).map(str::to_owned) else { continue };
        let same = OWN_TOPICS[..index].iter().find(|other| {
            // Replayed transitions may share the topic of live ones.
            settings.text(other) == Some(&*name) && (**other, path) != ("topics.transitions", "topics.replay")
        });
        if let Some(other) = same {
            settings.problem(path, &format!("`{name}` is already used by {other}: give each its own topic"));
        }
    }
    let missing = |settings: &Settings, present: &str, absent: &str| {
        settings.text(present).is_some() && settings.text(absent).is_none()
    };
    if missing(settings, "http.tls_certificate_file", "http.tls_key_file") {
        settings.problem("http.tls_certificate_file", "set http.tls_key_file to the file with its key as well");
    }
    if missing(settings, "http.tls_key_file", "http.tls_certificate_file") {
        settings.problem("http.tls_key_file", "set http.tls_certificate_file to the file with its certificate as well");
    }
    if settings.text("http.tls_certificate_file").is_some() && missing(settings, "http.advertise", "http.tls_ca_file") {
        settings.problem(
            "http.advertise",
            "set http.tls_ca_file to the authorities that sign the certificates of the other instances",
        );
    }
    if settings.text("publish.framing") == Some("confluent") && settings.text("registry.url").is_none() {
        settings.problem("publish.framing", "set registry.url to the schema registry");
    }
    let probes = settings.text("http.probes_listen").map(str::to_owned);
    // Port 0 is a free port for each.
    if let Some(probes) = probes.filter(|it| !it.ends_with(":0"))
        && settings.text("http.listen") == Some(&*probes)
    {
        settings.problem("http.probes_listen", &format!("`{probes}` is already http.listen: write another port"));
    }
    let address = settings.text("http.listen").and_then(|text| text.parse::<SocketAddr>().ok());
    if address.is_some_and(|address| !address.ip().is_loopback()) && settings.text("http.token_file").is_none() {
        settings.problem(
            "http.listen",
            "other machines can reach this address: set http.token_file to a file with a token, or listen on 127.0.0.1",
        );
    }
}
