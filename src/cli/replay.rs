//! `lifecycle replay`: computes transitions from touchpoint files, without Kafka.
//!
//! The processing is in `replay`; this file reads lines, handles invalid ones and writes the output.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::config::ModelChoice;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::transition::Transition;
use crate::partition::{DeadLetterReason, Partition};
use crate::replay::{Line, Lines, Replay, ReplayOptions};
use crate::wire::time::format_timestamp;
use crate::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};
use crate::wire::transition::{Mode, Publication};
use crate::wire::transition_json::write_json;
use crate::wire::transition_text::escape_control_characters;

use super::fact_arguments::{FactArguments, parse_until};
use super::{Exit, Format, compare, print_error};

/// Longer lines are invalid.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// How many invalid lines are printed; the others are only counted.
const PRINTED_MAX: u64 = 20;
/// How many bytes of an oversized line the dead letter contains.
const EXCERPT_BYTES: usize = 1024;
const WRITE_BYTES: usize = 256 * 1024;

const EXAMPLES: &str = "\
Examples:
  lifecycle replay touchpoints.ndjson.gz > transitions.ndjson
  lifecycle replay --model retention --until 2026-01-01T00:00:00Z january.ndjson february.ndjson
  kcat -C -e -t touchpoints | lifecycle replay --output standings -
  lifecycle replay --model ./my-model.yaml --dead-letters bad.ndjson touchpoints.ndjson
  lifecycle replay --compare retention ./retention-60-days.yaml touchpoints.ndjson.gz";

/// Compute transitions from touchpoint files, without Kafka
///
/// Reads touchpoints, one JSON object per line, and writes the transitions that the service would publish, in the same
/// order and with the same ids. Event time drives the clock: wake-ups fire when later touchpoints arrive. Blank lines
/// are skipped.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayArguments {
    /// Shipped model or model file to run. Can be repeated [default: all shipped models]
    #[arg(long = "model", value_name = "NAME|FILE")]
    models: Vec<String>,
    /// Replay up to this instant (RFC 3339): ignore later touchpoints, and fire the wake-ups that are due by then
    /// [default: the time of the latest touchpoint]
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    until: Option<Timestamp>,
    #[command(flatten)]
    facts: FactArguments,
    /// What to write to standard output
    #[arg(long, value_enum, default_value_t = Output::Transitions)]
    output: Output,
    /// Write invalid lines and the reasons to this file; the command then succeeds in spite of them
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// Instead of transitions, write what changes if the model NEW replaces the model OLD
    #[arg(
        long,
        num_args = 2,
        value_names = ["OLD", "NEW"],
        conflicts_with_all = ["models", "output", "dead_letters", "summary"]
    )]
    compare: Vec<String>,
    /// Output format of --compare
    #[arg(long, value_enum, default_value_t = Format::Text, requires = "compare")]
    format: Format,
    /// Print counts to standard error at the end, even if it is not a terminal
    #[arg(long)]
    summary: bool,
    /// Touchpoint files, plain or gzipped, in order of arrival; - reads standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Output {
    /// Transitions, in the order in which they would be published
    Transitions,
    /// Final stage of each customer in each model, in order of customer and model
    Standings,
}

/// Replays the files, or compares two models over them.
pub(super) fn run(arguments: &ReplayArguments) -> ExitCode {
    if let [old, new] = &arguments.compare[..] {
        let options = ReplayOptions { facts: arguments.facts.options(), until: arguments.until };
        return compare::run(old, new, &options, arguments.format, &arguments.files);
    }
    let models = match ModelChoice::of(&arguments.models).load(io::stderr().is_terminal()) {
        Ok(models) => Arc::new(models),
        Err(report) => {
            print_error(&report);
            return Exit::Usage.into();
        }
    };
    match replay(arguments, &models) {
        Ok(invalid_lines) if invalid_lines > 0 && arguments.dead_letters.is_none() => Exit::Problems.into(),
        Ok(_) => Exit::Success.into(),
        // A reader that closes the pipe (`| head`) is not a failure.
        Err(ReplayError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success.into(),
        Err(failure) => {
            print_error(format_args!("lifecycle replay: {failure}"));
            Exit::Usage.into()
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("{path}: cannot be read: {error}")]
    Input { path: String, error: io::Error },
    #[error("{path}: cannot be written: {error}")]
    DeadLetters { path: String, error: io::Error },
    #[error(
        "--dead-letters -: standard output is used for transitions: name a file, such as bad.ndjson or /dev/stderr"
    )]
    DeadLettersToOutput,
    #[error("{path}: dead letters cannot be written to an input file")]
    DeadLettersOverInput { path: String },
    #[error("standard output cannot be written: {0}")]
    Output(io::Error),
}

/// Returns the number of invalid lines.
fn replay(arguments: &ReplayArguments, models: &Arc<ModelSet>) -> Result<u64, ReplayError> {
    let facts = arguments.facts.options();
    let mut replay = Replay::new(Arc::clone(models), ReplayOptions { facts, until: arguments.until });
    let mut output = BufWriter::with_capacity(WRITE_BYTES, io::stdout().lock());
    let mut json = Vec::new();
    let mut publish = |transition: &Transition, detected_at: Timestamp| {
        if arguments.output == Output::Transitions {
            json.clear();
            let currency = arguments.facts.currency;
            write_json(&Publication { transition, models, detected_at, mode: Mode::Replay, currency }, &mut json);
            json.push(b'\n');
            output.write_all(&json)?;
        }
        Ok(())
    };
    let mut invalid_lines = InvalidLines::open(arguments.dead_letters.as_deref(), &arguments.files)?;
    let progress = progress_bar(&arguments.files);
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: LINE_BYTES_MAX });
    let mut blank = 0_u64;

    for path in &arguments.files {
        let unreadable = |error| ReplayError::Input { path: path.display().to_string(), error };
        let observer = progress.clone();
        let mut lines = Lines::open(path, LINE_BYTES_MAX, move |read| observer.inc(read as u64)).map_err(unreadable)?;
        while let Some(line) = lines.next_line().map_err(unreadable)? {
            if line.is_blank() {
                blank += 1;
            } else if line.is_complete() {
                match decoder.decode(line.bytes, &mut Scratch::default()) {
                    Ok(touchpoint) => replay.apply(&touchpoint, &mut publish).map_err(ReplayError::Output)?,
                    Err(error) => invalid_lines.record(path, line, error.reason, &error.detail)?,
                }
            } else {
                let detail = format!("{} bytes, at most {LINE_BYTES_MAX}", line.length);
                invalid_lines.record(path, line, DeadLetterReason::TooLarge, &detail)?;
            }
        }
    }
    replay.finish(&mut publish).map_err(ReplayError::Output)?;
    progress.finish_and_clear();

    if arguments.output == Output::Standings {
        write_standings(replay.partition(), models, &mut output).map_err(ReplayError::Output)?;
    }
    output.flush().map_err(ReplayError::Output)?;
    let invalid_lines = invalid_lines.close()?;
    if arguments.summary || io::stderr().is_terminal() {
        print_summary(&replay, invalid_lines, blank);
    }
    Ok(invalid_lines)
}

fn print_summary(replay: &Replay, invalid_lines: u64, blank: u64) {
    let summary = replay.summary();
    let tally = summary.tally;
    let mut text = format!(
        "{} touchpoints: {} applied ({} late, {} of unknown type), {} duplicates",
        tally.consumed + summary.skipped,
        tally.applied,
        tally.late,
        tally.unknown_types,
        tally.duplicates
    );
    for (number, words) in
        [(summary.skipped, "later than --until"), (invalid_lines, "invalid lines"), (blank, "blank lines skipped")]
    {
        if number > 0 {
            _ = write!(text, ", {number} {words}");
        }
    }
    print_error(format_args!(
        "{text}\n{} customers, {} wake-ups, {} transitions",
        replay.partition().len(),
        tally.wake_ups,
        summary.transitions
    ));
}

fn write_standings(partition: &Partition, models: &ModelSet, output: &mut impl Write) -> io::Result<()> {
    for customer in partition.customers() {
        let customer_id = serde_json::to_string(&customer.customer_id)?;
        let instant =
            |time: Option<Timestamp>| time.map_or("null".to_owned(), |time| format!("\"{}\"", format_timestamp(time)));
        let next_wake_up = instant(customer.next_wake_up);
        for (model, view) in models.models.iter().zip(&customer.models) {
            let stage = view.stage.map_or("null".to_owned(), |stage| format!("\"{}\"", model.stage(stage).name));
            writeln!(
                output,
                r#"{{"customer_id":{customer_id},"model":"{}","stage":{stage},"since":{},"orders":{},"revenue":"{}","next_wake_up":{next_wake_up}}}"#,
                model.name,
                instant(view.since),
                customer.orders.count,
                customer.orders.revenue,
            )?;
        }
    }
    Ok(())
}

/// Returns a progress bar over the bytes of all files. Hidden if standard error is not a terminal, or standard output
/// is one.
fn progress_bar(files: &[PathBuf]) -> ProgressBar {
    if !io::stderr().is_terminal() || io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let total: Option<u64> = files.iter().map(|path| std::fs::metadata(path).ok().map(|file| file.len())).sum();
    let template = "{bytes} of {total_bytes} [{wide_bar}] {binary_bytes_per_sec} {eta}";
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    match ProgressStyle::with_template(if total.is_some() { template } else { "{spinner} {bytes}" }) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Returns whether both paths refer to the same regular file, directly or through symbolic links.
fn is_same_file(one: &Path, other: &Path) -> bool {
    one.is_file() && matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Counts invalid lines, and prints them or writes them to the dead-letter file.
struct InvalidLines {
    file: Option<(String, BufWriter<File>)>,
    count: u64,
}

impl InvalidLines {
    /// Creates or truncates the dead-letter file at `path`, which must not be one of the `inputs`.
    fn open(path: Option<&Path>, inputs: &[PathBuf]) -> Result<Self, ReplayError> {
        let file = path.map(|path| {
            let name = path.display().to_string();
            if path == Path::new("-") {
                return Err(ReplayError::DeadLettersToOutput);
            }
            if inputs.iter().any(|input| is_same_file(input, path)) {
                return Err(ReplayError::DeadLettersOverInput { path: name });
            }
            match File::create(path) {
                Ok(file) => Ok((name, BufWriter::new(file))),
                Err(error) => Err(ReplayError::DeadLetters { path: name, error }),
            }
        });
        Ok(Self { file: file.transpose()?, count: 0 })
    }

    fn record(
        &mut self,
        path: &Path,
        line: Line<'_>,
        reason: DeadLetterReason,
        detail: &str,
    ) -> Result<(), ReplayError> {
        self.count += 1;
        let Some((name, file)) = &mut self.file else {
            if self.count <= PRINTED_MAX {
                let detail = escape_control_characters(detail);
                print_error(format_args!("{}:{}: {}: {detail}", path.display(), line.number, reason.as_str()));
            }
            return Ok(());
        };
        write_dead_letter(file, path, line, reason, detail)
            .map_err(|error| ReplayError::DeadLetters { path: name.clone(), error })
    }

    fn close(self) -> Result<u64, ReplayError> {
        if let Some((path, mut file)) = self.file {
            file.flush().map_err(|error| ReplayError::DeadLetters { path, error })?;
        } else if self.count > PRINTED_MAX {
            print_error(format_args!(
                "and {} more invalid lines; --dead-letters FILE writes all of them to a file",
                self.count - PRINTED_MAX
            ));
        }
        Ok(self.count)
    }
}

/// Writes one dead letter as a JSON line. It contains the original line as text, or as hexadecimal if the line is not
/// UTF-8. If the line is too large, it contains only the beginning.
fn write_dead_letter(
    file: &mut impl Write,
    path: &Path,
    line: Line<'_>,
    reason: DeadLetterReason,
    detail: &str,
) -> io::Result<()> {
    let mut letter = serde_json::Map::new();
    letter.insert("file".into(), path.display().to_string().into());
    letter.insert("line".into(), line.number.into());
    letter.insert("reason".into(), reason.as_str().into());
    letter.insert("detail".into(), detail.into());
    if line.is_complete() {
        match std::str::from_utf8(line.bytes) {
            Ok(text) => letter.insert("original".into(), text.into()),
            Err(_) => letter.insert("original_hex".into(), hexadecimal(line.bytes).into()),
        };
    } else {
        let excerpt = &line.bytes[..line.bytes.len().min(EXCERPT_BYTES)];
        letter.insert("original_begins".into(), String::from_utf8_lossy(excerpt).into());
        letter.insert("original_bytes".into(), line.length.into());
    }
    serde_json::to_writer(&mut *file, &letter)?;
    file.write_all(b"\n")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}
