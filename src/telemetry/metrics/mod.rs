//! All metrics, exported with the `metrics` facade and its Prometheus exporter.
//!
//! The workers count in plain numbers and publish a snapshot about twice a second. A scrape records the snapshots in a
//! fresh recorder, so that the series of a partition disappear when it is revoked, and two instances never export the
//! same series. What happens outside of the workers' batches is counted in a lasting recorder.

mod models;
pub(super) mod scrape;
pub(super) mod series;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, histogram, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

use crate::lifecycle::model_set::ModelSet;
use crate::lifecycle::time;

use super::catalogue::{HTTP_DURATION, HTTP_REQUESTS, KAFKA_ERRORS, Kind, METRICS};
use super::histogram::CALL_SECONDS;
use super::snapshot::WorkerSnapshot;
use super::status_registry::StatusRegistry;

use models::ModelNames;
use scrape::Scrape;
use series::Series;

/// Values of the `reaction` label.
const REACTIONS: [&str; 4] = ["retry", "abort", "reset_producer", "fatal"];

/// The metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    models: Vec<ModelNames>,
    pub(super) state_limit_bytes: usize,
    /// Time from the due time of a wake-up until wall time fires it; `None` if only touchpoints fire wake-ups.
    lateness: Option<time::Duration>,
    is_stopping: AtomicBool,
    status_registry: Arc<StatusRegistry>,
    /// Counts HTTP responses and errors of the Kafka client, neither of them once per record.
    lasting_recorder: PrometheusRecorder,
}

impl Metrics {
    /// Creates the metrics of a service with `models` and a limit of `state_limit_bytes`. `lateness` is the
    /// time from the due time of a wake-up until wall time fires it; `None` if only touchpoints fire wake-ups.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the list of buckets is not empty")]
    pub fn new(
        models: &ModelSet,
        state_limit_bytes: usize,
        lateness: Option<time::Duration>,
        status_registry: Arc<StatusRegistry>,
    ) -> Self {
        let durations = Matcher::Full(HTTP_DURATION.to_owned());
        let lasting_recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(durations, CALL_SECONDS)
            .expect("there are buckets")
            .build_recorder();
        with_local_recorder(&lasting_recorder, || {
            describe();
            for reaction in REACTIONS {
                // Error codes are not known in advance; a series without code exports each reaction at zero.
                counter!(KAFKA_ERRORS, "reaction" => reaction, "code" => "").increment(0);
            }
        });
        let models = models.models.iter().map(ModelNames::of).collect();
        Self {
            models,
            state_limit_bytes,
            lateness,
            is_stopping: AtomicBool::new(false),
            status_registry,
            lasting_recorder,
        }
    }

    /// Publishes the snapshot of a worker.
    pub fn publish(&self, worker: usize, snapshot: WorkerSnapshot) {
        self.status_registry.publish(worker, snapshot);
        // The exporter keeps each observation of a histogram until the next scrape or upkeep.
        self.lasting_recorder.handle().run_upkeep();
    }

    /// Counts an error of the Kafka client. The values of both labels come from enums, so the number of series is
    /// bounded.
    pub fn count_kafka_error(&self, reaction: &'static str, code: &str) {
        with_local_recorder(&self.lasting_recorder, || {
            counter!(KAFKA_ERRORS, "reaction" => reaction, "code" => code.to_owned()).increment(1);
        });
    }

    /// Records that the service is shutting down.
    pub fn set_stopping(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Initialises the series of all routes to zero.
    pub fn init_routes(&self, paths: impl IntoIterator<Item = &'static str>) {
        with_local_recorder(&self.lasting_recorder, || {
            for path in paths {
                counter!(HTTP_REQUESTS, "path" => path, "code" => "200").increment(0);
                drop(histogram!(HTTP_DURATION, "path" => path));
            }
        });
    }

    /// Counts a response by route template and status, and observes its duration.
    pub fn observe_response(&self, path: &'static str, status: u16, duration: Duration) {
        with_local_recorder(&self.lasting_recorder, || {
            counter!(HTTP_REQUESTS, "path" => path, "code" => status.to_string()).increment(1);
            histogram!(HTTP_DURATION, "path" => path).record(duration);
        });
    }

    /// Renders all metrics in the Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        let scrape = Scrape::of(self);
        let recorder = PrometheusBuilder::new().build_recorder();
        let mut text = String::new();
        with_local_recorder(&recorder, || {
            describe();
            for metric in METRICS {
                (metric.write)(&mut Series::new(metric, &scrape, &mut text));
            }
        });
        self.lasting_recorder.handle().render() + &recorder.handle().render() + &text
    }
}

/// Describes every metric to the current recorder.
fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.help),
        }
    }
}

#[cfg(test)]
mod tests;
