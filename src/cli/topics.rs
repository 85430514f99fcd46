//! `lifecycle topics`: makes the topics that the service needs, and says what is wrong with them.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use crate::config::Config;
use crate::kafka::Error;
use crate::kafka::admin::Creation;
use crate::service::topics;

use super::config::ConfigFile;
use super::number::whole;
use super::{Exit, print};

const EXAMPLES: &str = "\
Examples:
  lifecycle topics --create --partitions 12 --config lifecycle.yaml
  lifecycle topics --verify --config lifecycle.yaml

Exit codes: 1 when the service does not start on the topics, 3 when the cluster does not answer.";

/// Make the topics that the service needs, or say what is wrong with them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopicsArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Make the topics that are missing, then look at all of them
    #[arg(long)]
    create: bool,
    /// Look at the topics and print everything that is wrong with them
    #[arg(long)]
    verify: bool,
    /// How many partitions new topics get, unless the topic of touchpoints is there already and has its own number
    #[arg(long, value_name = "N", default_value_t = 12, allow_negative_numbers = true, value_parser = whole::<i32>(1, 100_000))]
    partitions: i32,
    /// How many replicas new topics get [default: what the cluster gives]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<i32>(1, 100))]
    replication: Option<i32>,
}

/// Makes topics and looks at them.
pub(super) fn run(arguments: &TopicsArguments) -> ExitCode {
    if !arguments.create && !arguments.verify {
        eprintln!(
            "lifecycle topics: say what to do: --create makes the topics that are missing and looks at all of them, --verify \
             looks at them and changes nothing"
        );
        return Exit::Usage.into();
    }
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    match create_and_verify(arguments, &config) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("lifecycle topics: {error}");
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
                Creation::Existed => "there already",
            };
            _ = writeln!(text, "{topic}: {creation}");
        }
        // Told at once: looking at the topics may fail.
        let printed = print(&text);
        if printed != Exit::Success {
            return Ok(printed);
        }
        text.clear();
    }
    // Asked once: a person waits for the answer.
    let findings = topics::verify(config, || true)?;
    for finding in &findings {
        _ = writeln!(text, "{finding}");
    }
    if findings.is_empty() {
        text.push_str("the topics are good\n");
    }
    let printed = print(&text);
    Ok(if printed == Exit::Success && topics::are_refused(&findings) { Exit::Problems } else { printed })
}
