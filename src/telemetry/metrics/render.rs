//! Renders all metrics for a scrape, in the groups of the catalogue.

use std::sync::atomic::Ordering;

use crate::lifecycle::model::Model;
use crate::lifecycle::transition_builder::UNNAMED_MOVE;
use crate::partition::DeadLetterReason;
use crate::telemetry::{catalogue, log_writer, process};

use super::exposition::Exposition;
use super::{
    ACTIVITIES, Counts, Metrics, ModelNames, PartitionGauges, REACTIONS, STATES, StageMove, TOPIC_KINDS,
    TransitionLabels, WorkerGauges, lock,
};

/// Maximum number of stages for which all moves of a model are exported from the start, at zero. A model with more
/// stages exports only the moves that have happened.
const INITIALIZED_STAGES_MAX: usize = 16;

impl Metrics {
    /// Renders all metrics in the Prometheus text format.
    #[must_use]
    pub fn render(&self, is_ready: bool) -> String {
        let snapshots = lock(&self.workers).clone();
        let (mut counts, mut workers) = (Counts::default(), Vec::new());
        for (worker, (of_worker, gauges)) in snapshots {
            counts.add(&of_worker);
            workers.push((worker.to_string(), gauges));
        }
        let mut partitions: Vec<_> = workers.iter().flat_map(|(_, gauges)| &gauges.partitions).collect();
        partitions.sort_by_key(|partition| partition.partition);
        let mut page = Exposition::default();
        self.instance(is_ready, &partitions, &mut page);
        input(&counts, &workers, &partitions, &mut page);
        self.output(&mut counts, &partitions, &mut page);
        wake_ups(&counts, &partitions, &mut page);
        self.commits(&counts, &workers, &mut page);
        self.state(&counts, &partitions, &mut page);
        group(&counts, &partitions, &mut page);
        self.http(&mut page);
        page.finish()
    }

    fn instance(&self, is_ready: bool, partitions: &[&PartitionGauges], page: &mut Exposition) {
        page.metric(catalogue::BUILD_INFO).series(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.metric(catalogue::MODEL_INFO);
        for model in &self.models {
            page.series(&[("model", &model.name), ("version", &model.version)], 1);
        }
        let state = if self.is_stopping.load(Ordering::Relaxed) {
            "stopping"
        } else if partitions.iter().any(|partition| partition.is_restoring) {
            "restoring"
        } else if is_ready || !partitions.is_empty() {
            "running"
        } else {
            "starting"
        };
        page.metric(catalogue::STATE);
        for name in STATES {
            page.series(&[("state", name)], u8::from(name == state));
        }
        page.metric(catalogue::READY).series(&[], u8::from(is_ready));
        page.metric(catalogue::LOG_LINES_LOST).series(&[], log_writer::lost_lines());
        if let Some(stats) = process::read_stats() {
            page.metric(catalogue::RESIDENT).series(&[], stats.resident_bytes);
            page.metric(catalogue::CPU).series(&[], stats.processor_seconds);
            page.metric(catalogue::STARTED).series(&[], stats.started_at_seconds);
        }
    }

    fn output(&self, counts: &mut Counts, partitions: &[&PartitionGauges], page: &mut Exposition) {
        for (index, model) in self.models.iter().enumerate() {
            model.init_series(index, counts);
        }
        let name = |model: usize| self.models.get(model).map_or("", |model| &*model.name);
        page.metric(catalogue::TRANSITIONS);
        for (group, count) in &counts.transitions {
            let labels = [
                ("model", name(group.model)),
                ("kind", group.kind),
                ("name", &*group.name),
                ("cause", group.cause),
                ("mode", group.mode),
            ];
            page.series(&labels, count);
        }
        page.metric(catalogue::STAGE_MOVES);
        for (of, count) in &counts.moves {
            let stage = |stage: Option<usize>| {
                stage.and_then(|stage| self.models.get(of.model)?.stages.get(stage)).map_or("", |name| &**name)
            };
            page.series(&[("model", name(of.model)), ("from", stage(of.from)), ("to", stage(of.to))], count);
        }
        page.metric(catalogue::CUSTOMERS);
        for (index, model) in self.models.iter().enumerate() {
            for (stage_index, stage) in model.stages.iter().map(String::as_str).chain([""]).enumerate() {
                let count = |of: &&PartitionGauges| of.stage_counts.get(index)?.get(stage_index).copied();
                let total: u64 = partitions.iter().filter_map(count).sum();
                page.series(&[("model", &model.name), ("stage", stage)], total);
            }
        }
        page.metric(catalogue::RECORDS_WRITTEN);
        for (kind, volume) in TOPIC_KINDS.iter().zip(counts.written) {
            page.series(&[("topic_kind", kind)], volume.records);
        }
        page.metric(catalogue::BYTES_WRITTEN);
        for (kind, volume) in TOPIC_KINDS.iter().zip(counts.written) {
            page.series(&[("topic_kind", kind)], volume.bytes);
        }
        page.metric(catalogue::EVENT_LATENCY)
            .histogram(&[("cause", "touchpoint")], &counts.measured.touchpoint_latency)
            .histogram(&[("cause", "time")], &counts.measured.time_latency);
        page.metric(catalogue::APPEND_LATENCY).histogram(&[], &counts.measured.append_latency);
    }

    fn commits(&self, counts: &Counts, workers: &[(String, WorkerGauges)], page: &mut Exposition) {
        page.metric(catalogue::COMMITS)
            .series(&[("result", "committed")], counts.committed)
            .series(&[("result", "aborted")], counts.aborted)
            .series(&[("result", "unknown")], counts.unknown_outcomes);
        page.metric(catalogue::COMMIT_DURATION).histogram(&[], &lock(&self.commit_duration));
        page.metric(catalogue::BATCH_TOUCHPOINTS).histogram(&[], &counts.measured.batch_touchpoints);
        page.metric(catalogue::LAST_COMMIT);
        for (worker, gauges) in workers {
            if let Some(seconds) = gauges.last_commit_seconds {
                page.series(&[("worker", worker)], seconds);
            }
        }
        page.metric(catalogue::ABORTS_IN_A_ROW);
        for (worker, gauges) in workers {
            page.series(&[("worker", worker)], gauges.consecutive_failures);
        }
        page.metric(catalogue::KAFKA_ERRORS);
        let errors = lock(&self.kafka_errors).clone();
        for reaction in REACTIONS {
            // Error codes are not known in advance; a series without code exports each reaction at zero.
            page.series(&[("reaction", reaction), ("code", "")], 0);
        }
        for ((reaction, code), count) in &errors {
            page.series(&[("reaction", reaction), ("code", code)], count);
        }
        page.metric(catalogue::WORKER_SECONDS);
        for (worker, gauges) in workers {
            for (activity, duration) in ACTIVITIES.iter().zip(gauges.activities) {
                page.series(&[("worker", worker), ("activity", activity)], duration.as_secs_f64());
            }
        }
    }

    fn state(&self, counts: &Counts, partitions: &[&PartitionGauges], page: &mut Exposition) {
        by_partition(catalogue::PARTITION_CUSTOMERS, partitions, page, |of| Some(of.customers));
        by_partition(catalogue::PARTITION_BYTES, partitions, page, |of| Some(of.bytes));
        page.metric(catalogue::STATE_LIMIT).series(&[], self.state_limit_bytes);
        page.metric(catalogue::REMOVED)
            .series(&[("reason", "silence")], counts.tally.forgotten)
            .series(&[("reason", "erasure")], counts.tally.erased);
        page.metric(catalogue::SWEEPS).series(&[], counts.sweeps);
        page.metric(catalogue::TRUNCATIONS)
            .series(&[("result", "done")], counts.truncated)
            .series(&[("result", "failed")], counts.truncations_failed);
    }

    fn http(&self, page: &mut Exposition) {
        let http = lock(&self.http);
        page.metric(catalogue::HTTP_REQUESTS);
        for ((path, status), count) in &http.responses {
            page.series(&[("path", path), ("code", &status.to_string())], count);
        }
        page.metric(catalogue::HTTP_DURATION);
        for (path, durations) in &http.durations {
            page.histogram(&[("path", path)], durations);
        }
    }
}

fn input(counts: &Counts, workers: &[(String, WorkerGauges)], partitions: &[&PartitionGauges], page: &mut Exposition) {
    page.metric(catalogue::CONSUMED).series(&[], counts.tally.consumed);
    page.metric(catalogue::APPLIED).series(&[], counts.tally.applied);
    page.metric(catalogue::DUPLICATES).series(&[], counts.tally.duplicates);
    page.metric(catalogue::LATE).series(&[], counts.tally.late);
    page.metric(catalogue::UNKNOWN_TYPES).series(&[], counts.tally.unknown_types);
    page.metric(catalogue::DEAD_LETTERS);
    for reason in DeadLetterReason::ALL {
        let count = counts.dead_letters.get(&reason).copied().unwrap_or_default();
        page.series(&[("reason", reason.as_str())], count);
    }
    page.metric(catalogue::TOUCHPOINT_BYTES).series(&[], counts.touchpoint_bytes);
    page.metric(catalogue::TOPIC_PARTITIONS);
    if let Some(topic_partitions) = workers.iter().filter_map(|(_, gauges)| gauges.topic_partitions).max() {
        page.series(&[], topic_partitions);
    }
    page.metric(catalogue::PARTITIONS).series(&[], partitions.len());
    by_partition(catalogue::POSITION, partitions, page, |of| (!of.is_restoring).then_some(of.position));
    by_partition(catalogue::LAG_RECORDS, partitions, page, |of| of.lag_records);
    by_partition(catalogue::LAG_SECONDS, partitions, page, |of| of.lag_seconds);
    by_partition(catalogue::STREAM_TIME, partitions, page, |of| of.stream_time_seconds);
    by_partition(catalogue::WATERMARK, partitions, page, |of| of.watermark_seconds);
}

fn wake_ups(counts: &Counts, partitions: &[&PartitionGauges], page: &mut Exposition) {
    page.metric(catalogue::WAKE_UPS).series(&[], counts.tally.wake_ups);
    page.metric(catalogue::WAKE_UP_LATENESS).histogram(&[], &counts.measured.wake_up_lateness);
    let overdue = partitions.iter().map(|partition| partition.overdue_seconds).fold(0.0, f64::max);
    page.metric(catalogue::WAKE_UP_OVERDUE).series(&[], overdue);
    by_partition(catalogue::PARTITION_WAKE_UPS, partitions, page, |of| Some(of.wake_ups));
}

fn group(counts: &Counts, partitions: &[&PartitionGauges], page: &mut Exposition) {
    page.metric(catalogue::REBALANCED)
        .series(&[("event", "gained")], counts.assigned)
        .series(&[("event", "revoked")], counts.revoked)
        .series(&[("event", "lost")], counts.lost);
    page.metric(catalogue::REBALANCE_DURATION).histogram(&[], &counts.measured.rebalance_duration);
    let restoring = || partitions.iter().filter(|partition| partition.is_restoring);
    page.metric(catalogue::PARTITIONS_RESTORING).series(&[], restoring().count());
    page.metric(catalogue::RESTORED).series(&[], counts.restored);
    by_partition(catalogue::RESTORE_REMAINING, partitions, page, |of| Some(of.restore_remaining));
    let etas = restoring().filter_map(|partition| partition.restore_eta_seconds);
    page.metric(catalogue::RESTORE_ETA).series(&[], etas.fold(0.0, f64::max));
    page.metric(catalogue::RESTORE_DURATION).histogram(&[], &counts.measured.restore_duration);
}

fn by_partition<T: std::fmt::Display>(
    name: &'static str,
    partitions: &[&PartitionGauges],
    page: &mut Exposition,
    value: impl Fn(&PartitionGauges) -> Option<T>,
) {
    page.metric(name);
    for partition in partitions {
        if let Some(value) = value(partition) {
            page.series(&[("partition", &partition.partition.to_string())], value);
        }
    }
}

impl ModelNames {
    pub(super) fn of(model: &Model) -> Self {
        let published = (model.moves.iter().map(|rule| ("stage", rule.name.clone())))
            .chain([("stage", UNNAMED_MOVE.into())])
            .chain(model.signals.iter().map(|signal| ("signal", signal.name.clone())))
            .chain(model.milestones.iter().map(|milestone| ("milestone", milestone.name.clone())))
            .chain(model.counters.iter().map(|counter| ("counter", counter.name.clone())));
        Self {
            name: model.name.to_string(),
            version: model.version.to_string(),
            stages: model.stages.iter().map(|stage| stage.name.to_string()).collect(),
            published: published.collect(),
        }
    }

    /// Initialises the series of all transitions that the model can publish to zero, so that `increase()` includes the
    /// first transition.
    fn init_series(&self, model: usize, counts: &mut Counts) {
        for (kind, name) in &self.published {
            for (cause, mode) in [
                ("touchpoint", "live"),
                ("time", "live"),
                ("touchpoint", "replay"),
                ("time", "replay"),
                ("time", "reconcile"),
            ] {
                let labels = TransitionLabels { model, kind, name: name.clone(), cause, mode };
                counts.transitions.entry(labels).or_default();
            }
        }
        if self.stages.len() <= INITIALIZED_STAGES_MAX {
            let stages = || (0..self.stages.len()).map(Some).chain([None]);
            for (from, to) in stages().flat_map(|from| stages().map(move |to| (from, to))) {
                if from != to {
                    counts.moves.entry(StageMove { model, from, to }).or_default();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::fact::Layout;
    use crate::lifecycle::id::StableId;
    use crate::lifecycle::model_set::ModelSet;
    use crate::lifecycle::vocabulary::Vocabulary;
    use crate::partition::Tally;
    use crate::telemetry::catalogue::METRICS;
    use std::time::Duration;

    fn metrics() -> Metrics {
        let models = ModelSet::new(Vocabulary::default(), Layout::default(), Vec::new(), StableId(0));
        Metrics::new(&models, 1 << 30)
    }

    fn value(page: &str, series: &str) -> Option<f64> {
        page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    fn with(partitions: Vec<PartitionGauges>) -> WorkerGauges {
        WorkerGauges { partitions, ..WorkerGauges::default() }
    }

    #[test]
    fn every_metric_of_the_catalogue_is_rendered_and_no_other() {
        let page = metrics().render(true);
        let mut rendered: Vec<_> =
            page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        rendered.sort_unstable();
        let mut described: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        described.sort_unstable();
        assert_eq!(rendered, described);
        assert!(!page.contains("summary"), "{page}");
    }

    #[test]
    fn counters_are_summed_over_workers() {
        let metrics = metrics();
        let tally = Tally { consumed: 3, applied: 2, duplicates: 0, ..Tally::default() };
        let dead_letters = [(DeadLetterReason::NotJson, 1)].into();
        let counts = Counts { tally, dead_letters, committed: 1, ..Counts::default() };
        metrics.set_worker(0, counts.clone(), WorkerGauges::default());
        metrics.set_worker(1, counts.clone(), WorkerGauges::default());
        metrics.set_worker(1, counts, WorkerGauges::default());
        let page = metrics.render(true);
        assert_eq!(value(&page, "lifecycle_touchpoints_consumed_total "), Some(6.0));
        assert_eq!(value(&page, "lifecycle_dead_letters_total{reason=\"not_json\"} "), Some(2.0));
        assert_eq!(value(&page, "lifecycle_dead_letters_total{reason=\"empty\"} "), Some(0.0));
        assert_eq!(value(&page, "lifecycle_commits_total{result=\"committed\"} "), Some(2.0));
    }

    #[test]
    fn series_of_a_partition_disappear_with_it() {
        let metrics = metrics();
        let of = |partition, customers| PartitionGauges { partition, customers, ..PartitionGauges::default() };
        metrics.set_worker(0, Counts::default(), with(vec![of(3, 10), of(1, 20)]));
        let page = metrics.render(true);
        assert_eq!(value(&page, "lifecycle_partition_customers{partition=\"3\"} "), Some(10.0));
        assert_eq!(value(&page, "lifecycle_partitions_assigned "), Some(2.0));
        metrics.set_worker(0, Counts::default(), with(vec![of(1, 20)]));
        let page = metrics.render(false);
        assert!(!page.contains("partition=\"3\""), "{page}");
        assert_eq!(value(&page, "lifecycle_ready "), Some(0.0));
    }

    #[test]
    fn the_state_goes_from_starting_to_stopping() {
        let metrics = metrics();
        let state = |is_ready| {
            let page = metrics.render(is_ready);
            let on = page.lines().filter(|line| line.starts_with("lifecycle_service_state{") && line.ends_with(" 1"));
            on.map(str::to_owned).collect::<Vec<_>>().join(";")
        };
        assert!(state(false).contains("starting"));
        let of = |is_restoring| PartitionGauges { is_restoring, ..PartitionGauges::default() };
        metrics.set_worker(0, Counts::default(), with(vec![of(false), of(true)]));
        assert!(state(false).contains("restoring"));
        metrics.set_worker(0, Counts::default(), with(vec![of(false)]));
        assert!(state(true).contains("running"));
        metrics.set_stopping();
        assert_eq!(state(true), "lifecycle_service_state{state=\"stopping\"} 1");
    }

    #[test]
    fn the_maximum_over_partitions_is_exported() {
        let metrics = metrics();
        let of = |overdue_seconds, restore_eta_seconds| PartitionGauges {
            overdue_seconds,
            restore_eta_seconds,
            is_restoring: restore_eta_seconds.is_some(),
            ..PartitionGauges::default()
        };
        metrics.set_worker(0, Counts::default(), with(vec![of(3.0, None), of(0.0, Some(7.5)), of(1.0, Some(2.0))]));
        let page = metrics.render(false);
        assert_eq!(value(&page, "lifecycle_wake_up_overdue_seconds "), Some(3.0));
        assert_eq!(value(&page, "lifecycle_restore_eta_seconds "), Some(7.5));
    }

    #[test]
    fn responses_are_counted_by_route_and_status() {
        let metrics = metrics();
        metrics.init_routes(["/livez"]);
        assert_eq!(
            value(&metrics.render(true), "lifecycle_http_requests_total{path=\"/livez\",code=\"200\"} "),
            Some(0.0)
        );
        metrics.observe_response("/livez", 503, Duration::from_millis(3));
        let page = metrics.render(true);
        assert_eq!(value(&page, "lifecycle_http_requests_total{path=\"/livez\",code=\"503\"} "), Some(1.0));
        let bucket = "lifecycle_http_request_duration_seconds_bucket{path=\"/livez\",le=\"0.005\"} ";
        assert_eq!(value(&page, bucket), Some(1.0));
    }

    #[test]
    fn client_errors_are_counted_by_reaction() {
        let metrics = metrics();
        metrics.count_kafka_error("abort", "IllegalGeneration");
        metrics.count_kafka_error("abort", "IllegalGeneration");
        let series = "lifecycle_kafka_errors_total{reaction=\"abort\",code=\"IllegalGeneration\"} ";
        assert_eq!(value(&metrics.render(true), series), Some(2.0));
    }
}
