//! Log output on standard error: format, level and filter. The messages are listed in docs/logs.md.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

use super::log_writer::LogWriter;

/// Format of log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Human-readable text.
    Text,
    /// One JSON object per line.
    Json,
}

/// Parses filter directives such as `info,kafka=error`.
///
/// # Errors
/// A description of the invalid directive.
pub fn filter(directives: &str) -> Result<EnvFilter, String> {
    // The filter treats an unknown word as a module name, so a misspelled level would disable all other messages.
    let invalid =
        directives.split(',').map(str::trim).find(|it| !it.contains(['=', '[']) && it.parse::<LevelFilter>().is_err());
    if let Some(word) = invalid {
        return Err(format!(
            "`{word}` is not a level: use off, error, warn, info, debug or trace, or `module=level` for one module"
        ));
    }
    EnvFilter::try_new(directives).map_err(|error| format!("{error}; use a level such as info"))
}

/// Starts logging. `directives` select the messages, for example `info,lifecycle_processor::runtime=debug`.
///
/// # Errors
/// A description of the invalid directive.
pub fn start(format: LogFormat, directives: &str) -> Result<(), String> {
    // An error of the writer must not be printed: printing to a full disk or a closed pipe panics.
    let lines = fmt().with_env_filter(filter(directives)?).with_writer(LogWriter).log_internal_errors(false);
    let started = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    // It fails only if logging has already been started in this process, as in tests; the first start stays in effect.
    drop(started);
    Ok(())
}
