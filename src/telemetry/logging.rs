//! Log lines on standard error, for people or for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What the `directives` let through.
///
/// # Errors
/// What is wrong with them.
pub fn filter(directives: &str) -> Result<EnvFilter, String> {
    // The filter takes a lone word for the name of a module: a misspelled level would silence everything.
    let lone =
        directives.split(',').map(str::trim).find(|it| !it.contains(['=', '[']) && it.parse::<LevelFilter>().is_err());
    if let Some(word) = lone {
        return Err(format!(
            "`{word}` is no level: write off, error, warn, info, debug or trace, or a module as `module=level`"
        ));
    }
    EnvFilter::try_new(directives).map_err(|error| format!("{error}; write a level, such as info"))
}

/// Begins to write log lines: those that `directives` let through (`info`, or `info,lifecycle_processor::runtime=debug`).
///
/// # Errors
/// What is wrong with the directives.
pub fn start(format: LogFormat, directives: &str) -> Result<(), String> {
    let lines = fmt().with_env_filter(filter(directives)?).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    // Only a second start within one process fails; the lines of the first go on.
    drop(started);
    Ok(())
}
