//! Headers that say of a dead letter where it came from and why it was set aside.
//!
//! Key and value of the record stay as they were, and so do its own headers.

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

#[cfg(test)]
mod tests {
    use super::*;

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
