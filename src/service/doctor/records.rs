//! Checks single records of the touchpoint topic: whether the next unread one can be read, and whether the key of the
//! latest one is its customer id and belongs to its partition.
//!
//! Pure: evaluates what the caller has read.

use std::collections::BTreeMap;

use crate::finding::{Finding, Severity};
use crate::kafka::cluster::inspector::InspectedRecord;
use crate::kafka::partitioner::partition_of;
use crate::kafka::{Error, Record};
use crate::runtime::{DirectSource, Translation, is_forwarded};
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

/// Checks the keys of the latest records, by partition, in a topic with `partitions` partitions, from which the workers
/// read the source `direct`. Records that are not touchpoints have no customer id, and the copies of erasures that the
/// service forwards are in all partitions.
pub(super) fn keys(
    topic: &str,
    partitions: i32,
    latest: &BTreeMap<i32, InspectedRecord>,
    mut direct: Option<DirectSource>,
) -> Option<Finding> {
    let touchpoints: Vec<_> = (latest.iter())
        .map(|(&partition, it)| (partition, &it.record))
        .filter(|(_, record)| !is_forwarded(record))
        .filter_map(|(partition, record)| Some((partition, record, customer_of(record, direct.as_mut())?)))
        .collect();
    let wrong: Vec<i32> = (touchpoints.iter())
        .filter(|(_, record, id)| record.key.as_deref() != Some(id.as_bytes()))
        .map(|&(partition, ..)| partition)
        .collect();
    let misplaced: Vec<i32> = (touchpoints.iter())
        .filter(|(partition, _, id)| partition_of(id.as_bytes(), partitions) != *partition)
        .map(|&(partition, ..)| partition)
        .collect();
    if latest.is_empty() {
        return None;
    }
    Some(if wrong.is_empty() && misplaced.is_empty() {
        Finding::passed(
            ABOUT,
            topic,
            "the keys of the latest records are their customer ids, in the partitions of Java's partitioner",
        )
    } else if wrong.is_empty() {
        Finding::new(
            Severity::Warning,
            ABOUT,
            topic,
            format!(
                "the latest touchpoint is not in the partition that Java's partitioner gives its key, in partitions {misplaced:?}"
            ),
            "set partitioner=murmur2_random in producers that use librdkafka (Python, Go, .NET, C, Rust): if two partitioners \
             write the touchpoints of a customer, the customer counts as two; sources, erasures and redriven dead letters are \
             written as Java writes them",
        )
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

/// Returns the customer of a record, which the source `direct` translates unless it is a touchpoint in JSON.
fn customer_of(record: &Record, direct: Option<&mut DirectSource>) -> Option<String> {
    match direct.and_then(|source| source.translate(record)) {
        None => customer_id(record.value.as_deref()?),
        Some(Translation::Touchpoints(touchpoints)) => customer_id(&touchpoints.first()?.value),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::RecordHeader;

    fn record(key: Option<&str>, value: &str) -> InspectedRecord {
        let (key, value) = (key.map(|key| key.as_bytes().to_vec()), Some(value.as_bytes().to_vec()));
        let record = Record { partition: 0, offset: 0, timestamp_ms: None, key, value, headers: Vec::new() };
        InspectedRecord { record, is_append_time: false }
    }

    #[test]
    fn a_key_that_is_not_the_customer_id_is_a_warning() {
        const PARTITIONS: i32 = 1_000;
        assert_eq!(keys("in", PARTITIONS, &BTreeMap::new(), None), None);
        let check = |records: &[(i32, &InspectedRecord)]| {
            let latest = records.iter().map(|&(partition, record)| (partition, record.clone())).collect();
            let check = keys("in", PARTITIONS, &latest, None).expect("a check");
            assert!(!check.what.contains("anna"), "{}", check.what);
            (check.severity, check.what)
        };
        let touchpoint = r#"{"event_id":"e","customer_id":"anna","type":"t"}"#;
        let (anna, other) = (record(Some("anna"), touchpoint), record(None, "no touchpoint"));
        let number = record(Some("1042"), r#"{"customer_id":1042}"#);
        let (home, home_of_number) = (partition_of(b"anna", PARTITIONS), partition_of(b"1042", PARTITIONS));
        let good = [(home, &anna), (home + 1, &other), (home_of_number, &number)];
        assert_eq!(check(&good).0, Severity::Passed);
        for wrong in [record(None, touchpoint), record(Some("\"anna\""), touchpoint)] {
            let (severity, what) = check(&[(home, &wrong), (home_of_number, &number)]);
            assert_eq!(severity, Severity::Warning, "{what}");
            assert!(what.ends_with(&format!("not its customer id in partitions [{home}]")), "{what}");
        }
        let (severity, what) = check(&[(home + 2, &anna), (home_of_number, &number)]);
        assert_eq!(severity, Severity::Warning, "{what}");
        assert!(what.ends_with(&format!("gives its key, in partitions [{}]", home + 2)), "{what}");
        let mut copy = anna.clone();
        copy.record.headers.push(RecordHeader { name: "lifecycle_forwarded_from".to_owned(), value: None });
        assert_eq!(check(&[(home + 2, &copy)]).0, Severity::Passed);
    }
}
