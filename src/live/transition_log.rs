//! The scrolling list of transitions of one model, and the selected transition.
//!
//! More transitions arrive than a person can read. Once the list has filled its space, it displays a sample of them
//! every half second, in which rare names take precedence. All of them are counted.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::update::TransitionRow;

/// Limit of displayed transitions that stay available for scrolling back.
const KEPT_MAX: usize = 300;
/// Interval between two samples.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
/// Limit of transitions displayed per sample.
const SAMPLE_MAX: usize = 4;
/// Limit of transitions that wait for the next sample; the oldest are dropped.
const PENDING_MAX: usize = 400;

/// The transitions of one model.
#[derive(Debug, Default)]
pub(super) struct TransitionLog {
    displayed: VecDeque<TransitionRow>,
    pending: Vec<TransitionRow>,
    /// How often each name was displayed.
    displayed_by_name: BTreeMap<String, u64>,
    sample_due: Duration,
    /// Transitions received in total.
    pub(super) received: u64,
    /// [`TransitionRow::cursor`] of the selected transition; `None` while the list follows new transitions.
    selected: Option<u64>,
    /// Number of lines in the latest frame: without a selection, `Down` selects the first visible transition.
    visible_lines: Cell<usize>,
}

impl TransitionLog {
    pub(super) fn push(&mut self, row: TransitionRow) {
        self.received += 1;
        self.pending.push(row);
        if self.pending.len() > PENDING_MAX {
            self.pending.remove(0);
        }
    }

    /// Displays a sample of the pending transitions and drops the rest, at most once per [`SAMPLE_INTERVAL`].
    pub(super) fn display_sample(&mut self, now: Duration) {
        if now < self.sample_due || self.pending.is_empty() {
            return;
        }
        self.sample_due = now + SAMPLE_INTERVAL;
        // Prefers the name that is rarest in this sample, then the name displayed least often so far, then the oldest
        // transition.
        let mut sample: Vec<usize> = Vec::new();
        let room = self.visible_lines.get().saturating_sub(self.displayed.len()).max(SAMPLE_MAX);
        while sample.len() < room.min(self.pending.len()) {
            let times = |name: &str, sample: &[usize]| {
                let now = sample.iter().filter(|&&at| self.pending[at].name == *name).count();
                (now, self.displayed_by_name.get(name).copied().unwrap_or_default())
            };
            let next = (0..self.pending.len())
                .filter(|at| !sample.contains(at))
                .min_by_key(|&at| (times(&self.pending[at].name, &sample), at));
            sample.extend(next);
        }
        sample.sort_unstable();
        for at in sample {
            let row = self.pending[at].clone();
            *self.displayed_by_name.entry(row.name.clone()).or_default() += 1;
            self.displayed.push_back(row);
        }
        self.pending.clear();
        while self.displayed.len() > KEPT_MAX {
            self.displayed.pop_front();
        }
        if self.selected.is_some_and(|selected| self.index_of(selected).is_none()) {
            self.selected = self.displayed.front().map(|row| row.cursor);
        }
    }

    fn index_of(&self, cursor: u64) -> Option<usize> {
        self.displayed.iter().position(|row| row.cursor == cursor)
    }

    /// Moves the selection by `steps`, down if positive. Past the newest transition the selection is cleared, and the
    /// list follows new transitions again. Without a selection, up selects the newest transition, and down the first
    /// visible one.
    pub(super) fn move_selection(&mut self, steps: isize) {
        let last = self.displayed.len().checked_sub(1);
        let from = self.selected.and_then(|selected| self.index_of(selected));
        self.selected = match (last, from) {
            (Some(last), None) if steps < 0 => Some(last.saturating_sub(steps.unsigned_abs() - 1)),
            (Some(last), None) => Some((last + 1).saturating_sub(self.visible_lines.get().max(1))),
            (None, _) => None,
            (Some(last), Some(from)) => {
                let to = from.saturating_add_signed(steps);
                (to <= last).then_some(to)
            }
        }
        .map(|index| self.displayed[index].cursor);
    }

    /// Clears the selection, so that the list follows new transitions again.
    pub(super) fn clear_selection(&mut self) {
        self.selected = None;
    }

    /// Returns the newest displayed transition.
    pub(super) fn latest(&self) -> Option<&TransitionRow> {
        self.displayed.back()
    }

    /// Returns the selected transition.
    pub(super) fn selected(&self) -> Option<&TransitionRow> {
        self.displayed.get(self.index_of(self.selected?)?)
    }

    /// Returns the transitions visible in `lines` lines, newest last, and the index of the selected one.
    pub(super) fn window(&self, lines: usize) -> (Vec<&TransitionRow>, Option<usize>) {
        self.visible_lines.set(lines);
        let index = self.selected.and_then(|selected| self.index_of(selected));
        let end = match index {
            // Centers the selected transition, unless too few transitions follow it.
            Some(index) => (index + lines / 2 + 1).max(lines).min(self.displayed.len()),
            None => self.displayed.len(),
        };
        let start = end.saturating_sub(lines);
        let window = self.displayed.range(start..end).collect();
        (window, index.filter(|&index| index >= start).map(|index| index - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(names: &[&str]) -> TransitionLog {
        let mut log = TransitionLog::default();
        push(&mut log, 0, names);
        log
    }

    fn push(log: &mut TransitionLog, first: u64, names: &[&str]) {
        for (cursor, name) in (first..).zip(names) {
            log.push(TransitionRow { cursor, name: (*name).to_owned(), ..TransitionRow::default() });
        }
    }

    fn names(log: &TransitionLog) -> Vec<&str> {
        log.window(10).0.iter().map(|row| row.name.as_str()).collect()
    }

    #[test]
    fn rare_names_are_displayed_before_frequent_ones() {
        let mut log = log(&["often", "often", "often", "often", "often", "often", "uncommon", "rare"]);
        log.display_sample(Duration::ZERO);
        assert_eq!(names(&log), ["often", "often", "uncommon", "rare"]);
        assert_eq!(log.received, 8);
        push(&mut log, 8, &["often", "new", "often", "rare", "uncommon"]);
        log.display_sample(Duration::from_millis(100));
        assert_eq!(names(&log).len(), 4, "the interval has not elapsed");
        log.window(4);
        log.display_sample(Duration::from_secs(1));
        assert_eq!(names(&log)[4..], ["often", "new", "rare", "uncommon"]);
    }

    #[test]
    fn transitions_fill_the_space_before_they_are_sampled() {
        let mut log = log(&["a"; 12]);
        assert_eq!(log.window(10).0.len(), 0);
        log.display_sample(Duration::ZERO);
        assert_eq!(names(&log).len(), 10);
        push(&mut log, 12, &["b"; 9]);
        log.display_sample(Duration::from_secs(1));
        assert_eq!(names(&log)[5..], ["a", "b", "b", "b", "b"], "the space is full, so a sample of four follows");
    }

    #[test]
    fn the_selection_stays_on_its_transition_while_others_arrive() {
        let mut log = log(&["a", "b", "c"]);
        log.display_sample(Duration::ZERO);
        log.move_selection(-1);
        log.move_selection(-1);
        assert_eq!(log.selected().map(|row| row.name.as_str()), Some("b"));
        push(&mut log, 3, &["d", "e", "f"]);
        log.display_sample(Duration::from_secs(1));
        assert_eq!(log.selected().map(|row| row.name.as_str()), Some("b"));
        let (window, index) = log.window(3);
        assert_eq!((window.len(), index.map(|index| window[index].name.as_str())), (3, Some("b")));
        log.move_selection(-10);
        assert_eq!(log.selected().map(|row| row.name.as_str()), Some("a"));
        log.move_selection(10);
        assert_eq!(log.selected(), None);
        let (window, index) = log.window(3);
        assert_eq!((window[2].name.as_str(), index), ("f", None));
    }

    #[test]
    fn down_starts_at_the_first_visible_transition_and_ends_past_the_newest() {
        let mut log = TransitionLog::default();
        log.move_selection(1);
        assert_eq!(log.selected(), None, "there is nothing to select");
        push(&mut log, 0, &["a", "b", "c", "d"]);
        log.display_sample(Duration::ZERO);
        for (lines, first) in [(2, "c"), (9, "a")] {
            assert_eq!(log.window(lines).1, None);
            log.move_selection(1);
            assert_eq!(log.selected().map(|row| row.name.as_str()), Some(first));
            log.move_selection(10);
            assert_eq!(log.selected(), None, "it follows new transitions");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_selection_is_never_lost() {
        let mut log = log(&["first"]);
        log.display_sample(Duration::ZERO);
        log.move_selection(-1);
        for round in 1..=200_u64 {
            push(&mut log, round * 10, &["x"; 9]);
            log.display_sample(Duration::from_secs(round));
        }
        assert_eq!(log.displayed.len(), KEPT_MAX);
        assert!(log.selected().is_some());
        push(&mut log, 10_000, &["y"; PENDING_MAX * 2]);
        assert_eq!(log.pending.len(), PENDING_MAX);
    }
}
