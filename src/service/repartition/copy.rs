//! Copies the entries of customers to the new changelog.
//!
//! A transaction contains the entries of a range of one old partition. The key of each record names the range, so that
//! an interrupted run can be continued: the new changelog itself says what it contains.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Config;
use crate::kafka::cluster::topic_scan::TopicScan;
use crate::kafka::partitioner::partition_of;
use crate::kafka::{PartitionId, ProducerRecord, Record, TransactionalWriter};
use crate::partition::{ChangelogBatch, StoredLayout, entry_of_changelog};
use crate::runtime::WallClock;
use crate::service::options::command_writer;
use crate::service::topics::cluster;
use crate::wire::changelog::{self, ChangelogDecoder, ChangelogRecord};

use super::{Failure, Original, OriginalPartition, Progress, Target, merged};

/// Name of the writer; with the group id it is its transactional id.
pub(super) const WRITER: &str = "repartition";
/// Key of the records without customers.
const LAYOUT_KEY: &[u8] = b"layout";
/// Bytes of entries or hand-overs after which a transaction is committed.
pub(super) const TRANSACTION_BYTES: usize = 16 << 20;

/// Copies the entries of all old partitions, and returns the layout that the new partitions have at the end.
pub(super) fn copy(
    config: &Config,
    target: &Target,
    original: &Original,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Option<StoredLayout>, Failure> {
    // The writer comes first: it fences a concurrent run, and aborts what an interrupted one left open.
    let mut writer = command_writer(config, WRITER)?;
    let copied = copied_before(config, target)?;
    let scan = open(config, &config.topics.changelog)?;
    let mut layouts = Vec::new();
    for part in &original.partitions {
        let mut entries = 0;
        let mut splitter = Splitter::new(target.partitions);
        let from = copied.get(&part.partition).copied().unwrap_or(part.start).max(part.start);
        let mut last = None;
        for_each(&scan, *part, |record, decoded| {
            last = Some(decoded.layout.as_ref().clone());
            // Records before `from` are read for their layout only.
            if record.offset >= from {
                splitter.add(decoded).ok_or_else(|| unreadable(&scan, record, "a customer has no id"))?;
                entries += decoded.customers.len() as u64;
                if splitter.bytes >= TRANSACTION_BYTES {
                    write(&mut writer, target, splitter.take(), part.partition, record.offset + 1)?;
                }
            }
            Ok(())
        })?;
        write(&mut writer, target, splitter.take(), part.partition, part.end)?;
        layouts.extend(last);
        on_progress(Progress::Copied { partition: part.partition, entries });
    }
    Ok(merged(layouts))
}

/// Appends a record without customers to every new partition. A restore takes from the last record since when each fact
/// is counted.
pub(super) fn write_layout(config: &Config, target: &Target, layout: Option<&StoredLayout>) -> Result<(), Failure> {
    let Some(layout) = layout else { return Ok(()) };
    let topic: Arc<str> = target.changelog.as_str().into();
    let empty = ChangelogBatch { customers: Vec::new(), count: 0 };
    let value = changelog::encode(layout, &empty, &target.progress());
    let records = (0..target.partitions).map(|partition| record(&topic, partition, LAYOUT_KEY.to_vec(), value.clone()));
    command_writer(config, WRITER)?.write(&records.collect::<Vec<_>>())?;
    Ok(())
}

/// Calls `each` with the records of a part of the old changelog, in order.
pub(super) fn for_each(
    scan: &TopicScan,
    part: OriginalPartition,
    mut each: impl FnMut(&Record, &ChangelogRecord<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut decoder = ChangelogDecoder::default();
    let mut partition = scan.read_from(part.partition, part.start)?;
    while let Some(record) = partition.next_record()?.filter(|record| record.offset < part.end) {
        let value = record.value.as_deref().unwrap_or_default();
        let entries = decoder.decode(value).map_err(|error| unreadable(scan, &record, &error.to_string()))?;
        each(&record, &entries)?;
    }
    Ok(())
}

/// Opens a changelog, after all its transactions have ended.
pub(super) fn open(config: &Config, topic: &str) -> Result<TopicScan, Failure> {
    let scan = TopicScan::open_complete(&cluster(config), topic, &config.kafka.group_id)?;
    scan.ok_or_else(|| Failure::Missing { topic: topic.to_owned() })
}

pub(super) fn unreadable(scan: &TopicScan, record: &Record, problem: &str) -> Failure {
    let (topic, partition, offset) = (scan.topic().to_owned(), record.partition, record.offset);
    Failure::Unreadable { topic, partition, offset, problem: problem.to_owned() }
}

/// Returns for each old partition the offset up to which an earlier run has copied it.
fn copied_before(config: &Config, target: &Target) -> Result<BTreeMap<PartitionId, i64>, Failure> {
    let scan = open(config, &target.changelog)?;
    let mut copied = BTreeMap::new();
    let partitions: Vec<_> = scan.partitions().collect();
    for partition in partitions {
        let mut records = scan.read(partition)?;
        while let Some(record) = records.next_record()? {
            let key = record.key.as_deref().unwrap_or_default();
            match parse_key(key) {
                Some((old, end)) => {
                    let known = copied.entry(old).or_insert(end);
                    *known = end.max(*known);
                }
                None if key == LAYOUT_KEY => {}
                // It may be the changelog of another service, which would be lost.
                None => return Err(Failure::Occupied { topic: target.changelog.clone() }),
            }
        }
    }
    Ok(copied)
}

/// Writes the batches of a range that ends at `end`, in one transaction.
fn write(
    writer: &mut TransactionalWriter,
    target: &Target,
    batches: Vec<(PartitionId, Arc<StoredLayout>, ChangelogBatch)>,
    old: PartitionId,
    end: i64,
) -> Result<(), Failure> {
    if batches.is_empty() {
        return Ok(());
    }
    let topic: Arc<str> = target.changelog.as_str().into();
    let records: Vec<_> = batches
        .into_iter()
        .map(|(partition, layout, batch)| {
            // The offsets of the old touchpoint topic mean nothing in the new one.
            let value = changelog::encode(&layout, &batch, &target.progress());
            record(&topic, partition, key(old, end), value)
        })
        .collect();
    writer.write(&records)?;
    Ok(())
}

/// Returns a record of the new changelog or of the new topic of hand-overs.
pub(super) fn record(topic: &Arc<str>, partition: PartitionId, key: Vec<u8>, value: Vec<u8>) -> ProducerRecord {
    ProducerRecord {
        topic: Arc::clone(topic),
        partition: Some(partition),
        key: Some(key),
        value: Some(value),
        headers: Vec::new(),
        timestamp_ms: WallClock::start().now().wall.as_millis(),
    }
}

/// Returns the key of a record that contains something of the old partition `old` before the offset `end`.
pub(super) fn key(old: PartitionId, end: i64) -> Vec<u8> {
    format!("copied partition {old} to {end}").into_bytes()
}

/// Returns the old partition and the offset of a [`key`].
pub(super) fn parse_key(key: &[u8]) -> Option<(PartitionId, i64)> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix("copied partition ")?;
    let (old, end) = rest.split_once(" to ")?;
    Some((old.parse().ok()?, end.parse().ok()?))
}

/// Distributes the entries of records to the new partitions, and keeps their order in each.
struct Splitter {
    partitions: PartitionId,
    /// The batches that are not full, by new partition.
    open: BTreeMap<PartitionId, (Arc<StoredLayout>, ChangelogBatch)>,
    full: Vec<(PartitionId, Arc<StoredLayout>, ChangelogBatch)>,
    /// Bytes of all batches.
    bytes: usize,
}

impl Splitter {
    fn new(partitions: PartitionId) -> Self {
        Self { partitions, open: BTreeMap::new(), full: Vec::new(), bytes: 0 }
    }

    /// Adds the entries of a record; `None` if one of them has no customer.
    fn add(&mut self, record: &ChangelogRecord<'_>) -> Option<()> {
        for entry in &record.customers {
            let partition = partition_of(entry_of_changelog::customer_id(entry)?.as_bytes(), self.partitions);
            let is_full = |(layout, batch): &(Arc<StoredLayout>, ChangelogBatch)| {
                *layout != record.layout || batch.customers.len() + entry.len() > ChangelogBatch::BYTES_MAX
            };
            if self.open.get(&partition).is_some_and(is_full)
                && let Some((layout, batch)) = self.open.remove(&partition)
            {
                self.full.push((partition, layout, batch));
            }
            let (_, batch) = self
                .open
                .entry(partition)
                .or_insert_with(|| (Arc::clone(&record.layout), ChangelogBatch { customers: Vec::new(), count: 0 }));
            let before = batch.customers.len();
            entry_of_changelog::append(entry, &mut batch.customers);
            batch.count += 1;
            self.bytes += batch.customers.len() - before;
        }
        Some(())
    }

    /// Takes all batches, those of each new partition in order.
    fn take(&mut self) -> Vec<(PartitionId, Arc<StoredLayout>, ChangelogBatch)> {
        self.bytes = 0;
        let open = std::mem::take(&mut self.open);
        self.full.extend(open.into_iter().map(|(partition, (layout, batch))| (partition, layout, batch)));
        std::mem::take(&mut self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::changelog::InputProgress;

    #[test]
    fn a_key_says_what_its_transaction_has_copied() {
        assert_eq!(parse_key(&key(11, 1 << 40)), Some((11, 1 << 40)));
        for other in [&b"layout"[..], b"", b"copied partition 1", b"copied partition x to 2", b"\xff"] {
            assert_eq!(parse_key(other), None);
        }
    }

    /// An entry with the id and one more field.
    fn entry(id: &str, version: u8) -> Vec<u8> {
        let mut bytes = vec![0x0a, u8::try_from(id.len()).expect("short")];
        bytes.extend(id.as_bytes());
        bytes.extend([0x18, version]);
        bytes
    }

    #[test]
    fn the_entries_of_a_customer_stay_in_order_also_when_the_layout_changes() {
        let layouts =
            [Arc::new(StoredLayout::default()), Arc::new(StoredLayout { orders: true, ..StoredLayout::default() })];
        let ids: Vec<String> = (0..50).map(|number| format!("customer-{number}")).collect();
        let mut splitter = Splitter::new(7);
        for version in 0..20_u8 {
            let entries: Vec<_> = ids.iter().map(|id| entry(id, version)).collect();
            let record = ChangelogRecord {
                format: changelog::FORMAT,
                layout: Arc::clone(&layouts[usize::from(version) / 5 % 2]),
                progress: InputProgress::default(),
                customers: entries.iter().map(Vec::as_slice).collect(),
            };
            splitter.add(&record).expect("every entry has a customer");
        }
        let mut seen: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (partition, layout, batch) in splitter.take() {
            let bytes = changelog::encode(&layout, &batch, &InputProgress::default());
            let mut decoder = ChangelogDecoder::default();
            let copied = decoder.decode(&bytes).expect("just encoded");
            assert_eq!(copied.customers.len(), batch.count);
            for customer in copied.customers {
                let id = entry_of_changelog::customer_id(customer).expect("a customer");
                assert_eq!(partition_of(id.as_bytes(), 7), partition);
                let version = *customer.last().expect("not empty");
                assert_eq!(*copied.layout, *layouts[usize::from(version) / 5 % 2]);
                seen.entry(id.to_owned()).or_default().push(version);
            }
        }
        assert_eq!(seen.len(), ids.len());
        assert!(seen.values().all(|versions| *versions == (0..20).collect::<Vec<_>>()));
    }
}
