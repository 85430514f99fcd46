//! The latest committed transitions of this process, for the HTTP API.
//!
//! Each worker appends the transitions of a partition after a commit, never before. It moves the list of the batch into
//! the buffer without copying it. The buffer is limited in bytes and drops its oldest batches first. Each transition
//! has a cursor. The cursors of a process start above those of every earlier process, so that a cursor from before a
//! restart is recognised.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::transition::Transition;
use crate::lifecycle::value::OwnedValue;
use crate::wire::transition::Mode;

use super::publication_mode::publication_mode;

/// Number of cursors reserved per millisecond of wall time. It exceeds any transition rate, and is small enough that
/// JavaScript readers can represent cursors exactly for centuries.
const CURSORS_PER_MS: u64 = 1024;

/// Ring buffer of the latest committed transitions.
#[derive(Debug)]
pub struct RecentTransitions {
    bytes_max: usize,
    fresh_for: Duration,
    buffer: Mutex<Buffer>,
}

#[derive(Clone, Debug)]
struct Buffer {
    batches: VecDeque<Arc<CommittedBatch>>,
    bytes: usize,
    /// First cursor of this process.
    first_cursor: u64,
    /// Cursor of the next transition.
    next: u64,
}

/// The transitions of one partition in one commit; only the last ones if they exceed the buffer limit.
#[derive(Debug)]
struct CommittedBatch {
    first: u64,
    published_at: Timestamp,
    transitions: Vec<Transition>,
    bytes: usize,
}

/// A committed transition and its cursor.
#[derive(Clone, Debug)]
pub struct CommittedTransition {
    batch: Arc<CommittedBatch>,
    index: usize,
    mode: Mode,
}

/// A page of the latest transitions.
#[derive(Clone, Debug)]
pub struct TransitionPage {
    /// The transitions, in commit order.
    pub transitions: Vec<CommittedTransition>,
    /// Cursor of the next page.
    pub next: u64,
    /// Number of transitions after the requested cursor that have already been dropped.
    pub missed: u64,
}

impl RecentTransitions {
    /// Creates a buffer of about `bytes_max` bytes. `started` is wall time; `fresh_for` separates live from replayed
    /// transitions, as in the workers.
    #[must_use]
    pub fn new(bytes_max: usize, fresh_for: Duration, started: Timestamp) -> Self {
        let first_cursor = u64::try_from(started.as_millis()).unwrap_or_default() * CURSORS_PER_MS;
        let buffer = Buffer { batches: VecDeque::new(), bytes: 0, first_cursor, next: first_cursor };
        Self { bytes_max, fresh_for, buffer: Mutex::new(buffer) }
    }

    /// Appends the transitions of a commit that was published at `published_at`.
    pub(super) fn append(&self, mut transitions: Vec<Transition>, published_at: Timestamp) {
        if transitions.is_empty() {
            return;
        }
        let count = transitions.len();
        let (mut bytes, mut keep) = (0, 0);
        for size in transitions.iter().rev().map(estimated_memory) {
            if bytes + size > self.bytes_max {
                break;
            }
            bytes += size;
            keep += 1;
        }
        let dropped = count - keep;
        transitions.drain(..dropped);
        let mut buffer = self.lock();
        let first = buffer.next + dropped as u64;
        buffer.next += count as u64;
        buffer.bytes += bytes;
        buffer.batches.push_back(Arc::new(CommittedBatch { first, published_at, transitions, bytes }));
        let mut evicted = Vec::new();
        while buffer.bytes > self.bytes_max {
            let Some(oldest) = buffer.batches.pop_front() else { break };
            buffer.bytes -= oldest.bytes;
            evicted.push(oldest);
        }
        // The dropped batches are freed after the lock is released.
        drop(buffer);
    }

    /// Returns the cursor after the latest transition.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.lock().next
    }

    /// Returns up to `limit` transitions for which `matches` is true, starting at cursor `after`; without a cursor, the
    /// latest ones. A cursor that this process has not issued restarts at its oldest transition.
    #[must_use]
    pub fn after(&self, after: Option<u64>, limit: usize, matches: impl Fn(&Transition) -> bool) -> TransitionPage {
        let buffer = self.snapshot();
        let start =
            after.map(
                |after| if (buffer.first_cursor..=buffer.next).contains(&after) { after } else { buffer.first_cursor },
            );
        let Some(start) = start else {
            let transitions = self.latest(&buffer, limit, matches);
            return TransitionPage { transitions, next: buffer.next, missed: 0 };
        };
        let mut missed = 0;
        // Gaps between the cursors of batches are transitions that did not fit into the buffer.
        let mut expected = start;
        let mut transitions = Vec::new();
        for batch in buffer.batches.iter().filter(|batch| batch.end() > start) {
            missed += batch.first.saturating_sub(expected);
            expected = batch.end();
            let skipped = usize::try_from(start.saturating_sub(batch.first)).unwrap_or(usize::MAX);
            for (index, transition) in batch.transitions.iter().enumerate().skip(skipped) {
                if !matches(transition) {
                    continue;
                }
                if transitions.len() == limit {
                    return TransitionPage { transitions, next: batch.first + index as u64, missed };
                }
                transitions.push(self.committed(batch, index));
            }
        }
        missed += buffer.next - expected.max(start);
        TransitionPage { transitions, next: buffer.next, missed }
    }

    /// Returns the latest `limit` transitions of a customer, in commit order.
    #[must_use]
    pub fn of_customer(&self, customer_id: &str, limit: usize) -> Vec<CommittedTransition> {
        self.latest(&self.snapshot(), limit, |transition| &*transition.customer_id == customer_id)
    }

    fn latest(&self, buffer: &Buffer, limit: usize, matches: impl Fn(&Transition) -> bool) -> Vec<CommittedTransition> {
        let entries = buffer.batches.iter().rev().flat_map(|batch| {
            let entries = batch.transitions.iter().enumerate().rev();
            entries.map(move |(index, transition)| (batch, index, transition))
        });
        let matching = entries.filter(|(_, _, transition)| matches(transition));
        let mut found: Vec<_> = matching.take(limit).map(|(batch, index, _)| self.committed(batch, index)).collect();
        found.reverse();
        found
    }

    fn committed(&self, batch: &Arc<CommittedBatch>, index: usize) -> CommittedTransition {
        let mode = publication_mode(&batch.transitions[index], batch.published_at, self.fresh_for);
        CommittedTransition { batch: Arc::clone(batch), index, mode }
    }

    /// Copies the list of batches, so that readers do not hold the lock, which committing workers need, while they
    /// search.
    fn snapshot(&self) -> Buffer {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        // A poisoned lock is usable, because nothing can panic while the buffer is inconsistent.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommittedBatch {
    /// Returns the cursor after the last transition.
    fn end(&self) -> u64 {
        self.first + self.transitions.len() as u64
    }
}

impl CommittedTransition {
    /// Returns the cursor. A reader continues with the cursor after it.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.batch.first + self.index as u64
    }

    /// Returns the transition.
    #[must_use]
    pub fn transition(&self) -> &Transition {
        &self.batch.transitions[self.index]
    }

    /// Returns the wall time of publication.
    #[must_use]
    pub fn published_at(&self) -> Timestamp {
        self.batch.published_at
    }

    /// Returns the publication mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// Estimates the memory of a transition.
fn estimated_memory(transition: &Transition) -> usize {
    let text = |value: &Option<OwnedValue>| match value {
        Some(OwnedValue::String(text)) => text.len(),
        _ => 0,
    };
    // The names and the condition belong to the model.
    let values = transition.because.iter().flat_map(|reason| &reason.values);
    let values: usize = values.map(|value| text(value) + size_of_val(value)).sum();
    size_of::<Transition>() + transition.customer_id.len() + values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::id::ModelIndex;
    use crate::lifecycle::transition::{Cause, Change, OrdersSummary};

    const STARTED: Timestamp = Timestamp::from_millis(1_000);
    const BEGIN: u64 = 1_000 * CURSORS_PER_MS;

    fn transitions(customers: &[&str]) -> Vec<Transition> {
        let transition = |customer: &&str| Transition {
            id: uuid::Uuid::nil(),
            customer_id: Arc::from(*customer),
            model: ModelIndex(0),
            change: Change::Milestone,
            name: "m".into(),
            sequence: 1,
            occurred_at: STARTED,
            cause: Cause::Time,
            late: false,
            reconciled: false,
            because: None,
            orders: OrdersSummary::default(),
            attributes: None,
            merge: None,
        };
        customers.iter().map(transition).collect()
    }

    fn recent(keep: usize) -> RecentTransitions {
        let size: usize = transitions(&["a"]).iter().map(estimated_memory).sum();
        RecentTransitions::new(keep * size, Duration::from_days(1), STARTED)
    }

    fn names(transitions: &[CommittedTransition]) -> Vec<(u64, &str)> {
        transitions.iter().map(|of| (of.cursor() - BEGIN, &*of.transition().customer_id)).collect()
    }

    fn after(recent: &RecentTransitions, after: u64, limit: usize) -> (Vec<(u64, String)>, u64, u64) {
        let TransitionPage { transitions, next, missed } = recent.after(Some(BEGIN + after), limit, |_| true);
        (names(&transitions).into_iter().map(|(n, id)| (n, id.to_owned())).collect(), next - BEGIN, missed)
    }

    #[test]
    fn a_reader_gets_every_transition_once_in_order() {
        let recent = recent(100);
        recent.append(transitions(&["a", "b"]), STARTED);
        recent.append(Vec::new(), STARTED);
        recent.append(transitions(&["c", "d", "e"]), STARTED);
        let mut seen = Vec::new();
        let mut cursor = 0;
        while cursor < 5 {
            let (part, next, missed) = after(&recent, cursor, 2);
            assert_eq!(missed, 0);
            seen.extend(part);
            cursor = next;
        }
        let expected: Vec<_> = (0..).zip(["a", "b", "c", "d", "e"].map(str::to_owned)).collect();
        assert_eq!(seen, expected);
        assert_eq!(after(&recent, 5, 2), (Vec::new(), 5, 0));
        assert_eq!(recent.end(), BEGIN + 5);
    }

    #[test]
    fn dropped_transitions_are_counted_as_missed() {
        let recent = recent(3);
        recent.append(transitions(&["a", "b"]), STARTED);
        recent.append(transitions(&["c", "d"]), STARTED);
        let (buffer, next, missed) = after(&recent, 0, 10);
        assert_eq!((buffer, next, missed), (vec![(2, "c".to_owned()), (3, "d".to_owned())], 4, 2));
        // A batch above the limit keeps its latest transitions.
        recent.append(transitions(&["e", "f", "g", "h", "i"]), STARTED);
        let (buffer, next, missed) = after(&recent, 3, 10);
        assert_eq!(buffer, [(6, "g".to_owned()), (7, "h".to_owned()), (8, "i".to_owned())]);
        assert_eq!((next, missed), (9, 3));
    }

    #[test]
    fn a_transition_larger_than_the_buffer_is_counted_as_missed() {
        let recent = RecentTransitions::new(10, Duration::from_days(1), STARTED);
        recent.append(transitions(&["a"]), STARTED);
        assert_eq!(after(&recent, 0, 10), (Vec::new(), 1, 1));
    }

    #[test]
    fn without_a_cursor_the_latest_are_returned_and_an_unknown_cursor_restarts() {
        let recent = recent(100);
        recent.append(transitions(&["a", "b", "c"]), STARTED);
        let latest = recent.after(None, 2, |_| true);
        assert_eq!((names(&latest.transitions), latest.next), (vec![(1, "b"), (2, "c")], BEGIN + 3));
        for foreign in [0, BEGIN - 1, BEGIN + 4, u64::MAX] {
            let all = recent.after(Some(foreign), 10, |_| true);
            assert_eq!((names(&all.transitions).len(), all.missed), (3, 0), "{foreign}");
        }
    }

    #[test]
    fn a_filter_advances_the_cursor_past_filtered_transitions() {
        let recent = recent(100);
        recent.append(transitions(&["a", "b", "a", "b"]), STARTED);
        let first = recent.after(Some(BEGIN), 1, |of| &*of.customer_id == "b");
        assert_eq!((names(&first.transitions), first.next), (vec![(1, "b")], BEGIN + 3));
        assert_eq!(names(&recent.of_customer("a", 1)), [(2, "a")]);
        assert_eq!(names(&recent.of_customer("a", 9)), [(0, "a"), (2, "a")]);
    }
}
