//! `lifecycle replay`: computes transitions from touchpoint files or a topic, without the service.
//!
//! The processing is in `replay`; this file reads lines, handles invalid ones and writes the output.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::config::Config;
use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::transition::Transition;
use crate::partition::{DeadLetterReason, Partition, RefusedLink};
use crate::replay::Replay;
use crate::runtime::WallClock;
use crate::wire::refused_link::RefusedLinkRecord;
use crate::wire::time::format_timestamp;
use crate::wire::touchpoint_json::Scratch;
use crate::wire::transition::{BecauseDetail, Mode, Publication};
use crate::wire::transition_json::write_json;

use super::output_file::OutputFile;
use super::replay_totals::Totals;
use super::touchpoint_arguments::{TouchpointArguments, parse_max_ahead};
use super::touchpoint_source::{InputRecord, InvalidRecords, LINE_BYTES_MAX, Place, SourceError};
use super::{Exit, Format, compare, print_error};

/// How many bytes of an oversized line the dead letter contains.
const EXCERPT_BYTES: usize = 1024;
const WRITE_BYTES: usize = 256 * 1024;

const EXAMPLES: &str = "\
Examples:
  lifecycle replay touchpoints.ndjson.gz > transitions.ndjson
  lifecycle replay --model retention --until 2026-01-01T00:00:00Z january.ndjson february.ndjson
  lifecycle replay --config lifecycle.yaml --output standings
  kcat -C -e -t touchpoints | lifecycle replay --output standings -
  lifecycle replay --model ./my-model.yaml --dead-letters bad.ndjson touchpoints.ndjson
  lifecycle replay --source segment --source-setting currency=EUR segment-events.ndjson
  lifecycle replay --compare retention ./retention-60-days.yaml touchpoints.ndjson.gz";

/// Compute transitions from touchpoint files or a topic
///
/// Reads touchpoints, one JSON object per line or the records of a Kafka topic, and writes the transitions that the
/// service publishes with the same models, parameters, catalogue, currency and lateness, with the same ids: --config
/// takes them from its configuration. Event time drives the clock: wake-ups fire when later touchpoints arrive. Blank
/// lines are skipped. Nothing is written to Kafka.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayArguments {
    #[command(flatten)]
    touchpoints: TouchpointArguments,
    /// Treat touchpoints later than the current time plus this duration as invalid lines, as the service does with
    /// `clock.max_ahead` [default: accept them]
    #[arg(long, value_name = "DURATION", value_parser = parse_max_ahead)]
    max_ahead: Option<Duration>,
    /// What to write to standard output
    #[arg(long, value_enum, default_value_t = Output::Transitions)]
    output: Output,
    /// Write invalid lines and the reasons to this file; the command then succeeds in spite of them
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// Instead of transitions, write what changes if the model NEW replaces the model OLD. --set applies to NEW
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
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Output {
    /// Transitions, in the order in which they would be published
    Transitions,
    /// Final stage of each customer in each model, in order of customer and model
    Standings,
    /// Links that identity resolution refuses, with the reason
    RefusedLinks,
}

/// Replays the touchpoints, or compares two models over them.
pub(super) fn run(arguments: &ReplayArguments) -> ExitCode {
    let config = match arguments.touchpoints.config() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    let config = config.as_ref();
    if let [old, new] = &arguments.compare[..] {
        let compared = compare::run(old, new, &arguments.touchpoints, config, arguments.format);
        return compared.unwrap_or_else(|exit| exit).into();
    }
    let models = match arguments.touchpoints.models(config) {
        Ok(models) => models,
        Err(exit) => return exit.into(),
    };
    match replay(arguments, config, &models) {
        Ok(invalid) if invalid > 0 && arguments.dead_letters.is_none() => Exit::Problems.into(),
        Ok(_) => Exit::Success.into(),
        // A reader that closes the pipe (`| head`) is not a failure.
        Err(ReplayError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success.into(),
        Err(failure) => {
            print_error(format_args!("lifecycle replay: {failure}"));
            if let ReplayError::Input(error) = failure { error.exit() } else { Exit::Usage }.into()
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("{0}")]
    Input(#[from] SourceError),
    #[error("{path}: cannot be written: {error}")]
    DeadLetters { path: String, error: io::Error },
    #[error(
        "--dead-letters -: standard output is used for transitions: name a file, such as bad.ndjson or /dev/stderr"
    )]
    DeadLettersToOutput,
    #[error(
        "--output refused-links: without identity resolution, there are no links: add --identity, or set identity.enabled"
    )]
    NoIdentity,
    #[error("standard output cannot be written: {0}")]
    Output(io::Error),
}

/// Returns the number of invalid records.
fn replay(arguments: &ReplayArguments, config: Option<&Config>, models: &Arc<ModelSet>) -> Result<u64, ReplayError> {
    let options = arguments.touchpoints.options(config);
    if arguments.output == Output::RefusedLinks && options.facts.identity.is_none() {
        return Err(ReplayError::NoIdentity);
    }
    let currency = options.facts.currency;
    let because = config.map_or_else(BecauseDetail::default, |config| config.publish.because);
    let output = RefCell::new(BufWriter::with_capacity(WRITE_BYTES, io::stdout().lock()));
    let mut json = Vec::new();
    let mut publish = |transition: &Transition, detected_at: Timestamp| -> Result<(), ReplayError> {
        if arguments.output == Output::Transitions {
            json.clear();
            write_json(
                &Publication { transition, models, detected_at, mode: Mode::Replay, currency, because },
                &mut json,
            );
            json.push(b'\n');
            output.borrow_mut().write_all(&json).map_err(ReplayError::Output)?;
        }
        Ok(())
    };
    let files = arguments.touchpoints.files();
    let inputs = arguments.touchpoints.input_files(config);
    let mut dead_letters = DeadLetters::open(arguments.dead_letters.as_deref(), &inputs)?;
    let source = arguments.touchpoints.source(config)?;
    let progress = progress_bar(files);
    let decoder = source.decoder(&models.vocabulary);
    let mut totals = Totals::default();
    let accepted_until = arguments.max_ahead.map(|max_ahead| WallClock::start().now().wall + max_ahead);
    let mut replays = Vec::new();

    for stream in source.streams() {
        let mut replay = Replay::new(Arc::clone(models), options.clone());
        let observer = progress.clone();
        let observe = move |read| observer.inc(read as u64);
        source.for_each(stream, observe, |record| -> Result<(), ReplayError> {
            if let Some(cause) = record.problem {
                dead_letters.record(&record, cause.reason, &cause.detail)?;
            } else if record.is_blank_line() {
                totals.count_blank();
            } else if record.is_complete() {
                match decoder.decode(record.bytes, &mut Scratch::default()) {
                    Ok(touchpoint) if accepted_until.is_some_and(|until| touchpoint.occurred_at > until) => {
                        let detail = "occurred_at is further in the future than --max-ahead allows";
                        dead_letters.record(&record, DeadLetterReason::InFuture, detail)?;
                    }
                    Ok(touchpoint) => {
                        totals.count_currency(&touchpoint, currency);
                        totals.count_type(&touchpoint);
                        if options.until.is_none_or(|until| touchpoint.occurred_at <= until) {
                            totals.count_event_time(touchpoint.occurred_at, record.place);
                        }
                        if record.is_forwarded && touchpoint.is_erasure() {
                            replay.apply_forwarded_erasure(&touchpoint, &mut publish)?;
                        } else {
                            replay.apply(&touchpoint, &mut publish)?;
                        }
                        if arguments.output == Output::RefusedLinks {
                            write_refused_links(replay.refused_links(), &mut *output.borrow_mut())
                                .map_err(ReplayError::Output)?;
                        }
                    }
                    Err(error) => dead_letters.record(&record, error.reason, &error.detail)?,
                }
            } else {
                let detail = format!("{} bytes, at most {LINE_BYTES_MAX}", record.length);
                dead_letters.record(&record, DeadLetterReason::TooLarge, &detail)?;
            }
            Ok(())
        })?;
        replays.push(replay);
    }
    // All partitions end at the same time, so that their standings are comparable.
    let end = replays.iter().filter_map(Replay::end).max();
    for replay in &mut replays {
        if let Some(end) = end {
            replay.run_until(end, &mut publish)?;
        }
        totals.add(replay);
    }
    progress.finish_and_clear();

    let mut output = output.into_inner();
    if arguments.output == Output::Standings {
        for replay in &replays {
            write_standings(replay.partition(), models, &mut output).map_err(ReplayError::Output)?;
        }
    }
    output.flush().map_err(ReplayError::Output)?;
    let invalid = dead_letters.close()?;
    source.report_dropped();
    if arguments.summary || io::stderr().is_terminal() {
        totals.print(invalid, currency);
    }
    totals.print_unknown_types(models);
    Ok(invalid)
}

fn write_refused_links(links: &[RefusedLink], output: &mut impl Write) -> io::Result<()> {
    for refused in links {
        serde_json::to_writer(&mut *output, &RefusedLinkRecord::of(refused))?;
        output.write_all(b"\n")?;
    }
    Ok(())
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

/// Invalid records: prints them, or writes them to the dead-letter file.
struct DeadLetters {
    file: Option<(String, OutputFile)>,
    invalid: InvalidRecords,
}

impl DeadLetters {
    /// Creates or truncates the dead-letter file at `path`, which must not be one of the `inputs`.
    fn open(path: Option<&Path>, inputs: &[PathBuf]) -> Result<Self, ReplayError> {
        let file = path.map(|path| {
            let name = path.display().to_string();
            if path == Path::new("-") {
                return Err(ReplayError::DeadLettersToOutput);
            }
            match OutputFile::create(path, inputs) {
                Ok(file) => Ok((name, file)),
                Err(error) => Err(ReplayError::DeadLetters { path: name, error }),
            }
        });
        Ok(Self { file: file.transpose()?, invalid: InvalidRecords::default() })
    }

    fn record(
        &mut self,
        record: &InputRecord<'_, '_>,
        reason: DeadLetterReason,
        detail: &str,
    ) -> Result<(), ReplayError> {
        let Some((name, file)) = &mut self.file else {
            self.invalid.report(&record.place, detail, reason.as_str());
            return Ok(());
        };
        self.invalid.count += 1;
        write_dead_letter(file, record, reason, detail)
            .map_err(|error| ReplayError::DeadLetters { path: name.clone(), error })
    }

    fn close(self) -> Result<u64, ReplayError> {
        match self.file {
            Some((path, file)) => file.finish().map_err(|error| ReplayError::DeadLetters { path, error })?,
            None => self.invalid.finish("; --dead-letters FILE writes all of them to a file"),
        }
        Ok(self.invalid.count)
    }
}

/// Writes one dead letter as a JSON line. It contains the original record as text, or as hexadecimal if it is not
/// UTF-8. If the record is too large, it contains only the beginning.
fn write_dead_letter(
    file: &mut impl Write,
    record: &InputRecord<'_, '_>,
    reason: DeadLetterReason,
    detail: &str,
) -> io::Result<()> {
    let mut letter = serde_json::Map::new();
    match record.place {
        Place::Line { path, number } => {
            letter.insert("file".into(), path.display().to_string().into());
            letter.insert("line".into(), number.into());
        }
        Place::Offset { topic, partition, offset } => {
            letter.insert("topic".into(), topic.into());
            letter.insert("partition".into(), partition.into());
            letter.insert("offset".into(), offset.into());
        }
    }
    letter.insert("reason".into(), reason.as_str().into());
    letter.insert("detail".into(), detail.into());
    if record.is_complete() {
        match std::str::from_utf8(record.bytes) {
            Ok(text) => letter.insert("original".into(), text.into()),
            Err(_) => letter.insert("original_hex".into(), hexadecimal(record.bytes).into()),
        };
    } else {
        let excerpt = &record.bytes[..record.bytes.len().min(EXCERPT_BYTES)];
        letter.insert("original_begins".into(), String::from_utf8_lossy(excerpt).into());
        letter.insert("original_bytes".into(), record.length.into());
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
