//! How quickly touchpoints are made: as quickly as it goes, so many a second, or as the customers' time passes.

use std::time::Duration;

use crate::lifecycle::time::{self, Timestamp};

use super::NEVER;

/// How quickly touchpoints are made.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Pace {
    /// As quickly as it goes.
    Unbounded,
    /// So many a second.
    Rate(f64),
    /// When they occur, so much of the customers' time passing in a second.
    Speed(time::Duration),
}

/// What may be made now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Share {
    /// So many touchpoints at most.
    pub(super) touchpoints: u64,
    /// Those that occur by then.
    pub(super) until: Timestamp,
}

/// Keeps the pace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    pace: Pace,
    start: Timestamp,
}

impl Pacer {
    pub(super) fn new(pace: Pace, start: Timestamp) -> Self {
        Self { pace, start }
    }

    /// Whether there is anything to wait for.
    pub(super) fn is_paced(&self) -> bool {
        self.pace != Pace::Unbounded
    }

    /// What may be made `elapsed` after the beginning, `made` being there already.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate by a time is neither negative nor past 2^53"
    )]
    pub(super) fn share(&self, elapsed: Duration, made: u64) -> Share {
        match self.pace {
            Pace::Unbounded => Share { touchpoints: u64::MAX, until: NEVER },
            Pace::Rate(rate) => {
                let due = (elapsed.as_secs_f64() * rate) as u64;
                Share { touchpoints: due.saturating_sub(made), until: NEVER }
            }
            Pace::Speed(speed) => {
                let millis = i128::from(speed.as_millis()) * elapsed.as_millis().cast_signed() / 1_000;
                let passed = i64::try_from(millis).unwrap_or(i64::MAX / 8).min(i64::MAX / 8);
                Share { touchpoints: u64::MAX, until: self.start + time::Duration::from_millis(passed) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000);

    #[test]
    fn a_rate_gives_what_is_not_there_yet() {
        let pacer = Pacer::new(Pace::Rate(10.0), START);
        assert_eq!(pacer.share(Duration::from_millis(1_550), 4).touchpoints, 11);
        assert_eq!(pacer.share(Duration::from_millis(1_550), 99).touchpoints, 0);
    }

    #[test]
    fn a_speed_gives_the_time_reached() {
        let pacer = Pacer::new(Pace::Speed(time::Duration::from_days(2)), START);
        assert_eq!(pacer.share(Duration::from_millis(500), 0).until, START + time::Duration::from_days(1));
        let for_ever = pacer.share(Duration::from_secs(u64::MAX / 2), 0).until;
        assert!(for_ever > START);
    }
}
