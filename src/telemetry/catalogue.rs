//! The catalogue of metrics: name, type, labels and help text of each, and where its values come from.
//!
//! `/metrics` and docs/metrics.md are generated from it; a test checks that a scrape contains exactly these metrics.

#![expect(clippy::semicolon_if_nothing_returned, reason = "the value of a row is one expression")]
#![expect(clippy::redundant_closure_for_method_calls, reason = "the methods of `Series` have a fixed lifetime")]

use crate::lifecycle::time::Duration;
use crate::partition::RefusalReason;

use super::log_writer;
use super::metrics::series::{Series, epoch_seconds, float};
use super::report::HAND_OVER_KINDS;

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
    /// Writes the series of a scrape; nothing for a metric that is counted in the lasting recorder.
    pub(super) write: fn(&mut Series<'_>),
}

const fn counter(
    name: &'static str,
    labels: &'static str,
    help: &'static str,
    write: fn(&mut Series<'_>),
) -> Description {
    Description { name, kind: Kind::Counter, labels, help, write }
}

const fn gauge(
    name: &'static str,
    labels: &'static str,
    help: &'static str,
    write: fn(&mut Series<'_>),
) -> Description {
    Description { name, kind: Kind::Gauge, labels, help, write }
}

const fn histogram(
    name: &'static str,
    labels: &'static str,
    help: &'static str,
    write: fn(&mut Series<'_>),
) -> Description {
    Description { name, kind: Kind::Histogram, labels, help, write }
}

pub(super) const HTTP_REQUESTS: &str = "lifecycle_http_requests_total";
pub(super) const HTTP_DURATION: &str = "lifecycle_http_request_duration_seconds";
pub(super) const KAFKA_ERRORS: &str = "lifecycle_kafka_errors_total";

/// Every metric, in the order of the documentation.
pub const METRICS: &[Description] = &[
    gauge("lifecycle_build_info", "version", "Always 1; the label is the running version.", |out| {
        out.set(&[("version", env!("CARGO_PKG_VERSION"))], 1.0)
    }),
    gauge(
        "lifecycle_model_info",
        "model, version, hash",
        "Always 1 for each loaded model. The hash is that of the definition with its parameters.",
        |out| out.model_info(),
    ),
    gauge(
        "lifecycle_service_state",
        "state (starting, restoring, running, stopping)",
        "1 for the current state of the service, 0 for the others.",
        |out| out.service_state(),
    ),
    gauge(
        "lifecycle_ready",
        "",
        "1 when every assigned partition of this instance is being processed, otherwise 0; same as `/readyz`.",
        |out| out.set(&[], f64::from(out.scrape.is_ready)),
    ),
    counter(
        "lifecycle_log_lines_lost_total",
        "",
        "Log lines lost because standard error could not be written: a full disk, or a closed pipe.",
        |out| out.add(&[], log_writer::lost_lines()),
    ),
    // Input.
    counter(
        "lifecycle_touchpoints_consumed_total",
        "",
        "Records consumed and committed: applied touchpoints, duplicates, dead letters, and forwarded touchpoints that are not applied yet.",
        |out| out.sum(&[], |report| report.tally.consumed),
    ),
    counter("lifecycle_touchpoints_applied_total", "", "Touchpoints applied to facts.", |out| {
        out.sum(&[], |report| report.tally.applied)
    }),
    counter("lifecycle_touchpoints_duplicate_total", "", "Touchpoints dropped as duplicates.", |out| {
        out.sum(&[], |report| report.tally.duplicates)
    }),
    counter(
        "lifecycle_touchpoints_late_total",
        "",
        "Applied touchpoints with an event time before the clock of their customer.",
        |out| out.sum(&[], |report| report.tally.late),
    ),
    counter(
        "lifecycle_touchpoints_unknown_type_total",
        "",
        "Applied touchpoints whose type is neither in the catalogue nor in a model.",
        |out| out.sum(&[], |report| report.tally.unknown_types),
    ),
    counter(
        "lifecycle_touchpoints_order_missing_total",
        "",
        "Applied cancellations and refunds without effect: of an order older than those kept per customer, or pushed out by \
         32 later ones whose order has not arrived either.",
        |out| out.sum(&[], |report| report.tally.orders_missing),
    ),
    counter("lifecycle_touchpoints_erased_total", "", "Touchpoints dropped because of an erasure.", |out| {
        out.sum(&[], |report| report.tally.older_than_erasure)
    }),
    counter(
        "lifecycle_touchpoints_wrong_key_total",
        "",
        "Touchpoints whose record key is not their customer id; the customer may be split over several partitions.",
        |out| out.sum(&[], |report| report.tally.wrong_keys),
    ),
    counter(
        "lifecycle_erasures_total",
        "result (removed, not_found, forwarded)",
        "Erasures that removed a customer (one for each partition that had a part of them), found none in the partition of the customer, or were forwarded to the other partitions.",
        |out| {
            out.sum(&[("result", "removed")], |report| report.tally.erased);
            out.sum(&[("result", "not_found")], |report| report.tally.erasures_not_found);
            out.sum(&[("result", "forwarded")], |report| report.tally.erasures_forwarded);
        },
    ),
    counter(
        "lifecycle_links_total",
        "result (merged, refused)",
        "Visitors and customers whose facts moved to a customer, and links without effect, with identity resolution.",
        |out| {
            out.sum(&[("result", "merged")], |report| report.tally.merged);
            out.sum(&[("result", "refused")], |report| report.tally.links_refused);
        },
    ),
    counter(
        "lifecycle_links_refused_total",
        "reason (blocked_id, customer_id, merged_id, shared_id, new_ids_max, merged_ids_max, not_merged, split_before, split_later)",
        "Links without effect, with identity resolution, by reason.",
        |out| {
            for reason in RefusalReason::ALL {
                out.sum(&[("reason", reason.as_str())], |report| report.links_refused[reason as usize]);
            }
        },
    ),
    counter(
        "lifecycle_touchpoints_forwarded_total",
        "",
        "Touchpoints forwarded to another id or partition, with identity resolution. They are applied there.",
        |out| out.sum(&[], |report| report.tally.forwarded),
    ),
    counter(
        "lifecycle_hand_overs_total",
        "kind (claim, facts, erase, touchpoint, redirect)",
        "Hand-overs written and committed: a customer claims a visitor, the facts of a visitor move, a customer was removed, a touchpoint is forwarded, facts have arrived.",
        |out| {
            for (index, kind) in HAND_OVER_KINDS.iter().enumerate() {
                out.sum(&[("kind", kind)], |report| report.hand_overs[index]);
            }
        },
    ),
    gauge(
        "lifecycle_hand_over_age_seconds",
        "partition",
        "Age of the oldest hand-over that was read and is not committed, by its Kafka timestamp; 0 when there is none.",
        |out| {
            out.by_partition(|it, at| {
                it.is_running.then(|| {
                    it.oldest_hand_over.map_or(0.0, |written_at| (at - written_at).max(Duration::ZERO).as_seconds())
                })
            })
        },
    ),
    gauge(
        "lifecycle_partition_stubs",
        "partition",
        "Ids without a customer of their own that state keeps: those that forward, and those that were shared, split, claimed \
        or erased.",
        |out| out.by_partition(|it, _| Some(float(it.stubs))),
    ),
    counter("lifecycle_dead_letters_total", "reason", "Records written to the dead-letter topic, by reason.", |out| {
        out.dead_letters()
    }),
    counter("lifecycle_touchpoint_bytes_total", "", "Bytes of the keys and values of consumed records.", |out| {
        out.sum(&[], |report| report.touchpoint_bytes)
    }),
    gauge("lifecycle_topic_partitions", "", "Partition count of the touchpoint topic.", |out| out.topic_partitions()),
    gauge("lifecycle_partitions_assigned", "", "Partitions assigned to this instance.", |out| {
        out.set(&[], float(out.scrape.partitions().count()))
    }),
    gauge("lifecycle_partition_position", "partition", "Offset of the next record to read.", |out| {
        out.by_partition(|it, _| it.is_running.then(|| float(it.position)))
    }),
    gauge(
        "lifecycle_partition_last_stable_offset",
        "partition",
        "Last stable offset: records behind it cannot be read until a producer's open transaction ends.",
        |out| out.by_partition(|it, _| it.last_stable_offset.map(float)),
    ),
    gauge(
        "lifecycle_partition_high_watermark",
        "partition",
        "High watermark: one past the last acknowledged record.",
        |out| out.by_partition(|it, _| it.high_watermark.map(float)),
    ),
    gauge(
        "lifecycle_lag_records",
        "partition",
        "Consumer lag in records up to the high watermark, including records behind an open transaction; absent while \
         the end offset is unknown.",
        |out| out.by_partition(|it, _| it.lag_records.map(float)),
    ),
    gauge(
        "lifecycle_lag_seconds",
        "partition",
        "How far the latest event time read is behind wall time; 0 when there is no lag.",
        |out| out.by_partition(|it, at| it.lag(at).map(Duration::as_seconds)),
    ),
    gauge(
        "lifecycle_partition_reached_timestamp_seconds",
        "partition",
        "Stream time: highest event time read.",
        |out| out.by_partition(|it, _| it.stream_time.map(epoch_seconds)),
    ),
    gauge(
        "lifecycle_partition_clock_timestamp_seconds",
        "partition",
        "Watermark up to which wake-ups of inactive customers may fire; absent while unknown. With `clock.source: \
         wall` it advances at least every 30 s on a partition without lag.",
        |out| out.by_partition(|it, _| it.watermark.map(epoch_seconds)),
    ),
    // Sources.
    counter("lifecycle_ingest_records_total", "source", "Records of a source read and committed.", |out| {
        out.sum_by_source(None, |report| report.consumed)
    }),
    counter(
        "lifecycle_ingest_touchpoints_total",
        "source",
        "Touchpoints of a source written to the touchpoint topic.",
        |out| out.sum_by_source(None, |report| report.touchpoints),
    ),
    counter(
        "lifecycle_ingest_dropped_total",
        "source, rule",
        "Records of a source without a touchpoint, by the rule that drops them.",
        |out| out.ingest_dropped(),
    ),
    counter(
        "lifecycle_ingest_dead_letters_total",
        "source, reason",
        "Records of a source written to the dead-letter topic, by reason.",
        |out| out.ingest_dead_letters(),
    ),
    counter(
        "lifecycle_ingest_commits_total",
        "source, result (committed, aborted, unknown)",
        "Transactions of the ingest workers by result, as in `lifecycle_commits_total`.",
        |out| {
            out.sum_by_source(Some(("result", "committed")), |report| report.commits);
            out.sum_by_source(Some(("result", "aborted")), |report| report.aborts);
            out.sum_by_source(Some(("result", "unknown")), |report| report.producer_resets);
        },
    ),
    gauge(
        "lifecycle_ingest_lag_records",
        "source, topic, partition",
        "Records of a source that are not read yet; absent while unknown.",
        |out| out.by_source_partition(|it| it.lag_records.map(float)),
    ),
    gauge(
        "lifecycle_ingest_waiting",
        "source, topic, partition",
        "1 while a partition of a source is paused because the schema registry does not answer, otherwise 0.",
        |out| out.by_source_partition(|it| Some(f64::from(it.is_waiting))),
    ),
    // Output.
    counter(
        "lifecycle_transitions_total",
        "model, kind (stage, signal, milestone, counter), name, cause (touchpoint, time), mode (live, replay, \
         reconcile)",
        "Transitions published.",
        |out| out.transitions(),
    ),
    counter(
        "lifecycle_stage_moves_total",
        "model, from, to",
        "Stage transitions published; an empty stage label means no stage.",
        |out| out.stage_moves(),
    ),
    gauge("lifecycle_customers", "model, stage", "Customers by stage; an empty stage label means no stage.", |out| {
        out.customers()
    }),
    counter(
        "lifecycle_records_written_total",
        "topic_kind (transitions, replay, changelog, dead_letters, touchpoints, current_stages, hand_overs)",
        "Records written and committed; those to the touchpoints topic are forwarded erasures.",
        |out| out.written(|volume| volume.records),
    ),
    counter(
        "lifecycle_bytes_written_total",
        "topic_kind (transitions, replay, changelog, dead_letters, touchpoints, current_stages, hand_overs)",
        "Bytes of the keys and values of records written and committed.",
        |out| out.written(|volume| volume.bytes),
    ),
    // Latency.
    histogram(
        "lifecycle_event_latency_seconds",
        "cause (touchpoint, time)",
        "Latency of live transitions until commit, from the `occurred_at` of the touchpoint or from the instant at \
         which time caused the transition (includes `clock.lateness`).",
        |out| {
            out.histogram(&[("cause", "touchpoint")], |measured| &measured.touchpoint_latency);
            out.histogram(&[("cause", "time")], |measured| &measured.time_latency);
        },
    ),
    histogram(
        "lifecycle_append_latency_seconds",
        "",
        "Latency from the Kafka timestamp of a consumed record until its results are committed.",
        |out| out.histogram(&[], |measured| &measured.append_latency),
    ),
    // Wake-ups.
    counter("lifecycle_wake_ups_total", "", "Wake-ups fired.", |out| out.sum(&[], |report| report.tally.wake_ups)),
    histogram(
        "lifecycle_wake_up_lateness_seconds",
        "",
        "Delay from the due time of a wake-up until its commit, minus `clock.lateness`; without replayed wake-ups \
         (see `publish.fresh_for`).",
        |out| out.histogram(&[], |measured| &measured.wake_up_lateness),
    ),
    gauge(
        "lifecycle_wake_up_overdue_seconds",
        "",
        "Upper bound of how long the earliest due wake-up has been waiting, minus `clock.lateness`; 0 when none is \
         due. Restoring partitions are excluded. While a partition lags, a postponed wake-up counts from its old due \
         time.",
        |out| out.set(&[], out.scrape.overdue_seconds()),
    ),
    gauge("lifecycle_partition_wake_ups_pending", "partition", "Wake-ups pending.", |out| {
        out.by_partition(|it, _| Some(float(it.wake_ups)))
    }),
    // Commits.
    counter(
        "lifecycle_commits_total",
        "result (committed, aborted, unknown)",
        "Transactions by result: committed, aborted and retried, or with an unknown outcome that had to be resolved.",
        |out| {
            out.sum(&[("result", "committed")], |report| report.commits);
            out.sum(&[("result", "aborted")], |report| report.aborts);
            out.sum(&[("result", "unknown")], |report| report.producer_resets);
        },
    ),
    histogram("lifecycle_commit_duration_seconds", "", "Duration of a transaction from begin to commit.", |out| {
        out.histogram(&[], |measured| &measured.commit_duration)
    }),
    histogram("lifecycle_batch_touchpoints", "", "Records consumed per transaction.", |out| {
        out.histogram(&[], |measured| &measured.batch_touchpoints)
    }),
    gauge("lifecycle_last_commit_timestamp_seconds", "worker", "Time of the worker's last commit.", |out| {
        out.by_worker(|it| it.report.last_commit_at.map(epoch_seconds))
    }),
    gauge("lifecycle_aborts_in_a_row", "worker", "Failed transactions since the last committed one.", |out| {
        out.by_worker(|it| Some(float(it.status.consecutive_failures)))
    }),
    counter(
        KAFKA_ERRORS,
        "reaction (retry, abort, reset_producer, fatal), code",
        "Errors of the Kafka client by reaction and librdkafka error code.",
        |_| (),
    ),
    counter(
        "lifecycle_worker_seconds_total",
        "worker, activity (poll, apply, commit, restore, idle)",
        "Time spent by the worker's thread per activity; all activities except idle are busy time.",
        |out| out.worker_seconds(),
    ),
    // State.
    gauge("lifecycle_partition_customers", "partition", "Customers in state.", |out| {
        out.by_partition(|it, _| Some(float(it.customers)))
    }),
    gauge("lifecycle_partition_state_bytes", "partition", "Memory used by the state.", |out| {
        out.by_partition(|it, _| Some(float(it.bytes)))
    }),
    gauge(
        "lifecycle_state_limit_bytes",
        "",
        "`state.max_bytes`: consumption pauses when the state of this instance exceeds it.",
        |out| out.set(&[], float(out.scrape.metrics.state_limit_bytes)),
    ),
    counter(
        "lifecycle_customers_removed_total",
        "reason (silence, erasure)",
        "Customers removed: inactive for `state.forget_after`, or erased on request.",
        |out| {
            out.sum(&[("reason", "silence")], |report| report.tally.forgotten);
            out.sum(&[("reason", "erasure")], |report| report.tally.erased);
        },
    ),
    counter("lifecycle_changelog_sweeps_total", "", "Changelog sweeps started.", |out| {
        out.sum(&[], |report| report.sweeps)
    }),
    counter(
        "lifecycle_changelog_truncations_total",
        "result (done, failed)",
        "Changelog truncations; failed ones are retried.",
        |out| {
            out.sum(&[("result", "done")], |report| report.truncations);
            out.sum(&[("result", "failed")], |report| report.truncations_failed);
        },
    ),
    // Group and restore.
    counter(
        "lifecycle_partitions_rebalanced_total",
        "event (gained, revoked, lost)",
        "Partitions assigned (gained), revoked or lost in rebalances.",
        |out| {
            out.sum(&[("event", "gained")], |report| report.assigned);
            out.sum(&[("event", "revoked")], |report| report.revoked);
            out.sum(&[("event", "lost")], |report| report.lost);
        },
    ),
    histogram(
        "lifecycle_rebalance_duration_seconds",
        "",
        "Time from the assignment of a partition until it processes touchpoints.",
        |out| out.histogram(&[], |measured| &measured.rebalance_duration),
    ),
    gauge("lifecycle_partitions_restoring", "", "Partitions being restored.", |out| {
        out.set(&[], float(out.scrape.restoring().count()))
    }),
    counter("lifecycle_customers_restored_total", "", "Customers restored from the changelog.", |out| {
        out.sum(&[], |report| report.restored)
    }),
    gauge("lifecycle_restore_remaining_records", "partition", "Changelog records still to be restored.", |out| {
        out.by_partition(|it, _| Some(it.restore.map_or(0.0, |restore| float(restore.remaining_records))))
    }),
    gauge(
        "lifecycle_restore_eta_seconds",
        "",
        "Estimated remaining time of the restores in progress; 0 when there are none.",
        |out| out.set(&[], out.scrape.restore_eta_seconds()),
    ),
    histogram("lifecycle_restore_duration_seconds", "", "Duration of restoring a partition.", |out| {
        out.histogram(&[], |measured| &measured.restore_duration)
    }),
    // HTTP.
    counter(HTTP_REQUESTS, "path, code", "HTTP requests by route and status code.", |_| ()),
    histogram(HTTP_DURATION, "path", "Duration of HTTP requests.", |_| ()),
    // The process.
    gauge("process_resident_memory_bytes", "", "Resident memory of the process.", |out| {
        out.process(|stats| stats.resident_bytes)
    }),
    counter("process_cpu_seconds_total", "", "CPU time of the process.", |out| out.cpu_seconds()),
    gauge("process_start_time_seconds", "", "Start time of the process.", |out| {
        out.process(|stats| stats.started_at_seconds)
    }),
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
