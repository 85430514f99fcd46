//! Where `replay` and `explain` read touchpoints: files, or a Kafka topic up to its end.
//!
//! A source consists of streams, each of which has its own clock: all files together are one stream, and each partition
//! of a topic is one, as in the service.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::{Exit, print_error};
use crate::kafka::cluster::topic_scan::TopicScan;
use crate::kafka::{self, Cluster, PartitionId};
use crate::replay::Lines;
use crate::wire::touchpoint_json::TouchpointOptions;
use crate::wire::transition_text::escape_control_characters;

/// Longer lines are invalid.
pub(super) const LINE_BYTES_MAX: usize = 1024 * 1024;
/// How many invalid records are printed; the others are only counted.
const PRINTED_MAX: u64 = 20;

/// Touchpoints to read.
pub(super) enum Source {
    /// Files in order of arrival.
    Files(Vec<PathBuf>),
    /// A Kafka topic, its name, and the maximum size of a record in bytes.
    Topic(Box<TopicScan>, String, usize),
}

/// A part of a source with its own clock: `None` for all files, otherwise a partition.
pub(super) type Stream = Option<PartitionId>;

/// A record that may be a touchpoint.
#[derive(Clone, Copy)]
pub(super) struct InputRecord<'a> {
    pub(super) place: Place<'a>,
    /// The record, or the beginning of one that is too large.
    pub(super) bytes: &'a [u8],
    /// The length of the complete record, in bytes.
    pub(super) length: u64,
}

/// Where a record is.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Line { path: &'a Path, number: u64 },
    Offset { topic: &'a str, partition: PartitionId, offset: i64 },
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { path, number } => write!(formatter, "{}:{number}", path.display()),
            Self::Offset { topic, partition, offset } => write!(formatter, "{topic}/{partition}:{offset}"),
        }
    }
}

impl InputRecord<'_> {
    /// Whether `bytes` is the complete record.
    pub(super) fn is_complete(&self) -> bool {
        u64::try_from(self.bytes.len()) == Ok(self.length)
    }

    /// Whether the record is a line that consists of white space only.
    pub(super) fn is_blank_line(&self) -> bool {
        matches!(self.place, Place::Line { .. }) && self.bytes.iter().all(u8::is_ascii_whitespace)
    }
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("{path}: cannot be read: {error}")]
    File { path: String, error: io::Error },
    #[error("{0}")]
    Kafka(#[from] kafka::Error),
    #[error("the topic {0} does not exist; --topic names another one")]
    UnknownTopic(String),
}

impl SourceError {
    /// Returns the exit code of a command that fails with this error.
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::File { .. } => Exit::Usage,
            Self::Kafka(_) | Self::UnknownTopic(_) => Exit::Refused,
        }
    }
}

impl Source {
    /// Opens a topic and determines the end of each partition.
    pub(super) fn topic(
        cluster: &Cluster,
        topic: &str,
        group_id: &str,
        record_bytes_max: usize,
    ) -> Result<Self, SourceError> {
        let scan = TopicScan::open(cluster, topic, group_id)?;
        let scan = scan.ok_or_else(|| SourceError::UnknownTopic(topic.to_owned()))?;
        Ok(Self::Topic(Box::new(scan), topic.to_owned(), record_bytes_max))
    }

    /// Returns the limits of a touchpoint.
    pub(super) const fn touchpoint_options(&self) -> TouchpointOptions {
        match self {
            Self::Files(_) => TouchpointOptions { bytes_max: LINE_BYTES_MAX },
            Self::Topic(_, _, bytes_max) => TouchpointOptions { bytes_max: *bytes_max },
        }
    }

    /// Returns the streams of the source.
    pub(super) fn streams(&self) -> Vec<Stream> {
        match self {
            Self::Files(_) => vec![None],
            Self::Topic(scan, ..) => scan.partitions().map(Some).collect(),
        }
    }

    /// Calls `apply` with each record of `stream` in order, and `progress` with the size of each chunk of a file.
    pub(super) fn for_each<E: From<SourceError>>(
        &self,
        stream: Stream,
        progress: impl Fn(usize) + Clone + 'static,
        mut apply: impl FnMut(InputRecord<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match (self, stream) {
            (Self::Files(paths), _) => {
                for path in paths {
                    let unreadable = |error| SourceError::File { path: path.display().to_string(), error };
                    let mut lines = Lines::open(path, LINE_BYTES_MAX, progress.clone()).map_err(unreadable)?;
                    while let Some(line) = lines.next_line().map_err(unreadable)? {
                        let place = Place::Line { path, number: line.number };
                        apply(InputRecord { place, bytes: line.bytes, length: line.length })?;
                    }
                }
            }
            (Self::Topic(..), None) => {}
            (Self::Topic(scan, topic, _), Some(partition)) => {
                let mut scan = scan.read(partition).map_err(SourceError::from)?;
                while let Some(record) = scan.next_record().map_err(SourceError::from)? {
                    let bytes = record.value.as_deref().unwrap_or_default();
                    let place = Place::Offset { topic, partition, offset: record.offset };
                    apply(InputRecord { place, bytes, length: bytes.len() as u64 })?;
                }
            }
        }
        Ok(())
    }
}

/// Counts invalid records and prints the first ones to standard error.
#[derive(Default)]
pub(super) struct InvalidRecords {
    pub(super) count: u64,
}

impl InvalidRecords {
    /// Calls `apply` with each record of `stream` that may be a touchpoint, and reports the error that it returns for
    /// an invalid one.
    pub(super) fn for_each(
        &mut self,
        source: &Source,
        stream: Stream,
        mut apply: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), SourceError> {
        source.for_each(
            stream,
            |_| {},
            |record| {
                let outcome = if record.is_blank_line() {
                    Ok(())
                } else if record.is_complete() {
                    apply(record.bytes)
                } else {
                    Err(format!("{} bytes, at most {LINE_BYTES_MAX}", record.length))
                };
                if let Err(detail) = outcome {
                    self.report(&record.place, &detail, "");
                }
                Ok(())
            },
        )
    }

    /// Counts an invalid record, and prints it unless many have been printed. `reason` precedes the detail.
    pub(super) fn report(&mut self, place: &Place<'_>, detail: &str, reason: &str) {
        self.count += 1;
        if self.count <= PRINTED_MAX {
            let detail = escape_control_characters(detail);
            let separator = if reason.is_empty() { "" } else { ": " };
            print_error(format_args!("{place}: {reason}{separator}{detail}"));
        }
    }

    /// Prints how many invalid records were not printed; `hint` says where all of them can be written.
    pub(super) fn finish(&self, hint: &str) {
        if self.count > PRINTED_MAX {
            print_error(format_args!("and {} more invalid lines{hint}", self.count - PRINTED_MAX));
        }
    }
}
