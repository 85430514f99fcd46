//! Observability: the snapshots of the workers, metrics and logs. Processing does not depend on it.

pub mod catalogue;
pub mod deliveries;
pub mod histogram;
pub mod ingest;
pub mod log_writer;
pub mod logging;
pub mod metrics;
mod process;
pub mod report;
pub mod snapshot;
pub mod status_registry;
