//! Recovery from a failed or indeterminate transaction: back-off, and the outcome still to be resolved.

use std::time::Duration;

use crate::kafka::Error;

use super::fatal::Fatal;

/// Back-off after the first failure; doubled with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Maximum back-off.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Number of consecutive failures that stops the worker: about five minutes of back-off, plus the duration of the
/// calls.
const FAILURES_MAX: u32 = 40;

/// Counts consecutive failures and holds the recovery in progress. `C` is what a transaction commits for a partition.
#[derive(Debug)]
pub struct Recovery<C> {
    failures: u32,
    pending: Option<Pending<C>>,
}

#[derive(Debug)]
struct Pending<C> {
    resume_at: Duration,
    unresolved: Option<Unresolved<C>>,
}

/// A transaction whose outcome is unknown.
#[derive(Clone, Debug)]
pub struct Unresolved<C> {
    /// What it would have committed.
    pub partition_commits: Vec<C>,
    /// Whether the producer has been reset, so that requests of the old one that are still in flight are fenced.
    pub is_producer_reset: bool,
}

impl<C> Default for Recovery<C> {
    fn default() -> Self {
        Self { failures: 0, pending: None }
    }
}

impl<C> Recovery<C> {
    /// Whether a recovery is in progress. No touchpoint may be applied until it has finished.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Returns the number of failed transactions since the last committed one.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the transaction that must be resolved first.
    #[must_use]
    pub fn unresolved(&self) -> Option<&Unresolved<C>> {
        self.pending.as_ref().and_then(|pending| pending.unresolved.as_ref())
    }

    /// Whether the back-off is over.
    #[must_use]
    pub fn is_due(&self, elapsed: Duration) -> bool {
        self.pending.as_ref().is_some_and(|pending| elapsed >= pending.resume_at)
    }

    /// Records that a transaction failed with `error` and was aborted, or that its outcome is `unresolved`.
    ///
    /// # Errors
    /// After too many consecutive failures.
    pub fn record_failure(&mut self, error: Error, unresolved: Option<Vec<C>>, elapsed: Duration) -> Result<(), Fatal> {
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            return Err(Fatal::TooManyFailedTransactions { failures: self.failures, last: error });
        }
        // An unknown outcome is resolved at once; only repeating an aborted batch backs off.
        let backoff = if unresolved.is_some() { Duration::ZERO } else { backoff(self.failures) };
        let unresolved = unresolved.map(|partition_commits| Unresolved { partition_commits, is_producer_reset: false });
        self.pending = Some(Pending { resume_at: elapsed + backoff, unresolved });
        Ok(())
    }

    /// Records that the producer was reset.
    pub fn mark_producer_reset(&mut self) {
        if let Some(unresolved) = self.pending.as_mut().and_then(|pending| pending.unresolved.as_mut()) {
            unresolved.is_producer_reset = true;
        }
    }

    /// Extends the back-off because a call of the recovery failed. This does not count as a failed transaction, so the
    /// recovery is retried indefinitely.
    pub fn postpone(&mut self, elapsed: Duration) {
        if let Some(pending) = &mut self.pending {
            pending.resume_at = elapsed + backoff(self.failures + 5);
        }
    }

    /// Records that the transaction turned out to be aborted; the batch is processed again after a back-off.
    pub fn resolved_as_aborted(&mut self, elapsed: Duration) {
        self.pending = Some(Pending { resume_at: elapsed + backoff(self.failures), unresolved: None });
    }

    /// Ends the recovery; consumption resumes.
    pub fn finish(&mut self) {
        self.pending = None;
    }

    /// Records a committed transaction.
    pub fn record_success(&mut self) {
        self.failures = 0;
    }
}

fn backoff(failures: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use crate::kafka::ErrorCode;
    use crate::kafka::Reaction;

    use super::*;

    fn error() -> Error {
        Error::new(Reaction::Abort, "send", ErrorCode::MessageTimedOut, "local")
    }

    #[test]
    fn the_backoff_doubles_up_to_a_limit() {
        assert_eq!(backoff(1), BACKOFF_MIN);
        assert_eq!(backoff(2), BACKOFF_MIN * 2);
        assert_eq!(backoff(9), BACKOFF_MAX);
        assert_eq!(backoff(100), BACKOFF_MAX);
    }

    #[test]
    fn too_many_consecutive_failures_are_fatal_and_a_success_resets_the_count() {
        let mut recovery = Recovery::<()>::default();
        for _ in 1..FAILURES_MAX {
            assert!(recovery.record_failure(error(), None, Duration::ZERO).is_ok());
        }
        recovery.record_success();
        for _ in 1..FAILURES_MAX {
            assert!(recovery.record_failure(error(), None, Duration::ZERO).is_ok());
        }
        assert!(matches!(
            recovery.record_failure(error(), None, Duration::ZERO),
            Err(Fatal::TooManyFailedTransactions { failures: FAILURES_MAX, .. })
        ));
    }

    #[test]
    fn an_unknown_outcome_is_resolved_at_once_and_an_aborted_batch_backs_off() {
        let mut recovery = Recovery::<()>::default();
        assert!(!recovery.is_pending());
        recovery.record_failure(error(), None, Duration::ZERO).expect("one failure is not too many");
        assert!(recovery.is_pending() && !recovery.is_due(Duration::ZERO) && recovery.is_due(BACKOFF_MIN));
        recovery.record_failure(error(), Some(Vec::new()), Duration::ZERO).expect("two failures are not too many");
        assert!(recovery.is_due(Duration::ZERO) && recovery.unresolved().is_some());
        recovery.resolved_as_aborted(Duration::ZERO);
        assert!(!recovery.is_due(Duration::ZERO) && recovery.unresolved().is_none());
    }
}
