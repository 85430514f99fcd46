//! What is to be done after a transaction that came to nothing, or may have: how long to wait, and what to find out.

use std::time::Duration;

use crate::kafka::Error;

use super::fatal::Fatal;
use super::held::Share;

/// The wait after the first failure; doubled with each further one.
const WAIT_MIN: Duration = Duration::from_millis(50);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// After how many failures in a row a person is called: about five minutes of waiting, and as long as the calls themselves took.
const FAILURES_MAX: u32 = 40;

/// Counts failures in a row and says what is still open.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    failures: u32,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    resume_at: Duration,
    unresolved: Option<Unresolved>,
}

/// A transaction of which nobody knows yet whether it was committed.
#[derive(Clone, Debug)]
pub(super) struct Unresolved {
    /// What it would have committed.
    pub(super) shares: Vec<Share>,
    /// Whether the producer has been made anew, so that the old one's messages on the way can do nothing any more.
    pub(super) is_renewed: bool,
}

impl Recovery {
    /// Whether the batch or its transaction is not yet dealt with; no touchpoint may be applied.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// How many transactions have failed since the last one that was committed.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The transaction that must be resolved first.
    pub(super) fn unresolved(&self) -> Option<&Unresolved> {
        self.pending.as_ref().and_then(|pending| pending.unresolved.as_ref())
    }

    /// Whether the wait is over.
    pub(super) fn is_due(&self, elapsed: Duration) -> bool {
        self.pending.as_ref().is_some_and(|pending| elapsed >= pending.resume_at)
    }

    /// A transaction failed with `error` and was undone, or left `unresolved`.
    ///
    /// # Errors
    /// When that were too many in a row.
    pub(super) fn fail(
        &mut self,
        error: Error,
        unresolved: Option<Vec<Share>>,
        elapsed: Duration,
    ) -> Result<(), Fatal> {
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            return Err(Fatal::TransactionsFail { failures: self.failures, last: error });
        }
        // What has to be found out is found out at once; only what has to be done again waits.
        let wait = if unresolved.is_some() { Duration::ZERO } else { wait(self.failures) };
        let unresolved = unresolved.map(|shares| Unresolved { shares, is_renewed: false });
        self.pending = Some(Pending { resume_at: elapsed + wait, unresolved });
        Ok(())
    }

    /// The producer has been made anew.
    pub(super) fn renewed(&mut self) {
        if let Some(unresolved) = self.pending.as_mut().and_then(|pending| pending.unresolved.as_mut()) {
            unresolved.is_renewed = true;
        }
    }

    /// The broker could not be asked; that is no failure of a transaction, and is tried again without end.
    pub(super) fn postpone(&mut self, elapsed: Duration) {
        if let Some(pending) = &mut self.pending {
            pending.resume_at = elapsed + wait(self.failures + 5);
        }
    }

    /// The transaction turned out not to be committed; the batch is done again after a wait.
    pub(super) fn resolved_as_aborted(&mut self, elapsed: Duration) {
        self.pending = Some(Pending { resume_at: elapsed + wait(self.failures), unresolved: None });
    }

    /// Everything is dealt with; reading goes on.
    pub(super) fn end(&mut self) {
        self.pending = None;
    }

    /// A transaction was committed.
    pub(super) fn succeed(&mut self) {
        self.failures = 0;
    }
}

fn wait(failures: u32) -> Duration {
    WAIT_MIN.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use crate::kafka::Reaction;

    use super::*;

    fn error() -> Error {
        Error {
            reaction: Reaction::Abort,
            call: "send",
            code: "_MSG_TIMED_OUT".to_owned(),
            message: "local".to_owned(),
            to_do: None,
            fenced: false,
        }
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        assert_eq!(wait(1), WAIT_MIN);
        assert_eq!(wait(2), WAIT_MIN * 2);
        assert_eq!(wait(9), WAIT_MAX);
        assert_eq!(wait(100), WAIT_MAX);
    }

    #[test]
    fn too_many_failures_in_a_row_are_fatal_and_a_success_in_between_is_a_new_start() {
        let mut recovery = Recovery::default();
        for _ in 1..FAILURES_MAX {
            assert!(recovery.fail(error(), None, Duration::ZERO).is_ok());
        }
        recovery.succeed();
        for _ in 1..FAILURES_MAX {
            assert!(recovery.fail(error(), None, Duration::ZERO).is_ok());
        }
        assert!(matches!(
            recovery.fail(error(), None, Duration::ZERO),
            Err(Fatal::TransactionsFail { failures: FAILURES_MAX, .. })
        ));
    }

    #[test]
    fn an_unknown_outcome_is_looked_into_at_once_and_an_aborted_batch_waits() {
        let mut recovery = Recovery::default();
        assert!(!recovery.is_pending());
        recovery.fail(error(), None, Duration::ZERO).expect("one failure is not too many");
        assert!(recovery.is_pending() && !recovery.is_due(Duration::ZERO) && recovery.is_due(WAIT_MIN));
        recovery.fail(error(), Some(Vec::new()), Duration::ZERO).expect("two failures are not too many");
        assert!(recovery.is_due(Duration::ZERO) && recovery.unresolved().is_some());
        recovery.resolved_as_aborted(Duration::ZERO);
        assert!(!recovery.is_due(Duration::ZERO) && recovery.unresolved().is_none());
    }
}
