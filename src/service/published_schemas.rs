//! The bytes in front of the records that are written in Confluent's wire format: registers their schemas at the start.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Config;
use crate::decode::{Framing, NewSchema, Registry, SchemaType};
use crate::lifecycle::model_set::ModelSet;
use crate::runtime::SchemaPrefixes;
use crate::wire::record_schema::{
    CURRENT_STAGES_FILE, TRANSITION_FILE, current_stages_schema, proto_file, transition_schema,
};
use crate::wire::transition::RecordFormat;

/// Registers the schemas of transitions and current stages as subjects named after their topics, and returns what
/// precedes the values of each topic; nothing with `publish.framing: plain`. The JSON Schema has the types of the
/// attributes of `models`.
///
/// # Errors
/// The registry does not answer, or refuses a schema.
pub fn published_schemas(config: &Config, models: &ModelSet) -> Result<SchemaPrefixes, String> {
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
        prefixes.insert(Arc::from(topic), prefix(schema.schema_type, registered.id));
        Ok(())
    };
    let (schema_type, transition) = match config.publish.format {
        RecordFormat::Json => (SchemaType::Json, transition_schema(&models.attribute_types()).to_string().into()),
        RecordFormat::Protobuf => (SchemaType::Protobuf, Cow::Borrowed(proto_file(TRANSITION_FILE))),
    };
    let transition = NewSchema { schema_type, text: &transition, references: &[] };
    let routes = config.publish.routes.iter().map(|route| &route.topic);
    for topic in [&topics.transitions, &topics.replay].into_iter().chain(routes) {
        add(topic, &transition)?;
    }
    match (&topics.current_stages, schema_type) {
        (None, _) => {}
        (Some(topic), SchemaType::Json) => {
            add(topic, &NewSchema { schema_type, text: &current_stages_schema().to_string(), references: &[] })?;
        }
        (Some(topic), SchemaType::Protobuf) => {
            let imported = registry.register(TRANSITION_FILE, &transition)?;
            let references = [(TRANSITION_FILE, imported.version)];
            add(topic, &NewSchema { schema_type, text: proto_file(CURRENT_STAGES_FILE), references: &references })?;
        }
    }
    Ok(SchemaPrefixes(prefixes))
}

/// Returns the prefix of Confluent's wire format: a zero byte, the id, and for Protobuf the path of the first message
/// in the file.
fn prefix(schema_type: SchemaType, id: u32) -> Box<[u8]> {
    let [a, b, c, d] = id.to_be_bytes();
    match schema_type {
        SchemaType::Json => Box::new([0, a, b, c, d]),
        SchemaType::Protobuf => Box::new([0, a, b, c, d, 0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_names_the_schema_and_its_first_message() {
        assert_eq!(*prefix(SchemaType::Json, 0x0102_0304), [0, 1, 2, 3, 4]);
        assert_eq!(*prefix(SchemaType::Protobuf, 0x0102_0304), [0, 1, 2, 3, 4, 0]);
        for (file, message) in
            [(TRANSITION_FILE, "message Transition {"), (CURRENT_STAGES_FILE, "message CurrentStages {")]
        {
            let first = proto_file(file).lines().find(|line| line.starts_with("message "));
            assert_eq!(first, Some(message));
        }
    }
}
