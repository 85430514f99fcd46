//! Rate-limits a log message about single records: at most one in 30 s, with the number of records.

use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(30);

/// When the message may be logged next, and what it has to report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogInterval {
    next_at: Duration,
    count: u64,
}

impl LogInterval {
    /// Counts a record at `elapsed`. Returns the number of records since the previous message if the caller must log.
    pub fn count(&mut self, elapsed: Duration) -> Option<u64> {
        self.count += 1;
        (elapsed >= self.next_at).then(|| {
            self.next_at = elapsed + INTERVAL;
            std::mem::take(&mut self.count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_in_an_interval_counts_the_records_since_the_previous_one() {
        let mut interval = LogInterval::default();
        assert_eq!(interval.count(Duration::from_secs(5)), Some(1));
        assert_eq!(interval.count(Duration::from_secs(6)), None);
        assert_eq!(interval.count(Duration::from_secs(34)), None);
        assert_eq!(interval.count(Duration::from_secs(35)), Some(3));
    }
}
