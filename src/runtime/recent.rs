//! The latest transitions of this process, for people who watch: kept once they are committed, and never before.
//!
//! All workers write here, once per committed partition and batch, and hand over the batch's own list: nothing is copied on the
//! road of a touchpoint. Bounded in bytes; the oldest are dropped by whole batches. Each transition has a number, the cursor;
//! the numbers of a process begin above those of any earlier run, so that a reader's cursor from before a restart is known
//! as such.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::lifecycle::time::{Duration, Timestamp};
use crate::lifecycle::transition::{OwnedValue, Transition};
use crate::wire::transition::Mode;

/// How many numbers a process has for each millisecond that it runs: a multiple of any rate of transitions, and small enough for
/// the numbers to be exact in floating point for centuries.
const NUMBERS_PER_MS: u64 = 1024;

/// The latest transitions.
#[derive(Debug)]
pub struct Recent {
    bytes_max: usize,
    fresh_for: Duration,
    kept: Mutex<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    /// The first number of this process.
    begin: u64,
    /// The number that the next transition gets.
    next: u64,
}

/// What one commit published of one partition, or the end of it where that alone is too much to keep.
#[derive(Debug)]
struct Batch {
    first: u64,
    published_at: Timestamp,
    transitions: Vec<Transition>,
    bytes: usize,
}

/// A transition that was committed, with its number.
#[derive(Clone, Debug)]
pub struct Committed {
    batch: Arc<Batch>,
    index: usize,
    mode: Mode,
}

/// Some of the latest transitions, in order.
#[derive(Clone, Debug)]
pub struct Excerpt {
    /// The transitions.
    pub transitions: Vec<Committed>,
    /// The cursor behind all that was looked at.
    pub next: u64,
    /// How many came after the cursor asked for and are not kept any more.
    pub missed: u64,
}

impl Recent {
    /// Keeps about `bytes_max` bytes. `started` is wall time; `fresh_for` tells news from old news, as the workers do.
    #[must_use]
    pub fn new(bytes_max: usize, fresh_for: Duration, started: Timestamp) -> Self {
        let begin = u64::try_from(started.as_millis()).unwrap_or_default() * NUMBERS_PER_MS;
        let kept = Kept { batches: VecDeque::new(), bytes: 0, begin, next: begin };
        Self { bytes_max, fresh_for, kept: Mutex::new(kept) }
    }

    /// Takes over what was committed, published at `published_at`.
    pub(super) fn append(&self, mut transitions: Vec<Transition>, published_at: Timestamp) {
        if transitions.is_empty() {
            return;
        }
        let count = transitions.len();
        let (mut bytes, mut keep) = (0, 0);
        for size in transitions.iter().rev().map(weight) {
            if bytes + size > self.bytes_max {
                break;
            }
            bytes += size;
            keep += 1;
        }
        let dropped = count - keep;
        transitions.drain(..dropped);
        let mut kept = self.lock();
        let first = kept.next + dropped as u64;
        kept.next += count as u64;
        kept.bytes += bytes;
        kept.batches.push_back(Arc::new(Batch { first, published_at, transitions, bytes }));
        let mut out = Vec::new();
        while kept.bytes > self.bytes_max {
            let Some(oldest) = kept.batches.pop_front() else { break };
            kept.bytes -= oldest.bytes;
            out.push(oldest);
        }
        // Freed without the lock.
        drop(kept);
    }

    /// The cursor behind the latest transition.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.lock().next
    }

    /// The transitions with numbers from `after` on that `fits` picks, `limit` at most. A cursor of no use (from an earlier run, or
    /// past the end) is taken for the beginning of this run; without one the latest are told.
    #[must_use]
    pub fn after(&self, after: Option<u64>, limit: usize, fits: impl Fn(&Transition) -> bool) -> Excerpt {
        let kept = self.as_of_now();
        let start = after.map(|after| if (kept.begin..=kept.next).contains(&after) { after } else { kept.begin });
        let Some(start) = start else {
            let transitions = self.latest(&kept, limit, fits);
            return Excerpt { transitions, next: kept.next, missed: 0 };
        };
        let mut missed = 0;
        // What lies between two batches was too much to keep.
        let mut expected = start;
        let mut transitions = Vec::new();
        for batch in kept.batches.iter().filter(|batch| batch.end() > start) {
            missed += batch.first.saturating_sub(expected);
            expected = batch.end();
            let skipped = usize::try_from(start.saturating_sub(batch.first)).unwrap_or(usize::MAX);
            for (index, transition) in batch.transitions.iter().enumerate().skip(skipped) {
                if !fits(transition) {
                    continue;
                }
                if transitions.len() == limit {
                    return Excerpt { transitions, next: batch.first + index as u64, missed };
                }
                transitions.push(self.committed(batch, index));
            }
        }
        missed += kept.next - expected.max(start);
        Excerpt { transitions, next: kept.next, missed }
    }

    /// The latest `limit` transitions of a customer, in order.
    #[must_use]
    pub fn of_customer(&self, customer_id: &str, limit: usize) -> Vec<Committed> {
        self.latest(&self.as_of_now(), limit, |transition| &*transition.customer_id == customer_id)
    }

    fn latest(&self, kept: &Kept, limit: usize, fits: impl Fn(&Transition) -> bool) -> Vec<Committed> {
        let places = kept.batches.iter().rev().flat_map(|batch| {
            let places = batch.transitions.iter().enumerate().rev();
            places.map(move |(index, transition)| (batch, index, transition))
        });
        let fitting = places.filter(|(_, _, transition)| fits(transition));
        let mut found: Vec<_> = fitting.take(limit).map(|(batch, index, _)| self.committed(batch, index)).collect();
        found.reverse();
        found
    }

    fn committed(&self, batch: &Arc<Batch>, index: usize) -> Committed {
        let mode = mode(&batch.transitions[index], batch.published_at, self.fresh_for);
        Committed { batch: Arc::clone(batch), index, mode }
    }

    /// What is kept, to be looked through without the lock: workers wait for it when they commit.
    fn as_of_now(&self) -> Kept {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics between two changes that belong together.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    /// The number after the last.
    fn end(&self) -> u64 {
        self.first + self.transitions.len() as u64
    }
}

impl Committed {
    /// The number: a reader that has this one goes on with the next.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.batch.first + self.index as u64
    }

    /// What changed.
    #[must_use]
    pub fn transition(&self) -> &Transition {
        &self.batch.transitions[self.index]
    }

    /// When it was published; wall time.
    #[must_use]
    pub fn published_at(&self) -> Timestamp {
        self.batch.published_at
    }

    /// On which occasion it was published.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// On which occasion `transition` is published at `wall`.
#[must_use]
pub fn mode(transition: &Transition, wall: Timestamp, fresh_for: Duration) -> Mode {
    if transition.reconciled {
        Mode::Reconcile
    } else if wall - transition.occurred_at > fresh_for {
        Mode::Replay
    } else {
        Mode::Live
    }
}

/// Bytes that a transition takes, about.
fn weight(transition: &Transition) -> usize {
    let text = |value: &OwnedValue| match value {
        OwnedValue::String(text) => text.len(),
        _ => 0,
    };
    let values = transition.values.iter();
    let values: usize =
        values.map(|(name, value)| name.len() + text(value) + size_of::<(Box<str>, OwnedValue)>()).sum();
    size_of::<Transition>() + transition.customer_id.len() + transition.name.len() + transition.because.len() + values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::id::ModelIndex;
    use crate::lifecycle::transition::{Cause, Change, OrdersSummary};

    const STARTED: Timestamp = Timestamp::from_millis(1_000);
    const BEGIN: u64 = 1_000 * NUMBERS_PER_MS;

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
            is_muted: false,
            because: Box::default(),
            values: Vec::new(),
            orders: OrdersSummary::default(),
        };
        customers.iter().map(transition).collect()
    }

    fn recent(keep: usize) -> Recent {
        let size: usize = transitions(&["a"]).iter().map(weight).sum();
        Recent::new(keep * size, Duration::from_days(1), STARTED)
    }

    fn names(transitions: &[Committed]) -> Vec<(u64, &str)> {
        transitions.iter().map(|of| (of.number() - BEGIN, &*of.transition().customer_id)).collect()
    }

    fn after(recent: &Recent, after: u64, limit: usize) -> (Vec<(u64, String)>, u64, u64) {
        let Excerpt { transitions, next, missed } = recent.after(Some(BEGIN + after), limit, |_| true);
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
    fn what_is_not_kept_any_more_is_counted_as_missed() {
        let recent = recent(3);
        recent.append(transitions(&["a", "b"]), STARTED);
        recent.append(transitions(&["c", "d"]), STARTED);
        let (kept, next, missed) = after(&recent, 0, 10);
        assert_eq!((kept, next, missed), (vec![(2, "c".to_owned()), (3, "d".to_owned())], 4, 2));
        // Of a batch that is too much the latest are kept.
        recent.append(transitions(&["e", "f", "g", "h", "i"]), STARTED);
        let (kept, next, missed) = after(&recent, 3, 10);
        assert_eq!(kept, [(6, "g".to_owned()), (7, "h".to_owned()), (8, "i".to_owned())]);
        assert_eq!((next, missed), (9, 3));
    }

    #[test]
    fn a_transition_too_large_for_the_whole_bound_is_missed_and_nothing_else() {
        let recent = Recent::new(10, Duration::from_days(1), STARTED);
        recent.append(transitions(&["a"]), STARTED);
        assert_eq!(after(&recent, 0, 10), (Vec::new(), 1, 1));
    }

    #[test]
    fn without_a_cursor_the_latest_are_told_and_a_foreign_cursor_starts_anew() {
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
    fn a_filter_moves_the_cursor_past_what_it_leaves_out() {
        let recent = recent(100);
        recent.append(transitions(&["a", "b", "a", "b"]), STARTED);
        let first = recent.after(Some(BEGIN), 1, |of| &*of.customer_id == "b");
        assert_eq!((names(&first.transitions), first.next), (vec![(1, "b")], BEGIN + 3));
        assert_eq!(names(&recent.of_customer("a", 1)), [(2, "a")]);
        assert_eq!(names(&recent.of_customer("a", 9)), [(0, "a"), (2, "a")]);
    }
}
