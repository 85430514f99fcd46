//! Bytes to words and back: one file for each format. The only folder that knows serde and the Protobuf messages.

pub mod model_file;
