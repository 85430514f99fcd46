//! Builds the records that an ingest worker writes: touchpoints keyed by their customer or visitor, and dead letters.
//!
//! A touchpoint keeps the headers of its original record, and carries the position, key and timestamp of that record as
//! further headers. Record timestamps are wall time: by event time, retention would delete old touchpoints at once.

use crate::kafka::{ProducerRecord, Record, RecordBatch, RecordHeader, RecordWriter};
use crate::lifecycle::time::Timestamp;
use crate::runtime::{KeyedTouchpoint, dead_letter_record};
use crate::wire::dead_letter::{BYTES_MAX, SOURCE_PREFIX};
use crate::wire::touchpoint_json::DeadLetterCause;

use super::options::Options;

/// Maximum size of the original headers and of the original key in a touchpoint record, in bytes. Larger ones are left
/// out, and so are those with which the record would exceed [`BYTES_MAX`]: it must stay within the limit of the topic.
const COPIED_BYTES_MAX: usize = 64 << 10;

/// The headers with the origin of a touchpoint; they start with [`SOURCE_PREFIX`].
const TOPIC: &str = "lifecycle_source_topic";
const PARTITION: &str = "lifecycle_source_partition";
const OFFSET: &str = "lifecycle_source_offset";
const TIMESTAMP: &str = "lifecycle_source_timestamp";
const KEY: &str = "lifecycle_source_key";

/// Appends the record of a touchpoint of `original`, published at `wall`. Returns the size of its key and value.
pub(super) fn write_touchpoint(
    original: &Record,
    touchpoint: &KeyedTouchpoint,
    options: &Options,
    wall: Timestamp,
    records: &mut RecordBatch,
) -> usize {
    let room = BYTES_MAX.saturating_sub(touchpoint.value.len() + touchpoint.key.len());
    let mut record = records.add(&options.touchpoints, None, wall.as_millis());
    record.key(touchpoint.key.as_bytes());
    record.value(|out| out.extend_from_slice(&touchpoint.value));
    write_headers(original, options, room, &mut record);
    record.bytes()
}

/// Returns the record of a dead letter, published at `wall`.
pub(super) fn dead_letter(
    original: Record,
    cause: &DeadLetterCause,
    options: &Options,
    wall: Timestamp,
) -> ProducerRecord {
    let mut record =
        dead_letter_record(original, &options.topic, cause.reason, &cause.detail, &options.dead_letters, wall);
    record
        .headers
        .push(RecordHeader { name: SOURCE_PREFIX.to_owned(), value: Some(options.source.as_bytes().to_vec()) });
    record
}

fn write_headers(original: &Record, options: &Options, room: usize, record: &mut RecordWriter<'_>) {
    let size = |header: &RecordHeader| header.name.len() + header.value.as_ref().map_or(0, Vec::len);
    let others = || original.headers.iter().filter(|header| !header.name.starts_with(SOURCE_PREFIX));
    let mut copied = others().map(size).sum::<usize>();
    if copied > room.min(COPIED_BYTES_MAX) {
        copied = 0;
    } else {
        others().for_each(|header| record.header(&header.name, header.value.as_deref()));
    }
    record.header(SOURCE_PREFIX, Some(options.source.as_bytes()));
    record.header(TOPIC, Some(options.topic.as_bytes()));
    record.header(PARTITION, Some(original.partition.to_string().as_bytes()));
    record.header(OFFSET, Some(original.offset.to_string().as_bytes()));
    if let Some(timestamp_ms) = original.timestamp_ms {
        record.header(TIMESTAMP, Some(timestamp_ms.to_string().as_bytes()));
    }
    if let Some(key) = original.key.as_ref().filter(|key| key.len() <= COPIED_BYTES_MAX.min(room - copied)) {
        record.header(KEY, Some(key));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::partition::DeadLetterReason;

    fn options() -> Options {
        Options {
            source: "web".into(),
            topic: "events".into(),
            touchpoints: "touchpoints".into(),
            dead_letters: "dead-letters".into(),
            commit_interval: Duration::from_millis(100),
        }
    }

    fn record(headers: Vec<RecordHeader>) -> Record {
        Record {
            partition: 3,
            offset: 42,
            timestamp_ms: Some(1_000),
            key: Some(vec![0xff]),
            value: Some(b"{}".to_vec()),
            headers,
        }
    }

    fn touchpoint_record(original: &Record, touchpoint: &KeyedTouchpoint) -> ProducerRecord {
        let mut records = RecordBatch::default();
        write_touchpoint(original, touchpoint, &options(), Timestamp::from_millis(9_000), &mut records);
        records.iter().next().expect("a record was added").into()
    }

    fn names(record: &ProducerRecord) -> Vec<&str> {
        record.headers.iter().map(|header| header.name.as_str()).collect()
    }

    #[test]
    fn a_touchpoint_carries_position_key_and_headers_of_its_original() {
        let touchpoint = KeyedTouchpoint { key: "c-1".to_owned(), value: b"{}".to_vec() };
        let stale = RecordHeader { name: OFFSET.to_owned(), value: Some(b"7".to_vec()) };
        let trace = RecordHeader { name: "trace".to_owned(), value: None };
        let original = record(vec![trace, stale]);
        let written = touchpoint_record(&original, &touchpoint);
        assert_eq!((written.key.as_deref(), written.partition), (Some(&b"c-1"[..]), None));
        assert_eq!(
            names(&written),
            [
                "trace",
                "lifecycle_source",
                "lifecycle_source_topic",
                "lifecycle_source_partition",
                "lifecycle_source_offset",
                "lifecycle_source_timestamp",
                "lifecycle_source_key"
            ]
        );
        assert_eq!(written.headers[4].value.as_deref(), Some(&b"42"[..]));
        assert_eq!(written.headers[6].value.as_deref(), Some(&[0xff][..]));
        let large = record(vec![RecordHeader { name: "large".to_owned(), value: Some(vec![0; COPIED_BYTES_MAX]) }]);
        let written = touchpoint_record(&large, &touchpoint);
        assert!(!names(&written).contains(&"large"));
        let touchpoint = KeyedTouchpoint { key: "c-1".to_owned(), value: vec![b' '; BYTES_MAX] };
        let small = record(vec![RecordHeader { name: "small".to_owned(), value: None }]);
        let written = touchpoint_record(&small, &touchpoint);
        assert!(!names(&written).contains(&"small") && !names(&written).contains(&"lifecycle_source_key"));
    }

    #[test]
    fn a_dead_letter_names_the_source_and_the_position_in_its_topic() {
        let cause = DeadLetterCause { reason: DeadLetterReason::NotJson, detail: "x".into() };
        let written = dead_letter(record(Vec::new()), &cause, &options(), Timestamp::from_millis(9_000));
        let header = |name: &str| {
            let header = written.headers.iter().find(|header| header.name == name);
            header.and_then(|header| header.value.clone()).map(|value| String::from_utf8(value).expect("text"))
        };
        assert_eq!(header("lifecycle_topic").as_deref(), Some("events"));
        assert_eq!(header("lifecycle_offset").as_deref(), Some("42"));
        assert_eq!(header("lifecycle_reason").as_deref(), Some("not_json"));
        assert_eq!(header("lifecycle_source").as_deref(), Some("web"));
        assert_eq!((&*written.topic, written.key), ("dead-letters", Some(vec![0xff])));
    }
}
