//! Where `replay` and `explain` read touchpoints: files, or a Kafka topic up to its end.
//!
//! A source consists of streams, each of which has its own clock: all files together are one stream, and each partition
//! of a topic is one, as in the service.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Exit, print_error};
use crate::config::{Config, SourcesError};
use crate::decode::{DecodeError, Decoder, Header};
use crate::kafka::cluster::topic_scan::TopicScan;
use crate::kafka::member::RecordHeader;
use crate::kafka::{self, Cluster, PartitionId, Record};
use crate::lifecycle::identity::BlockedIds;
use crate::lifecycle::time::Timestamp;
use crate::lifecycle::vocabulary::Vocabulary;
use crate::mapping::{Mapping, Outcome, RecordValues};
use crate::replay::Lines;
use crate::runtime::{is_forwarded, is_native};
use crate::wire::touchpoint_json::{DeadLetterCause, Scratch, TouchpointDecoder, TouchpointOptions};
use crate::wire::transition_text::escape_control_characters;

/// Longer lines are invalid.
pub(super) const LINE_BYTES_MAX: usize = 1024 * 1024;
/// How many invalid records are printed; the others are only counted.
const PRINTED_MAX: u64 = 20;

/// Touchpoints to read, or records that a mapping makes touchpoints of.
pub(super) struct Source {
    input: Input,
    /// What decodes the records of a topic that are not JSON.
    decoder: Option<RefCell<Decoder>>,
    mapping: Option<Arc<Mapping>>,
    /// Whether the workers of the configuration read the topic directly, so that it is keyed by customer.
    is_direct: bool,
    /// The ids that count as absent, if visitors are linked to customers.
    blocked_ids: Option<BlockedIds>,
    /// Number of records that the mapping dropped, by reason.
    dropped: RefCell<BTreeMap<String, u64>>,
}

enum Input {
    /// Files in order of arrival.
    Files(Vec<PathBuf>),
    /// A Kafka topic, its name, and the maximum size of a record in bytes.
    Topic(Box<TopicScan>, String, usize),
}

/// A part of a source with its own clock: `None` for all files, otherwise a partition.
pub(super) type Stream = Option<PartitionId>;

/// A record that may be a touchpoint, of a source that lives for `'s`.
#[derive(Clone, Copy)]
pub(super) struct InputRecord<'s, 'a> {
    pub(super) place: Place<'s>,
    /// The record, or the beginning of one that is too large.
    pub(super) bytes: &'a [u8],
    /// The length of the complete record, in bytes.
    pub(super) length: u64,
    /// Why the mapping could not make a touchpoint of the record.
    pub(super) problem: Option<&'a DeadLetterCause>,
    /// Whether the service has written the record, to forward an erasure.
    pub(super) is_forwarded: bool,
    /// Whether the service has written the record to the topic of another format.
    is_native: bool,
}

/// Where a record is.
#[derive(Clone, Copy)]
pub(super) enum Place<'s> {
    Line { path: &'s Path, number: u64 },
    Offset { topic: &'s str, partition: PartitionId, offset: i64 },
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { path, number } => write!(formatter, "{}:{number}", path.display()),
            Self::Offset { topic, partition, offset } => write!(formatter, "{topic}/{partition}:{offset}"),
        }
    }
}

impl InputRecord<'_, '_> {
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
    #[error("the topic {0} does not exist; check its name and the cluster")]
    UnknownTopic(String),
    #[error("--topic needs --bootstrap-servers or --config")]
    TopicWithoutServers,
    #[error("the mapping of --source is invalid")]
    Mapping(Exit),
    #[error("{0}")]
    Configuration(#[from] SourcesError),
    #[error("the schema registry does not answer: {0}")]
    Registry(String),
}

impl SourceError {
    /// Returns the exit code of a command that fails with this error.
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::File { .. } | Self::Configuration(_) | Self::TopicWithoutServers => Exit::Usage,
            Self::Kafka(_) | Self::UnknownTopic(_) | Self::Registry(_) => Exit::Refused,
            Self::Mapping(exit) => *exit,
        }
    }
}

impl Source {
    fn of(input: Input) -> Self {
        Self { input, decoder: None, mapping: None, is_direct: false, blocked_ids: None, dropped: RefCell::default() }
    }

    /// Reads files.
    pub(super) fn files(paths: Vec<PathBuf>) -> Self {
        Self::of(Input::Files(paths))
    }

    /// Applies `mapping` to every record, instead of the one in the configuration.
    pub(super) fn with_mapping(self, mapping: Option<Mapping>) -> Self {
        Self { mapping: mapping.map(Arc::new).or(self.mapping), ..self }
    }

    /// Reads the records of `topic` as `config` says, if one of its sources reads the topic. `has_identity` is whether
    /// their touchpoints have visitors.
    pub(super) fn with_source_of(self, config: &Config, topic: &str, has_identity: bool) -> Result<Self, SourceError> {
        let Some((decoder, mapping)) = config.source_of(topic, has_identity)? else { return Ok(self) };
        let decoder = (!decoder.is_plain_json()).then(|| RefCell::new(decoder));
        Ok(Self { decoder, mapping, is_direct: topic == config.topics.touchpoints, ..self })
    }

    /// The mapping of every record.
    pub(super) fn mapping(&self) -> Option<&Arc<Mapping>> {
        self.mapping.as_ref()
    }

    /// Whether the records of a topic need not be keyed by customer: its partitions are then one stream.
    fn is_one_stream(&self) -> bool {
        let is_foreign = self.mapping.is_some() || self.decoder.is_some();
        (is_foreign && !self.is_direct) || self.blocked_ids.is_some()
    }

    /// Links visitors to customers, unless `blocked_ids` is `None`. All partitions of a topic are then one stream, in
    /// order of event time, because links connect ids of any partitions.
    pub(super) fn with_identity(self, blocked_ids: Option<BlockedIds>) -> Self {
        Self { blocked_ids, ..self }
    }

    /// Opens a topic and determines the end of each partition.
    pub(super) fn topic(
        cluster: &Cluster,
        topic: &str,
        group_id: &str,
        record_bytes_max: usize,
    ) -> Result<Self, SourceError> {
        let scan = TopicScan::open(cluster, topic, group_id)?;
        let scan = scan.ok_or_else(|| SourceError::UnknownTopic(topic.to_owned()))?;
        Ok(Self::of(Input::Topic(Box::new(scan), topic.to_owned(), record_bytes_max)))
    }

    /// Returns the decoder of the touchpoints, for the models of `vocabulary`.
    pub(super) fn decoder(&self, vocabulary: &Vocabulary) -> TouchpointDecoder {
        let bytes_max = match &self.input {
            Input::Files(_) => LINE_BYTES_MAX,
            Input::Topic(_, _, bytes_max) => *bytes_max,
        };
        let decoder = TouchpointDecoder::new(vocabulary, TouchpointOptions { bytes_max });
        decoder.with_identity(self.blocked_ids.clone())
    }

    /// Returns the streams of the source.
    pub(super) fn streams(&self) -> Vec<Stream> {
        match &self.input {
            Input::Topic(scan, ..) if !self.is_one_stream() => scan.partitions().map(Some).collect(),
            Input::Files(_) | Input::Topic(..) => vec![None],
        }
    }

    /// Calls `apply` with each touchpoint of `stream` in order, and `progress` with the size of each chunk of a file.
    ///
    /// With a mapping, the touchpoints of files are in the order of their records. Those of a topic that is not keyed
    /// by customer are sorted by time, because the order of its partitions says nothing; all of them are in memory.
    pub(super) fn for_each<'s, E: From<SourceError>>(
        &'s self,
        stream: Stream,
        progress: impl Fn(usize) + Clone + 'static,
        mut apply: impl FnMut(InputRecord<'s, '_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let is_sorted = matches!(self.input, Input::Topic(..)) && self.is_one_stream();
        let mut sorted: Vec<(Timestamp, PartitionId, i64, Vec<u8>)> = Vec::new();
        let decoder = self.decoder(&Vocabulary::default());
        self.for_each_raw(stream, progress, |record, key, headers| {
            if record.problem.is_some() || record.is_blank_line() || !record.is_complete() {
                return apply(record);
            }
            let Some(mapping) = self.mapping.as_ref().filter(|_| !record.is_native) else {
                let (true, Place::Offset { partition, offset, .. }) = (is_sorted, record.place) else {
                    return apply(record);
                };
                // The erasure itself is part of the stream, so its copies are not needed.
                if record.is_forwarded {
                    return Ok(());
                }
                let occurred_at = decoder.decode(record.bytes, &mut Scratch::default()).map(|it| it.occurred_at);
                let Ok(occurred_at) = occurred_at else { return apply(record) };
                sorted.push((occurred_at, partition, offset, record.bytes.to_vec()));
                return Ok(());
            };
            let values = match values(Some(mapping), record, key, headers).and_then(|it| mapping.records(it)) {
                Ok(values) => values,
                Err(cause) => return apply(InputRecord { problem: Some(&cause), ..record }),
            };
            for at in 0..values.count() {
                match mapping.map_record(&values, at) {
                    Outcome::Invalid(cause) => apply(InputRecord { problem: Some(&cause), ..record })?,
                    Outcome::Dropped(reason) => *self.dropped.borrow_mut().entry(reason.to_owned()).or_default() += 1,
                    Outcome::Touchpoints(touchpoints) => {
                        for touchpoint in touchpoints {
                            let mut json = Vec::new();
                            touchpoint.write_json(&mut json);
                            match record.place {
                                Place::Offset { partition, offset, .. } if is_sorted => {
                                    sorted.push((touchpoint.occurred_at, partition, offset, json));
                                }
                                _ => apply(InputRecord { bytes: &json, length: json.len() as u64, ..record })?,
                            }
                        }
                    }
                }
            }
            Ok(())
        })?;
        self.apply_sorted(sorted, apply)
    }

    /// Calls `apply` with touchpoints of a topic, in order of time.
    fn apply_sorted<'s, E: From<SourceError>>(
        &'s self,
        mut sorted: Vec<(Timestamp, PartitionId, i64, Vec<u8>)>,
        mut apply: impl FnMut(InputRecord<'s, '_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Input::Topic(_, topic, _) = &self.input else { return Ok(()) };
        sorted.sort_by_key(|&(occurred_at, partition, offset, _)| (occurred_at, partition, offset));
        for (_, partition, offset, json) in &sorted {
            let place = Place::Offset { topic, partition: *partition, offset: *offset };
            let length = json.len() as u64;
            let (is_forwarded, is_native) = (false, false);
            apply(InputRecord { place, bytes: json, length, problem: None, is_forwarded, is_native })?;
        }
        Ok(())
    }

    /// Calls `apply` with the place and the values of each record of `stream`, before any mapping. Leaves out what the
    /// service has written to the topic of another format.
    pub(super) fn for_each_value<E: From<SourceError>>(
        &self,
        stream: Stream,
        mut apply: impl FnMut(&str, Result<RecordValues, String>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.for_each_raw(
            stream,
            |_| {},
            |record, key, headers| {
                if record.is_blank_line() || record.is_native {
                    return Ok(());
                }
                let values = if let Some(cause) = record.problem {
                    Err(format!("{}: {}", cause.reason.as_str(), cause.detail))
                } else if record.is_complete() {
                    values(None, record, key, headers)
                        .map_err(|cause| format!("{}: {}", cause.reason.as_str(), cause.detail))
                } else {
                    Err(format!("{} bytes, at most {LINE_BYTES_MAX}", record.length))
                };
                apply(&record.place.to_string(), values)
            },
        )
    }

    /// Resets the number of records that the mapping dropped, before the source is read again.
    pub(super) fn reset_dropped(&self) {
        self.dropped.borrow_mut().clear();
    }

    /// Prints how many records the mapping dropped, by reason.
    pub(super) fn report_dropped(&self) {
        let dropped = self.dropped.borrow();
        if let Some(mapping) = &self.mapping
            && !dropped.is_empty()
        {
            let counts: Vec<String> = dropped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            print_error(format_args!("records dropped by the mapping {}: {}", mapping.name(), counts.join(", ")));
        }
    }

    /// Calls `apply` with each record, its key and its headers. A stream of `None` is all files or all partitions.
    fn for_each_raw<'s, E: From<SourceError>>(
        &'s self,
        stream: Stream,
        progress: impl Fn(usize) + Clone + 'static,
        mut apply: impl FnMut(InputRecord<'s, '_>, Option<&[u8]>, &[RecordHeader]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.input {
            Input::Files(paths) => {
                for path in paths {
                    let unreadable = |error| SourceError::File { path: path.display().to_string(), error };
                    let mut lines = Lines::open(path, LINE_BYTES_MAX, progress.clone()).map_err(unreadable)?;
                    let mut is_empty = true;
                    while let Some(line) = lines.next_line().map_err(unreadable)? {
                        let place = Place::Line { path, number: line.number };
                        let record = InputRecord {
                            place,
                            bytes: line.bytes,
                            length: line.length,
                            problem: None,
                            is_forwarded: false,
                            is_native: false,
                        };
                        is_empty &= record.is_blank_line();
                        apply(record, None, &[])?;
                    }
                    if is_empty {
                        print_error(format_args!("{}: there are no touchpoints in this file", path.display()));
                    }
                }
            }
            Input::Topic(scan, topic, _) => {
                for partition in scan.partitions().filter(|partition| stream.is_none_or(|wanted| wanted == *partition))
                {
                    let mut scan = scan.read(partition).map_err(SourceError::from)?;
                    while let Some(record) = scan.next_record().map_err(SourceError::from)? {
                        let place = Place::Offset { topic, partition, offset: record.offset };
                        let value = record.value.as_deref().unwrap_or_default();
                        let is_native = self.is_direct && is_native(&record);
                        let decoded = if is_native { None } else { self.decode(&record)? };
                        let (bytes, problem) = match &decoded {
                            None => (value, None),
                            Some(Ok(json)) => (&**json, None),
                            Some(Err(cause)) => (value, Some(cause)),
                        };
                        let length = bytes.len() as u64;
                        let is_forwarded = is_forwarded(&record);
                        let input = InputRecord { place, bytes, length, problem, is_forwarded, is_native };
                        apply(input, record.key.as_deref(), &record.headers)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Decodes a record of a topic to JSON; `None` if it is JSON.
    fn decode(&self, record: &Record) -> Result<Option<Result<Vec<u8>, DeadLetterCause>>, SourceError> {
        let Some(decoder) = &self.decoder else { return Ok(None) };
        let headers: Vec<Header<'_>> =
            record.headers.iter().map(|header| (&*header.name, header.value.as_deref())).collect();
        match decoder.borrow_mut().decode(record.value.as_deref().unwrap_or_default(), &headers) {
            Ok(value) => Ok(Some(Ok(value.to_string().into_bytes()))),
            Err(DecodeError::DeadLetter(cause)) => Ok(Some(Err(cause))),
            Err(DecodeError::Unavailable(problem)) => Err(SourceError::Registry(problem)),
        }
    }
}

/// Reads a record: the parts that `mapping` reads, or all of it.
fn values(
    mapping: Option<&Mapping>,
    record: InputRecord<'_, '_>,
    key: Option<&[u8]>,
    headers: &[RecordHeader],
) -> Result<RecordValues, DeadLetterCause> {
    match record.place {
        Place::Line { .. } => RecordValues::of_line(record.bytes),
        Place::Offset { .. } => {
            let headers = headers.iter().filter_map(|header| Some((&*header.name, header.value.as_deref()?)));
            match mapping {
                Some(mapping) => mapping.read(key, headers, record.bytes),
                None => RecordValues::of_topic(key, headers, record.bytes),
            }
        }
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
                let outcome = if let Some(cause) = record.problem {
                    Err(cause.detail.to_string())
                } else if record.is_blank_line() {
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
