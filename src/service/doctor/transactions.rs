//! Checks for long-running and hanging transactions, which block consumers with isolation level `read_committed`.
//!
//! librdkafka cannot list transactions. But if the last stable offset (LSO) of a partition is below its end, the record
//! at the LSO is the first record of the oldest open transaction, and its timestamp is the start time of that
//! transaction. Pure: evaluates offsets and timestamps that the caller has read.

use std::time::Duration;

use crate::finding::{Finding, Severity};

const ABOUT: &str = "transactions";

/// Kafka's default of `transaction.max.timeout.ms`, used if the brokers do not report their setting.
pub(super) const TRANSACTION_TIMEOUT_MAX_DEFAULT: Duration = Duration::from_mins(15);

/// A partition with an open transaction: its last stable offset is below its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct OpenTransaction {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Number of offsets from the last stable offset to the end of the log.
    pub(super) blocked_offsets: i64,
    /// Age of the oldest open transaction; `None` if it ended in the meantime or its record has no timestamp.
    pub(super) age: Option<Duration>,
}

/// Checks the open transactions of `partitions` partitions.
///
/// A transaction older than `service_timeout` cannot be the service's own. One older than `broker_max` should have been
/// aborted by the broker, so it hangs.
pub(super) fn open_too_long(
    open: &[OpenTransaction],
    partitions: usize,
    service_timeout: Duration,
    broker_max: Duration,
) -> Vec<Finding> {
    let mut checks = Vec::new();
    for it in open {
        let Some(age) = it.age.filter(|&age| age > service_timeout) else { continue };
        let seconds = age.as_secs();
        let hangs = age > broker_max + Duration::from_mins(1);
        let what = format!(
            "a transaction has been open for {seconds} s; read_committed consumers cannot read the {} offsets after its start",
            it.blocked_offsets
        );
        let to_do = if hangs {
            "the transaction hangs, since the broker should have aborted it: find it with `kafka-transactions.sh --bootstrap-server ... \
             find-hanging --broker-id N` and abort it with `kafka-transactions.sh ... abort`"
        } else {
            "find the program that opened it with `kafka-transactions.sh --bootstrap-server ... list`; the broker aborts it \
             after its transaction timeout"
        };
        let severity = if hangs { Severity::Problem } else { Severity::Warning };
        checks.push(Finding::new(severity, ABOUT, format!("partition {} of {}", it.partition, it.topic), what, to_do));
    }
    if checks.is_empty() {
        let oldest = open.iter().filter_map(|it| it.age).max().unwrap_or_default().as_millis();
        let what = if open.is_empty() {
            format!("no transaction is open in {partitions} partitions")
        } else {
            format!(
                "{} of {partitions} partitions have an open transaction, the oldest for {oldest} ms, which is normal while a producer runs",
                open.len()
            )
        };
        checks.push(Finding::passed(ABOUT, "topics", what));
    }
    checks
}

/// Checks that the committed offsets of the group are stable, that is, not part of an open transaction.
pub(super) fn offsets(group: &str, is_stable: bool, service_timeout: Duration) -> Option<Finding> {
    (!is_stable).then(|| {
        Finding::new(
            Severity::Warning,
            ABOUT,
            format!("group {group}"),
            "a transaction that contains offsets of the group has been open for several seconds: the workers that own its partitions cannot continue",
            format!(
                "wait {} s, the transaction timeout of the service; if it is still open, find it with `kafka-transactions.sh \
                 --bootstrap-server ... list` and abort it with `... abort`",
                service_timeout.as_secs()
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(age: u64) -> Vec<Finding> {
        let it = OpenTransaction {
            topic: "out".to_owned(),
            partition: 2,
            blocked_offsets: 5,
            age: Some(Duration::from_secs(age)),
        };
        open_too_long(&[it], 8, Duration::from_secs(30), TRANSACTION_TIMEOUT_MAX_DEFAULT)
    }

    #[test]
    fn a_short_transaction_passes_a_long_one_is_a_warning_and_one_past_the_broker_timeout_hangs() {
        assert_eq!(found(29)[0].severity, Severity::Passed);
        assert_eq!(found(31)[0].severity, Severity::Warning);
        let hanging = found(17 * 60);
        assert_eq!(hanging[0].severity, Severity::Problem);
        assert!(hanging[0].to_do.contains("find-hanging"), "{}", hanging[0].to_do);
        assert_eq!(hanging[0].place, "partition 2 of out");
        assert_eq!(
            open_too_long(&[], 8, Duration::ZERO, TRANSACTION_TIMEOUT_MAX_DEFAULT)[0].what,
            "no transaction is open in 8 partitions"
        );
    }
}
