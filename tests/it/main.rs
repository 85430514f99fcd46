//! The integration tests: one binary, one module for each concern.

mod architecture;
mod broker;
mod check;
mod cli;
mod config;
mod kafka_member;
mod model_document;
mod model_edit;
mod oracle;
mod oracle_agreement;
mod wire;
