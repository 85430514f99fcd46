#![doc = include_str!("../ARCHITECTURE.md")]
// A write to a closed pipe or a full disk must not panic.
#![deny(clippy::print_stderr, clippy::print_stdout)]

pub mod finding;
pub mod lifecycle;

pub mod partition;

pub mod http_client;
pub mod kafka;
pub mod telemetry;
pub mod wire;

pub mod decode;
pub mod mapping;

pub mod graph;
#[cfg(feature = "tools")]
pub mod live;
pub mod replay;
pub mod runtime;
pub mod scenario;
#[cfg(feature = "tools")]
pub mod workload;

pub mod deliver;
pub mod ingest;

pub mod api;

pub mod cli;
pub mod config;
pub mod service;
