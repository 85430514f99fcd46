//! Writes the series of one metric in a scrape.
//!
//! Counters and gauges go to the current recorder. The recorder counts in whole numbers and keeps single observations,
//! so the workers' histograms and counters of seconds are written as text, with the functions of the exporter.

use metrics::{Key, Label, counter, gauge};
use metrics_exporter_prometheus::{LabelSet, formatting};

use crate::lifecycle::time::Timestamp;
use crate::partition::DeadLetterReason;
use crate::telemetry::catalogue::{Description, Kind};
use crate::telemetry::histogram::{Histogram, Measurements};
use crate::telemetry::ingest::{IngestPartition, IngestReport};
use crate::telemetry::process::ProcessStats;
use crate::telemetry::report::{Report, TOPIC_KINDS, Volume};
use crate::telemetry::snapshot::{ACTIVITIES, PartitionStatus, WorkerSnapshot};

use super::models::CAUSES_AND_MODES;
use super::scrape::{STATES, Scrape};

const EPOCH: Timestamp = Timestamp::from_millis(0);

/// Label names and values of a series.
type Labels<'a> = &'a [(&'static str, &'a str)];

/// Converts to seconds since the Unix epoch, the unit of Prometheus timestamps.
pub(in crate::telemetry) fn epoch_seconds(time: Timestamp) -> f64 {
    (time - EPOCH).as_seconds()
}

/// Converts a count to the type of all values in Prometheus.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has the same precision")]
pub(in crate::telemetry) fn float(count: impl TryInto<i64>) -> f64 {
    count.try_into().unwrap_or(i64::MAX) as f64
}

/// The series of one metric in a scrape.
pub(in crate::telemetry) struct Series<'a> {
    pub(in crate::telemetry) scrape: &'a Scrape<'a>,
    metric: &'static Description,
    text: &'a mut String,
    has_header: bool,
}

impl<'a> Series<'a> {
    /// `text` receives what the current recorder cannot hold.
    pub(super) fn new(metric: &'static Description, scrape: &'a Scrape<'a>, text: &'a mut String) -> Self {
        Self { scrape, metric, text, has_header: false }
    }

    /// Sets a gauge.
    pub(in crate::telemetry) fn set(&mut self, labels: Labels<'_>, value: f64) {
        gauge!(self.metric.name, recorded(labels)).set(value);
    }

    /// Adds to a counter.
    pub(in crate::telemetry) fn add(&mut self, labels: Labels<'_>, count: u64) {
        counter!(self.metric.name, recorded(labels)).increment(count);
    }

    /// Exports the sum of a counter over all workers.
    pub(in crate::telemetry) fn sum(&mut self, labels: Labels<'_>, count: impl Fn(&Report) -> u64) {
        self.add(labels, self.scrape.reports().map(count).sum());
    }

    /// Exports the sum of a counter over the ingest workers of each source.
    pub(in crate::telemetry) fn sum_by_source(
        &mut self,
        label: Option<(&'static str, &str)>,
        count: impl Fn(&IngestReport) -> u64,
    ) {
        for worker in &self.scrape.ingest {
            let labels: Vec<_> = [("source", &*worker.source)].into_iter().chain(label).collect();
            self.add(&labels, count(&worker.report));
        }
    }

    /// Exports the records of each source that a rule dropped.
    pub(in crate::telemetry) fn ingest_dropped(&mut self) {
        for worker in &self.scrape.ingest {
            // The names of the rules are not known in advance; a series without rule exports each source at zero.
            self.add(&[("source", &worker.source), ("rule", "")], 0);
            for (rule, &count) in &worker.report.dropped {
                self.add(&[("source", &worker.source), ("rule", rule)], count);
            }
        }
    }

    /// Exports the dead letters of each source by reason.
    pub(in crate::telemetry) fn ingest_dead_letters(&mut self) {
        for reason in DeadLetterReason::ALL {
            let count = |report: &IngestReport| report.dead_letters.get(&reason).copied().unwrap_or_default();
            self.sum_by_source(Some(("reason", reason.as_str())), count);
        }
    }

    /// Exports a gauge of each partition of a source for which there is a value.
    pub(in crate::telemetry) fn by_source_partition(&mut self, value: impl Fn(&IngestPartition) -> Option<f64>) {
        for worker in &self.scrape.ingest {
            for it in &worker.partitions {
                if let Some(value) = value(it) {
                    let partition = it.partition.to_string();
                    let labels =
                        [("source", &*worker.source), ("topic", &worker.topic), ("partition", partition.as_str())];
                    self.set(&labels, value);
                }
            }
        }
    }

    /// Exports a gauge of each partition for which there is a value.
    pub(in crate::telemetry) fn by_partition(&mut self, value: impl Fn(&PartitionStatus, Timestamp) -> Option<f64>) {
        for (partition, at) in self.scrape.partitions() {
            if let Some(value) = value(partition, at) {
                self.set(&[("partition", &partition.partition.to_string())], value);
            }
        }
    }

    /// Exports a gauge of each worker for which there is a value.
    pub(in crate::telemetry) fn by_worker(&mut self, value: impl Fn(&WorkerSnapshot) -> Option<f64>) {
        for (worker, snapshot) in &self.scrape.workers {
            if let Some(value) = value(snapshot) {
                self.set(&[("worker", worker)], value);
            }
        }
    }

    /// Exports the sum of a histogram over all workers.
    pub(in crate::telemetry) fn histogram(&mut self, labels: Labels<'_>, of: fn(&Measurements) -> &Histogram) {
        let mut total = of(&Measurements::default()).clone();
        for report in self.scrape.reports() {
            total.add(of(&report.measured));
        }
        let labels = written(labels);
        for (bound, count) in total.buckets() {
            self.line(Some("bucket"), &labels, Some(("le", bound.to_string())), count);
        }
        self.line(Some("bucket"), &labels, Some(("le", "+Inf".to_owned())), total.count());
        self.line(Some("sum"), &labels, None, total.sum());
        self.line(Some("count"), &labels, None, total.count());
    }

    /// Writes a line, after the header of the metric.
    fn line(
        &mut self,
        suffix: Option<&'static str>,
        labels: &LabelSet,
        label: Option<(&'static str, String)>,
        value: impl std::fmt::Display,
    ) {
        let Description { name, kind, help, .. } = *self.metric;
        if !self.has_header {
            self.has_header = true;
            formatting::write_help_line(self.text, name, None, None, help);
            let kind = if kind == Kind::Histogram { "histogram" } else { "counter" };
            formatting::write_type_line(self.text, name, None, None, kind);
        }
        formatting::write_metric_line(self.text, name, suffix, labels, label, value, None);
    }

    pub(in crate::telemetry) fn model_info(&mut self) {
        for model in &self.scrape.metrics.models {
            self.set(&[("model", &model.name), ("version", &model.version), ("hash", &model.hash)], 1.0);
        }
    }

    pub(in crate::telemetry) fn service_state(&mut self) {
        for state in STATES {
            self.set(&[("state", state)], f64::from(state == self.scrape.state()));
        }
    }

    pub(in crate::telemetry) fn dead_letters(&mut self) {
        for reason in DeadLetterReason::ALL {
            let count = |report: &Report| report.dead_letters.get(&reason).copied().unwrap_or_default();
            self.sum(&[("reason", reason.as_str())], count);
        }
    }

    pub(in crate::telemetry) fn topic_partitions(&mut self) {
        let known = self.scrape.workers.iter().filter_map(|(_, snapshot)| snapshot.status.topic_partitions);
        if let Some(topic_partitions) = known.max() {
            self.set(&[], float(topic_partitions));
        }
    }

    pub(in crate::telemetry) fn transitions(&mut self) {
        let models = &self.scrape.metrics.models;
        // `increase()` includes the first transition only if its series was zero before.
        for model in models {
            for ((kind, name), (cause, mode)) in
                model.published.iter().flat_map(|it| CAUSES_AND_MODES.map(|cause_and_mode| (it, cause_and_mode)))
            {
                self.add(&transition_labels(&model.name, kind, name, cause, mode), 0);
            }
        }
        for (group, names) in self.scrape.reports().flat_map(|report| &report.transitions) {
            let Some(model) = models.get(usize::from(group.model)) else { continue };
            for (name, &count) in names {
                self.add(&transition_labels(&model.name, group.kind, name, group.cause, group.mode), count);
            }
        }
    }

    pub(in crate::telemetry) fn stage_moves(&mut self) {
        let models = &self.scrape.metrics.models;
        for model in models {
            for (from, to) in model.initialized_moves() {
                self.add(&[("model", &model.name), ("from", from), ("to", to)], 0);
            }
        }
        for (&(model, from, to), &count) in self.scrape.reports().flat_map(|report| &report.moves) {
            let Some(model) = models.get(usize::from(model)) else { continue };
            self.add(&[("model", &model.name), ("from", model.stage(from)), ("to", model.stage(to))], count);
        }
    }

    pub(in crate::telemetry) fn customers(&mut self) {
        for (index, model) in self.scrape.metrics.models.iter().enumerate() {
            for (stage_index, stage) in model.stages.iter().map(String::as_str).chain([""]).enumerate() {
                let count = |(it, _): (&PartitionStatus, _)| it.stage_counts.get(index)?.get(stage_index).copied();
                let total: u64 = self.scrape.partitions().filter_map(count).sum();
                self.set(&[("model", &model.name), ("stage", stage)], float(total));
            }
        }
    }

    pub(in crate::telemetry) fn written(&mut self, amount: fn(&Volume) -> u64) {
        for (index, kind) in TOPIC_KINDS.into_iter().enumerate() {
            self.sum(&[("topic_kind", kind)], |report| amount(&report.written[index]));
        }
    }

    pub(in crate::telemetry) fn worker_seconds(&mut self) {
        for (worker, snapshot) in &self.scrape.workers {
            for (activity, spent) in ACTIVITIES.into_iter().zip(snapshot.status.activities) {
                self.line(None, &written(&[("worker", worker), ("activity", activity)]), None, spent.as_secs_f64());
            }
        }
    }

    /// Exports a gauge of the process, where the system provides it.
    pub(in crate::telemetry) fn process(&mut self, value: fn(&ProcessStats) -> f64) {
        if let Some(stats) = &self.scrape.process {
            self.set(&[], value(stats));
        }
    }

    pub(in crate::telemetry) fn cpu_seconds(&mut self) {
        if let Some(stats) = &self.scrape.process {
            self.line(None, &written(&[]), None, stats.processor_seconds);
        }
    }
}

fn transition_labels<'a>(
    model: &'a str,
    kind: &'a str,
    name: &'a str,
    cause: &'a str,
    mode: &'a str,
) -> [(&'static str, &'a str); 5] {
    [("model", model), ("kind", kind), ("name", name), ("cause", cause), ("mode", mode)]
}

/// Returns labels for the recorder.
fn recorded(labels: Labels<'_>) -> Vec<Label> {
    labels.iter().map(|&(name, value)| Label::new(name, value.to_owned())).collect()
}

/// Returns labels for a line of text.
#[expect(clippy::default_trait_access, reason = "the crate of the map is not a dependency")]
fn written(labels: Labels<'_>) -> LabelSet {
    LabelSet::from_key_and_global(&Key::from_parts("", recorded(labels)), &Default::default())
}
