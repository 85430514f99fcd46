//! Counts faults and other events of runs by name, so that a test can check that all of them occurred.

use std::collections::BTreeMap;
use std::fmt;

/// Number of occurrences by event name.
#[derive(Clone, Default)]
pub(crate) struct Occurrences(BTreeMap<&'static str, u64>);

impl Occurrences {
    pub(crate) fn count(&mut self, event: &'static str) {
        self.add(event, 1);
    }

    pub(crate) fn add(&mut self, event: &'static str, count: u64) {
        *self.0.entry(event).or_default() += count;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (event, count) in &other.0 {
            self.add(event, *count);
        }
    }

    pub(crate) fn of(&self, event: &str) -> u64 {
        self.0.get(event).copied().unwrap_or_default()
    }
}

impl fmt::Display for Occurrences {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(event, count)| writeln!(formatter, "{count:>12}  {event}"))
    }
}
