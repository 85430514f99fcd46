//! Memory accounting of the process: the state of all its workers together.
//!
//! All workers share one counter. Each updates its own contribution about once a second, never per record, so the total
//! may be a second old. Only the decision to pause consumption depends on it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of state held by all workers of a process.
#[derive(Debug, Default)]
pub struct MemoryBudget {
    bytes: AtomicUsize,
}

impl MemoryBudget {
    /// Replaces this worker's `previous` contribution by `bytes` and returns the total of all workers.
    pub(super) fn update(&self, bytes: usize, previous: usize) -> usize {
        let delta = bytes.wrapping_sub(previous);
        self.bytes.fetch_add(delta, Ordering::Relaxed).wrapping_add(delta)
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
}
