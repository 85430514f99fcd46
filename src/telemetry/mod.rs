//! What the service tells about itself: metrics and log lines. Decides nothing.

pub mod catalogue;
pub mod distribution;
pub mod health;
pub mod logging;
pub mod metrics;
mod process;
