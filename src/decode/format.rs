//! The decoder of a source: format, framing and where schemas come from.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use prost_reflect::MessageDescriptor;
use serde_json::Value;

use crate::partition::DeadLetterReason;
use crate::wire::touchpoint_json::DeadLetterCause;

use super::avro_schema::AvroSchema;
use super::framing::{Framing, SchemaId, split};
use super::protobuf::{ProtobufSchema, TOUCHPOINT_MESSAGE};
use super::registry::{LookupError, RegisteredSchema, Registry};
use super::{DecodeError, Header, avro, cloud_events, decode_json, protobuf};

/// Maximum number of compiled schemas that a decoder keeps.
const SCHEMAS_MAX: usize = 1_000;

/// The format of a source's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// JSON.
    Json,
    /// `CloudEvents`, in binary or structured mode.
    CloudEvents,
    /// Avro.
    Avro,
    /// Protobuf.
    Protobuf,
}

impl Format {
    /// Whether a value cannot be decoded without its schema.
    #[must_use]
    pub fn has_schema(self) -> bool {
        matches!(self, Self::Avro | Self::Protobuf)
    }
}

/// Where the schemas of a source come from.
#[derive(Clone, Debug)]
pub enum SchemaSource {
    /// The format needs none; for Protobuf, the contract of touchpoints.
    None,
    /// A file: path and content.
    File(std::path::PathBuf, Vec<u8>),
    /// The schema that each record names.
    Registry(Arc<Registry>),
}

/// Decodes the values of one source.
#[derive(Clone)]
pub struct Decoder {
    format: Format,
    framing: Framing,
    schema: Schema,
    /// The compiled schemas of the registry, or why one cannot be used.
    compiled: HashMap<SchemaId, Result<Compiled, String>>,
}

#[derive(Clone)]
enum Schema {
    None,
    Avro(Arc<AvroSchema>),
    Protobuf(ProtobufSchema, MessageDescriptor),
    Registry(Arc<Registry>),
}

#[derive(Clone)]
enum Compiled {
    Avro(Arc<AvroSchema>),
    Protobuf(ProtobufSchema),
}

impl fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, framing, .. } = self;
        formatter.debug_struct("Decoder").field("format", format).field("framing", framing).finish_non_exhaustive()
    }
}

impl Decoder {
    /// Creates a decoder. `message` is the full name of a Protobuf message.
    ///
    /// # Errors
    /// What is wrong with the schema, and what to do.
    pub fn new(format: Format, framing: Framing, source: SchemaSource, message: Option<&str>) -> Result<Self, String> {
        let schema = match (format, source) {
            (Format::Json | Format::CloudEvents, _) => Schema::None,
            (_, SchemaSource::Registry(registry)) => Schema::Registry(registry),
            (Format::Avro, SchemaSource::File(path, bytes)) => {
                let schema = std::str::from_utf8(&bytes)
                    .map_err(|_| "not a valid Avro schema: not UTF-8".to_owned())
                    .and_then(|text| AvroSchema::parse(text, &[]));
                Schema::Avro(Arc::new(schema.map_err(|problem| format!("{}: {problem}", path.display()))?))
            }
            (Format::Avro, SchemaSource::None) => {
                return Err(
                    "Avro needs a schema: set `schema` to a file, or `framing: confluent` with a registry".to_owned()
                );
            }
            (Format::Protobuf, SchemaSource::File(path, bytes)) => {
                let schema = ProtobufSchema::read(&path, &bytes)?;
                let message = named_message(&schema, message, &path)?;
                Schema::Protobuf(schema, message)
            }
            (Format::Protobuf, SchemaSource::None) => {
                let name = message.unwrap_or(TOUCHPOINT_MESSAGE);
                let schema = ProtobufSchema::touchpoint()?;
                let found = schema.message(name).ok_or_else(|| {
                    format!("the message {name} needs a schema: set `schema` to a descriptor set or a .proto file")
                })?;
                Schema::Protobuf(schema, found)
            }
        };
        Ok(Self { format, framing, schema, compiled: HashMap::new() })
    }

    /// Whether the JSON that a record decodes to is the record itself.
    #[must_use]
    pub fn is_plain_json(&self) -> bool {
        self.format == Format::Json && self.framing == Framing::Plain
    }

    /// Decodes the value of a record.
    ///
    /// # Errors
    /// The record is a dead letter, or the registry does not answer.
    pub fn decode(&mut self, value: &[u8], headers: &[Header<'_>]) -> Result<Value, DecodeError> {
        if value.is_empty() && self.format != Format::CloudEvents {
            let detail = "the record has no value".into();
            return Err(DecodeError::DeadLetter(DeadLetterCause { reason: DeadLetterReason::Empty, detail }));
        }
        let framed = match self.framing {
            Framing::Plain => None,
            Framing::Confluent => Some(split(value, headers, self.format == Format::Protobuf)?),
        };
        let payload = framed.as_ref().map_or(value, |framed| framed.payload);
        match (self.format, &self.schema) {
            (Format::Json, _) => decode_json(payload),
            (Format::CloudEvents, _) => cloud_events::decode(payload, headers),
            (_, Schema::Avro(schema)) => avro::decode(schema, payload),
            (_, Schema::Protobuf(schema, message)) => protobuf::decode(schema, message, payload),
            (format, Schema::Registry(registry)) => {
                let Some(framed) = framed else {
                    return Err(DecodeError::bad_encoding("the record names no schema: set `framing: confluent`"));
                };
                let registry = Arc::clone(registry);
                match self.compiled(format, &registry, framed.schema)? {
                    Compiled::Avro(schema) => avro::decode(schema, payload),
                    Compiled::Protobuf(schema) => match schema.message_at(&framed.message) {
                        Some(message) => protobuf::decode(schema, &message, payload),
                        None => Err(DecodeError::bad_encoding(format!(
                            "the schema {} has no message at the indexes {:?}",
                            framed.schema, framed.message
                        ))),
                    },
                }
            }
            (_, Schema::None) => Err(DecodeError::bad_encoding("the source has no schema")),
        }
    }

    /// Returns a schema of the registry, compiled.
    fn compiled(&mut self, format: Format, registry: &Registry, id: SchemaId) -> Result<&Compiled, DecodeError> {
        if !self.compiled.contains_key(&id) {
            let schema = registry.schema(id).map_err(|error| match error {
                LookupError::Unavailable(problem) => DecodeError::Unavailable(problem),
                LookupError::Unknown => {
                    let detail = format!("the schema registry does not know the schema {id}").into();
                    DecodeError::DeadLetter(DeadLetterCause { reason: DeadLetterReason::UnknownSchema, detail })
                }
                LookupError::TooLarge(problem) => unusable(id, &problem),
            })?;
            if self.compiled.len() >= SCHEMAS_MAX {
                self.compiled.clear();
            }
            self.compiled.insert(id, compile(format, &schema));
        }
        self.compiled[&id].as_ref().map_err(|problem| unusable(id, problem))
    }
}

fn unusable(id: SchemaId, problem: &str) -> DecodeError {
    DecodeError::bad_encoding(format!("the schema {id} cannot be used: {problem}"))
}

fn compile(format: Format, schema: &RegisteredSchema) -> Result<Compiled, String> {
    let RegisteredSchema { kind, text, references } = schema;
    match (format, kind.as_str()) {
        (Format::Avro, "AVRO") => {
            let references: Vec<_> = references.iter().map(|(_, text)| text.clone()).collect();
            Ok(Compiled::Avro(Arc::new(AvroSchema::parse(text, &references)?)))
        }
        (Format::Protobuf, "PROTOBUF") => Ok(Compiled::Protobuf(ProtobufSchema::parse(text, references)?)),
        (_, kind) => Err(format!("its type is {kind}, which is not the format of the source")),
    }
}

fn named_message(schema: &ProtobufSchema, message: Option<&str>, path: &Path) -> Result<MessageDescriptor, String> {
    let name = message.ok_or("set `message` to the full name of the message, such as shop.Order")?;
    schema.message(name).ok_or_else(|| format!("{} has no message {name}", path.display()))
}
