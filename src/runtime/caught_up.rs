//! Up to when wake-ups may fire in a partition: its clock.
//!
//! While touchpoints may still lie unread, only the event time that they have reached counts, less the lateness. Wall time
//! counts up to an instant for which it is proven that all written before it has been read: the end of the topic is asked
//! for, and once the position has come to it, the clock may stand at the time of the asking, less the lateness.
//! A broker that cannot be asked proves nothing, so nothing fires.

use std::time::Duration;

use crate::lifecycle::time::{self, Timestamp};

use super::wall_clock::Moment;

/// How long to wait between two questions about one partition.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// How far the clock may stay behind the wall, beside the lateness, where nobody waits for it. It is shown to people.
const BEHIND_MAX: time::Duration = time::Duration::from_millis(30_000);

/// What is proven about having read everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct CaughtUp {
    proven: Option<Timestamp>,
    question: Option<Question>,
    ask_at: Duration,
}

/// Everything written before `asked` lies below `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Question {
    /// The end of the partition.
    pub(super) end: i64,
    asked: Timestamp,
}

impl CaughtUp {
    /// The clock of a partition whose touchpoints have reached `event_clock`, lateness taken off.
    pub(super) fn clock(&self, event_clock: Option<Timestamp>) -> Option<Timestamp> {
        self.proven.max(event_clock)
    }

    /// Whether the end of the partition should be asked for: a wake-up is due by wall time and by no clock that is proven; or nobody
    /// waits, but the clock has stood still for a while.
    pub(super) fn wants_to_ask(
        &self,
        now: Moment,
        next_wake_up: Option<Timestamp>,
        event_clock: Option<Timestamp>,
        lateness: time::Duration,
    ) -> bool {
        let (clock, wall) = (self.clock(event_clock), now.wall - lateness);
        let is_waited_for = next_wake_up.is_some_and(|due| due <= wall && clock < Some(due));
        let stands_still = clock < Some(wall - BEHIND_MAX);
        self.question.is_none() && now.elapsed >= self.ask_at && (is_waited_for || stands_still)
    }

    /// The question that is open. A newer one would never be answered while touchpoints stream in.
    pub(super) fn question(&self) -> Option<Question> {
        self.question
    }

    /// Notes that the end was `end` when it was asked for at `now`.
    pub(super) fn ask(&mut self, end: i64, now: Moment) {
        self.question = Some(Question { end, asked: now.wall });
        self.ask_at = now.elapsed + ASK_INTERVAL;
    }

    /// Everything below the end in question has been applied.
    pub(super) fn prove(&mut self, lateness: time::Duration) {
        if let Some(question) = self.question.take() {
            // The wall may have been set back since the last proof; what was proven stays so.
            self.proven = self.proven.max(Some(question.asked - lateness));
        }
    }

    /// Touchpoints that had been applied are to be read again: nothing is proven about them any more.
    pub(super) fn forget(&mut self) {
        self.proven = None;
        self.question = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENESS: time::Duration = time::Duration::from_millis(60_000);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn moment(wall: i64, elapsed_ms: u64) -> Moment {
        Moment { wall: at(wall), elapsed: Duration::from_millis(elapsed_ms) }
    }

    #[test]
    fn while_lagging_the_clock_is_the_event_time() {
        let caught_up = CaughtUp::default();
        assert_eq!(caught_up.clock(Some(at(5))), Some(at(5)));
        assert_eq!(caught_up.clock(None), None);
    }

    #[test]
    fn nobody_is_asked_before_a_wake_up_is_due_by_the_wall_less_the_lateness() {
        let wants_to_ask = |next_wake_up: Option<i64>, event_clock: i64| {
            let (now, next_wake_up) = (moment(1_060_000, 0), next_wake_up.map(at));
            CaughtUp::default().wants_to_ask(now, next_wake_up, Some(at(event_clock)), LATENESS)
        };
        assert!(!wants_to_ask(None, 990_000));
        assert!(!wants_to_ask(Some(1_000_001), 990_000));
        assert!(wants_to_ask(Some(1_000_000), 990_000));
        assert!(!wants_to_ask(Some(1_000_000), 1_000_000));
    }

    #[test]
    fn a_clock_that_stands_still_is_set_right_now_and_then_though_nobody_waits_for_it() {
        let wants_to_ask = |event_clock: Option<Timestamp>| {
            CaughtUp::default().wants_to_ask(moment(1_060_000, 0), None, event_clock, LATENESS)
        };
        assert!(wants_to_ask(None));
        assert!(wants_to_ask(Some(at(969_999))));
        assert!(!wants_to_ask(Some(at(970_000))));
    }

    #[test]
    fn a_proof_lets_the_clock_go_to_the_time_of_the_asking_less_the_lateness() {
        let mut caught_up = CaughtUp::default();
        caught_up.ask(7, moment(1_060_000, 0));
        assert_eq!(caught_up.question().map(|question| question.end), Some(7));
        assert_eq!(caught_up.clock(Some(at(5))), Some(at(5)));
        caught_up.prove(LATENESS);
        assert_eq!(caught_up.clock(Some(at(5))), Some(at(1_000_000)));
    }

    #[test]
    fn a_partition_is_asked_about_once_a_second_at_most() {
        let mut caught_up = CaughtUp::default();
        caught_up.ask(7, moment(1_060_000, 0));
        caught_up.prove(LATENESS);
        assert!(!caught_up.wants_to_ask(moment(9_000_000, 999), Some(at(2_000_000)), None, LATENESS));
        assert!(caught_up.wants_to_ask(moment(9_000_000, 1000), Some(at(2_000_000)), None, LATENESS));
    }

    #[test]
    fn a_wall_clock_set_back_takes_nothing_back() {
        let mut caught_up = CaughtUp::default();
        caught_up.ask(7, moment(1_060_000, 0));
        caught_up.prove(LATENESS);
        caught_up.ask(8, moment(560_000, 1000));
        caught_up.prove(LATENESS);
        assert_eq!(caught_up.clock(None), Some(at(1_000_000)));
    }

    #[test]
    fn a_rewind_takes_every_proof_back() {
        let mut caught_up = CaughtUp::default();
        caught_up.ask(7, moment(1_060_000, 0));
        caught_up.prove(LATENESS);
        caught_up.ask(8, moment(1_070_000, 1000));
        caught_up.forget();
        assert_eq!((caught_up.clock(None), caught_up.question()), (None, None));
    }
}
