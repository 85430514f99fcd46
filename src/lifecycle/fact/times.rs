//! The latest times of a group's touchpoints, a bounded number of them.
//!
//! The set of the latest n of many times does not depend on the order in which they arrive.

/// Times in ascending order, in milliseconds; equal ones stand side by side.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecentTimes(Vec<i64>);

impl RecentTimes {
    /// How many times a window keeps; older ones are no longer counted.
    pub const WINDOW_MAX: usize = 256;
    /// How many times of a followed group are kept, for orders that arrive after what followed them.
    pub const FOLLOWED_MAX: usize = 32;

    /// The times of a record. They must be ascending.
    #[must_use]
    pub fn from_sorted(times: Vec<i64>) -> Self {
        debug_assert!(times.is_sorted());
        Self(times)
    }

    /// Adds a time; with more than `kept_max` the earliest goes.
    pub fn insert(&mut self, time: i64, kept_max: usize) {
        let place = self.0.partition_point(|&kept| kept <= time);
        if self.0.len() < kept_max {
            self.0.insert(place, time);
        } else if place > 0 {
            self.0[..place].rotate_left(1);
            self.0[place - 1] = time;
        }
    }

    /// Whether `time` is kept.
    #[must_use]
    pub fn contains(&self, time: i64) -> bool {
        self.0.binary_search(&time).is_ok()
    }

    /// Forgets the times up to and including `end`.
    pub fn forget_until(&mut self, end: i64) {
        let kept_from = self.0.partition_point(|&kept| kept <= end);
        self.0.drain(..kept_from);
    }

    /// The times after `start`, ascending.
    #[must_use]
    pub fn after(&self, start: i64) -> &[i64] {
        &self.0[self.0.partition_point(|&kept| kept <= start)..]
    }

    /// The earliest time at or after `start`.
    #[must_use]
    pub fn first_from(&self, start: i64) -> Option<i64> {
        self.0.get(self.0.partition_point(|&kept| kept < start)).copied()
    }

    /// All of them, ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[i64] {
        &self.0
    }

    /// Forgets all of them, and keeps the memory for others.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_times_are_kept_whatever_the_order_of_arrival() {
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
    fn what_follows_an_instant_includes_the_instant_and_a_window_does_not() {
        let times = RecentTimes::from_sorted(vec![10, 20, 30]);
        assert_eq!(times.first_from(20), Some(20));
        assert_eq!(times.first_from(31), None);
        assert_eq!(times.after(20), [30]);
    }
}
