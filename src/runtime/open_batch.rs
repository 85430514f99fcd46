//! The open batch: the changes of all partitions that the next transaction commits.
//!
//! It knows only its size and its age; the changes themselves are in the partitions.

use std::time::Duration;

/// Number of records and wake-ups at which a batch is committed before its interval ends.
const CHANGES_MAX: usize = 10_000;
/// Bytes of consumed records and pending transitions at which a batch is committed before its interval ends.
const BYTES_MAX: usize = 8 << 20;

/// Size and age of the open batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenBatch {
    /// Maximum time between the first change and the commit.
    interval: Duration,
    /// Time of the first change.
    since: Option<Duration>,
    changes: usize,
    bytes: usize,
}

impl OpenBatch {
    /// Returns an empty batch that is due `interval` after its first change.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { interval, since: None, changes: 0, bytes: 0 }
    }

    /// Adds changes made at `elapsed`.
    pub fn add(&mut self, changes: usize, bytes: usize, elapsed: Duration) {
        self.since.get_or_insert(elapsed);
        self.changes += changes;
        self.bytes += bytes;
    }

    /// Empties the batch.
    pub fn clear(&mut self) {
        *self = Self::new(self.interval);
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.since.is_none()
    }

    /// Whether the batch must be committed before more wake-ups fire.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.changes >= CHANGES_MAX || self.bytes >= BYTES_MAX
    }

    /// Whether the batch must be committed.
    #[must_use]
    pub fn is_due(&self, elapsed: Duration) -> bool {
        self.is_full() || self.since.is_some_and(|since| elapsed.saturating_sub(since) >= self.interval)
    }

    /// Returns the time until the interval ends; `None` if the batch is empty.
    #[must_use]
    pub fn time_left(&self, elapsed: Duration) -> Option<Duration> {
        Some((self.since? + self.interval).saturating_sub(elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    #[test]
    fn a_batch_is_due_one_interval_after_its_first_change() {
        let mut batch = OpenBatch::new(INTERVAL);
        assert!(batch.is_empty() && !batch.is_due(INTERVAL));
        assert_eq!(batch.time_left(INTERVAL), None);
        batch.add(1, 10, INTERVAL);
        batch.add(1, 10, INTERVAL + Duration::from_millis(99));
        assert!(!batch.is_empty() && !batch.is_due(INTERVAL + Duration::from_millis(99)));
        assert_eq!(batch.time_left(INTERVAL + Duration::from_millis(99)), Some(Duration::from_millis(1)));
        assert!(batch.is_due(INTERVAL * 2) && !batch.is_full());
        assert_eq!(batch.time_left(INTERVAL * 3), Some(Duration::ZERO));
    }

    #[test]
    fn a_full_batch_is_due_at_once() {
        for (changes, bytes) in [(CHANGES_MAX, 0), (0, BYTES_MAX)] {
            let mut batch = OpenBatch::new(INTERVAL);
            batch.add(changes, bytes, Duration::ZERO);
            assert!(batch.is_full() && batch.is_due(Duration::ZERO));
            batch.clear();
            assert_eq!(batch, OpenBatch::new(INTERVAL));
        }
    }
}
