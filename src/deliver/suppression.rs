//! Deliveries that are not sent on purpose: quiet hours, and a minimum interval per customer and name.
//!
//! Pure: time is a parameter. Intervals are measured between the times of publication, so that a backlog is treated as
//! it would have been without a delay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::lifecycle::time::Timestamp;

/// Why a transition is not delivered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Suppression {
    /// The filter does not hold.
    Filter,
    /// The customer got a delivery of the same name shortly before.
    Interval,
    /// It falls into quiet hours that suppress.
    QuietHours,
    /// The destination is a dry run.
    DryRun,
}

impl Suppression {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Filter, Self::Interval, Self::QuietHours, Self::DryRun];

    /// Returns the name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Interval => "interval",
            Self::QuietHours => "quiet_hours",
            Self::DryRun => "dry_run",
        }
    }
}

/// A time of day at which nothing is sent.
#[derive(Clone, Debug)]
pub struct QuietHours {
    /// The first quiet minute.
    pub from: Time,
    /// The first minute after them; may be earlier than `from`, on the next day.
    pub to: Time,
    /// The time zone of both.
    pub zone: TimeZone,
    /// Whether deliveries are suppressed; otherwise they wait.
    pub is_suppressing: bool,
}

impl QuietHours {
    /// Whether `at` is quiet.
    #[must_use]
    pub fn covers(&self, at: Timestamp) -> bool {
        let Ok(instant) = jiff::Timestamp::from_millisecond(at.as_millis()) else { return false };
        let time = self.zone.to_datetime(instant).time();
        if self.from <= self.to { self.from <= time && time < self.to } else { self.from <= time || time < self.to }
    }
}

/// Maximum number of pairs of customer and name that are remembered; beyond it, the oldest are forgotten.
const REMEMBERED_MAX: usize = 1_000_000;

/// The latest deliveries of each customer and name.
#[derive(Debug)]
pub struct Intervals {
    min: Duration,
    latest: BTreeMap<u64, Timestamp>,
    by_time: BTreeSet<(Timestamp, u64)>,
}

impl Intervals {
    /// Creates an empty memory for a minimum interval.
    #[must_use]
    pub const fn new(min: Duration) -> Self {
        Self { min, latest: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Whether a delivery of `customer` and `name` that was published at `at` comes too soon after the latest one. If
    /// not, it is now the latest one.
    pub fn is_too_soon(&mut self, customer: &[u8], name: &str, at: Timestamp) -> bool {
        let key = {
            let mut bytes = customer.to_vec();
            bytes.push(0);
            bytes.extend_from_slice(name.as_bytes());
            xxhash_rust::xxh3::xxh3_64(&bytes)
        };
        let min = i64::try_from(self.min.as_millis()).unwrap_or(i64::MAX);
        if let Some(latest) = self.latest.get(&key).copied() {
            if at.as_millis().saturating_sub(latest.as_millis()) < min {
                return true;
            }
            self.by_time.remove(&(latest, key));
        }
        self.latest.insert(key, at);
        self.by_time.insert((at, key));
        let is_expired = |oldest: Timestamp| at.as_millis().saturating_sub(oldest.as_millis()) >= min;
        while let Some(&(oldest, old)) = self.by_time.first()
            && (is_expired(oldest) || self.latest.len() > REMEMBERED_MAX)
            && old != key
        {
            self.by_time.pop_first();
            self.latest.remove(&old);
        }
        false
    }

    /// Returns the number of pairs of customer and name that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.latest.len()
    }

    /// Returns whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let instant: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_millis(instant.as_millisecond())
    }

    #[test]
    fn quiet_hours_span_midnight_and_follow_the_clocks_of_their_zone() {
        let quiet = QuietHours {
            from: Time::constant(21, 0, 0, 0),
            to: Time::constant(8, 0, 0, 0),
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            is_suppressing: false,
        };
        for quiet_time in ["2026-01-10T20:00:00Z", "2026-01-11T06:59:59Z", "2026-07-10T19:00:00Z"] {
            assert!(quiet.covers(at(quiet_time)), "{quiet_time}");
        }
        for other in ["2026-01-10T19:59:59Z", "2026-01-11T07:00:00Z", "2026-07-10T06:00:00Z"] {
            assert!(!quiet.covers(at(other)), "{other}");
        }
    }

    #[test]
    fn a_second_delivery_of_a_name_within_the_interval_is_suppressed() {
        let mut intervals = Intervals::new(Duration::from_hours(24));
        let hour = |hour: i64| Timestamp::from_millis(hour * 3_600_000);
        assert!(!intervals.is_too_soon(b"a", "at_risk", hour(0)));
        assert!(intervals.is_too_soon(b"a", "at_risk", hour(23)));
        assert!(!intervals.is_too_soon(b"a", "won_back", hour(23)));
        assert!(!intervals.is_too_soon(b"b", "at_risk", hour(23)));
        // Measured from the one that was delivered, not from the suppressed one.
        assert!(!intervals.is_too_soon(b"a", "at_risk", hour(24)));
        assert_eq!(intervals.len(), 3);
        assert!(!intervals.is_too_soon(b"c", "at_risk", hour(100)));
        assert_eq!(intervals.len(), 1, "what is older than the interval is forgotten");
    }
}
