//! The watermark of a partition: the instant up to which wake-ups may fire.
//!
//! While touchpoints may be unread, it is the highest event time seen minus the lateness. It may follow wall time only
//! when every record written so far has been read. To confirm that, the worker probes the partition: it queries the end
//! offset, and when its position reaches that offset, the watermark advances to the wall time of the query minus the
//! lateness. While the broker cannot be queried, the watermark does not follow wall time. With
//! `ClockSource::Touchpoints`, wall time plays no part.

use std::time::Duration;

use crate::lifecycle::time::{self, Timestamp};
use crate::partition::Clock;

use super::options::ClockSource;
use super::wall_clock::Moment;

/// Minimum time between two probes of a partition.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time by which the watermark of a partition without due wake-ups may be behind wall time minus the lateness.
/// The API and the metrics export the watermark, so it must not look stalled.
const LAG_MAX: time::Duration = time::Duration::from_millis(30_000);

/// The watermark of a partition. `clock`, the stream time of the partition, is a parameter of the methods because it is
/// part of the committed state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Watermark {
    source: ClockSource,
    lateness: time::Duration,
    /// Highest wall time seen, so that setting the clock back does not delay wake-ups that are already due.
    wall_max: Timestamp,
    /// Highest record timestamp read since the last seek.
    latest_record: Option<Timestamp>,
    /// Every record written up to this instant plus the lateness has been read.
    confirmed: Option<Timestamp>,
    probe: Option<Probe>,
    next_probe: Duration,
}

/// A queried end offset: every record written before `started_at` is below `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Probe {
    end: i64,
    started_at: Timestamp,
}

impl Watermark {
    /// Returns the watermark of a partition of which nothing has been read.
    pub(super) fn new(source: ClockSource, lateness: time::Duration) -> Self {
        let wall_max = Timestamp::MIN;
        Self {
            source,
            lateness,
            wall_max,
            latest_record: None,
            confirmed: None,
            probe: None,
            next_probe: Duration::ZERO,
        }
    }

    /// Records wall time. Must be called before wake-ups fire.
    pub(super) fn observe_wall(&mut self, wall: Timestamp) {
        self.wall_max = self.wall_max.max(wall);
    }

    /// Records the timestamp of a record that was read.
    pub(super) fn observe_record(&mut self, timestamp_ms: Option<i64>) {
        self.latest_record = self.latest_record.max(timestamp_ms.map(Timestamp::from_millis));
    }

    /// Returns the instant up to which wake-ups may fire; `None` while unknown.
    pub(super) fn current(&self, clock: Clock) -> Option<Timestamp> {
        let event_time = clock.watermark(self.lateness);
        match self.source {
            ClockSource::Touchpoints => event_time,
            ClockSource::Wall => {
                // A touchpoint with an event time in the future does not mean that all earlier records have been read,
                // so the record timestamps limit the event time.
                let event_time = event_time.min(self.latest_record.map(|latest| latest - self.lateness));
                // Wall time limits both: an event time or a record timestamp in the future must not fire the wake-ups
                // of other customers early.
                self.confirmed.max(event_time).map(|watermark| watermark.min(self.wall_max - self.lateness))
            }
        }
    }

    /// Returns the time of the clock source minus the lateness, which `current` approaches; `None` while unknown.
    pub(super) fn source_time(&self, clock: Clock) -> Option<Timestamp> {
        match self.source {
            ClockSource::Wall => Some(self.wall_max - self.lateness),
            ClockSource::Touchpoints => clock.watermark(self.lateness),
        }
    }

    /// Returns the latest instant up to which wake-ups may have fired before a worker restarted. With
    /// `ClockSource::Wall` this is at least the current wall time, even if the latest touchpoint is much older. `clock`
    /// is the clock at the last commit.
    pub(super) fn time_before_restart(&self, clock: Clock, wall: Timestamp) -> Option<Timestamp> {
        match self.source {
            ClockSource::Wall => clock.stream_time().max(Some(wall)),
            ClockSource::Touchpoints => clock.stream_time(),
        }
    }

    /// Whether the end offset should be queried: a wake-up is due by wall time but not by the watermark, or the
    /// watermark is far behind wall time although no wake-up is due.
    pub(super) fn needs_probe(&self, now: Moment, next_wake_up: Option<Timestamp>, clock: Clock) -> bool {
        let (watermark, wall) = (self.current(clock), now.wall - self.lateness);
        let is_wake_up_due = next_wake_up.is_some_and(|due| due <= wall && watermark < Some(due));
        let is_behind = watermark < Some(wall - LAG_MAX);
        self.source == ClockSource::Wall
            && self.probe.is_none()
            && now.elapsed >= self.next_probe
            && (is_wake_up_due || is_behind)
    }

    /// Returns the end offset of the open probe. A new probe starts only after it is confirmed: if a newer end offset
    /// replaced it, the position might never reach one under a steady stream of touchpoints.
    pub(super) fn probe_end(&self) -> Option<i64> {
        self.probe.map(|probe| probe.end)
    }

    /// Starts a probe with the end offset `end` queried at `now`.
    pub(super) fn start_probe(&mut self, end: i64, now: Moment) {
        self.probe = Some(Probe { end, started_at: now.wall });
        self.next_probe = now.elapsed + PROBE_INTERVAL;
    }

    /// Confirms the open probe: every record below its end offset has been applied.
    pub(super) fn confirm(&mut self) {
        if let Some(probe) = self.probe.take() {
            // Wall time may have been set back since the last confirmation; the watermark never goes back.
            self.confirmed = self.confirmed.max(Some(probe.started_at - self.lateness));
        }
    }

    /// Forgets what has been read, because touchpoints will be read again.
    pub(super) fn reset(&mut self) {
        self.latest_record = None;
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

    /// Returns the clock whose watermark is `millis`.
    fn clock(millis: i64) -> Clock {
        Clock::at(Some(at(millis) + LATENESS))
    }

    /// Returns a watermark by wall time at `now`, of a partition whose latest record was written at `latest_record`.
    fn watermark(now: Moment, latest_record: i64) -> Watermark {
        let mut watermark = Watermark::new(ClockSource::Wall, LATENESS);
        watermark.observe_wall(now.wall);
        watermark.observe_record(Some(latest_record));
        watermark
    }

    fn needs_probe(now: Moment, next_wake_up: Option<i64>, clock: Clock) -> bool {
        watermark(now, now.wall.as_millis()).needs_probe(now, next_wake_up.map(at), clock)
    }

    #[test]
    fn while_lagging_the_watermark_follows_event_time() {
        let watermark = watermark(moment(1_060_000, 0), 500_000);
        assert_eq!(watermark.current(clock(5)), Some(at(5)));
        assert_eq!(watermark.current(Clock::default()), None);
        assert_eq!(watermark.source_time(clock(5)), Some(at(1_000_000)));
    }

    #[test]
    fn record_timestamps_limit_the_event_time() {
        assert_eq!(watermark(moment(1_060_000, 0), 90_000).current(clock(70_000)), Some(at(30_000)));
        let mut unread = Watermark::new(ClockSource::Wall, LATENESS);
        unread.observe_wall(at(1_060_000));
        unread.observe_record(None);
        assert_eq!(unread.current(clock(5)), None);
    }

    #[test]
    fn wall_time_limits_event_times_and_record_timestamps_in_the_future() {
        assert_eq!(watermark(moment(1_060_000, 0), 9_000_000).current(clock(5_000_000)), Some(at(1_000_000)));
    }

    #[test]
    fn by_touchpoints_wall_time_plays_no_part() {
        let mut watermark = Watermark::new(ClockSource::Touchpoints, LATENESS);
        watermark.observe_wall(at(100));
        assert_eq!(watermark.current(clock(5_000_000)), Some(at(5_000_000)));
        assert_eq!(watermark.source_time(clock(5_000_000)), Some(at(5_000_000)));
        assert_eq!(watermark.current(Clock::default()), None);
        assert!(!watermark.needs_probe(moment(9_000_000, 0), Some(at(0)), Clock::default()));
    }

    #[test]
    fn no_probe_starts_before_a_wake_up_is_due_by_wall_time_minus_lateness() {
        let now = moment(1_060_000, 0);
        assert!(!needs_probe(now, None, clock(990_000)));
        assert!(!needs_probe(now, Some(1_000_001), clock(990_000)));
        assert!(needs_probe(now, Some(1_000_000), clock(990_000)));
        assert!(!needs_probe(now, Some(1_000_000), clock(1_000_000)));
    }

    #[test]
    fn a_watermark_far_behind_is_probed_although_no_wake_up_is_due() {
        let now = moment(1_060_000, 0);
        assert!(needs_probe(now, None, Clock::default()));
        assert!(needs_probe(now, None, clock(969_999)));
        assert!(!needs_probe(now, None, clock(970_000)));
    }

    #[test]
    fn a_confirmed_probe_advances_the_watermark_to_its_start_minus_lateness() {
        let mut watermark = watermark(moment(1_060_000, 0), 500_000);
        watermark.start_probe(7, moment(1_060_000, 0));
        assert_eq!(watermark.probe_end(), Some(7));
        assert_eq!(watermark.current(clock(5)), Some(at(5)));
        watermark.confirm();
        assert_eq!((watermark.current(clock(5)), watermark.probe_end()), (Some(at(1_000_000)), None));
    }

    #[test]
    fn a_partition_is_probed_at_most_once_per_second() {
        let mut watermark = watermark(moment(9_000_000, 0), 0);
        watermark.start_probe(7, moment(1_060_000, 0));
        watermark.confirm();
        assert!(!watermark.needs_probe(moment(9_000_000, 999), Some(at(2_000_000)), Clock::default()));
        assert!(watermark.needs_probe(moment(9_000_000, 1000), Some(at(2_000_000)), Clock::default()));
    }

    #[test]
    fn the_watermark_does_not_follow_a_wall_clock_that_is_set_back() {
        let mut watermark = watermark(moment(1_060_000, 0), 0);
        watermark.start_probe(7, moment(1_060_000, 0));
        watermark.confirm();
        watermark.observe_wall(at(560_000));
        watermark.start_probe(8, moment(560_000, 1000));
        watermark.confirm();
        assert_eq!(watermark.current(Clock::default()), Some(at(1_000_000)));
        assert_eq!(watermark.source_time(Clock::default()), Some(at(1_000_000)));
    }

    #[test]
    fn a_seek_discards_what_has_been_read() {
        let mut watermark = watermark(moment(1_070_000, 0), 500_000);
        watermark.start_probe(7, moment(1_060_000, 0));
        watermark.confirm();
        watermark.start_probe(8, moment(1_070_000, 1000));
        watermark.reset();
        assert_eq!((watermark.current(clock(5)), watermark.probe_end()), (None, None));
    }
}
