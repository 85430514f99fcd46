//! Log output on standard error: format, level and filter. The messages are listed in docs/logs.md.

use std::fmt;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::reload;

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

/// Changes the filter of a started log.
pub struct LogLevel(Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>);

impl LogLevel {
    /// Replaces the directives.
    ///
    /// # Errors
    /// A description of the invalid directive.
    pub fn set(&self, directives: &str) -> Result<(), String> {
        (self.0)(filter(directives)?)
    }
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LogLevel")
    }
}

/// Starts logging. `directives` select the messages, for example `info,lifecycle_processor::runtime=debug`.
///
/// # Errors
/// A description of the invalid directive.
pub fn start(format: LogFormat, directives: &str) -> Result<LogLevel, String> {
    // An error of the writer must not be printed: printing to a full disk or a closed pipe panics.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(directives)?)
        .with_writer(LogWriter)
        .log_internal_errors(false);
    let (started, level) = match format {
        LogFormat::Text => {
            let lines = lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).with_filter_reloading();
            let handle = lines.reload_handle();
            (lines.try_init(), level(move |filter| handle.reload(filter)))
        }
        LogFormat::Json => {
            let lines =
                lines.json().flatten_event(true).with_current_span(true).with_span_list(false).with_filter_reloading();
            let handle = lines.reload_handle();
            (lines.try_init(), level(move |filter| handle.reload(filter)))
        }
    };
    // It fails only if logging has already been started in this process, as in tests; the first start stays in effect.
    drop(started);
    Ok(level)
}

fn level(reload: impl Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync + 'static) -> LogLevel {
    LogLevel(Box::new(move |filter| reload(filter).map_err(|error| error.to_string())))
}
