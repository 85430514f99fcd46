//! Progress of a restore and its estimated remaining time.
//!
//! Progress is counted in offsets, not in records: transaction markers also have offsets, and consumers do not receive
//! them.

use std::time::Duration;

use crate::telemetry::snapshot::RestoreProgress;

/// Measures the restore of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RestoreTracker {
    start: i64,
    next_offset: i64,
    end: i64,
    bytes: u64,
    customers: u64,
    started_at: Duration,
    last_read_at: Duration,
}

impl RestoreTracker {
    /// Tracks a restore of the offsets from `start` to before `end` that begins at `elapsed`.
    pub(super) fn new(start: i64, end: i64, elapsed: Duration) -> Self {
        Self { start, next_offset: start, end, bytes: 0, customers: 0, started_at: elapsed, last_read_at: elapsed }
    }

    /// Whether no record has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.next_offset == self.start
    }

    /// Offset after the last record to read.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// When the last record was read.
    pub(super) fn last_read_at(&self) -> Duration {
        self.last_read_at
    }

    /// Counts the record at `offset`, which contains `customers` in `bytes`.
    pub(super) fn record_read(&mut self, offset: i64, bytes: usize, customers: usize, elapsed: Duration) {
        self.next_offset = (offset + 1).min(self.end);
        self.bytes += bytes as u64;
        self.customers += customers as u64;
        self.last_read_at = elapsed;
    }

    /// Returns the progress as of the last record.
    pub(super) fn progress(&self) -> RestoreProgress {
        let (read, remaining) = (self.next_offset.abs_diff(self.start), self.end.abs_diff(self.next_offset));
        let took = self.last_read_at.saturating_sub(self.started_at);
        let scaled = |amount: u128| (read > 0).then(|| amount * u128::from(remaining) / u128::from(read));
        let eta = scaled(took.as_millis()).filter(|_| !took.is_zero());
        let per_second = (u128::from(self.customers) * 1000).checked_div(took.as_millis()).unwrap_or(0);
        RestoreProgress {
            remaining_records: remaining,
            remaining_bytes: scaled(u128::from(self.bytes)).map(saturated),
            customers_per_second: saturated(per_second),
            eta: eta.map(|millis| Duration::from_millis(saturated(millis))),
        }
    }
}

fn saturated(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn before_the_first_record_only_what_remains_is_known() {
        let progress = RestoreTracker::new(10, 110, SECOND).progress();
        let expected =
            RestoreProgress { remaining_records: 100, remaining_bytes: None, customers_per_second: 0, eta: None };
        assert_eq!(progress, expected);
    }

    #[test]
    fn the_remaining_time_is_extrapolated_from_the_speed_so_far() {
        let mut tracker = RestoreTracker::new(10, 110, SECOND);
        tracker.record_read(20, 1_000, 500, SECOND * 2);
        tracker.record_read(34, 1_500, 500, SECOND * 3);
        let expected = RestoreProgress {
            remaining_records: 75,
            remaining_bytes: Some(7_500),
            customers_per_second: 500,
            eta: Some(SECOND * 6),
        };
        assert_eq!(tracker.progress(), expected);
    }

    #[test]
    fn nothing_remains_past_the_end() {
        let mut tracker = RestoreTracker::new(0, 5, SECOND);
        tracker.record_read(7, 10, 1, SECOND);
        let progress = tracker.progress();
        assert_eq!((progress.remaining_records, progress.remaining_bytes, progress.eta), (0, Some(0), None));
    }
}
