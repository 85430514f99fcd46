//! How far a consumer has read: the next record of each partition, and whether anything is left before a given end.
//!
//! The offset of the last record does not answer that: a log may end in records that are never returned (control
//! records, aborted ones). What proves that a partition was read to an offset beyond its last record is the client's
//! statistics, which name the offset at which the client met the end. But statistics overtake records in the client's
//! queue, so a claim they make counts only once everything queued before them was returned ([`Proof`] says why twice).
//! Pure: no client, no clock.

use std::collections::BTreeMap;

use super::member::PartitionId;

/// What the client's statistics say about one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fetched {
    /// The offset that is fetched next: everything before it was queued, or is never returned.
    pub(super) next: i64,
    /// The offset at which the end was last met; below 0 when it was not.
    pub(super) end_met: i64,
    /// The end (last stable offset) that the broker last told; below 0 when it told none.
    pub(super) end: i64,
}

#[derive(Debug)]
struct Partition {
    /// The offset after the last record returned, or where reading began.
    next: i64,
    /// Everything before this offset was returned, whether or not a record stands there.
    proven: i64,
    /// The client has reported an end since reading began here. Until then statistics may speak of an earlier reading.
    has_met_end: bool,
}

/// How far the claims of some statistics are proven.
///
/// Before it announces a rebalance, the client throws away what it has queued, so for a moment the queue is empty though
/// records are missing. Both acts and the statistics are of one thread of the client: when later statistics have come,
/// and all that was queued before those is taken too, a rebalance before the first drain would have been announced.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Proof {
    /// Statistics have made claims.
    #[default]
    Claimed,
    /// All that was queued before them has been taken, or thrown away by a rebalance that is not announced yet.
    Drained,
    /// Later statistics have come.
    Confirming,
}

/// The positions of all partitions that a consumer reads.
#[derive(Default, Debug)]
pub(super) struct ReadPositions {
    partitions: BTreeMap<PartitionId, Partition>,
    /// The ends that statistics named.
    claims: BTreeMap<PartitionId, i64>,
    proof: Proof,
    /// From later statistics than the claims: a record at or after this offset was queued after the claims were made.
    marks: BTreeMap<PartitionId, i64>,
}

impl ReadPositions {
    /// Reading of `partition` begins at `next`, or begins anew there.
    pub(super) fn begin(&mut self, partition: PartitionId, next: i64) {
        self.end(partition);
        self.partitions.insert(partition, Partition { next, proven: next, has_met_end: false });
    }

    /// `partition` is read no more.
    pub(super) fn end(&mut self, partition: PartitionId) {
        self.requeue(partition);
        self.partitions.remove(&partition);
    }

    /// The client throws away what it has queued of `partition`, and will fetch it again.
    pub(super) fn requeue(&mut self, partition: PartitionId) {
        if let Some(it) = self.partitions.get_mut(&partition) {
            it.has_met_end = false;
        }
        self.claims.remove(&partition);
        self.marks.remove(&partition);
    }

    /// The client throws away everything it has queued.
    pub(super) fn requeue_all(&mut self) {
        for it in self.partitions.values_mut() {
            it.has_met_end = false;
        }
        self.claims.clear();
        self.marks.clear();
    }

    /// The next record to be returned, when `partition` is read.
    pub(super) fn next(&self, partition: PartitionId) -> Option<i64> {
        self.partitions.get(&partition).map(|it| it.next)
    }

    /// Takes note of a record taken from the queue; false when it must not be returned, since it was returned before or
    /// its partition is not read.
    pub(super) fn take(&mut self, partition: PartitionId, offset: i64) -> bool {
        let Some(it) = self.partitions.get_mut(&partition) else { return false };
        if offset < it.next {
            return false;
        }
        it.next = offset + 1;
        if self.marks.get(&partition).is_some_and(|mark| offset >= *mark) {
            self.drained();
        }
        true
    }

    /// The end of `partition` was taken from the queue; false when the partition is not read.
    pub(super) fn meet_end(&mut self, partition: PartitionId) -> bool {
        let Some(it) = self.partitions.get_mut(&partition) else { return false };
        it.has_met_end = true;
        true
    }

    /// Takes note of statistics, which came before whatever is taken from the queue next.
    pub(super) fn claim(&mut self, statistics: &BTreeMap<PartitionId, Fetched>) {
        if !self.claims.is_empty() {
            if self.proof == Proof::Drained {
                self.proof = Proof::Confirming;
            }
            self.marks = statistics.iter().map(|(partition, it)| (*partition, it.next)).collect();
            self.marks.retain(|partition, _| self.partitions.contains_key(partition));
            return;
        }
        self.proof = Proof::Claimed;
        for (partition, it) in &self.partitions {
            if let Some(fetched) = statistics.get(partition).filter(|its| it.has_met_end && its.end_met > it.proven) {
                self.claims.insert(*partition, fetched.end_met);
            }
        }
    }

    /// Everything that was queued when the latest statistics were made has been taken.
    pub(super) fn drained(&mut self) {
        self.marks.clear();
        if self.proof != Proof::Confirming {
            self.proof = Proof::Drained;
            return;
        }
        for (partition, end) in std::mem::take(&mut self.claims) {
            if let Some(it) = self.partitions.get_mut(&partition) {
                it.proven = it.proven.max(end);
            }
        }
    }

    /// Whether every record of `partition` before `end` has been returned.
    pub(super) fn covers(&self, partition: PartitionId, end: i64) -> bool {
        self.partitions.get(&partition).is_some_and(|it| it.next >= end || it.proven >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(of: &[(PartitionId, i64, i64)]) -> BTreeMap<PartitionId, Fetched> {
        of.iter()
            .map(|(partition, next, end_met)| (*partition, Fetched { next: *next, end_met: *end_met, end: -1001 }))
            .collect()
    }

    fn reading(partitions: &[PartitionId]) -> ReadPositions {
        let mut positions = ReadPositions::default();
        for partition in partitions {
            positions.begin(*partition, 0);
        }
        positions
    }

    fn prove(positions: &mut ReadPositions) {
        for _ in 0..2 {
            positions.claim(&statistics(&[(0, 9, 9)]));
            positions.drained();
        }
    }

    #[test]
    fn the_record_before_the_end_covers_it() {
        let mut positions = reading(&[0]);
        assert!(positions.take(0, 6));
        assert!(positions.covers(0, 7));
        assert!(!positions.covers(0, 8));
        assert!(!positions.covers(1, 0), "a partition that is not read is never covered");
    }

    #[test]
    fn control_records_at_the_end_are_covered_once_the_queue_is_drained() {
        let mut positions = reading(&[0]);
        positions.take(0, 6);
        positions.meet_end(0);
        positions.claim(&statistics(&[(0, 9, 9)]));
        assert!(!positions.covers(0, 9), "records that the statistics overtook may be queued still");
        positions.drained();
        assert!(!positions.covers(0, 9), "a rebalance may have emptied the queue");
        positions.claim(&statistics(&[(0, 9, 9)]));
        assert!(!positions.covers(0, 9), "the rebalance may be queued behind these statistics");
        positions.drained();
        assert!(positions.covers(0, 9));
        assert!(!positions.covers(0, 10));
    }

    #[test]
    fn statistics_of_an_earlier_reading_prove_nothing() {
        let mut positions = reading(&[0]);
        positions.meet_end(0);
        positions.begin(0, 2);
        prove(&mut positions);
        assert!(!positions.covers(0, 9), "the end was met before reading began anew");

        positions.meet_end(0);
        positions.claim(&statistics(&[(0, 9, 9)]));
        positions.drained();
        positions.requeue(0);
        prove(&mut positions);
        assert!(!positions.covers(0, 9), "what was queued has been thrown away");
    }

    #[test]
    fn what_was_proven_stays_proven_when_the_queue_is_thrown_away() {
        let mut positions = reading(&[0]);
        positions.meet_end(0);
        prove(&mut positions);
        positions.requeue(0);
        assert!(positions.covers(0, 9));
    }

    #[test]
    fn a_record_queued_after_the_claim_drains_a_queue_that_is_never_empty() {
        let mut positions = reading(&[0, 1]);
        positions.meet_end(0);
        positions.claim(&statistics(&[(0, 9, 9), (1, 100, -1)]));
        positions.take(1, 120);
        assert!(!positions.covers(0, 9), "this record may have been queued before the claim");
        positions.claim(&statistics(&[(0, 9, 9), (1, 300, -1)]));
        positions.take(1, 299);
        positions.claim(&statistics(&[(0, 9, 9), (1, 300, -1)]));
        positions.take(1, 300);
        positions.claim(&statistics(&[(0, 9, 9), (1, 500, -1)]));
        positions.take(1, 499);
        assert!(!positions.covers(0, 9));
        positions.take(1, 500);
        assert!(positions.covers(0, 9));
    }

    #[test]
    fn a_record_is_taken_once() {
        let mut positions = reading(&[0]);
        assert!(positions.take(0, 3));
        assert!(!positions.take(0, 3));
        assert!(!positions.take(7, 0), "of a partition that is not read");
        positions.begin(0, 3);
        assert!(positions.take(0, 3));
    }
}
