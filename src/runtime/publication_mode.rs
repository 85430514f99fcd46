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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lifecycle::id::ModelIndex;
    use crate::lifecycle::transition::{Cause, Change, OrdersSummary};

    #[test]
    fn a_transition_is_live_until_it_is_older_than_fresh_for() {
        let at = Timestamp::from_millis;
        let mut transition = Transition {
            id: uuid::Uuid::nil(),
            customer_id: Arc::from("a"),
            model: ModelIndex(0),
            change: Change::Milestone,
            name: "m".into(),
            sequence: 1,
            occurred_at: at(1000),
            cause: Cause::Time,
            late: false,
            reconciled: false,
            because: None,
            orders: OrdersSummary::default(),
            attributes: None,
            merge: None,
        };
        let fresh_for = Duration::from_millis(500);
        assert_eq!(publication_mode(&transition, at(1500), fresh_for), Mode::Live);
        assert_eq!(publication_mode(&transition, at(1501), fresh_for), Mode::Replay);
        transition.reconciled = true;
        assert_eq!(publication_mode(&transition, at(1000), fresh_for), Mode::Reconcile);
    }
}
