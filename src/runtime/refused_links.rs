//! The latest links that identity resolution refused in this process, for the HTTP API.
//!
//! Workers append the refused links of a batch after its commit, never before.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::partition::RefusedLink;

/// The latest committed refused links, at most [`LINKS_MAX`](Self::LINKS_MAX).
#[derive(Debug, Default)]
pub struct RefusedLinks(Mutex<VecDeque<RefusedLink>>);

impl RefusedLinks {
    /// The number of links that are kept. It bounds their memory to about 2 MB, because an id has at most 512 bytes.
    pub const LINKS_MAX: usize = 1_000;

    /// Appends the refused links of a commit.
    pub(super) fn append(&self, refused: Vec<RefusedLink>) {
        if refused.is_empty() {
            return;
        }
        let mut links = self.lock();
        links.extend(refused);
        let excess = links.len().saturating_sub(Self::LINKS_MAX);
        links.drain(..excess);
    }

    /// Returns the latest `limit` links, the latest first.
    #[must_use]
    pub fn latest(&self, limit: usize) -> Vec<RefusedLink> {
        self.lock().iter().rev().take(limit).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<RefusedLink>> {
        // A poisoned lock is usable, because nothing can panic while the list is inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::time::Timestamp;
    use crate::partition::{Link, RefusalReason};

    #[test]
    fn the_latest_thousand_links_are_kept() {
        let refused = |number: usize| RefusedLink {
            customer_id: "k".into(),
            other_id: number.to_string().into(),
            link: Link { event_id: "e".into(), type_name: "customer_identified".into(), occurred_at: Timestamp::MIN },
            reason: RefusalReason::SharedId,
        };
        let links = RefusedLinks::default();
        links.append((0..1_000).map(refused).collect());
        assert_eq!(links.latest(2_000).len(), 1_000);
        links.append(vec![refused(1_000), refused(1_001)]);
        let kept = links.latest(2_000);
        assert_eq!((kept.len(), &*kept[0].other_id, &*kept[999].other_id), (1_000, "1001", "2"));
        assert_eq!(links.latest(2), kept[..2]);
        links.append((0..3_000).map(refused).collect());
        assert_eq!(links.latest(1)[0], refused(2_999));
        assert_eq!(links.latest(5_000).len(), 1_000);
    }
}
