//! Every metric in one struct, counted once per batch and rendered for a scrape.
//!
//! Counters and histograms live for as long as the process. What belongs to a partition is rendered from the table of
//! those assigned now, so that it vanishes with the partition and two instances never report the same one.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use metrics::{Counter, Histogram, Label, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::lifecycle::model_set::ModelSet;
use crate::partition::{Reason, Tally};

use super::catalogue::{self, Description, Kind, METRICS};
use super::process;

/// From a millisecond, where commits are, to half a minute, where timeouts are.
const COMMIT_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Every metric.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    consumed: Counter,
    applied: Counter,
    duplicates: Counter,
    late: Counter,
    unknown_types: Counter,
    wake_ups: Counter,
    dead_letters: HashMap<Reason, Counter>,
    committed: Counter,
    aborted: Counter,
    renewed: Counter,
    gained: Counter,
    revoked: Counter,
    lost: Counter,
    restored: Counter,
    sweeps: Counter,
    truncated: Counter,
    truncations_failed: Counter,
    commit_duration: Histogram,
    /// Of each model: its name, its version and its stages.
    models: Vec<(String, u32, Vec<String>)>,
    state_limit_bytes: usize,
    workers: Mutex<BTreeMap<usize, WorkerGauges>>,
}

/// What a worker has done since it was last counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Touchpoints and wake-ups.
    pub tally: Tally,
    /// Dead letters, by reason.
    pub dead_letters: Vec<(Reason, u64)>,
    /// Transitions published.
    pub transitions: Vec<TransitionCount>,
    /// Transactions committed.
    pub committed: u64,
    /// Transactions that came to nothing.
    pub aborted: u64,
    /// Transactions whose outcome had to be looked up.
    pub renewed: u64,
    /// Partitions gained.
    pub gained: u64,
    /// Partitions revoked.
    pub revoked: u64,
    /// Partitions lost.
    pub lost: u64,
    /// Customers read back from the changelog.
    pub restored: u64,
    /// Sweeps begun.
    pub sweeps: u64,
    /// Heads of the changelog deleted.
    pub truncated: u64,
    /// Heads of the changelog that could not be deleted.
    pub truncations_failed: u64,
}

/// How many transitions of one name were published.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TransitionCount {
    /// Which model's, by index.
    pub model: usize,
    /// As published: `stage`.
    pub kind: &'static str,
    /// As published: `at_risk_of_churn`.
    pub name: Box<str>,
    /// What caused them: `touchpoint` or `time`.
    pub cause: &'static str,
    /// On which occasion: `live`.
    pub mode: &'static str,
    /// How many.
    pub count: u64,
}

/// What a worker has now.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct WorkerGauges {
    /// Wall time of the last commit, in seconds since the epoch; `None` before the first.
    pub last_commit_seconds: Option<f64>,
    /// Whether all its partitions are worked on.
    pub is_ready: bool,
    /// Its partitions.
    pub partitions: Vec<PartitionGauges>,
}

/// What is known of an assigned partition.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PartitionGauges {
    /// Which one.
    pub partition: i32,
    /// Whether its customers are still being read back.
    pub is_restoring: bool,
    /// Records not yet read, if known.
    pub lag_records: Option<u64>,
    /// How far the latest touchpoint read lies behind wall time, if known.
    pub lag_seconds: Option<f64>,
    /// Customers kept.
    pub customers: usize,
    /// Memory that they take.
    pub bytes: usize,
    /// Customers that wait for time.
    pub wake_ups: usize,
    /// Customers by model and stage; the last number of a model counts those in no stage.
    pub population: Vec<Vec<u64>>,
}

impl Metrics {
    /// Metrics of a service that runs `models` and may fill `state_limit_bytes`; everything is at zero.
    ///
    /// # Panics
    /// Never: the buckets are constant and not empty.
    #[must_use]
    pub fn new(models: &ModelSet, state_limit_bytes: usize) -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(catalogue::COMMIT_DURATION.to_owned()), COMMIT_SECONDS)
            .expect("the buckets are not empty")
            .build_recorder();
        let names = |models: &ModelSet| {
            let stages =
                |stages: &[crate::lifecycle::model::Stage]| stages.iter().map(|stage| stage.name.to_string()).collect();
            models.models.iter().map(|model| (model.name.to_string(), model.version, stages(&model.stages))).collect()
        };
        let register = || {
            for metric in METRICS {
                describe(metric);
            }
            Self {
                handle: recorder.handle(),
                consumed: counter(catalogue::CONSUMED),
                applied: counter(catalogue::APPLIED),
                duplicates: counter(catalogue::DUPLICATES),
                late: counter(catalogue::LATE),
                unknown_types: counter(catalogue::UNKNOWN_TYPES),
                wake_ups: counter(catalogue::WAKE_UPS),
                dead_letters: Reason::ALL
                    .iter()
                    .map(|&reason| (reason, labelled(catalogue::DEAD_LETTERS, "reason", reason.as_str())))
                    .collect(),
                committed: labelled(catalogue::COMMITS, "result", "committed"),
                aborted: labelled(catalogue::COMMITS, "result", "aborted"),
                renewed: labelled(catalogue::COMMITS, "result", "renewed"),
                gained: labelled(catalogue::REBALANCED, "event", "gained"),
                revoked: labelled(catalogue::REBALANCED, "event", "revoked"),
                lost: labelled(catalogue::REBALANCED, "event", "lost"),
                restored: counter(catalogue::RESTORED),
                sweeps: counter(catalogue::SWEEPS),
                truncated: labelled(catalogue::TRUNCATIONS, "result", "done"),
                truncations_failed: labelled(catalogue::TRUNCATIONS, "result", "failed"),
                commit_duration: metrics::histogram!(catalogue::COMMIT_DURATION),
                models: names(models),
                state_limit_bytes,
                workers: Mutex::default(),
                recorder: PrometheusBuilder::new().build_recorder(),
            }
        };
        let mut metrics = with_local_recorder(&recorder, register);
        metrics.recorder = recorder;
        metrics.count(&Progress::default());
        for model in 0..models.models.len() {
            metrics.begin_transitions(model, models);
        }
        metrics
    }

    /// Adds what a worker has done.
    pub fn count(&self, progress: &Progress) {
        self.consumed.increment(progress.tally.consumed);
        self.applied.increment(progress.tally.applied);
        self.duplicates.increment(progress.tally.duplicates);
        self.late.increment(progress.tally.late);
        self.unknown_types.increment(progress.tally.unknown_types);
        self.wake_ups.increment(progress.tally.wake_ups);
        for reason in Reason::ALL {
            let count =
                progress.dead_letters.iter().filter(|(other, _)| *other == reason).map(|(_, count)| count).sum();
            self.dead_letters[&reason].increment(count);
        }
        for transitions in &progress.transitions {
            self.transitions(transitions).increment(transitions.count);
        }
        self.committed.increment(progress.committed);
        self.aborted.increment(progress.aborted);
        self.renewed.increment(progress.renewed);
        self.gained.increment(progress.gained);
        self.revoked.increment(progress.revoked);
        self.lost.increment(progress.lost);
        self.restored.increment(progress.restored);
        self.sweeps.increment(progress.sweeps);
        self.truncated.increment(progress.truncated);
        self.truncations_failed.increment(progress.truncations_failed);
    }

    /// Notes how long a transaction took.
    pub fn commit_took(&self, length: std::time::Duration) {
        self.commit_duration.record(length.as_secs_f64());
    }

    /// Replaces what is known of a worker and its partitions.
    pub fn set_worker(&self, worker: usize, gauges: WorkerGauges) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).insert(worker, gauges);
    }

    /// Folds histogram samples into their buckets; without it they pile up between scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Everything, in the Prometheus text format.
    #[must_use]
    pub fn render(&self, is_ready: bool) -> String {
        let mut text = self.handle.render();
        self.render_instance(is_ready, &mut text);
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.render_workers(&workers, &mut text);
        for metric in METRICS {
            if !text.contains(&format!("# TYPE {} ", metric.name)) {
                Page { text: &mut text }.open(metric.name);
            }
        }
        text
    }

    fn render_instance(&self, is_ready: bool, text: &mut String) {
        let mut page = Page { text };
        page.open(catalogue::BUILD_INFO);
        page.line(catalogue::BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.open(catalogue::MODEL_INFO);
        for (name, version, _) in &self.models {
            page.line(catalogue::MODEL_INFO, &[("model", name), ("version", &version.to_string())], 1);
        }
        page.single(catalogue::READY, u8::from(is_ready));
        page.single(catalogue::STATE_LIMIT, self.state_limit_bytes);
        if let Some(figures) = process::figures() {
            page.single(catalogue::RESIDENT, figures.resident_bytes);
            page.single(catalogue::CPU, figures.processor_seconds);
            page.single(catalogue::STARTED, figures.started_at_seconds);
        }
    }

    fn render_workers(&self, workers: &BTreeMap<usize, WorkerGauges>, text: &mut String) {
        let mut page = Page { text };
        page.open(catalogue::LAST_COMMIT);
        for (worker, gauges) in workers {
            if let Some(seconds) = gauges.last_commit_seconds {
                page.line(catalogue::LAST_COMMIT, &[("worker", &worker.to_string())], seconds);
            }
        }
        let mut partitions: Vec<_> = workers.values().flat_map(|worker| &worker.partitions).collect();
        partitions.sort_by_key(|partition| partition.partition);
        page.single(catalogue::PARTITIONS, partitions.len());
        page.single(
            catalogue::PARTITIONS_RESTORING,
            partitions.iter().filter(|partition| partition.is_restoring).count(),
        );
        page.by_partition(catalogue::LAG_RECORDS, &partitions, |of| of.lag_records);
        page.by_partition(catalogue::LAG_SECONDS, &partitions, |of| of.lag_seconds);
        page.by_partition(catalogue::PARTITION_CUSTOMERS, &partitions, |of| Some(of.customers));
        page.by_partition(catalogue::PARTITION_BYTES, &partitions, |of| Some(of.bytes));
        page.by_partition(catalogue::PARTITION_WAKE_UPS, &partitions, |of| Some(of.wake_ups));
        page.open(catalogue::CUSTOMERS);
        for (index, (model, _, stages)) in self.models.iter().enumerate() {
            let names = stages.iter().map(String::as_str).chain([""]);
            for (place, stage) in names.enumerate() {
                let count =
                    |of: &&PartitionGauges| of.population.get(index).and_then(|model| model.get(place).copied());
                let total: u64 = partitions.iter().filter_map(count).sum();
                page.line(catalogue::CUSTOMERS, &[("model", model), ("stage", stage)], total);
            }
        }
    }

    /// Puts the names that a model publishes at zero, so that the first of each is an increase.
    fn begin_transitions(&self, model: usize, models: &ModelSet) {
        let of = &models.models[model];
        let names = (of.moves.iter().map(|rule| ("stage", &rule.name)))
            .chain(of.signals.iter().map(|signal| ("signal", &signal.name)))
            .chain(of.milestones.iter().map(|milestone| ("milestone", &milestone.name)))
            .chain(of.counters.iter().map(|counter| ("counter", &counter.name)));
        for (kind, name) in names {
            for cause in ["touchpoint", "time"] {
                let none = TransitionCount { model, kind, name: name.clone(), cause, mode: "live", count: 0 };
                self.transitions(&none).increment(0);
            }
        }
    }

    fn transitions(&self, of: &TransitionCount) -> Counter {
        let model = self.models.get(of.model).map(|(name, _, _)| name.clone()).unwrap_or_default();
        let labels = vec![
            Label::new("model", model),
            Label::new("kind", of.kind),
            Label::new("name", of.name.to_string()),
            Label::new("cause", of.cause),
            Label::new("mode", of.mode),
        ];
        with_local_recorder(&self.recorder, || metrics::counter!(catalogue::TRANSITIONS, labels))
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn describe(metric: &Description) {
    match metric.kind {
        Kind::Counter => metrics::describe_counter!(metric.name, metric.about),
        Kind::Gauge => metrics::describe_gauge!(metric.name, metric.about),
        Kind::Histogram => metrics::describe_histogram!(metric.name, metric.about),
    }
}

fn counter(name: &'static str) -> Counter {
    metrics::counter!(name)
}

fn labelled(name: &'static str, label: &'static str, value: &'static str) -> Counter {
    metrics::counter!(name, label => value)
}

/// The part of a scrape that is rendered by hand.
struct Page<'a> {
    text: &'a mut String,
}

impl Page<'_> {
    fn open(&mut self, name: &str) {
        let Some(metric) = METRICS.iter().find(|metric| metric.name == name) else { return };
        let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
        _ = writeln!(self.text, "# HELP {name} {}\n# TYPE {name} {kind}", metric.about.replace('\\', "\\\\"));
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.text.push_str(name);
        for (place, (label, content)) in labels.iter().enumerate() {
            self.text.push(if place == 0 { '{' } else { ',' });
            let content = content.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            _ = write!(self.text, "{label}=\"{content}\"");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        _ = writeln!(self.text, " {value}");
    }

    fn single(&mut self, name: &str, value: impl std::fmt::Display) {
        self.open(name);
        self.line(name, &[], value);
    }

    fn by_partition<T: std::fmt::Display>(
        &mut self,
        name: &str,
        partitions: &[&PartitionGauges],
        value: impl Fn(&PartitionGauges) -> Option<T>,
    ) {
        self.open(name);
        for partition in partitions {
            if let Some(value) = value(partition) {
                self.line(name, &[("partition", &partition.partition.to_string())], value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::fact::Layout;
    use crate::lifecycle::id::StableId;
    use crate::lifecycle::vocabulary::Vocabulary;

    fn metrics() -> Metrics {
        let models = ModelSet::new(Vocabulary::default(), Layout::default(), Vec::new(), StableId(0));
        Metrics::new(&models, 1 << 30)
    }

    fn value(page: &str, series: &str) -> Option<f64> {
        page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    #[test]
    fn every_metric_of_the_catalogue_is_rendered_and_no_other() {
        let metrics = metrics();
        metrics.commit_took(std::time::Duration::from_millis(7));
        metrics.count(&Progress { transitions: vec![TransitionCount::default()], ..Progress::default() });
        let page = metrics.render(true);
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
        let progress =
            Progress { tally, dead_letters: vec![(Reason::NotJson, 1)], committed: 1, ..Progress::default() };
        metrics.count(&progress);
        metrics.count(&progress);
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
        metrics.set_worker(0, WorkerGauges { partitions: vec![of(3, 10), of(1, 20)], ..WorkerGauges::default() });
        let page = metrics.render(true);
        assert_eq!(value(&page, "lifecycle_partition_customers{partition=\"3\"} "), Some(10.0));
        assert_eq!(value(&page, "lifecycle_partitions_assigned "), Some(2.0));
        metrics.set_worker(0, WorkerGauges { partitions: vec![of(1, 20)], ..WorkerGauges::default() });
        let page = metrics.render(false);
        assert_eq!(value(&page, "lifecycle_partition_customers{partition=\"3\"} "), None);
        assert_eq!(value(&page, "lifecycle_ready "), Some(0.0));
    }

    #[test]
    fn a_histogram_has_buckets() {
        let metrics = metrics();
        metrics.commit_took(std::time::Duration::from_millis(7));
        metrics.upkeep();
        let page = metrics.render(true);
        assert_eq!(value(&page, "lifecycle_commit_duration_seconds_bucket{le=\"0.01\"} "), Some(1.0));
        assert_eq!(value(&page, "lifecycle_commit_duration_seconds_bucket{le=\"0.005\"} "), Some(0.0));
    }
}
