//! Tracks how far a consumer has read each partition, and whether unread records remain before a given end offset.
//!
//! The offset of the last record is not enough: a log may end in records that are never returned, such as control
//! records and aborted records. Only the client's statistics prove that a partition was read beyond its last record:
//! they contain the offset at which the client reached the end. Statistics overtake records in the client's queue, so a
//! reported end counts only after everything queued before it was returned ([`Confirmation`] explains why two reports
//! are needed). This module uses neither a client nor a clock.

use std::collections::BTreeMap;

use super::{EndOffsets, PartitionId};

/// The fetch state of one partition in the client's statistics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::kafka) struct FetchStatistics {
    /// The next offset that the client fetches: every record before it was queued, or is never returned.
    pub(in crate::kafka) next_offset: i64,
    /// The offset at which the client last reached the end; negative when it has not.
    pub(in crate::kafka) eof_offset: i64,
    /// The last stable offset from the broker's last response; negative when unknown.
    pub(in crate::kafka) last_stable: i64,
    /// The high watermark from the broker's last response; negative when unknown.
    pub(in crate::kafka) high_watermark: i64,
}

impl FetchStatistics {
    /// Returns the end offsets; negative ones are unknown.
    pub(super) fn end_offsets(self) -> EndOffsets {
        EndOffsets { last_stable: self.last_stable, high_watermark: self.high_watermark }
    }
}

#[derive(Debug)]
struct Partition {
    /// One past the last record returned, or the start position.
    next_offset: i64,
    /// Every record before this offset was returned; it may be beyond the last record.
    read_to: i64,
    /// Whether the client has reported the end since reading started here. Until then statistics may describe an
    /// earlier assignment or position.
    has_reached_end: bool,
}

/// How far the ends reported by statistics are confirmed.
///
/// An empty queue alone does not prove that every record was returned: the client discards its queue shortly before it
/// reports a rebalance. One client thread discards the queue, then queues the rebalance event, and only then produces
/// the next statistics. When these arrive, the event is therefore queued, although it may still be unread, because
/// statistics overtake it. So an end is confirmed in three steps without a rebalance: the queue was drained, later
/// statistics have arrived, and the queue was drained again.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Confirmation {
    /// Statistics have reported ends.
    #[default]
    Reported,
    /// Everything queued before them was returned, or discarded by a rebalance that is not reported yet.
    Drained,
    /// Later statistics have arrived, but not everything queued before them was returned.
    ReportedAgain,
}

/// The read positions of a consumer's partitions.
#[derive(Default, Debug)]
pub(super) struct ReadPositions {
    partitions: BTreeMap<PartitionId, Partition>,
    /// The ends that statistics reported and that are not confirmed yet.
    reported_ends: BTreeMap<PartitionId, i64>,
    confirmation: Confirmation,
    /// For each partition, the next offset to fetch according to the latest statistics since `reported_ends` was set. A
    /// record at or past that offset was queued after those statistics. When it is returned, everything queued before
    /// the statistics has been returned.
    queue_markers: BTreeMap<PartitionId, i64>,
}

impl ReadPositions {
    /// Starts reading `partition` at `offset`; a partition being read restarts there.
    pub(super) fn start(&mut self, partition: PartitionId, offset: i64) {
        self.stop(partition);
        self.partitions.insert(partition, Partition { next_offset: offset, read_to: offset, has_reached_end: false });
    }

    /// Stops reading `partition`.
    pub(super) fn stop(&mut self, partition: PartitionId) {
        self.queued_records_discarded(partition);
        self.partitions.remove(&partition);
    }

    /// Handles the event that the client discarded the queued records of `partition`. It fetches them again.
    pub(super) fn queued_records_discarded(&mut self, partition: PartitionId) {
        if let Some(it) = self.partitions.get_mut(&partition) {
            it.has_reached_end = false;
        }
        self.reported_ends.remove(&partition);
        self.queue_markers.remove(&partition);
    }

    /// Handles the event that the client discarded its whole queue.
    pub(super) fn queue_discarded(&mut self) {
        for it in self.partitions.values_mut() {
            it.has_reached_end = false;
        }
        self.reported_ends.clear();
        self.queue_markers.clear();
    }

    /// Returns the offset of the next record to return; `None` when `partition` is not read.
    pub(super) fn next_offset(&self, partition: PartitionId) -> Option<i64> {
        self.partitions.get(&partition).map(|it| it.next_offset)
    }

    /// Handles a record from the queue. Returns `false` when the caller must drop it, because it was returned before or
    /// its partition is not read.
    pub(super) fn accept_record(&mut self, partition: PartitionId, offset: i64) -> bool {
        let Some(it) = self.partitions.get_mut(&partition) else { return false };
        if offset < it.next_offset {
            return false;
        }
        it.next_offset = offset + 1;
        if self.queue_markers.get(&partition).is_some_and(|marker| offset >= *marker) {
            self.queue_drained();
        }
        true
    }

    /// Handles an end-of-partition event from the queue. Returns `false` when the partition is not read.
    pub(super) fn end_reached(&mut self, partition: PartitionId) -> bool {
        let Some(it) = self.partitions.get_mut(&partition) else { return false };
        it.has_reached_end = true;
        true
    }

    /// Handles statistics. The caller must pass them before it handles the next item of the queue.
    pub(super) fn statistics_received(&mut self, statistics: &BTreeMap<PartitionId, FetchStatistics>) {
        if !self.reported_ends.is_empty() {
            if self.confirmation == Confirmation::Drained {
                self.confirmation = Confirmation::ReportedAgain;
            }
            self.queue_markers = statistics.iter().map(|(partition, it)| (*partition, it.next_offset)).collect();
            self.queue_markers.retain(|partition, _| self.partitions.contains_key(partition));
            return;
        }
        self.confirmation = Confirmation::Reported;
        for (partition, it) in &self.partitions {
            let eof_offset = statistics.get(partition).map(|it| it.eof_offset);
            if let Some(end) = eof_offset.filter(|end| it.has_reached_end && *end > it.read_to) {
                self.reported_ends.insert(*partition, end);
            }
        }
    }

    /// Handles the event that everything queued before the latest statistics was returned.
    pub(super) fn queue_drained(&mut self) {
        self.queue_markers.clear();
        if self.confirmation != Confirmation::ReportedAgain {
            self.confirmation = Confirmation::Drained;
            return;
        }
        for (partition, end) in std::mem::take(&mut self.reported_ends) {
            if let Some(it) = self.partitions.get_mut(&partition) {
                it.read_to = it.read_to.max(end);
            }
        }
    }

    /// Returns the offset before which every record of `partition` was returned.
    pub(super) fn read_position(&self, partition: PartitionId) -> Option<i64> {
        self.partitions.get(&partition).map(|it| it.next_offset.max(it.read_to))
    }

    /// Returns whether every record of `partition` before `end` was returned.
    pub(super) fn has_read_to(&self, partition: PartitionId, end: i64) -> bool {
        self.read_position(partition).is_some_and(|position| position >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(of: &[(PartitionId, i64, i64)]) -> BTreeMap<PartitionId, FetchStatistics> {
        of.iter()
            .map(|(partition, next_offset, eof_offset)| {
                let (next_offset, eof_offset) = (*next_offset, *eof_offset);
                (*partition, FetchStatistics { next_offset, eof_offset, last_stable: -1001, high_watermark: -1001 })
            })
            .collect()
    }

    fn reading(partitions: &[PartitionId]) -> ReadPositions {
        let mut positions = ReadPositions::default();
        for partition in partitions {
            positions.start(*partition, 0);
        }
        positions
    }

    fn confirm(positions: &mut ReadPositions) {
        for _ in 0..2 {
            positions.statistics_received(&statistics(&[(0, 9, 9)]));
            positions.queue_drained();
        }
    }

    #[test]
    fn returning_the_last_record_reaches_the_end() {
        let mut positions = reading(&[0]);
        assert!(positions.accept_record(0, 6));
        assert!(positions.has_read_to(0, 7));
        assert!(!positions.has_read_to(0, 8));
        assert!(!positions.has_read_to(1, 0), "the partition is not read");
    }

    #[test]
    fn trailing_control_records_count_as_read_once_the_queue_is_drained_twice() {
        let mut positions = reading(&[0]);
        positions.accept_record(0, 6);
        positions.end_reached(0);
        positions.statistics_received(&statistics(&[(0, 9, 9)]));
        assert!(!positions.has_read_to(0, 9), "the statistics may have overtaken queued records");
        positions.queue_drained();
        assert!(!positions.has_read_to(0, 9), "a rebalance may have discarded the queue");
        positions.statistics_received(&statistics(&[(0, 9, 9)]));
        assert!(!positions.has_read_to(0, 9), "the rebalance may be queued behind these statistics");
        positions.queue_drained();
        assert!(positions.has_read_to(0, 9));
        assert!(!positions.has_read_to(0, 10));
    }

    #[test]
    fn statistics_about_an_earlier_position_confirm_nothing() {
        let mut positions = reading(&[0]);
        positions.end_reached(0);
        positions.start(0, 2);
        confirm(&mut positions);
        assert!(!positions.has_read_to(0, 9), "the end was reached before the restart");

        positions.end_reached(0);
        positions.statistics_received(&statistics(&[(0, 9, 9)]));
        positions.queue_drained();
        positions.queued_records_discarded(0);
        confirm(&mut positions);
        assert!(!positions.has_read_to(0, 9), "the queue was discarded");
    }

    #[test]
    fn a_confirmed_end_stays_confirmed_when_the_queue_is_discarded() {
        let mut positions = reading(&[0]);
        positions.end_reached(0);
        confirm(&mut positions);
        positions.queued_records_discarded(0);
        assert!(positions.has_read_to(0, 9));
    }

    #[test]
    fn a_record_queued_after_the_report_confirms_it_although_the_queue_is_never_empty() {
        let mut positions = reading(&[0, 1]);
        positions.end_reached(0);
        positions.statistics_received(&statistics(&[(0, 9, 9), (1, 100, -1)]));
        positions.accept_record(1, 120);
        assert!(!positions.has_read_to(0, 9), "this record may have been queued before the report");
        positions.statistics_received(&statistics(&[(0, 9, 9), (1, 300, -1)]));
        positions.accept_record(1, 299);
        positions.statistics_received(&statistics(&[(0, 9, 9), (1, 300, -1)]));
        positions.accept_record(1, 300);
        positions.statistics_received(&statistics(&[(0, 9, 9), (1, 500, -1)]));
        positions.accept_record(1, 499);
        assert!(!positions.has_read_to(0, 9));
        positions.accept_record(1, 500);
        assert!(positions.has_read_to(0, 9));
    }

    #[test]
    fn a_record_is_accepted_once() {
        let mut positions = reading(&[0]);
        assert!(positions.accept_record(0, 3));
        assert!(!positions.accept_record(0, 3));
        assert!(!positions.accept_record(7, 0), "the partition is not read");
        positions.start(0, 3);
        assert!(positions.accept_record(0, 3));
    }
}
