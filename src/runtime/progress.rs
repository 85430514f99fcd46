//! How far a restore has come, and when it will be through.
//!
//! Counts offsets, not records: markers of transactions take some, and how many is known only once they are passed.

use std::time::Duration;

/// How far the restore of a partition has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestoreProgress {
    /// How many offsets of the changelog are still to be read: its records, and the markers between them.
    pub remaining_records: u64,
    /// How many bytes those hold, if they are like those that were read; `None` before the first.
    pub remaining_bytes: Option<u64>,
    /// Customers restored a second so far, also those that a later record replaced.
    pub customers_per_second: u64,
    /// In how long the restore is through, if it goes on as it went; `None` before anything can be said.
    pub eta: Option<Duration>,
}

/// Follows the restore of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Course {
    start: i64,
    next: i64,
    end: i64,
    bytes: u64,
    customers: u64,
    began: Duration,
    read_at: Duration,
}

impl Course {
    /// A restore of the records from `start` to before `end` that begins at `elapsed`.
    pub(super) fn new(start: i64, end: i64, elapsed: Duration) -> Self {
        Self { start, next: start, end, bytes: 0, customers: 0, began: elapsed, read_at: elapsed }
    }

    /// Past the last record to read.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// When the last record came.
    pub(super) fn read_at(&self) -> Duration {
        self.read_at
    }

    /// Notes the record at `offset`: so many `bytes` and `customers`.
    pub(super) fn read(&mut self, offset: i64, bytes: usize, customers: usize, elapsed: Duration) {
        self.next = (offset + 1).min(self.end);
        self.bytes += bytes as u64;
        self.customers += customers as u64;
        self.read_at = elapsed;
    }

    /// As of the last record that came.
    pub(super) fn progress(&self) -> RestoreProgress {
        let (read, remaining) = (self.next.abs_diff(self.start), self.end.abs_diff(self.next));
        let took = self.read_at.saturating_sub(self.began);
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
        let progress = Course::new(10, 110, SECOND).progress();
        let expected =
            RestoreProgress { remaining_records: 100, remaining_bytes: None, customers_per_second: 0, eta: None };
        assert_eq!(progress, expected);
    }

    #[test]
    fn what_remains_takes_as_long_as_what_was_read() {
        let mut course = Course::new(10, 110, SECOND);
        course.read(20, 1_000, 500, SECOND * 2);
        course.read(34, 1_500, 500, SECOND * 3);
        let expected = RestoreProgress {
            remaining_records: 75,
            remaining_bytes: Some(7_500),
            customers_per_second: 500,
            eta: Some(SECOND * 6),
        };
        assert_eq!(course.progress(), expected);
    }

    #[test]
    fn nothing_remains_past_the_end() {
        let mut course = Course::new(0, 5, SECOND);
        course.read(7, 10, 1, SECOND);
        let progress = course.progress();
        assert_eq!((progress.remaining_records, progress.remaining_bytes, progress.eta), (0, Some(0), None));
    }
}
