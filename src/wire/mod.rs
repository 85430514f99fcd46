//! Bytes to words and back: one file for each format.
//!
//! The only folder that knows serde and Protobuf. What is read is checked here, so that the floors above and below trust it;
//! what is written is a contract, described in `docs/contracts.md` and `proto/`. Imports the pure floors alone: Kafka's
//! types are translated by the runtime.

pub mod changelog;
pub mod cloud_events;
pub mod dead_letter;
pub mod decimal;
pub mod header;
pub mod model_file;
pub mod offset_metadata;
mod property_json;
pub mod proto;
pub mod time;
pub mod touchpoint_json;
pub mod transition;
pub mod transition_json;
pub mod transition_protobuf;
pub mod transition_text;
