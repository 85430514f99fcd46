//! Digests of the customers in a changelog, to compare the copy with the original.

use std::collections::HashMap;
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::config::Config;
use crate::kafka::cluster::topic_scan::TopicScan;
use crate::kafka::partitioner::partition_of;
use crate::partition::{StoredLayout, entry_of_changelog};

use super::copy::{for_each, open, unreadable};
use super::{Contents, Failure, Original, OriginalPartition, Progress, Target};

/// Returns the contents of the parts of the old changelog.
pub(super) fn of_original(
    config: &Config,
    topic: &str,
    original: &Original,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Contents, Failure> {
    let scan = open(config, topic)?;
    let mut contents = Contents::default();
    for part in &original.partitions {
        contents.add(of_part(&scan, *part, None)?);
        on_progress(Progress::Compared { topic: topic.to_owned(), partition: part.partition });
    }
    Ok(contents)
}

/// Returns the contents of the new changelog.
pub(super) fn of_copy(
    config: &Config,
    target: &Target,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Contents, Failure> {
    let scan = open(config, &target.changelog)?;
    let mut contents = Contents::default();
    for partition in 0..target.partitions {
        let all = OriginalPartition { partition, start: 0, end: i64::MAX };
        contents.add(of_part(&scan, all, Some(target.partitions))?);
        on_progress(Progress::Compared { topic: target.changelog.clone(), partition });
    }
    Ok(contents)
}

impl Contents {
    fn add(&mut self, other: Self) {
        self.customers += other.customers;
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

/// Returns the contents of one partition. With `partitions`, each customer must hash to this partition.
fn of_part(scan: &TopicScan, part: OriginalPartition, partitions: Option<i32>) -> Result<Contents, Failure> {
    // 16 bytes for each customer, of one partition at a time.
    let mut latest: HashMap<u64, u64> = HashMap::new();
    let mut layout: Option<(Arc<StoredLayout>, u64)> = None;
    for_each(scan, part, |record, decoded| {
        let layout_hash = match &layout {
            Some((known, hash)) if *known == decoded.layout => *hash,
            _ => xxh3_64(format!("{:?}", decoded.layout).as_bytes()),
        };
        layout = Some((Arc::clone(&decoded.layout), layout_hash));
        for entry in &decoded.customers {
            let id = entry_of_changelog::customer_id(entry)
                .ok_or_else(|| unreadable(scan, record, "a customer has no id"))?;
            if partitions.is_some_and(|count| partition_of(id.as_bytes(), count) != part.partition) {
                return Err(unreadable(scan, record, "it contains a customer of another partition"));
            }
            let id_hash = xxh3_64(id.as_bytes());
            if entry_of_changelog::is_removal(entry) {
                latest.remove(&id_hash);
            } else {
                let mut hash = Xxh3::with_seed(layout_hash);
                hash.update(entry);
                latest.insert(id_hash, hash.digest());
            }
        }
        Ok(())
    })?;
    let digest = latest.values().fold(0, |sum: u64, hash| sum.wrapping_add(*hash));
    Ok(Contents { customers: latest.len() as u64, digest })
}
