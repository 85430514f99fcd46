//! `lifecycle dlq redrive`: writes dead letters to their source topic again, each once.
//!
//! A transaction contains records of the source topic and a marker in the dead-letter topic that lists which dead
//! letters they are. A redrive reads all markers before it writes, and its transactional id fences a concurrent
//! redrive. One that was interrupted continues where it stopped when it is run again.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::selection::Selection;
use super::{Completeness, DeadLetter, DeadLetterTopic, Failure};
use crate::cli::config::ConfigFile;
use crate::cli::number::{counted, whole_number_in};
use crate::cli::{Exit, print_error};
use crate::config::Config;
use crate::kafka::cluster::admin::describe_topics;
use crate::kafka::{PartitionId, ProducerRecord, RecordHeader, TransactionalWriter};
use crate::runtime::WallClock;
use crate::service::{command_writer, topics};
use crate::wire::dead_letter::redriven::Offsets;
use crate::wire::dead_letter::stored::original_headers;
use crate::wire::header::Header;
use crate::wire::transition_text::escape_control_characters;

/// Name of the writer; with the group id it is its transactional id.
const WRITER: &str = "dlq-redrive";
/// Maximum number of dead letters in a transaction.
const BATCH_LETTERS: usize = 500;
/// Size in bytes at which a transaction is committed.
const BATCH_BYTES: usize = 4 << 20;

/// Write dead letters to their source topic again
///
/// Without --execute, only prints what would be written. Each record keeps its key, value, headers, timestamp and
/// partition, and is written exactly once: dead letters that were redriven before are skipped, also after an
/// interruption or a repeated command. A record that is still invalid becomes a new dead letter.
#[derive(Args, Debug)]
pub(super) struct RedriveArguments {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    selection: Selection,
    /// Write the records; without it, nothing is written
    #[arg(long)]
    execute: bool,
    /// Only print what would be written, which is the default
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Redrive at most this many [default: all]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole_number_in::<u64>(1, 1_000_000_000))]
    limit: Option<u64>,
}

/// Why a selected dead letter cannot be redriven.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    /// Its headers do not say where it came from, for example because another program wrote it.
    NoSource,
    Truncated,
    /// Its topic is neither configured nor selected.
    OtherTopic(String),
    /// The service itself writes to its topic.
    OwnTopic(String),
    NoTopic(String),
}

/// What was or would be redriven.
#[derive(Default)]
struct Summary {
    /// Number of records by topic and reason.
    written: BTreeMap<(String, String), u64>,
    redriven_before: u64,
    obstacles: BTreeMap<Obstacle, u64>,
}

/// One transaction.
#[derive(Default)]
struct Batch {
    records: Vec<ProducerRecord>,
    offsets: Offsets,
    bytes: usize,
    /// The topic and reason of each record, to count them.
    written: Vec<(String, String)>,
}

/// Redrives the dead letters.
pub(super) fn run(arguments: &RedriveArguments) -> Result<Exit, Failure> {
    let config = arguments.config.load_for_kafka()?;
    // The writer comes first: it aborts what an earlier one left open, and no other can write from here on.
    let mut writer = if arguments.execute { Some(command_writer(&config, WRITER)?) } else { None };
    let topic = DeadLetterTopic::open(&config, Completeness::Complete)?;
    let progress = if arguments.execute && io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{pos} dead letters redriven, {per_sec}");
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
    } else {
        ProgressBar::hidden()
    };
    let mut summary = Summary::default();
    let done = redrive(arguments, &config, &topic, &mut writer, &mut summary, &progress);
    progress.finish_and_clear();
    let text = summary.describe(arguments.execute);
    let mut output = io::stdout().lock();
    output.write_all(escape_lines(&text).as_bytes())?;
    output.flush()?;
    if let Err(error) = done {
        print_error(format_args!("lifecycle dlq redrive: {error}"));
        print_error("run the same command again: it continues with the dead letters that are not redriven yet");
        return Ok(Exit::Refused);
    }
    Ok(if summary.obstacles.is_empty() { Exit::Success } else { Exit::Problems })
}

fn redrive(
    arguments: &RedriveArguments,
    config: &Config,
    topic: &DeadLetterTopic,
    writer: &mut Option<TransactionalWriter>,
    summary: &mut Summary,
    progress: &ProgressBar,
) -> Result<(), crate::kafka::Error> {
    let mut sources = Sources::new(config, arguments);
    let mut remaining = arguments.limit.unwrap_or(u64::MAX);
    for partition in topic.partitions() {
        let redriven = topic.redriven(partition)?;
        let mut batch = Batch::default();
        topic.for_each(partition, |letter| {
            if remaining == 0 {
                return Ok(false);
            }
            if !arguments.selection.contains(&letter) {
                return Ok(true);
            }
            if redriven.contains(letter.offset) {
                summary.redriven_before += 1;
                return Ok(true);
            }
            match sources.record(letter, &mut batch)? {
                Ok(()) => remaining -= 1,
                Err(obstacle) => *summary.obstacles.entry(obstacle).or_default() += 1,
            }
            if batch.records.len() >= BATCH_LETTERS || batch.bytes >= BATCH_BYTES {
                let full = std::mem::take(&mut batch);
                full.commit(config, partition, writer.as_mut(), summary, progress)?;
            }
            Ok(true)
        })?;
        batch.commit(config, partition, writer.as_mut(), summary, progress)?;
    }
    Ok(())
}

impl Batch {
    /// Writes the records and their marker in one transaction, and counts them. A dry run only counts.
    fn commit(
        mut self,
        config: &Config,
        partition: PartitionId,
        writer: Option<&mut TransactionalWriter>,
        summary: &mut Summary,
        progress: &ProgressBar,
    ) -> Result<(), crate::kafka::Error> {
        if self.records.is_empty() {
            return Ok(());
        }
        if let Some(writer) = writer {
            self.records.push(ProducerRecord {
                topic: Arc::from(&*config.topics.dead_letters),
                partition: Some(partition),
                key: None,
                value: None,
                headers: kafka_headers(self.offsets.marker()),
                timestamp_ms: WallClock::start().now().wall.as_millis(),
            });
            writer.write(&self.records)?;
        }
        progress.inc(self.written.len() as u64);
        for written in self.written {
            *summary.written.entry(written).or_default() += 1;
        }
        Ok(())
    }
}

/// The topics that dead letters came from, with their partition counts.
struct Sources<'a> {
    config: &'a Config,
    /// Topics that records may be written to.
    allowed: Vec<String>,
    /// Topics that the service writes: a record of something else there could be taken for its own.
    own: Vec<String>,
    /// Partition counts, `None` for topics that do not exist.
    partitions: BTreeMap<String, Option<i32>>,
}

impl<'a> Sources<'a> {
    fn new(config: &'a Config, arguments: &RedriveArguments) -> Self {
        let mut allowed = topics::topics(config).sources;
        allowed.push(config.topics.touchpoints.clone());
        allowed.extend_from_slice(&arguments.selection.topics);
        let own = config.published_topics().map(str::to_owned).collect();
        Self { config, allowed, own, partitions: BTreeMap::new() }
    }

    /// Adds the record of `letter` to `batch`, or returns why it cannot be redriven.
    fn record(&mut self, letter: DeadLetter, batch: &mut Batch) -> Result<Result<(), Obstacle>, crate::kafka::Error> {
        let Some(stored) = letter.stored else { return Ok(Err(Obstacle::NoSource)) };
        if stored.cut.is_some() {
            return Ok(Err(Obstacle::Truncated));
        }
        if self.own.contains(&stored.topic) {
            return Ok(Err(Obstacle::OwnTopic(stored.topic)));
        }
        // A header of a record is not enough to make this program write to a topic.
        if !self.allowed.contains(&stored.topic) {
            return Ok(Err(Obstacle::OtherTopic(stored.topic)));
        }
        if !self.partitions.contains_key(&stored.topic) {
            let described = describe_topics(&topics::cluster(self.config), &[&stored.topic])?;
            let partitions = described.into_iter().flatten().next().map(|topic| topic.partitions);
            self.partitions.insert(stored.topic.clone(), partitions);
        }
        let Some(partitions) = self.partitions[&stored.topic] else {
            return Ok(Err(Obstacle::NoTopic(stored.topic)));
        };
        // The headers of a touchpoint with its origin also say that it is JSON, if the workers read another source
        // directly from the same topic.
        let headers = kafka_headers(original_headers(letter.headers));
        batch.bytes += letter.value.as_ref().map_or(0, Vec::len) + letter.key.as_ref().map_or(0, Vec::len);
        batch.offsets.insert(letter.offset);
        batch.records.push(ProducerRecord {
            topic: Arc::from(&*stored.topic),
            // The producer may have used another partitioner, so the original partition is the customer's. The client
            // chooses one if the topic was recreated with fewer partitions.
            partition: Some(stored.partition).filter(|partition| *partition < partitions),
            key: letter.key,
            value: letter.value,
            headers,
            timestamp_ms: stored.timestamp_ms.unwrap_or_else(|| WallClock::start().now().wall.as_millis()),
        });
        batch.written.push((stored.topic, stored.reason));
        Ok(Ok(()))
    }
}

fn kafka_headers(headers: Vec<Header>) -> Vec<RecordHeader> {
    headers.into_iter().map(|Header { name, value }| RecordHeader { name, value }).collect()
}

impl Summary {
    fn describe(&self, is_executed: bool) -> String {
        let done = if is_executed { "redriven to" } else { "would be redriven to" };
        let mut lines: Vec<String> = self
            .written
            .iter()
            .map(|((topic, reason), count)| {
                format!("{} {done} {topic} (reason {reason})", counted(*count, "dead letter"))
            })
            .collect();
        if self.written.is_empty() {
            lines.push("no dead letters to redrive".to_owned());
        }
        if self.redriven_before > 0 {
            lines.push(format!("{} were redriven before", self.redriven_before));
        }
        for (obstacle, count) in &self.obstacles {
            lines.push(match obstacle {
                Obstacle::NoSource => {
                    format!("{count} cannot be redriven: their headers do not say where they came from")
                }
                Obstacle::Truncated => {
                    format!("{count} cannot be redriven: they were truncated, send the original records again")
                }
                Obstacle::OtherTopic(topic) => format!(
                    "{count} were not selected: the configuration does not read {topic}; select it with --topic {topic}"
                ),
                Obstacle::OwnTopic(topic) => {
                    format!("{count} cannot be redriven: only the service itself writes to {topic}")
                }
                Obstacle::NoTopic(topic) => format!("{count} cannot be redriven: the topic {topic} does not exist"),
            });
        }
        if !is_executed && !self.written.is_empty() {
            lines.push("nothing was written: run the command with --execute to write the records".to_owned());
        }
        lines.into_iter().fold(String::new(), |text, line| text + &line + "\n")
    }
}

fn escape_lines(text: &str) -> String {
    text.lines().fold(String::new(), |all, line| all + &escape_control_characters(line) + "\n")
}
