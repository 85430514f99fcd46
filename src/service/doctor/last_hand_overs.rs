//! Checks that the topic of hand-overs still contains the one that each partition has applied last.

use crate::finding::Finding;
use crate::kafka::Record;
use crate::runtime::Mismatch;
use crate::wire::offset_metadata::{OffsetMetadata, RecordDigest};

use super::Doctor;
use super::offsets::PartitionSnapshot;

impl Doctor<'_> {
    /// Reports partitions whose last hand-over is another record, or none: the topic was deleted and created again.
    pub(super) fn last_hand_overs(&self, snapshots: &[PartitionSnapshot], checks: &mut Vec<Finding>) {
        let Some(topic) = self.hand_overs() else { return };
        for PartitionSnapshot { committed, hand_overs, .. } in snapshots {
            let metadata = OffsetMetadata::decode(&committed.metadata).ok().flatten();
            let (Some(last), Some(range)) = (metadata.and_then(|it| it.last_hand_over), hand_overs) else { continue };
            // Retention may have deleted it. A topic that ends before it is another finding.
            if last.offset < range.start || last.offset >= range.high_watermark {
                continue;
            }
            let place = format!("partition {} of {topic}", committed.partition);
            match self.inspector.record_at(topic, committed.partition, last.offset) {
                Ok(found) => {
                    let digest =
                        |it: Record| RecordDigest::of(it.offset, it.timestamp_ms, &it.value.unwrap_or_default());
                    let found = found.map(|it| digest(it.record));
                    if found != Some(last) {
                        checks.push(Mismatch::HandOversReplaced { offset: last.offset }.finding(place));
                    }
                }
                Err(error) => checks.push(super::query_failed("offsets", &place, &error)),
            }
        }
    }
}
