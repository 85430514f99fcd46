//! Serialization: one file for each format.
//!
//! Only this folder uses Protobuf, and only this folder decodes untrusted input with serde. Decoders validate their
//! input, so that the other folders can trust it. The output formats are public contracts, described in
//! `docs/contracts.md` and `proto/`. Imports only `lifecycle` and `partition`; the runtime converts to and from Kafka's
//! types.

pub mod asyncapi;
pub mod changelog;
pub mod cloud_events;
pub mod current_stages;
pub mod customer_id;
pub mod dead_letter;
pub mod decimal;
pub mod delivery_progress;
pub mod hand_over;
pub mod header;
mod json_writer;
pub mod model_file;
pub mod offset_metadata;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod percent_encoding;
mod property_json;
pub mod proto;
pub mod record_schema;
pub mod refused_link;
pub mod span;
mod text_json;
pub mod time;
mod touchpoint_hint;
mod touchpoint_ids;
pub mod touchpoint_json;
pub mod trace_context;
pub mod transition;
pub mod transition_json;
pub mod transition_protobuf;
pub mod transition_reader;
pub mod transition_text;
pub mod transition_value;
