//! Finds touchpoints whose event times are far after those of all others.
//!
//! One such touchpoint advances the clock, and the time skipped counts as inactivity of all customers. Usually the
//! clock of a device was wrong.

use std::collections::BTreeMap;

use crate::lifecycle::time::{Duration, Timestamp};

/// Length of an interval in which touchpoints are counted, in milliseconds.
const INTERVAL_MS: i64 = 30 * 86_400_000;
/// The number of empty intervals that make a gap: longer than the longest inactivity of most models.
const GAP_INTERVALS: i64 = 6;
/// Touchpoints after a gap are reported if they are few: at most this number, or 1 of 1,000.
const AFTER_GAP_MAX: u64 = 10;

/// Counts of touchpoints by event time.
#[derive(Clone, Debug, Default)]
pub struct EventTimes {
    /// Number of touchpoints, and the latest time, by interval.
    intervals: BTreeMap<i64, (u64, Timestamp)>,
    count: u64,
}

/// Touchpoints far after all others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FutureTouchpoints {
    /// Their number.
    pub count: u64,
    /// The latest event time of the others.
    pub others_end: Timestamp,
    /// The latest event time.
    pub latest: Timestamp,
}

impl FutureTouchpoints {
    /// Returns how far the latest touchpoint is after the others.
    #[must_use]
    pub fn distance(&self) -> Duration {
        self.latest - self.others_end
    }
}

impl EventTimes {
    /// Counts a touchpoint.
    pub fn count(&mut self, occurred_at: Timestamp) {
        let interval = occurred_at.as_millis().div_euclid(INTERVAL_MS);
        let (count, latest) = self.intervals.entry(interval).or_insert((0, occurred_at));
        *count += 1;
        *latest = (*latest).max(occurred_at);
        self.count += 1;
    }

    /// Returns the touchpoints that are more than half a year after all others, if they are few.
    #[must_use]
    pub fn future(&self) -> Option<FutureTouchpoints> {
        let (_, &(_, latest)) = self.intervals.last_key_value()?;
        let mut after = 0;
        let mut found = None;
        let mut intervals = self.intervals.iter().rev().peekable();
        while let Some((&interval, &(count, _))) = intervals.next() {
            after += count;
            let Some(&(&before, &(_, others_end))) = intervals.peek() else { break };
            if after > AFTER_GAP_MAX.max(self.count / 1_000) || after * 2 > self.count {
                break;
            }
            // The earliest gap: several touchpoints may be at different times in the future.
            if interval - before > GAP_INTERVALS {
                found = Some(FutureTouchpoints { count: after, others_end, latest });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn future(days: &[i64]) -> Option<(u64, i64)> {
        let mut times = EventTimes::default();
        for day in days {
            times.count(Timestamp::from_millis(day * DAY_MS));
        }
        times.future().map(|found| (found.count, found.others_end.as_millis() / DAY_MS))
    }

    #[test]
    fn few_touchpoints_far_after_the_others_are_found_in_any_order() {
        assert_eq!(future(&[1, 2, 30_000, 3, 40]), Some((1, 40)));
        assert_eq!(future(&[30_000, 1, 2, 3, 20_000]), Some((2, 3)));
        assert_eq!(future(&[]), None);
        assert_eq!(future(&[5]), None);
    }

    #[test]
    fn a_history_with_long_pauses_is_not_remarkable_if_it_continues() {
        assert_eq!(future(&[1, 100, 200, 300, 400]), None);
        // The later touchpoints are more than half.
        assert_eq!(future(&[1, 2, 700, 701, 702]), None);
    }
}
