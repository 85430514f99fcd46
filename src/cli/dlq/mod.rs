//! `lifecycle dlq`: lists dead letters, shows one, and writes them to their source topic again.
//!
//! The commands read the dead-letter topic, which is the only record of what was rejected. Customers' data appears on
//! standard output only.

mod list;
mod redrive;
mod selection;
mod show;

use std::io;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::Config;
use crate::kafka::cluster::topic_scan::TopicScan;
use crate::kafka::{Error, PartitionId, Record};
use crate::lifecycle::time::Timestamp;
use crate::service::topics;
use crate::wire::dead_letter::redriven::Offsets;
use crate::wire::dead_letter::stored::StoredDeadLetter;
use crate::wire::header::Header;
use crate::wire::time::format_timestamp;

use super::{Exit, print_error};

const EXAMPLES: &str = "\
Examples:
  lifecycle dlq list --config lifecycle.yaml
  lifecycle dlq list --config lifecycle.yaml --reason bad_field --from 2026-03-01T00:00:00Z --format json
  lifecycle dlq show 0:17 --config lifecycle.yaml
  lifecycle dlq redrive --config lifecycle.yaml --reason in_future
  lifecycle dlq redrive --config lifecycle.yaml --reason in_future --execute";

/// List, inspect and redrive dead letters
///
/// Dead letters are records that are not valid touchpoints; docs/contracts.md explains the reasons. `redrive` writes
/// them to their source topic again, after the cause was fixed.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DlqArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    List(list::ListArguments),
    Show(show::ShowArguments),
    Redrive(redrive::RedriveArguments),
}

/// Runs the subcommand.
pub(super) fn run(arguments: &DlqArguments) -> ExitCode {
    let done = match &arguments.action {
        Action::List(arguments) => list::run(arguments),
        Action::Show(arguments) => show::run(arguments),
        Action::Redrive(arguments) => redrive::run(arguments),
    };
    match done {
        Ok(exit) | Err(Failure::Reported(exit)) => exit,
        // A reader that closes the pipe (`| head`) is not a failure.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(Failure::Output(error)) => {
            print_error(format_args!("lifecycle dlq: standard output cannot be written: {error}"));
            Exit::Usage
        }
        Err(Failure::Kafka(error)) => {
            print_error(format_args!("lifecycle dlq: {error}"));
            Exit::Refused
        }
        Err(Failure::NoTopic(topic)) => {
            print_error(format_args!(
                "lifecycle dlq: the topic {topic} does not exist; topics.dead_letters names the dead-letter topic"
            ));
            Exit::Refused
        }
    }
    .into()
}

/// Why a command ended early.
enum Failure {
    /// The problem was printed.
    Reported(Exit),
    Output(io::Error),
    Kafka(Error),
    NoTopic(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Kafka(error)
    }
}

impl From<Exit> for Failure {
    fn from(exit: Exit) -> Self {
        Self::Reported(exit)
    }
}

/// Whether a scan must include every record that was committed before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Completeness {
    /// It may miss records behind a transaction that is still open.
    UpToOpenTransactions,
    /// It waits until those transactions have ended.
    Complete,
}

/// The dead-letter topic up to the end that it had when it was opened.
struct DeadLetterTopic {
    scan: TopicScan,
}

/// One dead letter.
struct DeadLetter {
    /// Partition of the dead-letter topic.
    partition: PartitionId,
    /// Offset in it.
    offset: i64,
    /// When it was rejected, as the record's timestamp says.
    rejected_at: Option<Timestamp>,
    /// What its headers say; `None` if another program wrote the record.
    stored: Option<StoredDeadLetter>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

impl DeadLetterTopic {
    fn open(config: &Config, completeness: Completeness) -> Result<Self, Failure> {
        let (cluster, topic, group) = (topics::cluster(config), &config.topics.dead_letters, &config.kafka.group_id);
        let scan = match completeness {
            Completeness::UpToOpenTransactions => TopicScan::open(&cluster, topic, group)?,
            Completeness::Complete => TopicScan::open_complete(&cluster, topic, group)?,
        };
        Ok(Self { scan: scan.ok_or_else(|| Failure::NoTopic(topic.clone()))? })
    }

    fn partitions(&self) -> Vec<PartitionId> {
        self.scan.partitions().collect()
    }

    /// Returns the offsets of the dead letters of `partition` that were redriven.
    fn redriven(&self, partition: PartitionId) -> Result<Offsets, Error> {
        let mut redriven = Offsets::default();
        let mut records = self.scan.read(partition)?;
        while let Some(record) = records.next_record()? {
            if is_marker(&record) {
                redriven.add_marker(&headers(record));
            }
        }
        Ok(redriven)
    }

    /// Calls `apply` with each dead letter of `partition` in order, until it returns false.
    fn for_each<E: From<Error>>(
        &self,
        partition: PartitionId,
        mut apply: impl FnMut(DeadLetter) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut records = self.scan.read(partition)?;
        while let Some(record) = records.next_record()? {
            if !is_marker(&record) && !apply(DeadLetter::from(record))? {
                break;
            }
        }
        Ok(())
    }

    /// Returns the dead letter at an offset; `None` if there is none.
    fn get(&self, partition: PartitionId, offset: i64) -> Result<Option<DeadLetter>, Error> {
        let record = self.scan.read_from(partition, offset)?.next_record()?;
        Ok(record.filter(|record| record.offset == offset && !is_marker(record)).map(DeadLetter::from))
    }
}

/// Whether the record marks others as redriven. No dead letter looks like this: its headers name a reason.
fn is_marker(record: &Record) -> bool {
    record.key.is_none()
        && record.value.is_none()
        && Offsets::default().add_marker(&headers(Record { key: None, value: None, ..record.clone() }))
}

fn headers(record: Record) -> Vec<Header> {
    record.headers.into_iter().map(|header| Header { name: header.name, value: header.value }).collect()
}

impl From<Record> for DeadLetter {
    fn from(mut record: Record) -> Self {
        let (key, value) = (record.key.take(), record.value.take());
        let (partition, offset, timestamp_ms) = (record.partition, record.offset, record.timestamp_ms);
        let headers = headers(record);
        let stored = StoredDeadLetter::read(&headers);
        let rejected_at = timestamp_ms.map(Timestamp::from_millis);
        Self { partition, offset, rejected_at, stored, key, value, headers }
    }
}

impl DeadLetter {
    fn reason(&self) -> &str {
        self.stored.as_ref().map_or("none", |stored| &stored.reason)
    }

    fn source(&self) -> &str {
        self.stored.as_ref().map_or("unknown", |stored| &stored.topic)
    }

    fn rejected_at_text(&self) -> String {
        self.rejected_at.map_or_else(|| "unknown".to_owned(), format_timestamp)
    }
}
