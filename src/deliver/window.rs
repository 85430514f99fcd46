//! Which records of a partition are done, when deliveries complete out of order.
//!
//! The committed offset is that of the first record that is not done, so a crash never loses a delivery. What is done
//! beyond it is committed with the offset ([`Progress`]), so a restart does not deliver it again.

use std::collections::BTreeSet;

use crate::wire::delivery_progress::Progress;

/// What to do with a record that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Deliver it.
    New,
    /// It was completed before a restart.
    Completed,
    /// It was read before; the client has returned it again.
    Repeated,
}

/// The progress of one partition.
#[derive(Clone, Debug)]
pub struct Window {
    /// Offsets that are not done. After a restart it contains records that are yet to be read again.
    pending: BTreeSet<i64>,
    /// The offset of the next record to read.
    next: i64,
    /// All records below it that are not pending are done.
    read_to: i64,
}

impl Window {
    /// Continues from committed progress. Reading starts at its offset.
    #[must_use]
    pub fn new(progress: Progress) -> Self {
        let next = progress.offset();
        Self { next, read_to: progress.read_to.max(next), pending: progress.pending }
    }

    /// Adds the record that was read at `offset`.
    pub fn admit(&mut self, offset: i64) -> Admission {
        if offset < self.next {
            return Admission::Repeated;
        }
        // Offsets that reading has passed belong to records that retention has deleted.
        let deleted: Vec<i64> = self.pending.range(self.next..offset).copied().collect();
        for deleted in deleted {
            self.pending.remove(&deleted);
        }
        self.next = offset + 1;
        if offset >= self.read_to {
            self.read_to = offset + 1;
            self.pending.insert(offset);
            return Admission::New;
        }
        if self.pending.contains(&offset) { Admission::New } else { Admission::Completed }
    }

    /// Marks the record at `offset` as done.
    pub fn complete(&mut self, offset: i64) {
        self.pending.remove(&offset);
    }

    /// Returns what to commit.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress { read_to: self.read_to, pending: self.pending.clone() }
    }

    /// Returns the offset of the next record to read.
    #[must_use]
    pub const fn next(&self) -> i64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from(offset: i64) -> Window {
        Window::new(Progress { read_to: offset, pending: BTreeSet::new() })
    }

    #[test]
    fn the_offset_stays_at_the_first_record_that_is_not_done() {
        let mut window = from(10);
        for offset in [10, 11, 13] {
            assert_eq!(window.admit(offset), Admission::New);
        }
        assert_eq!(window.admit(11), Admission::Repeated);
        window.complete(11);
        window.complete(13);
        assert_eq!((window.progress().offset(), window.progress().read_to), (10, 14));
        window.complete(10);
        assert_eq!((window.progress().offset(), window.progress().read_to), (14, 14));
    }

    #[test]
    fn a_pending_record_that_retention_deleted_does_not_hold_the_offset() {
        let mut window = Window::new(Progress { read_to: 20, pending: BTreeSet::from([10, 15]) });
        assert_eq!(window.admit(17), Admission::Completed);
        assert_eq!(window.progress().offset(), 20);
    }

    proptest! {
        /// Crashes after any completions and commits: no record is skipped without having been completed, and none that
        /// was completed before the last commit is delivered again.
        #[test]
        fn nothing_is_lost_and_nothing_committed_is_repeated(
            steps in proptest::collection::vec((0_u8..10, any::<prop::sample::Index>()), 1..400),
            gaps in proptest::collection::vec(1_i64..4, 60),
        ) {
            let records: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let (mut completed, mut committed_completed) = (BTreeSet::new(), BTreeSet::new());
            // What the window knows to be completed: a crash takes it back to the last commit.
            let mut known = BTreeSet::new();
            let mut committed = from(0).progress();
            let mut window = from(0);
            let mut in_flight: Vec<i64> = Vec::new();
            for (action, choice) in steps {
                match action {
                    0..=4 => {
                        let Some(&offset) = records.iter().find(|it| **it >= window.next()) else { continue };
                        match window.admit(offset) {
                            Admission::New => {
                                prop_assert!(!committed_completed.contains(&offset), "{offset} is delivered again");
                                in_flight.push(offset);
                            }
                            Admission::Completed => prop_assert!(completed.contains(&offset), "{offset} is lost"),
                            Admission::Repeated => prop_assert!(false, "{offset} was not read before"),
                        }
                    }
                    5..=7 if !in_flight.is_empty() => {
                        let offset = in_flight.swap_remove(choice.index(in_flight.len()));
                        window.complete(offset);
                        completed.insert(offset);
                        known.insert(offset);
                    }
                    8 => {
                        committed = window.progress();
                        committed_completed.clone_from(&known);
                    }
                    9 => {
                        let offset = committed.offset();
                        let read = Progress::decode(offset, &committed.encode()).expect("our own encoding");
                        window = Window::new(read);
                        in_flight.clear();
                        known.clone_from(&committed_completed);
                    }
                    _ => {}
                }
            }
            let offset = window.progress().offset();
            prop_assert!(records.iter().filter(|it| **it < offset).all(|it| completed.contains(it)));
        }
    }
}
