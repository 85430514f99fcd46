//! Shortens the durations and lowers the thresholds of the alert rules: minutes become seconds, so that an alert fires
//! within the test.

/// Text of a rule and its replacement. Apart from these, the expressions stay unchanged.
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

/// Returns the rules with the replacements applied. Panics when a replacement matches nothing.
pub(super) fn shorten(text: &str) -> String {
    TIMES.iter().chain(&THRESHOLDS).fold(text.to_owned(), |text, (original, replacement)| {
        assert!(text.contains(original), "no rule contains {original:?}");
        text.replace(original, replacement)
    })
}
