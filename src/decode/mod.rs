//! Decodes the bytes of a record of a source into JSON, which mappings read, and talks to schema registries.
//!
//! A source has a format and a framing; schemas come from a file or from a schema registry. Bytes that do not match are
//! a dead letter; a registry that does not answer is neither, and the record must be decoded again later. Bytes are
//! hostile: every decoder bounds depth, work and memory, and none panics.

mod avro;
mod avro_schema;
mod cloud_events;
mod format;
mod framing;
mod message_reader;
mod protobuf;
mod registration;
mod registry;

use std::borrow::Cow;

use serde_json::Value;

use crate::partition::DeadLetterReason;
use crate::wire::touchpoint_json::DeadLetterCause;

pub use format::{Decoder, Format, SchemaSource};
pub use framing::Framing;
pub use registration::{NewSchema, RegisteredVersion, SchemaType};
pub use registry::{Registry, RegistryOptions};

/// Why a record has no value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The record is not valid.
    DeadLetter(DeadLetterCause),
    /// The schema registry did not answer, for this reason.
    Unavailable(String),
}

impl DecodeError {
    fn bad_encoding(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::DeadLetter(DeadLetterCause { reason: DeadLetterReason::BadEncoding, detail: detail.into() })
    }
}

/// A record header: name and value.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// Decodes JSON text.
fn decode_json(bytes: &[u8]) -> Result<Value, DecodeError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let detail = format!("the record is not valid JSON at line {}, column {}", error.line(), error.column());
        DecodeError::DeadLetter(DeadLetterCause { reason: DeadLetterReason::NotJson, detail: detail.into() })
    })
}
