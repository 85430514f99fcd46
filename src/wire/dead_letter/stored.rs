//! Reads a dead letter back: why and where it was rejected, and the headers that the original record had.

use super::{REASON, SOURCE_PREFIX, is_about_rejection};
use crate::wire::header::Header;

/// What the headers of a dead letter say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredDeadLetter {
    /// The reason, one of those in `docs/contracts.md`. Other programs may have written other reasons.
    pub reason: String,
    /// What is invalid and what was expected; empty if the reason says it all.
    pub detail: String,
    /// The topic that the record was consumed from.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// The record's timestamp, in milliseconds since the Unix epoch; `None` if it had none.
    pub timestamp_ms: Option<i64>,
    /// The sizes before the record was truncated; `None` if it is complete.
    pub cut: Option<String>,
}

impl StoredDeadLetter {
    /// Reads `headers`; `None` if the record is not a dead letter of this program.
    #[must_use]
    pub fn read(headers: &[Header]) -> Option<Self> {
        // Ours are the last ones: the original record may have had headers of the same name.
        let text = |name: &str| {
            let header = headers.iter().rev().find(|header| header.name == name)?;
            std::str::from_utf8(header.value.as_deref()?).ok()
        };
        Some(Self {
            reason: text(REASON)?.to_owned(),
            detail: text("lifecycle_detail").unwrap_or_default().to_owned(),
            topic: text("lifecycle_topic").filter(|topic| !topic.is_empty())?.to_owned(),
            partition: text("lifecycle_partition")?.parse().ok().filter(|partition| *partition >= 0)?,
            offset: text("lifecycle_offset")?.parse().ok().filter(|offset| *offset >= 0)?,
            timestamp_ms: text("lifecycle_timestamp").and_then(|text| text.parse().ok()).filter(|time| *time >= 0),
            cut: text("lifecycle_cut").map(str::to_owned),
        })
    }
}

/// Removes our headers from those of a dead letter, which leaves those of the original record. The headers that say
/// from which record of a source a touchpoint was made are kept: they precede the reason, while the one with which an
/// ingest worker names its source follows it.
#[must_use]
pub fn original_headers(headers: Vec<Header>) -> Vec<Header> {
    let reason = headers.iter().rposition(|header| header.name == REASON).unwrap_or(headers.len());
    let is_original = |(at, header): &(usize, Header)| {
        !is_about_rejection(&header.name) && (*at < reason || !header.name.starts_with(SOURCE_PREFIX))
    };
    headers.into_iter().enumerate().filter(is_original).map(|(_, header)| header).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Origin, headers};
    use super::*;
    use crate::partition::DeadLetterReason;

    #[test]
    fn what_is_written_is_read_back() {
        let trace = Header { name: "trace".to_owned(), value: Some(vec![0xff]) };
        let origin = Origin { topic: "shop", partition: 3, offset: 42, timestamp_ms: Some(7) };
        let mut written = headers(vec![trace.clone()], origin, DeadLetterReason::BadField, "amount");
        let mut expected = StoredDeadLetter {
            reason: "bad_field".to_owned(),
            detail: "amount".to_owned(),
            topic: "shop".to_owned(),
            partition: 3,
            offset: 42,
            timestamp_ms: Some(7),
            cut: None,
        };
        assert_eq!(StoredDeadLetter::read(&written).as_ref(), Some(&expected));
        written.push(Header::text("lifecycle_cut", "key 1, value 2, headers 3"));
        expected.cut = Some("key 1, value 2, headers 3".to_owned());
        assert_eq!(StoredDeadLetter::read(&written), Some(expected));
        let source = Header::text("lifecycle_source", "web");
        written.insert(0, source.clone());
        // An ingest worker names its source after the reason.
        written.push(Header::text("lifecycle_source", "shop"));
        assert_eq!(original_headers(written), [source, trace]);
    }

    #[test]
    fn records_of_other_programs_are_not_dead_letters() {
        assert_eq!(StoredDeadLetter::read(&[Header::text("__connect.errors.topic", "shop")]), None);
        let origin = Origin { topic: "shop", partition: 3, offset: 42, timestamp_ms: None };
        let mut written = headers(vec![], origin, DeadLetterReason::Empty, "");
        assert!(StoredDeadLetter::read(&written).is_some());
        written.retain(|header| header.name != "lifecycle_offset");
        assert_eq!(StoredDeadLetter::read(&written), None);
    }
}
