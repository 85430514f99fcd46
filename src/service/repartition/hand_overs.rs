//! Copies the hand-overs that are under way to the new topic.
//!
//! A hand-over that is written and not applied may contain the only copy of a visitor's facts. Each is copied as it is,
//! to the partition that its id has among the new ones; those to one id keep their order. The key of a copy names its
//! original, as in the new changelog, so an interrupted run is continued, and no hand-over is copied twice.
//!
//! Each new partition begins with a record without effect, as the one that was applied last: by this record the service
//! recognizes the topic, even if nothing was under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::config::Config;
use crate::kafka::PartitionId;
use crate::kafka::partitioner::partition_of;
use crate::lifecycle::time::Timestamp;
use crate::service::last_hand_over;
use crate::service::options::command_writer;
use crate::wire::hand_over::{Content, HandOverRecord};
use crate::wire::offset_metadata::{OffsetMetadata, RecordDigest};

use super::copy::{TRANSACTION_BYTES, WRITER, key, open, parse_key, record, unreadable};
use super::{Failure, Original, Progress, Target};

/// Key of the first record of each new partition.
const FIRST_KEY: &[u8] = b"first";

/// Copies the hand-overs that are under way. Returns the first record of each new partition; none without identity
/// resolution.
pub(super) fn copy(
    config: &Config,
    target: &Target,
    original: &Original,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Vec<RecordDigest>, Failure> {
    let Some(topic) = &target.hand_overs else { return Ok(Vec::new()) };
    // The writer comes first: it fences a concurrent run, and aborts what an interrupted one left open.
    let mut writer = command_writer(config, WRITER)?;
    let copied_before = Copies::read(config, topic)?;
    let scan = open(config, &config.topics.hand_overs)?;
    let name: Arc<str> = topic.as_str().into();
    let mut records = Vec::new();
    if copied_before.first.is_empty() {
        let first = first_record().encode();
        let first = |partition| record(&name, partition, FIRST_KEY.to_vec(), first.clone());
        records.extend((0..target.partitions).map(first));
    }
    let (mut bytes, mut expected) = (0, Digest::default());
    for committed in &original.committed {
        let old = committed.partition;
        let metadata = OffsetMetadata::decode(&committed.metadata).ok().flatten();
        // A partition without a position has applied none.
        let position = metadata.and_then(|it| it.hand_overs).unwrap_or(0);
        let copied = copied_before.offsets.get(&old);
        if copied.is_some_and(|copied| copied.first < position) {
            return Err(Failure::Outdated { topic: topic.clone() });
        }
        let mut partition = scan.read_from(old, position)?;
        while let Some(found) = partition.next_record()? {
            let value = found.value.as_deref().unwrap_or_default();
            let hand_over = HandOverRecord::decode(value).map_err(|it| unreadable(&scan, &found, &it.to_string()))?;
            expected.add(value);
            if copied.is_some_and(|copied| found.offset < copied.end) {
                continue;
            }
            let home = partition_of(hand_over.to.as_bytes(), target.partitions);
            bytes += value.len();
            records.push(record(&name, home, key(old, found.offset + 1), value.to_vec()));
            if bytes >= TRANSACTION_BYTES {
                writer.write(&std::mem::take(&mut records))?;
                bytes = 0;
            }
        }
    }
    if !records.is_empty() {
        writer.write(&records)?;
    }
    let written = Copies::read(config, topic)?;
    if written.digest != expected || written.first.len() != usize::try_from(target.partitions).unwrap_or_default() {
        let (copied, original) = (written.digest.count, expected.count);
        return Err(Failure::HandOversDiffer { topic: topic.clone(), copied, original });
    }
    on_progress(Progress::HandOversCopied(expected.count));
    Ok(written.first)
}

/// Returns a record without effect: an id cannot be redirected to itself.
fn first_record() -> HandOverRecord {
    let id = "lifecycle repartition".to_owned();
    let content = Content::Redirect { drain: 0, into: id.clone(), life: 0 };
    HandOverRecord { to: id, life: None, at: Timestamp::MIN, path: Vec::new(), rounds: 0, content }
}

/// Number and hash of hand-overs; independent of their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Digest {
    count: u64,
    hash: u64,
}

impl Digest {
    fn add(&mut self, value: &[u8]) {
        self.count += 1;
        self.hash = self.hash.wrapping_add(xxh3_64(value));
    }
}

/// The offsets of an old partition from which hand-overs were copied.
struct Offsets {
    first: i64,
    end: i64,
}

/// What the new topic contains.
#[derive(Default)]
struct Copies {
    /// The first record of each partition.
    first: Vec<RecordDigest>,
    /// Of each old partition, the offsets of what was copied.
    offsets: BTreeMap<PartitionId, Offsets>,
    digest: Digest,
}

impl Copies {
    fn read(config: &Config, topic: &str) -> Result<Self, Failure> {
        let scan = open(config, topic)?;
        let mut copies = Self::default();
        let partitions: Vec<_> = scan.partitions().collect();
        for partition in partitions {
            let mut records = scan.read(partition)?;
            let mut is_first = true;
            while let Some(found) = records.next_record()? {
                let key = found.key.as_deref().unwrap_or_default();
                match parse_key(key) {
                    Some((old, end)) if !is_first => {
                        let offsets = copies.offsets.entry(old).or_insert(Offsets { first: end - 1, end });
                        (offsets.first, offsets.end) = (offsets.first.min(end - 1), offsets.end.max(end));
                        copies.digest.add(found.value.as_deref().unwrap_or_default());
                    }
                    None if is_first && key == FIRST_KEY => copies.first.push(last_hand_over::digest(&found)),
                    // It may be the topic of another service, which would apply the copies.
                    _ => return Err(Failure::Occupied { topic: topic.to_owned() }),
                }
                is_first = false;
            }
        }
        Ok(copies)
    }
}
