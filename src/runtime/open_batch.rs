//! The open batch: the changes of all partitions that the next transaction commits.
//!
//! It knows only its size and its age; the changes themselves are in the partitions.

use std::time::Duration;

/// Number of records and wake-ups at which a batch is committed before its interval ends.
const CHANGES_MAX: usize = 10_000;
/// Bytes of consumed records and pending transitions at which a batch is committed before its interval ends.
const BYTES_MAX: usize = 8 << 20;

/// The time that a commit of wake-ups should take. Live touchpoints wait at most for the commit in progress and for
/// their own, so they become visible within about twice this time while many wake-ups are due.
const WAKE_UP_COMMIT_TIME: Duration = Duration::from_millis(80);
/// Number of wake-ups that a batch may always contain.
const WAKE_UPS_MIN: usize = 500;

/// Size and age of the open batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenBatch {
    /// Maximum time between the first change and the commit.
    interval: Duration,
    /// Time of the first change.
    since: Option<Duration>,
    changes: usize,
    bytes: usize,
    wake_ups: usize,
    /// Number of wake-ups at which the batch is committed before its interval ends: with the speed of the latest
    /// commit, about as many as can be committed in [`WAKE_UP_COMMIT_TIME`].
    wake_ups_max: usize,
}

impl OpenBatch {
    /// Returns an empty batch that is due `interval` after its first change.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { interval, since: None, changes: 0, bytes: 0, wake_ups: 0, wake_ups_max: WAKE_UPS_MIN }
    }

    /// Adds changes made at `elapsed`.
    pub fn add(&mut self, changes: usize, bytes: usize, elapsed: Duration) {
        self.since.get_or_insert(elapsed);
        self.changes += changes;
        self.bytes += bytes;
    }

    /// Adds wake-ups that fired at `elapsed`.
    pub(super) fn add_wake_ups(&mut self, wake_ups: usize, bytes: usize, elapsed: Duration) {
        self.add(wake_ups, bytes, elapsed);
        self.wake_ups += wake_ups;
    }

    /// Empties the batch.
    pub fn clear(&mut self) {
        *self = Self { wake_ups_max: self.wake_ups_max, ..Self::new(self.interval) };
    }

    /// Returns the number of changes.
    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    /// Adapts the number of wake-ups of the following batches: the commit of `changes` changes took `took`. A commit
    /// has fixed costs, so the number at most doubles from one batch to the next.
    pub(super) fn adapt(&mut self, changes: usize, took: Duration) {
        let affordable = WAKE_UP_COMMIT_TIME.as_micros() * changes as u128 / took.as_micros().max(1);
        let affordable = usize::try_from(affordable).unwrap_or(usize::MAX);
        let most = self.wake_ups_max.saturating_mul(2).min(CHANGES_MAX);
        self.wake_ups_max = affordable.clamp(WAKE_UPS_MIN, most.max(WAKE_UPS_MIN));
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.since.is_none()
    }

    /// Whether the batch must be committed before more wake-ups fire.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.changes >= CHANGES_MAX || self.bytes >= BYTES_MAX || self.wake_ups >= self.wake_ups_max
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

    #[test]
    fn the_number_of_wake_ups_follows_the_speed_of_commits_and_at_most_doubles() {
        let mut batch = OpenBatch::new(INTERVAL);
        let limit_after = |batch: &mut OpenBatch, changes, took| {
            batch.adapt(changes, took);
            let mut fired = 0;
            while !batch.is_full() {
                batch.add_wake_ups(1, 0, Duration::ZERO);
                fired += 1;
            }
            batch.clear();
            fired
        };
        assert_eq!(limit_after(&mut batch, 10, Duration::from_millis(20)), WAKE_UPS_MIN);
        assert_eq!(limit_after(&mut batch, 500, Duration::from_millis(10)), 2 * WAKE_UPS_MIN);
        assert_eq!(limit_after(&mut batch, 1_000, Duration::from_millis(10)), 4 * WAKE_UPS_MIN);
        assert_eq!(limit_after(&mut batch, 2_000, Duration::from_millis(160)), 1_000);
        assert_eq!(limit_after(&mut batch, 0, Duration::ZERO), WAKE_UPS_MIN);
        for _ in 0..10 {
            batch.adapt(1_000, Duration::ZERO);
        }
        assert_eq!(limit_after(&mut batch, 1_000, Duration::ZERO), CHANGES_MAX);
    }
}
