//! The latest times of the touchpoints of a group, bounded in number.
//!
//! The result does not depend on the order of arrival, because the list always keeps the latest times.

/// Times in milliseconds, in ascending order; may contain duplicates.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecentTimes(Vec<i64>);

impl RecentTimes {
    /// The limit of times per window; only the latest ones are kept and counted.
    pub const WINDOW_MAX: usize = 256;
    /// The limit of times per follow-up group.
    pub const FOLLOW_UPS_MAX: usize = 32;

    /// Creates the list from times in ascending order.
    #[must_use]
    pub fn from_sorted(times: Vec<i64>) -> Self {
        debug_assert!(times.is_sorted());
        Self(times)
    }

    /// Adds a time, and drops the earliest if there are more than `kept_max`.
    pub fn insert(&mut self, time: i64, kept_max: usize) {
        let index = self.0.partition_point(|&kept| kept <= time);
        if self.0.len() < kept_max {
            self.0.insert(index, time);
        } else if index > 0 {
            self.0[..index].rotate_left(1);
            self.0[index - 1] = time;
        }
    }

    /// Adds the times of `other`, and drops the earliest if there are more than `kept_max`.
    pub(super) fn merge(&mut self, other: &Self, kept_max: usize) {
        self.0.extend_from_slice(&other.0);
        self.0.sort_unstable();
        self.0.drain(..self.0.len().saturating_sub(kept_max));
    }

    /// Removes repeated times.
    pub(super) fn deduplicate(&mut self) {
        self.0.dedup();
    }

    /// Whether the list contains `time`.
    #[must_use]
    pub fn contains(&self, time: i64) -> bool {
        self.0.binary_search(&time).is_ok()
    }

    /// Removes the times up to and including `end`.
    pub fn remove_until(&mut self, end: i64) {
        let kept_from = self.0.partition_point(|&kept| kept <= end);
        self.0.drain(..kept_from);
    }

    /// Returns the times after `start`, ascending.
    #[must_use]
    pub fn after(&self, start: i64) -> &[i64] {
        &self.0[self.0.partition_point(|&kept| kept <= start)..]
    }

    /// Returns the earliest time at or after `start`.
    #[must_use]
    pub fn first_from(&self, start: i64) -> Option<i64> {
        self.0.get(self.0.partition_point(|&kept| kept < start)).copied()
    }

    /// Returns all times, ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[i64] {
        &self.0
    }

    /// Removes all times, and keeps the allocation.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_times_are_kept_in_any_order_of_arrival() {
        let mut forwards = RecentTimes::default();
        let mut backwards = RecentTimes::default();
        for time in 0..10 {
            forwards.insert(time / 2, 4);
            backwards.insert((9 - time) / 2, 4);
        }
        assert_eq!(forwards.as_slice(), [3, 3, 4, 4]);
        assert_eq!(forwards, backwards);
    }

    #[test]
    fn first_from_includes_the_instant_and_after_excludes_it() {
        let times = RecentTimes::from_sorted(vec![10, 20, 30]);
        assert_eq!(times.first_from(20), Some(20));
        assert_eq!(times.first_from(31), None);
        assert_eq!(times.after(20), [30]);
    }
}
