//! The integration tests: one binary, one module for each concern.

mod api;
mod architecture;
mod broker;
mod cel_agreement;
mod chaos;
mod check;
mod cli;
mod config;
mod docs;
mod docs_language;
mod exactly_once;
mod fuzz;
mod graph;
mod guide;
mod kafka_admin;
mod kafka_member;
mod model_change;
mod model_document;
mod model_edit;
mod model_schema;
mod oracle;
mod oracle_agreement;
mod replay;
mod run;
mod simulation;
mod wire;
