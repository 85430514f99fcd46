//! The catalogue of metrics: name, type, labels and help text of each.
//!
//! `/metrics` and docs/metrics.md are generated from it; a test checks that a scrape contains exactly these metrics.

/// Type of a metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only increases; starts at 0 with the process.
    Counter,
    /// Can go up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

/// A metric as documented.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Name of the metric.
    pub name: &'static str,
    /// Type of the metric.
    pub kind: Kind,
    /// Names of the labels. The values are in parentheses if there are few.
    pub labels: &'static str,
    /// Help text.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static str, help: &'static str) -> Description {
    Description { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static str, help: &'static str) -> Description {
    Description { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static str, help: &'static str) -> Description {
    Description { name, kind: Kind::Histogram, labels, help }
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
pub(super) const WATERMARK: &str = "lifecycle_partition_clock_timestamp_seconds";
pub(super) const STREAM_TIME: &str = "lifecycle_partition_reached_timestamp_seconds";
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
pub(super) const LOG_LINES_LOST: &str = "lifecycle_log_lines_lost_total";
pub(super) const RESIDENT: &str = "process_resident_memory_bytes";
pub(super) const CPU: &str = "process_cpu_seconds_total";
pub(super) const STARTED: &str = "process_start_time_seconds";

/// Every metric, in the order of the documentation.
pub const METRICS: &[Description] = &[
    gauge(BUILD_INFO, "version", "Always 1; the label is the running version."),
    gauge(MODEL_INFO, "model, version", "Always 1 for each loaded model."),
    gauge(
        STATE,
        "state (starting, restoring, running, stopping)",
        "1 for the current state of the service, 0 for the others.",
    ),
    gauge(
        READY,
        "",
        "1 when every assigned partition of this instance is being processed, otherwise 0; same as `/readyz`.",
    ),
    counter(
        LOG_LINES_LOST,
        "",
        "Log lines lost because standard error could not be written: a full disk, or a closed pipe.",
    ),
    // Input.
    counter(CONSUMED, "", "Records consumed and committed: applied touchpoints, duplicates and dead letters."),
    counter(APPLIED, "", "Touchpoints applied to facts."),
    counter(DUPLICATES, "", "Touchpoints dropped as duplicates."),
    counter(LATE, "", "Applied touchpoints with an event time before the clock of their customer."),
    counter(UNKNOWN_TYPES, "", "Applied touchpoints whose type is neither in the catalogue nor in a model."),
    counter(DEAD_LETTERS, "reason", "Records written to the dead-letter topic, by reason."),
    counter(TOUCHPOINT_BYTES, "", "Bytes of the keys and values of consumed records."),
    gauge(TOPIC_PARTITIONS, "", "Partition count of the touchpoint topic."),
    gauge(PARTITIONS, "", "Partitions assigned to this instance."),
    gauge(POSITION, "partition", "Offset of the next record to read."),
    gauge(LAG_RECORDS, "partition", "Consumer lag in records; absent while the end offset is unknown."),
    gauge(LAG_SECONDS, "partition", "How far the latest event time read is behind wall time; 0 when there is no lag."),
    gauge(STREAM_TIME, "partition", "Stream time: highest event time read."),
    gauge(
        WATERMARK,
        "partition",
        "Watermark up to which wake-ups of silent customers may fire; absent while unknown. With `clock.source: \
         wall` it advances at least every 30 s on a partition without lag.",
    ),
    // Output.
    counter(
        TRANSITIONS,
        "model, kind (stage, signal, milestone, counter), name, cause (touchpoint, time), mode (live, replay, \
         reconcile)",
        "Transitions published.",
    ),
    counter(STAGE_MOVES, "model, from, to", "Stage transitions published; an empty stage label means no stage."),
    gauge(CUSTOMERS, "model, stage", "Customers by stage; an empty stage label means no stage."),
    counter(
        RECORDS_WRITTEN,
        "topic_kind (transitions, replay, changelog, dead_letters)",
        "Records written and committed.",
    ),
    counter(
        BYTES_WRITTEN,
        "topic_kind (transitions, replay, changelog, dead_letters)",
        "Bytes of the keys and values of records written and committed.",
    ),
    // Latency.
    histogram(
        EVENT_LATENCY,
        "cause (touchpoint, time)",
        "Latency of live transitions until commit, from the `occurred_at` of the touchpoint or from the instant at \
         which time caused the transition (includes `clock.lateness`).",
    ),
    histogram(
        APPEND_LATENCY,
        "",
        "Latency from the Kafka timestamp of a consumed record until its results are committed.",
    ),
    // Wake-ups.
    counter(WAKE_UPS, "", "Wake-ups fired."),
    histogram(
        WAKE_UP_LATENESS,
        "",
        "Delay from the due time of a wake-up until its commit, minus `clock.lateness`; without replayed wake-ups \
         (see `publish.fresh_for`).",
    ),
    gauge(
        WAKE_UP_OVERDUE,
        "",
        "Upper bound of how long the earliest due wake-up has been waiting, minus `clock.lateness`; 0 when none is \
         due. Restoring partitions are excluded. While a partition lags, a postponed wake-up counts from its old due \
         time.",
    ),
    gauge(PARTITION_WAKE_UPS, "partition", "Wake-ups pending."),
    // Commits.
    counter(
        COMMITS,
        "result (committed, aborted, unknown)",
        "Transactions by result: committed, aborted and retried, or with an unknown outcome that had to be resolved.",
    ),
    histogram(COMMIT_DURATION, "", "Duration of a transaction from begin to commit."),
    histogram(BATCH_TOUCHPOINTS, "", "Records consumed per transaction."),
    gauge(LAST_COMMIT, "worker", "Time of the worker's last commit."),
    gauge(ABORTS_IN_A_ROW, "worker", "Failed transactions since the last committed one."),
    counter(
        KAFKA_ERRORS,
        "reaction (retry, abort, reset_producer, fatal), code",
        "Errors of the Kafka client by reaction and librdkafka error code.",
    ),
    counter(
        WORKER_SECONDS,
        "worker, activity (poll, apply, commit, restore, idle)",
        "Time spent by the worker's thread per activity; all activities except idle are busy time.",
    ),
    // State.
    gauge(PARTITION_CUSTOMERS, "partition", "Customers in state."),
    gauge(PARTITION_BYTES, "partition", "Memory used by the state."),
    gauge(STATE_LIMIT, "", "`state.max_bytes`: consumption pauses when the state of this instance exceeds it."),
    counter(
        REMOVED,
        "reason (silence, erasure)",
        "Customers removed: silent for `state.forget_after`, or erased on request.",
    ),
    counter(SWEEPS, "", "Changelog sweeps started."),
    counter(TRUNCATIONS, "result (done, failed)", "Changelog truncations; failed ones are retried."),
    // Group and restore.
    counter(
        REBALANCED,
        "event (gained, revoked, lost)",
        "Partitions assigned (gained), revoked or lost in rebalances.",
    ),
    histogram(REBALANCE_DURATION, "", "Time from the assignment of a partition until it processes touchpoints."),
    gauge(PARTITIONS_RESTORING, "", "Partitions being restored."),
    counter(RESTORED, "", "Customers restored from the changelog."),
    gauge(RESTORE_REMAINING, "partition", "Changelog records still to be restored."),
    gauge(RESTORE_ETA, "", "Estimated remaining time of the restores in progress; 0 when there are none."),
    histogram(RESTORE_DURATION, "", "Duration of restoring a partition."),
    // HTTP.
    counter(HTTP_REQUESTS, "path, code", "HTTP requests by route and status code."),
    histogram(HTTP_DURATION, "path", "Duration of HTTP requests."),
    // The process.
    gauge(RESIDENT, "", "Resident memory of the process."),
    counter(CPU, "", "CPU time of the process."),
    gauge(STARTED, "", "Start time of the process."),
];

/// Returns the table in docs/metrics.md, as Markdown.
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
        _ = writeln!(text, "| `{}` | {kind} | {} | {} |", metric.name, metric.labels, metric.help);
    }
    text
}
