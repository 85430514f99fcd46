//! The headers of a dead letter: the position of the record that was rejected, and the reason.
//!
//! Key, value and original headers are kept as received, unless together they exceed [`BYTES_MAX`]. The broker would
//! reject such a dead letter, and the partition could not progress past it, so it is truncated, and a header records
//! the original sizes. `stored` reads these headers back, `redriven` marks dead letters that were written to their
//! source topic again.

pub mod redriven;
pub mod stored;

use super::header::Header;
use crate::partition::DeadLetterReason;

/// The topic, partition and offset of the rejected record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin<'a> {
    /// The touchpoint topic.
    pub topic: &'a str,
    /// The partition of that topic.
    pub partition: i32,
    /// The offset in that partition.
    pub offset: i64,
    /// The record's timestamp, in milliseconds since the Unix epoch; `None` if it has none.
    pub timestamp_ms: Option<i64>,
}

const PREFIX: &str = "lifecycle_";
const REASON: &str = "lifecycle_reason";
/// Prefix of the headers that say from which record of a source a touchpoint was made. A dead letter keeps them.
pub const SOURCE_PREFIX: &str = "lifecycle_source";

/// Returns the headers of a dead letter: those of the record, then ours. Replaces our headers if the record already has
/// them, which means that a dead letter was written to the touchpoint topic again and is rejected again.
#[must_use]
pub fn headers(original: Vec<Header>, origin: Origin<'_>, reason: DeadLetterReason, detail: &str) -> Vec<Header> {
    let mut headers = original;
    headers.retain(|header| !is_about_rejection(&header.name));
    headers.push(Header::text(REASON, reason.as_str()));
    if !detail.is_empty() {
        headers.push(Header::text("lifecycle_detail", detail));
    }
    headers.push(Header::text("lifecycle_topic", origin.topic));
    headers.push(Header::text("lifecycle_partition", origin.partition.to_string()));
    headers.push(Header::text("lifecycle_offset", origin.offset.to_string()));
    if let Some(timestamp_ms) = origin.timestamp_ms {
        headers.push(Header::text("lifecycle_timestamp", timestamp_ms.to_string()));
    }
    headers
}

/// Whether a header of this name says why or where a record was rejected.
#[must_use]
pub fn is_about_rejection(name: &str) -> bool {
    name.starts_with(PREFIX) && !name.starts_with(SOURCE_PREFIX)
}

/// Maximum size of a dead letter's key, value and original headers together, in bytes. With our headers the record
/// stays below the default of `max.message.bytes`.
pub const BYTES_MAX: usize = 1_000_000;
/// Maximum size of the key, and of the original headers, in a truncated dead letter, in bytes.
const PART_BYTES_MAX: usize = 64 << 10;

/// Truncates a record that is larger than [`BYTES_MAX`]: drops its headers if they are too large, and shortens key and
/// value. Returns a header with the original sizes, or `None` if the record fits.
pub fn truncate(key: &mut Option<Vec<u8>>, value: &mut Option<Vec<u8>>, headers: &mut Vec<Header>) -> Option<Header> {
    let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let size_of_headers =
        |headers: &[Header]| headers.iter().map(|header| header.name.len() + size(&header.value)).sum::<usize>();
    let (key_size, value_size, headers_size) = (size(key), size(value), size_of_headers(headers));
    if key_size + value_size + headers_size <= BYTES_MAX {
        return None;
    }
    if headers_size > PART_BYTES_MAX {
        headers.clear();
    }
    if let Some(key) = key {
        key.truncate(PART_BYTES_MAX);
    }
    let value_bytes_max = BYTES_MAX - size(key) - size_of_headers(headers);
    if let Some(value) = value {
        value.truncate(value_bytes_max);
    }
    Some(Header::text("lifecycle_cut", format!("key {key_size}, value {value_size}, headers {headers_size}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_within_the_limit_is_not_truncated() {
        let (mut key, mut value) = (Some(vec![b'k'; 10]), Some(vec![b'v'; BYTES_MAX - 15]));
        let mut headers = vec![Header { name: "a".to_owned(), value: Some(vec![0; 4]) }];
        assert_eq!(truncate(&mut key, &mut value, &mut headers), None);
        assert_eq!(value.map(|value| value.len()), Some(BYTES_MAX - 15));
    }

    #[test]
    fn an_oversized_value_is_truncated_and_a_header_records_the_sizes() {
        let (mut key, mut value) = (Some(vec![b'k'; 10]), Some(vec![b'v'; 5 << 20]));
        let mut headers = vec![Header { name: "a".to_owned(), value: Some(vec![0; 4]) }];
        let header = truncate(&mut key, &mut value, &mut headers);
        assert_eq!(header, Some(Header::text("lifecycle_cut", "key 10, value 5242880, headers 5")));
        assert_eq!(value.map(|value| value.len()), Some(BYTES_MAX - 15));
        assert_eq!((key.map(|key| key.len()), headers.len()), (Some(10), 1));
    }

    #[test]
    fn a_large_key_and_large_headers_are_truncated_before_the_value() {
        let (mut key, mut value) = (Some(vec![b'k'; 2 << 20]), Some(vec![b'v'; 100]));
        let mut headers = vec![Header { name: "a".to_owned(), value: Some(vec![0; 2 << 20]) }];
        truncate(&mut key, &mut value, &mut headers).expect("the record is too large");
        assert_eq!((key.map(|key| key.len()), headers.len()), (Some(64 << 10), 0));
        assert_eq!(value.map(|value| value.len()), Some(100));
    }

    const ORIGIN: Origin<'_> =
        Origin { topic: "shop.touchpoints", partition: 3, offset: 42, timestamp_ms: Some(853_602_944_000) };

    fn ours(detail: &str) -> Vec<Header> {
        let mut ours = vec![
            Header::text("lifecycle_reason", "bad_field"),
            Header::text("lifecycle_detail", detail),
            Header::text("lifecycle_topic", "shop.touchpoints"),
            Header::text("lifecycle_partition", "3"),
            Header::text("lifecycle_offset", "42"),
            Header::text("lifecycle_timestamp", "853602944000"),
        ];
        ours.retain(|header| header.value.as_deref() != Some(b""));
        ours
    }

    #[test]
    fn original_headers_come_first() {
        let original = vec![
            Header { name: "trace".to_owned(), value: Some(vec![0xff, 0]) },
            Header { name: "trace".to_owned(), value: None },
        ];
        let expected: Vec<_> = original.iter().cloned().chain(ours("amount is not a decimal")).collect();
        assert_eq!(headers(original, ORIGIN, DeadLetterReason::BadField, "amount is not a decimal"), expected);
    }

    #[test]
    fn headers_of_an_earlier_rejection_are_replaced() {
        let first = headers(vec![], Origin { offset: 7, ..ORIGIN }, DeadLetterReason::InFuture, "");
        assert_eq!(headers(first, ORIGIN, DeadLetterReason::BadField, "once more"), ours("once more"));
    }

    #[test]
    fn headers_without_a_value_are_omitted() {
        let headers = headers(vec![], Origin { timestamp_ms: None, ..ORIGIN }, DeadLetterReason::Empty, "");
        let names: Vec<_> = headers.iter().map(|header| header.name.as_str()).collect();
        assert_eq!(names, ["lifecycle_reason", "lifecycle_topic", "lifecycle_partition", "lifecycle_offset"]);
    }
}
