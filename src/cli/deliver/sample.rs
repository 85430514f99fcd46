//! `lifecycle deliver test`: shows or sends the requests of one transition.

use std::fmt::Write as _;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::DeliverFile;
use crate::cli::{Exit, print, print_error};
use crate::deliver::Sender;
use crate::deliver::transition::Transition;
use crate::kafka::Record;
use crate::runtime::WallClock;

/// Maximum size of the file of a transition, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Show what a destination would be sent for a transition, or send it
///
/// Secrets are replaced by ***. With --send the requests are sent once, without retries.
#[derive(Args, Debug)]
pub(super) struct TestArguments {
    /// Name of the destination
    destination: String,
    #[command(flatten)]
    config: DeliverFile,
    /// File with a transition as published, in JSON
    #[arg(long, value_name = "FILE")]
    transition: PathBuf,
    /// Send the requests
    #[arg(long)]
    send: bool,
}

pub(super) fn run(arguments: &TestArguments) -> Exit {
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    match show(arguments, &config) {
        Ok(exit) => exit,
        Err((exit, problem)) => {
            print_error(format_args!("lifecycle deliver test: {problem}"));
            exit
        }
    }
}

fn show(arguments: &TestArguments, config: &crate::config::deliver::DeliverConfig) -> Result<Exit, (Exit, String)> {
    let name = &arguments.destination;
    let configured = config
        .destinations
        .iter()
        .find(|it| it.destination.name == *name)
        .ok_or_else(|| (Exit::Usage, super::redrive::unknown(config, name)))?;
    let usage = |problem: String| (Exit::Usage, problem);
    let path = arguments.transition.display();
    let mut value = Vec::new();
    std::fs::File::open(&arguments.transition)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut value))
        .map_err(|error| usage(format!("{path} cannot be read: {error}")))?;
    let clock = WallClock::start();
    let record = Record {
        partition: 0,
        offset: 0,
        timestamp_ms: Some(clock.now().wall.as_millis()),
        key: None,
        value: Some(value),
        headers: Vec::new(),
    };
    let transition = Transition::read(record).map_err(|unreadable| usage(format!("{path}: {}", unreadable.1)))?;
    let destination = Arc::new(configured.destination.clone());
    let sender =
        Sender::new(Arc::clone(&destination), clock, Arc::default()).map_err(|error| usage(error.to_string()))?;
    let mut text = String::new();
    if let Some(filter) = &destination.filter {
        match filter.is_true(&[&transition.value, &destination.settings]) {
            Ok(true) => text.push_str("filter: holds\n"),
            Ok(false) => text.push_str("filter: does not hold; this transition is not delivered\n"),
            Err(error) => return Err((Exit::Problems, format!("filter: {error}"))),
        }
    }
    let previews = sender.preview(&transition, &configured.secrets).map_err(|problem| (Exit::Problems, problem))?;
    for preview in previews {
        writeln!(text, "\n# {}\n{}", preview.name, preview.line).expect("writing to memory cannot fail");
        for (name, value) in preview.headers {
            writeln!(text, "{name}: {value}").expect("writing to memory cannot fail");
        }
        writeln!(text, "\n{}", preview.body).expect("writing to memory cannot fail");
    }
    if arguments.send {
        match sender.send_one(transition) {
            Ok(()) => text.push_str("\nsent: delivered\n"),
            Err(problem) => {
                writeln!(text, "\nsent: {}", problem.what).expect("writing to memory cannot fail");
                let excerpt = String::from_utf8_lossy(&problem.excerpt).into_owned();
                if !excerpt.is_empty() {
                    writeln!(text, "response: {excerpt}").expect("writing to memory cannot fail");
                }
                return Ok(match print(&text) {
                    Exit::Success => Exit::Problems,
                    failed => failed,
                });
            }
        }
    }
    Ok(print(&text))
}
