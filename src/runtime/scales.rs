//! How much memory the customers of a process take, all its workers together.
//!
//! One number that workers share, written now and then, and never on the way of a touchpoint. What a worker reads of the others is
//! as old as their last weighing. Nothing but reading on or not depends on it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the workers of a process put the weight of their customers.
#[derive(Debug, Default)]
pub struct Scales {
    bytes: AtomicUsize,
}

impl Scales {
    /// Puts `bytes` there in the place of `before`, which the same worker had put there, and returns what lies there now.
    pub(super) fn put(&self, bytes: usize, before: usize) -> usize {
        let more = bytes.wrapping_sub(before);
        self.bytes.fetch_add(more, Ordering::Relaxed).wrapping_add(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_put_there_adds_up_and_is_taken_off_again() {
        let scales = Scales::default();
        assert_eq!(scales.put(700, 0), 700);
        assert_eq!(scales.put(50, 0), 750);
        assert_eq!(scales.put(100, 700), 150);
        assert_eq!(scales.put(0, 50), 100);
        assert_eq!(scales.put(0, 100), 0);
    }
}
