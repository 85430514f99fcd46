//! Applies changes of files while the service runs: the credentials for Kafka, the tokens and the certificate of the
//! HTTP server, and the log level.
//!
//! Reads the files every few seconds instead of relying on notifications, which are lost when a file system is mounted
//! again, as Kubernetes does with secrets. New credentials are tested before the workers use them, so a wrong or half
//! written file changes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::api::{SharedTls, SharedTokens};
use crate::config::Config;
use crate::kafka::cluster::admin;
use crate::kafka::{Cluster, SettingsUpdates};
use crate::telemetry::logging::LogLevel;

use super::http_tokens;
use super::topics::cluster;

/// How often the files are read.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often the thread checks whether the service stops.
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What the files configure.
#[derive(Debug)]
pub struct Reload {
    /// The configuration file; `None` if the configuration comes from the environment only.
    pub config_file: Option<PathBuf>,
    /// Receives the settings of the Kafka client.
    pub updates: SettingsUpdates,
    /// The tokens of the HTTP server.
    pub tokens: Option<SharedTokens>,
    /// The certificate of the HTTP server.
    pub tls: Option<SharedTls>,
    /// The level of the log.
    pub log_level: LogLevel,
}

/// What was read from the files.
#[derive(PartialEq, Eq)]
struct Content {
    settings: Vec<(String, String)>,
    /// The content of the files that the Kafka client reads, by path.
    client_files: BTreeMap<String, Vec<u8>>,
    tokens: Option<Vec<u8>>,
    tls: Vec<Vec<u8>>,
    log_level: String,
}

impl Content {
    fn read(config: &Config) -> Self {
        let settings = cluster(config).settings;
        // Names of librdkafka's settings, such as `ssl.ca.location`.
        let is_file = |name: &str| matches!(name.rsplit('.').next(), Some("location" | "file"));
        let files = settings.iter().filter(|(name, _)| is_file(name)).map(|(_, path)| path.clone());
        // A file that cannot be read is empty here; using it then fails with a message.
        let client_files = files.map(|path| (path.clone(), std::fs::read(path).unwrap_or_default())).collect();
        let http = &config.http;
        let tls = [&http.tls_certificate_file, &http.tls_key_file, &http.tls_ca_file].into_iter();
        Self {
            client_files,
            tokens: config.http.token_file.as_ref().map(|path| std::fs::read(path).unwrap_or_default()),
            tls: tls.flatten().map(|path| std::fs::read(path).unwrap_or_default()).collect(),
            log_level: config.log.level.clone(),
            settings,
        }
    }
}

impl Reload {
    /// Reads the files periodically until `stop` is set. The service was started with `running`.
    pub fn run(&self, running: &Config, stop: &Arc<AtomicBool>) {
        let mut current = Content::read(running);
        // A change is applied when two reads in a row return it, because a file may be read while it is written.
        let mut candidate = None;
        let mut next_at = Instant::now() + INTERVAL;
        while !stop.load(Ordering::Relaxed) {
            if Instant::now() < next_at {
                std::thread::sleep(STOP_POLL_INTERVAL);
                continue;
            }
            next_at = Instant::now() + INTERVAL;
            let config = match Config::load(self.config_file.as_deref()) {
                Ok(config) => config,
                Err(error) => {
                    tracing::error!(
                        problem = error.to_string().trim(),
                        "cannot read the configuration again, nothing is changed"
                    );
                    continue;
                }
            };
            let found = Content::read(&config);
            if found == current {
                candidate = None;
            } else if candidate.as_ref() == Some(&found) {
                self.apply(running, &config, &mut current, found);
                candidate = None;
            } else {
                candidate = Some(found);
                next_at = Instant::now() + STOP_POLL_INTERVAL;
            }
        }
    }

    /// Applies the differences between `current` and `found`, and updates `current` by what is in effect.
    fn apply(&self, running: &Config, config: &Config, current: &mut Content, found: Content) {
        if (&found.settings, &found.client_files) != (&current.settings, &current.client_files) {
            match test(running, config, &found.settings) {
                Ok(()) => {
                    tracing::info!("kafka credentials have changed, workers connect again");
                    self.updates.publish(found.settings.clone());
                    (current.settings, current.client_files) = (found.settings, found.client_files);
                }
                // `current` stays as it is, so the new credentials are tested again.
                Err(problem) => {
                    tracing::error!(problem, "changed kafka credentials do not work, the previous ones stay in use");
                }
            }
        }
        if let (Some(tokens), Some(path)) = (&self.tokens, &config.http.token_file)
            && found.tokens != current.tokens
        {
            match http_tokens(path) {
                Ok(read) => {
                    tokens.replace(read);
                    tracing::info!("http tokens reloaded");
                }
                Err(problem) => {
                    tracing::error!(problem, "cannot use the changed http tokens, the previous ones stay valid");
                }
            }
            current.tokens = found.tokens;
        }
        if let Some(tls) = &self.tls
            && found.tls != current.tls
        {
            match tls.reload() {
                Ok(()) => tracing::info!("http certificate reloaded"),
                Err(problem) => {
                    tracing::error!(problem, "cannot use the changed http certificate, the previous one stays in use");
                }
            }
            current.tls = found.tls;
        }
        if found.log_level != current.log_level {
            match self.log_level.set(&found.log_level) {
                Ok(()) => tracing::info!(level = found.log_level, "log level changed"),
                Err(problem) => tracing::error!(problem, "cannot change the log level"),
            }
            current.log_level = found.log_level;
        }
    }
}

/// Connects with the new settings to the brokers in use, which shows that they accept them.
fn test(running: &Config, config: &Config, settings: &[(String, String)]) -> Result<(), String> {
    let cluster = Cluster { settings: settings.to_vec(), ..cluster(running) };
    let tested =
        cluster.check().and_then(|()| admin::describe_topics(&cluster, &[&running.topics.touchpoints]).map(drop));
    tested.map_err(|error| {
        let has_moved = running.kafka.bootstrap_servers != config.kafka.bootstrap_servers;
        let restart = if has_moved { "; kafka.bootstrap_servers has changed too: restart the service" } else { "" };
        format!("{error}{restart}")
    })
}
