//! `lifecycle replay`: transitions of touchpoints in files, with no Kafka.

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
use crate::partition::{Partition, Reason};
use crate::replay::{Line, Lines, Replay, ReplayOptions};
use crate::wire::time::format_timestamp;
use crate::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};
use crate::wire::transition::{Mode, Publication};
use crate::wire::transition_json::write_json;

use super::fact_arguments::{FactArguments, parse_until};
use super::{Exit, Format, compare};

/// Longer lines are bad lines.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// How many bad lines are shown one by one.
const SHOWN_MAX: u64 = 20;
/// How much of a line too large is kept in the dead letter.
const CUT_BYTES: usize = 1024;
const WRITE_BYTES: usize = 256 * 1024;

const EXAMPLES: &str = "\
Examples:
  lifecycle replay touchpoints.ndjson.gz > transitions.ndjson
  lifecycle replay --model retention --until 2026-01-01T00:00:00Z january.ndjson february.ndjson
  kcat -C -e -t touchpoints | lifecycle replay --output standings -
  lifecycle replay --model ./my-model.yaml --dead-letters bad.ndjson touchpoints.ndjson
  lifecycle replay --compare retention ./retention-60-days.yaml touchpoints.ndjson.gz";

/// Compute transitions from touchpoints in files, with no Kafka.
///
/// Reads touchpoints, one JSON object a line, and writes what the service would publish, in the same order and with
/// the same ids. Time passes by the touchpoints alone. Blank lines are skipped.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayArguments {
    /// A shipped model, or a model file; may be repeated [default: all shipped models]
    #[arg(long = "model", value_name = "NAME|FILE")]
    models: Vec<String>,
    /// Replay up to this instant (RFC 3339): later touchpoints are left out, wake-ups due by it are worked off
    /// [default: the latest touchpoint]
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    until: Option<Timestamp>,
    #[command(flatten)]
    facts: FactArguments,
    /// What to write
    #[arg(long, value_enum, default_value_t = Output::Transitions)]
    output: Output,
    /// Write bad lines to this file, with their reasons, and do not count them as a failure
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// Write what changes when the model NEW takes the place of OLD, in place of transitions
    #[arg(
        long,
        num_args = 2,
        value_names = ["OLD", "NEW"],
        conflicts_with_all = ["models", "output", "dead_letters", "summary"]
    )]
    compare: Vec<String>,
    /// How a comparison is written
    #[arg(long, value_enum, default_value_t = Format::Text, requires = "compare")]
    format: Format,
    /// Print counts to standard error at the end, also when it is no terminal
    #[arg(long)]
    summary: bool,
    /// Files with touchpoints, plain or gzipped, in the order of arrival; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Output {
    /// Transitions, in the order in which they would be published
    Transitions,
    /// Where each customer stands in each model at the end, in order of customer and model
    Standings,
}

/// Replays.
pub(super) fn run(arguments: &ReplayArguments) -> ExitCode {
    if let [old, new] = &arguments.compare[..] {
        let options = ReplayOptions { facts: arguments.facts.options(), until: arguments.until };
        return compare::run(old, new, &options, arguments.format, &arguments.files);
    }
    let models = match ModelChoice::of(&arguments.models).load(io::stderr().is_terminal()) {
        Ok(models) => Arc::new(models),
        Err(report) => {
            eprintln!("{report}");
            return Exit::Usage.into();
        }
    };
    match replay(arguments, &models) {
        Ok(bad_lines) if bad_lines > 0 && arguments.dead_letters.is_none() => Exit::Problems.into(),
        Ok(_) => Exit::Success.into(),
        // Whoever read our output has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success.into(),
        Err(failure) => {
            eprintln!("lifecycle replay: {failure}");
            Exit::Usage.into()
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{path}: cannot be read: {error}")]
    Input { path: String, error: io::Error },
    #[error("{path}: cannot be written: {error}")]
    DeadLetters { path: String, error: io::Error },
    #[error(
        "--dead-letters -: standard output is taken by the transitions: name a file, such as bad.ndjson or /dev/stderr"
    )]
    DeadLettersToOutput,
    #[error("{path}: dead letters cannot go there: touchpoints are read from it")]
    DeadLettersOverInput { path: String },
    #[error("standard output cannot be written: {0}")]
    Output(io::Error),
}

/// Returns the number of bad lines.
fn replay(arguments: &ReplayArguments, models: &Arc<ModelSet>) -> Result<u64, Failure> {
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
    let mut bad_lines = BadLines::open(arguments.dead_letters.as_deref(), &arguments.files)?;
    let progress = progress_bar(&arguments.files);
    let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: LINE_BYTES_MAX });
    let mut blank = 0_u64;

    for path in &arguments.files {
        let unreadable = |error| Failure::Input { path: path.display().to_string(), error };
        let observer = progress.clone();
        let mut lines = Lines::open(path, LINE_BYTES_MAX, move |read| observer.inc(read as u64)).map_err(unreadable)?;
        while let Some(line) = lines.next_line().map_err(unreadable)? {
            if line.is_blank() {
                blank += 1;
            } else if line.is_whole() {
                match decoder.decode(line.bytes, &mut Scratch::default()) {
                    Ok(touchpoint) => replay.apply(&touchpoint, &mut publish).map_err(Failure::Output)?,
                    Err(malformed) => bad_lines.note(path, line, malformed.reason, &malformed.detail)?,
                }
            } else {
                let detail = format!("{} bytes, at most {LINE_BYTES_MAX}", line.length);
                bad_lines.note(path, line, Reason::TooLarge, &detail)?;
            }
        }
    }
    replay.finish(&mut publish).map_err(Failure::Output)?;
    progress.finish_and_clear();

    if arguments.output == Output::Standings {
        write_standings(replay.partition(), models, &mut output).map_err(Failure::Output)?;
    }
    output.flush().map_err(Failure::Output)?;
    let bad_lines = bad_lines.close()?;
    if arguments.summary || io::stderr().is_terminal() {
        summarise(&replay, bad_lines, blank);
    }
    Ok(bad_lines)
}

fn summarise(replay: &Replay, bad_lines: u64, blank: u64) {
    let summary = replay.summary();
    let tally = summary.tally;
    let mut text = format!(
        "{} touchpoints: {} applied ({} late, {} of unknown type), {} duplicates",
        tally.consumed + summary.left_out,
        tally.applied,
        tally.late,
        tally.unknown_types,
        tally.duplicates
    );
    for (number, words) in
        [(summary.left_out, "later than --until"), (bad_lines, "bad lines"), (blank, "blank lines skipped")]
    {
        if number > 0 {
            _ = write!(text, ", {number} {words}");
        }
    }
    eprintln!(
        "{text}\n{} customers, {} wake-ups, {} transitions",
        replay.partition().len(),
        tally.wake_ups,
        summary.transitions
    );
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

/// A bar over the bytes of all files; hidden unless a person watches and nothing else is written to the terminal.
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

/// Whether both paths lead to one file that keeps what is written; through symbolic links, too.
fn are_the_same(one: &Path, other: &Path) -> bool {
    one.is_file() && matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// What becomes of lines that are no touchpoints.
struct BadLines {
    file: Option<(String, BufWriter<File>)>,
    count: u64,
}

impl BadLines {
    /// The file at `path` begins anew, so it must be none of the `inputs`.
    fn open(path: Option<&Path>, inputs: &[PathBuf]) -> Result<Self, Failure> {
        let file = path.map(|path| {
            let name = path.display().to_string();
            if path == Path::new("-") {
                return Err(Failure::DeadLettersToOutput);
            }
            if inputs.iter().any(|input| are_the_same(input, path)) {
                return Err(Failure::DeadLettersOverInput { path: name });
            }
            match File::create(path) {
                Ok(file) => Ok((name, BufWriter::new(file))),
                Err(error) => Err(Failure::DeadLetters { path: name, error }),
            }
        });
        Ok(Self { file: file.transpose()?, count: 0 })
    }

    fn note(&mut self, path: &Path, line: Line<'_>, reason: Reason, detail: &str) -> Result<(), Failure> {
        self.count += 1;
        let Some((name, file)) = &mut self.file else {
            if self.count <= SHOWN_MAX {
                eprintln!("{}:{}: {}: {detail}", path.display(), line.number, reason.as_str());
            }
            return Ok(());
        };
        write_dead_letter(file, path, line, reason, detail)
            .map_err(|error| Failure::DeadLetters { path: name.clone(), error })
    }

    fn close(self) -> Result<u64, Failure> {
        if let Some((path, mut file)) = self.file {
            file.flush().map_err(|error| Failure::DeadLetters { path, error })?;
        } else if self.count > SHOWN_MAX {
            eprintln!("and {} more bad lines; --dead-letters FILE takes them all", self.count - SHOWN_MAX);
        }
        Ok(self.count)
    }
}

/// The original is text as it stood; bytes that are no text are written in hexadecimal, a line too large is cut.
fn write_dead_letter(
    file: &mut impl Write,
    path: &Path,
    line: Line<'_>,
    reason: Reason,
    detail: &str,
) -> io::Result<()> {
    let mut letter = serde_json::Map::new();
    letter.insert("file".into(), path.display().to_string().into());
    letter.insert("line".into(), line.number.into());
    letter.insert("reason".into(), reason.as_str().into());
    letter.insert("detail".into(), detail.into());
    if line.is_whole() {
        match std::str::from_utf8(line.bytes) {
            Ok(text) => letter.insert("original".into(), text.into()),
            Err(_) => letter.insert("original_hex".into(), hexadecimal(line.bytes).into()),
        };
    } else {
        let cut = &line.bytes[..line.bytes.len().min(CUT_BYTES)];
        letter.insert("original_begins".into(), String::from_utf8_lossy(cut).into());
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
