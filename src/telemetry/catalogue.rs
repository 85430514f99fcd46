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
pub(super) const STATE: &str = "lifecycle_service_state";
pub(super) const TOPIC_PARTITIONS: &str = "lifecycle_topic_partitions";
pub(super) const TOUCHPOINT_BYTES: &str = "lifecycle_touchpoint_bytes_total";
pub(super) const EVENT_LATENCY: &str = "lifecycle_event_latency_seconds";
pub(super) const APPEND_LATENCY: &str = "lifecycle_append_latency_seconds";
pub(super) const WAKE_UP_LATENESS: &str = "lifecycle_wake_up_lateness_seconds";
pub(super) const WAKE_UP_OVERDUE: &str = "lifecycle_wake_up_overdue_seconds";
pub(super) const STAGE_MOVES: &str = "lifecycle_stage_moves_total";
pub(super) const BATCH_TOUCHPOINTS: &str = "lifecycle_batch_touchpoints";
pub(super) const WORKER_SECONDS: &str = "lifecycle_worker_seconds_total";
pub(super) const RECORDS_WRITTEN: &str = "lifecycle_records_written_total";
pub(super) const BYTES_WRITTEN: &str = "lifecycle_bytes_written_total";
pub(super) const ABORTS_IN_A_ROW: &str = "lifecycle_aborts_in_a_row";
pub(super) const KAFKA_ERRORS: &str = "lifecycle_kafka_errors_total";
pub(super) const REBALANCE_DURATION: &str = "lifecycle_rebalance_duration_seconds";
pub(super) const RESTORE_DURATION: &str = "lifecycle_restore_duration_seconds";
pub(super) const RESTORE_REMAINING: &str = "lifecycle_restore_remaining_records";
pub(super) const RESTORE_ETA: &str = "lifecycle_restore_eta_seconds";
pub(super) const REMOVED: &str = "lifecycle_customers_removed_total";
pub(super) const POSITION: &str = "lifecycle_partition_position";
pub(super) const CLOCK: &str = "lifecycle_partition_clock_timestamp_seconds";
pub(super) const REACHED: &str = "lifecycle_partition_reached_timestamp_seconds";
pub(super) const HTTP_REQUESTS: &str = "lifecycle_http_requests_total";
pub(super) const HTTP_DURATION: &str = "lifecycle_http_request_duration_seconds";
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
    gauge(
        STATE,
        "state (starting, restoring, running, stopping)",
        "1 for the state that the service is in, 0 for the others.",
    ),
    gauge(READY, "", "1 when every partition of this instance is worked on, else 0; the same as `/readyz`."),
    // Input.
    counter(CONSUMED, "", "Records read and committed: applied, duplicates and dead letters together."),
    counter(APPLIED, "", "Touchpoints folded into facts."),
    counter(DUPLICATES, "", "Touchpoints that the customer had already."),
    counter(LATE, "", "Applied touchpoints older than their customer's clock."),
    counter(UNKNOWN_TYPES, "", "Applied touchpoints of a type that neither catalogue nor models name."),
    counter(DEAD_LETTERS, "reason", "Records set aside, by reason."),
    counter(TOUCHPOINT_BYTES, "", "Bytes of the keys and values of the records consumed."),
    gauge(TOPIC_PARTITIONS, "", "Partitions of the topic of touchpoints, of all instances together."),
    gauge(PARTITIONS, "", "Partitions that this instance has."),
    gauge(POSITION, "partition", "Offset of the next record to be read."),
    gauge(LAG_RECORDS, "partition", "Records not yet read, as far as is known."),
    gauge(
        LAG_SECONDS,
        "partition",
        "How far the latest touchpoint read lies behind wall time; 0 when everything is read.",
    ),
    gauge(REACHED, "partition", "Event time of the latest touchpoint read."),
    gauge(
        CLOCK,
        "partition",
        "Up to when wake-ups of silent customers may fire; absent until that is known. With `clock.source: wall` it moves at least every half minute where everything is read.",
    ),
    // Output.
    counter(
        TRANSITIONS,
        "model, kind (stage, signal, milestone, counter), name, cause (touchpoint, time), mode (live, replay, reconcile)",
        "Transitions published.",
    ),
    counter(STAGE_MOVES, "model, from, to", "Transitions of kind stage published; the empty stage stands for none."),
    gauge(CUSTOMERS, "model, stage", "Customers by stage; the empty stage stands for none."),
    counter(
        RECORDS_WRITTEN,
        "topic_kind (transitions, replay, changelog, dead_letters)",
        "Records written and committed.",
    ),
    counter(
        BYTES_WRITTEN,
        "topic_kind (transitions, replay, changelog, dead_letters)",
        "Bytes of the keys and values of the records written and committed.",
    ),
    // Latency.
    histogram(
        EVENT_LATENCY,
        "cause (touchpoint, time)",
        "From the instant of a live transition until it was committed: from the touchpoint's `occurred_at`, or from the instant at \
         which time changed something (`clock.lateness` included).",
    ),
    histogram(APPEND_LATENCY, "", "From the Kafka timestamp of a record consumed until what it led to was committed."),
    // Wake-ups.
    counter(WAKE_UPS, "", "Customers looked at because time had passed."),
    histogram(
        WAKE_UP_LATENESS,
        "",
        "How much later than due a wake-up was committed, `clock.lateness` taken off; old news left out (`publish.fresh_for`).",
    ),
    gauge(
        WAKE_UP_OVERDUE,
        "",
        "For how long the oldest wake-up may have been due, `clock.lateness` taken off, partitions being restored left out; 0 when \
         none is due. At most so long while a partition lags: a wake-up that was put off counts from its old instant until time comes \
         to that.",
    ),
    gauge(PARTITION_WAKE_UPS, "partition", "Customers that wait for time to pass."),
    // Commits.
    counter(
        COMMITS,
        "result (committed, aborted, renewed)",
        "Transactions: visible, dropped and done again, or of unknown outcome that had to be looked up.",
    ),
    histogram(COMMIT_DURATION, "", "How long a transaction took, from its beginning until it was visible."),
    histogram(BATCH_TOUCHPOINTS, "", "Records consumed in one transaction."),
    gauge(LAST_COMMIT, "worker", "When the worker last committed."),
    gauge(ABORTS_IN_A_ROW, "worker", "Transactions that failed since the last one that was committed."),
    counter(
        KAFKA_ERRORS,
        "reaction (retry, abort, renew, fatal), code",
        "Errors of the Kafka client by what was done about them; the code is the client's name for the error.",
    ),
    counter(
        WORKER_SECONDS,
        "worker, activity (poll, apply, commit, restore, idle)",
        "Where the worker's time goes; what is not idle is its utilisation.",
    ),
    // State.
    gauge(PARTITION_CUSTOMERS, "partition", "Customers kept."),
    gauge(PARTITION_BYTES, "partition", "Memory that the customers take."),
    gauge(STATE_LIMIT, "", "`state.max_bytes`: when the customers of the instance take so much, reading stops."),
    counter(
        REMOVED,
        "reason (silence, erasure)",
        "Customers removed: silent for `state.forget_after`, or erased at request.",
    ),
    counter(SWEEPS, "", "Sweeps of the changelog begun."),
    counter(TRUNCATIONS, "result (done, failed)", "Heads of the changelog deleted; a failed one is tried again."),
    // Group and restore.
    counter(REBALANCED, "event (gained, revoked, lost)", "Partitions that came or went."),
    histogram(REBALANCE_DURATION, "", "From the instant a partition was gained until it was worked on."),
    gauge(PARTITIONS_RESTORING, "", "Partitions whose customers are still being read back."),
    counter(RESTORED, "", "Customers read back from the changelog."),
    gauge(RESTORE_REMAINING, "partition", "Changelog records still to be read back."),
    gauge(RESTORE_ETA, "", "How long the restores under way will take at their present speed; 0 when there is none."),
    histogram(RESTORE_DURATION, "", "How long reading back a partition's customers took."),
    // HTTP.
    counter(HTTP_REQUESTS, "path, code", "Requests answered, by route and status."),
    histogram(HTTP_DURATION, "path", "How long answering took."),
    // The process.
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
