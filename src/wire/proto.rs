//! Rust types of the messages in `proto/`, which `build.rs` generates.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated code; the fields carry the documentation of proto/"
)]

include!(concat!(env!("OUT_DIR"), "/proto.rs"));
