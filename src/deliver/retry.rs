//! When a delivery is attempted again, and when it is given up.

use std::time::Duration;

/// The retry policy of a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// The wait after the first failed attempt; it doubles with each further one.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
    /// The time since the publication of a transition after which its delivery is given up when an attempt fails. It
    /// does not start again with the process.
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), max: Duration::from_mins(10), give_up_after: Duration::from_hours(72) }
    }
}

impl RetryPolicy {
    /// Returns the wait after the failed attempt number `attempts` (from 1): exponential, with a jitter of up to a
    /// fifth either way (`random` is in `0.0..1.0`), and at least what the receiver asked for.
    #[must_use]
    pub fn wait(&self, attempts: u32, asked: Option<Duration>, random: f64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(32);
        let exponential = self.first.saturating_mul(1 << doublings.min(31)).min(self.max);
        let jittered = exponential.mul_f64(0.8 + 0.4 * random.clamp(0.0, 1.0));
        jittered.max(asked.unwrap_or_default())
    }

    /// Whether the failed delivery of a transition that was published `age` ago is given up.
    #[must_use]
    pub fn gives_up(&self, age: Duration) -> bool {
        age >= self.give_up_after
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let policy = RetryPolicy { first: Duration::from_secs(1), max: Duration::from_secs(10), ..Default::default() };
        let waits: Vec<_> = (1..=6).map(|attempts| policy.wait(attempts, None, 0.5).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
        assert_eq!(policy.wait(1, Some(Duration::from_secs(90)), 0.0), Duration::from_secs(90));
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_fifth(attempts in 0_u32..1_000, random in 0.0..1.0_f64) {
            let policy = RetryPolicy::default();
            let (wait, middle) = (policy.wait(attempts, None, random), policy.wait(attempts, None, 0.5));
            prop_assert!(wait >= middle.mul_f64(0.79) && wait <= middle.mul_f64(1.21));
            prop_assert!(wait <= policy.max.mul_f64(1.21));
        }
    }
}
