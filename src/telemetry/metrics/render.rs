//! What a scrape says.

use std::sync::atomic::Ordering;

use crate::lifecycle::author::UNNAMED_MOVE;
use crate::lifecycle::model::Model;
use crate::partition::Reason;
use crate::telemetry::{catalogue, process};

use super::page::Page;
use super::{
    ACTIVITIES, Counts, Metrics, ModelNames, PartitionGauges, REACTIONS, STATES, StageMove, TOPIC_KINDS,
    TransitionSort, WorkerGauges, lock,
};

/// A model of at most so many stages has all its moves at zero from the start; of a larger one those that happened.
const STAGES_BEGUN_MAX: usize = 16;

impl Metrics {
    /// Everything, in the Prometheus text format.
    #[must_use]
    pub fn render(&self, is_ready: bool) -> String {
        let told = lock(&self.workers).clone();
        let (mut counts, mut workers) = (Counts::default(), Vec::new());
        for (worker, (of_worker, gauges)) in told {
            counts.add(&of_worker);
            workers.push((worker.to_string(), gauges));
        }
        let mut partitions: Vec<_> = workers.iter().flat_map(|(_, gauges)| &gauges.partitions).collect();
        partitions.sort_by_key(|partition| partition.partition);
        let mut page = Page::default();
        self.instance(is_ready, &partitions, &mut page);
        input(&counts, &workers, &partitions, &mut page);
        self.output(&mut counts, &partitions, &mut page);
        waiting(&counts, &partitions, &mut page);
        self.commits(&counts, &workers, &mut page);
        self.state(&counts, &partitions, &mut page);
        group(&counts, &partitions, &mut page);
        self.http(&mut page);
        page.finish()
    }

    fn instance(&self, is_ready: bool, partitions: &[&PartitionGauges], page: &mut Page) {
        page.open(catalogue::BUILD_INFO).series(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.open(catalogue::MODEL_INFO);
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
        page.open(catalogue::STATE);
        for name in STATES {
            page.series(&[("state", name)], u8::from(name == state));
        }
        page.open(catalogue::READY).series(&[], u8::from(is_ready));
        if let Some(figures) = process::figures() {
            page.open(catalogue::RESIDENT).series(&[], figures.resident_bytes);
            page.open(catalogue::CPU).series(&[], figures.processor_seconds);
            page.open(catalogue::STARTED).series(&[], figures.started_at_seconds);
        }
    }

    fn output(&self, counts: &mut Counts, partitions: &[&PartitionGauges], page: &mut Page) {
        for (index, model) in self.models.iter().enumerate() {
            model.begin(index, counts);
        }
        let name = |model: usize| self.models.get(model).map_or("", |model| &*model.name);
        page.open(catalogue::TRANSITIONS);
        for (sort, count) in &counts.transitions {
            let labels = [
                ("model", name(sort.model)),
                ("kind", sort.kind),
                ("name", &*sort.name),
                ("cause", sort.cause),
                ("mode", sort.mode),
            ];
            page.series(&labels, count);
        }
        page.open(catalogue::STAGE_MOVES);
        for (of, count) in &counts.moves {
            let stage = |stage: Option<usize>| {
                stage.and_then(|stage| self.models.get(of.model)?.stages.get(stage)).map_or("", |name| &**name)
            };
            page.series(&[("model", name(of.model)), ("from", stage(of.from)), ("to", stage(of.to))], count);
        }
        page.open(catalogue::CUSTOMERS);
        for (index, model) in self.models.iter().enumerate() {
            for (place, stage) in model.stages.iter().map(String::as_str).chain([""]).enumerate() {
                let count = |of: &&PartitionGauges| of.population.get(index)?.get(place).copied();
                let total: u64 = partitions.iter().filter_map(count).sum();
                page.series(&[("model", &model.name), ("stage", stage)], total);
            }
        }
        page.open(catalogue::RECORDS_WRITTEN);
        for (kind, volume) in TOPIC_KINDS.iter().zip(counts.written) {
            page.series(&[("topic_kind", kind)], volume.records);
        }
        page.open(catalogue::BYTES_WRITTEN);
        for (kind, volume) in TOPIC_KINDS.iter().zip(counts.written) {
            page.series(&[("topic_kind", kind)], volume.bytes);
        }
        page.open(catalogue::EVENT_LATENCY)
            .distribution(&[("cause", "touchpoint")], &counts.measured.touchpoint_latency)
            .distribution(&[("cause", "time")], &counts.measured.time_latency);
        page.open(catalogue::APPEND_LATENCY).distribution(&[], &counts.measured.append_latency);
    }

    fn commits(&self, counts: &Counts, workers: &[(String, WorkerGauges)], page: &mut Page) {
        page.open(catalogue::COMMITS)
            .series(&[("result", "committed")], counts.committed)
            .series(&[("result", "aborted")], counts.aborted)
            .series(&[("result", "renewed")], counts.renewed);
        page.open(catalogue::COMMIT_DURATION).distribution(&[], &lock(&self.commit_duration));
        page.open(catalogue::BATCH_TOUCHPOINTS).distribution(&[], &counts.measured.batch_touchpoints);
        page.open(catalogue::LAST_COMMIT);
        for (worker, gauges) in workers {
            if let Some(seconds) = gauges.last_commit_seconds {
                page.series(&[("worker", worker)], seconds);
            }
        }
        page.open(catalogue::ABORTS_IN_A_ROW);
        for (worker, gauges) in workers {
            page.series(&[("worker", worker)], gauges.aborts_in_a_row);
        }
        page.open(catalogue::KAFKA_ERRORS);
        let errors = lock(&self.kafka_errors).clone();
        for reaction in REACTIONS {
            // The code of the first error is not known before it; one that never comes keeps the reaction at zero.
            page.series(&[("reaction", reaction), ("code", "")], 0);
        }
        for ((reaction, code), count) in &errors {
            page.series(&[("reaction", reaction), ("code", code)], count);
        }
        page.open(catalogue::WORKER_SECONDS);
        for (worker, gauges) in workers {
            for (activity, length) in ACTIVITIES.iter().zip(gauges.activities) {
                page.series(&[("worker", worker), ("activity", activity)], length.as_secs_f64());
            }
        }
    }

    fn state(&self, counts: &Counts, partitions: &[&PartitionGauges], page: &mut Page) {
        by_partition(catalogue::PARTITION_CUSTOMERS, partitions, page, |of| Some(of.customers));
        by_partition(catalogue::PARTITION_BYTES, partitions, page, |of| Some(of.bytes));
        page.open(catalogue::STATE_LIMIT).series(&[], self.state_limit_bytes);
        page.open(catalogue::REMOVED)
            .series(&[("reason", "silence")], counts.tally.forgotten)
            .series(&[("reason", "erasure")], counts.tally.erased);
        page.open(catalogue::SWEEPS).series(&[], counts.sweeps);
        page.open(catalogue::TRUNCATIONS)
            .series(&[("result", "done")], counts.truncated)
            .series(&[("result", "failed")], counts.truncations_failed);
    }

    fn http(&self, page: &mut Page) {
        let http = lock(&self.http);
        page.open(catalogue::HTTP_REQUESTS);
        for ((path, status), count) in &http.answers {
            page.series(&[("path", path), ("code", &status.to_string())], count);
        }
        page.open(catalogue::HTTP_DURATION);
        for (path, durations) in &http.durations {
            page.distribution(&[("path", path)], durations);
        }
    }
}

fn input(counts: &Counts, workers: &[(String, WorkerGauges)], partitions: &[&PartitionGauges], page: &mut Page) {
    page.open(catalogue::CONSUMED).series(&[], counts.tally.consumed);
    page.open(catalogue::APPLIED).series(&[], counts.tally.applied);
    page.open(catalogue::DUPLICATES).series(&[], counts.tally.duplicates);
    page.open(catalogue::LATE).series(&[], counts.tally.late);
    page.open(catalogue::UNKNOWN_TYPES).series(&[], counts.tally.unknown_types);
    page.open(catalogue::DEAD_LETTERS);
    for reason in Reason::ALL {
        let count = counts.dead_letters.get(&reason).copied().unwrap_or_default();
        page.series(&[("reason", reason.as_str())], count);
    }
    page.open(catalogue::TOUCHPOINT_BYTES).series(&[], counts.touchpoint_bytes);
    page.open(catalogue::TOPIC_PARTITIONS);
    if let Some(topic_partitions) = workers.iter().filter_map(|(_, gauges)| gauges.topic_partitions).max() {
        page.series(&[], topic_partitions);
    }
    page.open(catalogue::PARTITIONS).series(&[], partitions.len());
    by_partition(catalogue::POSITION, partitions, page, |of| (!of.is_restoring).then_some(of.position));
    by_partition(catalogue::LAG_RECORDS, partitions, page, |of| of.lag_records);
    by_partition(catalogue::LAG_SECONDS, partitions, page, |of| of.lag_seconds);
    by_partition(catalogue::REACHED, partitions, page, |of| of.reached_seconds);
    by_partition(catalogue::CLOCK, partitions, page, |of| of.clock_seconds);
}

fn waiting(counts: &Counts, partitions: &[&PartitionGauges], page: &mut Page) {
    page.open(catalogue::WAKE_UPS).series(&[], counts.tally.wake_ups);
    page.open(catalogue::WAKE_UP_LATENESS).distribution(&[], &counts.measured.wake_up_lateness);
    let overdue = partitions.iter().map(|partition| partition.overdue_seconds).fold(0.0, f64::max);
    page.open(catalogue::WAKE_UP_OVERDUE).series(&[], overdue);
    by_partition(catalogue::PARTITION_WAKE_UPS, partitions, page, |of| Some(of.wake_ups));
}

fn group(counts: &Counts, partitions: &[&PartitionGauges], page: &mut Page) {
    page.open(catalogue::REBALANCED)
        .series(&[("event", "gained")], counts.gained)
        .series(&[("event", "revoked")], counts.revoked)
        .series(&[("event", "lost")], counts.lost);
    page.open(catalogue::REBALANCE_DURATION).distribution(&[], &counts.measured.rebalance_duration);
    let restoring = || partitions.iter().filter(|partition| partition.is_restoring);
    page.open(catalogue::PARTITIONS_RESTORING).series(&[], restoring().count());
    page.open(catalogue::RESTORED).series(&[], counts.restored);
    by_partition(catalogue::RESTORE_REMAINING, partitions, page, |of| Some(of.restore_remaining));
    let etas = restoring().filter_map(|partition| partition.restore_eta_seconds);
    page.open(catalogue::RESTORE_ETA).series(&[], etas.fold(0.0, f64::max));
    page.open(catalogue::RESTORE_DURATION).distribution(&[], &counts.measured.restore_duration);
}

fn by_partition<T: std::fmt::Display>(
    name: &'static str,
    partitions: &[&PartitionGauges],
    page: &mut Page,
    value: impl Fn(&PartitionGauges) -> Option<T>,
) {
    page.open(name);
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

    /// Puts what the model may publish at zero, so that the first of each is an increase.
    fn begin(&self, model: usize, counts: &mut Counts) {
        for (kind, name) in &self.published {
            for (cause, mode) in [
                ("touchpoint", "live"),
                ("time", "live"),
                ("touchpoint", "replay"),
                ("time", "replay"),
                ("time", "reconcile"),
            ] {
                let sort = TransitionSort { model, kind, name: name.clone(), cause, mode };
                counts.transitions.entry(sort).or_default();
            }
        }
        if self.stages.len() <= STAGES_BEGUN_MAX {
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
    fn what_is_counted_adds_up_over_workers() {
        let metrics = metrics();
        let tally = Tally { consumed: 3, applied: 2, duplicates: 0, ..Tally::default() };
        let dead_letters = [(Reason::NotJson, 1)].into();
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
    fn series_of_a_partition_vanish_with_it() {
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
        metrics.begin_stopping();
        assert_eq!(state(true), "lifecycle_service_state{state=\"stopping\"} 1");
    }

    #[test]
    fn the_longest_wait_counts() {
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
    fn answers_are_counted_by_route_and_status() {
        let metrics = metrics();
        metrics.begin_routes(["/livez"]);
        assert_eq!(
            value(&metrics.render(true), "lifecycle_http_requests_total{path=\"/livez\",code=\"200\"} "),
            Some(0.0)
        );
        metrics.answered("/livez", 503, Duration::from_millis(3));
        let page = metrics.render(true);
        assert_eq!(value(&page, "lifecycle_http_requests_total{path=\"/livez\",code=\"503\"} "), Some(1.0));
        let bucket = "lifecycle_http_request_duration_seconds_bucket{path=\"/livez\",le=\"0.005\"} ";
        assert_eq!(value(&page, bucket), Some(1.0));
    }

    #[test]
    fn errors_of_the_client_are_counted_by_what_was_done_about_them() {
        let metrics = metrics();
        metrics.kafka_failed("abort", "IllegalGeneration");
        metrics.kafka_failed("abort", "IllegalGeneration");
        let series = "lifecycle_kafka_errors_total{reaction=\"abort\",code=\"IllegalGeneration\"} ";
        assert_eq!(value(&metrics.render(true), series), Some(2.0));
    }
}
