//! The section `deliver` of the service's configuration: deliveries of the service itself.
//!
//! Names are checked with all other keys. Presets and secrets are read when the destinations are needed, because most
//! commands that read the configuration need neither.

use super::reader::Reader;
use super::{DeliverConfig, SECTION, dead_letters, destinations, topics};
use crate::api::TlsFiles;
use crate::config::key::Key;
use crate::config::settings::Settings;
use crate::config::values::kafka_name;
use crate::config::{Config, ConfigError, OWN_TOPICS};

/// The names that deliveries of the service use, and the text of their destinations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliverSection {
    /// Prefix of the consumer groups.
    pub group_prefix: String,
    /// The topics of transitions.
    pub topics: Vec<String>,
    /// The dead-letter topic of deliveries.
    pub dead_letters: String,
    /// The document that contains the section, and its name in problems.
    document: (String, String),
}

/// Returns the reader of the section, which reads it except for its destinations.
pub(in crate::config) fn section() -> impl FnOnce(&mut Settings, &'static Key) -> Option<Option<DeliverSection>> {
    |settings, key| match settings.document(key) {
        None => Some(None),
        Some(document) => read(settings, document).map(Some),
    }
}

fn read(settings: &mut Settings, (text, name): (String, String)) -> Option<DeliverSection> {
    let (mut reader, value) = Reader::parse(&text, &name, &settings.directory());
    if !reader.problems.is_empty() {
        settings.extend_problems(reader.problems);
        return None;
    }
    let mut fields = reader.fields(&value[SECTION], SECTION);
    let group_prefix = fields.parse(&mut reader, "group_prefix", kafka_name);
    let topics = topics(&mut reader, &mut fields, settings.text("topics.transitions").unwrap_or_default());
    let dead_letters = dead_letters(&mut reader, &mut fields, &topics);
    if let Some(own) = OWN_TOPICS.into_iter().find(|own| settings.text(own) == Some(&*dead_letters)) {
        let problem = format!("`{dead_letters}` is already used by {own}: give each its own topic");
        reader.problem(&fields.at("dead_letters"), &problem);
    }
    if fields.get("destinations").is_none() {
        reader.problem(&fields.at("destinations"), "missing: write at least one destination, see docs/deliver.md");
    }
    fields.reject_unknown(&mut reader);
    let group_prefix =
        group_prefix.unwrap_or_else(|| format!("{}-deliver", settings.text("kafka.group_id").unwrap_or_default()));
    let is_valid = reader.problems.is_empty();
    settings.extend_problems(reader.problems);
    is_valid.then_some(DeliverSection { group_prefix, topics, dead_letters, document: (text, name) })
}

impl Config {
    /// Reads the destinations of the service, with their presets and secrets; `None` if it has no section `deliver`.
    ///
    /// # Errors
    /// All problems found.
    pub fn deliveries(&self) -> Result<Option<DeliverConfig>, ConfigError> {
        let Some(section) = &self.deliver else { return Ok(None) };
        let (text, name) = &section.document;
        let (mut reader, value) = Reader::parse(text, name, &self.directory);
        let mut fields = reader.fields(&value[SECTION], SECTION);
        let destinations = destinations(&mut reader, &mut fields);
        if !reader.problems.is_empty() {
            return Err(ConfigError { problems: reader.problems });
        }
        let (kafka, http) = (&self.kafka, &self.http);
        Ok(Some(DeliverConfig {
            bootstrap_servers: kafka.bootstrap_servers.clone(),
            client: kafka.client.clone(),
            group_prefix: section.group_prefix.clone(),
            session_timeout: kafka.session_timeout,
            topics: section.topics.clone(),
            dead_letters: section.dead_letters.clone(),
            listen: http.listen,
            probes_listen: http.probes_listen,
            token_file: http.token_file.clone(),
            authorities: http.tls_ca_file.clone(),
            // Deliveries ask no other instance.
            tls: self.tls_files().map(|files| TlsFiles { ca: None, ..files }),
            log: self.log.clone(),
            destinations,
        }))
    }
}
