//! Rate-limits repeated log messages: each kind at most once per 30 s, with the number suppressed.
//!
//! While a broker is down, every client of the process reports the same error several times a second. An operator needs
//! to read it once, and to see from later repetitions that the problem persists. The end of the outage is logged once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The shortest time between two messages of one kind.
const INTERVAL: Duration = Duration::from_secs(30);
/// The maximum number of kinds tracked. Kinds come from enumerations of the client library, so this is not reached.
const KINDS_MAX: usize = 256;

/// A rate limiter that stores when each kind of message was last logged, and how many were suppressed since.
#[derive(Debug, Default)]
pub struct LogThrottle {
    kinds: Mutex<BTreeMap<String, (Instant, u64)>>,
    /// Whether an outage was logged and its end was not.
    is_outage_logged: AtomicBool,
}

/// The throttle that all clients share, because they report the same outages.
pub static CLIENT_LOG_THROTTLE: LogThrottle = LogThrottle::new();

impl LogThrottle {
    /// Returns a throttle that has logged nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { kinds: Mutex::new(BTreeMap::new()), is_outage_logged: AtomicBool::new(false) }
    }

    /// Records that the caller has logged the beginning of an outage.
    pub(super) fn outage_logged(&self) {
        self.is_outage_logged.store(true, Ordering::Relaxed);
    }

    /// Returns whether the caller must log the end of an outage: true once for each logged outage, whichever client
    /// recovers first.
    pub(super) fn admit_recovery(&self) -> bool {
        self.is_outage_logged.swap(false, Ordering::Relaxed)
    }

    /// Returns the number of messages of `kind` suppressed since the last one if the caller may log at `now`, and
    /// `None` if the caller must suppress this one.
    pub fn admit(&self, kind: &str, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        match kinds.get_mut(kind) {
            Some((logged_at, suppressed)) if now.saturating_duration_since(*logged_at) < INTERVAL => {
                *suppressed += 1;
                None
            }
            Some((logged_at, suppressed)) => {
                *logged_at = now;
                Some(std::mem::take(suppressed))
            }
            None => {
                if kinds.len() < KINDS_MAX {
                    kinds.insert(kind.to_owned(), (now, 0));
                }
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_message_is_admitted_again_after_the_interval_with_the_number_suppressed() {
        let throttle = LogThrottle::new();
        let start = Instant::now();
        assert_eq!(throttle.admit("AllBrokersDown", start), Some(0));
        assert_eq!(throttle.admit("Authentication", start), Some(0));
        for seconds in 1..30 {
            assert_eq!(throttle.admit("AllBrokersDown", start + Duration::from_secs(seconds)), None);
        }
        assert_eq!(throttle.admit("AllBrokersDown", start + INTERVAL), Some(29));
        assert_eq!(throttle.admit("AllBrokersDown", start + INTERVAL * 2), Some(0));
    }
    #[test]
    fn the_end_of_an_outage_is_admitted_once_for_each_logged_outage() {
        let throttle = LogThrottle::new();
        assert!(!throttle.admit_recovery());
        for _ in 0..2 {
            throttle.outage_logged();
            assert!(throttle.admit_recovery());
            assert!(!throttle.admit_recovery());
        }
    }
}
