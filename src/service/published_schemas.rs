//! The bytes in front of the records that are written in Confluent's wire format: registers their schemas at the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Config;
use crate::decode::{Framing, NewSchema, Registry};
use crate::runtime::SchemaPrefixes;
use crate::wire::record_schema::{CURRENT_STAGES_FILE, TRANSITION_FILE, proto_file};

/// Registers the schemas of transitions and current stages as subjects named after their topics, and returns what
/// precedes the values of each topic; nothing with `publish.framing: plain`.
///
/// # Errors
/// The registry does not answer, or refuses a schema.
pub fn published_schemas(config: &Config) -> Result<SchemaPrefixes, String> {
    if config.publish.framing == Framing::Plain {
        return Ok(SchemaPrefixes::default());
    }
    let options = config.registry_options()?.ok_or("publish.framing: confluent needs registry.url")?;
    let registry = Registry::new(&options)?;
    let topics = &config.topics;
    let mut prefixes = BTreeMap::new();
    let mut add = |topic: &str, schema: &NewSchema<'_>| -> Result<(), String> {
        let registered = registry.register(&format!("{topic}-value"), schema)?;
        tracing::info!(topic, schema = registered.id, version = registered.version, "schema registered");
        prefixes.insert(Arc::from(topic), prefix(registered.id));
        Ok(())
    };
    let transition = NewSchema { text: proto_file(TRANSITION_FILE), references: &[] };
    let routes = config.publish.routes.iter().map(|route| &route.topic);
    for topic in [&topics.transitions, &topics.replay].into_iter().chain(routes) {
        add(topic, &transition)?;
    }
    if let Some(topic) = &topics.current_stages {
        let imported = registry.register(TRANSITION_FILE, &transition)?;
        let references = [(TRANSITION_FILE, imported.version)];
        add(topic, &NewSchema { text: proto_file(CURRENT_STAGES_FILE), references: &references })?;
    }
    Ok(SchemaPrefixes(prefixes))
}

/// Returns the prefix of Confluent's wire format: a zero byte, the id, and the path of the first message in the file.
fn prefix(id: u32) -> [u8; 6] {
    let [a, b, c, d] = id.to_be_bytes();
    [0, a, b, c, d, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_names_the_schema_and_its_first_message() {
        assert_eq!(prefix(0x0102_0304), [0, 1, 2, 3, 4, 0]);
        for (file, message) in
            [(TRANSITION_FILE, "message Transition {"), (CURRENT_STAGES_FILE, "message CurrentStages {")]
        {
            let first = proto_file(file).lines().find(|line| line.starts_with("message "));
            assert_eq!(first, Some(message));
        }
    }
}
