//! The transitions that scroll by: as many as can be read, of as many names as there are, and the one under the cursor.
//!
//! More pass than anybody can read. In each second some are shown, seldom ones before frequent ones; all are counted.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::told::Passed;

/// How many are kept for each model.
const KEPT_MAX: usize = 300;
/// How often some are shown.
const ROUND: Duration = Duration::from_millis(500);
/// How many are shown in a round.
const SHOWN_MAX: usize = 4;
/// How many wait for a round at most; of more, the latest.
const WAITING_MAX: usize = 400;

/// The transitions of one model.
#[derive(Debug, Default)]
pub(super) struct Log {
    shown: VecDeque<Passed>,
    waiting: Vec<Passed>,
    /// How often each name was shown.
    shown_by_name: BTreeMap<String, u64>,
    round_due: Duration,
    /// How many came in all.
    pub(super) came: u64,
    /// The cursor: the number of a transition that is shown.
    chosen: Option<u64>,
    /// How many lines the latest picture had for them: who chooses the first means the first of these.
    lines: Cell<usize>,
}

impl Log {
    pub(super) fn note(&mut self, passed: Passed) {
        self.came += 1;
        self.waiting.push(passed);
        if self.waiting.len() > WAITING_MAX {
            self.waiting.remove(0);
        }
    }

    /// Shows some of those that wait, when it is time.
    pub(super) fn pass(&mut self, now: Duration) {
        if now < self.round_due || self.waiting.is_empty() {
            return;
        }
        self.round_due = now + ROUND;
        // Seldom names first; of one name the first that came. One of each name as long as there are other names.
        let mut chosen: Vec<usize> = Vec::new();
        while chosen.len() < SHOWN_MAX.min(self.waiting.len()) {
            let times = |name: &str, chosen: &[usize]| {
                let now = chosen.iter().filter(|&&at| self.waiting[at].name == *name).count();
                (now, self.shown_by_name.get(name).copied().unwrap_or_default())
            };
            let next = (0..self.waiting.len())
                .filter(|at| !chosen.contains(at))
                .min_by_key(|&at| (times(&self.waiting[at].name, &chosen), at));
            chosen.extend(next);
        }
        chosen.sort_unstable();
        for at in chosen {
            let passed = self.waiting[at].clone();
            *self.shown_by_name.entry(passed.name.clone()).or_default() += 1;
            self.shown.push_back(passed);
        }
        self.waiting.clear();
        while self.shown.len() > KEPT_MAX {
            self.shown.pop_front();
        }
        if self.chosen.is_some_and(|chosen| self.place_of(chosen).is_none()) {
            self.chosen = self.shown.front().map(|passed| passed.cursor);
        }
    }

    fn place_of(&self, cursor: u64) -> Option<usize> {
        self.shown.iter().position(|passed| passed.cursor == cursor)
    }

    /// Moves the cursor by `steps`, down if positive; past the latest there is none and the list follows what comes. Where there is
    /// none, up begins with the latest and down with the first in the picture.
    pub(super) fn choose(&mut self, steps: isize) {
        let last = self.shown.len().checked_sub(1);
        let from = self.chosen.and_then(|chosen| self.place_of(chosen));
        self.chosen = match (last, from) {
            (Some(last), None) if steps < 0 => Some(last.saturating_sub(steps.unsigned_abs() - 1)),
            (Some(last), None) => Some((last + 1).saturating_sub(self.lines.get().max(1))),
            (None, _) => None,
            (Some(last), Some(from)) => {
                let to = from.saturating_add_signed(steps);
                (to <= last).then_some(to)
            }
        }
        .map(|place| self.shown[place].cursor);
    }

    /// Takes the cursor away.
    pub(super) fn follow(&mut self) {
        self.chosen = None;
    }

    /// The transition that came last, of those that are shown.
    pub(super) fn latest(&self) -> Option<&Passed> {
        self.shown.back()
    }

    /// The transition under the cursor.
    pub(super) fn chosen(&self) -> Option<&Passed> {
        self.shown.get(self.place_of(self.chosen?)?)
    }

    /// The transitions for a place of so many lines, the latest last, and which of them is under the cursor.
    pub(super) fn window(&self, lines: usize) -> (Vec<&Passed>, Option<usize>) {
        self.lines.set(lines);
        let place = self.chosen.and_then(|chosen| self.place_of(chosen));
        let end = match place {
            // The cursor stays in the middle, as far as there is anything below it.
            Some(place) => (place + lines / 2 + 1).max(lines).min(self.shown.len()),
            None => self.shown.len(),
        };
        let start = end.saturating_sub(lines);
        let window = self.shown.range(start..end).collect();
        (window, place.filter(|&place| place >= start).map(|place| place - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(names: &[&str]) -> Log {
        let mut log = Log::default();
        note(&mut log, 0, names);
        log
    }

    fn note(log: &mut Log, first: u64, names: &[&str]) {
        for (cursor, name) in (first..).zip(names) {
            log.note(Passed { cursor, name: (*name).to_owned(), ..Passed::default() });
        }
    }

    fn names(log: &Log) -> Vec<&str> {
        log.window(10).0.iter().map(|passed| passed.name.as_str()).collect()
    }

    #[test]
    fn seldom_names_are_shown_before_frequent_ones() {
        let mut log = log(&["often", "often", "often", "often", "often", "often", "seldom", "rare"]);
        log.pass(Duration::ZERO);
        assert_eq!(names(&log), ["often", "often", "seldom", "rare"]);
        assert_eq!(log.came, 8);
        note(&mut log, 8, &["often", "new", "often", "rare", "seldom"]);
        log.pass(Duration::from_millis(100));
        assert_eq!(names(&log).len(), 4, "not yet");
        log.pass(Duration::from_secs(1));
        assert_eq!(names(&log)[4..], ["often", "new", "rare", "seldom"]);
    }

    #[test]
    fn the_cursor_stays_with_its_transition_while_others_come() {
        let mut log = log(&["a", "b", "c"]);
        log.pass(Duration::ZERO);
        log.choose(-1);
        log.choose(-1);
        assert_eq!(log.chosen().map(|passed| passed.name.as_str()), Some("b"));
        note(&mut log, 3, &["d", "e", "f"]);
        log.pass(Duration::from_secs(1));
        assert_eq!(log.chosen().map(|passed| passed.name.as_str()), Some("b"));
        let (window, place) = log.window(3);
        assert_eq!((window.len(), place.map(|place| window[place].name.as_str())), (3, Some("b")));
        log.choose(-10);
        assert_eq!(log.chosen().map(|passed| passed.name.as_str()), Some("a"));
        log.choose(10);
        assert_eq!(log.chosen(), None);
        let (window, place) = log.window(3);
        assert_eq!((window[2].name.as_str(), place), ("f", None));
    }

    #[test]
    fn down_begins_with_the_first_in_the_picture_and_ends_past_the_latest() {
        let mut log = Log::default();
        log.choose(1);
        assert_eq!(log.chosen(), None, "there is nothing to choose");
        note(&mut log, 0, &["a", "b", "c", "d"]);
        log.pass(Duration::ZERO);
        for (lines, first) in [(2, "c"), (9, "a")] {
            assert_eq!(log.window(lines).1, None);
            log.choose(1);
            assert_eq!(log.chosen().map(|passed| passed.name.as_str()), Some(first));
            log.choose(10);
            assert_eq!(log.chosen(), None, "it follows what comes");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_cursor_is_never_lost() {
        let mut log = log(&["first"]);
        log.pass(Duration::ZERO);
        log.choose(-1);
        for round in 1..=200_u64 {
            note(&mut log, round * 10, &["x"; 9]);
            log.pass(Duration::from_secs(round));
        }
        assert_eq!(log.shown.len(), KEPT_MAX);
        assert!(log.chosen().is_some());
        note(&mut log, 10_000, &["y"; WAITING_MAX * 2]);
        assert_eq!(log.waiting.len(), WAITING_MAX);
    }
}
