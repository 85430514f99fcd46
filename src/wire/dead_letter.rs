//! Headers that say of a dead letter where it came from and why it was set aside.
//!
//! Key and value of the record stay as they were, and so do its own headers, unless the record is larger than a topic
//! takes by default: one record too large to be set aside would stop the service. Then a header says what was cut.

use super::header::Header;
use crate::partition::Reason;

/// Where a record was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin<'a> {
    /// The input topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
    /// The record's own timestamp, in milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
}

const PREFIX: &str = "lifecycle_";

/// The headers of the dead letter: those of the record, then ours. Of a dead letter that was sent back and failed again,
/// our older headers are left out.
#[must_use]
pub fn headers(original: Vec<Header>, origin: Origin<'_>, reason: Reason, detail: &str) -> Vec<Header> {
    let mut headers = original;
    headers.retain(|header| !header.name.starts_with(PREFIX));
    headers.push(Header::text("lifecycle_reason", reason.as_str()));
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

/// How large a dead letter's key, value and own headers may be together; with our headers it stays below the default of
/// `max.message.bytes`.
pub const BYTES_MAX: usize = 1_000_000;
/// How large the key may be, and the record's own headers, in a dead letter that has to be cut.
const PART_BYTES_MAX: usize = 64 << 10;

/// Cuts a record that is larger than [`BYTES_MAX`]: headers of their own go as a whole, key and value lose their ends. Returns the header
/// that says how large they were.
pub fn cut(key: &mut Option<Vec<u8>>, value: &mut Option<Vec<u8>>, headers: &mut Vec<Header>) -> Option<Header> {
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
    let left = BYTES_MAX - size(key) - size_of_headers(headers);
    if let Some(value) = value {
        value.truncate(left);
    }
    Some(Header::text("lifecycle_cut", format!("key {key_size}, value {value_size}, headers {headers_size}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_a_topic_takes_is_not_cut() {
        let (mut key, mut value) = (Some(vec![b'k'; 10]), Some(vec![b'v'; BYTES_MAX - 15]));
        let mut headers = vec![Header { name: "a".to_owned(), value: Some(vec![0; 4]) }];
        assert_eq!(cut(&mut key, &mut value, &mut headers), None);
        assert_eq!(value.map(|value| value.len()), Some(BYTES_MAX - 15));
    }

    #[test]
    fn of_a_larger_one_the_value_loses_its_end_and_a_header_says_so() {
        let (mut key, mut value) = (Some(vec![b'k'; 10]), Some(vec![b'v'; 5 << 20]));
        let mut headers = vec![Header { name: "a".to_owned(), value: Some(vec![0; 4]) }];
        let said = cut(&mut key, &mut value, &mut headers);
        assert_eq!(said, Some(Header::text("lifecycle_cut", "key 10, value 5242880, headers 5")));
        assert_eq!(value.map(|value| value.len()), Some(BYTES_MAX - 15));
        assert_eq!((key.map(|key| key.len()), headers.len()), (Some(10), 1));
    }

    #[test]
    fn a_large_key_and_large_headers_are_cut_before_the_value() {
        let (mut key, mut value) = (Some(vec![b'k'; 2 << 20]), Some(vec![b'v'; 100]));
        let mut headers = vec![Header { name: "a".to_owned(), value: Some(vec![0; 2 << 20]) }];
        cut(&mut key, &mut value, &mut headers).expect("it is cut");
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
    fn the_headers_of_the_record_are_kept_and_ours_follow() {
        let original = vec![
            Header { name: "trace".to_owned(), value: Some(vec![0xff, 0]) },
            Header { name: "trace".to_owned(), value: None },
        ];
        let expected: Vec<_> = original.iter().cloned().chain(ours("amount is no decimal")).collect();
        assert_eq!(headers(original, ORIGIN, Reason::BadField, "amount is no decimal"), expected);
    }

    #[test]
    fn a_second_failure_replaces_the_first() {
        let first = headers(vec![], Origin { offset: 7, ..ORIGIN }, Reason::InFuture, "");
        assert_eq!(headers(first, ORIGIN, Reason::BadField, "once more"), ours("once more"));
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let headers = headers(vec![], Origin { timestamp_ms: None, ..ORIGIN }, Reason::Empty, "");
        let names: Vec<_> = headers.iter().map(|header| header.name.as_str()).collect();
        assert_eq!(names, ["lifecycle_reason", "lifecycle_topic", "lifecycle_partition", "lifecycle_offset"]);
    }
}
