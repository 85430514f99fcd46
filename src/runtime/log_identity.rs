//! Recognizes a touchpoint topic that was deleted and created again while the service reads it.
//!
//! The client continues at its offset of the new log, because it knows a topic only by name. The worker therefore
//! remembers a record of each partition that it read, and reads it again from time to time: another record at the same
//! offset proves that the topic was created again.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::kafka::Record;

/// The records by which a partition's log is recognized.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct LogIdentity {
    /// The record to read again. It is replaced only after it was found unchanged: records read since may be those of
    /// another log.
    anchor: Option<RecordDigest>,
    latest: Option<RecordDigest>,
}

impl LogIdentity {
    /// Records that `record` was read.
    pub(super) fn observe(&mut self, record: &Record) {
        self.latest = Some(RecordDigest::of(record));
        self.anchor = self.anchor.or(self.latest);
    }

    /// Returns the offset of the record to read again.
    pub(super) fn offset(&self) -> Option<i64> {
        self.anchor.map(|anchor| anchor.offset)
    }

    /// Compares the remembered record with `found`, the record now at its offset; `None` if retention has deleted it.
    /// Returns whether the log may still be the same.
    pub(super) fn confirm(&mut self, found: Option<&Record>) -> bool {
        if found.is_some_and(|found| Some(RecordDigest::of(found)) != self.anchor) {
            return false;
        }
        self.anchor = self.latest.filter(|latest| found.is_some() || Some(*latest) != self.anchor);
        true
    }
}

/// Offset and digest of a record that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct RecordDigest {
    offset: i64,
    digest: u64,
}

impl RecordDigest {
    fn of(record: &Record) -> Self {
        let mut hasher = DefaultHasher::new();
        (record.timestamp_ms, &record.key, &record.value).hash(&mut hasher);
        Self { offset: record.offset, digest: hasher.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_record_at_the_same_offset_is_recognized() {
        let record = Record {
            partition: 0,
            offset: 7,
            timestamp_ms: Some(1),
            key: Some(b"anna".to_vec()),
            value: Some(b"{}".to_vec()),
            headers: Vec::new(),
        };
        let mut identity = LogIdentity::default();
        identity.observe(&record);
        assert_eq!(identity.offset(), Some(7));
        assert!(identity.confirm(Some(&record)));
        for other in [
            Record { timestamp_ms: Some(2), ..record.clone() },
            Record { key: None, ..record.clone() },
            Record { value: Some(b"{ }".to_vec()), ..record.clone() },
        ] {
            // A later record, perhaps of the new log, does not replace the one to read again.
            identity.observe(&Record { offset: 8, ..other.clone() });
            assert!(!identity.confirm(Some(&other)));
        }
        assert!(identity.confirm(Some(&record)));
        assert_eq!(identity.offset(), Some(8), "found unchanged, it is replaced by the latest");
        assert!(identity.confirm(None), "retention has deleted it");
        assert_eq!(identity.offset(), None);
    }
}
