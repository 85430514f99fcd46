//! `lifecycle topics`: creates the topics that the service needs, and verifies their settings.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use crate::config::Config;
use crate::kafka::Error;
use crate::kafka::cluster::admin::Creation;
use crate::service::topics;

use super::config::ConfigFile;
use super::number::whole_number_in;
use super::{Exit, print, print_error};

const EXAMPLES: &str = "\
Examples:
  lifecycle topics --create --partitions 12 --config lifecycle.yaml
  lifecycle topics --verify --config lifecycle.yaml

Exit codes: 1 if the service would refuse to start with these topics, 3 if Kafka is unreachable.";

/// Create or verify the topics that the service needs
///
/// The topic names come from the configuration. Existing topics are never changed. The number of partitions cannot be
/// changed later: see docs/before-the-first-start.md.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopicsArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Create the missing topics, then verify all of them
    #[arg(long)]
    create: bool,
    /// Verify the topics and print every problem; changes nothing
    #[arg(long)]
    verify: bool,
    /// Partition count of new topics. If the touchpoint topic exists, its partition count is used instead
    #[arg(long, value_name = "N", default_value_t = 12, allow_negative_numbers = true, value_parser = whole_number_in::<i32>(1, 100_000))]
    partitions: i32,
    /// Replication factor of new topics [default: the broker's default]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole_number_in::<i32>(1, 100))]
    replication: Option<i32>,
}

/// Creates and verifies the topics.
pub(super) fn run(arguments: &TopicsArguments) -> ExitCode {
    if !arguments.create && !arguments.verify {
        print_error(format_args!(
            "lifecycle topics: choose an action: --create creates the missing topics and verifies all of them, --verify \
             verifies them and changes nothing"
        ));
        return Exit::Usage.into();
    }
    let config = match arguments.config.load_for_kafka() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    match create_and_verify(arguments, &config) {
        Ok(exit) => exit.into(),
        Err(error) => {
            print_error(format_args!("lifecycle topics: {error}"));
            Exit::Refused.into()
        }
    }
}

fn create_and_verify(arguments: &TopicsArguments, config: &Config) -> Result<Exit, Error> {
    let mut text = String::new();
    if arguments.create {
        for (topic, creation) in topics::create(config, arguments.partitions, arguments.replication)? {
            let creation = match creation {
                Creation::Created => "created",
                Creation::Existed => "already exists",
            };
            _ = writeln!(text, "{topic}: {creation}");
        }
        // Print before verifying, which may fail.
        let printed = print(&text);
        if printed != Exit::Success {
            return Ok(printed);
        }
        text.clear();
    }
    // No retries: the user is waiting.
    let findings = topics::verify(config, || true)?;
    for finding in &findings {
        _ = writeln!(text, "{finding}");
    }
    if findings.is_empty() {
        text.push_str("all topics are correct\n");
    }
    let printed = print(&text);
    Ok(if printed == Exit::Success && topics::prevent_start(&findings) { Exit::Problems } else { printed })
}
