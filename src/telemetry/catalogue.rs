//! Every metric, described once: what a scrape says in `# HELP`, and what docs/metrics.md lists.

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Grows, and starts at 0 with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

/// A metric as the documentation has it.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, with their values where they are few.
    pub labels: &'static str,
    /// What it means.
    pub about: &'static str,
}

const fn counter(name: &'static str, labels: &'static str, about: &'static str) -> Description {
    Description { name, kind: Kind::Counter, labels, about }
}

const fn gauge(name: &'static str, labels: &'static str, about: &'static str) -> Description {
    Description { name, kind: Kind::Gauge, labels, about }
}

const fn histogram(name: &'static str, labels: &'static str, about: &'static str) -> Description {
    Description { name, kind: Kind::Histogram, labels, about }
}

pub(super) const BUILD_INFO: &str = "lifecycle_build_info";
pub(super) const MODEL_INFO: &str = "lifecycle_model_info";
pub(super) const READY: &str = "lifecycle_ready";
pub(super) const CONSUMED: &str = "lifecycle_touchpoints_consumed_total";
pub(super) const APPLIED: &str = "lifecycle_touchpoints_applied_total";
pub(super) const DUPLICATES: &str = "lifecycle_touchpoints_duplicate_total";
pub(super) const LATE: &str = "lifecycle_touchpoints_late_total";
pub(super) const UNKNOWN_TYPES: &str = "lifecycle_touchpoints_unknown_type_total";
pub(super) const DEAD_LETTERS: &str = "lifecycle_dead_letters_total";
pub(super) const WAKE_UPS: &str = "lifecycle_wake_ups_total";
pub(super) const TRANSITIONS: &str = "lifecycle_transitions_total";
pub(super) const COMMITS: &str = "lifecycle_commits_total";
pub(super) const COMMIT_DURATION: &str = "lifecycle_commit_duration_seconds";
pub(super) const LAST_COMMIT: &str = "lifecycle_last_commit_timestamp_seconds";
pub(super) const REBALANCED: &str = "lifecycle_partitions_rebalanced_total";
pub(super) const RESTORED: &str = "lifecycle_customers_restored_total";
pub(super) const SWEEPS: &str = "lifecycle_changelog_sweeps_total";
pub(super) const TRUNCATIONS: &str = "lifecycle_changelog_truncations_total";
pub(super) const PARTITIONS: &str = "lifecycle_partitions_assigned";
pub(super) const PARTITIONS_RESTORING: &str = "lifecycle_partitions_restoring";
pub(super) const LAG_RECORDS: &str = "lifecycle_lag_records";
pub(super) const LAG_SECONDS: &str = "lifecycle_lag_seconds";
pub(super) const CUSTOMERS: &str = "lifecycle_customers";
pub(super) const PARTITION_CUSTOMERS: &str = "lifecycle_partition_customers";
pub(super) const PARTITION_BYTES: &str = "lifecycle_partition_state_bytes";
pub(super) const PARTITION_WAKE_UPS: &str = "lifecycle_partition_wake_ups_pending";
pub(super) const STATE_LIMIT: &str = "lifecycle_state_limit_bytes";
pub(super) const RESIDENT: &str = "process_resident_memory_bytes";
pub(super) const CPU: &str = "process_cpu_seconds_total";
pub(super) const STARTED: &str = "process_start_time_seconds";

/// Every metric, in the order of the documentation.
pub const METRICS: &[Description] = &[
    gauge(BUILD_INFO, "version", "Always 1; says which version runs."),
    gauge(MODEL_INFO, "model, version", "Always 1 for each model that runs."),
    gauge(READY, "", "1 when every partition of this instance is worked on, else 0; the same as `/readyz`."),
    counter(CONSUMED, "", "Records read and committed: applied, duplicates and dead letters together."),
    counter(APPLIED, "", "Touchpoints folded into facts."),
    counter(DUPLICATES, "", "Touchpoints that the customer had already."),
    counter(LATE, "", "Applied touchpoints older than their customer's clock."),
    counter(UNKNOWN_TYPES, "", "Applied touchpoints of a type that neither catalogue nor models name."),
    counter(DEAD_LETTERS, "reason", "Records set aside, by reason."),
    counter(WAKE_UPS, "", "Customers looked at because time had passed."),
    counter(
        TRANSITIONS,
        "model, kind (stage, signal, milestone, counter), name, cause (touchpoint, time), mode (live, replay, reconcile)",
        "Transitions published.",
    ),
    counter(
        COMMITS,
        "result (committed, aborted, renewed)",
        "Transactions: visible, dropped and done again, or of unknown outcome that had to be looked up.",
    ),
    histogram(COMMIT_DURATION, "", "How long a transaction took, from its beginning until it was visible."),
    gauge(LAST_COMMIT, "worker", "When the worker last committed."),
    counter(REBALANCED, "event (gained, revoked, lost)", "Partitions that came or went."),
    counter(RESTORED, "", "Customers read back from the changelog."),
    counter(SWEEPS, "", "Sweeps of the changelog begun."),
    counter(TRUNCATIONS, "result (done, failed)", "Heads of the changelog deleted; a failed one is tried again."),
    gauge(PARTITIONS, "", "Partitions that this instance has."),
    gauge(PARTITIONS_RESTORING, "", "Partitions whose customers are still being read back."),
    gauge(LAG_RECORDS, "partition", "Records not yet read, as far as is known."),
    gauge(
        LAG_SECONDS,
        "partition",
        "How far the latest touchpoint read lies behind wall time; 0 when everything is read.",
    ),
    gauge(CUSTOMERS, "model, stage", "Customers by stage; the empty stage stands for none."),
    gauge(PARTITION_CUSTOMERS, "partition", "Customers kept."),
    gauge(PARTITION_BYTES, "partition", "Memory that the customers take."),
    gauge(PARTITION_WAKE_UPS, "partition", "Customers that wait for time to pass."),
    gauge(STATE_LIMIT, "", "`state.max_bytes`: past it reading stops."),
    gauge(RESIDENT, "", "Memory of the process."),
    counter(CPU, "", "Processor time of the process."),
    gauge(STARTED, "", "When the process started."),
];

/// The table of docs/metrics.md.
#[must_use]
pub fn reference() -> String {
    use std::fmt::Write;
    let mut text = String::from("| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        _ = writeln!(text, "| `{}` | {kind} | {} | {} |", metric.name, metric.labels, metric.about);
    }
    text
}
