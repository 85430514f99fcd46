//! The dead letter of a delivery: the record of the transition, with the destination and the reason in its headers.

use std::sync::Arc;

use super::sender::Problem;
use crate::kafka::subscriber::TopicPartition;
use crate::kafka::{ProducerRecord, Record, RecordHeader};
use crate::lifecycle::time::Timestamp;

/// The header with the name of the destination.
pub(super) const DESTINATION: &str = "lifecycle_destination";

/// Prefix of the headers that a dead letter adds.
const PREFIX: &str = "lifecycle_";

/// Returns the dead letter of a record.
pub(super) fn dead_letter(
    topic: &Arc<str>,
    destination: &str,
    from: &TopicPartition,
    record: &Record,
    problem: &Problem,
    attempts: u32,
    now: Timestamp,
) -> ProducerRecord {
    let mut headers = record.headers.clone();
    headers.retain(|header| !header.name.starts_with(PREFIX));
    let mut add = |name: &str, value: &[u8]| {
        headers.push(RecordHeader { name: name.to_owned(), value: Some(value.to_vec()) });
    };
    add(DESTINATION, destination.as_bytes());
    add("lifecycle_reason", problem.kind.as_bytes());
    add("lifecycle_detail", problem.what.as_bytes());
    if let Some(status) = problem.status {
        add("lifecycle_status", status.to_string().as_bytes());
        add("lifecycle_response", &problem.excerpt);
    }
    add("lifecycle_attempts", attempts.to_string().as_bytes());
    add("lifecycle_topic", from.topic.as_bytes());
    add("lifecycle_partition", from.partition.to_string().as_bytes());
    add("lifecycle_offset", record.offset.to_string().as_bytes());
    ProducerRecord {
        topic: Arc::clone(topic),
        partition: None,
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
        timestamp_ms: now.as_millis(),
    }
}

/// Returns the destination of a dead letter.
pub(super) fn destination_of(record: &Record) -> Option<&str> {
    let header = record.headers.iter().rev().find(|header| header.name == DESTINATION)?;
    std::str::from_utf8(header.value.as_deref()?).ok()
}
