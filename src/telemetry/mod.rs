//! Observability: metrics, logs and health. Processing does not depend on it.

pub mod catalogue;
pub mod health;
pub mod histogram;
pub mod log_writer;
pub mod logging;
pub mod metrics;
mod process;
