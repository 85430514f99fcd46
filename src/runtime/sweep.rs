//! How far the changelog of a partition reaches, and when its head can go.
//!
//! A sweep notes the end of the log and has every customer written again after it; then all before the noted end is dead.
//! It is deleted in three commits' order: the commit that ends the sweep, a commit whose metadata says that restores start
//! at the noted end, and only then the deletion. So a log that starts past what the metadata says was cut by somebody else.

use std::time::Duration;

use super::options::SweepOptions;

/// How long to wait after a deletion that failed.
const TRUNCATION_RETRY: Duration = Duration::from_mins(1);

/// The changelog of one partition as far as this worker has to know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    /// The first offset still in the log.
    log_start: i64,
    /// The first offset that a restore needs, as committed.
    noted_start: i64,
    /// The first offset that a restore needs.
    start: i64,
    /// Past the last committed record.
    end: i64,
    /// Bytes of the committed records that a restore needs.
    bytes: u64,
    sweep: Option<Sweep>,
    /// When the last sweep began, or the partition was gained.
    swept_at: Duration,
    truncate_at: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sweep {
    /// The end of the log when the sweep began.
    from: i64,
    /// Bytes before `from`.
    bytes: u64,
}

impl Extent {
    /// The extent of a log restored at `elapsed`, before its records are counted.
    pub(super) fn new(log_start: i64, start: i64, end: i64, elapsed: Duration) -> Self {
        Self {
            log_start,
            noted_start: start,
            start,
            end,
            bytes: 0,
            sweep: None,
            swept_at: elapsed,
            truncate_at: Duration::ZERO,
        }
    }

    /// The first offset that a restore needs.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// Past the last committed record.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Bytes of the committed records that a restore needs.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts a record read while restoring.
    pub(super) fn read(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Whether a sweep should begin, with `live_bytes` of customers.
    pub(super) fn wants_sweep(&self, live_bytes: usize, elapsed: Duration, options: &SweepOptions) -> bool {
        let live_bytes = u64::try_from(live_bytes).unwrap_or(u64::MAX);
        let has_doubled = self.bytes >= live_bytes.saturating_mul(2) && self.bytes >= options.log_bytes_min;
        let is_old = self.bytes > 0 && elapsed.saturating_sub(self.swept_at) >= options.period;
        self.sweep.is_none() && (has_doubled || is_old)
    }

    /// Notes that a sweep begins. Nothing may be pending.
    pub(super) fn begin_sweep(&mut self, elapsed: Duration) {
        self.sweep = Some(Sweep { from: self.end, bytes: self.bytes });
        self.swept_at = elapsed;
    }

    /// Whether a sweep has begun and not ended.
    pub(super) fn is_sweeping(&self) -> bool {
        self.sweep.is_some()
    }

    /// A transaction was committed that wrote `bytes` up to `end` and noted that a restore starts at `start`.
    pub(super) fn commit(&mut self, start: i64, end: i64, bytes: u64) {
        self.noted_start = start;
        self.end = end;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Every customer has been written since the sweep began, and the commits are through: the head is dead.
    pub(super) fn end_sweep(&mut self) {
        if let Some(sweep) = self.sweep.take() {
            self.start = sweep.from;
            self.bytes = self.bytes.saturating_sub(sweep.bytes);
        }
    }

    /// Whether a commit has something to note here though no customer changed.
    pub(super) fn has_something_to_note(&self) -> bool {
        self.start != self.noted_start
    }

    /// Before which offset the log may be deleted now, if any.
    pub(super) fn truncation_due(&self, elapsed: Duration) -> Option<i64> {
        (self.noted_start > self.log_start && elapsed >= self.truncate_at).then_some(self.noted_start)
    }

    /// The log has been deleted before `offset`.
    pub(super) fn truncated(&mut self, offset: i64) {
        self.log_start = offset;
    }

    /// The deletion failed; it is tried again after a while.
    pub(super) fn truncation_failed(&mut self, elapsed: Duration) {
        self.truncate_at = elapsed + TRUNCATION_RETRY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: SweepOptions =
        SweepOptions { log_bytes_min: 1000, period: Duration::from_secs(100), step_bytes_min: 10 };

    #[test]
    fn a_sweep_begins_when_the_log_is_twice_the_live_bytes_and_not_small() {
        let mut extent = Extent::new(0, 0, 0, Duration::ZERO);
        extent.commit(0, 5, 999);
        assert!(!extent.wants_sweep(10, Duration::ZERO, &OPTIONS));
        extent.commit(0, 6, 1);
        assert!(extent.wants_sweep(500, Duration::ZERO, &OPTIONS));
        assert!(!extent.wants_sweep(501, Duration::ZERO, &OPTIONS));
        extent.begin_sweep(Duration::ZERO);
        assert!(!extent.wants_sweep(500, Duration::ZERO, &OPTIONS));
    }

    #[test]
    fn a_sweep_begins_when_the_last_one_is_long_ago() {
        let mut extent = Extent::new(0, 0, 0, Duration::from_secs(5));
        assert!(!extent.wants_sweep(500, Duration::from_secs(105), &OPTIONS));
        extent.commit(0, 1, 1);
        assert!(!extent.wants_sweep(500, Duration::from_secs(104), &OPTIONS));
        assert!(extent.wants_sweep(500, Duration::from_secs(105), &OPTIONS));
    }

    #[test]
    fn the_head_goes_only_after_a_commit_has_noted_where_restores_start() {
        let mut extent = Extent::new(0, 0, 0, Duration::ZERO);
        extent.commit(0, 10, 1000);
        extent.begin_sweep(Duration::ZERO);
        extent.commit(0, 12, 300);
        assert_eq!(extent.truncation_due(Duration::ZERO), None);
        extent.end_sweep();
        assert_eq!((extent.start(), extent.bytes()), (10, 300));
        assert!(extent.has_something_to_note());
        assert_eq!(extent.truncation_due(Duration::ZERO), None);
        extent.commit(10, 12, 0);
        assert!(!extent.has_something_to_note());
        assert_eq!(extent.truncation_due(Duration::ZERO), Some(10));
        extent.truncated(10);
        assert_eq!(extent.truncation_due(Duration::ZERO), None);
    }

    #[test]
    fn a_failed_deletion_is_tried_again_later_also_by_the_next_owner() {
        let mut extent = Extent::new(0, 10, 12, Duration::ZERO);
        assert_eq!(extent.truncation_due(Duration::ZERO), Some(10));
        extent.truncation_failed(Duration::from_secs(1));
        assert_eq!(extent.truncation_due(Duration::from_mins(1)), None);
        assert_eq!(extent.truncation_due(Duration::from_secs(61)), Some(10));
    }
}
