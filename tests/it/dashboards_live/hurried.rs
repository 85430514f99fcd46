//! The alert rules with shorter times and smaller thresholds: minutes become seconds, so that a fault shows within a test.

/// What is written, and what stands in its place; the expressions stay as they are.
const TIMES: [(&str, &str); 14] = [
    ("for: 1h", "for: 4s"),
    ("for: 30m", "for: 3s"),
    ("for: 15m", "for: 3s"),
    ("for: 10m", "for: 3s"),
    ("for: 5m", "for: 2s"),
    ("for: 3m", "for: 2s"),
    ("for: 2m", "for: 2s"),
    ("for: 1m", "for: 1s"),
    ("[1h]", "[15s]"),
    ("[30m]", "[2m]"),
    ("[15m]", "[10s]"),
    ("[10m]", "[8s]"),
    ("[5m]", "[5s]"),
    ("offset 1w", "offset 30s"),
];

const THRESHOLDS: [(&str, &str); 8] = [
    ("(lifecycle_lag_seconds) > 300", "(lifecycle_lag_seconds) > 5"),
    ("(lifecycle_wake_up_overdue_seconds) > 300", "(lifecycle_wake_up_overdue_seconds) > 3"),
    ("(lifecycle_last_commit_timestamp_seconds) > 120", "(lifecycle_last_commit_timestamp_seconds) > 5"),
    ("{cause=\"touchpoint\"} > 60", "{cause=\"touchpoint\"} > 3"),
    ("(lifecycle_aborts_in_a_row) > 10", "(lifecycle_aborts_in_a_row) > 3"),
    ("> 5 * max by (job) (lifecycle_topic_partitions)", "> 1 * max by (job) (lifecycle_topic_partitions)"),
    ("job:lifecycle_lag_records:sum > 1000", "job:lifecycle_lag_records:sum > 200"),
    ("offset 30s) > 100", "offset 30s) > 10"),
];

/// The rules in a hurry.
pub(super) fn rules(text: &str) -> String {
    TIMES.iter().chain(&THRESHOLDS).fold(text.to_owned(), |text, (written, instead)| {
        assert!(text.contains(written), "no rule says {written:?} any more");
        text.replace(written, instead)
    })
}
