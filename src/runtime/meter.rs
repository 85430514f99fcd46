//! What a worker counts and measures: its report, and the time it spends per activity.

use std::time::Duration;

use crate::telemetry::report::Report;

use super::stopwatch::{Activities, Activity, Stopwatch};
use super::wall_clock::{Moment, WallClock};

/// Counters and measurements of a worker.
#[derive(Debug, Default)]
pub(super) struct Meter {
    report: Report,
    stopwatch: Stopwatch,
}

impl Meter {
    /// Measures activities with `clock`.
    pub(super) fn set_clock(&mut self, clock: WallClock) {
        self.stopwatch = Stopwatch::new(clock);
    }

    pub(super) fn report(&self) -> &Report {
        &self.report
    }

    pub(super) fn report_mut(&mut self) -> &mut Report {
        &mut self.report
    }

    pub(super) fn into_report(self) -> Report {
        self.report
    }

    /// Attributes the time since the previous lap to `activity`, except for the part `idle`, which was spent waiting.
    pub(super) fn lap(&mut self, activity: Activity, idle: Duration) {
        self.stopwatch.lap(activity, idle);
    }

    /// Returns the current time, or the start of the worker's step if measuring is disabled.
    pub(super) fn now(&self, step_began: Moment) -> Moment {
        self.stopwatch.now(step_began)
    }

    pub(super) fn activities(&self) -> Activities {
        self.stopwatch.spent()
    }
}
