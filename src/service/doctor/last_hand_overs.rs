//! Checks that the topic of hand-overs still contains the one that each partition has applied last.

use crate::finding::Finding;
use crate::service::last_hand_over::find_replaced;

use super::Doctor;
use super::offsets::PartitionSnapshot;

impl Doctor<'_> {
    /// Reports partitions whose last hand-over is another record, or none: the topic was deleted and created again.
    pub(super) fn last_hand_overs(&self, snapshots: &[PartitionSnapshot], checks: &mut Vec<Finding>) {
        let Some(topic) = self.hand_overs() else { return };
        for PartitionSnapshot { committed, hand_overs, .. } in snapshots {
            let Some(range) = hand_overs else { continue };
            let place = format!("partition {} of {topic}", committed.partition);
            match find_replaced(self.inspector, topic, committed, *range) {
                Ok(found) => checks.extend(found.map(|mismatch| mismatch.finding(place))),
                Err(error) => checks.push(super::query_failed("offsets", &place, &error)),
            }
        }
    }
}
