//! Checks single records of the touchpoint topic: whether the next unread one can be read, and whether the key of the
//! latest one is its customer id.
//!
//! Pure: evaluates what the caller has read.

use std::collections::BTreeMap;

use crate::finding::{Finding, Severity};
use crate::kafka::Error;
use crate::kafka::cluster::inspector::InspectedRecord;
use crate::wire::customer_id::customer_id;

const ABOUT: &str = "touchpoints";

/// Returns the problem of a partition whose records from `offset` on cannot be read because of `error`.
pub(super) fn unreadable(topic: &str, partition: i32, offset: i64, error: &Error) -> Finding {
    Finding::new(
        Severity::Problem,
        ABOUT,
        format!("partition {partition} of {topic}"),
        format!("the records from offset {offset} on cannot be read: {} ({})", error.what, error.code),
        "raise receive.message.max.bytes under kafka.client if a batch is larger than that when decompressed; see the runbook \
         LifecycleReadErrors for a batch that is corrupt",
    )
}

/// Checks the keys of the latest records, by partition. Records that are not touchpoints have no customer id.
pub(super) fn keys(topic: &str, latest: &BTreeMap<i32, InspectedRecord>) -> Option<Finding> {
    let has_wrong_key = |record: &InspectedRecord| {
        customer_id(&record.value).is_some_and(|id| record.key.as_deref() != Some(id.as_bytes()))
    };
    let wrong: Vec<i32> =
        latest.iter().filter(|(_, record)| has_wrong_key(record)).map(|(&partition, _)| partition).collect();
    if latest.is_empty() {
        return None;
    }
    Some(if wrong.is_empty() {
        Finding::passed(ABOUT, topic, "the keys of the latest records are their customer ids")
    } else {
        Finding::new(
            Severity::Warning,
            ABOUT,
            topic,
            format!("the record key of the latest touchpoint is not its customer id in partitions {wrong:?}"),
            "fix the producer: the key decides the partition, and a customer whose touchpoints are in several partitions counts as \
             several customers",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: Option<&str>, value: &str) -> InspectedRecord {
        let key = key.map(|key| key.as_bytes().to_vec());
        InspectedRecord { offset: 0, timestamp_ms: None, is_append_time: false, key, value: value.as_bytes().to_vec() }
    }

    #[test]
    fn a_key_that_is_not_the_customer_id_is_a_warning() {
        assert_eq!(keys("in", &BTreeMap::new()), None);
        let touchpoint = r#"{"event_id":"e","customer_id":"anna","type":"t"}"#;
        let good = [(0, record(Some("anna"), touchpoint)), (1, record(None, "no touchpoint"))];
        let number = (2, record(Some("1042"), r#"{"customer_id":1042}"#));
        let check = keys("in", &good.clone().into_iter().chain([number]).collect()).expect("a check");
        assert_eq!(check.severity, Severity::Passed, "{check:?}");
        let wrong = [(3, record(None, touchpoint)), (4, record(Some("\"anna\""), touchpoint))];
        let check = keys("in", &good.into_iter().chain(wrong).collect()).expect("a check");
        assert_eq!(check.severity, Severity::Warning, "{check:?}");
        assert!(check.what.contains("not its customer id in partitions [3, 4]"), "{}", check.what);
        assert!(!check.what.contains("anna"), "{}", check.what);
    }
}
