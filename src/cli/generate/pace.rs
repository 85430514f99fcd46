//! Pacing of generated touchpoints: as fast as possible, at a fixed rate, or as simulated time passes.
//!
//! Pure: the caller passes the elapsed time.

use std::time::Duration;

use crate::lifecycle::time::{self, Timestamp};

use super::UNLIMITED;

/// How fast touchpoints are generated.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Pace {
    /// As fast as possible.
    Unbounded,
    /// At this many touchpoints per second.
    Rate(f64),
    /// At their event time, at this much simulated time per second.
    Speed(time::Duration),
}

/// What may be generated now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Quota {
    /// Maximum number of touchpoints.
    pub(super) touchpoints: u64,
    /// Maximum event time.
    pub(super) until: Timestamp,
}

/// Computes what is due at a given pace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    pace: Pace,
    start: Timestamp,
}

impl Pacer {
    pub(super) fn new(pace: Pace, start: Timestamp) -> Self {
        Self { pace, start }
    }

    /// Returns whether the pace is limited.
    pub(super) fn is_paced(&self) -> bool {
        self.pace != Pace::Unbounded
    }

    /// Returns what may be generated at `elapsed` after the start, if `generated` touchpoints exist already.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the product of a rate and a time is neither negative nor above 2^53"
    )]
    pub(super) fn quota(&self, elapsed: Duration, generated: u64) -> Quota {
        match self.pace {
            Pace::Unbounded => Quota { touchpoints: u64::MAX, until: UNLIMITED },
            Pace::Rate(rate) => {
                let due = (elapsed.as_secs_f64() * rate) as u64;
                Quota { touchpoints: due.saturating_sub(generated), until: UNLIMITED }
            }
            Pace::Speed(speed) => {
                let millis = i128::from(speed.as_millis()) * elapsed.as_millis().cast_signed() / 1_000;
                let passed = i64::try_from(millis).unwrap_or(i64::MAX / 8).min(i64::MAX / 8);
                Quota { touchpoints: u64::MAX, until: self.start + time::Duration::from_millis(passed) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000);

    #[test]
    fn a_rate_limits_the_number_of_touchpoints() {
        let pacer = Pacer::new(Pace::Rate(10.0), START);
        assert_eq!(pacer.quota(Duration::from_millis(1_550), 4).touchpoints, 11);
        assert_eq!(pacer.quota(Duration::from_millis(1_550), 99).touchpoints, 0);
    }

    #[test]
    fn a_speed_limits_the_event_time() {
        let pacer = Pacer::new(Pace::Speed(time::Duration::from_days(2)), START);
        assert_eq!(pacer.quota(Duration::from_millis(500), 0).until, START + time::Duration::from_days(1));
        let far_future = pacer.quota(Duration::from_secs(u64::MAX / 2), 0).until;
        assert!(far_future > START);
    }
}
