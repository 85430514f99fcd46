//! Memory accounting of the process: the state of all its workers together.
//!
//! All workers share one counter. Each updates its own contribution about once a second, never per record, so the total
//! may be a second old. Only the decision to pause consumption depends on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Interval between two updates of a worker's contribution.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of state held by all workers of a process.
#[derive(Debug, Default)]
pub struct MemoryBudget {
    bytes: AtomicUsize,
}

impl MemoryBudget {
    /// Replaces a worker's `previous` contribution by `bytes` and returns the total of all workers.
    fn update(&self, bytes: usize, previous: usize) -> usize {
        let delta = bytes.wrapping_sub(previous);
        self.bytes.fetch_add(delta, Ordering::Relaxed).wrapping_add(delta)
    }
}

/// One worker's contribution to the memory budget, and whether consumption must pause.
#[derive(Debug)]
pub(super) struct MemoryShare {
    budget: Arc<MemoryBudget>,
    /// Maximum number of bytes of all workers.
    bytes_max: usize,
    /// Current contribution of this worker, in bytes.
    own: usize,
    next_update: Duration,
    is_over_limit: bool,
}

impl MemoryShare {
    /// Returns the share of a worker without state.
    pub(super) fn new(budget: Arc<MemoryBudget>, bytes_max: usize) -> Self {
        Self { budget, bytes_max, own: 0, next_update: Duration::ZERO, is_over_limit: false }
    }

    /// Shares `budget` with the other workers of the process.
    pub(super) fn share(&mut self, budget: Arc<MemoryBudget>) {
        self.budget = budget;
    }

    /// Whether the state of all workers exceeds the limit, so that consumption must pause.
    pub(super) fn is_over_limit(&self) -> bool {
        self.is_over_limit
    }

    /// Whether the contribution should be updated.
    pub(super) fn is_due(&self, elapsed: Duration) -> bool {
        elapsed >= self.next_update
    }

    /// Makes the next update due at once. Needed when partitions are dropped: another worker of this process may be
    /// assigned them, and their state would count twice.
    pub(super) fn update_soon(&mut self) {
        self.next_update = Duration::ZERO;
    }

    /// Replaces the contribution by `own` bytes and compares the total with the limit.
    pub(super) fn update(&mut self, own: usize, elapsed: Duration) {
        self.next_update = elapsed + UPDATE_INTERVAL;
        let bytes = self.budget.update(own, std::mem::replace(&mut self.own, own));
        let is_over_limit = bytes >= self.bytes_max;
        if is_over_limit && !self.is_over_limit {
            tracing::error!(
                bytes,
                bytes_max = self.bytes_max,
                "state exceeds state.max_bytes, consumption paused: add instances or raise state.max_bytes"
            );
        }
        if self.is_over_limit && !is_over_limit {
            tracing::info!(bytes, "state is below state.max_bytes again, consumption resumed");
        }
        self.is_over_limit = is_over_limit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contributions_add_up_and_can_be_replaced() {
        let memory_budget = MemoryBudget::default();
        assert_eq!(memory_budget.update(700, 0), 700);
        assert_eq!(memory_budget.update(50, 0), 750);
        assert_eq!(memory_budget.update(100, 700), 150);
        assert_eq!(memory_budget.update(0, 50), 100);
        assert_eq!(memory_budget.update(0, 100), 0);
    }

    #[test]
    fn the_limit_applies_to_the_workers_together_as_of_their_last_update() {
        let budget = Arc::<MemoryBudget>::default();
        let [mut one, mut other] = [(); 2].map(|()| MemoryShare::new(Arc::clone(&budget), 1000));
        one.update(999, Duration::ZERO);
        assert!(!one.is_over_limit());
        other.update(1, Duration::ZERO);
        assert!(other.is_over_limit() && !one.is_over_limit());
        assert!(!one.is_due(Duration::from_millis(999)) && one.is_due(Duration::from_secs(1)));
        one.update_soon();
        assert!(one.is_due(Duration::ZERO));
        one.update(998, Duration::ZERO);
        other.update(1, Duration::ZERO);
        assert!(!one.is_over_limit() && !other.is_over_limit());
    }
}
