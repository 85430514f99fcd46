//! `lifecycle ingest`: runs the ingest workers alone, in a process of their own.

use std::process::ExitCode;

use clap::Args;

use super::config::ConfigFile;
use super::run::{self, Part};
use super::{Exit, print_error};

const EXAMPLES: &str = "\
Examples:
  lifecycle ingest --config lifecycle.yaml
  lifecycle run --no-ingest --config lifecycle.yaml

The second command runs the rest of the service. Both use the same configuration file; give each process its own \
http.listen, for example with LIFECYCLE_HTTP_LISTEN.";

/// Read the sources and write their touchpoints to the touchpoint topic
///
/// `lifecycle run` does this too, unless it is started with --no-ingest. Touchpoints, dead letters and the offsets of
/// the sources are committed in one Kafka transaction, so each record of a source is written exactly once.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct IngestArguments {
    #[command(flatten)]
    config: ConfigFile,
}

/// Loads the configuration and ingests until the process is stopped.
pub(super) fn run(arguments: &IngestArguments) -> ExitCode {
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    if config.rekeyed_sources().next().is_none() {
        let found = if config.sources.is_empty() {
            "`sources` is empty"
        } else {
            "the workers of `lifecycle run` read the only source directly"
        };
        print_error(format_args!(
            "lifecycle ingest: {found}, so there is nothing to read: add a source, see docs/sources.md"
        ));
        return Exit::Usage.into();
    }
    run::run_parts("lifecycle ingest", &config, arguments.config.path(), &[Part::Ingest])
}
