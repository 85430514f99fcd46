//! Instants and durations in whole milliseconds.
//!
//! There is no `now()` here: `lifecycle` and `partition` receive the current time as a parameter.

use std::ops::{Add, Sub};

/// An instant in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

/// A duration in milliseconds; may be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Duration(i64);

impl Timestamp {
    /// The earliest valid `occurred_at` of a touchpoint: 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800_000);
    /// The latest valid `occurred_at` of a touchpoint: 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// Creates an instant from milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns the last instant of its UTC day.
    #[must_use]
    pub const fn end_of_day(self) -> Self {
        const DAY_MS: i64 = 86_400_000;
        Self(self.0.saturating_add(DAY_MS - 1 - self.0.rem_euclid(DAY_MS)))
    }

    /// Returns the instant one millisecond later.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Duration {
    /// A duration of zero.
    pub const ZERO: Self = Self(0);

    /// Creates a duration from milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Creates a duration of `days` days of 24 hours.
    #[must_use]
    pub const fn from_days(days: i64) -> Self {
        Self(days.saturating_mul(86_400_000))
    }

    /// Returns the duration in milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns the duration in seconds, for metrics and output.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "52 bits of milliseconds are 140,000 years")]
    pub const fn as_seconds(self) -> f64 {
        self.0 as f64 / 1_000.0
    }
}

// Saturating, so that arithmetic near the limits cannot wrap around.
impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.0))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.0))
    }
}

impl Sub for Timestamp {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}
