//! `lifecycle top`: the view of the demo over a service that runs elsewhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::live::client::Client;
use crate::live::terminal;
use crate::service::stop_on_signals;

use super::Exit;
use super::number::whole;
use super::watch::{End, PREFERRED, Watch};

const EXAMPLES: &str = "\
Examples:
  lifecycle top
  lifecycle top --url http://127.0.0.1:8080 --token-file token --model retention
  lifecycle top --lines --seconds 60 > seen.txt

What is shown is what that one instance works on. ? shows the keys.";

/// Watch a running service: customers by stage, moves, transitions, one customer
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopArguments {
    /// Where the service is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The file with the token that the service asks for
    #[arg(long, value_name = "FILE", env = "LIFECYCLE_HTTP_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// The model to show first
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Print plain lines, also on a terminal
    #[arg(long)]
    lines: bool,
    /// Stop after so many seconds [default: at Ctrl-C]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>(1, 86_400))]
    seconds: Option<u64>,
}

/// Watches.
pub(super) fn run(arguments: &TopArguments) -> ExitCode {
    let exit = watch(arguments).unwrap_or_else(|(exit, problem)| {
        eprintln!("lifecycle top: {problem}");
        exit
    });
    exit.into()
}

fn watch(arguments: &TopArguments) -> Result<Exit, (Exit, String)> {
    let usage = |problem: String| (Exit::Usage, problem);
    let token = arguments.token_file.as_deref().map(token).transpose().map_err(usage)?;
    let client = Client::new(&arguments.url, token.as_deref()).map_err(usage)?;
    // Told at once, and not on a screen that is gone in a moment.
    let running = client.models().map_err(|problem| (Exit::Refused, problem))?;
    let names: Vec<&str> = running.iter().map(|model| model.name.as_str()).collect();
    let models = match &arguments.model {
        Some(model) if names.contains(&model.as_str()) => vec![model.clone()],
        Some(model) => return Err(usage(format!("no model {model} runs there: {} do", names.join(", ")))),
        None => {
            let preferred: Vec<&str> = PREFERRED.into_iter().filter(|name| names.contains(name)).collect();
            let shown = if preferred.is_empty() { names } else { preferred };
            shown.into_iter().map(str::to_owned).collect()
        }
    };
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(Arc::clone(&stop), Exit::Stuck as u8, terminal::restore).map_err(usage)?;
    if let Some(seconds) = arguments.seconds {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(seconds));
            stop.store(true, Ordering::Relaxed);
        });
    }
    let subject = client.url().trim_start_matches("http://").to_owned();
    let fills_screen = Watch::fills_screen(arguments.lines);
    let watch = Watch { client, subject: &subject, models, fills_screen };
    match watch.run(&stop, || None, |_| ()) {
        End::Asked(lines) if !fills_screen => drop(lines.farewell(&mut io::stdout().lock())),
        End::Asked(_) | End::Closed => {}
        End::Terminal(error) => {
            return Err(usage(format!("the terminal cannot be used: {error}; --lines does without")));
        }
    }
    Ok(Exit::Success)
}

fn token(path: &Path) -> Result<String, String> {
    let token = fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(token.trim().to_owned())
}
