//! The back-off of a partition whose next record names a schema that the registry did not return.

use std::time::Duration;

/// Delay before a record is translated again after the schema registry did not answer; doubled with each failure.
const WAIT_MIN: Duration = Duration::from_millis(500);
/// Maximum of this delay.
const WAIT_MAX: Duration = Duration::from_secs(15);

/// Until when a partition is paused because the schema registry did not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RegistryWait {
    until: Option<Duration>,
    /// Consecutive attempts to translate the record at the position that the registry did not answer.
    attempts: u32,
}

impl RegistryWait {
    /// Whether the partition waits for the registry.
    #[must_use]
    pub fn is_waiting(self) -> bool {
        self.attempts > 0
    }

    /// Whether the client may return the record again.
    #[must_use]
    pub fn is_over(self, elapsed: Duration) -> bool {
        self.until.is_none_or(|until| elapsed >= until)
    }

    /// Waits once more. The caller seeks to the record.
    pub fn extend(&mut self, elapsed: Duration) {
        let delay = WAIT_MIN.saturating_mul(1 << self.attempts.min(10)).min(WAIT_MAX);
        self.attempts += 1;
        self.until = Some(elapsed + delay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_is_doubled_up_to_its_maximum() {
        let mut wait = RegistryWait::default();
        assert!(!wait.is_waiting() && wait.is_over(Duration::ZERO));
        wait.extend(Duration::ZERO);
        assert!(wait.is_waiting() && !wait.is_over(Duration::ZERO) && wait.is_over(WAIT_MIN));
        wait.extend(WAIT_MIN);
        assert!(!wait.is_over(WAIT_MIN * 2) && wait.is_over(WAIT_MIN * 3));
        for _ in 0..100 {
            wait.extend(Duration::ZERO);
        }
        assert!(wait.is_over(WAIT_MAX));
    }
}
