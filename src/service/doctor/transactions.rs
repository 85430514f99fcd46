//! Transactions that are open, or hang: readers of committed records wait behind the first one. Pure: compares what was found.
//!
//! The client library cannot list transactions. What can be told: where the stable end of a log lies before its end, the record
//! there is the first one of the oldest open transaction, and its timestamp says since when it is open.

use std::time::Duration;

use super::check::{Check, Verdict};

const ABOUT: &str = "transactions";

/// What the brokers take for the longest transaction when they do not say.
pub(super) const TRANSACTION_MAX: Duration = Duration::from_mins(15);

/// A log behind whose stable end records wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Open {
    /// The topic.
    pub(super) topic: String,
    /// The partition.
    pub(super) partition: i32,
    /// How many offsets wait.
    pub(super) waiting: i64,
    /// For how long the oldest transaction is open; `None` when it ended meanwhile, or its record has no time.
    pub(super) age: Option<Duration>,
}

/// Looks at the open transactions of all logs, where the service's last for `ours` at most and anybody's for `longest`.
pub(super) fn open(open: &[Open], logs: usize, ours: Duration, longest: Duration) -> Vec<Check> {
    let mut checks = Vec::new();
    for it in open {
        let Some(age) = it.age.filter(|&age| age > ours) else { continue };
        let seconds = age.as_secs();
        let hangs = age > longest + Duration::from_mins(1);
        let what = format!("a transaction is open for {seconds} s; {} offsets behind it are not read", it.waiting);
        let to_do = if hangs {
            "it hangs, since the brokers should have ended it: find it with `kafka-transactions.sh --bootstrap-server ... \
             find-hanging --broker-id N` and end it with `kafka-transactions.sh ... abort`"
        } else {
            "look for the program that writes it: `kafka-transactions.sh --bootstrap-server ... list`; the brokers end it \
             after its own timeout"
        };
        let verdict = if hangs { Verdict::Problem } else { Verdict::Warning };
        checks.push(Check::new(verdict, ABOUT, format!("partition {} of {}", it.partition, it.topic), what, to_do));
    }
    if checks.is_empty() {
        let oldest = open.iter().filter_map(|it| it.age).max().unwrap_or_default().as_millis();
        let what = if open.is_empty() {
            format!("none is open in {logs} logs")
        } else {
            format!("{} of {logs} logs have an open one, the oldest for {oldest} ms: as it is at work", open.len())
        };
        checks.push(Check::passed(ABOUT, "topics", what));
    }
    checks
}

/// Looks at whether the group's offsets wait for the end of a transaction.
pub(super) fn offsets(group: &str, is_settled: bool, ours: Duration) -> Option<Check> {
    (!is_settled).then(|| {
        Check::new(
            Verdict::Warning,
            ABOUT,
            format!("group {group}"),
            "a transaction that holds offsets of the group has been open for seconds: no owner of these partitions can go on",
            format!(
                "wait {} s, the service's own transaction timeout; if it is open still, find it with `kafka-transactions.sh \
                 --bootstrap-server ... list` and end it with `... abort`",
                ours.as_secs()
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(age: u64) -> Vec<Check> {
        let it = Open { topic: "out".to_owned(), partition: 2, waiting: 5, age: Some(Duration::from_secs(age)) };
        open(&[it], 8, Duration::from_secs(30), TRANSACTION_MAX)
    }

    #[test]
    fn a_transaction_at_work_is_good_a_long_one_suspect_and_one_past_every_timeout_hangs() {
        assert_eq!(found(29)[0].verdict, Verdict::Passed);
        assert_eq!(found(31)[0].verdict, Verdict::Warning);
        let hanging = found(17 * 60);
        assert_eq!(hanging[0].verdict, Verdict::Problem);
        assert!(hanging[0].to_do.contains("find-hanging"), "{}", hanging[0].to_do);
        assert_eq!(hanging[0].place, "partition 2 of out");
        assert_eq!(open(&[], 8, Duration::ZERO, TRANSACTION_MAX)[0].what, "none is open in 8 logs");
    }
}
