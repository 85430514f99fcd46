//! The offset range of a partition's changelog that a restore needs, and when the records before it may be deleted.
//!
//! A sweep remembers the end of the log and appends the current state of every customer, which makes all records
//! before the remembered offset obsolete. They are deleted after two commits: the one that ends the sweep, and one
//! whose metadata moves the restore start to the remembered offset. If a log starts after the restore start in the
//! metadata, something other than this service has therefore deleted records.

use std::time::Duration;

use super::options::SweepOptions;

/// Delay before a failed truncation is retried.
const TRUNCATION_RETRY: Duration = Duration::from_mins(1);

/// Offsets and size of one partition's changelog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ChangelogRange {
    /// First offset still in the log.
    log_start: i64,
    /// First offset that a restore needs, as committed.
    committed_start: i64,
    /// First offset that a restore needs.
    start: i64,
    /// Offset after the last committed record.
    end: i64,
    /// Bytes of the committed records that a restore needs.
    bytes: u64,
    sweep: Option<RunningSweep>,
    /// When the last sweep began, or the partition was assigned.
    last_sweep_at: Duration,
    next_truncation_at: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct RunningSweep {
    /// End of the log when the sweep began.
    from: i64,
    /// Bytes of the records before `from`.
    bytes: u64,
}

impl ChangelogRange {
    /// Creates the range of a log whose restore starts at `elapsed`. Its bytes are counted while the log is read.
    pub(super) fn new(log_start: i64, start: i64, end: i64, elapsed: Duration) -> Self {
        Self {
            log_start,
            committed_start: start,
            start,
            end,
            bytes: 0,
            sweep: None,
            last_sweep_at: elapsed,
            next_truncation_at: Duration::ZERO,
        }
    }

    /// First offset that a restore needs.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// Offset after the last committed record.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Bytes of the committed records that a restore needs.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts a record read by a restore.
    pub(super) fn count_record(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Whether a sweep should begin, given `live_bytes` of customers.
    pub(super) fn needs_sweep(&self, live_bytes: usize, elapsed: Duration, options: &SweepOptions) -> bool {
        let live_bytes = u64::try_from(live_bytes).unwrap_or(u64::MAX);
        let has_doubled = self.bytes >= live_bytes.saturating_mul(2) && self.bytes >= options.log_bytes_min;
        let is_old = self.bytes > 0 && elapsed.saturating_sub(self.last_sweep_at) >= options.period;
        self.sweep.is_none() && (has_doubled || is_old)
    }

    /// Begins a sweep. No changes may be pending.
    pub(super) fn begin_sweep(&mut self, elapsed: Duration) {
        self.sweep = Some(RunningSweep { from: self.end, bytes: self.bytes });
        self.last_sweep_at = elapsed;
    }

    pub(super) fn is_sweeping(&self) -> bool {
        self.sweep.is_some()
    }

    /// Records that a transaction was committed that wrote `bytes` up to `end`, with `start` as the restore start.
    pub(super) fn on_committed(&mut self, start: i64, end: i64, bytes: u64) {
        self.committed_start = start;
        self.end = end;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Ends the sweep: every customer has been rewritten and committed, so the records before it are obsolete.
    pub(super) fn end_sweep(&mut self) {
        if let Some(sweep) = self.sweep.take() {
            self.start = sweep.from;
            self.bytes = self.bytes.saturating_sub(sweep.bytes);
        }
    }

    /// Whether the restore start has moved since the last commit; it must be committed even if no customer changes.
    pub(super) fn has_uncommitted_start(&self) -> bool {
        self.start != self.committed_start
    }

    /// Returns the offset below which the log may be truncated now, if any.
    pub(super) fn truncation_due(&self, elapsed: Duration) -> Option<i64> {
        (self.committed_start > self.log_start && elapsed >= self.next_truncation_at).then_some(self.committed_start)
    }

    /// Records that the log was truncated below `offset`.
    pub(super) fn truncated(&mut self, offset: i64) {
        self.log_start = offset;
    }

    /// Schedules the retry of a failed truncation.
    pub(super) fn truncation_failed(&mut self, elapsed: Duration) {
        self.next_truncation_at = elapsed + TRUNCATION_RETRY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: SweepOptions =
        SweepOptions { log_bytes_min: 1000, period: Duration::from_secs(100), step_bytes_min: 10 };

    #[test]
    fn a_sweep_begins_when_the_log_has_the_minimum_size_and_twice_the_live_bytes() {
        let mut range = ChangelogRange::new(0, 0, 0, Duration::ZERO);
        range.on_committed(0, 5, 999);
        assert!(!range.needs_sweep(10, Duration::ZERO, &OPTIONS));
        range.on_committed(0, 6, 1);
        assert!(range.needs_sweep(500, Duration::ZERO, &OPTIONS));
        assert!(!range.needs_sweep(501, Duration::ZERO, &OPTIONS));
        range.begin_sweep(Duration::ZERO);
        assert!(!range.needs_sweep(500, Duration::ZERO, &OPTIONS));
    }

    #[test]
    fn a_sweep_begins_when_the_period_has_passed() {
        let mut range = ChangelogRange::new(0, 0, 0, Duration::from_secs(5));
        assert!(!range.needs_sweep(500, Duration::from_secs(105), &OPTIONS));
        range.on_committed(0, 1, 1);
        assert!(!range.needs_sweep(500, Duration::from_secs(104), &OPTIONS));
        assert!(range.needs_sweep(500, Duration::from_secs(105), &OPTIONS));
    }

    #[test]
    fn the_log_is_truncated_only_after_the_restore_start_is_committed() {
        let mut range = ChangelogRange::new(0, 0, 0, Duration::ZERO);
        range.on_committed(0, 10, 1000);
        range.begin_sweep(Duration::ZERO);
        range.on_committed(0, 12, 300);
        assert_eq!(range.truncation_due(Duration::ZERO), None);
        range.end_sweep();
        assert_eq!((range.start(), range.bytes()), (10, 300));
        assert!(range.has_uncommitted_start());
        assert_eq!(range.truncation_due(Duration::ZERO), None);
        range.on_committed(10, 12, 0);
        assert!(!range.has_uncommitted_start());
        assert_eq!(range.truncation_due(Duration::ZERO), Some(10));
        range.truncated(10);
        assert_eq!(range.truncation_due(Duration::ZERO), None);
    }

    #[test]
    fn a_failed_truncation_is_retried_by_the_worker_or_the_next_owner() {
        let mut range = ChangelogRange::new(0, 10, 12, Duration::ZERO);
        assert_eq!(range.truncation_due(Duration::ZERO), Some(10));
        range.truncation_failed(Duration::from_secs(1));
        assert_eq!(range.truncation_due(Duration::from_mins(1)), None);
        assert_eq!(range.truncation_due(Duration::from_secs(61)), Some(10));
    }
}
