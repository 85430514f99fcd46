//! `lifecycle deliver redrive`: delivers the dead letters of a destination again.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::DeliverFile;
use crate::cli::{Exit, print, print_error};
use crate::config::deliver::DeliverConfig;
use crate::service::{delivery, stop_on_signals};
use crate::telemetry::logging;

/// Deliver the dead letters of a destination again
///
/// Reads the dead-letter topic from where the last redrive ended, and ends when all dead letters that exist at the
/// start are done. A delivery that is rejected again becomes a new dead letter. The idempotency keys are the same as
/// before.
#[derive(Args, Debug)]
pub(super) struct RedriveArguments {
    /// Name of the destination
    destination: String,
    #[command(flatten)]
    config: DeliverFile,
}

pub(super) fn run(arguments: &RedriveArguments) -> Exit {
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let Some(configured) = config.destinations.iter().find(|it| it.destination.name == arguments.destination) else {
        print_error(format_args!("lifecycle deliver redrive: {}", unknown(&config, &arguments.destination)));
        return Exit::Usage;
    };
    let stop = Arc::new(AtomicBool::new(false));
    let started = logging::start(config.log.format, &config.log.level)
        .and_then(|_| stop_on_signals(Arc::clone(&stop), Exit::Stuck as u8, || ()));
    if let Err(problem) = started {
        print_error(format_args!("lifecycle deliver redrive: {problem}"));
        return Exit::Usage;
    }
    match delivery::redrive(&config, &configured.destination, &stop) {
        Ok(snapshot) => {
            let text = format!("{} delivered, {} rejected again\n", snapshot.delivered, snapshot.dead);
            match print(&text) {
                Exit::Success if snapshot.dead > 0 => Exit::Problems,
                exit => exit,
            }
        }
        Err(error) => {
            print_error(format_args!("lifecycle deliver redrive: {error}"));
            Exit::Refused
        }
    }
}

/// Returns the message about a destination that is not configured.
pub(super) fn unknown(config: &DeliverConfig, name: &str) -> String {
    let names: Vec<&str> = config.destinations.iter().map(|it| it.destination.name.as_str()).collect();
    format!("there is no destination `{name}`; the configuration has {}", names.join(", "))
}
