//! The messages of `proto/`, as Rust types; compiled by `build.rs`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated; the documentation is in proto/ and comes with the fields"
)]

include!(concat!(env!("OUT_DIR"), "/proto.rs"));
