//! Limits of requests per time, over one or several sliding windows. Pure: time is a parameter.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// At most `requests` in any window of length `per`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// Maximum number of requests.
    pub requests: usize,
    /// Length of the window.
    pub per: Duration,
}

/// The requests of the recent past.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    /// For each limit the times of its latest requests, oldest first.
    windows: Vec<(RateLimit, VecDeque<Instant>)>,
}

impl RateLimiter {
    /// Creates a limiter that has seen no request.
    #[must_use]
    pub fn new(limits: &[RateLimit]) -> Self {
        Self { windows: limits.iter().map(|limit| (*limit, VecDeque::new())).collect() }
    }

    /// Reserves the next request, and returns the time at which it may be sent.
    pub fn reserve(&mut self, now: Instant) -> Instant {
        let at = (self.windows.iter())
            .filter(|(limit, times)| times.len() >= limit.requests)
            .filter_map(|(limit, times)| times.front().map(|oldest| *oldest + limit.per))
            .fold(now, Instant::max);
        for (limit, times) in &mut self.windows {
            while times.len() >= limit.requests.max(1) {
                times.pop_front();
            }
            times.push_back(at);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_window_contains_more_requests_than_allowed(
            limits in proptest::collection::vec((1_usize..6, 1_u64..50), 1..3),
            pauses in proptest::collection::vec(0_u64..20, 1..200),
        ) {
            let limits: Vec<RateLimit> = (limits.into_iter())
                .map(|(requests, per)| RateLimit { requests, per: Duration::from_millis(per) })
                .collect();
            let mut limiter = RateLimiter::new(&limits);
            let mut now = Instant::now();
            let mut sent: Vec<Instant> = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                let at = limiter.reserve(now);
                prop_assert!(at >= now && sent.last().is_none_or(|last| at >= *last));
                sent.push(at);
                now = at;
            }
            for limit in &limits {
                for window in sent.windows(limit.requests + 1) {
                    prop_assert!(window[limit.requests] - window[0] >= limit.per);
                }
            }
        }
    }

    #[test]
    fn without_limits_nothing_waits() {
        let now = Instant::now();
        assert_eq!(RateLimiter::new(&[]).reserve(now), now);
    }
}
