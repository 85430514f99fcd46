//! Whether a destination may be sent to: a circuit breaker that also obeys `Retry-After` and holds on rejected
//! credentials.
//!
//! After several failed requests in a row the gate opens for a time that grows with each failed probe. When the time is
//! over, one request is let through as a probe; its success closes the gate. Pure: time is a parameter.

use std::time::{Duration, Instant};

/// Failed requests in a row that open the gate.
const FAILURES_MAX: u32 = 5;
/// The first time for which the gate is open.
const OPEN_FIRST: Duration = Duration::from_secs(1);
/// The longest time for which the gate is open after failures.
const OPEN_MAX: Duration = Duration::from_mins(1);
/// The first pause after a rejection of the credentials or the URL.
const HOLD_FIRST: Duration = Duration::from_secs(5);
/// The longest pause after such a rejection.
const HOLD_MAX: Duration = Duration::from_mins(5);

/// The result of one request, as far as it concerns the destination as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The destination works, even if it rejected a delivery.
    Works,
    /// A network error, a timeout or a failure of the receiver.
    Failed {
        /// The pause that the receiver asked for, at most an hour.
        asked: Option<Duration>,
    },
    /// The receiver asks to send less: status 429.
    Throttled {
        /// The pause that the receiver asked for, at most an hour.
        asked: Option<Duration>,
    },
    /// The receiver rejects every request: wrong credentials or URL. An operator must act; nothing is given up.
    Rejected,
    /// The receiver wants no more requests: status 410.
    Gone,
}

/// Why nothing, or only a probe, is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Closed,
    /// Until the instant nothing is sent; then one probe.
    Open {
        until: Instant,
        is_rejected: bool,
    },
    /// A probe is in flight.
    Probing {
        is_rejected: bool,
    },
    Disabled,
}

/// The state of a destination, for operators.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum GateState {
    /// Deliveries are sent.
    Active,
    /// Requests fail; the next probe is due.
    Open,
    /// The receiver rejects the credentials or the URL.
    OnHold,
    /// The receiver wants no more requests, until an operator resumes.
    Disabled,
}

impl GateState {
    /// All states, in the order of their names in documents.
    pub const ALL: [Self; 4] = [Self::Active, Self::Open, Self::OnHold, Self::Disabled];

    /// Returns the name in metrics and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Open => "open",
            Self::OnHold => "held",
            Self::Disabled => "disabled",
        }
    }
}

/// The circuit breaker of a destination.
#[derive(Clone, Debug)]
pub struct Gate {
    state: State,
    /// Failed requests in a row.
    failures: u32,
    /// How often in a row the gate was opened.
    openings: u32,
}

impl Default for Gate {
    fn default() -> Self {
        Self { state: State::Closed, failures: 0, openings: 0 }
    }
}

impl Gate {
    /// Returns how many more requests may be sent at `now`, if `in_flight` are already.
    #[must_use]
    pub fn permits(&self, now: Instant, in_flight: usize, concurrency: usize) -> usize {
        match self.state {
            State::Closed => concurrency.saturating_sub(in_flight),
            State::Open { until, .. } if now >= until && in_flight == 0 => 1,
            State::Open { .. } | State::Probing { .. } | State::Disabled => 0,
        }
    }

    /// Records that a request is sent.
    pub fn sent(&mut self) {
        if let State::Open { is_rejected, .. } = self.state {
            self.state = State::Probing { is_rejected };
        }
    }

    /// Records the verdict of a request.
    pub fn record(&mut self, verdict: Verdict, now: Instant) {
        if self.state == State::Disabled {
            return;
        }
        let is_probe = matches!(self.state, State::Probing { .. });
        match verdict {
            Verdict::Works => {
                self.failures = 0;
                // A request that was sent before the gate opened says nothing about the destination now.
                if !matches!(self.state, State::Open { .. }) {
                    self.openings = 0;
                    self.state = State::Closed;
                }
            }
            Verdict::Gone => self.state = State::Disabled,
            Verdict::Rejected => self.open(doubled(HOLD_FIRST, self.openings, HOLD_MAX), true, now),
            Verdict::Throttled { asked } => {
                let least = doubled(OPEN_FIRST, self.openings, OPEN_MAX);
                self.open(asked.unwrap_or(least), false, now);
            }
            Verdict::Failed { asked } => {
                self.failures += 1;
                if is_probe || self.failures >= FAILURES_MAX || asked.is_some() {
                    let least = doubled(OPEN_FIRST, self.openings, OPEN_MAX);
                    self.open(least.max(asked.unwrap_or_default()), false, now);
                }
            }
        }
    }

    fn open(&mut self, pause: Duration, is_rejected: bool, now: Instant) {
        let until = now + pause;
        // Requests that were in flight together count once.
        let (until, is_rejected) = if let State::Open { until: earlier, is_rejected: was_rejected } = self.state {
            (until.max(earlier), is_rejected || was_rejected)
        } else {
            self.openings += 1;
            (until, is_rejected)
        };
        self.state = State::Open { until, is_rejected };
    }

    /// Lets requests through again, after an operator has asked for it.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Returns the state for operators.
    #[must_use]
    pub const fn state(&self) -> GateState {
        match self.state {
            State::Closed => GateState::Active,
            State::Open { is_rejected: false, .. } | State::Probing { is_rejected: false } => GateState::Open,
            State::Open { is_rejected: true, .. } | State::Probing { is_rejected: true } => GateState::OnHold,
            State::Disabled => GateState::Disabled,
        }
    }

    /// Returns when the next probe is due.
    #[must_use]
    pub const fn next_probe(&self) -> Option<Instant> {
        match self.state {
            State::Open { until, .. } => Some(until),
            _ => None,
        }
    }
}

fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first.saturating_mul(1 << times.min(20)).min(max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAILED: Verdict = Verdict::Failed { asked: None };

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn failures_in_a_row_open_the_gate_and_a_good_probe_closes_it() {
        let start = Instant::now();
        let mut gate = Gate::default();
        for _ in 1..FAILURES_MAX {
            gate.record(FAILED, start);
        }
        assert_eq!((gate.state(), gate.permits(start, 1, 4)), (GateState::Active, 3));
        gate.record(FAILED, start);
        assert_eq!((gate.state(), gate.permits(start, 0, 4)), (GateState::Open, 0));
        // Not while an earlier request is in flight: its result would be taken for that of the probe.
        assert_eq!(gate.permits(after(start, 1), 1, 4), 0);
        assert_eq!(gate.permits(after(start, 1), 0, 4), 1);
        gate.sent();
        assert_eq!(gate.permits(after(start, 100), 0, 4), 0);
        gate.record(FAILED, after(start, 1));
        assert_eq!(gate.next_probe(), Some(after(start, 3)), "the second pause is longer");
        gate.sent();
        gate.record(Verdict::Works, after(start, 3));
        assert_eq!((gate.state(), gate.permits(after(start, 3), 0, 4)), (GateState::Active, 4));
    }

    #[test]
    fn a_receiver_that_asks_for_a_pause_gets_it() {
        let start = Instant::now();
        let mut gate = Gate::default();
        gate.record(Verdict::Throttled { asked: Some(Duration::from_secs(30)) }, start);
        assert_eq!(gate.permits(after(start, 29), 0, 4), 0);
        assert_eq!(gate.permits(after(start, 30), 0, 4), 1);
        // An older request that succeeded does not end the pause.
        gate.record(Verdict::Works, after(start, 1));
        assert_eq!(gate.permits(after(start, 29), 0, 4), 0);
    }

    #[test]
    fn rejected_credentials_hold_and_a_gone_endpoint_disables() {
        let start = Instant::now();
        let mut gate = Gate::default();
        gate.record(Verdict::Rejected, start);
        assert_eq!((gate.state(), gate.permits(after(start, 4), 0, 4)), (GateState::OnHold, 0));
        gate.sent();
        assert_eq!(gate.state(), GateState::OnHold);
        gate.record(Verdict::Gone, after(start, 5));
        gate.record(Verdict::Works, after(start, 6));
        assert_eq!((gate.state(), gate.permits(after(start, 9_999), 0, 4)), (GateState::Disabled, 0));
        gate.reset();
        assert_eq!(gate.permits(start, 0, 4), 4);
    }

    proptest! {
        /// Unless it is disabled, a gate lets a request through within an hour, whatever happened before.
        #[test]
        fn a_gate_does_not_stay_open(verdicts in proptest::collection::vec((0_u8..4, 0_u64..=3_600), 0..50)) {
            let mut now = Instant::now();
            let mut gate = Gate::default();
            for (verdict, seconds) in verdicts {
                if gate.permits(now, 0, 4) > 0 {
                    gate.sent();
                }
                let asked = Some(Duration::from_secs(seconds));
                let verdict = match verdict {
                    0 => Verdict::Works,
                    1 => Verdict::Failed { asked },
                    2 => Verdict::Throttled { asked },
                    _ => Verdict::Rejected,
                };
                gate.record(verdict, now);
                now += Duration::from_secs(seconds % 7);
            }
            prop_assert!(gate.permits(now + Duration::from_hours(1), 0, 4) > 0);
        }
    }
}
