//! `lifecycle top`: shows a running service in the terminal, over its HTTP API. Uses the same view as the demo.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::service::stop_on_signals;

use super::number::whole_number_in;
use super::service_arguments::ServiceArguments;
use super::watch::{PREFERRED_MODELS, Watch, WatchEnd};
use super::{Exit, print_error};

const EXAMPLES: &str = "\
Examples:
  lifecycle top
  lifecycle top --config lifecycle.yaml
  lifecycle top --url http://127.0.0.1:8080 --token-file token --model retention
  lifecycle top --lines --seconds 60 > seen.txt

Shows the partitions of one instance, not of the whole consumer group. Press ? for the keys.";

/// Watch a running service: customers by stage, moves, transitions, one customer
///
/// Fills the terminal, or prints lines if standard output is not a terminal. Reads the HTTP API of the service.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopArguments {
    #[command(flatten)]
    service: ServiceArguments,
    /// Model to show first
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Print plain lines instead of filling the terminal
    #[arg(long)]
    lines: bool,
    /// Stop after this many seconds [default: run until Ctrl-C]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole_number_in::<u64>(1, 86_400))]
    seconds: Option<u64>,
}

/// Connects to the service and shows it.
pub(super) fn run(arguments: &TopArguments) -> ExitCode {
    let exit = watch(arguments).unwrap_or_else(|(exit, problem)| {
        print_error(format_args!("lifecycle top: {problem}"));
        exit
    });
    exit.into()
}

fn watch(arguments: &TopArguments) -> Result<Exit, (Exit, String)> {
    let usage = |problem: String| (Exit::Usage, problem);
    let client = arguments.service.client()?;
    // Connect before the screen opens, so that an error message stays visible.
    let running = client.models().map_err(|problem| (Exit::Refused, problem))?;
    let names: Vec<&str> = running.iter().map(|model| model.name.as_str()).collect();
    let models = match &arguments.model {
        Some(model) if names.contains(&model.as_str()) => vec![model.clone()],
        Some(model) => {
            return Err(usage(format!("the service does not run the model {model}; it runs {}", names.join(", "))));
        }
        None => {
            let preferred: Vec<&str> = PREFERRED_MODELS.into_iter().filter(|name| names.contains(name)).collect();
            let shown = if preferred.is_empty() { names } else { preferred };
            shown.into_iter().map(str::to_owned).collect()
        }
    };
    let stop = Arc::new(AtomicBool::new(false));
    let is_full_screen = Watch::is_full_screen(arguments.lines);
    stop_on_signals(Arc::clone(&stop), Exit::Stuck as u8, Watch::restore(is_full_screen)).map_err(usage)?;
    if let Some(seconds) = arguments.seconds {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(seconds));
            stop.store(true, Ordering::Relaxed);
        });
    }
    let title = client.url().trim_start_matches("http://").trim_start_matches("https://").to_owned();
    let watch = Watch { client, title: &title, models, is_full_screen };
    match watch.run(&stop, || None, |_| ()) {
        WatchEnd::Stopped(lines) if !is_full_screen => drop(lines.print_totals(&mut io::stdout().lock())),
        WatchEnd::Stopped(_) | WatchEnd::ReaderClosed => {}
        WatchEnd::Terminal(error) => {
            return Err(usage(format!("cannot use the terminal: {error}; try --lines")));
        }
    }
    Ok(Exit::Success)
}
