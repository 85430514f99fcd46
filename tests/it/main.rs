//! The integration tests: one binary, one module for each concern.

mod architecture;
mod broker;
mod check;
mod cli;
mod config;
mod oracle;
mod wire;
