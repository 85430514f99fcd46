//! Detects partitions that cannot be read: the client recovers from an error automatically, fetches again, and fails
//! again at the same position.
//!
//! The client does not say which partition an error is about. A partition is stalled if it has unread records, its
//! position has not changed since the first of these errors, and the errors keep coming. Uses neither a client nor a
//! clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::PartitionId;
use crate::kafka::error_code::ErrorCode;

/// Time for which the same error must come back before a partition counts as stalled. Long enough for a new leader, a
/// restarted broker, or a response that was damaged on its way.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// Minimum number of errors in that time.
const ERRORS_MIN: u32 = 5;
/// An error that has not come back for this time is over.
const OVER_AFTER: Duration = Duration::from_secs(10);

/// The errors of reading that are coming back, by code.
#[derive(Default, Debug)]
pub(super) struct StalledReads {
    failing: BTreeMap<ErrorCode, Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    errors: u32,
    /// The positions of the partitions that have not moved since; `None` until they are known.
    positions: Option<BTreeMap<PartitionId, i64>>,
}

/// Partitions that cannot be read beyond their positions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::kafka) struct Stalled {
    /// The error code that came back.
    pub(in crate::kafka) code: ErrorCode,
    /// Partition and position of the first one.
    pub(in crate::kafka) partition: PartitionId,
    pub(in crate::kafka) position: i64,
    /// How long the error has been coming back.
    pub(in crate::kafka) since: Duration,
}

impl StalledReads {
    /// Records that reading failed with `code`.
    pub(super) fn failed(&mut self, code: ErrorCode, now: Instant) {
        if let Some(failing) = self.failing.get_mut(&code) {
            failing.last = now;
            failing.errors += 1;
        } else {
            let failing = Failing { since: now, last: now, errors: 1, positions: None };
            self.failing.insert(code, failing);
        }
    }

    /// Returns a stalled partition, if there is one. `unread` has the positions of the partitions that are being
    /// fetched and have unread records.
    pub(super) fn stalled(&mut self, unread: &BTreeMap<PartitionId, i64>, now: Instant) -> Option<Stalled> {
        self.failing.retain(|_, failing| {
            let positions = failing.positions.get_or_insert_with(|| unread.clone());
            positions.retain(|partition, position| unread.get(partition) == Some(position));
            !positions.is_empty() && now.saturating_duration_since(failing.last) < OVER_AFTER
        });
        self.failing.iter().find_map(|(&code, failing)| {
            let since = now.saturating_duration_since(failing.since);
            let (&partition, &position) = failing.positions.as_ref()?.first_key_value()?;
            (since >= STALLED_AFTER && failing.errors >= ERRORS_MIN).then_some(Stalled {
                code,
                partition,
                position,
                since,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records an error in each of `seconds` and returns the first stalled partition. Partition 4 makes progress,
    /// partition 3 only if `moving`.
    fn run(reads: &mut StalledReads, start: Instant, seconds: std::ops::Range<u64>, moving: bool) -> Option<Stalled> {
        seconds.into_iter().find_map(|second| {
            let now = start + Duration::from_secs(second);
            reads.failed(ErrorCode::BadCompression, now);
            let healthy = i64::try_from(second).unwrap();
            reads.stalled(&[(3, 7 + if moving { healthy } else { 0 }), (4, healthy)].into(), now)
        })
    }

    #[test]
    fn a_partition_that_does_not_move_while_an_error_comes_back_is_stalled() {
        let stalled = run(&mut StalledReads::default(), Instant::now(), 0..60, false).expect("it is stalled");
        let expected = Stalled { code: ErrorCode::BadCompression, partition: 3, position: 7, since: STALLED_AFTER };
        assert_eq!(stalled, expected);
    }

    #[test]
    fn partitions_that_move_and_errors_that_end_are_not_stalled() {
        let start = Instant::now();
        assert_eq!(run(&mut StalledReads::default(), start, 0..60, true), None);
        let mut reads = StalledReads::default();
        assert_eq!(run(&mut reads, start, 0..20, false), None);
        // The error comes back after a pause: the time starts again.
        assert_eq!(reads.stalled(&[(3, 7)].into(), start + Duration::from_secs(40)), None);
        assert_eq!(run(&mut reads, start, 40..69, false), None);
        assert!(run(&mut reads, start, 69..80, false).is_some());
    }

    #[test]
    fn partitions_without_unread_records_are_not_stalled() {
        let (mut reads, start) = (StalledReads::default(), Instant::now());
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            reads.failed(ErrorCode::BadMessage, now);
            assert_eq!(reads.stalled(&BTreeMap::new(), now), None);
        }
    }
}
