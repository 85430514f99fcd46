//! Tells the same thing once in a while, not each time it happens.
//!
//! When a broker goes, every client of the process says so several times a second for as long as it is away. A person needs
//! to read it once, and to see later that it goes on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the same thing is not told again.
const SILENCE: Duration = Duration::from_secs(30);
/// How many different things are remembered; they come from enumerations of the client.
const KINDS_MAX: usize = 256;

/// What was told, and how often it was not since.
#[derive(Debug)]
pub(super) struct Repeats {
    told: Mutex<BTreeMap<String, (Instant, u64)>>,
}

/// Of all clients together: they meet the same outage.
pub(super) static OF_CLIENTS: Repeats = Repeats::new();

impl Repeats {
    const fn new() -> Self {
        Self { told: Mutex::new(BTreeMap::new()) }
    }

    /// Whether `kind` is to be told at `now`, and then how often it was passed over in silence since the last time.
    pub(super) fn tell(&self, kind: &str, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.get_mut(kind) {
            Some((at, unsaid)) if now.saturating_duration_since(*at) < SILENCE => {
                *unsaid += 1;
                None
            }
            Some((at, unsaid)) => {
                *at = now;
                Some(std::mem::take(unsaid))
            }
            None => {
                if told.len() < KINDS_MAX {
                    told.insert(kind.to_owned(), (now, 0));
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
    fn the_same_thing_is_told_again_after_a_while_with_how_often_it_came() {
        let repeats = Repeats::new();
        let start = Instant::now();
        assert_eq!(repeats.tell("AllBrokersDown", start), Some(0));
        assert_eq!(repeats.tell("Authentication", start), Some(0));
        for seconds in 1..30 {
            assert_eq!(repeats.tell("AllBrokersDown", start + Duration::from_secs(seconds)), None);
        }
        assert_eq!(repeats.tell("AllBrokersDown", start + SILENCE), Some(29));
        assert_eq!(repeats.tell("AllBrokersDown", start + SILENCE * 2), Some(0));
    }
}
