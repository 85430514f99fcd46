//! The watermark of a partition: the instant up to which wake-ups may fire.
//!
//! While touchpoints may be unread, it is the highest event time seen minus the lateness. It may follow wall time only
//! when every record written so far has been read. To confirm that, the worker probes the partition: it queries the end
//! offset, and when its position reaches that offset, the watermark advances to the wall time of the query minus the
//! lateness. While the broker cannot be queried, the watermark does not follow wall time.

use std::time::Duration;

use crate::lifecycle::time::{self, Timestamp};

use super::wall_clock::Moment;

/// Minimum time between two probes of a partition.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time by which the watermark of a partition without due wake-ups may be behind wall time minus the lateness.
/// The API and the metrics export the watermark, so it must not look stalled.
const LAG_MAX: time::Duration = time::Duration::from_millis(30_000);

/// Wall-clock part of the watermark.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Watermark {
    confirmed: Option<Timestamp>,
    probe: Option<Probe>,
    next_probe: Duration,
}

/// A queried end offset: every record written before `started_at` is below `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Probe {
    /// End offset of the partition.
    pub(super) end: i64,
    started_at: Timestamp,
}

impl Watermark {
    /// Returns the watermark of a partition whose watermark by event time is `event_time_watermark`.
    pub(super) fn current(&self, event_time_watermark: Option<Timestamp>) -> Option<Timestamp> {
        self.confirmed.max(event_time_watermark)
    }

    /// Whether the end offset should be queried: a wake-up is due by wall time but not by the watermark, or the
    /// watermark is far behind wall time although no wake-up is due.
    pub(super) fn needs_probe(
        &self,
        now: Moment,
        next_wake_up: Option<Timestamp>,
        event_time_watermark: Option<Timestamp>,
        lateness: time::Duration,
    ) -> bool {
        let (watermark, wall) = (self.current(event_time_watermark), now.wall - lateness);
        let is_wake_up_due = next_wake_up.is_some_and(|due| due <= wall && watermark < Some(due));
        let is_behind = watermark < Some(wall - LAG_MAX);
        self.probe.is_none() && now.elapsed >= self.next_probe && (is_wake_up_due || is_behind)
    }

    /// Returns the open probe. A new probe starts only after it is confirmed: if a newer end offset replaced it, the
    /// position might never reach one under a steady stream of touchpoints.
    pub(super) fn probe(&self) -> Option<Probe> {
        self.probe
    }

    /// Starts a probe with the end offset `end` queried at `now`.
    pub(super) fn start_probe(&mut self, end: i64, now: Moment) {
        self.probe = Some(Probe { end, started_at: now.wall });
        self.next_probe = now.elapsed + PROBE_INTERVAL;
    }

    /// Confirms the open probe: every record below its end offset has been applied.
    pub(super) fn confirm(&mut self, lateness: time::Duration) {
        if let Some(probe) = self.probe.take() {
            // Wall time may have been set back since the last confirmation; the watermark never goes back.
            self.confirmed = self.confirmed.max(Some(probe.started_at - lateness));
        }
    }

    /// Discards the confirmations, because touchpoints will be read again.
    pub(super) fn reset(&mut self) {
        self.confirmed = None;
        self.probe = None;
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
    fn while_lagging_the_watermark_follows_event_time() {
        let watermark = Watermark::default();
        assert_eq!(watermark.current(Some(at(5))), Some(at(5)));
        assert_eq!(watermark.current(None), None);
    }

    #[test]
    fn no_probe_starts_before_a_wake_up_is_due_by_wall_time_minus_lateness() {
        let needs_probe = |next_wake_up: Option<i64>, event_time_watermark: i64| {
            let (now, next_wake_up) = (moment(1_060_000, 0), next_wake_up.map(at));
            Watermark::default().needs_probe(now, next_wake_up, Some(at(event_time_watermark)), LATENESS)
        };
        assert!(!needs_probe(None, 990_000));
        assert!(!needs_probe(Some(1_000_001), 990_000));
        assert!(needs_probe(Some(1_000_000), 990_000));
        assert!(!needs_probe(Some(1_000_000), 1_000_000));
    }

    #[test]
    fn a_watermark_far_behind_is_probed_although_no_wake_up_is_due() {
        let needs_probe = |event_time_watermark: Option<Timestamp>| {
            Watermark::default().needs_probe(moment(1_060_000, 0), None, event_time_watermark, LATENESS)
        };
        assert!(needs_probe(None));
        assert!(needs_probe(Some(at(969_999))));
        assert!(!needs_probe(Some(at(970_000))));
    }

    #[test]
    fn a_confirmed_probe_advances_the_watermark_to_its_start_minus_lateness() {
        let mut watermark = Watermark::default();
        watermark.start_probe(7, moment(1_060_000, 0));
        assert_eq!(watermark.probe().map(|probe| probe.end), Some(7));
        assert_eq!(watermark.current(Some(at(5))), Some(at(5)));
        watermark.confirm(LATENESS);
        assert_eq!(watermark.current(Some(at(5))), Some(at(1_000_000)));
    }

    #[test]
    fn a_partition_is_probed_at_most_once_per_second() {
        let mut watermark = Watermark::default();
        watermark.start_probe(7, moment(1_060_000, 0));
        watermark.confirm(LATENESS);
        assert!(!watermark.needs_probe(moment(9_000_000, 999), Some(at(2_000_000)), None, LATENESS));
        assert!(watermark.needs_probe(moment(9_000_000, 1000), Some(at(2_000_000)), None, LATENESS));
    }

    #[test]
    fn the_watermark_does_not_follow_a_wall_clock_that_is_set_back() {
        let mut watermark = Watermark::default();
        watermark.start_probe(7, moment(1_060_000, 0));
        watermark.confirm(LATENESS);
        watermark.start_probe(8, moment(560_000, 1000));
        watermark.confirm(LATENESS);
        assert_eq!(watermark.current(None), Some(at(1_000_000)));
    }

    #[test]
    fn a_seek_discards_every_confirmation() {
        let mut watermark = Watermark::default();
        watermark.start_probe(7, moment(1_060_000, 0));
        watermark.confirm(LATENESS);
        watermark.start_probe(8, moment(1_070_000, 1000));
        watermark.reset();
        assert_eq!((watermark.current(None), watermark.probe()), (None, None));
    }
}
