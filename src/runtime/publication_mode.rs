//! The rule that decides whether a transition is published as live or as replayed.

use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::transition::Transition;
use crate::wire::transition::Mode;

/// Returns the mode in which `transition` is published at `wall`. Transitions older than `fresh_for` are replayed, so
/// that reading years of history triggers no campaigns.
#[must_use]
pub fn publication_mode(transition: &Transition, wall: Timestamp, fresh_for: Duration) -> Mode {
    if transition.reconciled {
        Mode::Reconcile
    } else if wall - transition.occurred_at > fresh_for {
        Mode::Replay
    } else {
        Mode::Live
    }
}
